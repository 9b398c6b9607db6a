"""How far verifiers agree with outcomes that were told, and whether that is enough for a pair of routes.

A cascade records the outcome of the answer that it kept, so that in a ledger mostly accepted answers are known; collected and judged
answers are known either way. Where both are, the verifier's accuracy is compared with the pair's break-even accuracy. Where only accepted
ones are, the share of them that is right is compared with the share that a verifier at break-even accuracy would have right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langroute.learning.break_even import RoutePair
from langroute.policies.shadow import wilson

ACCEPTED = 0.5
"""Score from which on an answer is accepted, and from which on an outcome is a success."""

LEAST_OF_EACH = 10
"""Fewest accepted answers, and fewest rejected ones, from which accuracy is told."""

ENOUGH, TOO_LOW, OPEN = "enough", "too low", "open"


@dataclass(slots=True)
class VerdictCounts:
    """Verdicts on one route's answers whose outcome was told.

    Example:
        >>> counts = VerdictCounts()
        >>> counts.add(1.0, 1.0), counts.add(1.0, 0.0), counts.add(0.0, 0.0)
        (None, None, None)
        >>> counts.agreed, counts.told
        (2, 3)
    """

    accepted: int = 0
    accepted_right: int = 0
    rejected: int = 0
    rejected_wrong: int = 0

    def add(self, verified: float, told: float) -> None:
        """Count an answer by its verifier's score and the outcome that was told."""
        if verified >= ACCEPTED:
            self.accepted += 1
            self.accepted_right += told >= ACCEPTED
        else:
            self.rejected += 1
            self.rejected_wrong += told < ACCEPTED

    def merge(self, more: VerdictCounts) -> None:
        """Add what was counted elsewhere."""
        self.accepted += more.accepted
        self.accepted_right += more.accepted_right
        self.rejected += more.rejected
        self.rejected_wrong += more.rejected_wrong

    @property
    def told(self) -> int:
        """Number of verdicts that outcomes were told of."""
        return self.accepted + self.rejected

    @property
    def agreed(self) -> int:
        """Number of them that the outcomes confirm."""
        return self.accepted_right + self.rejected_wrong

    def against(self, pair: RoutePair) -> dict[str, Any] | None:
        """Return what is known of the verifier beside what a pair of routes needs of it; `None` without outcomes.

        Args:
            pair: The pair whose cheaper route the answers are of.

        Returns:
            `measured` (`accuracy`, or `accepted right` where hardly any outcome of a rejected answer is known), `share` with its 95 % interval,
            `of`, `needed`, and `verdict`: `enough` and `too low` where the interval excludes the opposite, else `open`.

        Example:
            >>> pair = RoutePair("small", "large", 100, 0.6, 0.1, 0.25, None, None, None)
            >>> found = VerdictCounts(90, 88, 60, 57).against(pair)
            >>> found["measured"], round(found["share"], 3), round(found["needed"], 3), found["verdict"]
            ('accuracy', 0.967, 0.714, 'enough')
        """
        if not self.told or pair.break_even is None:
            return None
        needed = pair.break_even
        if min(self.accepted, self.rejected) >= LEAST_OF_EACH:
            measured, hits, of = "accuracy", self.agreed, self.told
        elif self.accepted:
            measured, hits, of = "accepted right", self.accepted_right, self.accepted
            needed = accepted_right_at(pair, needed)
        else:
            return None
        low, high = wilson(hits, of)
        verdict = ENOUGH if low >= needed else TOO_LOW if high < needed else OPEN
        return {
            "measured": measured,
            "share": hits / of,
            "low": low,
            "high": high,
            "of": of,
            "needed": needed,
            "verdict": verdict,
            "accepted": self.accepted,
            "accepted_right": self.accepted_right,
            "rejected": self.rejected,
            "rejected_wrong": self.rejected_wrong,
        }


def accepted_right_at(pair: RoutePair, accuracy: float) -> float:
    """Return the share of the accepted answers of a pair's cheaper route that a verifier of this accuracy has right.

    Example:
        >>> accepted_right_at(RoutePair("small", "large", 100, 0.5, 0.0, 0.5, None, None, None), 0.75)
        0.75
    """
    right, wrong = accuracy * pair.cheap_quality, (1 - accuracy) * (1 - pair.cheap_quality)
    return right / (right + wrong) if right + wrong > 0 else 1.0


__all__ = ["VerdictCounts", "accepted_right_at"]
