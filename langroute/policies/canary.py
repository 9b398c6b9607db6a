"""Does a new policy hold up with a share of the real tasks, before it gets all of them?"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any
from zlib import crc32

from langroute.arguments import check_able, check_number
from langroute.policies.base import MayAwait, ask, awaits, reward_of
from langroute.records import Attempt, Decision, Outcome, Request, Selection

RUNNING, HARM, SUCCESS = "running", "harm", "success"


@dataclass(slots=True)
class Arm:
    """Outcomes of one side."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, score: float) -> None:
        """Count an outcome."""
        self.count += 1
        self.total += score
        self.squares += score * score

    @property
    def mean(self) -> float:
        """Mean score so far."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Of one outcome."""
        # Made-up outcomes, two of each kind, keep a short run of luck from looking certain.
        mean = (self.total + 2) / (self.count + 4)
        return max((self.squares + 2) / (self.count + 4) - mean * mean, 1e-6)


def radius(old: Arm, new: Arm, alpha: float) -> float:
    """Half the width of an interval for the difference of means that holds at every moment, however often one looks.

    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences (2024), theorem 2.2 and section
    3, for tasks that are shared out at random.
    """
    if old.count < 2 or new.count < 2:
        return inf
    count = old.count + new.count
    # Narrowest at about 800 tasks.
    scale = 0.01 * count + 1
    variance = old.variance / old.count + new.variance / new.count
    return sqrt(variance * 2 * scale / (0.01 * count) * log(sqrt(scale) / alpha))


@dataclass(frozen=True, slots=True)
class CanaryVerdict:
    """How the new policy compares, for all tasks or one kind of them."""

    state: str
    """`running`, `harm` or `success`."""

    difference: float
    """Mean score of the new policy's tasks less the old one's."""

    low: float
    high: float
    """95 % interval of the difference that holds however often one looks."""

    old: int
    new: int
    """Tasks with an outcome on either side."""


class Canary(MayAwait):
    """Give a share of the tasks to a new policy, whole tasks at a time, until a sequential test says harm or success.

    A task stays on its side for all its steps. At harm everything goes back to the old policy by itself; at success everything goes to
    the new one. Both are told by explicit outcomes alone. The test may be looked at after every outcome.

    Args:
        old: The policy in use.
        new: The policy on trial.
        share: Share of tasks that the new policy gets.
        margin: How much worse the new policy may be and still be a success.
        alpha: Chance of a wrong verdict.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> canary = Canary(Fixed("large"), Fixed("small"), share=0.0)
        >>> canary.select(Request("Hi."), ()).route, canary.verdict().state
        ('large', 'running')
    """

    def __init__(self, old: Any, new: Any, *, share: float = 0.1, margin: float = 0.02, alpha: float = 0.05) -> None:
        check_able("old", old, "select")
        check_able("new", new, "select")
        check_number("share", share, least=0, most=1)
        check_number("margin", margin, least=0, below=1)
        check_number("alpha", alpha, above=0, below=1)
        self.old, self.new, self.share, self.margin, self.alpha = old, new, share, margin, alpha
        names = [getattr(policy, "name", None) or type(policy).__name__ for policy in (old, new)]
        self.name = f"Canary({names[0]}, {names[1]})"
        self.version = str(getattr(new, "version", "") or "")
        self.state = RUNNING
        self._arms: dict[str, tuple[Arm, Arm]] = {}
        self._sides: OrderedDict[str, tuple[bool, str]] = OrderedDict()
        self._decided: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {key: value for key, value in self.__dict__.items() if key != "_lock"}
            return kept | {"_arms": deepcopy(self._arms), "_sides": self._sides.copy(), "_decided": self._decided.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _must_await(self) -> bool:
        return awaits(self.old) or awaits(self.new)

    def routes_named(self) -> Iterable[str]:
        """Routes of both policies."""
        return [name for policy in (self.old, self.new) for name in getattr(policy, "routes_named", tuple)()]

    def takes_part(self, task: str) -> bool:
        """Whether a task belongs to the new policy's share; the same in every process."""
        return crc32(f"canary:{task}".encode()) / 2**32 < self.share

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Ask the policy of the task's side."""
        found: Selection | None = self._side_of(request).select(request, attempts)
        return found

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        return await ask(self._side_of(request), request, attempts)

    def _side_of(self, request: Request) -> Any:
        return self.new if self._is_new(request.step.task or request.step.thread) else self.old

    def _is_new(self, task: str | None) -> bool:
        if task is not None and task in self._sides:
            # A verdict in the middle of a task does not move it.
            return self._sides[task][0]
        if self.state != RUNNING:
            return self.state == SUCCESS
        return task is not None and self.takes_part(task)

    def on_decision(self, decision: Decision) -> None:
        """Remember the task's side."""
        task = decision.step.task or decision.step.thread
        for policy in (self.old, self.new):
            if callable(hear := getattr(policy, "on_decision", None)):
                hear(decision)
        if task is None:
            return
        with self._lock:
            if task not in self._sides:
                self._sides[task] = (self._is_new(task), decision.step.task_kind or "")
            self._decided[decision.id] = task
            for memory in (self._sides, self._decided):
                while len(memory) > 50_000:
                    memory.popitem(last=False)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count a task's outcome on its side, once."""
        for policy in (self.old, self.new):
            if callable(hear := getattr(policy, "on_outcome", None)):
                hear(outcome)
        score = reward_of(outcome)
        if score is None:
            return
        with self._lock:
            task = outcome.task_id or self._decided.get(outcome.decision_id or "")
            side = self._sides.pop(task, None) if task is not None else None
            if side is None or self.state != RUNNING:
                return
            for kind in {"", side[1]}:
                self._arms.setdefault(kind, (Arm(), Arm()))[side[0]].add(score)
            self.state = self._judge("").state

    def verdict(self, task_kind: str = "") -> CanaryVerdict:
        """How the new policy compares, for one task kind or, without, for all tasks."""
        with self._lock:
            return self._judge(task_kind)

    def _judge(self, kind: str) -> CanaryVerdict:
        old, new = self._arms.get(kind, (Arm(), Arm()))
        wide = radius(old, new, self.alpha)
        difference = new.mean - old.mean
        state = RUNNING
        if difference + wide < 0:
            state = HARM
        elif difference - wide > -self.margin:
            state = SUCCESS
        return CanaryVerdict(state, difference, difference - wide, difference + wide, old.count, new.count)
