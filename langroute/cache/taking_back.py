"""How is an answer taken back? By its key or what is known of it, by a complaint, or because a task turned out badly."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from langroute.cache.asks import Hit, Ticket
from langroute.cache.reading import Readings
from langroute.cache.stats import Counts
from langroute.cache.stores import Store
from langroute.cache.tending import Tended
from langroute.errors import ConfigurationError
from langroute.records import Outcome

REMEMBERED = 50_000
"""Decisions whose entries are remembered, for outcomes and complaints."""


class TakesBack:
    """The part of a cache that forgets what it should not have given.

    Args:
        store: Where answers are kept.
        semantic: The `SemanticCache`, if there is one.
        clock: Seconds since the epoch.
    """

    def __init__(self, store: Store, semantic: Any, clock: Callable[[], float]) -> None:
        self.store, self.semantic, self._clock = store, semantic, clock
        self._counts = Counts()
        self._tended = Tended(self._counts)
        self._readings = Readings()
        self._decisions: OrderedDict[str, tuple[str, Any]] = OrderedDict()
        self._tasks: OrderedDict[str, set[str]] = OrderedDict()
        self._lock = Lock()

    def _remember(self, ticket: Ticket, key: str, hit: Hit | None) -> None:
        ask = ticket.ask
        with self._lock:
            if ask.decision_id:
                self._decisions[ask.decision_id] = (key, hit)
                if len(self._decisions) > REMEMBERED:
                    self._decisions.popitem(last=False)
            if ask.task:
                used = self._tasks.setdefault(ask.task, set())
                if len(used) < 1000:
                    used.add(key)
                if len(self._tasks) > REMEMBERED // 10:
                    self._tasks.popitem(last=False)

    def withdraw(self, *keys: str) -> int:
        """Forget answers and all that was answered with them in its history; how many there were."""
        found: dict[str, None] = dict.fromkeys(keys)
        waiting = list(found)
        while waiting and len(found) < 100_000:
            for derived in self._tended.ask(self.store.tagged, f"from:{waiting.pop()}", otherwise=()):
                if derived not in found:
                    found[derived] = None
                    waiting.append(derived)
        gone = int(self._tended.ask(self.store.delete, *found, otherwise=0)) if found else 0
        self._readings.forget(found)
        if self.semantic is not None:
            self.semantic.forget(found)
        self._counts.add("withdrawn", count=gone)
        return gone

    def report_bad_hit(self, decision: Any) -> bool:
        """That answer was wrong: forget it, and have the semantic cache learn from it.

        Args:
            decision: The id of the decision, or the message that was answered.

        Returns:
            Whether there was anything to forget.
        """
        carried = getattr(decision, "response_metadata", None)
        mark: Mapping[str, Any] = carried.get("langroute", {}) if carried is not None else {}
        decision_id = str(mark.get("decision_id") or decision)
        with self._lock:
            key, hit = self._decisions.get(decision_id, (mark.get("cache_key"), None))
        if hit is not None and hit.how == "semantic_hit" and self.semantic is not None:
            self.semantic.learn(decision_id, right=False)
        keys = [key] if key else self._tended.ask(self.store.tagged, f"decision:{decision_id}", otherwise=())
        return self.withdraw(*keys) > 0

    def on_outcome(self, outcome: Outcome) -> None:
        """Withdraw the answers of a decision or a task that turned out badly."""
        bad = outcome.success is False or (
            outcome.success is None and outcome.key == "success" and outcome.score is not None and outcome.score < 0.5
        )
        if not bad:
            return
        keys: set[str] = set()
        if outcome.decision_id is not None:
            self.report_bad_hit(outcome.decision_id)
        if outcome.task_id is not None:
            with self._lock:
                keys |= self._tasks.pop(outcome.task_id, set())
            keys.update(self._tended.ask(self.store.tagged, f"task:{outcome.task_id}", otherwise=()))
        if keys:
            self.withdraw(*keys)

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
        """Forget answers; how many there were. Several conditions must all hold.

        Args:
            key: Its key.
            tag: A tag that the call gave it.
            namespace: Digest of its namespace, as `langroute cache show` prints it; see `namespace_id`.
            route: The route that answered.
            model: The model that was served.
            kind: The kind of step.
            older_than_seconds: Its age.
            everything: All there is.

        Raises:
            ConfigurationError: Nothing was said.
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
