"""A decision and its outcome that two processes write at the same time find each other, without a roll-up."""

from __future__ import annotations

import threading
import time

import pytest

from langroute.core.records import Decision, Outcome, Step
from langroute.ledger import open_ledger

pytestmark = pytest.mark.server

ROUNDS = 150


def test_in_postgresql(postgres: str) -> None:
    with open_ledger(postgres, flush_interval_s=0.001) as answering, open_ledger(postgres, flush_interval_s=0.001) as told:
        turn = threading.Barrier(2, timeout=60)

        def decide() -> None:
            for number in range(ROUNDS):
                turn.wait()
                answering.record(Decision(f"d{number}", Step("chat", task=f"t{number}"), "small", (), started_at=time.time()))
                answering.flush()

        def tell() -> None:
            for number in range(ROUNDS):
                turn.wait()
                told.record_outcome(Outcome(success=True, decision_id=f"d{number}", source="user", at=time.time()))
                told.flush()

        threads = [threading.Thread(target=work) for work in (decide, tell)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lost = [number for number in range(ROUNDS) if getattr(told.task(f"t{number}"), "success", None) is not True]
        assert lost == []
        assert (answering.dropped, told.dropped) == (0, 0)
