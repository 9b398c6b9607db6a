"""However many trackers, ledgers and routers of one process tell one database about a call, it is counted once."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from waiting import until

from langroute import ChatRouter, OutcomeTracker, Route
from langroute.core.records import Decision, Step
from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.ledger.sql import SqlLedger
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import track

PRICES = {"scripted": {"input": 1, "output": 2}}


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[tuple[SqlLedger, SqlLedger]]:
    """Two ledgers of one database, opened by different names."""
    (tmp_path / "link").symlink_to(tmp_path)
    with open_ledger(tmp_path / "ledger.db") as one, open_ledger(tmp_path / "link" / "ledger.db") as other:
        yield one, other


def counted(ledgers: Any, task_id: str) -> Any:
    for ledger in ledgers:
        ledger.flush()
    return ledgers[0].task(task_id)


def run(model: Any, callbacks: list[Any], task_id: str = "t1") -> None:
    step = RunnableLambda(lambda text: model.invoke(text).text)
    step.invoke("hi", {"callbacks": callbacks, "metadata": {"langroute_task": task_id}})


# Routers and trackers -----------------------------------------------------------------------------------------------------


def test_two_ledgers_of_one_database_are_the_same(ledgers: Any, tmp_path: Path) -> None:
    with open_ledger(tmp_path / "another.db") as another:
        assert ledgers[0].identity == ledgers[1].identity != another.identity
        ledgers[0].record(Decision("d1", Step(), "a", ()))
        assert ledgers[1].knows("d1")
        assert not another.knows("d1")
        assert ledgers[1].get("d1") == ledgers[0].get("d1") is not None
        assert another.get("d1") is None


@pytest.mark.parametrize("first", [0, 1])
def test_a_routers_call_is_not_counted_by_a_tracker_of_another_ledger_object(ledgers: Any, first: int) -> None:
    router = ChatRouter({"a": ScriptedModel("Hm.")}, ledger=ledgers[first], prices=PRICES)
    tracker = OutcomeTracker(ledgers[1 - first])
    run(router, [tracker])
    tracker.flush()
    found = counted(ledgers, "t1")
    assert (found.calls, found.decisions, found.unknown_costs) == (1, 1, 0)


def test_a_decision_belongs_to_the_run_that_another_ledger_object_heard_of(ledgers: Any) -> None:
    """The claim reaches the queue that has the decision."""
    router = ChatRouter({"a": ScriptedModel("Hm.")}, ledger=ledgers[0])
    with track("ticket", ledger=ledgers[1]) as tracked:
        router.invoke("hi")
    ledgers[0].flush()
    assert (tracked.totals.decisions, tracked.totals.calls) == (1, 1)

    ledgers[0].record(Decision("alone", Step(), "a", ()))
    ledgers[1].claim("alone", "late")
    assert counted(ledgers, "late").decisions == 1


def test_a_claim_outlives_the_ledger_that_had_the_decision(ledgers: Any) -> None:
    ledgers[1].record(Decision("alone", Step(), "a", ()))
    ledgers[1].close()
    ledgers[0].claim("alone", "late")
    assert ledgers[0].task("late").decisions == 1


def test_of_two_trackers_one_counts(ledgers: Any) -> None:
    model = ScriptedModel(ConnectionError("once"), "ok").with_retry(wait_exponential_jitter=False)
    run(model, [OutcomeTracker(ledgers[0]), OutcomeTracker(ledgers[1])])
    assert (counted(ledgers, "t1").calls, counted(ledgers, "t1").errors) == (2, 1)


def test_two_trackers_of_different_ledgers_both_count() -> None:
    one, other = MemoryLedger(), MemoryLedger()
    run(ScriptedModel("ok"), [OutcomeTracker(one), OutcomeTracker(other)])
    assert one.task("t1").calls == other.task("t1").calls == 1


def test_a_tracker_inside_another_ones_run_counts_what_it_sees(ledgers: Any) -> None:
    inner = OutcomeTracker(ledgers[1])

    def work(text: str) -> str:
        ScriptedModel("ok").invoke(text, {"callbacks": [inner]})
        return str(ScriptedModel("ok").invoke(text).text)

    RunnableLambda(work).invoke("hi", {"callbacks": [OutcomeTracker(ledgers[0])], "metadata": {"langroute_task": "t1"}})
    with ledgers[0].reading() as connection:
        ledgers[1].flush()
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM calls").scalar() == 2


def test_a_stream_that_two_trackers_saw_left_is_abandoned_once(ledgers: Any) -> None:
    chain = RunnableLambda(lambda text: text) | RunnableLambda(lambda text: ScriptedModel("ok").invoke(text).text)
    trackers = [OutcomeTracker(ledgers[0]), OutcomeTracker(ledgers[1])]
    stream = chain.stream("hi", {"callbacks": trackers, "metadata": {"langroute_task": "t1"}})
    next(stream)
    stream.close()
    counted(ledgers, "t1")
    assert [outcome.key for outcome in ledgers[0].outcomes_of("t1")] in (["abandoned"], [])


ENVIRONMENT = """
    import sys
    import langroute.tracking.callbacks
    from langchain_core.runnables import RunnableLambda
    from langroute import ChatRouter, OutcomeTracker
    from langroute.ledger import open_ledger
    from langroute.testing import ScriptedModel

    def opened():
        return open_ledger(sys.argv[1])

    def step(model):
        return RunnableLambda(lambda text: model.invoke(text).text)

    if "late" in sys.argv:
        # The environment's ledger is there first.
        step(ScriptedModel("Hm.")).invoke("hi", {"metadata": {"langroute_task": "before"}})
    ledger = opened()
    callbacks = [OutcomeTracker(ledger)] if "tracker" in sys.argv else []
    router = ChatRouter({"a": ScriptedModel("Hm.")}, ledger=ledger)
    for name, model in (("routed", router), ("unrouted", ScriptedModel("Hm."))):
        step(model).invoke("hi", {"callbacks": callbacks, "metadata": {"langroute_task": name}})
"""


@pytest.mark.parametrize("late", ["late", ""])
@pytest.mark.parametrize("tracker", ["tracker", ""])
def test_the_environments_ledger_beside_the_programs_own(tmp_path: Path, tracker: str, late: str) -> None:
    where = tmp_path / "ledger.db"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(ENVIRONMENT), str(where), tracker, late],
        env={**os.environ, "LANGROUTE_LEDGER": os.path.relpath(where, tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    with open_ledger(where) as ledger:
        routed, unrouted = ledger.task("routed"), ledger.task("unrouted")
        assert (routed.calls, routed.decisions, routed.state) == (1, 1, "ok")
        assert (unrouted.calls, unrouted.decisions, unrouted.state) == (1, 0, "ok")


# Streams that are left ----------------------------------------------------------------------------------------------------


class Slow(BaseChatModel):
    """Streams a word every hundredth of a second."""

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("x"))])

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        for word in ("one ", "two ", "three ", "four "):
            chunk = ChatGenerationChunk(message=AIMessageChunk(word))
            if run_manager:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["cancelled", "left"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_call_whose_client_leaves_is_counted_once(how: str, at_once: bool) -> None:
    """Also where somebody flushes before the stream is closed and its decision written."""
    ledger = MemoryLedger()
    tracker = OutcomeTracker(ledger)
    router = ChatRouter({"a": Route(Slow(), price={"input": 1, "output": 2})}, ledger=ledger)
    chain = RunnableLambda(lambda text: text) | router
    began = asyncio.Event()

    async def request() -> None:
        async for _ in chain.astream("hi", {"callbacks": [tracker], "metadata": {"thread_id": "t1"}}):
            began.set()
            if how == "left":
                break

    task = asyncio.create_task(request())
    await began.wait()
    if how == "cancelled":
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    # Its traceback holds the stream.
    del task
    if at_once:
        tracker.flush()
    gc.collect()
    await until(lambda: ledger.decisions)
    tracker.flush(final=True)
    found = ledger.task("t1")
    assert (found.calls, found.decisions) == (1, 1)


async def test_a_left_call_of_a_router_that_writes_elsewhere_is_counted_at_last() -> None:
    tracker = OutcomeTracker()
    elsewhere = MemoryLedger()
    router = ChatRouter({"a": Route(Slow(), price={"input": 1, "output": 2})}, ledger=elsewhere)
    chain = RunnableLambda(lambda text: text) | router
    stream = chain.astream("hi", {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}})
    async for _ in stream:
        break
    await stream.aclose()
    gc.collect()
    await until(lambda: elsewhere.decisions)
    tracker.flush(final=True)
    assert tracker.task("t1").calls == 1
