"""Validation of numbers that users report about a task: amounts, times and scores."""

from __future__ import annotations

from typing import Any

from langroute.core.bounded import shown
from langroute.core.errors import InputError
from langroute.core.storable import finite

YEAR_3000 = 32_503_680_000.0
"""Seconds since the epoch. A later time is taken to be in milliseconds and is refused."""


def number(value: Any, where: str) -> float:
    """Return a finite number as a float.

    Raises:
        InputError: The value is infinity, NaN, a truth value, or of another type.

    Example:
        >>> number(float("inf"), "value_usd")
        Traceback (most recent call last):
        langroute.core.errors.InputError: value_usd is a number, not inf. Leave it out where it is unknown.
    """
    found = finite(value)
    if found is not None:
        return found
    hint = " Give value.timestamp()." if hasattr(value, "timestamp") else " Leave it out where it is unknown."
    raise InputError(f"{where} is a number, not {shown(value, 40)}.{hint}")


def amount(value: Any, where: str) -> float:
    """Return a finite number of at least 0.

    Raises:
        InputError: The value is not such a number.
    """
    found = number(value, where)
    if found < 0:
        raise InputError(f"{where} is from 0 up, not {value!r}.")
    return found


def moment(value: Any, where: str = "at") -> float:
    """Return a time in seconds since the epoch.

    Raises:
        InputError: The value is not such a number.
    """
    found = number(value, where)
    if not 0 <= found < YEAR_3000:
        raise InputError(f"{where} is in seconds since the epoch, not {value!r}; milliseconds are divided by 1000.")
    return found


def share(value: Any, where: str = "score") -> float:
    """Return a score as a float; `True` is 1 and `False` is 0.

    Raises:
        InputError: The value is not a number.
    """
    return float(value) if isinstance(value, bool) else number(value, where)


__all__ = ["YEAR_3000", "amount", "moment", "number", "share"]
