"""The store that the workers of a gateway share hangs: conversations are answered, with what this worker remembers of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

import pytest

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
