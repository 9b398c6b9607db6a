"""The store that the workers of a gateway share hangs: conversations are answered, with what this worker remembers of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from time import monotonic
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute.core.records import Decision, Step
from langroute.gateway.thread_records import ThreadRecord, ThreadRecords
from langroute.state.memory import MemoryState

pytestmark = pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")


class Stuck(MemoryState):
    """A store that answers nobody as long as it is stuck."""

    def __init__(self) -> None:
        super().__init__()
        self.flows, self.asked = threading.Event(), 0

    def read(self, space: str, keys: Sequence[str]) -> Any:
        self.asked += 1
        assert self.flows.wait(60)
        return super().read(space, keys)


def remembered() -> ThreadRecord:
    record = ThreadRecord()
    record.note([], Decision("d1", Step("chat"), "small", ()), "small-1", ["abc"])
    return record


async def test_conversations_are_answered_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.gateway.thread_records.READ_S", 0.05)
    store = Stuck()
    threads = ThreadRecords(store, shared=True)
    threads.keep("mine", remembered())
    found = await asyncio.gather(*(threads.of(key, begun=True) for key in ("mine", "yours", "mine") * 20))
    assert found[0].reasoning == {"abc": "small-1"}
    assert found[1].reasoning == {}
    # Not asked any more for a while, and nobody else's threads are taken.
    begun, asked = monotonic(), store.asked
    await threads.of("mine", begun=True)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 30) == 1
    assert store.asked == asked or monotonic() - begun > 1.0
    store.flows.set()
    await threads.close()


async def test_a_store_that_is_back_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.gateway.thread_records.READ_S", 0.05)
    monkeypatch.setattr("langroute.gateway.thread_records.REST_S", 0.0)
    store = Stuck()
    other, threads = ThreadRecords(store, shared=True), ThreadRecords(store, shared=True)
    assert (await threads.of("theirs", begun=True)).reasoning == {}
    store.flows.set()
    other.keep("theirs", remembered())
    await other.close()
    monkeypatch.setattr("langroute.gateway.thread_records.READ_S", 30.0)
    assert (await threads.of("theirs", begun=True)).reasoning == {"abc": "small-1"}


async def test_what_others_remember_outlasts_a_record_begun_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.gateway.thread_records.READ_S", 0.05)
    store = Stuck()
    other, threads = ThreadRecords(store, shared=True), ThreadRecords(store)
    monkeypatch.setattr("langroute.gateway.thread_records.REST_S", 0.0)
    blind = await threads.of("theirs", begun=True)
    assert blind.reasoning == {}
    store.flows.set()
    other.keep("theirs", remembered())
    await other.close()
    answered = [AIMessage("one"), AIMessage("two")]
    blind.note(answered, Decision("d2", Step("chat"), "large", ()), "large-1", ["def"])
    threads.keep("theirs", blind)
    await threads.close()
    monkeypatch.setattr("langroute.gateway.thread_records.READ_S", 30.0)
    for one in (other, ThreadRecords(store)):
        found = await one.of("theirs", begun=True)
        assert found.reasoning == {"abc": "small-1", "def": "large-1"}
        assert [(place, told["decision_id"]) for place, told in found.decisions] == [(0, "d1"), (2, "d2")]
    # Who began without it reads it later, though nobody else writes to the store.
    found = await threads.of("theirs", begun=True)
    assert found.foreign_to("large-1") == {"abc"}


def test_decisions_that_a_client_went_back_behind_stay_away() -> None:
    went_back, before = ThreadRecord({}, [(0, {}), (1, {"decision_id": "new"})]), ThreadRecord({}, [(0, {}), (1, {}), (2, {})])
    assert went_back.after(before).decisions == went_back.decisions


class Slow(MemoryState):
    """A store that answers each read after a moment."""

    asked = 0

    def read(self, space: str, keys: Sequence[str]) -> Any:
        self.asked += 1
        time.sleep(0.05)
        return super().read(space, keys)


async def test_a_crowd_of_reads_is_no_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.gateway.thread_records.READERS", 1)
    store = Slow()
    threads = ThreadRecords(store, shared=True)
    await asyncio.gather(*(threads.of(str(number), begun=True) for number in range(40)))
    asked = store.asked
    assert asked < 40
    await threads.of("another", begun=True)
    assert store.asked > asked
