"""The tracker assigns every call to its task, and records how the task ended."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import pytest
from alive import newcomers
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, interrupt
from servers import openai_chat
from waiting import until

from langroute import ChatRouter
from langroute.core.errors import DegradedWarning
from langroute.core.records import Verdict
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.facts import CallRecord
from langroute.ledger.memory import MemoryLedger
from langroute.policies.cascade import Cascade
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker, track
from langroute.tracking.evaluators import Evaluator
from langroute.tracking.implicit_feedback import ImplicitFeedback
from langroute.tracking.run_tree import ObservedRun, Root
from langroute.verifiers import Judge

PRICES = {"scripted": {"input": 1.0, "output": 2.0}}


class State(TypedDict, total=False):
    text: str


def one_node(action: Any, checkpointer: Any = None, **options: Any) -> Any:
    built = StateGraph(State)
    built.add_node("node", action, **options)
    built.add_edge(START, "node")
    built.add_edge("node", END)
    return built.compile(checkpointer=checkpointer)


def totals(tracker: OutcomeTracker, name: str) -> Any:
    found = tracker.task(name)
    assert found is not None
    return found


# Whose call is it ----------------------------------------------------------------------------------------------------


def test_the_task_around_a_call_comes_before_all_else() -> None:
    tracker = OutcomeTracker()
    model = ScriptedModel("ok")
    config = {"callbacks": [tracker], "metadata": {"langroute_task": "named", "thread_id": "thread"}}
    with task("around"):
        model.invoke("hi", config)
    model.invoke("hi", config)
    model.invoke("hi", {"callbacks": [tracker], "metadata": {"thread_id": "thread"}})
    assert [totals(tracker, name).calls for name in ("around", "named", "thread")] == [1, 1, 1]


def test_a_run_without_a_name_is_its_own_task() -> None:
    tracker = OutcomeTracker()
    chain = RunnableLambda(lambda text: text) | ScriptedModel("ok") | RunnableLambda(lambda message: message.text)
    from uuid import uuid4

    root = uuid4()
    chain.invoke("hi", {"callbacks": [tracker], "run_id": root})
    assert totals(tracker, str(root)).calls == 1
    assert totals(tracker, str(root)).state == "ok"


def test_a_thousand_tasks_at_once_are_not_mixed_up(tmp_path: Path) -> None:
    """Each has as many calls as it made, of the models that it called."""
    with open_ledger(tmp_path / "l.db") as ledger:
        tracker = OutcomeTracker(ledger, prices={"even": {"input": 1, "output": 1}, "odd": {"input": 2, "output": 2}})

        async def one(number: int) -> None:
            model = ScriptedModel("ok", model="odd" if number % 2 else "even")

            async def step(state: State) -> State:
                await asyncio.sleep(0)
                await model.ainvoke("x" * (number % 7))
                return state

            chain = RunnableLambda(step)
            for _ in range(number % 3 + 1):
                chain = chain | RunnableLambda(step)
            with track(f"t{number}", tracker=tracker):
                await chain.ainvoke({"text": str(number)})

        async def everything() -> None:
            await asyncio.gather(*(one(number) for number in range(1000)))

        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, everything()).result()
        for number in range(0, 1000, 41):
            found = totals(tracker, f"t{number}")
            assert found.calls == number % 3 + 2
            assert set(found.by_model) == {"odd" if number % 2 else "even"}
            assert found.state == "ok"
        from sqlalchemy import func, select

        from langroute.ledger import schema

        with ledger.reading() as connection:
            t = schema.tasks.c
            assert connection.execute(select(func.count()).select_from(schema.tasks)).scalar_one() == 1000
            expected = sum(number % 3 + 2 for number in range(1000))
            assert connection.execute(select(func.sum(t.calls))).scalar_one() == expected


def test_a_batch_inside_one_task_is_one_task() -> None:
    with track("t1") as tracked:
        ScriptedModel("ok").batch(["a", "b", "c"])
    assert tracked.totals.calls == 3


def test_callbacks_that_replace_the_runs_own_do_not_hide_a_call() -> None:
    """`config={"callbacks": [...]}` inside a node cuts the call from its parents; it is found again."""
    tracker = OutcomeTracker()
    model = ScriptedModel("ok")
    app = one_node(lambda state: {"text": model.invoke("hi", {"callbacks": [tracker]}).text})
    app.invoke({"text": ""}, {"callbacks": [tracker], "metadata": {"thread_id": "t1"}})
    assert totals(tracker, "t1").calls == 1


def test_fallbacks_inside_a_graph_belong_to_its_task() -> None:
    tracker = OutcomeTracker(prices=PRICES)
    model = ScriptedModel(RuntimeError("down")).with_fallbacks([ScriptedModel("ok")])
    one_node(lambda state: {"text": model.invoke("hi").text}).invoke(
        {"text": ""}, {"callbacks": [tracker], "metadata": {"thread_id": "t1"}}
    )
    found = totals(tracker, "t1")
    assert (found.calls, found.errors, found.state) == (2, 1, "ok")


def test_a_bare_thread_is_seen_only_with_its_context() -> None:
    """Python gives a new thread no context: known, and said in the docs."""
    import contextvars

    with track("t1") as tracked:
        thread = threading.Thread(target=ScriptedModel("ok").invoke, args=("hi",))
        thread.start()
        thread.join()
        copied = threading.Thread(target=contextvars.copy_context().run, args=(ScriptedModel("ok").invoke, "hi"))
        copied.start()
        copied.join()
    assert tracked.totals.calls == 1


# How it ended --------------------------------------------------------------------------------------------------------


def test_an_interrupt_is_no_error_and_no_success() -> None:
    from langgraph.types import Command

    tracker = OutcomeTracker()
    app = one_node(lambda state: {"text": interrupt("Really?")}, InMemorySaver())
    config = {"callbacks": [tracker], "configurable": {"thread_id": "t1"}}
    app.invoke({"text": ""}, config)
    assert totals(tracker, "t1").state == "interrupted"
    app.invoke(Command(resume="yes"), config)
    assert totals(tracker, "t1").state == "ok"


def test_an_exception_is_an_error() -> None:
    tracker = OutcomeTracker()
    with pytest.raises(RuntimeError):
        ScriptedModel(RuntimeError("down")).invoke("hi", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    found = totals(tracker, "t1")
    assert (found.state, found.calls, found.errors) == ("error", 1, 1)


async def test_a_cancelled_call_is_counted_though_nobody_hears_of_its_end() -> None:
    """LangChain tells no handler that a call in flight was cancelled."""
    tracker, left = OutcomeTracker(), newcomers(Root, ObservedRun)
    begun, release = threading.Event(), threading.Event()

    def slow(messages: Any) -> str:
        begun.set()
        release.wait(60)
        return "late"

    app = one_node(_awaiting(ScriptedModel(slow)))
    run = asyncio.create_task(app.ainvoke({"text": ""}, {"callbacks": [tracker], "metadata": {"thread_id": "t1"}}))
    await until(begun.is_set)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    release.set()
    found = totals(tracker, "t1")
    assert (found.state, found.calls, found.errors, found.unknown_costs) == ("cancelled", 1, 1, 1)
    assert left() == []


def _awaiting(model: Any) -> Any:
    async def node(state: State) -> State:
        return {"text": (await model.ainvoke("hi")).text}

    return node


def test_a_stream_that_is_left_is_abandoned() -> None:
    tracker = OutcomeTracker()
    stream = one_node(lambda state: {"text": ScriptedModel("ok").invoke("hi").text}).stream(
        {"text": ""}, {"callbacks": [tracker], "metadata": {"thread_id": "t1"}}
    )
    next(stream)
    stream.close()
    gc.collect()
    found = totals(tracker, "t1")
    assert (found.state, found.success) == ("abandoned", False)
    assert tracker.ledger.outcomes_of("t1")[0].source == "implicit:abandoned"


def test_an_exception_inside_track_is_the_tasks_end() -> None:
    ledger = MemoryLedger()

    def work() -> None:
        with track("t1", ledger=ledger):
            ScriptedModel("ok").invoke("hi")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert ledger.task("t1").state == "error"


def test_nothing_is_left_behind() -> None:
    """A tracker that lives as long as its program holds nothing of runs that ended."""
    tracker, runs, held = OutcomeTracker(), newcomers(Root, ObservedRun), newcomers(CallRecord)
    model = ChatRouter({"small": ScriptedModel("ok")}, ledger=tracker.ledger)
    app = one_node(lambda state: {"text": model.invoke("hi").text})
    for _ in range(12):
        app.invoke({"text": ""}, {"callbacks": [tracker]})
        model.invoke("hi", {"callbacks": [tracker]})
        assert len(held()) <= 1
    tracker.flush()
    assert runs() == []
    assert held() == []


# What is counted -----------------------------------------------------------------------------------------------------


def test_retries_are_calls() -> None:
    tracker = OutcomeTracker(prices=PRICES)
    model = ScriptedModel(ConnectionError("once"), "ok").with_retry(wait_exponential_jitter=False)
    model.invoke("hi", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    found = totals(tracker, "t1")
    assert (found.calls, found.errors, found.retries) == (2, 1, 1)


def test_a_node_that_langgraph_runs_again_is_a_retry() -> None:
    tracker = OutcomeTracker(prices=PRICES)
    model = ScriptedModel(ConnectionError("once"), "ok")
    policy = RetryPolicy(initial_interval=0.01, jitter=False)
    app = one_node(lambda state: {"text": model.invoke("hi").text}, retry_policy=policy)
    app.invoke({"text": ""}, {"callbacks": [tracker], "metadata": {"thread_id": "t1"}})
    found = totals(tracker, "t1")
    assert (found.calls, found.errors, found.retries, found.state) == (2, 1, 1, "ok")


def test_an_answer_from_langchains_cache_costs_nothing() -> None:
    tracker = OutcomeTracker(prices=PRICES)
    model = ScriptedModel("ok", cache=InMemoryCache())
    for _ in range(2):
        model.invoke("hi", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    found = totals(tracker, "t1")
    assert (found.calls, found.cache_hits) == (2, 1)
    assert found.by_basis["cache"].cost_usd == 0
    assert found.by_basis["own"].cost_usd == found.cost_usd > 0


def test_an_unknown_price_is_unknown() -> None:
    tracker = OutcomeTracker()
    ScriptedModel("ok", model="nobody-knows").invoke("hi", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    found = totals(tracker, "t1")
    assert (found.cost_usd, found.unknown_costs) == (0.0, 1)


@pytest.mark.server
def test_a_known_model_is_priced_from_the_list(mock: Any) -> None:
    with track("t1") as tracked:
        answer = openai_chat("gpt-4.1-mini").invoke("Hello there, how are you?")
    usage = answer.usage_metadata
    assert tracked.totals.cost_usd == pytest.approx((usage["input_tokens"] * 0.4 + usage["output_tokens"] * 1.6) / 1e6)
    assert set(tracked.totals.by_basis) == {"list"}


@pytest.mark.server
def test_a_stream_that_breaks_off_in_silence_is_an_error_of_unknown_cost(mock: Any) -> None:
    """LangChain raises nothing; a provider that always says why an answer ended did not."""
    mock.truncate(times=1)
    with track("t1") as tracked:
        for _ in openai_chat().stream("A long story, please."):
            pass
        for _ in openai_chat().stream("A long story, please."):
            pass
    assert (tracked.totals.calls, tracked.totals.errors, tracked.totals.unknown_costs) == (2, 1, 1)


@pytest.mark.server
def test_refused_calls_are_counted_and_cost_nothing(mock: Any) -> None:
    mock.fail(429, times=1)
    with track("t1") as tracked, pytest.raises(Exception, match="429"):
        openai_chat().invoke("Hello?")
    assert (tracked.totals.calls, tracked.totals.errors, tracked.totals.cost_usd, tracked.totals.unknown_costs) == (1, 1, 0.0, 0)


def test_tools_and_their_errors_are_counted() -> None:
    @tool
    def fine(query: str) -> str:
        """Works."""
        return query

    @tool
    def broken(query: str) -> str:
        """Does not."""
        raise ValueError(query)

    with track("t1") as tracked:
        fine.invoke({"query": "x"})
        with pytest.raises(ValueError, match="x"):
            broken.invoke({"query": "x"})
        handled = RunnableLambda(lambda _: ToolMessage("failed", tool_call_id="1", status="error"))
        handled.invoke("x")
    assert (tracked.totals.tools, tracked.totals.tool_errors) == (2, 1)


def test_kinds_of_steps_are_told_without_a_router() -> None:
    """So that a program can be looked at before it is routed."""
    with track("t1") as tracked:
        ScriptedModel("A title").invoke("Write a title for this conversation.", {"metadata": {"langgraph_node": "title"}})
    assert set(tracked.totals.by_step_kind) == {"title"}


# With a router -------------------------------------------------------------------------------------------------------


def test_a_cascade_at_top_level_is_one_task() -> None:
    """Its attempts are runs without a parent; the decision holds them together."""
    ledger = MemoryLedger()
    tracker = OutcomeTracker(ledger)
    model = ChatRouter(
        {"small": ScriptedModel("Hm."), "large": ScriptedModel("42")},
        policy=Cascade(["small", "large"]),
        verifier=lambda message: "42" in message.text,
        ledger=ledger,
    )
    answer = model.invoke("What is 6 * 7?", {"callbacks": [tracker]})
    decision_id = answer.response_metadata["langroute"]["decision_id"]
    found = totals(tracker, decision_id)
    assert (found.calls, found.decisions, found.escalations) == (2, 1, 1)


def test_a_judges_call_is_counted_and_its_cost_only_once() -> None:
    """The decision has the cost, the tracker saw the tokens."""
    ledger = MemoryLedger()
    judge = Judge(ScriptedModel("SCORE: 9", model="judge"), price={"input": 1, "output": 1})
    price = {"scripted": {"input": 1, "output": 1}, "judge": {"input": 1, "output": 1}}
    model = ChatRouter(
        {"small": ScriptedModel("42"), "large": ScriptedModel("43")},
        policy=Cascade(["small", "large"]),
        verifier=judge,
        ledger=ledger,
        prices=price,
    )
    app = one_node(lambda state: {"text": model.invoke("What is 6 * 7?").text})
    tracker = OutcomeTracker(ledger, prices=price)
    app.invoke({"text": ""}, {"callbacks": [tracker], "metadata": {"thread_id": "t1"}})
    found = totals(tracker, "t1")
    decision = ledger.latest()
    assert (found.calls, found.judges, found.decisions) == (2, 1, 1)
    assert found.cost_usd == pytest.approx(decision.cost_usd)
    assert found.verify_usd > 0


def test_a_decision_in_a_run_without_a_task_belongs_to_the_root_run(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "l.db") as ledger:
        tracker = OutcomeTracker(ledger)
        model = ChatRouter({"small": ScriptedModel("ok")}, policy=Fixed("small"), ledger=ledger)
        app = one_node(lambda state: {"text": model.invoke("a").text + model.invoke("b").text})
        from uuid import uuid4

        root = uuid4()
        app.invoke({"text": ""}, {"callbacks": [tracker], "run_id": root})
        found = totals(tracker, str(root))
        assert (found.decisions, found.calls, found.state) == (2, 2, "ok")


# Signals -------------------------------------------------------------------------------------------------------------


def test_evaluators_judge_a_sample_beside_the_program() -> None:
    tracker = OutcomeTracker(evaluators=[Evaluator(lambda run: "42" in run.output.text, name="has_42", sample=0.5)])
    for number in range(60):
        ScriptedModel("42" if number % 2 else "43").invoke(
            "6 * 7?", {"callbacks": [tracker], "metadata": {"langroute_task": f"t{number}"}}
        )
    tracker.flush()
    told = [tracker.ledger.outcomes_of(f"t{number}") for number in range(60)]
    judged = [number for number in range(60) if told[number]]
    assert 15 < len(judged) < 45
    assert all(told[number][0].success is bool(number % 2) for number in judged)
    assert told[judged[0]][0].source == "evaluator:has_42"


def test_any_verifier_is_an_evaluator_and_its_cost_is_known() -> None:
    judge = Judge(ScriptedModel("Right. SCORE: 8"), price={"input": 1, "output": 1})
    tracker = OutcomeTracker(evaluators=[Evaluator(judge)], prices=PRICES)
    ScriptedModel("42").invoke("6 * 7?", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    found = totals(tracker, "t1")
    assert (found.success, found.judges, found.calls) == (True, 1, 2)
    assert found.by_basis["evaluator"].cost_usd > 0


def evaluated(tracker: OutcomeTracker) -> None:
    ScriptedModel("42").invoke("6 * 7?", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    tracker.flush()


def test_an_evaluator_that_cannot_run_is_heard_of() -> None:
    """A judge whose every call fails must not look like one that finds nothing wrong."""

    def broken(run: Any) -> float:
        raise KeyError("nothing")

    tracker = OutcomeTracker(evaluators=[Evaluator(broken), Evaluator(lambda run: True, name="fine")])
    with pytest.warns(DegradedWarning, match="broken"):
        evaluated(tracker)
    assert tracker.jury.unjudged == 1
    assert [outcome.key for outcome in tracker.ledger.outcomes_of("t1")] == ["fine"]


async def test_an_async_evaluator_is_awaited() -> None:
    async def kind(run: Any) -> Verdict:
        await asyncio.sleep(0)
        return Verdict("kind", 0.25, cost_usd=0.5)

    tracker = OutcomeTracker(evaluators=[Evaluator(kind)])
    await ScriptedModel("42").ainvoke("6 * 7?", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    found = totals(tracker, "t1")
    assert (found.success, found.cost_usd) == (False, 0.5)


def test_asking_again_is_told_of_the_answer_before() -> None:
    ledger = MemoryLedger()
    tracker = OutcomeTracker(ledger, implicit=ImplicitFeedback())
    model = ChatRouter({"small": ScriptedModel("Port 80."), "large": ScriptedModel("8080")}, policy=Fixed("small"), ledger=ledger)
    question = HumanMessage("Which port does the server use?")
    with task("first"):
        answer = model.invoke([question], {"callbacks": [tracker]})
    with task("second"):
        model.invoke([question, answer, question], {"callbacks": [tracker]})
    assert totals(tracker, "first").success is False
    assert totals(tracker, "second").success is None


@pytest.mark.parametrize(
    ("now", "signal"),
    [
        ("Which port does the server use, please?", "asked_again"),
        ("That's wrong.", "asked_again"),
        ("It still doesn't work", "asked_again"),
        ("Undo that.", "undone"),
        ("please revert the last commit", "undone"),
        # Follow-ups on the topic, and words inside other words and other sentences, are no complaint.
        ("Which port does the database use?", None),
        ("And does the server use TLS on that port?", None),
        ("How do I undo a commit in git?", None),
        ("Revert the string and print it", None),
        ("The wrongful claim: that's wrongly reported, isn't it?", None),
        ("ok", None),
        ("Thanks!", None),
    ],
)
def test_only_plain_words_count_as_a_signal(now: str, signal: str | None) -> None:
    turns = [HumanMessage("Which port does the server use?"), AIMessage("80"), HumanMessage(now)]
    told = ImplicitFeedback().heard(turns, task_id="t1")
    assert (told.key if told is not None else None) == signal


def test_an_environment_variable_switches_tracking_on(tmp_path: Path) -> None:
    """Without a line of the program changed but the import."""
    program = textwrap.dedent(
        """
        import langroute.tracking.callbacks
        from langroute.core.task_context import task
        from langroute.testing import ScriptedModel

        with task("t1"):
            for _ in range(3):
                ScriptedModel("ok").invoke("hi")
        """
    )
    environment = {**os.environ, "LANGROUTE_LEDGER": str(tmp_path / "l.db")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    with open_ledger(tmp_path / "l.db") as ledger:
        assert ledger.task("t1").calls == 3
    environment["LANGROUTE_LEDGER"] = ""
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60, cwd=tmp_path)


def test_many_first_runs_at_once_share_one_ledger(tmp_path: Path) -> None:
    """A server's first requests come in several threads; each with a ledger of its own would take as many connections."""
    program = textwrap.dedent(
        """
        import gc, threading
        import langroute.tracking.callbacks
        from langroute.core.task_context import task
        from langroute.ledger.sql import SqlLedger
        from langroute.testing import ScriptedModel

        together = threading.Barrier(8)

        def request(number):
            together.wait()
            with task(f"t{number}"):
                ScriptedModel("ok").invoke("hi")

        threads = [threading.Thread(target=request, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sum(isinstance(one, SqlLedger) for one in gc.get_objects()))
        """
    )
    environment = {**os.environ, "LANGROUTE_LEDGER": str(tmp_path / "l.db")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == "1"
    with open_ledger(tmp_path / "l.db") as ledger:
        assert [ledger.task(f"t{number}").calls for number in range(8)] == [1] * 8


@pytest.mark.parametrize("where", ["{folder}/nowhere/l.db", "{folder}/letter.db", "mysql://host/db"])
def test_a_ledger_of_the_environment_that_cannot_be_opened_stops_no_program(tmp_path: Path, where: str) -> None:
    """Measuring must not be what breaks a program; nor may it fail in silence."""
    (tmp_path / "letter.db").write_text("This is a letter, and no database. " * 100)
    program = textwrap.dedent(
        """
        import langroute.tracking.callbacks
        from langroute.testing import ScriptedModel

        for _ in range(3):
            print(ScriptedModel("ok").invoke("hi").text)
        """
    )
    environment = {**os.environ, "LANGROUTE_LEDGER": where.format(folder=tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ok\nok\nok\n"
    assert done.stderr.count("Nothing is recorded in this process") == 1


def test_calls_of_a_decision_that_never_comes_are_written_after_a_while() -> None:
    """A router with a ledger of its own: its calls are counted, once patience or room is at its end."""
    from langroute.tracking.pending_calls import PendingCalls

    now = [0.0]
    ledger = MemoryLedger()
    holding = PendingCalls(ledger, patience_s=10, most=3, clock=lambda: now[0])
    holding.hold([CallRecord("t1", decision_id="elsewhere", cost_usd=0.5)])
    assert ledger.task("t1") is None
    now[0] = 11
    holding.hold([CallRecord("t2", decision_id=f"other-{number}") for number in range(5)])
    assert ledger.task("t1").cost_usd == 0.5
    assert (ledger.task("t2").calls, len(holding)) == (2, 3)
    holding.flush()
    assert (ledger.task("t2").calls, len(holding)) == (5, 0)


def test_a_path_is_a_ledger_as_it_is_for_a_router(tmp_path: Path) -> None:
    """The tracker, `track` and a router that name one path write to one ledger."""
    where = str(tmp_path / "ledger.db")
    tracker = OutcomeTracker(where, prices=PRICES)
    with track("t1", ledger=where):
        ScriptedModel("Hm.").invoke("Hi.")
    ScriptedModel("Hm.").invoke("Hi.", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    router = ChatRouter({"small": ScriptedModel("Hm.")}, ledger=where)
    tracker.flush()

    assert router.ledger is tracker.ledger
    found = tracker.task("t1")
    assert found is not None
    assert found.calls == 2
    with track("t2", ledger=where) as outer, track("t3", ledger=Path(where)) as inner:
        assert inner.tracker is outer.tracker
    tracker.ledger.close()
