"""A whole subgraph runs on one route, its result is checked, and what is rejected is run again on the next route."""

from __future__ import annotations

import asyncio
import operator
import threading
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from langroute import Budget, ChatRouter, Route, RouteSubtask, open_ledger, record_outcome
from langroute.core.errors import (
    BudgetExceededError,
    ConfigurationError,
    ConfigurationWarning,
    DegradedWarning,
    InputError,
    SubtaskUndoError,
)
from langroute.core.records import Decision, Verdict
from langroute.core.task_context import task
from langroute.policies.fixed import Fixed
from langroute.reports.build import build_report
from langroute.reports.window import Window
from langroute.testing import ScriptedModel
from langroute.verifiers import Judge

CHEAP, FRONTIER = {"input": 1.0, "output": 10.0}, {"input": 10.0, "output": 100.0}


class Work(TypedDict, total=False):
    """State of the subgraphs here: a log of what their steps said."""

    said: Annotated[list[str], operator.add]
    steps: int
    routing: dict[str, Any]


def routed(cheap: Any = "41", frontier: Any = "42", **options: Any) -> ChatRouter:
    routes = {
        "cheap": Route(cheap if isinstance(cheap, ScriptedModel) else ScriptedModel(cheap), price=CHEAP),
        "frontier": Route(frontier if isinstance(frontier, ScriptedModel) else ScriptedModel(frontier), price=FRONTIER),
    }
    return ChatRouter(routes, **options)


def two_steps(model: Any) -> Any:
    """A subgraph whose two nodes each call the model."""

    def step(state: Work) -> Work:
        return {"said": [model.invoke("What is 6 * 7?").content]}

    async def astep(state: Work) -> Work:
        return {"said": [(await model.ainvoke("What is 6 * 7?")).content]}

    from langchain_core.runnables import RunnableLambda

    graph = StateGraph(Work)
    for name in ("first", "second"):
        graph.add_node(name, RunnableLambda(step, astep))
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    return graph.compile()


def right(result: Any) -> bool:
    return all(said == "42" for said in result["said"])


def routes_of(record: dict[str, Any]) -> list[str]:
    return [attempt["route"] for attempt in record["attempts"]]


def steps_of(model: ChatRouter) -> list[Decision]:
    return [one for one in model.router.ledger.decisions if not one.subtask]


def subtasks_of(model: ChatRouter) -> list[Decision]:
    return [one for one in model.router.ledger.decisions if one.subtask]


# One route for all steps --------------------------------------------------------------------------------------------------


def test_every_step_of_an_attempt_goes_to_its_route() -> None:
    """Not step by step, as the router itself would choose: the whole subgraph is on one route."""
    model = routed(policy=Fixed("frontier"))
    node = RouteSubtask(two_steps(model), model, verify=right, record_key="routing")

    result = node.invoke({"said": []})

    assert result["said"] == ["42", "42"]
    assert routes_of(result["routing"]) == ["cheap", "frontier"]
    assert [one.route for one in steps_of(model)] == ["cheap", "cheap", "frontier", "frontier"]


async def test_async_goes_the_same_way() -> None:
    """Coroutines carry the route along."""
    model = routed()
    node = RouteSubtask(two_steps(model), model, verify=right, record_key="routing")

    result = await node.ainvoke({"said": []})

    assert result["said"] == ["42", "42"]
    assert [one.route for one in steps_of(model)] == ["cheap", "cheap", "frontier", "frontier"]


async def test_subtasks_side_by_side_do_not_mix() -> None:
    """The route is the task's own: in threads and in coroutines that run at once."""
    model = routed()
    barrier = threading.Barrier(2, timeout=20)

    def slow(state: Work) -> Work:
        said = [model.invoke("What is 6 * 7?").content]
        if state.get("steps") == 1:
            barrier.wait()
        return {"said": [*said, model.invoke("Again?").content]}

    one = RouteSubtask(slow, model, verify=lambda result: True, policy=Fixed("cheap"))
    other = RouteSubtask(slow, model, verify=lambda result: True, policy=Fixed("frontier"))

    results = await asyncio.gather(*(asyncio.to_thread(node.invoke, {"steps": 1}) for node in (one, other)))

    assert [result["said"] for result in results] == [["41", "41"], ["42", "42"]]
    assert model.invoke("And after?").response_metadata["langroute"]["rejected"] == {}


def test_tools_threads_and_inner_agents_stay_on_the_route() -> None:
    """A sub-agent inside a tool inside an agent has its own router with the same routes."""
    inner = routed("inner cheap", "inner frontier")
    asks = AIMessage("", tool_calls=[{"name": "ask", "args": {"what": "?"}, "id": "1"}])
    model = routed(ScriptedModel(asks, "cheap said"), ScriptedModel(asks.model_copy(), "frontier said"))

    @tool
    def ask(what: str) -> str:
        """Ask another agent."""
        return str(create_agent(inner).invoke({"messages": what})["messages"][-1].content)

    node = RouteSubtask(
        create_agent(model, [ask]),
        model,
        verify=lambda r: "frontier" in r["messages"][-1].content,
        repeatable=True,
        record_key="routing",
    )
    result = node.invoke({"messages": [HumanMessage("Go.")]})

    assert [m.content for m in result["messages"] if isinstance(m, ToolMessage)] == ["inner frontier"]
    assert [one.route for one in steps_of(inner)] == ["cheap", "frontier"]
    cost = sum(one.cost_usd or 0 for one in (*steps_of(model), *steps_of(inner)))
    assert result["routing"]["cost_usd"] == pytest.approx(cost)


def test_a_subtask_in_a_subtask_stays_on_the_outer_route_and_its_cost_is_counted_once() -> None:
    model = routed()
    inner = RouteSubtask(two_steps(model), model, verify=right)
    outer = RouteSubtask(lambda state: inner.invoke(state), model, verify=right, record_key="routing")

    result = outer.invoke({"said": []})

    assert [one.route for one in steps_of(model)] == ["cheap", "cheap", "frontier", "frontier"]
    assert result["routing"]["cost_usd"] == pytest.approx(sum(one.cost_usd or 0 for one in steps_of(model)))


def test_a_callers_own_route_goes_before_the_cascade() -> None:
    """`route` in the config holds for everything."""
    model = routed()
    node = RouteSubtask(two_steps(model), model, verify=right, record_key="routing")

    result = node.invoke({"said": []}, {"configurable": {"route": "cheap"}})

    assert routes_of(result["routing"]) == ["cheap"]
    assert result["routing"]["attempts"][0]["score"] == 0.0


def test_a_subtask_without_the_router_inside_is_told_of_and_not_repeated() -> None:
    """Running it again on another route would change nothing and cost as much."""
    model, stranger = routed(), ScriptedModel("41")
    node = RouteSubtask(lambda state: {"said": [stranger.invoke("?").content]}, model, verify=right, record_key="routing")

    with pytest.warns(ConfigurationWarning, match="went through a router"):
        result = node.invoke({"said": []})

    assert len(stranger.calls) == 1
    assert result["routing"]["problems"] == ["not run again on frontier: none of its steps goes through the router"]


# Verdicts -----------------------------------------------------------------------------------------------------------------


def test_checks_may_be_functions_verifiers_and_coroutines() -> None:
    model = routed()

    async def close(start: Any, result: Any) -> Verdict:
        return Verdict("close", 1.0 if start["steps"] == 3 and result["said"][0] == "42" else 0.2, "too far")

    def tests_pass(result: Any) -> bool:
        assert result["said"] == ["42", "42"], "said is not 42"
        return True

    node = RouteSubtask(two_steps(model), model, verify=[close, tests_pass], record_key="routing")
    result = node.invoke({"said": [], "steps": 3})

    first, second = subtasks_of(model)[0].attempts
    told = [(one.verifier, one.score, one.reason.partition("\n")[0]) for one in first.verdicts]
    assert told == [("close", 0.2, "too far"), ("tests_pass", 0.0, "said is not 42")]
    assert second.score == 1.0
    assert asyncio.run(node.ainvoke({"said": [], "steps": 3}))["said"] == ["42", "42"]
    assert result["routing"]["attempts"][0]["verdict"].startswith("score 0.00: tests_pass")


def test_a_verifier_judges_the_last_message_and_its_cost_is_the_subtasks() -> None:
    """A judge is paid for each result; the ledger counts that once, beside the steps."""
    model = routed()
    judge = ScriptedModel('{"score": 0.1, "reason": "wrong"}', '{"score": 0.9, "reason": "right"}')
    node = RouteSubtask(
        create_agent(model), model, verify=Judge(ChatRouter({"judge": Route(judge, price=CHEAP)})), record_key="routing"
    )
    with task("t1"):
        result = node.invoke({"messages": [HumanMessage("What is 6 * 7?")]})

    totals = model.router.ledger.task("t1")
    steps = sum(one.cost_usd or 0 for one in steps_of(model))
    assert routes_of(result["routing"]) == ["cheap", "frontier"]
    assert result["routing"]["cost_usd"] > steps
    assert totals.judges == 2
    assert totals.cost_usd == pytest.approx(result["routing"]["cost_usd"])


def test_a_check_that_raises_accepts_nothing_and_says_so() -> None:
    """Unchecked is not accepted: the promise of a cascade rests on its check."""
    model = routed()

    def broken(result: Any) -> bool:
        raise OSError("no tests here")

    node = RouteSubtask(two_steps(model), model, verify=broken, record_key="routing")
    with pytest.warns(DegradedWarning, match="verifier broken failed"):
        result = node.invoke({"said": []})

    assert routes_of(result["routing"]) == ["cheap", "frontier"]
    assert result["said"] == ["42", "42"]
    assert result["routing"]["problems"] == ["verifier broken failed: OSError: no tests here"] * 2
    assert [one["score"] for one in result["routing"]["attempts"]] == [None, None]


def test_the_best_of_the_rejected_is_kept_and_told() -> None:
    model = routed("41 and more", "40")
    node = RouteSubtask(
        lambda state: {"said": [model.invoke("?").content]},
        model,
        verify=lambda r: 0.4 if "41" in r["said"][0] else 0.1,
        record_key="routing",
    )
    result = node.invoke({})

    assert result["said"] == ["41 and more"]
    assert result["routing"]["route"] == "cheap"
    assert [one["score"] for one in result["routing"]["attempts"]] == [0.4, 0.1]


# Errors, budgets, side effects ---------------------------------------------------------------------------------------------


def test_a_route_that_fails_or_leads_nowhere_is_followed_by_the_next() -> None:
    """An outage of the cheap model, and an agent that turns in circles."""
    down = routed(ScriptedModel(ConnectionError("down")), max_retries=0)
    result = RouteSubtask(two_steps(down), down, verify=right, record_key="routing").invoke({"said": []})
    assert [one["verdict"] for one in result["routing"]["attempts"]] == ["failed: ConnectionError", "accepted"]

    @tool
    def look(where: str) -> str:
        """Look."""
        return "nothing"

    circle = routed(ScriptedModel(lambda _: AIMessage("", tool_calls=[{"name": "look", "args": {"where": "x"}, "id": "1"}])))
    node = RouteSubtask(create_agent(circle, [look]), circle, verify=lambda r: True, repeatable=["look"], record_key="routing")
    result = node.invoke({"messages": [HumanMessage("Go.")]}, {"recursion_limit": 9})
    assert [one["verdict"] for one in result["routing"]["attempts"]] == ["failed: GraphRecursionError", "accepted"]


def test_an_error_of_the_program_itself_is_raised_and_what_was_spent_is_recorded() -> None:
    model = routed()

    def faulty(state: Work) -> Work:
        model.invoke("?")
        raise KeyError("a fault in the node")

    with pytest.raises(KeyError):
        RouteSubtask(faulty, model, verify=right).invoke({"said": []})

    [told] = subtasks_of(model)
    assert told.route is None
    assert [(one.route, one.error_type) for one in told.attempts] == [("cheap", "KeyError")]
    assert len(steps_of(model)) == 1


def test_where_every_route_fails_the_error_names_them() -> None:
    model = routed(ScriptedModel(ConnectionError("down")), ScriptedModel(TimeoutError("slow")), max_retries=0)
    with pytest.raises(Exception, match="cheap: ConnectionError: down") as raised:
        RouteSubtask(two_steps(model), model, verify=right).invoke({"said": []})
    assert "frontier: TimeoutError: slow" in str(raised.value)


def test_what_called_tools_is_not_repeated_without_an_undo() -> None:
    """A payment must not be made twice."""
    paid: list[int] = []

    @tool
    def pay(usd: int) -> str:
        """Pay."""
        paid.append(usd)
        return "paid"

    def asks() -> Any:
        return ScriptedModel(AIMessage("", tool_calls=[{"name": "pay", "args": {"usd": 5}, "id": "1"}]), "done")

    model = routed(asks(), asks())
    agent = create_agent(model, [pay])
    result = RouteSubtask(agent, model, verify=lambda r: False, record_key="routing").invoke({"messages": [HumanMessage("Pay 5.")]})

    assert paid == [5]
    assert result["messages"][-1].content == "done"
    assert result["routing"]["problems"] == ["not run again on frontier: it called pay, and there is no undo"]

    model = routed(asks(), asks())
    undone: list[Any] = []

    async def refund(start: Any, result: Any) -> None:
        undone.append((len(start["messages"]), result["messages"][-1].content))
        paid.pop()

    node = RouteSubtask(
        create_agent(model, [pay]),
        model,
        verify=lambda r: r["messages"][1].response_metadata["langroute"]["route"] == "frontier",
        undo=refund,
    )
    node.invoke({"messages": [HumanMessage("Pay 5.")]})
    assert paid == [5, 5]
    assert undone == [(1, "done")]


def test_an_answer_in_a_schema_is_no_tool() -> None:
    """Structured output may look like a tool call; it has no effects that an undo would have to undo."""
    from pydantic import BaseModel

    class Sum(BaseModel):
        """A sum."""

        total: int

    def says(total: int) -> ScriptedModel:
        return ScriptedModel(AIMessage("", tool_calls=[{"name": "Sum", "args": {"total": total}, "id": "1"}]))

    model = routed(says(41), says(42))
    node = RouteSubtask(create_agent(model, response_format=Sum), model, verify=lambda r: r["structured_response"].total == 42)
    assert node.invoke({"messages": [HumanMessage("6 * 7?")]})["structured_response"].total == 42


def test_an_undo_that_raises_stops_and_can_be_resumed(tmp_path: Path) -> None:
    """Nothing is run on what is half undone; after a resume `undo` is called again, and the attempt is not repeated."""
    model = routed()
    broken = [True]

    def undo(start: Any, result: Any) -> None:
        if broken[0]:
            raise OSError("disk full")

    graph = StateGraph(Work)
    graph.add_node("fix", RouteSubtask(two_steps(model), model, verify=right, undo=undo, record_key="routing"))
    graph.add_edge(START, "fix")
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    with pytest.raises(SubtaskUndoError, match="could not be undone") as raised:
        app.invoke({"said": []}, config)
    assert isinstance(raised.value.__cause__, OSError)
    assert [one.route for one in steps_of(model)] == ["cheap", "cheap"]

    broken[0] = False
    result = app.invoke(None, config)
    assert result["said"] == ["42", "42"]
    assert [one.route for one in steps_of(model)] == ["cheap", "cheap", "frontier", "frontier"]
    assert routes_of(result["routing"]) == ["cheap", "frontier"]


def test_what_was_undone_is_not_kept_even_where_it_scored_better() -> None:
    model = routed("41", "40")
    node = RouteSubtask(
        lambda state: {"said": [model.invoke("?").content]},
        model,
        verify=lambda r: 0.4 if r["said"] == ["41"] else 0.1,
        undo=lambda start, result: None,
        record_key="routing",
    )
    result = node.invoke({})
    assert result["said"] == ["40"]
    assert result["routing"]["route"] == "frontier"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_budget_that_runs_out_between_attempts_keeps_what_there_is(asynchronous: bool) -> None:
    """It is noticed before the undo, which would leave nothing."""
    undone: list[Any] = []
    model = routed(budget=Budget(0.0002, per="task", soft=1), max_tokens=10)
    node = RouteSubtask(two_steps(model), model, verify=right, undo=lambda *_: undone.append(1), record_key="routing")
    with task("t1"):
        result = asyncio.run(node.ainvoke({"said": []})) if asynchronous else node.invoke({"said": []})

    assert result["said"] == ["41", "41"]
    assert undone == []
    assert result["routing"]["problems"] == ["not run again on frontier: its budget is used up"]
    assert [one.route for one in steps_of(model)] == ["cheap", "cheap"]


def test_a_budget_that_runs_out_within_an_attempt_ends_it() -> None:
    """The first attempt has nothing to keep, so the error is the caller's."""
    model = routed(budget=Budget(0.00016, per="task", soft=1), max_tokens=15)
    node = RouteSubtask(two_steps(model), model, verify=right)
    with task("t1"), pytest.raises(BudgetExceededError):
        node.invoke({"said": []})


def test_an_attempt_that_changes_its_state_in_place_leaves_the_next_one_the_beginning() -> None:
    model = routed()

    def careless(state: Work) -> Work:
        state["said"].append(model.invoke("?").content)
        return state

    result = RouteSubtask(careless, model, verify=right).invoke({"said": []})
    assert result["said"] == ["42"]


def test_branches_side_by_side_are_all_on_the_route_and_in_the_cost() -> None:
    """A fan-out of eight, in threads."""
    model = routed()
    graph = StateGraph(Work)
    for name in "abcdefgh":
        graph.add_node(name, lambda state: {"said": [model.invoke("What is 6 * 7?").content]})
        graph.add_edge(START, name)
    result = RouteSubtask(graph.compile(), model, verify=right, record_key="routing").invoke({"said": []})
    assert [one.route for one in steps_of(model)] == ["cheap"] * 8 + ["frontier"] * 8
    assert result["routing"]["cost_usd"] == pytest.approx(sum(one.cost_usd or 0 for one in steps_of(model)))
    [told] = subtasks_of(model)
    assert told.attempts[0].usage is not None
    assert told.attempts[0].usage.output_tokens == 8


# Handing over ---------------------------------------------------------------------------------------------------------------


def test_the_next_route_may_go_on_from_what_was_rejected() -> None:
    """With what was found wrong as a message; tools that were called are not called again, so no undo is needed."""
    heard: list[Any] = []
    model = routed("41", ScriptedModel(lambda messages: heard.append([m.content for m in messages]) or "42"))

    def is_42(result: Any) -> Verdict:
        return Verdict("is_42", float(result["messages"][-1].content == "42"), "6 * 7 is not 41")

    node = RouteSubtask(create_agent(model), model, verify=is_42, restart=False)
    result = node.invoke({"messages": [HumanMessage("6 * 7?")]})

    told = "This result was checked and not accepted.\nis_42: 6 * 7 is not 41\nGo on from here and put it right."
    assert heard == [["6 * 7?", "41", told]]
    assert [m.content for m in result["messages"]] == ["6 * 7?", "41", told, "42"]


def test_a_handover_of_the_users_own_adds_to_the_beginning() -> None:
    heard: list[Any] = []
    model = routed("41", ScriptedModel(lambda messages: heard.append([m.content for m in messages]) or "42"))

    async def hint(result: Any, verdicts: Any) -> dict[str, Any]:
        return {"messages": [HumanMessage(f"It is not {result['messages'][-1].content}.")]}

    node = RouteSubtask(create_agent(model), model, verify=lambda r: r["messages"][-1].content == "42", handover=hint)
    result = node.invoke({"messages": [HumanMessage("6 * 7?")]})

    assert heard == [["6 * 7?", "It is not 41."]]
    assert result["messages"][-1].content == "42"


# Graphs: streams, interrupts, checkpoints -------------------------------------------------------------------------------------


def in_graph(node: Any, saver: Any = None) -> Any:
    class Outer(MessagesState):
        routing: dict[str, Any]

    graph = StateGraph(Outer)
    graph.add_node("fix", node)
    graph.add_edge(START, "fix")
    graph.add_edge("fix", END)
    return graph.compile(checkpointer=saver)


def agent_node(model: ChatRouter, **options: Any) -> RouteSubtask:
    return RouteSubtask(
        create_agent(model), model, verify=lambda r: r["messages"][-1].content == "42", record_key="routing", **options
    )


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_rejected_attempt_reaches_no_reader_of_the_graph(asynchronous: bool) -> None:
    """Updates, values and messages show what the node returned, as for any subgraph that is a node."""
    model = routed("41", "42")
    app = in_graph(agent_node(model))

    def read(mode: str) -> list[Any]:
        given = {"messages": [HumanMessage("6 * 7?")]}
        if not asynchronous:
            return list(app.stream(given, stream_mode=mode))

        async def collect() -> list[Any]:
            return [part async for part in app.astream(given, stream_mode=mode)]

        return asyncio.run(collect())

    [update] = read("updates")
    assert [m.content for m in update["fix"]["messages"]] == ["6 * 7?", "42"]
    assert [part[0].content for part in read("messages")] == ["42"]
    assert [[m.content for m in state["messages"]] for state in read("values")] == [["6 * 7?"], ["6 * 7?", "42"]]


def test_tokens_of_an_attempt_that_may_be_rejected_are_held_back() -> None:
    """A reader of the subgraphs sees the last attempt's tokens as they come, an earlier one's answer only whole, under its own namespace."""
    model = routed("forty one", "42 or so")
    node = RouteSubtask(create_agent(model), model, verify=lambda r: "42" in r["messages"][-1].content)
    parts = list(in_graph(node).stream({"messages": [HumanMessage("?")]}, stream_mode="messages", subgraphs=True))

    said: dict[str, list[str]] = {}
    for namespace, (message, _) in parts:
        said.setdefault(namespace[-1].partition(":")[0] + namespace[-1][-4:], []).append(message.content)
    first, second = [texts for name, texts in said.items() if name.startswith("attempt")]
    assert first == ["forty one"]
    assert second[:3] == ["42 ", "or ", "so"]


async def test_events_say_how_each_attempt_went() -> None:
    model = routed("41", "42")
    app = in_graph(agent_node(model))
    events = [
        e async for e in app.astream_events({"messages": [HumanMessage("?")]}, version="v2") if e["event"] == "on_custom_event"
    ]

    told = [(e["data"]["what"], e["data"]["route"], e["data"]["attempt"]) for e in events if e["name"] == "langroute_subtask"]
    assert told == [("started", "cheap", 0), ("rejected", "cheap", 0), ("started", "frontier", 1), ("accepted", "frontier", 1)]
    [decision] = [e["data"] for e in events if e["name"] == "langroute_decision" and e["data"]["step"]["kind"] == "subtask"]
    assert decision["step"]["node"] == "fix"


def test_custom_events_of_the_subgraph_pass_through() -> None:
    from langgraph.config import get_stream_writer

    model = routed("41", "42")

    def work(state: Work) -> Work:
        said = model.invoke("?").content
        get_stream_writer()({"said": said})
        return {"said": [said]}

    graph = StateGraph(Work)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    outer = StateGraph(Work)
    outer.add_node("fix", RouteSubtask(graph.compile(), model, verify=right))
    outer.add_edge(START, "fix")
    parts = list(outer.compile().stream({"said": []}, stream_mode="custom", subgraphs=True))
    assert [part for _, part in parts] == [{"said": "41"}, {"said": "42"}]


def asking(model: ChatRouter, asked_on: str) -> Any:
    """A subgraph of three steps: one calls the model, one asks a person where the first said so, one calls the model again."""

    def ask(state: Work) -> Work:
        if state["said"][-1] == asked_on:
            return {"said": [f"person: {interrupt('Go on?')}"]}
        return {}

    def call(state: Work) -> Work:
        return {"said": [model.invoke("?").content]}

    graph = StateGraph(Work)
    graph.add_node("before", call)
    graph.add_node("ask", ask)
    graph.add_node("after", call)
    graph.add_edge(START, "before")
    graph.add_edge("before", "ask")
    graph.add_edge("ask", "after")
    return graph.compile()


@pytest.mark.parametrize("asked_on", ["41", "42"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_interrupt_is_resumed_within_its_attempt(asked_on: str, asynchronous: bool) -> None:
    """Neither the attempts before it nor the steps of its own attempt are made again."""
    model = routed("41", "42")
    node = RouteSubtask(asking(model, asked_on), model, verify=lambda r: r["said"][-1] == "42", record_key="routing")
    graph = StateGraph(Work)
    graph.add_node("fix", node)
    graph.add_edge(START, "fix")
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    def run(given: Any) -> Any:
        return asyncio.run(app.ainvoke(given, config)) if asynchronous else app.invoke(given, config)

    assert run({"said": []})["__interrupt__"][0].value == "Go on?"
    made = len(steps_of(model))
    assert made == (1 if asked_on == "41" else 3)
    assert subtasks_of(model) == []

    result = run(Command(resume="yes"))
    assert [one.route for one in steps_of(model)] == ["cheap", "cheap", "frontier", "frontier"]
    assert result["said"] == (["42", "42"] if asked_on == "41" else ["42", "person: yes", "42"])
    [told] = subtasks_of(model)
    assert [one.route for one in told.attempts] == ["cheap", "frontier"]
    # The cost of the steps before the interrupt is part of the attempt's.
    assert told.cost_usd == pytest.approx(sum(one.cost_usd or 0 for one in steps_of(model)))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_check_may_ask_a_person(asynchronous: bool) -> None:
    """An interrupt in the check pauses the graph between attempts; in an event loop the check runs in a thread."""
    model = routed("41", "42")
    app = in_graph(
        RouteSubtask(
            create_agent(model), model, verify=lambda r: interrupt(r["messages"][-1].content) == "fine", record_key="routing"
        ),
        InMemorySaver(),
    )
    config: Any = {"configurable": {"thread_id": "t"}}

    def run(given: Any) -> Any:
        return asyncio.run(app.ainvoke(given, config)) if asynchronous else app.invoke(given, config)

    assert run({"messages": [HumanMessage("?")]})["__interrupt__"][0].value == "41"
    assert run(Command(resume="no"))["__interrupt__"][0].value == "42"
    result = run(Command(resume="fine"))
    assert [one["verdict"] for one in result["routing"]["attempts"]] == ["score 0.00: <lambda>", "accepted"]
    assert [one.route for one in steps_of(model)] == ["cheap", "frontier"]


def test_the_next_turn_of_a_thread_begins_anew() -> None:
    """Nothing of a finished subtask is left over for the next one in the thread."""
    model = routed(ScriptedModel("41", "42"), "42")
    app = in_graph(agent_node(model), InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    first = app.invoke({"messages": [HumanMessage("?")]}, config)
    second = app.invoke({"messages": [HumanMessage("And now?")]}, config)

    assert routes_of(first["routing"]) == ["cheap", "frontier"]
    assert routes_of(second["routing"]) == ["cheap"]
    assert [m.content for m in second["messages"]] == ["?", "42", "And now?", "42"]


# The ledger -------------------------------------------------------------------------------------------------------------------


def test_a_ledger_has_the_attempts_and_counts_their_cost_once(tmp_path: Path) -> None:
    """On SQLite as in memory: steps are billed, the attempts stand beside them."""
    totals = []
    for ledger in (None, open_ledger(tmp_path / "ledger.db")):
        model = routed(ledger=ledger)
        node = RouteSubtask(two_steps(model), model, verify=right, record_key="routing")
        with task("t1"):
            result = node.invoke({"said": []})
        record_outcome(node, True, decision_id=result["routing"]["decision_id"], source="user")
        kept = model.router.ledger
        kept.flush()
        decision = kept.get(result["routing"]["decision_id"])
        assert decision.subtask
        assert [(one.route, one.score) for one in decision.attempts] == [("cheap", 0.0), ("frontier", 1.0)]
        assert decision.attempts[0].cost_usd == pytest.approx(2 * (7 * 1 + 1 * 10) / 1e6)
        found = kept.task("t1")
        assert found.calls == 4
        # Frontier alone would have made its two calls; that the cheap ones would have cost more there is no saving.
        frontier = 2 * (7 * 10 + 1 * 100) / 1e6
        assert result["routing"]["baseline_cost_usd"] == pytest.approx(frontier)
        assert result["routing"]["saved_usd"] == pytest.approx(frontier - found.cost_usd)
        if ledger is not None:
            # Each step says to which attempt at which subtask it belongs.
            with kept.reading() as connection:
                ids = connection.exec_driver_sql("SELECT id FROM decisions").scalars().all()
            inside = [str(kept.get(one).metadata.get("langroute_subtask")) for one in ids if one != decision.id]
            assert sorted(inside) == [f"{decision.id}/{attempt}" for attempt in (0, 0, 1, 1)]
            savings = build_report(kept, Window.since("1d")).savings
            assert savings.net_usd == pytest.approx(frontier - found.cost_usd)
            assert savings.compared == savings.decisions == 5
        assert found.cost_usd == pytest.approx(result["routing"]["cost_usd"])
        assert found.success is True
        totals.append((found.decisions, found.escalations, found.usage, dict(found.by_route)))
        kept.close()
    assert totals[0] == totals[1]


def test_hooks_hear_of_a_subtask_without_what_they_have_heard_of() -> None:
    """Whoever adds up what a hook hears counts every call once."""
    spent: list[float] = []
    saved: list[float] = []

    class Meter:
        def on_decision(self, decision: Decision) -> None:
            spent.append(decision.cost_usd or 0.0)
            saved.append(decision.saved_usd or 0.0)

        def on_outcome(self, outcome: Any) -> None: ...

    model = routed(hooks=[Meter()])
    result = RouteSubtask(two_steps(model), model, verify=right, record_key="routing").invoke({"said": []})
    assert len(spent) == 5
    assert sum(spent) == pytest.approx(result["routing"]["cost_usd"])
    assert sum(saved) == pytest.approx(result["routing"]["saved_usd"])


# Agents -----------------------------------------------------------------------------------------------------------------------


def test_a_long_agent_is_not_cut_short_by_the_graph_around_it() -> None:
    """An agent's own limit of super-steps holds inside of a subtask too."""

    @tool
    def look(where: str) -> str:
        """Look."""
        return "seen"

    looks = [AIMessage("", tool_calls=[{"name": "look", "args": {"where": str(n)}, "id": str(n)}]) for n in range(30)]
    model = routed(ScriptedModel(*looks, "42"))
    result = in_graph(
        RouteSubtask(create_agent(model, [look]), model, verify=lambda r: r["messages"][-1].content == "42", record_key="routing")
    ).invoke({"messages": [HumanMessage("?")]})
    assert routes_of(result["routing"]) == ["cheap"]


def test_sub_agents_of_a_deep_agent_stay_on_the_route() -> None:
    """They call the deep agent's own model, which is the router."""
    deepagents = pytest.importorskip("deepagents", reason="deepagents is not installed")
    delegates = AIMessage(
        "", tool_calls=[{"name": "task", "args": {"description": "Count.", "subagent_type": "general-purpose"}, "id": "1"}]
    )
    model = routed(ScriptedModel(delegates, "sub: 41", "41"), ScriptedModel(delegates.model_copy(), "sub: 42", "42"))
    node = RouteSubtask(
        deepagents.create_deep_agent(model=model),
        model,
        verify=lambda r: r["messages"][-1].content == "42",
        repeatable=["task"],
        record_key="routing",
    )
    result = node.invoke({"messages": [HumanMessage("?")]})
    assert [m.content for m in result["messages"] if isinstance(m, ToolMessage)] == ["sub: 42"]
    assert [one.route for one in steps_of(model)] == ["cheap"] * 3 + ["frontier"] * 3


def test_telemetry_counts_the_calls_of_a_subtask_once() -> None:
    """Its attempts are no calls of models: those inside have been counted, with their cost."""
    client = pytest.importorskip("prometheus_client", reason="needs the extra `prometheus`")
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from langroute.hooks import OTelHook, PrometheusHook

    registry, exporter, tracers = client.CollectorRegistry(), InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    model = routed(hooks=[PrometheusHook(registry), OTelHook(tracers)])
    result = RouteSubtask(two_steps(model), model, verify=right, record_key="routing").invoke({"said": []})

    samples = [sample for metric in registry.collect() for sample in metric.samples]
    assert sum(one.value for one in samples if one.name == "langroute_calls_total") == 4
    spent = sum(one.value for one in samples if one.name == "langroute_cost_usd_total")
    assert spent == pytest.approx(result["routing"]["cost_usd"])
    names = [span.name for span in exporter.get_finished_spans()]
    assert names.count("chat scripted") == 4
    assert names[-3:] == ["langroute attempt", "langroute attempt", "langroute decide"]


# Arguments --------------------------------------------------------------------------------------------------------------------


def test_arguments_are_checked_when_it_is_made() -> None:
    model = routed()
    with pytest.raises(ConfigurationError, match="given the router"):
        RouteSubtask(two_steps(model), ScriptedModel("Hi."), verify=right)
    with pytest.raises(ConfigurationError, match="not the class"):
        RouteSubtask(two_steps(model), model, verify=Judge)
    with pytest.raises(InputError, match="record_key has nowhere to go"):
        RouteSubtask(lambda state: model.invoke("?").content, model, verify=lambda said: True, record_key="routing").invoke({})
    with pytest.raises(ConfigurationError, match="needs a check"):
        RouteSubtask(two_steps(model), model, verify=[])
    with pytest.raises(ConfigurationError, match="undo is a function"):
        RouteSubtask(two_steps(model), model, verify=right, undo="git reset")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="routes or a policy"):
        RouteSubtask(two_steps(model), model, verify=right, routes=["cheap"], policy=Fixed("cheap"))
    with pytest.raises(ConfigurationError, match="Unknown route 'tiny'"):
        RouteSubtask(two_steps(model), model, verify=right, routes=["tiny", "frontier"])
    remembers = StateGraph(Work).add_node("a", lambda s: s).add_edge(START, "a").compile(checkpointer=True)
    with pytest.raises(ConfigurationError, match="remembers rejected attempts"):
        RouteSubtask(remembers, model, verify=right)
