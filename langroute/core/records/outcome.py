"""Outcomes: results of tasks and decisions that are recorded later."""

from __future__ import annotations

from typing import Any

from langroute.core.amounts import amount, moment, number, share
from langroute.core.errors import InputError
from langroute.core.fast_dataclass import fast_dataclass

_OUTCOME_NUMBERS = (
    ("score", share),
    ("human_minutes", amount),
    ("baseline_minutes", amount),
    ("value_usd", number),
    ("at", moment),
)
"""Numeric fields and their checks. Infinity or NaN would spoil every sum, so they are refused where they are reported."""


TESTS_SEEN = "implicit:tests"
"""Source of outcomes that are read from what a tool printed of a run of tests."""


@fast_dataclass
class Outcome:
    """A result of a task or a decision that is reported later.

    Raises:
        InputError: A number in it is not finite or out of range.
    """

    key: str = "success"
    score: float | None = None
    """0 to 1 for a share or a truth value; any number for a declared metric."""

    success: bool | None = None
    task_id: str | None = None
    decision_id: str | None = None
    run_id: str | None = None
    source: str = "user"
    human_minutes: float | None = None
    baseline_minutes: float | None = None
    value_usd: float | None = None
    comment: str | None = None
    at: float = 0.0
    """Seconds since the epoch."""

    @property
    def is_hearsay(self) -> bool:
        """Whether it was read from a text that anybody may have written: it is recorded and reported, and nothing learns from it.

        Example:
            >>> Outcome(success=True, source=TESTS_SEEN).is_hearsay, Outcome(success=True, source="tests").is_hearsay
            (True, False)
        """
        return self.source == TESTS_SEEN

    def __post_init__(self) -> None:
        success: Any = self.success
        if not (success is None or isinstance(success, bool) or success in (0, 1)):
            raise InputError(f"success is True, False or None, not {success!r:.40}; a number is a score.")
        for name, check in _OUTCOME_NUMBERS:
            value = getattr(self, name)
            if value is not None:
                check(value, name)
