"""A turn keeps its route; what only has a turn's number does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langroute import ChatRouter
from langroute.policies import Rule, Rules, Sticky
from langroute.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "t1"}}
PRICES = {"cheap": {"input": 1, "output": 2}, "frontier": {"input": 5, "output": 10}}


def router() -> ChatRouter:
    """Plans go to the strong route, the rest to the cheap one; a turn stays where it began."""
    routes = {"cheap": ScriptedModel("Sure."), "frontier": ScriptedModel("Certainly.")}
    return ChatRouter(routes, policy=Sticky(Rules([Rule("frontier", kind="plan")], otherwise="cheap")), prices=PRICES)


def route_of(answer: Any) -> str:
    """Which route answered."""
    return str(answer.response_metadata["langroute"]["route"])


def test_a_program_that_sends_no_history_has_each_question_decided() -> None:
    """Every question of its thread is the first turn, and yet another one."""
    model = router()
    asked = ["Hi!", "Plan the migration of our database.", "Thanks."]
    assert [route_of(model.invoke(question, THREAD)) for question in asked] == ["cheap", "frontier", "cheap"]


def test_a_question_that_was_put_differently_is_decided_anew() -> None:
    """As after an edit in a chat window, or time travel."""
    model = router()
    before = [HumanMessage("Hi!"), AIMessage("Hello.")]
    assert route_of(model.invoke([*before, HumanMessage("Thanks.")], THREAD)) == "cheap"
    assert route_of(model.invoke([*before, HumanMessage("Plan the migration of our database.")], THREAD)) == "frontier"


def test_parallel_branches_of_a_thread_do_not_bind_each_other() -> None:
    """A map step asks many things at once in one thread."""
    model = router()
    asked = [f"Plan move {n}." if n % 2 else f"What is {n}?" for n in range(40)]
    asked = [text.replace("Plan move", "Plan the move of table") for text in asked]
    with ThreadPoolExecutor(8) as pool:
        routes = list(pool.map(lambda text: route_of(model.invoke(text, THREAD)), asked))
    assert routes == ["frontier" if n % 2 else "cheap" for n in range(40)]


def test_a_turn_stays_with_its_route_also_when_its_messages_are_read_anew() -> None:
    """Messages from a checkpoint are new objects; the question is the same."""
    model, call = router(), {"name": "look", "args": {}, "id": "c1"}
    for _ in range(2):
        asked = [HumanMessage("Plan the migration of our database.")]
        assert route_of(model.invoke(asked, THREAD)) == "frontier"
        loop = [*asked, AIMessage("", tool_calls=[call]), ToolMessage("done", tool_call_id="c1")]
        answer = model.invoke(loop, {**THREAD, "metadata": {"langroute_step_kind": "observe"}})
        assert route_of(answer) == "frontier"
        assert answer.response_metadata["langroute"]["reason"] == "stays with the turn's route"
