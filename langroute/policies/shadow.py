"""What would another route have answered, on a sample of the real requests, before anybody depends on it?"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from time import monotonic
from typing import Any

from langroute.answers import canonical
from langroute.arguments import check_able, check_number
from langroute.policies.base import Wrapper
from langroute.pricing import cost, price_from, usage_of
from langroute.records import Attempt, Price, Request, Selection, best_attempt

CELLS = ("safe", "rescue", "loss", "hard")
"""Both solve it; only the shadow does; only the route in use does; neither does."""


@dataclass(frozen=True, slots=True)
class ShadowVerdict:
    """How a shadow compares, for one task kind."""

    task_kind: str
    compared: int
    agreed: float
    """Share of the requests with the same answer."""

    low: float
    high: float
    """95 % interval of that share (Wilson)."""

    cells: Mapping[str, int]
    """Counts of `safe`, `rescue`, `loss`, `hard`; empty without a judge."""

    cost_usd: float | None
    """What the shadow's calls cost; `None` where a price is unknown. It is in no decision's cost."""

    failed: int
    skipped: int
    """Left out because the cap was reached or too many were under way."""


class Shadow(Wrapper):
    """Ask a second model for a sampled share of the requests, in the background, and compare.

    The caller's answer is never delayed, and the shadow's calls are part of no decision, callback or ledger. Answers are compared by
    their tool calls first, then as canonical text; a judge, where there is one, scores both, which fills the table of what either
    solves and the other does not. Only counts are kept. Streamed answers are not compared, because a policy does not see them.

    Args:
        policy: What decides.
        model: The chat model to try.
        share: Share of the requests that is asked.
        max_per_hour: Most calls in an hour.
        judge: Scores an answer, 0 to 1: `judge(request, attempt)`.
        redact: Takes the messages and returns what the shadow may see.
        price: Of the model, in USD per million tokens.
        max_waiting: Calls under way at a time; more are left out rather than queued.
        seed: Of the sampling.

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
        self.price, self._max_waiting, self._seed = price_from(price), max_waiting, seed
        self._random = random.Random(seed)  # noqa: S311 - sampling, no secret
        self._slots = threading.BoundedSemaphore(max_waiting)
        self._pool = ThreadPoolExecutor(max_waiting, thread_name_prefix="langroute-shadow")
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[str]] = {}
        self._spent: dict[str, float | None] = {}
        self._begun: list[float] = []
        self._closed = False

    def __getstate__(self) -> dict[str, Any]:
        names = ("policy", "model", "share", "max_per_hour", "judge", "redact", "price")
        kept = {name: getattr(self, name) for name in names}
        return kept | {"max_waiting": self._max_waiting, "seed": self._seed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state.pop("policy"), state.pop("model"), **state)  # type: ignore[misc]

    def after(self, request: Request, attempts: Sequence[Attempt], selection: Selection | None) -> Selection | None:
        """Once the inner policy is content, the answer is there to compare with."""
        if selection is None and attempts and self._random.random() < self.share:
            kept = best_attempt(attempts)
            if kept is not None:
                self._start(request, kept)
        return selection

    def _start(self, request: Request, kept: Attempt) -> None:
        kind = request.step.task_kind or ""
        now = monotonic()
        with self._lock:
            self._begun = [at for at in self._begun if at > now - 3600]
            room = not self._closed and len(self._begun) < self.max_per_hour and self._slots.acquire(blocking=False)
            if not room:
                self._of(kind)["skipped"] += 1
                return
            self._begun.append(now)
        # A fresh thread has no context of the caller's: no callbacks, no run tree, nothing counted twice.
        self._pool.submit(self._run, request, kept, kind)

    def _run(self, request: Request, kept: Attempt, kind: str) -> None:
        try:
            messages = list(request.messages)
            model = self.model
            if request.tools:
                model = model.bind_tools(
                    list(request.tools), **({"tool_choice": request.tool_choice} if request.tool_choice else {})
                )
            answer = model.invoke(messages if self.redact is None else list(self.redact(messages)))
            attempt = Attempt(Selection("shadow"), answer=answer, usage=usage_of(answer))
            mine, theirs = canonical(kept), canonical(attempt)
            same = mine is not None and mine == theirs
            cell = self._cell(request, kept, attempt)
            with self._lock:
                counts = self._of(kind)
                counts.update(["compared", *(["agreed"] if same else []), *([cell] if cell else [])])
                paid = cost(self.price, attempt.usage)
                spent = self._spent.get(kind, 0.0)
                self._spent[kind] = None if paid is None or spent is None else spent + paid
        except Exception:  # noqa: BLE001 - whatever a shadow does, the caller does not hear of it
            with self._lock:
                self._of(kind)["failed"] += 1
        finally:
            self._slots.release()

    def _cell(self, request: Request, kept: Attempt, attempt: Attempt) -> str | None:
        if self.judge is None:
            return None
        mine, theirs = self.judge(request, kept) >= 0.5, self.judge(request, attempt) >= 0.5
        return {(True, True): "safe", (False, True): "rescue", (True, False): "loss", (False, False): "hard"}[mine, theirs]

    def _of(self, kind: str) -> Counter[str]:
        return self._counts.setdefault(kind, Counter())

    def verdict(self, task_kind: str | None = None) -> ShadowVerdict:
        """How the shadow compares: for a task kind, or for all together."""
        with self._lock:
            kinds = [one for one in self._counts if task_kind is None or one == task_kind]
            counts: Counter[str] = sum((self._counts[one] for one in kinds), Counter())
            costs = [self._spent.get(one, 0.0) for one in kinds]
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
        """One for each task kind that was seen."""
        with self._lock:
            kinds = sorted(self._counts)
        return [self.verdict(kind) for kind in kinds]

    def close(self) -> None:
        """Wait for what is under way, and ask no more."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=True)


def wilson(successes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """An interval for a share that holds for small counts too. Source: Wilson (1927).

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
