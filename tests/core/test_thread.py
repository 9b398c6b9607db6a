"""Earlier decisions, read from a thread's messages."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.thread import MOST, PastDecision, Thread, past_decision
from langroute.steps.history_reader import HistoryReader, Messages


def answer(route: str = "large", **told: Any) -> AIMessage:
    step = {"kind": told.pop("kind", "act"), "node": told.pop("node", None), "agent": told.pop("agent", None)}
    return AIMessage("x", response_metadata={"langroute": {"route": route, "step": step, **told}})


def test_what_an_answer_carries() -> None:
    message = answer(
        kind="plan", node="n", agent="a", task_id="k", thread={"limited": True, "instead": True, "memory": ["mine", 1]}
    )
    assert past_decision(message) == PastDecision("large", "plan", "n", "a", "k", True, True, ("mine", 1))


@pytest.mark.parametrize(
    "told",
    [None, 5, "large", [], {}, {"route": None}, {"route": ["large"]}, {"step": {"kind": "act"}}],
)
def test_what_does_not_fit_is_no_decision(told: Any) -> None:
    """Messages may come from anybody."""
    assert past_decision(AIMessage("x", response_metadata={"langroute": told})) is None


@pytest.mark.parametrize("odd", ["text", 5, ["a"], {"kind": 5, "node": {}, "agent": []}])
def test_odd_parts_are_left_out(odd: Any) -> None:
    message = AIMessage("x", response_metadata={"langroute": {"route": "r", "step": odd, "thread": odd, "task_id": odd}})
    found = past_decision(message)
    assert found is not None
    assert (found.kind, found.node, found.agent, found.memory, found.limited) == (None, None, None, (), False)
    long = AIMessage("x", response_metadata={"langroute": {"route": "r", "thread": {"memory": list(range(10**5))}}})
    assert len(past_decision(long).memory) == 16  # type: ignore[union-attr]


def test_the_latest_comes_first_with_the_turns_since_and_the_earliest_with_its_turn() -> None:
    messages = [
        SystemMessage("Be kind."), HumanMessage("a"), answer("r1"), HumanMessage("b"), AIMessage("from elsewhere"), answer("r2"),
        ToolMessage("t", tool_call_id="c"), answer("r3"),
    ]  # fmt: skip
    assert [(ago, past.route) for ago, past in Thread(messages).latest()] == [(0, "r3"), (0, "r2"), (1, "r1")]
    assert [(turn, past.route) for turn, past in Thread(messages).earliest()] == [(1, "r1"), (2, "r2"), (2, "r3")]


def test_no_more_is_read_than_is_asked_for() -> None:
    """A history of thousands of messages costs as much as its end."""

    class Counting(list[Any]):
        read = 0

        def __reversed__(self) -> Any:
            for message in list.__reversed__(self):
                Counting.read += 1
                yield message

    messages = Counting([HumanMessage("a"), *(answer() for _ in range(1000)), ToolMessage("t", tool_call_id="c")])
    next(Thread(messages).latest())
    assert Counting.read == 2
    assert sum(1 for _ in Thread(messages).latest()) == MOST
    assert sum(1 for _ in Thread(messages).earliest()) == MOST


def test_a_history_that_was_read_and_carries_nothing_is_not_scanned() -> None:
    plain, carrying = Messages([HumanMessage("a"), AIMessage("x")]), Messages([HumanMessage("a"), answer()])
    for messages in (plain, carrying):
        HistoryReader().read(messages)
    assert plain.history is not None
    assert plain.history.decisions == 0
    assert list(Thread(plain).latest()) == []
    assert [past.route for _, past in Thread(carrying).latest()] == ["large"]
