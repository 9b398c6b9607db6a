"""Invalidation: removes stored answers by their properties, after a bad hit was reported, or after a failed outcome."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from langroute.cache.reading import Readings
from langroute.cache.requests import Hit, Lookup
from langroute.cache.resilient_store import ResilientStore
from langroute.cache.stats import Counts
from langroute.cache.stores import Store
from langroute.core.errors import ConfigurationError
from langroute.core.locks import new_lock
from langroute.core.records import Outcome

REMEMBERED = 50_000
"""Most decisions whose entries are remembered, for outcomes and reports of bad hits."""


class Invalidation:
    """The part of a `ResponseCache` that removes stored answers.

    Args:
        store: Where answers are kept.
        semantic: The `SemanticCache`, if there is one.
        clock: Seconds since the epoch.
    """

    hears_ledger = True
    """Outcomes that are recorded to the router's ledger alone withdraw answers too."""

    def __init__(self, store: Store, semantic: Any, clock: Callable[[], float]) -> None:
        self.store, self.semantic, self._clock = store, semantic, clock
        self._counts = Counts()
        self._store_calls = ResilientStore(self._counts)
        self._readings = Readings()
        self._decisions: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        self._tasks: OrderedDict[str, set[str]] = OrderedDict()
        self._lock = new_lock()

    def _remember(self, ticket: Lookup, key: str, hit: Hit | None) -> None:
        ask = ticket.ask
        with self._lock:
            if ask.decision_id:
                # Not the answer itself: a deleted answer must not be kept anywhere.
                self._decisions[ask.decision_id] = (key, None if hit is None else hit.how)
                if len(self._decisions) > REMEMBERED:
                    self._decisions.popitem(last=False)
            if ask.task:
                used = self._tasks.setdefault(ask.task, set())
                if len(used) < 1000:
                    used.add(key)
                if len(self._tasks) > REMEMBERED // 10:
                    self._tasks.popitem(last=False)
        if hit is not None and ask.task and self.store.shared and self._store_calls.writable:
            self._tell_others(ticket, hit)

    def _tell_others(self, ticket: Lookup, hit: Hit) -> None:
        """Store which task and decision got an answer, so that an outcome that is recorded in another process withdraws it."""
        entry, ask = hit.entry, ticket.ask
        tags = [f"task:{ask.task}", *([f"decision:{ask.decision_id}"] if ask.decision_id else ())]
        work = partial(self._store_calls.ask, self.store.tag, entry.key, tags, expires=entry.expires, otherwise=None, writes=True)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            work()
        else:
            # Not awaited: the answer is ready. The loop ends its threads before it closes.
            loop.run_in_executor(None, work)

    def withdraw(self, *keys: str) -> int:
        """Delete answers, and all answers that were given with them in the history; return how many there were."""
        found: dict[str, None] = dict.fromkeys(keys)
        waiting = list(found)
        while waiting and len(found) < 100_000:
            answered = self._store_calls.ask(self.store.tagged, f"from:{waiting.pop()}", otherwise=None)
            if answered is None:
                # The store is unreachable; asking it for each key would take a timeout each.
                break
            for derived in answered:
                if derived not in found:
                    found[derived] = None
                    waiting.append(derived)
        gone = int(self._store_calls.ask(self.store.delete, *found, otherwise=0, writes=True)) if found else 0
        self._readings.forget(found)
        if self.semantic is not None:
            self.semantic.forget(found)
        self._counts.add("withdrawn", count=gone)
        return gone

    def report_bad_hit(self, decision: Any) -> bool:
        """Delete an answer that was wrong, and let the semantic cache learn from it.

        Args:
            decision: The id of the decision, or the message that was answered.

        Returns:
            Whether there was anything to delete.
        """
        carried = getattr(decision, "response_metadata", None)
        mark: Mapping[str, Any] = carried.get("langroute", {}) if carried is not None else {}
        decision_id = str(mark.get("decision_id") or decision)
        with self._lock:
            key, how = self._decisions.get(decision_id, (mark.get("cache_key"), None))
        if how == "semantic_hit" and self.semantic is not None:
            self.semantic.learn(decision_id, right=False)
        keys = [key] if key else self._store_calls.ask(self.store.tagged, f"decision:{decision_id}", otherwise=())
        return self.withdraw(*keys) > 0

    def on_outcome(self, outcome: Outcome) -> None:
        """Delete the answers of a decision or a task with a failed outcome; a test that failed on the way is none."""
        bad = outcome.success is False or (
            outcome.success is None and outcome.key == "success" and outcome.score is not None and outcome.score < 0.5
        )
        if not bad or outcome.is_hearsay:
            return
        keys: set[str] = set()
        if outcome.decision_id is not None:
            self.report_bad_hit(outcome.decision_id)
        if outcome.task_id is not None:
            with self._lock:
                keys |= self._tasks.pop(outcome.task_id, set())
            keys.update(self._store_calls.ask(self.store.tagged, f"task:{outcome.task_id}", otherwise=()))
        if keys:
            self.withdraw(*keys)

    def record_outcome(self, outcome: Outcome) -> None:
        """Hear an outcome as `on_outcome` does: a job without a router records to its ledger and to the cache.

        Example:
            >>> from langroute.cache.response import ResponseCache
            >>> from langroute.ledger.memory import MemoryLedger
            >>> from langroute.tracking.outcomes import record_outcome
            >>> record_outcome([MemoryLedger(), ResponseCache()], False, task_id="ticket-7").success
            False
        """
        self.on_outcome(outcome)

    def purge(
        self,
        *,
        key: str | None = None,
        tag: str | None = None,
        namespace: str | None = None,
        route: str | None = None,
        model: str | None = None,
        kind: str | None = None,
        older_than_seconds: float | None = None,
        everything: bool = False,
    ) -> int:
        """Delete answers that meet all given conditions; return how many there were.

        Args:
            key: The answer's key.
            tag: A tag that the call gave it.
            namespace: Digest of its namespace, as `langroute cache show` prints it; see `namespace_id`.
            route: The route that answered.
            model: The model that was served.
            kind: The kind of step.
            older_than_seconds: Lowest age in seconds.
            everything: Delete all answers.

        Raises:
            ConfigurationError: No condition was given.
        """
        wanted: list[set[str]] = []
        if key is not None:
            wanted.append({key})
        named = {"tag": tag, "ns": namespace, "route": route, "model": model, "kind": kind}
        wanted.extend(set(self.store.tagged(f"{name}:{value}")) for name, value in named.items() if value is not None)
        if older_than_seconds is not None:
            wanted.append(set(self.store.older(self._clock() - older_than_seconds)))
        if not wanted:
            if not everything:
                raise ConfigurationError("Say what to purge: a key, tag, namespace, route, model, kind or age, or everything=True.")
            count = self.store.stats().entries
            self.store.clear()
            self._readings.forget()
            if self.semantic is not None:
                self.semantic.clear()
            return count
        keys = set.intersection(*wanted)
        self._readings.forget(keys)
        if self.semantic is not None:
            self.semantic.forget(keys)
        return self.store.delete(*keys) if keys else 0
