"""Implicit feedback: outcomes that a conversation itself tells about the answer before, by a person's next message or a run of tests.

Plausible signals are often wrong: a follow-up on the same topic is no complaint. So only three things count: asking the same
again nearly word for word, saying in so many words that it was wrong or is to be undone, and the summary of tests that a tool ran. These
outcomes come from sources called `implicit:…`, which never outweigh explicit feedback. Nothing learns from what a tool printed, because
anybody may have written it (`Outcome.is_hearsay`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.message_text import content_text
from langroute.core.records import Outcome
from langroute.core.records.outcome import TESTS_SEEN
from langroute.steps.tools import Vocabulary, verdict_of_tests

LONGEST = 10_000
"""Longest message, in characters, that is compared word for word."""

MOST_RESULTS = 32
"""Most results of one round of tool calls that are read."""

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
    """Reads implicit feedback from a conversation at the beginning of a new step.

    Args:
        vocabulary: Tells tools that run things from others.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
        >>> turns = [HumanMessage("Rename the file."), AIMessage("Done."), HumanMessage("Undo that, please.")]
        >>> ImplicitFeedback().heard(turns, task_id="t1").source
        'implicit:undone'
        >>> ran = AIMessage("", tool_calls=[{"name": "bash", "args": {"command": "pytest"}, "id": "c1"}])
        >>> told = ImplicitFeedback().heard([turns[0], ran, ToolMessage("== 3 passed in 0.1s ==", tool_call_id="c1")], task_id="t1")
        >>> told.source, told.key, told.success
        ('implicit:tests', 'tests_passed', True)
    """

    vocabulary: Vocabulary = field(default_factory=Vocabulary)

    def heard(self, messages: Sequence[Any], task_id: str | None = None, at: float = 0.0) -> Outcome | None:
        """Return the outcome that the end of a conversation tells about the answer before it, or `None`.

        Args:
            messages: The conversation; nothing is read unless it ends with a person's message or with results of tools.
            task_id: The task of the answer before, for an answer that does not carry its decision's id.
            at: Seconds since the epoch.
        """
        place = next((at for at in range(len(messages) - 1, -1, -1) if _is(messages[at], "ai")), None)
        if place is None or place == len(messages) - 1:
            return None
        decision_id = _decision_of(messages[place])
        about = None if decision_id is not None else task_id
        told = self._told(messages, place) if decision_id is not None or about is not None else None
        if told is None:
            return None
        key, success, source = told
        return Outcome(key=key, success=success, source=source, at=at, task_id=about, decision_id=decision_id)

    def _told(self, messages: Sequence[Any], place: int) -> tuple[str, bool, str] | None:
        """Return what is told of the answer at a place, whether it is good, and the source."""
        if (signal := self._said(messages)) is not None:
            return signal, False, f"implicit:{signal}"
        passed = self._tests(messages[place], messages[place + 1 :])
        return None if passed is None else ("tests_passed", passed, TESTS_SEEN)

    def _said(self, messages: Sequence[Any]) -> str | None:
        """Return what a person says of the answer, if the latest message is a person's."""
        if not _is(messages[-1], "human"):
            return None
        asked = next((one for one in reversed(messages[:-1]) if _is(one, "human")), None)
        return None if asked is None else self._signal(content_text(asked.content), content_text(messages[-1].content))

    def _tests(self, answer: Any, after: Sequence[Any]) -> bool | None:
        """Return whether the tests have passed that the answer's tool calls ran; `None` where there were none."""
        results = [one for one in after if _is(one, "tool")][:MOST_RESULTS]
        if not results:
            return None
        calls = {call.get("id"): call for call in getattr(answer, "tool_calls", None) or ()}
        told = [self._verdict(result, calls.get(result.tool_call_id)) for result in results]
        return False if False in told else True if True in told else None

    def _verdict(self, result: Any, call: Mapping[str, Any] | None) -> bool | None:
        name, args = (result.name, None) if call is None else (call.get("name"), call.get("args"))
        family = self.vocabulary.family(name, args)
        return verdict_of_tests(result.status, content_text(result.content), family, args) if family == "run" else None

    def _signal(self, before: str, now: str) -> str | None:
        now = now.strip()
        if _UNDO.match(now):
            return "undone"
        if asked_again(before, now) or _WRONG.match(now):
            return "asked_again"
        return None


def _is(message: Any, kind: str) -> bool:
    return getattr(message, "type", None) == kind


def _decision_of(answer: Any) -> str | None:
    """Return the id of an answer's decision, where the answer carries it."""
    metadata = getattr(answer, "response_metadata", None)
    carried = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
    found = carried.get("decision_id") if isinstance(carried, Mapping) else None
    return found if isinstance(found, str) else None
