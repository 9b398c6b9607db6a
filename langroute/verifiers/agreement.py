"""Did two routes give the same answer?"""

from __future__ import annotations

from collections.abc import Sequence

from langroute.answers import canonical
from langroute.records import Attempt, Request, Verdict


class Agreement:
    """An answer is good when an earlier attempt of another route gave the same: tool calls, structured output or short answer.

    Put it behind a `Cascade` of at least three routes: the first answer is never enough alone, the second is where it agrees
    with the first. No judge and no labels are needed.

    Source: Wang et al., Self-Consistency (2023); Yue et al., Mixture-of-thought cascades (2024), section 3.

    Args:
        max_chars: Longest plain-text answer that is compared; longer ones never agree word for word.
        alone: Score of an answer that has nothing to be compared with.

    Example:
        >>> from langroute.records import Selection
        >>> first = Attempt(Selection("a"), "The answer is 42.")
        >>> Agreement().verify(Request("6 * 7?"), Attempt(Selection("b"), "42"), [first]).score
        1.0
    """

    name = "agreement"
    compares = True

    def __init__(self, *, max_chars: int = 400, alone: float = 0.0) -> None:
        self.max_chars, self.alone = max_chars, alone

    def verify(self, request: Request, attempt: Attempt, earlier: Sequence[Attempt] = ()) -> Verdict:
        """Compare with the earlier answers of other routes."""
        others = [other for other in earlier if other.ok and other.route != attempt.route]
        if not others:
            return Verdict(self.name, self.alone, "nothing to compare with")
        mine = canonical(attempt, self.max_chars)
        agreeing = [other.route for other in others if mine is not None and canonical(other, self.max_chars) == mine]
        return Verdict(self.name, 1.0 if agreeing else 0.0, f"agrees with {', '.join(agreeing)}" if agreeing else "no agreement")
