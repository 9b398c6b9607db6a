"""User messages that only say to continue."""

from __future__ import annotations

import re

_GO_ON = re.compile(
    r"(?:(?:ok(?:ay)?|yes|yep|yeah|sure|please|good|great|fine|perfect|now|and|thanks|thank you|well|just)[\s,.!]*)*"
    r"(?:(?:please )?(?:continue|go on|go ahead|proceed|carry on|keep going|keep at it|do it|do that|do so|try again|retry|again|once more"
    r"|fix it|fix this|fix that|next|next step|finish(?: it)?|weiter|mach weiter|continuez?|vas-y|sigue|continúa|continua|avanti|继续|続けて|продолжай))?"
    r"[\s.!,]*(?:please)?[\s.!]*",
    re.IGNORECASE,
)


def goes_on(text: str) -> bool:
    """Return whether a user message only says to continue, so that its subject stands in an earlier message.

    Example:
        >>> goes_on("ok, continue"), goes_on("Continue with the second chapter instead.")
        (True, False)
    """
    return len(text) < 80 and _GO_ON.fullmatch(text.strip()) is not None
