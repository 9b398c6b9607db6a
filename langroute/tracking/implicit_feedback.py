"""Implicit feedback: outcomes that a person's next message tells about the answer before it.

Plausible signals are often wrong: a follow-up on the same topic is no complaint. So only two things count: asking the same
again nearly word for word, and saying in so many words that it was wrong or is to be undone. These outcomes come from sources called
`implicit:…`, which never outweigh explicit feedback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.message_text import content_text
from langroute.core.records import Outcome

LONGEST = 10_000
"""Longest message, in characters, that is compared word for word."""

_WORD = re.compile(r"[^\W_]+")
_WRONG = re.compile(
    r"(?:no[,.! ]+)?(?:that(?:'s| is|’s) (?:wrong|incorrect|not (?:what i (?:asked|meant|wanted)|right|correct))"
    r"|(?:this|that|it) (?:still )?(?:does not|doesn't|doesn’t|did not|didn't|didn’t) (?:work|help)"
    r"|(?:please )?try (?:it |that )?again|you misunderstood)\b",
    re.IGNORECASE,
)
_UNDO = re.compile(
    r"(?:no[,.! ]+)?(?:please )?(?:undo|revert|roll back|take back)"
    r"(?: (?:it|this|that|these|those|your|the last|all of (?:it|that))(?: (?:changes?|edits?|commits?|steps?|answers?))?)?"
    r"(?:[,.!]?\s*please)?(?:[.,!]|$)",
    re.IGNORECASE,
)


def asked_again(before: str, now: str) -> bool:
    """Return whether the same is asked once more, nearly word for word.

    Example:
        >>> asked_again("Which port does the server use?", "which port does the server use")
        True
        >>> asked_again("Which port does the server use?", "Which host does the server use?")
        False
    """
    if max(len(before), len(now)) > LONGEST:
        return before.strip() == now.strip()
    old, new = _WORD.findall(before.lower()), _WORD.findall(now.lower())
    if len(new) < 3:
        return False
    # The same words in the same order: "from Rome to Oslo" does not ask again for "from Oslo to Rome".
    return old == new or _without_politeness(old) == _without_politeness(new)


_POLITE = frozenset({"please", "again", "hello", "hi", "hey", "so", "ok", "okay", "well", "and", "but", "once", "more"})


def _without_politeness(words: list[str]) -> list[str]:
    return [word for word in words if word not in _POLITE]


@dataclass(frozen=True)
class ImplicitFeedback:
    """Reads implicit feedback from a conversation at the beginning of a new turn.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> turns = [HumanMessage("Rename the file."), AIMessage("Done."), HumanMessage("Undo that, please.")]
        >>> ImplicitFeedback().heard(turns, task_id="t1").source
        'implicit:undone'
    """

    def heard(self, messages: Sequence[Any], task_id: str | None = None, at: float = 0.0) -> Outcome | None:
        """Return the outcome that the latest message tells about the answer before it, or `None`.

        Args:
            messages: The conversation; nothing is read unless it ends with a person's message.
            task_id: The task of the answer before, for an answer that does not carry its decision's id.
            at: Seconds since the epoch.
        """
        if len(messages) < 3 or getattr(messages[-1], "type", None) != "human":
            return None
        answers = [message for message in messages[:-1] if getattr(message, "type", None) == "ai"]
        asked = [message for message in messages[:-1] if getattr(message, "type", None) == "human"]
        if not answers or not asked:
            return None
        signal = self._signal(content_text(asked[-1].content), content_text(messages[-1].content))
        if signal is None:
            return None
        metadata = getattr(answers[-1], "response_metadata", None)
        carried = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
        decision_id = carried.get("decision_id") if isinstance(carried, Mapping) else None
        decision_id = decision_id if isinstance(decision_id, str) else None
        if decision_id is None and task_id is None:
            return None
        about = {"decision_id": decision_id} if decision_id is not None else {"task_id": task_id}
        return Outcome(key=signal, success=False, source=f"implicit:{signal}", at=at, **about)

    def _signal(self, before: str, now: str) -> str | None:
        now = now.strip()
        if _UNDO.match(now):
            return "undone"
        if asked_again(before, now) or _WRONG.match(now):
            return "asked_again"
        return None
