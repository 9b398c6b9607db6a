"""A router with everything that a fork could break, made before its process forks; the web application and the jobs use it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets import SqliteBudgets
from langroute.cache.response import ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.cache.stores.sqlite import SqliteStore
from langroute.ledger import open_ledger
from langroute.policies import Escalate, Fallback, Sticky
from langroute.testing import ScriptedModel

COST = 0.001
"""USD of each call that a model answers: 1000 tokens at 1 USD per million."""


def answer(_: Any) -> AIMessage:
    return AIMessage("An answer.", usage_metadata={"input_tokens": 500, "output_tokens": 500, "total_tokens": 1000})


def model(folder: Path) -> ChatRouter:
    price = {"input": 1, "output": 1}
    return ChatRouter(
        {tier: Route(ScriptedModel(answer, model=tier), price=price, tier=tier) for tier in ("cheap", "frontier")},
        policy=Fallback(Sticky(Escalate(["cheap", "frontier"]))),
        budget=[Budget(usd=1000, per="all", name="team", store=SqliteBudgets(folder / "budgets.db"))],
        # What waits is written because the process ends, not because half a second is over.
        ledger=open_ledger(folder / "ledger.db", flush_interval_s=30),
        response_cache=ResponseCache(SqliteStore(folder / "cache.db"), semantic=SemanticCache(explore=0)),
    )


def busy(router: Any, mark: str) -> tuple[threading.Event, list[int], list[threading.Thread]]:
    """Threads that make calls until they are told to stop; how many each made."""
    stop, done = threading.Event(), [0, 0, 0]

    def work(number: int) -> None:
        while not stop.wait(0.005):
            place = done[number]
            router.invoke(f"{mark} {number} {place}: go on with it.", {"configurable": {"thread_id": f"{mark}{number}-{place}"}})
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(done))]
    for thread in threads:
        thread.start()
    return stop, done, threads
