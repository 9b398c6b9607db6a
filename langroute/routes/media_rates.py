"""Media with rates of their own, in answers that do not say how many of their tokens stand for media."""

from __future__ import annotations

from typing import Any

from langroute.core.records import Price, Signals, Usage
from langroute.providers.usage import media_told

_ANSWERED = frozenset({"output_audio", "output_image", "output_video"})
_ASKED = {"input_audio": "audio", "input_image": "images", "input_video": "files"}
"""Rate of a medium → the signal that counts it in a request."""


def hides_media(price: Price, usage: Usage, message: Any, signals: Signals | None) -> bool:
    """Return whether a call may be billed for media with rates of their own, of which its answer does not say the tokens.

    Args:
        price: The price of the call.
        usage: Its tokens.
        message: The answer.
        signals: What was asked; `None` if it is not known.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> painter = Price(0.3, 2.5, extra_rates=(("output_image", 30.0),))
        >>> hides_media(painter, Usage(10, 1290), AIMessage("Here."), None)
        True
    """
    if usage.stated_usd is not None:
        return False
    for name, _ in price.extra_rates:
        if name in _ANSWERED:
            if usage.output_tokens and not media_told(message, "output"):
                return True
        elif name in _ASKED and signals is not None and getattr(signals, _ASKED[name]) and not media_told(message, "input"):
            return True
    return False
