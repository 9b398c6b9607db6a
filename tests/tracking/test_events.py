"""Events of LangChain that the tracker hears in process: text models, streams of events, retries, retrievers, custom events."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import tenacity
from langchain_core.callbacks import CallbackManagerForToolRun, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, tool
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy
from typing_extensions import TypedDict
from waiting import until

from langroute import Budget, ChatRouter, Route
from langroute.core.records import Attempt, Decision, Selection, Step
from langroute.core.task_context import task
from langroute.engine.events import EVENT
from langroute.ledger import open_ledger
from langroute.ledger.facts import JUDGE_TAG, CallRecord
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Cascade, Fixed
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker, track
from langroute.tracking.evaluators import Evaluator
from langroute.tracking.run_tree import MOST_ROOTS, RunTree
from langroute.verifiers import Judge

PRICES = {"scripted": {"input": 1.0, "output": 2.0}}


class Noting(MemoryLedger):
    """A ledger that keeps each call as it was told, and what was said in it."""

    keeps_text = True

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[CallRecord] = []
        self.claims: list[str] = []

    def record_call(self, call: Any) -> None:
        told = call() if callable(call) else call
        self.calls.append(told)
        super().record_call(told)

    def claim(self, decision_id: str, task_id: str) -> None:
        self.claims.append(task_id)
        super().claim(decision_id, task_id)


@pytest.fixture
def ledger() -> Noting:
    return Noting()


@pytest.fixture
def tracker(ledger: Noting) -> OutcomeTracker:
    return OutcomeTracker(ledger, prices=PRICES)


def heard(tracker: OutcomeTracker, **config: Any) -> dict[str, Any]:
    """A config with the tracker in it; its calls belong to task `t1`."""
    return {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}, **config}


class State(TypedDict, total=False):
    text: str


def one_node(action: Any, **options: Any) -> Any:
    built = StateGraph(State)
    built.add_node("node", action, **options)
    built.add_edge(START, "node")
    built.add_edge("node", END)
    return built.compile()


# Text models -------------------------------------------------------------------------------------------------------------


class Priced(FakeListLLM):
    """A text model that says what it used, as those of providers do."""

    def _generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        told = {"token_usage": {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}}
        return LLMResult(generations=[[Generation(text="fine")] for _ in prompts], llm_output=told)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "scripted", "ls_model_name": "scripted", "ls_model_type": "llm"}


class Failing(FakeListLLM):
    """A text model whose first call fails."""

    failed: bool = False

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        if not self.failed:
            self.failed = True
            raise ConnectionError("once")
        return "fine"


def test_a_text_model_is_a_call_with_its_prompt_its_answer_and_its_task(tracker: OutcomeTracker, ledger: Noting) -> None:
    Priced(responses=["fine"]).invoke("Once upon a time", heard(tracker))
    found = tracker.task("t1")
    assert (found.calls, found.errors, found.retries, found.state) == (1, 0, 0, "ok")
    assert found.cost_usd == pytest.approx((30 * 1 + 5 * 2) / 1e6)
    (call,) = ledger.calls
    assert (call.what, call.messages, call.answer, call.model) == ("model", ("Once upon a time",), "fine", "scripted")
    assert (call.usage.input_tokens, call.usage.output_tokens) == (30, 5)


async def test_a_text_model_that_is_awaited_is_a_call_too(tracker: OutcomeTracker, ledger: Noting) -> None:
    await FakeListLLM(responses=["fine"]).ainvoke("Once upon a time", heard(tracker))
    assert [(call.messages, call.answer, call.cost_usd) for call in ledger.calls] == [(("Once upon a time",), "fine", None)]


def test_a_ledger_that_keeps_no_text_is_given_none() -> None:
    class Discreet(Noting):
        keeps_text = False

    ledger = Discreet()
    FakeListLLM(responses=["fine"]).invoke("A secret", heard(OutcomeTracker(ledger)))
    assert [(call.messages, call.answer) for call in ledger.calls] == [((), None)]


def test_a_text_model_that_fails_is_tried_again_by_langchain(tracker: OutcomeTracker, ledger: Noting) -> None:
    model = Failing(responses=["fine"]).with_retry(wait_exponential_jitter=False, stop_after_attempt=2)
    model.invoke("hi", heard(tracker))
    assert [(call.error_type, call.retry, call.cost_usd) for call in ledger.calls] == [
        ("ConnectionError", False, 0.0),
        (None, True, None),
    ]


def test_a_text_model_in_a_node_that_langgraph_runs_again_is_a_retry(tracker: OutcomeTracker, ledger: Noting) -> None:
    model = Failing(responses=["fine"])
    app = one_node(lambda state: {"text": model.invoke("hi")}, retry_policy=RetryPolicy(initial_interval=0.01, jitter=False))
    app.invoke({"text": ""}, heard(tracker))
    assert [(call.error_type, call.retry) for call in ledger.calls] == [("ConnectionError", False), (None, True)]
    assert tracker.task("t1").state == "ok"


# Streams of events -------------------------------------------------------------------------------------------------------


def test_the_first_event_of_a_stream_is_its_first_token(tracker: OutcomeTracker, ledger: Noting) -> None:
    stream = iter(ScriptedModel("one two three").stream_events("hi", heard(tracker), version="v3"))
    next(stream)
    # A reader who takes this long moves the end, not the beginning.
    time.sleep(0.05)
    assert len(list(stream)) > 2
    (call,) = ledger.calls
    assert 0 <= call.first_token_s <= call.latency_s - 0.05


async def test_the_first_event_of_an_awaited_stream_is_its_first_token(tracker: OutcomeTracker, ledger: Noting) -> None:
    stream = await ScriptedModel("one two three").astream_events("hi", heard(tracker), version="v3")
    assert len([event async for event in stream]) > 2
    # LangChain ends the run in a task of its own.
    (call,) = await until(lambda: ledger.calls)
    assert 0 <= call.first_token_s <= call.latency_s


def test_an_answer_that_comes_at_once_has_no_first_token(tracker: OutcomeTracker, ledger: Noting) -> None:
    ScriptedModel("ok").invoke("hi", heard(tracker))
    assert [call.first_token_s for call in ledger.calls] == [None]


def test_a_stream_that_fails_after_its_first_token_may_have_been_billed(tracker: OutcomeTracker, ledger: Noting) -> None:
    """One that fails before has cost nothing: the provider refused it."""

    class Breaking(ScriptedModel):
        after: int = 1

        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            for place, chunk in enumerate(super()._stream(*args, **kwargs)):
                if place == self.after:
                    raise ConnectionError("broke off")
                yield chunk

    for after in (0, 1):
        with pytest.raises(ConnectionError):
            list(Breaking("one two three", after=after).stream("hi", heard(tracker)))
    assert [(call.error_type, call.cost_usd, call.cost_basis) for call in ledger.calls] == [
        ("ConnectionError", 0.0, "refused"),
        ("ConnectionError", None, None),
    ]


# Retries inside one run --------------------------------------------------------------------------------------------------


class Trying(ScriptedModel):
    """An integration that tries again inside one run, and says so to its run manager."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        again = tenacity.Retrying(stop=tenacity.stop_after_attempt(4), reraise=True, before_sleep=run_manager.on_retry)
        return again(super()._generate, messages, stop, **kwargs)


def test_what_an_integration_tried_before_is_a_call_each(tracker: OutcomeTracker, ledger: Noting) -> None:
    Trying(ConnectionError("down"), TimeoutError("slow"), "ok").invoke("hi", heard(tracker))
    found = tracker.task("t1")
    assert (found.calls, found.errors, found.retries, found.unknown_costs, found.state) == (3, 2, 2, 1, "ok")
    assert [(call.error_type, call.retry, call.cost_usd == 0.0) for call in ledger.calls] == [
        ("ConnectionError", False, True),
        # It may have been answered after all, and billed.
        ("TimeoutError", True, False),
        (None, True, False),
    ]
    # One run of LangChain: its id names the call that ended it.
    assert [call.run_id is None for call in ledger.calls] == [True, True, False]


def test_an_integration_that_gives_up_has_failed_once_for_each_try(tracker: OutcomeTracker) -> None:
    with pytest.raises(ConnectionError):
        Trying(ConnectionError("down")).invoke("hi", heard(tracker))
    found = tracker.task("t1")
    assert (found.calls, found.errors, found.retries, found.cost_usd, found.unknown_costs) == (4, 4, 3, 0.0, 0)


def test_a_retry_without_a_reason_is_still_one(tracker: OutcomeTracker, ledger: Noting) -> None:
    class Silent(ScriptedModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            run_manager.on_retry(tenacity.RetryCallState(tenacity.Retrying(), None, (), {}))
            return super()._generate(messages, stop, **kwargs)

    Silent("ok").invoke("hi", heard(tracker))
    assert [(call.error_type, call.retry) for call in ledger.calls] == [("Retry", False), (None, True)]


def test_a_tool_that_tries_again_calls_no_model(tracker: OutcomeTracker, ledger: Noting) -> None:
    class Stubborn(BaseTool):
        name: str = "stubborn"
        description: str = "Tries twice."

        def _run(self, query: str, run_manager: CallbackManagerForToolRun) -> str:
            run_manager.on_retry(tenacity.RetryCallState(tenacity.Retrying(), None, (), {}))
            return query

    Stubborn().invoke({"query": "x"}, heard(tracker))
    found = tracker.task("t1")
    assert (found.calls, found.retries, found.tools, found.tool_errors) == (0, 0, 1, 0)
    assert [(call.what, call.tool, call.cost_usd) for call in ledger.calls] == [("tool", "stubborn", 0.0)]


# Tools and retrievers ----------------------------------------------------------------------------------------------------


class Shelf(BaseRetriever):
    """Finds one document, or fails."""

    fails: bool = False

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if self.fails:
            raise LookupError(query)
        return [Document("found")]


def test_a_retriever_is_asked_for_nothing_and_is_no_tool(tracker: OutcomeTracker, ledger: Noting) -> None:
    Shelf().invoke("x", heard(tracker))
    found = tracker.task("t1")
    assert (found.calls, found.tools, found.cost_usd, found.unknown_costs, found.state) == (0, 0, 0.0, 0, "ok")
    assert [(call.what, call.tool, call.cost_usd, call.error_type) for call in ledger.calls] == [("retriever", "Shelf", 0.0, None)]


def test_a_retriever_that_fails_ends_its_task(tracker: OutcomeTracker, ledger: Noting) -> None:
    with pytest.raises(LookupError):
        Shelf(fails=True).invoke("x", heard(tracker))
    assert tracker.task("t1").state == "error"
    assert [(call.what, call.error_type) for call in ledger.calls] == [("retriever", "LookupError")]


def test_a_retriever_inside_a_chain_belongs_to_the_chains_task(tracker: OutcomeTracker, ledger: Noting) -> None:
    root = uuid4()
    chain = Shelf() | RunnableLambda(lambda found: found[0].page_content) | ScriptedModel("ok")
    chain.invoke("x", {"callbacks": [tracker], "run_id": root})
    assert [(call.task_id, call.what) for call in ledger.calls] == [(str(root), "retriever"), (str(root), "model")]
    assert tracker.task(str(root)).state == "ok"


def test_an_interrupt_inside_a_tool_is_no_error_of_the_tool(tracker: OutcomeTracker, ledger: Noting) -> None:
    @tool
    def ask(query: str) -> str:
        """Asks a person."""
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        ask.invoke({"query": "x"}, heard(tracker))
    found = tracker.task("t1")
    assert (found.tools, found.tool_errors, found.state) == (1, 0, "interrupted")
    assert [call.error_type for call in ledger.calls] == [None]


# Calls that are still open when their root ends --------------------------------------------------------------------------


async def test_a_call_that_outlives_its_run_is_a_call_of_unknown_cost(tracker: OutcomeTracker, ledger: Noting) -> None:
    """A background task that nobody awaits: its run's end is the last that the task hears of it."""
    begun, release = threading.Event(), threading.Event()

    def slow(messages: Any) -> str:
        begun.set()
        release.wait(30)
        return "late"

    model, background = ScriptedModel(slow), []

    async def start(text: str) -> str:
        background.append(asyncio.create_task(model.ainvoke(text)))
        await asyncio.to_thread(begun.wait, 30)
        return text

    try:
        await RunnableLambda(start).ainvoke("hi", heard(tracker))
        found = tracker.task("t1")
        assert (found.calls, found.errors, found.unknown_costs, found.state) == (1, 1, 1, "ok")
        assert [(call.error_type, call.cost_usd) for call in ledger.calls] == [("CancelledError", None)]
    finally:
        release.set()
    await asyncio.gather(*background)
    assert tracker.task("t1").calls == 1, "it is not counted again when it ends"


async def test_calls_that_a_failing_run_cuts_off_say_what_cut_them_off(tracker: OutcomeTracker, ledger: Noting) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(messages: Any) -> str:
        begun.set()
        release.wait(30)
        return "late"

    model, background = ScriptedModel(slow), []

    async def fail(text: str) -> str:
        background.append(asyncio.create_task(model.ainvoke(text)))
        await asyncio.to_thread(begun.wait, 30)
        raise LookupError(text)

    try:
        with pytest.raises(LookupError):
            await RunnableLambda(fail).ainvoke("hi", heard(tracker))
        assert tracker.task("t1").state == "error"
        assert [(call.what, call.error_type, call.cost_usd) for call in ledger.calls] == [("model", "LookupError", None)]
    finally:
        release.set()
    await asyncio.gather(*background)


# Custom events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_decision_that_only_its_event_tells_of_belongs_to_the_run_around_it(kind: str, tmp_path: Path) -> None:
    """Whatever answered it, no run of a model was seen. One that names its task stays there."""
    ledger: Any = MemoryLedger() if kind == "memory" else open_ledger(tmp_path / "l.db")
    tracker, root = OutcomeTracker(ledger), uuid4()

    def step(text: str) -> str:
        for name, of in (("nameless", None), ("named", "mine")):
            dispatch_custom_event(EVENT, {"decision_id": name, "task_id": of})
            ledger.record(Decision(name, Step(task=of), "small", (Attempt(Selection("small"), cost_usd=0.25),)))
        return text

    RunnableLambda(step).invoke("hi", {"callbacks": [tracker], "run_id": root})
    assert [tracker.task(name).decisions for name in (str(root), "mine")] == [1, 1]
    if kind == "sqlite":
        ledger.close()


@pytest.mark.parametrize("inner", [None, "mine"])
def test_a_decision_that_called_no_route_is_claimed_once(tracker: OutcomeTracker, ledger: Noting, inner: str | None) -> None:
    """By the run of its closing message; the event that follows tells the same."""
    routes = {"dear": Route(ScriptedModel("never", max_tokens=1000), price={"input": 1000, "output": 1000})}
    budget, root = Budget(usd=0.0001, per="all", at_limit="finish"), uuid4()
    model = ChatRouter(routes, policy=Fixed("dear"), budget=budget, ledger=ledger)

    def step(text: str) -> str:
        if inner is None:
            return model.invoke(text).text
        with task(inner):
            return model.invoke(text).text

    assert RunnableLambda(step).invoke("hi", {"callbacks": [tracker], "run_id": root}) != "never"
    assert ledger.claims == [inner or str(root)]
    assert [tracker.task(str(root)).decisions, tracker.task(inner or str(root)).decisions] == ([1, 1] if inner is None else [0, 1])


def test_events_of_others_are_none_of_ours(tracker: OutcomeTracker, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever they carry: a handler that stumbles is logged by LangChain."""

    def step(text: str) -> str:
        dispatch_custom_event("progress", ["half"])
        dispatch_custom_event("progress", {"decision_id": "theirs"})
        dispatch_custom_event("progress", None)
        return text

    with caplog.at_level(logging.WARNING):
        RunnableLambda(step).invoke("hi", heard(tracker))
    assert [record.message for record in caplog.records] == []
    assert (tracker.task("t1").decisions, tracker.task("t1").state) == (0, "ok")


# Judges ------------------------------------------------------------------------------------------------------------------


def test_evaluators_see_the_answer_and_never_a_judges_opinion_of_it() -> None:
    """The judge is called last; what it said is no answer to what the person asked."""
    seen: list[Any] = []
    ledger = MemoryLedger()
    judge = Judge(ScriptedModel("SCORE: 9", model="judge"), price={"input": 1, "output": 1})
    model = ChatRouter(
        {"small": ScriptedModel("42"), "large": ScriptedModel("43")},
        policy=Cascade(["small", "large"]),
        verifier=judge,
        ledger=ledger,
        prices={"scripted": {"input": 1, "output": 1}},
    )
    tracker = OutcomeTracker(ledger, evaluators=[Evaluator(lambda run: seen.append(run) or True, name="looks")])
    chain = RunnableLambda(lambda text: model.invoke(text)) | RunnableLambda(lambda message: message.text)
    chain.invoke("What is 6 * 7?", heard(tracker))

    found = tracker.task("t1")
    assert (found.judges, found.success) == (1, True)
    (run,) = seen
    assert (run.answer.text, run.output, run.inputs, run.task_id) == ("42", "42", "What is 6 * 7?", "t1")
    assert [message.text for message in run.messages] == ["What is 6 * 7?"]


def test_evaluators_of_a_single_call_see_what_it_was_sent_and_its_answer() -> None:
    seen: list[Any] = []
    asked = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}])
    tracker = OutcomeTracker(evaluators=[Evaluator(lambda run: seen.append(run) or True, name="looks")])
    ScriptedModel(asked).invoke("Add one.", heard(tracker))
    tracker.flush()
    (run,) = seen
    assert [message.text for message in run.inputs] == [message.text for message in run.messages] == ["Add one."]
    assert run.answer.tool_calls[0]["name"] == "add"
    assert run.output is run.answer


def test_a_judge_inside_a_run_is_counted_as_one(tracker: OutcomeTracker, ledger: Noting) -> None:
    """By its tag, also where no router called it; outside of any run it is nobody's task."""
    judge = ScriptedModel("SCORE: 9").with_config(tags=[JUDGE_TAG])
    judge.invoke("Is it right?", heard(tracker))
    tracker.flush()
    assert ledger.task("t1") is None

    (ScriptedModel("42") | RunnableLambda(lambda message: judge.invoke(message.text))).invoke("6 * 7?", heard(tracker))
    found = tracker.task("t1")
    assert (found.calls, found.judges, found.state) == (2, 1, "ok")


# Nested tracking ---------------------------------------------------------------------------------------------------------


def test_a_ledger_of_its_own_goes_before_the_tracker_around() -> None:
    outer, inner = MemoryLedger(), MemoryLedger()
    with track("out", ledger=outer) as around:
        ScriptedModel("ok").invoke("hi")
        with track("in", ledger=inner) as within:
            ScriptedModel("ok").invoke("hi")
            ScriptedModel("ok").invoke("hi")
            assert within.tracker is not around.tracker
        ScriptedModel("ok").invoke("hi")
    assert (around.totals.calls, within.totals.calls) == (2, 2)
    assert (outer.task("in"), inner.task("out")) == (None, None)
    assert (outer.task("out").calls, inner.task("in").calls) == (2, 2)


def test_without_a_ledger_of_its_own_the_tracker_around_goes_on() -> None:
    outer = MemoryLedger()
    tracker = OutcomeTracker(outer)
    with track("out", tracker=tracker) as around, track("in") as within, track("in too", ledger=outer) as again:
        ScriptedModel("ok").invoke("hi")
    assert around.tracker is within.tracker is again.tracker is tracker
    # The task is the innermost one.
    assert [outer.task(name).calls for name in ("out", "in", "in too")] == [0, 0, 1]


def test_a_tracker_that_is_given_goes_before_all_else() -> None:
    outer, given = MemoryLedger(), OutcomeTracker()
    with track("out", ledger=outer), track("in", tracker=given, ledger=outer) as within:
        ScriptedModel("ok").invoke("hi")
    assert within.tracker is given
    assert given.task("in").calls == 1
    assert outer.task("in") is None


# Where and how long ---------------------------------------------------------------------------------------------------


async def test_awaited_calls_are_heard_on_their_own_thread() -> None:
    """A hop to a pool's thread for each event would cost more than the event."""
    heard: set[int] = set()

    class Noting(MemoryLedger):
        def record_task(self, record: Any) -> None:
            heard.add(threading.get_ident())
            super().record_task(record)

    chain = RunnableLambda(lambda text: text) | ScriptedModel("Yes.")
    await chain.ainvoke("Hi.", {"callbacks": [OutcomeTracker(Noting())]})

    assert heard == {threading.get_ident()}


def test_a_run_whose_beginning_is_told_twice_is_one() -> None:
    """As where a tracker is heard in two ways."""
    tree, run, inner = RunTree("thread:{}".format), uuid4(), uuid4()
    first = tree.start(run, None, {"thread_id": "a"}, None, "chain")
    below = tree.start(inner, run, None, None, "model")

    assert tree.start(run, None, {"thread_id": "b"}, None, "chain") is first is tree.run(run)
    assert tree.start(inner, None, None, None, "model") is below
    assert (first.root.task_id, below.task_id, below.root) == ("thread:a", "thread:a", first.root)


def test_runs_that_never_end_are_given_up_oldest_first() -> None:
    """A program that cancels its runs without a word does not fill the memory."""
    tracker = OutcomeTracker()

    def begin(name: str) -> None:
        tracker.on_chain_start({}, {}, run_id=uuid4(), metadata={"langroute_task": name})

    begin("first")
    begin("second")
    for _ in range(MOST_ROOTS - 2):
        begin("others")
    assert tracker.task("first").state is None  # type: ignore[union-attr]
    begin("last")

    assert [tracker.task(name).state for name in ("first", "second", "last")] == ["abandoned", None, None]  # type: ignore[union-attr]
    assert [outcome.source for outcome in tracker.ledger.outcomes_of("first")] == ["implicit:abandoned"]
