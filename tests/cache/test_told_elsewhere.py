"""A bad outcome withdraws the answers of a task, in whatever process and to whatever it is recorded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from waiting import until

from langroute import ChatRouter, Route, task
from langroute.cache import ResponseCache
from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Fixed
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome


def worker(folder: Path, ledger: Any = None) -> ChatRouter:
    route = Route(ScriptedModel("Wrong.", model="m"), price={"input": 1, "output": 4})
    return ChatRouter({"only": route}, policy=Fixed("only"), response_cache=ResponseCache(str(folder / "c.db")), ledger=ledger)


def cached(message: AIMessage) -> str:
    return str(message.response_metadata["langroute"]["cache"])


def test_the_worker_that_gave_the_answer_need_not_be_the_one_that_hears_of_it(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    first.invoke("What is the answer?")
    with task("ticket-1"):
        assert cached(second.invoke("What is the answer?")) == "hit"

    record_outcome(first, False, task_id="ticket-1")

    assert cached(second.invoke("What is the answer?")) == "miss"


async def test_an_awaited_hit_is_found_too(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    await first.ainvoke("What is the answer?")
    with task("ticket-1"):
        hit = await second.ainvoke("What is the answer?")
    store = first.response_cache.store
    await until(lambda: store.tagged("task:ticket-1"))

    record_outcome(first, False, decision_id=hit.response_metadata["langroute"]["decision_id"])

    assert cached(await second.ainvoke("What is the answer?")) == "miss"


def test_another_task_keeps_its_answer(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    with task("a"):
        first.invoke("One?")
    with task("b"):
        second.invoke("Two?")

    record_outcome(second, False, task_id="b")

    assert (cached(first.invoke("One?")), cached(first.invoke("Two?"))) == ("hit", "miss")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_an_outcome_that_is_recorded_to_the_ledger_alone_withdraws_too(tmp_path: Path, kind: str) -> None:
    ledger = MemoryLedger() if kind == "memory" else open_ledger(tmp_path / "l.db")
    model = worker(tmp_path, ledger)
    with task("t"):
        model.invoke("What is the answer?")

    record_outcome(ledger, True, task_id="t")
    assert cached(model.invoke("What is the answer?")) == "hit"
    record_outcome(ledger, False, task_id="t", source="helpdesk")

    assert cached(model.invoke("What is the answer?")) == "miss"


def test_a_job_in_another_process_records_to_the_ledger_and_to_the_cache(tmp_path: Path) -> None:
    model = worker(tmp_path, open_ledger(tmp_path / "l.db"))
    with task("t"):
        model.invoke("What is the answer?")
    job = (
        "from langroute.cache import ResponseCache; from langroute.ledger import open_ledger\n"
        "from langroute.tracking.outcomes import record_outcome\n"
        f"ledger = open_ledger({str(tmp_path / 'l.db')!r})\n"
        f"record_outcome([ledger, ResponseCache({str(tmp_path / 'c.db')!r})], False, task_id='t')\n"
        "ledger.close()"
    )
    subprocess.run([sys.executable, "-c", job], check=True)

    assert cached(model.invoke("What is the answer?")) == "miss"


def test_a_router_that_is_gone_hears_nothing_more(tmp_path: Path) -> None:
    import gc

    ledger = MemoryLedger()
    worker(tmp_path, ledger).invoke("What is the answer?")
    gc.collect()
    record_outcome(ledger, False, task_id="t")
