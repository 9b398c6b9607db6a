"""Verifier that accepts an answer on which two routes agree."""

from __future__ import annotations

from collections.abc import Sequence

from langroute.core.answers import canonical
from langroute.core.records import Attempt, Request, Verdict


class Agreement:
    """Accept an answer that an earlier attempt of another route gave too: tool calls, structured output or short answer.

    Use it with a `Cascade` of at least three routes: the first answer is never accepted alone, the second is where it agrees with the
    first. No judge and no labels are needed.

    Source: Wang et al., Self-Consistency (2023); Yue et al., Mixture-of-thought cascades (2024), section 3.

    Args:
        max_chars: Longest plain-text answer that is compared, whether or not it is marked as the final one; longer ones never agree.
        alone: Score of an answer that has nothing to be compared with.

    Example:
        >>> from langroute.core.records import Selection
        >>> first = Attempt(Selection("a"), "The answer is 42.")
        >>> Agreement().verify(Request("6 * 7?"), Attempt(Selection("b"), "42"), [first]).score
        1.0
    """

    name = "agreement"
    compares = True

    def __init__(self, *, max_chars: int = 400, alone: float = 0.0) -> None:
        self.max_chars, self.alone = max_chars, alone

    def verify(self, request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()) -> Verdict:
        """Return score 1.0 where an earlier answer of another route is the same, 0.0 where none is, and `alone` where there is none."""
        others = [other for other in earlier if other.ok and other.route != attempt.route]
        if not others:
            return Verdict(self.name, self.alone, "nothing to compare with")
        mine = canonical(attempt, self.max_chars)
        if mine is None:
            return Verdict(
                self.name, 0.0, f"no agreement: no tool calls, no values and no answer of at most {self.max_chars} characters"
            )
        agreeing = [other.route for other in others if canonical(other, self.max_chars) == mine]
        return Verdict(self.name, 1.0 if agreeing else 0.0, f"agrees with {', '.join(agreeing)}" if agreeing else "no agreement")
