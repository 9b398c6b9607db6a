"""Validation of constructor arguments, so that errors are raised when an object is made and not when it is used."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from langroute.core.errors import ConfigurationError

MOST = 1e15
"""Largest number that is accepted."""


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    whole: bool = False,
) -> None:
    """Raise unless a value is a finite number within its range; truth values are refused.

    Args:
        name: Name of the argument, for the error message.
        value: Value of the argument.
        least: The smallest it may be.
        above: It must be larger than this.
        most: The largest it may be.
        below: It must be smaller than this.
        whole: It must be a whole number.

    Raises:
        ConfigurationError: The value is not such a number.

    Example:
        >>> check_number("share", 0.5, least=0, most=1)
        >>> check_number("share", float("nan"), least=0, most=1)
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: share is nan; give a number from 0 to 1.
    """
    kind: Any = Integral if whole else Real
    fits = isinstance(value, kind) and not isinstance(value, bool) and abs(value) <= MOST
    fits = fits and (least is None or value >= least) and (above is None or value > above)
    fits = fits and (most is None or value <= most) and (below is None or value < below)
    if fits:
        return
    ends = [f"above {above:g}"] if above is not None else []
    ends += [f"from {least:g}{' up' if most is None and below is None else ''}"] if least is not None else []
    ends += [f"{'to' if least is not None else 'and at most'} {most:g}"] if most is not None else []
    ends += [f"{'and ' if ends else ''}below {below:g}"] if below is not None else []
    raise ConfigurationError(f"{name} is {value!r}; give a {'whole ' if whole else ''}number {' '.join(ends)}".rstrip() + ".")


def check_able(name: str, value: Any, method: str | None = None) -> None:
    """Raise unless a value can be called, or has the given method.

    Raises:
        ConfigurationError: It cannot, or has no such method.

    Example:
        >>> check_able("judge", len)
        >>> check_able("model", "gpt-5", "invoke")
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: model is 'gpt-5'; give an object that has `invoke`.
    """
    if not callable(value if method is None else getattr(value, method, None)):
        wanted = "something that can be called" if method is None else f"an object that has `{method}`"
        raise ConfigurationError(f"{name} is {value!r}; give {wanted}.")
