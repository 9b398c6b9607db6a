"""What a thread's own messages say about earlier decisions.

Every answer carries its decision in `response_metadata["langroute"]`, so what a policy has to know of a thread's past is in each of its
checkpoints, whichever process goes on. The messages come from outside: whatever does not fit is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from langroute.core.fast_dataclass import fast_dataclass

METADATA_KEY = "langroute"
"""Key of the decision in a message's `response_metadata`."""

MOST = 64
"""Most earlier decisions that are read for one step."""

MOST_NUMBER = 1e15
"""Numbers from here on are not read."""

MOST_NOTED = 16
"""Most values of a note, and most notes, that are read."""


@fast_dataclass
class PastDecision:
    """An earlier decision of a thread."""

    route: str
    kind: str | None = None
    """Kind of its step."""

    node: str | None = None
    agent: str | None = None
    task: str | None = None
    limited: bool = False
    """The caller had limits for this call alone."""

    instead: bool = False
    """The route took the place of one that failed or rested."""

    memory: tuple[Any, ...] = ()
    """What its policies wanted to know at the next step; see `Selection.memory`."""

    id: str | None = None

    def note(self, name: str) -> tuple[Any, ...] | None:
        """Return what the policy of this name noted, `None` where it noted nothing.

        Example:
            >>> one, several = PastDecision("a", memory=("x", 1)), PastDecision("a", memory=(["x", 1], ["y", 2]))
            >>> one.note("x"), several.note("y"), one.note("y")
            ((1,), (2,), None)
        """
        return note_in(self.memory, name)


def note_in(memory: Sequence[Any], name: str) -> tuple[Any, ...] | None:
    """Return what the policy of a name noted in a `Selection.memory`, `None` where it noted nothing."""
    if memory and memory[0] == name:
        return tuple(memory[1:])
    for one in memory:
        if isinstance(one, (list, tuple)) and one and one[0] == name:
            return tuple(one[1:MOST_NOTED])
    return None


def with_note(memory: tuple[Any, ...], *note: Any) -> tuple[Any, ...]:
    """Return a `Selection.memory` with another policy's note in it: its name, then plain values.

    Example:
        >>> with_note((), "x", 1), with_note(("x", 1), "y", 2)
        (('x', 1), (('x', 1), ('y', 2)))
    """
    if not memory:
        return note
    return (memory, note) if isinstance(memory[0], str) else (*memory, note)


class Thread:
    """The earlier decisions of a thread, read lazily from its messages.

    Args:
        messages: The history of a request.

    Example:
        >>> answer = AIMessage("Hello.", response_metadata={"langroute": {"route": "large", "step": {"kind": "chat"}}})
        >>> [(ago, past.route) for ago, past in Thread([HumanMessage("Hi."), answer, HumanMessage("And now?")]).latest()]
        [(1, 'large')]
    """

    __slots__ = ("messages",)

    def __init__(self, messages: Sequence[Any]) -> None:
        self.messages = messages

    def latest(self) -> Iterator[tuple[int, PastDecision]]:
        """Return the number of user turns since each decision, and the decision; the latest first."""
        return self._latest() if may_carry_decisions(self.messages) else iter(())

    def _latest(self) -> Iterator[tuple[int, PastDecision]]:
        ago = found = 0
        for message in reversed(self.messages):
            if isinstance(message, HumanMessage):
                ago += 1
            elif isinstance(message, AIMessage) and (past := past_decision(message)) is not None:
                yield ago, past
                found += 1
                if found >= MOST:
                    return

    def earliest(self) -> Iterator[tuple[int, PastDecision]]:
        """Return the number of the user turn of each decision, 1 for the first, and the decision; the earliest first."""
        return self._earliest() if may_carry_decisions(self.messages) else iter(())

    def _earliest(self) -> Iterator[tuple[int, PastDecision]]:
        turn = found = 0
        for message in self.messages:
            if isinstance(message, HumanMessage):
                turn += 1
            elif isinstance(message, AIMessage) and (past := past_decision(message)) is not None:
                yield turn, past
                found += 1
                if found >= MOST:
                    return


def told_number(message: AIMessage, name: str) -> float | None:
    """Return a number of the decision that an answer carries, such as `started_at`; `None` where it says none that is finite.

    Example:
        >>> told_number(AIMessage("Hi.", response_metadata={"langroute": {"cost_usd": 0.5, "started_at": "now"}}), "cost_usd")
        0.5
    """
    metadata = message.response_metadata
    told = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    found: Any = told.get(name) if isinstance(told, Mapping) else None
    return float(found) if type(found) in (int, float) and abs(found) < MOST_NUMBER else None


def past_decision(message: AIMessage) -> PastDecision | None:
    """Return the decision that an answer carries; `None` where it carries none that can be read.

    Example:
        >>> past_decision(AIMessage("Hi.")) is None, past_decision(AIMessage("Hi.", response_metadata={"langroute": "?"})) is None
        (True, True)
    """
    metadata = message.response_metadata
    told = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(told, Mapping) or not isinstance(route := told.get("route"), str):
        return None
    step, state = _mapping(told.get("step")), _mapping(told.get("thread"))
    memory = state.get("memory")
    return PastDecision(
        route,
        _text(step.get("kind")),
        _text(step.get("node")),
        _text(step.get("agent")),
        _text(told.get("task_id")),
        state.get("limited") is True,
        state.get("instead") is True,
        tuple(memory[:MOST_NOTED]) if isinstance(memory, (list, tuple)) else (),
        _text(told.get("decision_id")),
    )


def carries_decision(message: AIMessage) -> bool:
    """Return whether an answer carries a decision, readable or not."""
    metadata = message.response_metadata
    return type(metadata) is dict and METADATA_KEY in metadata


def may_carry_decisions(messages: Any) -> bool:
    """Return whether decisions may be found in messages: the reader of histories knows if no answer carries one.

    Example:
        >>> may_carry_decisions([HumanMessage("Hi.")])
        True
    """
    history = getattr(messages, "history", None)
    return history is None or bool(getattr(history, "decisions", True))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
