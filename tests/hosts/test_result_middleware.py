"""An agent whose result is checked goes back to its model on the next route."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langroute import ChatRouter, Route, RouterMiddleware
from langroute.core.errors import ConfigurationError, SubtaskUndoError
from langroute.core.records import Decision, Verdict
from langroute.core.task_context import task
from langroute.testing import ScriptedModel

CHEAP, FRONTIER = {"input": 1.0, "output": 10.0}, {"input": 10.0, "output": 100.0}


def routed(cheap: Any = "41", frontier: Any = "42", **options: Any) -> RouterMiddleware:
    given = {
        name: one if isinstance(one, ScriptedModel) else ScriptedModel(one)
        for name, one in (("cheap", cheap), ("frontier", frontier))
    }
    routes = {"cheap": Route(given["cheap"], price=CHEAP), "frontier": Route(given["frontier"], price=FRONTIER)}
    return RouterMiddleware(routes, verify_result=options.pop("verify_result", says_42), **options)


def says_42(state: Any) -> bool:
    return state["messages"][-1].content == "42"


def agent(middleware: Any, tools: Any = (), **options: Any) -> Any:
    return create_agent(ScriptedModel("never asked"), list(tools), middleware=[middleware], **options)


def steps_of(middleware: Any) -> list[Decision]:
    return [one for one in middleware.model.router.ledger.decisions if not one.subtask]


def texts(result: Any) -> list[Any]:
    return [message.content for message in result["messages"]]


def call(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1"}])


NOTE = "This result was checked and not accepted.\nsays_42: not passed\nGo on from here and put it right."


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_a_rejected_result_goes_back_to_the_model_on_the_next_route(restart: bool, asynchronous: bool) -> None:
    """Handed over with what was wrong, or begun anew; the result says how the attempts went."""
    middleware = routed(restart=restart)
    asked, given = agent(middleware), {"messages": [HumanMessage("6 * 7?")]}
    with task("t1"):
        result = asyncio.run(asked.ainvoke(given)) if asynchronous else asked.invoke(given)

    assert texts(result) == (["6 * 7?", "42"] if restart else ["6 * 7?", "41", NOTE, "42"])
    told = result["langroute_result"]
    assert [(one["route"], one["score"]) for one in told["attempts"]] == [("cheap", 0.0), ("frontier", 1.0)]
    assert [one.route for one in steps_of(middleware)] == ["cheap", "frontier"]
    assert told["cost_usd"] == pytest.approx(sum(one.cost_usd or 0 for one in steps_of(middleware)))
    assert middleware.model.router.ledger.task("t1").cost_usd == pytest.approx(told["cost_usd"])


def test_every_step_of_an_attempt_and_the_agents_in_its_tools_stay_on_its_route() -> None:
    inner = ChatRouter({"cheap": ScriptedModel("inner cheap"), "frontier": ScriptedModel("inner frontier")})

    @tool
    def ask(what: str) -> str:
        """Ask another agent."""
        return str(create_agent(inner).invoke({"messages": what})["messages"][-1].content)

    middleware = routed(
        ScriptedModel(call("ask", what="?"), "41"), ScriptedModel(call("ask", what="?"), "42"), restart=True, repeatable=["ask"]
    )
    result = agent(middleware, [ask]).invoke({"messages": [HumanMessage("6 * 7?")]})

    assert [m.content for m in result["messages"] if isinstance(m, ToolMessage)] == ["inner frontier"]
    assert [one.route for one in steps_of(middleware)] == ["cheap", "cheap", "frontier", "frontier"]
    assert [one.route for one in inner.router.ledger.decisions] == ["cheap", "frontier"]


def test_tools_with_effects_are_called_again_only_with_an_undo() -> None:
    paid: list[int] = []

    @tool
    def pay(usd: int) -> str:
        """Pay."""
        paid.append(usd)
        return "paid"

    def both() -> Any:
        return ScriptedModel(call("pay", usd=5), "41"), ScriptedModel(call("pay", usd=5), "42")

    result = agent(routed(*both(), restart=True), [pay]).invoke({"messages": [HumanMessage("Pay.")]})
    assert paid == [5]
    assert result["langroute_result"]["problems"] == ["not run again on frontier: it called pay, and there is no undo"]

    paid.clear()
    result = agent(routed(*both(), restart=True, undo=lambda start, state: paid.clear()), [pay]).invoke(
        {"messages": [HumanMessage("Pay.")]}
    )
    assert paid == [5]
    assert texts(result)[-1] == "42"

    def broken(start: Any, state: Any) -> None:
        raise OSError("no refund")

    with pytest.raises(SubtaskUndoError, match="could not be undone"):
        agent(routed(*both(), restart=True, undo=broken), [pay]).invoke({"messages": [HumanMessage("Pay.")]})


def test_a_handover_of_the_users_own_tells_the_next_route() -> None:
    heard: list[Any] = []
    frontier = ScriptedModel(lambda messages: heard.append([m.content for m in messages]) or "42")

    async def hint(state: Any, verdicts: Any) -> dict[str, Any]:
        return {"messages": f"{verdicts[0].reason}: {state['messages'][-1].content}"}

    middleware = routed(
        "41", frontier, restart=True, handover=hint, verify_result=lambda s: Verdict("sum", float(says_42(s)), "wrong")
    )
    asyncio.run(agent(middleware).ainvoke({"messages": [HumanMessage("6 * 7?")]}))
    assert heard == [["6 * 7?", "wrong: 41"]]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_resumed_interrupt_goes_on_within_its_attempt(asynchronous: bool) -> None:
    """Another object of the same agent, as another process would have it, goes on from the checkpoint."""

    @tool
    def look(where: str) -> str:
        """Look."""
        return "seen"

    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t"}}

    def made(cheap: Any) -> tuple[Any, Any]:
        middleware = routed(cheap, ScriptedModel("42"), repeatable=["look"], restart=True)
        asking = HumanInTheLoopMiddleware(interrupt_on={"look": True})
        return middleware, create_agent(ScriptedModel("-"), [look], middleware=[middleware, asking], checkpointer=saver)

    def run(asked: Any, given: Any) -> Any:
        return asyncio.run(asked.ainvoke(given, config)) if asynchronous else asked.invoke(given, config)

    first, asked = made(ScriptedModel(call("look", where="x")))
    assert run(asked, {"messages": [HumanMessage("6 * 7?")]})["__interrupt__"]
    second, asked = made(ScriptedModel("41"))
    result = run(asked, Command(resume={"decisions": [{"type": "approve"}]}))

    assert [one.route for one in (*steps_of(first), *steps_of(second))] == ["cheap", "cheap", "frontier"]
    assert texts(result) == ["6 * 7?", "42"]
    # The first process's step is in the messages, and so in the attempt's cost.
    cost = sum(one.cost_usd or 0 for one in (*steps_of(first), *steps_of(second)))
    assert result["langroute_result"]["cost_usd"] == pytest.approx(cost)


def test_a_thread_goes_on_with_a_new_subtask() -> None:
    middleware = routed(ScriptedModel("41", "42"))
    asked = agent(middleware, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    first = asked.invoke({"messages": [HumanMessage("6 * 7?")]}, config)
    second = asked.invoke({"messages": [HumanMessage("Sure?")]}, config)
    assert len(first["langroute_result"]["attempts"]) == 2
    assert [one["route"] for one in second["langroute_result"]["attempts"]] == ["cheap"]
    assert second["langroute_result"]["cost_usd"] == pytest.approx(steps_of(middleware)[-1].cost_usd)


def test_a_route_that_fails_leaves_the_step_to_the_routers_policy() -> None:
    """An agent that runs cannot be begun anew from a failing call: the call goes elsewhere, as it does without a check."""
    middleware = routed(ScriptedModel(ConnectionError("down")), max_retries=0)
    result = agent(middleware).invoke({"messages": [HumanMessage("6 * 7?")]})
    assert texts(result)[-1] == "42"
    assert result["langroute_result"]["attempts"][0]["verdict"] == "accepted"


def test_an_agent_without_a_check_has_no_hooks_of_it() -> None:
    plain = RouterMiddleware({"cheap": ScriptedModel("41"), "frontier": ScriptedModel("42")}, verify_result=None)
    assert type(plain) is RouterMiddleware
    assert "RouterMiddleware.after_agent" not in agent(plain).get_graph().nodes
    assert "RouterMiddleware.after_agent" in agent(routed()).get_graph().nodes
    with pytest.raises(ConfigurationError, match="needs a check"):
        routed(verify_result=[])
