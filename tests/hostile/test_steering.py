"""Text that somebody else wrote steers neither money nor the route."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute import Budget, ChatRouter, Route
from langroute.core.errors import BudgetExceededError, DegradedWarning
from langroute.core.records import Decision, Step
from langroute.hosts.node import route_edge
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Cascade, Escalate, Fallback, Fixed, Sticky
from langroute.steps.inspector import Inspector, salvaged
from langroute.testing import ScriptedModel

TOOL = {"type": "function", "function": {"name": "fetch_page", "parameters": {"type": "object", "properties": {}}}}
OWNER = {"configurable": {"thread_id": "t1"}, "metadata": {"langroute_task": "k1", "langroute_user": "u1"}}

PAGES = {
    "objects in objects": '{"a":' * 3000,
    "lists in lists": '{"a":' + "[" * 990 + "]" * 990 + "}",
    "an exit code of 5,000 digits": f'{{"exit_code": {"9" * 5000}}}',
    "half a surrogate pair": "\ud83d",
    "a megabyte of brackets": "{" * 1_000_000,
}


class Broken(Inspector):
    """Fails at every step."""

    def inspect(self, *args: Any, **kwargs: Any) -> Any:
        raise RecursionError("too deep")


class Nothing:
    """Returns what is no step."""

    def inspect(self, *args: Any, **kwargs: Any) -> Any:
        return None


def router(price: float = 1000.0, **more: Any) -> ChatRouter:
    routes = {
        name: Route(ScriptedModel("Hm.", model=name, max_tokens=100), price={"input": price, "output": price})
        for name in ("cheap", "balanced", "frontier")
    }
    return ChatRouter(routes, **more)


def spend(model: Any, page: str, config: Any) -> tuple[float, list[str]]:
    """An agent that reads one page, and goes on for 40 steps or until it is stopped."""
    history: list[BaseMessage] = [HumanMessage("Read the page and tell me its sum.")]
    spent, taken = 0.0, []
    for number in range(40):
        try:
            mark = model.invoke(history, config).response_metadata["langroute"]
        except BudgetExceededError:
            return spent, taken
        spent, taken = spent + mark["cost_usd"], [*taken, mark["route"]]
        call = {"name": "fetch_page", "args": {"n": number}, "id": f"c{number}", "type": "tool_call"}
        history += [AIMessage("", tool_calls=[call]), ToolMessage(page if number == 0 else "fine", tool_call_id=f"c{number}")]
    raise AssertionError(f"never stopped after {spent:.2f} USD")


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("per", ["thread", "task", "user"])
def test_a_page_switches_no_budget_off_and_no_route(page: str, per: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spent, taken = spend(router(budget=Budget(usd=1.0, per=per, soft=1)).bind_tools([TOOL]), page, OWNER)

    _, calm = spend(router(budget=Budget(usd=1.0, per=per, soft=1)).bind_tools([TOOL]), "fine", OWNER)
    assert 0 < spent <= 1.0
    # A long page uses the budget up in fewer steps.
    assert taken
    assert taken == calm[: len(taken)]


@pytest.mark.parametrize("inspector", [Broken(), Nothing()], ids=["raises", "returns nothing"])
@pytest.mark.parametrize("per", ["thread", "task", "user"])
def test_where_inspection_fails_all_the_same_budgets_bind_and_the_default_route_answers(inspector: Any, per: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spent, taken = spend(router(budget=Budget(usd=1.0, per=per, soft=1), inspector=inspector).bind_tools([TOOL]), "fine", OWNER)

    assert 0.5 < spent <= 1.0
    assert set(taken) == {"frontier"}


def test_a_step_whose_inspection_failed_keeps_whose_it_is_and_how_long() -> None:
    model = router(inspector=Broken())
    metadata = {"langgraph_node": "planner", "langroute_task": 7, "langroute_task_kind": "support", "lc_agent_name": "boss"}
    with pytest.warns(DegradedWarning, match="too deep"):
        model.invoke([HumanMessage("word " * 4000)], {"configurable": {"thread_id": 17}, "metadata": metadata})
    step = model.ledger.latest().step

    assert (step.thread, step.task, step.task_kind, step.node, step.agent) == ("17", "7", "support", "planner", "boss")
    assert 4000 < step.signals.tokens < 6000


def test_without_a_thread_its_conversation_is_known_by_its_beginning() -> None:
    """The same key as if nothing had failed, so that what was spent before counts."""
    history = [SystemMessage("Be kind."), HumanMessage("Hello?"), AIMessage("Yes?")]

    assert salvaged(history).thread == Inspector().inspect(history).thread


def test_every_conversation_is_told_from_others_whoever_begins() -> None:
    """A cut history has no person's message in it; one that has no thread would be counted call by call."""
    begins: list[BaseMessage] = [
        AIMessage("Hello, how can I help?"),
        ToolMessage("7", tool_call_id="1"),
        SystemMessage("Say a word."),
    ]
    threads = [Inspector().inspect([message]).thread for message in begins]

    assert all(threads)
    assert len(set(threads)) == 3
    greeted = [begins[0], HumanMessage("Hi.")]
    assert Inspector().inspect(greeted).thread != Inspector().inspect([begins[0], HumanMessage("Ho.")]).thread


class Unreadable(HumanMessage):
    """Raises when its content is read, so often."""

    def __getattribute__(self, name: str) -> Any:
        if name == "content" and (left := super().__getattribute__("additional_kwargs")["left"]):
            left.pop()
            raise MemoryError("no room")
        return super().__getattribute__(name)


def unreadable() -> HumanMessage:
    """A message that neither inspection nor what is done after it has failed can read, and models can."""
    return Unreadable("Hi.", additional_kwargs={"left": [1, 2]})


@pytest.mark.parametrize("per, stops", [("thread", True), ("task", True), ("call", False), ("user", False), ("all", False)])
def test_a_budget_that_cannot_tell_whose_a_call_is_stops(per: str, stops: bool) -> None:
    """Counted for each call alone it would never bind."""
    model = router(price=1.0, budget=Budget(usd=1.0, per=per))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if stops:
            with pytest.raises(BudgetExceededError, match="(?s)could not be inspected.*thread_id"):
                model.invoke([unreadable()])
        else:
            assert model.invoke([unreadable()]).response_metadata["langroute"]["route"] == "frontier"
        named = model.invoke([unreadable()], {"configurable": {"thread_id": "t"}})
    assert named.response_metadata["langroute"]["route"] == "frontier"


def test_a_budget_that_cannot_tell_ends_with_its_last_words_where_it_has_any() -> None:
    model = router(price=1.0, budget=Budget(usd=1.0, per="thread", at_limit="finish"))
    with pytest.warns(DegradedWarning):
        assert "budget for this thread" in model.invoke([unreadable()]).content


def test_a_kind_of_the_users_own_that_fails_keeps_the_rest_of_the_step() -> None:
    """Its function may read what somebody wrote; the kind is not known then, so the default route answers."""
    inspector = Inspector(kinds={"refund": lambda seen: int(seen.messages[-1].content) > 3, "never": lambda seen: False})
    model = router(inspector=inspector)
    with pytest.warns(DegradedWarning, match="refund"):
        mark = model.invoke("thanks!", {"configurable": {"thread_id": "t1"}}).response_metadata["langroute"]
    step = model.ledger.latest().step

    assert (step.kind, step.thread, step.signals.turn) == ("chat", "t1", 1)
    assert (mark["route"], len(mark["problems"])) == ("frontier", 1)
    with pytest.warns(DegradedWarning, match="refund"):
        assert inspector.inspect([HumanMessage("thanks!")], metadata={"thread_id": "t1"}).thread == "t1"
    assert model.invoke("7").response_metadata["langroute"]["step"]["kind"] == "refund"


@pytest.mark.parametrize("policy", [Cascade(), Sticky(Cascade(), per="thread"), Escalate()], ids=["cascade", "sticky", "escalate"])
def test_no_policy_hears_of_a_step_that_could_not_be_inspected(policy: Any) -> None:
    """One text would otherwise pin the rest of a thread, or move it."""
    inspector = Inspector(kinds={"x": lambda seen: int(seen.messages[-1].content) > 3})
    heard: list[Decision] = []
    hook = type("Hook", (), {"on_decision": staticmethod(heard.append)})()
    model = router(inspector=inspector, policy=policy, hooks=[hook])
    config: Any = {"configurable": {"thread_id": "t"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        routes = [model.invoke(said, config).response_metadata["langroute"]["route"] for said in ("thanks!", "1", "2")]

    assert routes == ["frontier", "cheap", "cheap"]
    assert len(heard) == 3


def test_a_policy_that_sends_everything_to_one_route_is_asked_all_the_same() -> None:
    for policy in (Fixed("cheap"), Fallback(Fixed("cheap"))):
        with pytest.warns(DegradedWarning):
            assert router(policy=policy, inspector=Broken()).invoke("Hi.").response_metadata["langroute"]["route"] == "cheap"


def test_an_edge_takes_its_default_branch() -> None:
    edge = route_edge({"cheap": "quick", "frontier": "research"}, policy=Cascade(), inspector=Broken())
    with pytest.warns(DegradedWarning):
        assert edge({"messages": [HumanMessage("Hi.")]}, {}) == "research"


@pytest.mark.parametrize("error", [InterruptedError, RecursionError, UnicodeError, MemoryError])
def test_a_default_route_that_fails_goes_on_to_another(error: type[Exception]) -> None:
    routes: dict[str, Any] = {"cheap": ScriptedModel("small"), "frontier": ScriptedModel(error("down"))}
    priced = {name: Route(model, price={"input": 1, "output": 1}) for name, model in routes.items()}
    with pytest.warns(DegradedWarning):
        assert ChatRouter(priced, inspector=Broken(), max_retries=0).invoke("Hi.").content == "small"


# What tools say of themselves ------------------------------------------------------------------------------------------------


def agent(tool: str, result: str, status: str = "success", rounds: int = 2) -> list[BaseMessage]:
    messages: list[BaseMessage] = [HumanMessage("Look up the museum's opening hours.")]
    for place in range(rounds):
        call = {"name": tool, "args": {"n": place}, "id": f"c{place}", "type": "tool_call"}
        messages += [AIMessage("", tool_calls=[call]), ToolMessage(result, tool_call_id=f"c{place}", status=status)]
    return messages


SAID = ["Error: page not found", '{"error": "none"}', '{"isError": true}', "Traceback (most recent call last):", '{"exit_code": 1}']


def taken(model: Any, history: list[BaseMessage]) -> str:
    config: Any = {"configurable": {"thread_id": "t"}}
    return str(model.bind_tools([TOOL]).invoke(history, config).response_metadata["langroute"]["route"])


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("tool", ["fetch_page", "web_fetch", "read_file"])
@pytest.mark.parametrize("make", [lambda: None, Escalate, Escalate.for_support_agents], ids=["default", "escalate", "support"])
def test_what_a_page_says_of_itself_is_no_reason_to_pay_more(said: str, tool: str, make: Callable[[], Any]) -> None:
    model, calm = router(policy=make()), router(policy=make())
    for rounds in range(1, 5):
        assert taken(model, agent(tool, said, rounds=rounds)) == taken(calm, agent(tool, "Open 9-17", rounds=rounds))


@pytest.mark.parametrize(
    "tool, said, status",
    [("fetch_page", "not found", "error"), ("bash", "exit code: 2", "success"), ("write_file", "Error: read-only", "success")],
)
def test_what_the_framework_or_a_tool_that_does_things_says_is_one(tool: str, said: str, status: str) -> None:
    assert taken(router(), agent(tool, said, status)) == "frontier"
    assert taken(router(policy=Escalate()), agent(tool, said, status)) == "balanced"


def test_hearsay_does_not_add_up_with_one_failure() -> None:
    mixed = [*agent("fetch_page", "gone", "error", rounds=1), *agent("fetch_page", "Error: gone", rounds=3)[1:]]
    step = Inspector().inspect(mixed)

    assert (step.errors_in_row, step.errors_told, step.failures_in_row) == (4, 3, 1)
    assert taken(router(policy=Escalate()), mixed) == "cheap"


def test_a_parallel_call_that_surely_failed_makes_the_round_one_that_failed() -> None:
    calls = [{"name": "fetch_page", "args": {"n": n}, "id": f"c{n}", "type": "tool_call"} for n in range(2)]
    results = [ToolMessage("Error: gone", tool_call_id="c0"), ToolMessage("timed out", tool_call_id="c1", status="error")]

    assert Inspector().inspect([HumanMessage("Go."), AIMessage("", tool_calls=calls), *results]).failures_in_row == 1


def test_the_ledger_and_the_tracker_know_the_thread_of_a_hostile_page() -> None:
    ledger = MemoryLedger()
    model = router(price=1.0, ledger=ledger).bind_tools([TOOL])
    model.invoke(agent("fetch_page", PAGES["objects in objects"], rounds=1), {"configurable": {"thread_id": "t"}})

    assert ledger.latest().step.thread == "t"
    assert ledger.task("t").decisions == 1
    assert isinstance(ledger.latest().step, Step)
