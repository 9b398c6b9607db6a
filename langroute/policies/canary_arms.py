"""Arms of a canary: the sums over outcomes that its verdict rests on, and how decisions and outcomes of all workers make them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any

RUNNING, HARM, SUCCESS = "running", "harm", "success"

MOST_KINDS = 200
"""Most task kinds with sums of their own."""


@dataclass(slots=True)
class Arm:
    """Sums over the outcomes of one arm: the old policy's or the new one's."""

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
        """Mean score so far; 0.0 without outcomes."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Variance of one outcome."""
        # Pseudo-outcomes, two successes and two failures, keep a short run of equal outcomes from looking certain.
        mean = (self.total + 2) / (self.count + 4)
        return max((self.squares + 2) / (self.count + 4) - mean * mean, 1e-6)


def radius(old: Arm, new: Arm, alpha: float) -> float:
    """Return half the width of an anytime-valid confidence interval for the difference of means (a confidence sequence).

    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences (2024), theorem 2.2 and section
    3, for tasks that are shared out at random.
    """
    if old.count < 2 or new.count < 2:
        return inf
    count = old.count + new.count
    # This choice of the free parameter makes the interval narrowest at about 800 tasks.
    scale = 0.01 * count + 1
    variance = old.variance / old.count + new.variance / new.count
    return sqrt(variance * 2 * scale / (0.01 * count) * log(sqrt(scale) / alpha))


def compared(document: Mapping[str, Any], kind: str, alpha: float) -> tuple[Arm, Arm, float]:
    """Return the old and the new arm of a task kind (all for an empty one), and half the width of the interval of their difference."""
    old, new = (Arm(*sums) for sums in document.get("arms", {}).get(kind, ((), ())))
    return old, new, radius(old, new, alpha)


def state_of_arms(document: Mapping[str, Any], margin: float, alpha: float) -> str:
    """Return what the arms say: `running`, `harm` or `success`."""
    old, new, wide = compared(document, "", alpha)
    difference = new.mean - old.mean
    if difference + wide < 0:
        return HARM
    return SUCCESS if difference - wide > -margin else RUNNING


class CanaryFold:
    """What decisions and outcomes do to the arms of a canary, in whichever order and from whichever worker they come.

    A decision says to which arm its task belongs; an outcome of a task or decision that is not known yet waits for it.

    Args:
        margin: See `Canary`.
        alpha: See `Canary`.

    Example:
        >>> fold, document, entries = CanaryFold(0.02, 0.05), {}, {"t": {}, "d": {}}
        >>> fold.add(document, entries, ("task", "t", 1.0))
        >>> fold.add(document, entries, ("decided", "t", "d", True, ""))
        >>> document["arms"][""]
        [[0, 0.0, 0.0], [1, 1.0, 1.0]]
    """

    keep_seconds = 7 * 86400.0

    def __init__(self, margin: float, alpha: float) -> None:
        self.margin, self.alpha = margin, alpha

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return the keys of the task and of the decision that an event is about."""
        return event[1:3] if event[0] == "decided" else event[1:2]

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Return the task of a decision."""
        return entry.get("task")

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Count what an event says; after the verdict nothing is counted."""
        if document.get("state", RUNNING) != RUNNING:
            return
        if event[0] == "decided":
            self._decided(document, sides, *event[1:])
        elif event[0] == "task":
            self._scored(document, sides, event[1], event[2])
        elif "task" in sides[event[1]]:
            self._scored(document, sides, sides[event[1]]["task"], event[2])
        else:
            sides[event[1]] = {"score": event[2]}

    def _decided(self, document: dict[str, Any], sides: dict[str, Any], task: str, decision: str, new: bool, kind: str) -> None:
        told = [entry["score"] for entry in (sides[task], sides[decision]) if "score" in entry]
        if "new" not in sides[task]:
            sides[task] = {"new": new, "kind": kind}
        sides[decision] = {"task": task}
        for score in told:
            self._scored(document, sides, task, score)

    def _scored(self, document: dict[str, Any], sides: dict[str, Any], task: str, score: float) -> None:
        entry = sides[task]
        if "new" not in entry:
            sides[task] = {"score": score}
        elif not entry.get("counted"):
            sides[task] = {**entry, "counted": True}
            arms = document.setdefault("arms", {})
            for kind in {"", entry["kind"]}:
                if kind in arms or len(arms) < MOST_KINDS:
                    self._count(arms, kind, entry["new"], score)
            document["state"] = state_of_arms(document, self.margin, self.alpha)

    @staticmethod
    def _count(arms: dict[str, Any], kind: str, new: bool, score: float) -> None:
        sums = arms.setdefault(kind, [[0, 0.0, 0.0], [0, 0.0, 0.0]])[bool(new)]
        sums[0], sums[1], sums[2] = sums[0] + 1, sums[1] + score, sums[2] + score * score
