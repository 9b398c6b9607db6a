"""Shadow traffic: asks a second model in the background for a sample of the requests, and compares its answers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from time import monotonic, time
from typing import Any

from langroute.core.answers import canonical
from langroute.core.locks import at_fork, new_lock
from langroute.core.number_checks import check_able, check_number
from langroute.core.records import Attempt, Decision, Price, Request, Selection, best_attempt
from langroute.core.worker_pool import Workers
from langroute.policies.base import Wrapper
from langroute.policies.shadow_counts import ShadowFold, begun_lately
from langroute.policies.shadow_recorder import AskedShadow, ShadowRecorder
from langroute.providers.failures import classify, maybe_billed
from langroute.providers.usage import usage_of
from langroute.routes.pricing import cost, price_from
from langroute.state.local import LocalState, digest
from langroute.state.resolve import begin_state, moved_to

CELLS = ("safe", "rescue", "loss", "hard")
"""Cells of the comparison: both solve the request, only the shadow does, only the route in use does, neither does."""

CELL_OF = {(True, True): "safe", (False, True): "rescue", (True, False): "loss", (False, False): "hard"}
"""The cell by whether the route in use solves the request, and the shadow."""


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """Comparison of a shadow with the route in use, for one task kind or for all."""

    task_kind: str
    compared: int
    agreed: float
    """Share of the compared requests with the same answer."""

    low: float
    high: float
    """Ends of the 95 % Wilson interval of that share."""

    cells: Mapping[str, int]
    """Number of requests in each of `safe`, `rescue`, `loss`, `hard` (see `CELLS`); empty without a judge."""

    cost_usd: float | None
    """Cost of the shadow's calls, `None` where a price is unknown; it is not part of any decision's cost."""

    failed: int
    skipped: int
    """Requests left out because the hourly cap was reached or too many calls were under way."""


class Shadow(Wrapper):
    """Ask a second model for a sampled share of the requests, in the background, and compare.

    The caller's answer is never delayed, and the shadow's calls appear in no decision or callback. The router's ledger gets them as calls of
    the decision's task: what they cost is part of its spend, and `langroute export` has both routes' outcomes. Answers are compared by their
    tool calls first, then as canonical text. A judge, where one is given, scores both answers, which gives the counts in
    `ShadowVerdict.cells`. Streamed answers are not compared, because a policy does not see them.

    Workers of a service that share a ledger which lasts count together, and hold the cap together: it can be passed by what they begin
    within about a second. Shadows are the same trial where their route, model and inner policy are; name those apart that are not (`id`).

    Args:
        policy: The inner policy, which decides.
        model: The chat model to try.
        share: Share of the requests that is sampled.
        max_per_hour: Most calls in an hour, of all workers together.
        judge: Scores an answer from 0 to 1: `judge(request, attempt)`.
        redact: Takes the messages and returns those that the shadow may see.
        price: Price of the model, in USD per million tokens.
        max_waiting: Most calls under way at a time; further requests are left out rather than queued.
        seed: Seed of the sampling.
        route: Name of the model as a route, in the ledger and the export.
        store: Where the counts are: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file); where nothing is given,
            the database of the router's ledger if that lasts, else this process.
        id: Name of the trial. A new one begins anew.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> from langroute.testing import ScriptedModel
        >>> shadow = Shadow(Fixed("large"), ScriptedModel("42"), share=1.0)
        >>> request = Request("6 * 7?")
        >>> first = shadow.select(request, [])
        >>> shadow.select(request, [Attempt(first, answer="The answer is 42.")]) is None
        True
        >>> shadow.close()
        >>> shadow.verdict().agreed
        1.0
    """

    def __init__(
        self,
        policy: Any,
        model: Any,
        *,
        share: float = 0.05,
        max_per_hour: int = 200,
        judge: Callable[[Request, Attempt], float] | None = None,
        redact: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
        price: Price | Mapping[str, Any] | None = None,
        max_waiting: int = 4,
        seed: int | None = None,
        route: str = "shadow",
        store: Any = None,
        id: str | None = None,
    ) -> None:
        check_able("model", model, "invoke")
        check_number("share", share, least=0, most=1)
        check_number("max_per_hour", max_per_hour, least=1, whole=True)
        check_number("max_waiting", max_waiting, least=1, whole=True)
        if judge is not None:
            check_able("judge", judge)
        if redact is not None:
            check_able("redact", redact)
        if seed is not None:
            check_number("seed", seed, whole=True)
        super().__init__(policy)
        self.model, self.share, self.max_per_hour, self.judge, self.redact = model, share, max_per_hour, judge, redact
        self.price, self._max_waiting, self._seed, self.route = price_from(price), max_waiting, seed, route
        self._recorder = ShadowRecorder(route)
        self._random = random.Random(seed)  # noqa: S311 - sampling, no secret
        self._workers = Workers("langroute-shadow", max_waiting)
        self._lock = new_lock()
        self.id = id
        self._state = begin_state(f"shadow:{id or self._made_id()}", ShadowFold(), store)
        self._closed = False
        # Forked children must not all sample the same calls.
        at_fork(self, in_child=lambda shadow: shadow._random.seed())

    def _made_id(self) -> str:
        model = next(
            (found for name in ("model_name", "model", "model_id") if isinstance(found := getattr(self.model, name, None), str)), ""
        )
        inner = (getattr(self.policy, "name", None) or type(self.policy).__name__, str(getattr(self.policy, "version", "") or ""))
        return digest(repr((self.route, type(self.model).__name__, model, *inner)))

    def __getstate__(self) -> dict[str, Any]:
        names = ("policy", "model", "share", "max_per_hour", "judge", "redact", "price", "route", "id")
        kept = {name: getattr(self, name) for name in names}
        shared = {} if type(self._state) is LocalState else {"store": self._state.store}  # type: ignore[attr-defined]
        return kept | {"max_waiting": self._max_waiting, "seed": self._seed} | shared

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), state.pop("model"), **state)  # type: ignore[misc]

    def use_ledger(self, ledger: Any) -> None:
        """Tell the inner policy which ledger the router has; record the shadow's calls and keep its counts there."""
        super().use_ledger(ledger)
        self._state = moved_to(ledger, self._state)
        self._recorder.ledger = ledger

    def on_decision(self, decision: Decision) -> None:
        """Pass a decision on to the inner policy, and note it for the record of its shadow's call."""
        super().on_decision(decision)
        self._recorder.decided(decision)

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Start a shadow call for a sampled request once the inner policy has accepted an answer; the selection is returned unchanged."""
        if selection is None and attempts and self._random.random() < self.share:
            kept = best_attempt(attempts)
            if kept is not None:
                self._start(request, kept)
        return selection

    def _start(self, request: Request, kept: Attempt) -> None:
        kind = request.step.task_kind or ""
        now = time()
        with self._lock:
            room = not self._closed and begun_lately(self._state.document(), now) < self.max_per_hour
            # A worker thread does not inherit the caller's context: no callbacks, no run tree, nothing counted twice.
            asked = self._recorder.begin(kept)
            if not room or self._workers.submit(self._run, request, kept, kind, asked, most=self._max_waiting) is None:
                self._recorder.forget(kept)
                self._state.tell(("skipped", kind))
                return
            self._state.tell(("begun", kind, now))

    def _run(self, request: Request, kept: Attempt, kind: str, asked: AskedShadow) -> None:
        attempt, scores, begun = Attempt(Selection(self.route)), None, monotonic()
        try:
            messages = list(request.messages)
            model = self.model
            if request.tools:
                model = model.bind_tools(
                    list(request.tools), **({"tool_choice": request.tool_choice} if request.tool_choice else {})
                )
            answer = model.invoke(messages if self.redact is None else list(self.redact(messages)))
            usage = usage_of(answer)
            attempt = replace(
                attempt,
                answer=answer,
                usage=usage,
                cost_usd=cost(self.price, usage),
                latency_s=monotonic() - begun,
                model=_served(answer),
            )
            mine, theirs = canonical(kept), canonical(attempt)
            same = mine is not None and mine == theirs
            scores = None if self.judge is None else (self.judge(request, kept), self.judge(request, attempt))
            cell = None if scores is None else CELL_OF[scores[0] >= 0.5, scores[1] >= 0.5]
            counted = ("compared", *(["agreed"] if same else []), *([cell] if cell else []))
            self._state.tell(("answered", kind, counted, attempt.cost_usd))
        except Exception as error:  # noqa: BLE001 - whatever a shadow does, the caller does not hear of it
            attempt = replace(attempt, error_type=type(error).__name__, latency_s=attempt.latency_s or monotonic() - begun)
            if attempt.answer is None and not maybe_billed(classify(error).kind):
                attempt = replace(attempt, cost_usd=0.0)
            self._state.tell(("failed", kind))
        self._recorder.answered(asked, attempt, scores)

    def verdict(self, task_kind: str | None = None) -> ShadowVerdict:
        """Return the comparison for one task kind, or for all together where none is given, by what all workers know by now."""
        document = self._state.now()
        kinds = {kind: counts for kind, counts in list(document.get("kinds", {}).items()) if task_kind is None or kind == task_kind}
        counts: Counter[str] = sum((Counter(one) for one in kinds.values()), Counter())
        costs = [document.get("spent", {}).get(kind, 0.0) for kind in kinds]
        count = counts["compared"]
        low, high = wilson(counts["agreed"], count)
        cells = {cell: counts[cell] for cell in CELLS} if self.judge is not None else {}
        spent = None if None in costs else sum(one or 0.0 for one in costs)
        return ShadowVerdict(
            task_kind or "",
            count,
            counts["agreed"] / count if count else 0.0,
            low,
            high,
            cells,
            spent,
            counts["failed"],
            counts["skipped"],
        )

    def verdicts(self) -> list[ShadowVerdict]:
        """Return one verdict for each task kind that was seen."""
        return [self.verdict(kind) for kind in sorted(self._state.now().get("kinds", {}))]

    def restart(self) -> None:
        """Forget the counts, for all workers: the trial begins anew."""
        self._state.now()
        self._state.replace({})

    def close(self) -> None:
        """Wait for the calls under way, and start no more."""
        with self._lock:
            self._closed = True
        self._workers.close()
        self._state.close()


def _served(answer: Any) -> str | None:
    told = getattr(answer, "response_metadata", None) or {}
    found = told.get("model_name") or told.get("model")
    return found if isinstance(found, str) else None


def wilson(successes: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion, which also holds for small counts. Source: Wilson (1927).

    Example:
        >>> tuple(round(end, 2) for end in wilson(10, 10))
        (0.72, 1.0)
    """
    if not count:
        return 0.0, 1.0
    share, square = successes / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    wide = z * sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    return max(0.0, middle - wide), min(1.0, middle + wide)
