"""`CachedDecisions`: a policy that caches the selections of a costly policy for similar steps.

The choice of a route can often be reused where the answer cannot: the choice depends on the kind of step, its tools and
the subject of its last request, not on the whole history.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from cachetools import TTLCache

from langroute.cache.keys import canonical
from langroute.cache.wording import wording
from langroute.core.locks import new_lock
from langroute.core.records import Attempt, Decision, Outcome, Request, Selection


class CachedDecisions:
    """Policy that asks another policy once for each sort of step.

    Only the first selection of a step is remembered; retries, fallbacks and escalations are always the policy's own. A remembered
    route that is no longer eligible is never returned: the eligible routes are part of the key. An outcome without success clears
    all that is remembered.

    Args:
        policy: The policy whose selections are cached, such as one that calls a model.
        ttl: Seconds that a decision stays valid.
        max_decisions: Most decisions kept.
        sort: What makes two steps alike, as anything that can be written as JSON; by default kind, node, tools, schema, how long the
            history is (to a factor of two), whether something just failed, and the wording of the last request.
        clock: Function that returns a monotonic time in seconds.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.core.records import RouteInfo
        >>> policy = CachedDecisions(Fixed("small"))
        >>> routes = (RouteInfo("small"), RouteInfo("large"))
        >>> policy.select(Request("Define entropy.", routes=routes), []).reason
        'fixed'
        >>> policy.select(Request("Please define entropy.", routes=routes), []).reason
        'as before: fixed'
    """

    def __init__(
        self,
        policy: Any,
        *,
        ttl: float = 3600.0,
        max_decisions: int = 10_000,
        sort: Callable[[Request], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy, self._sort, self._clock = policy, sort or sort_of, clock
        self._kept: TTLCache[str, Selection] = TTLCache(max_decisions, ttl, timer=clock)
        self._lock = new_lock()
        self.hits = self.misses = 0
        self.name = f"CachedDecisions({getattr(policy, 'name', None) or type(policy).__name__})"
        self.version = str(getattr(policy, "version", None) or "")
        if callable(getattr(policy, "aselect", None)):
            self.aselect = self._aselect

    def __getstate__(self) -> dict[str, Any]:
        kept = self._kept
        return {
            "policy": self.policy,
            "ttl": kept.ttl,
            "max_decisions": int(kept.maxsize),
            "sort": self._sort,
            "clock": self._clock,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), **state)  # type: ignore[misc]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the remembered selection, or the policy's."""
        if attempts:
            return self._again(request, attempts, self.policy.select(request, attempts))
        key = self._key(request)
        found = self._found(key)
        return found if found is not None else self._keep(key, self.policy.select(request, attempts))

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        if attempts:
            return self._again(request, attempts, await self.policy.aselect(request, attempts))
        key = self._key(request)
        found = self._found(key)
        return found if found is not None else self._keep(key, await self.policy.aselect(request, attempts))

    def _key(self, request: Request) -> str | None:
        """Return the key of similar requests; `None` for a step without a stable form, for which the policy is always asked."""
        try:
            return blake2b(canonical([list(request.route_names), self._sort(request)]), digest_size=16).hexdigest()
        except Exception:  # noqa: BLE001 - tools and messages may be any objects
            return None

    def _found(self, key: str | None) -> Selection | None:
        if key is None:
            return None
        with self._lock:
            found: Selection | None = self._kept.get(key)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
        return found

    def _keep(self, key: str | None, selection: Selection | None) -> Selection | None:
        # A random choice must be drawn again each time, or its propensity would be wrong.
        if key is not None and selection is not None and selection.propensity == 1.0 and not selection.wait_s:
            with self._lock:
                self._kept[key] = replace(selection, reason=f"as before: {selection.reason}")
        return selection

    def _again(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Return a later selection of the policy, and forget the remembered choice when the policy left its route."""
        if selection is not None and selection.route != attempts[0].route and (key := self._key(request)) is not None:
            with self._lock:
                self._kept.pop(key, None)
        return selection

    def on_decision(self, decision: Decision) -> None:
        """Pass a decision on to a policy that learns."""
        if callable(hear := getattr(self.policy, "on_decision", None)):
            hear(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Pass an outcome on to a policy that learns, whose choices may change."""
        if callable(hear := getattr(self.policy, "on_outcome", None)):
            hear(outcome)
        if outcome.success is False and not outcome.is_hearsay:
            with self._lock:
                self._kept.clear()


def sort_of(request: Request) -> list[Any]:
    """Return the features by which two steps count as similar for the choice of a route.

    Example:
        >>> sort_of(Request("Define entropy."))[-1]
        ['meaning', 'entropy']
    """
    step, signals = request.step, request.step.signals
    last = next((message for message in reversed(request.messages) if message.type == "human"), None)
    text = last.content if last is not None and isinstance(last.content, str) else ""
    return [
        step.kind,
        step.node,
        step.task_kind,
        [tool.get("function", tool).get("name") for tool in request.tools],
        request.tool_choice if isinstance(request.tool_choice, (str, bool, type(None))) else "given",
        request.response_schema is not None,
        (signals.tokens // 500).bit_length(),
        signals.images > 0,
        signals.error >= 0.5,
        signals.errors_in_row,
        list(wording(text[:2000])),
    ]
