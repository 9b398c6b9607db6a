"""Children that are forked by tests, threads that hold locks meanwhile, and everything that has one."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from langroute import Budget, ChatRouter, Route
from langroute.budgets import Hold, MemoryBudgets, SqliteBudgets
from langroute.budgets.settling import SETTLING
from langroute.cache.live import END, Plain
from langroute.cache.response import ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.cache.stores.memory import MemoryStore
from langroute.cache.stores.sqlite import SqliteStore
from langroute.core.worker_pool import Workers
from langroute.hooks import PrometheusHook
from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Bandit, CacheAware, Canary, Escalate, Fallback, Shadow, Sticky, SubagentCap
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker


def forked(work: Callable[[], Any], seconds: int = 40) -> int:
    """The exit code of a child that does some work: 0 where it is done, 1 where it failed, -14 where it hung."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            status = 0
        except BaseException:
            traceback.print_exc(limit=-3)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def held_elsewhere(locks: list[Any]) -> Iterator[None]:
    """Another thread holds locks."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            held.set()
            done.wait(90)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield
    finally:
        done.set()
        thread.join()


def routes(**more: Any) -> dict[str, Route]:
    made = {}
    for place, name in enumerate(("cheap", "frontier")):
        model = ScriptedModel(*["An answer to it."] * 5000, model=name)
        made[name] = Route(model, price={"input": 0.1 + place, "output": 0.1 + place}, tier=name, **more)
    return made


def climb() -> Escalate:
    return Escalate(["cheap", "frontier"])


def asks(model: Any) -> Callable[[], None]:
    """A few calls, of old threads and new ones, to be answered by a model and from a cache."""

    def ask() -> None:
        for place in range(3):
            config = {"configurable": {"thread_id": f"t{place}"}}
            model.invoke(f"What is the number {place} good for in mathematics?", config)
            model.invoke("What is the capital of France?", config)
            assert "".join(chunk.text for chunk in model.stream("Tell me of it.", config))

    return ask


def held_objects(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is used in a child, by name; each begins in the parent."""
    budgets, memory = SqliteBudgets(folder / "budgets.db"), MemoryBudgets()
    ledger = open_ledger(folder / "ledger.db")
    tracker = OutcomeTracker(open_ledger(folder / "tracked.db"))
    workers = Workers("held")
    tracked = ChatRouter(routes(), ledger=tracker.ledger)
    live = Plain(iter(["a", "b"]), "cheap", None)
    shadow = Shadow(climb(), ScriptedModel(*["Hm."] * 100), share=1.0)
    store = SqliteStore(folder / "store.db")
    found = {
        "default": asks(ChatRouter(routes())),
        "sticky": asks(ChatRouter(routes(), policy=Fallback(Sticky(climb())))),
        "within parent": asks(ChatRouter(routes(), policy=SubagentCap(CacheAware(climb())))),
        "bandit": asks(ChatRouter(routes(), policy=Bandit(["cheap", "frontier"], cost_weight=0.1))),
        "canary": asks(ChatRouter(routes(), policy=Canary(climb(), climb()))),
        "shadow": asks(ChatRouter(routes(), policy=shadow)),
        "memory ledger": asks(ChatRouter(routes(), ledger=MemoryLedger())),
        "sqlite ledger": asks(ChatRouter(routes(), ledger=ledger)),
        "flushing": ledger.flush,
        "tracker": lambda: tracked.invoke("Hello.", {"callbacks": [tracker]}),
        "tracked": tracker.flush,
        "memory budget": asks(ChatRouter(routes(), budget=[Budget(usd=1000, per="all", store=memory)])),
        "sqlite budget": asks(ChatRouter(routes(), budget=[Budget(usd=1000, per="all", store=budgets)])),
        "settling": lambda: (SETTLING.settle(budgets, None, [Hold("a", 1)]), SETTLING.wait(budgets)),
        "response cache": asks(ChatRouter(routes(), response_cache=ResponseCache(MemoryStore()))),
        "semantic cache": asks(ChatRouter(routes(), response_cache=ResponseCache(MemoryStore(), semantic=SemanticCache()))),
        "sqlite cache": asks(ChatRouter(routes(), response_cache=ResponseCache(store))),
        "sqlite store": lambda: (store.put("k", b"1"), store.get("k") == b"1" or 1 / 0),
        "prometheus": asks(ChatRouter(routes(), hooks=[PrometheusHook(CollectorRegistry())])),
        "live": lambda: [live.at(0), live.at(1), live.at(2) is END or 1 / 0],
        "workers": lambda: workers.submit(int).result(30),
    }
    for use in found.values():
        use()
    return found
