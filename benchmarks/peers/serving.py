"""Hits and false hits of caches on pairs of questions: at their thresholds, at the best ones, and at the same hits."""

from __future__ import annotations

import random
from typing import Any

MOST_FALSE = 0.01
"""Share of false hits that a threshold may have; langroute's cache has the same limit by default."""


class Scored:
    """Scores of pairs, and which of them are the same question."""

    def __init__(self, scores: list[float], same: list[bool]) -> None:
        self.pairs = sorted(zip(scores, same, strict=True), reverse=True)
        self.same = sum(same)
        self.different = len(same) - self.same

    def at(self, limit: float) -> tuple[int, int]:
        """Return hits and false hits where the score is at least the limit."""
        served = [same for score, same in self.pairs if score >= limit]
        return sum(served), len(served) - sum(served)

    def limits(self) -> list[tuple[float, int, int]]:
        """Return each limit that serves another set of pairs, with its hits and false hits; the strictest one first."""
        found: list[tuple[float, int, int]] = [(float("inf"), 0, 0)]
        hits = false = 0
        for place, (score, same) in enumerate(self.pairs):
            hits, false = hits + same, false + (not same)
            if place + 1 == len(self.pairs) or self.pairs[place + 1][0] < score:
                found.append((score, hits, false))
        return found

    def few_false(self) -> float:
        """Return the limit with the most hits of those with few false hits."""
        return max((one for one in self.limits() if one[2] <= MOST_FALSE * self.different), key=lambda one: one[1])[0]

    def widest(self) -> float:
        """Return the limit at which the share of hits is farthest above the share of false hits."""
        return max(self.limits(), key=lambda one: one[1] / max(1, self.same) - one[2] / max(1, self.different))[0]

    def hitting(self, hits: int) -> float:
        """Return the strictest limit that has this many hits."""
        return next(limit for limit, found, _ in self.limits() if found >= hits)


def crossed(scores: list[float], same: list[bool], choose: Any) -> tuple[int, int]:
    """Return hits and false hits of limits that were chosen on one half and measured on the other, both ways."""
    order = random.Random(0).sample(range(len(same)), len(same))
    halves = [order[::2], order[1::2]]
    parts = [Scored([scores[at] for at in half], [same[at] for at in half]) for half in halves]
    found = [parts[1 - place].at(choose(parts[place])) for place in (0, 1)]
    return sum(hits for hits, _ in found), sum(false for _, false in found)


def rows(name: str, told: dict[str, Any], same: list[bool], here: slice, ours: int | None) -> list[list[Any]]:
    """Return rows of a cache on one set of pairs: its label, hits and false hits. `ours` are langroute's hits."""
    label = f"{name}, {told['label']}" if told["label"] else name
    served, same = told["served"][here], same[here]
    hits = sum(one for one, right in zip(served, same, strict=True) if right)
    found: list[list[Any]] = [[label, hits, sum(served) - hits]]
    if "scores" not in told:
        return found
    found[0][0] = f"{label}, its default: {told['said']}"
    scores = told["scores"][here]
    whole = Scored(scores, same)
    found.append(
        [f"{label}, at most {100 * MOST_FALSE:g} % false hits on the other half", *crossed(scores, same, Scored.few_false)]
    )
    found.append([f"{label}, hits farthest above false hits on the other half", *crossed(scores, same, Scored.widest)])
    if ours:
        limit = whole.hitting(ours)
        found.append([f"{label}, at {limit:.3f}: langroute's hits", *whole.at(limit)])
    return found
