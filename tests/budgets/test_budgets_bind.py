"""Budgets bind: whoever calls, however many at once, whatever else costs money."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from alive import newcomers
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from spenders import LONGEST, models, spend
from watched import Watched, held, spent

from langroute import Budget, ChatRouter, Route, RouterMiddleware, task
from langroute.budgets.budget import UNIT, budget_of_call
from langroute.budgets.max_cost import MaxCost
from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.sqlite import SqliteBudgets
from langroute.budgets.store import Balance
from langroute.core.errors import BudgetExceededError, BudgetStoreError, ConfigurationError, InputError
from langroute.core.records import Request, Step
from langroute.policies import Cascade, Fallback, Fixed
from langroute.testing import ScriptedModel
from langroute.verifiers.judge import Judge

CHEAP, DEAR = {"input": 1, "output": 10}, {"input": 10, "output": 100}


def usage(tokens_in: int, tokens_out: int) -> dict[str, int]:
    return {"input_tokens": tokens_in, "output_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}


def said(text: str = "ok", tokens_in: int = 10, tokens_out: int = 100, **fields: Any) -> AIMessage:
    return AIMessage(text, usage_metadata=usage(tokens_in, tokens_out), **fields)


def two(cheap: Any = None, dear: Any = None) -> dict[str, Route]:
    return {
        "cheap": Route(ScriptedModel(cheap or said("cheap"), max_tokens=200), price=CHEAP),
        "frontier": Route(ScriptedModel(dear or said("dear"), max_tokens=200), price=DEAR),
    }


# Many at once ------------------------------------------------------------------------------------------------------------


async def test_two_hundred_tasks_at_once_do_not_overshoot_ten_dollars() -> None:
    store = Watched()
    router = ChatRouter(models(1), policy=Fixed("frontier"), budget=Budget(usd=10, per="all", store=store, soft=1, wait_seconds=3))
    usd, answered, refused = await spend(router, 200, 20)

    assert usd <= 10
    assert usd > 9.94
    assert refused > 0
    assert answered > 300
    assert spent(store) == pytest.approx(usd)
    assert held(store) == 0


def test_threads_at_once_do_not_overshoot_either() -> None:
    store = Watched()
    router = ChatRouter(models(2), policy=Fixed("frontier"), budget=Budget(usd=1, per="all", store=store, soft=1, wait_seconds=1))

    def work(number: int) -> float:
        total = 0.0
        for _ in range(10):
            try:
                total += router.invoke(f"Task {number}").response_metadata["langroute"]["cost_usd"]
            except BudgetExceededError:
                break
        return total

    with ThreadPoolExecutor(16) as pool:
        usd = sum(pool.map(work, range(32)))

    assert 0.94 < usd <= 1


def in_processes(kind: str, where: str, count: int = 4, tasks: int = 50) -> list[dict[str, Any]]:
    program = Path(__file__).with_name("spenders.py")
    running = [
        subprocess.Popen(
            [sys.executable, str(program), kind, where, str(seed), str(tasks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(count)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        return [json.loads(process.communicate(timeout=200)[0]) for process in _started(running)]
    finally:
        for process in running:
            process.kill()


def _started(running: list[Any]) -> list[Any]:
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return running


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_tasks_in_four_processes_share_ten_dollars_in_redis(redis_url: str) -> None:
    results = in_processes("redis", redis_url)
    usd = sum(result["usd"] for result in results)
    balance = next(iter(_balances(RedisBudgets(redis_url))))

    assert 9.94 < usd <= 10
    assert balance.held == 0
    assert balance.spent == pytest.approx(usd * UNIT, abs=1000)
    # Who gets how much is up to the machine; that several got something shows that they shared it.
    assert sum(result["answered"] > 0 for result in results) >= 2
    assert all(result["refused"] == 50 for result in results)


def _balances(store: RedisBudgets) -> list[Balance]:
    keys = [key.decode().removeprefix(store.prefix + ":") for key in store.client.keys(f"{store.prefix}:*")]
    return store.balances([key for key in keys if "|usd|all|" in key])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_share_ten_dollars_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    results = in_processes("sqlite", str(path), count=2, tasks=20)
    usd = sum(result["usd"] for result in results)

    assert 9.94 < usd <= 10


# What counts -------------------------------------------------------------------------------------------------------------


def test_an_answer_costs_what_it_cost_not_what_it_might_have() -> None:
    store = Watched()
    ChatRouter(two(), policy=Fixed("frontier"), budget=Budget(usd=1, store=store)).invoke("Hello.")

    assert spent(store) == pytest.approx(10 * 10e-6 + 100 * 100e-6)
    assert held(store) == 0


def test_a_route_that_cannot_be_paid_for_is_removed_before_the_policy_is_asked() -> None:
    """The policy wants the frontier; what is left pays for the cheap one only."""
    asked: list[tuple[str, ...]] = []

    class Asking:
        def select(self, request: Request, attempts: Any) -> Any:
            asked.append(request.route_names)
            return Fixed(request.routes[-1].name).select(request, attempts)

    router = ChatRouter(two(), policy=Asking(), budget=Budget(usd=0.01))
    message = router.invoke("Hello.")

    assert message.content == "cheap"
    assert asked[0] == ("cheap",)
    rejected = message.response_metadata["langroute"]["rejected"]
    assert "may cost 0.0207 USD; the task's budget has" in rejected["frontier"]
    assert "cheap" not in rejected


def test_at_the_soft_limit_only_the_cheapest_tier_is_left() -> None:
    router = ChatRouter(two(), policy=Fixed("frontier"), budget=Budget(usd=0.1, per="all", soft=0.3))
    routes = [router.invoke("Hello.").response_metadata["langroute"]["route"] for _ in range(6)]

    assert routes == ["frontier"] * 3 + ["cheap"] * 3


def test_every_attempt_of_a_cascade_is_charged_and_a_refused_one_keeps_the_best_answer() -> None:
    store = Watched()
    router = ChatRouter(
        two(),
        policy=Cascade(["cheap", "frontier"]),
        verifier=lambda _: 0.2,
        budget=Budget(usd=0.02, per="all", store=store, soft=1),
    )
    first = router.invoke("Hello.")
    assert first.content == "cheap"
    assert spent(store) == pytest.approx(10e-6 + 100 * 10e-6)

    rich = ChatRouter(two(), policy=Cascade(["cheap", "frontier"]), verifier=lambda _: 0.2, budget=Budget(usd=1, store=store))
    rich.invoke("Hello.")
    assert spent(store) == pytest.approx(2 * (10e-6 + 100 * 10e-6) + 10 * 10e-6 + 100 * 100e-6)


def test_a_judge_is_paid_from_the_same_budget() -> None:
    store = Watched()
    judge = Judge(ScriptedModel(said("SCORE: 10", 500, 50), max_tokens=100), price=DEAR)
    router = ChatRouter(two(), policy=Cascade(), verifier=judge, budget=Budget(usd=1, store=store))
    decision = router.explain(router.invoke("Hello."))

    assert spent(store) == pytest.approx(10e-6 + 100 * 10e-6 + 500 * 10e-6 + 50 * 100e-6)
    assert held(store) == 0
    assert decision


def test_a_judge_that_cannot_be_paid_for_is_not_asked() -> None:
    model = ScriptedModel(said("SCORE: 0", 500, 50), max_tokens=1000)
    router = ChatRouter(two(), policy=Cascade(), verifier=Judge(model, price=DEAR), budget=Budget(usd=0.03, soft=1))
    message = router.invoke("Hello.")

    assert message.content == "cheap"
    assert model.calls == []
    assert "not checked" in message.response_metadata["langroute"]["problems"][0]


def test_failed_calls_release_what_was_reserved_and_the_next_route_is_paid() -> None:
    store = Watched()
    routes = two(dear=ConnectionError("down"))
    router = ChatRouter(routes, policy=Fallback(Fixed("frontier"), retries=0), budget=Budget(usd=1, store=store))

    assert router.invoke("Hello.").content == "cheap"
    assert spent(store) == pytest.approx(10e-6 + 100 * 10e-6)
    assert held(store) == 0


async def test_a_cancelled_call_pays_for_its_prompt_and_releases_the_rest() -> None:
    called = asyncio.Event()

    class Slow(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            called.set()
            await asyncio.sleep(60)

    store = Watched()
    routes = {"frontier": Route(Slow(max_tokens=200), price=DEAR)}
    router = ChatRouter(routes, budget=Budget(usd=1, store=store))
    running = asyncio.create_task(router.ainvoke("word " * 400))
    await called.wait()
    assert held(store) > 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert held(store) == 0
    assert 0.004 < spent(store) < 0.006


def test_a_model_that_reports_no_usage_is_charged_the_most_it_can_have_cost() -> None:
    class Silent(ScriptedModel):
        def _next(self, *args: Any) -> AIMessage:
            message = super()._next(*args)
            message.usage_metadata = None
            return message

    store = Watched()
    routes = {"frontier": Route(Silent(max_tokens=200), price=DEAR)}
    ChatRouter(routes, budget=Budget(usd=1, store=store)).invoke("Hello.")

    assert spent(store) > 200 * 100e-6


def test_streamed_calls_are_settled_too() -> None:
    store = Watched()
    router = ChatRouter(two(), policy=Fixed("frontier"), budget=Budget(usd=1, store=store))
    text = "".join(chunk.content for chunk in router.stream("Hello."))

    assert text == "dear"
    assert spent(store) == pytest.approx(10 * 10e-6 + 100 * 100e-6)


async def test_a_stream_whose_reader_leaves_releases_what_was_reserved() -> None:
    store = Watched()
    router = ChatRouter(two(dear=said("one two three four")), policy=Fixed("frontier"), budget=Budget(usd=1, store=store))
    chunks = router.astream("Hello.")
    await chunks.__anext__()
    await chunks.aclose()

    assert held(store) == 0


def test_sub_graphs_share_the_threads_budget() -> None:
    store = Watched()
    router = ChatRouter(two(), policy=Fixed("cheap"), budget=Budget(usd=1, per="thread", store=store))

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [router.invoke(state["messages"])]}

    inner = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile()
    outer = StateGraph(MessagesState)
    outer.add_node("ask", ask).add_node("sub", inner).add_edge(START, "ask").add_edge("ask", "sub")
    outer.compile().invoke({"messages": [HumanMessage("Hi.")]}, {"configurable": {"thread_id": "t1"}})

    assert len(store.keys) == 1
    assert spent(store) == pytest.approx(2 * (10e-6 + 100 * 10e-6))


# At the limit ------------------------------------------------------------------------------------------------------------


def test_the_error_says_what_each_route_would_cost_and_what_is_left() -> None:
    model = ScriptedModel(said())
    router = ChatRouter({"frontier": Route(model, price=DEAR)}, budget=Budget(usd=0.001))

    with pytest.raises(BudgetExceededError, match=r"may cost .* USD; the task's budget has 0.001 USD left"):
        router.invoke("Hello.")
    assert model.calls == []


@pytest.mark.parametrize(
    ("shared", "ending"),
    [
        ({"per": "task"}, "Raise the limit, or begin a new task."),
        ({"per": "user"}, "Raise the limit."),
        ({"per": "all"}, "Raise the limit."),
        ({"per": "all", "every": "day"}, "Raise the limit, or wait for the next day."),
    ],
)
def test_the_error_says_only_what_can_be_done(shared: dict[str, str], ending: str) -> None:
    with pytest.raises(BudgetExceededError) as caught:
        ChatRouter(two(), budget=Budget(usd=0, **shared)).invoke("Hello.")  # type: ignore[arg-type]
    assert str(caught.value).endswith(ending)


def test_the_closing_message_of_a_budget_for_all_reads_as_a_sentence() -> None:
    message = ChatRouter(two(), budget=Budget(usd=0, per="all", at_limit="finish")).invoke("Hello.")
    assert message.content == "I have to stop here: the budget for this application is used up."


def test_a_refused_call_is_recorded() -> None:
    router = ChatRouter(two(), budget=Budget(usd=0))
    with pytest.raises(BudgetExceededError):
        router.invoke("Hello.")

    assert "may cost" in router.explain()


def closing(at_limit: Any) -> ChatRouter:
    return ChatRouter(two(), budget=Budget(usd=0, per="thread", at_limit=at_limit))


def test_finish_answers_with_a_closing_message_in_every_way_of_calling() -> None:
    router = closing("finish")
    text = "I have to stop here: the budget for this thread is used up."

    message = router.invoke("Hello.")
    assert message.content == text
    assert message.response_metadata["langroute"]["route"] == "budget"
    assert message.response_metadata["langroute"]["cost_usd"] == 0
    assert "".join(chunk.content for chunk in router.stream("Hello.")) == text
    assert router.batch(["a", "b"])[1].content == text
    assert router.generate([[HumanMessage("a")]]).generations[0][0].text == text


async def test_finish_answers_with_a_closing_message_in_every_awaited_way() -> None:
    router = closing("finish")

    assert "stop here" in (await router.ainvoke("Hello.")).content
    assert "stop here" in "".join([chunk.content async for chunk in router.astream("Hello.")])


def test_a_function_writes_the_closing_message_or_raises_its_own_error() -> None:
    seen: list[Any] = []

    def say(request: Request, error: Exception) -> str:
        seen.append((request.step.thread, error))
        return "See you tomorrow."

    def fail(request: Request, error: Exception) -> str:
        raise PermissionError("ask your manager")

    assert closing(say).invoke("Hello.").content == "See you tomorrow."
    assert closing(lambda request, error: AIMessage("Bye.")).invoke("Hello.").content == "Bye."
    assert isinstance(seen[0][1], BudgetExceededError)
    with pytest.raises(PermissionError, match="manager"):
        closing(fail).invoke("Hello.")
    with pytest.raises(BudgetExceededError):
        closing(lambda request, error: None).invoke("Hello.")


def test_a_closing_message_is_no_answer_in_a_schema() -> None:
    class Person(BaseModel):
        name: str

    with pytest.raises(BudgetExceededError):
        closing("finish").with_structured_output(Person).invoke("Who?")


def test_an_agent_ends_with_the_closing_message_and_calls_no_tool_any_more() -> None:
    called: list[int] = []

    @tool
    def look(n: int) -> str:
        """Look."""
        called.append(n)
        return "seen"

    def calls(messages: Any) -> AIMessage:
        number = len(messages)
        return said("", tool_calls=[{"name": "look", "args": {"n": number}, "id": f"c{number}"}])

    routes = {"frontier": Route(ScriptedModel(calls, max_tokens=200), price=DEAR)}
    middleware = RouterMiddleware(routes, budget=Budget(usd=0.05, per="thread", at_limit="finish"))
    agent = create_agent(routes["frontier"].model, tools=[look], middleware=[middleware])
    result = agent.invoke({"messages": [HumanMessage("Go.")]}, {"configurable": {"thread_id": "t"}})

    assert result["messages"][-1].content.startswith("I have to stop here")
    assert 1 <= len(called) <= 4


def test_a_route_without_a_price_cannot_be_paid_from_a_budget_of_dollars() -> None:
    router = ChatRouter({"own": ScriptedModel("hi")}, budget=Budget(usd=1))

    with pytest.raises(BudgetExceededError, match="price is unknown"):
        router.invoke("Hello.")


def test_tokens_can_be_limited_without_knowing_prices() -> None:
    store = Watched()
    routes = {"own": ScriptedModel(said(tokens_in=10, tokens_out=100), max_tokens=150)}
    router = ChatRouter(routes, budget=Budget(tokens=700, per="all", store=store, soft=1))
    for _ in range(4):
        router.invoke("Hello.")

    assert [balance.spent for balance in store.all] == [440]
    router.invoke("Hello.")
    with pytest.raises(BudgetExceededError, match="150 tokens left"):
        router.invoke("Hello.")


# Who shares it -----------------------------------------------------------------------------------------------------------


def keys(budget: Budget, metadata: Any = None, step: Step | None = None) -> str:
    return budget.key(Request("Hi.", step or Step(thread="t", task="k"), metadata=metadata or {}), None, "d1")


@pytest.mark.parametrize(
    "per, key", [("user", "langroute_user"), ("user", "user_id"), ("team", "langroute_team"), ("tag:app", "app")]
)
def test_users_teams_and_tags_are_read_from_the_metadata(per: str, key: str) -> None:
    budget = Budget(usd=1, per=per)

    assert keys(budget, {key: "ann"}) == keys(budget, {key: "ann"})
    assert keys(budget, {key: "ann"}) != keys(budget, {key: "bob"})
    assert "ann" not in keys(budget, {key: "ann"})


def test_a_tasks_tags_name_its_team() -> None:
    store = Watched()
    router = ChatRouter(two(), policy=Fixed("cheap"), budget=Budget(usd=1, per="team", store=store))
    for team in ("search", "ads", "search"):
        with task(team=team):
            router.invoke("Hello.")

    assert sorted(balance.spent for balance in store.all) == [1_010_000, 2_020_000]


def test_calls_that_name_no_user_share_one_budget() -> None:
    assert keys(Budget(usd=1, per="user")) == keys(Budget(usd=1, per="user"), step=Step(thread="other"))


@pytest.mark.parametrize(
    "per, same, other",
    [
        ("task", Step(thread="x", task="k"), Step(thread="t", task="K")),
        ("thread", Step(thread="t", task="K"), Step(thread="x", task="k")),
    ],
)
def test_tasks_and_threads_are_told_apart(per: str, same: Step, other: Step) -> None:
    budget = Budget(usd=1, per=per)

    assert keys(budget) == keys(budget, step=same)
    assert keys(budget) != keys(budget, step=other)


@pytest.mark.parametrize("every, later", [("hour", (1, 11)), ("day", (2, 10)), ("month", (31, 10))])
def test_a_window_begins_anew(every: str, later: tuple[int, int]) -> None:
    budget, request = Budget(usd=1, per="all", every=every), Request("Hi.")
    begun = datetime(2026, 5, 1, 10, 0, tzinfo=timezone.utc)
    day, hour = later
    again = datetime(2026, 6 if every == "month" else 5, 1 if every == "month" else day, hour, tzinfo=timezone.utc)

    assert budget.key(request, None, "", begun) == budget.key(request, None, "", begun.replace(minute=59))
    assert budget.key(request, None, "", begun) != budget.key(request, None, "", again)


def test_several_budgets_all_bind() -> None:
    store = Watched()
    budgets = [Budget(usd=1, per="all", store=store, soft=1), Budget(usd=0.03, per="task", store=store, soft=1)]
    router = ChatRouter({"cheap": Route(ScriptedModel(said(), max_tokens=100), price=DEAR)}, budget=budgets)
    with task("a"):
        for _ in range(2):
            router.invoke("Hello.")
        with pytest.raises(BudgetExceededError, match="the task's budget"):
            router.invoke("Hello.")
    with task("b"):
        assert router.invoke("Hello.")


def test_a_call_brings_its_own_budget() -> None:
    router = ChatRouter(two(), policy=Fixed("frontier"))
    config = {"configurable": {"thread_id": "t", "budget": 0.012}}

    assert router.invoke("Hello.", config).content == "cheap"
    assert router.invoke("Hello.").content == "dear"
    with pytest.raises(BudgetExceededError):
        router.invoke("Hello.", {"configurable": {"budget": {"usd": 0, "per": "call"}}})
    with pytest.raises(BudgetExceededError):
        router.invoke("Hello.", {"metadata": {"langroute_budget": 0}})
    with pytest.raises(InputError, match="'budget' is a number"):
        router.invoke("Hello.", {"configurable": {"budget": "much"}})


def test_the_budget_of_a_call_adds_up_over_the_task() -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"))
    config = {"configurable": {"thread_id": "t", "budget": 0.005}}
    for _ in range(3):
        router.invoke("Hello.", config)

    with pytest.raises(BudgetExceededError):
        router.invoke("Hello.", config)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"usd": 1, "tokens": 1}, {"usd": -1}, {"usd": 1, "per": "galaxy"}, {"usd": 1, "every": "year"}, {"usd": 1, "soft": 0}, {"usd": 1, "at_limit": "x"}, {"usd": 1, "if_unavailable": "x"}, {"usd": 1, "at_limit": asyncio.sleep}, {"usd": True}, {"tokens": float("nan")}],
)  # fmt: skip
def test_a_wrong_budget_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Budget(**wrong)
    with pytest.raises(InputError):
        budget_of_call(wrong or {"nonsense": 1}, MemoryBudgets())


def test_something_that_is_no_budget_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="Budget"):
        ChatRouter(two(), budget=10)


# A store that fails ------------------------------------------------------------------------------------------------------


class Broken(MemoryBudgets):
    def balances(self, keys: Any) -> Any:
        raise OSError("disk full")


def test_a_budget_that_cannot_be_read_stops_the_call() -> None:
    model = ScriptedModel(said())
    router = ChatRouter({"frontier": Route(model, price=DEAR)}, budget=Budget(usd=1, store=Broken()))

    with pytest.raises(BudgetStoreError, match="disk full"):
        router.invoke("Hello.")
    assert model.calls == []


def test_unless_it_shall_go_on_without() -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"), budget=Budget(usd=1, store=Broken(), if_unavailable="go_on"))
    message = router.invoke("Hello.")

    assert message.content == "cheap"
    assert message.response_metadata["langroute"]["problems"] == ["budgets were not looked at: OSError: disk full"]


async def test_a_store_that_waits_is_asked_off_the_event_loop(tmp_path: Path) -> None:
    import threading

    asked: list[int] = []

    class Watching(SqliteBudgets):
        def reserve(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(threading.get_ident())
            return super().reserve(*args, **kwargs)

    store = Watching(tmp_path / "budgets.db")
    await ChatRouter(two(), budget=Budget(usd=1, store=store)).ainvoke("Hello.")

    assert asked
    assert threading.get_ident() not in asked
    store.close()


def test_without_a_budget_nothing_is_asked() -> None:
    router = ChatRouter(two())

    assert router.router.budgets == ()
    made = newcomers(MaxCost)
    assert router.invoke("Hello.")
    assert made() == [], "nobody works out what a call may cost at most"

    bound = ChatRouter(two(), budget=Budget(usd=1))
    assert bound.invoke("Hello.")
    assert len(made()) == 1


def test_the_longest_answer_is_what_the_model_was_told() -> None:
    """The models of the concurrency tests may say 1,000 tokens; each call reserves that and no more."""
    store = Watched()
    router = ChatRouter(models(1), policy=Fixed("frontier"), budget=Budget(usd=LONGEST * 50e-6 * 0.99, store=store))

    with pytest.raises(BudgetExceededError, match="may cost 0.05"):
        router.invoke("Hello.")


def test_a_closing_message_is_never_stored_as_an_answer() -> None:
    from langroute.cache import ResponseCache

    cache = ResponseCache()
    poor = ChatRouter(two(), budget=Budget(usd=0, at_limit="finish"), response_cache=cache)
    rich = ChatRouter(two(), policy=Fixed("cheap"), response_cache=cache)
    question = "What is the capital of France?"

    assert "stop here" in poor.invoke(question).content
    assert "stop here" in "".join(chunk.content for chunk in poor.stream(question))
    assert rich.invoke(question).content == "cheap"


def test_a_stored_answer_costs_nothing() -> None:
    store = Watched()
    router = ChatRouter(two(), policy=Fixed("cheap"), budget=Budget(usd=1, per="all", store=store), response_cache=True)
    for _ in range(3):
        router.invoke("What is the capital of France?")

    assert spent(store) == pytest.approx(10e-6 + 100 * 10e-6)
    assert held(store) == 0


def test_what_was_just_spent_counts_though_the_file_settles_in_the_background(tmp_path: Path) -> None:
    store = SqliteBudgets(tmp_path / "budgets.db")
    router = ChatRouter(two(), policy=Fixed("frontier"), budget=Budget(usd=0.1, per="all", soft=0.3, store=store))
    routes = [router.invoke("Hello.").response_metadata["langroute"]["route"] for _ in range(6)]

    assert routes == ["frontier"] * 3 + ["cheap"] * 3


@pytest.mark.parametrize("ways", ["invoke", "stream"])
def test_a_budget_of_one_call_binds_that_call_with_its_retries(ways: str) -> None:
    """Two attempts of a cent each fit into two and a half cents, a third does not."""
    routes = {name: Route(ScriptedModel(said("weak"), max_tokens=100), price=DEAR) for name in ("a", "b", "c")}
    router = ChatRouter(routes, policy=Cascade(["a", "b", "c"]), verifier=lambda _: 0.1, budget=Budget(usd=0.0255, per="call"))
    for _ in range(2):
        message = router.invoke("Hello.") if ways == "invoke" else list(router.stream("Hello."))[-1]
        carried = message.response_metadata["langroute"]

        assert [attempt["route"] for attempt in carried["attempts"]] == ["a", "b"]
        assert "may cost" in carried["rejected"]["c"]
    assert [len(route.model.calls) for route in routes.values()] == [2, 2, 0]


@pytest.mark.server
async def test_a_redis_that_dies_in_the_middle_stops_calls_or_lets_them_go_on_as_was_said(mortal_redis: Any) -> None:
    """The call that was under way when it died is answered; what it cost is not known to the budget, and nothing raises for that."""
    url, process = mortal_redis
    store = RedisBudgets(url, timeout_seconds=5)
    dies = ScriptedModel(said("first"), lambda _: (process.kill(), said("second"))[1], said("third"), max_tokens=100)
    strict = ChatRouter({"a": Route(dies, price=CHEAP)}, budget=Budget(usd=1, store=store))
    lenient = ChatRouter(two(), policy=Fixed("cheap"), budget=Budget(usd=1, store=store, if_unavailable="go_on"))

    assert (await strict.ainvoke("Hello.")).content == "first"
    assert (await strict.ainvoke("Hello.")).content == "second"
    with pytest.raises(BudgetStoreError, match="cannot be reached"):
        await strict.ainvoke("Hello.")
    message = await lenient.ainvoke("Hello.")
    assert message.content == "cheap"
    assert "budgets were not looked at: BudgetStoreError" in message.response_metadata["langroute"]["problems"][0]
