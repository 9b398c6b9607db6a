"""Options that several commands have, written the same way in each: `--format` and `--since`."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_DAYS = re.compile(r"\s*\d+\s*[dw]\s*")


class NumberRange(click.FloatRange):
    """A range of numbers. NaN is outside of it: no comparison with it holds, so that a limit of NaN would bind nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a number within the range."""
        found = super().convert(value, param, ctx)
        if not isfinite(found):
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


def not_blank(_: Any, __: Any, value: str) -> str:
    """Return a text; an empty one, as from an unset variable in a script, is refused."""
    if not value.strip():
        raise click.BadParameter("this is empty")
    return value


def format_option(*forms: str, help: str | None = None) -> Decorator:
    """Return the option `--format`; the first form is the default."""
    return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True, help=help)


def since_option(default: str, *, hours: bool = True) -> Decorator:
    """Return the option `--since`.

    Args:
        default: The time, as users write it.
        hours: Whether hours are told among the examples.
    """
    text = f"7d, 2w, {'36h, ' if hours else ''}a date such as 2026-11-01, or all."
    return click.option("--since", metavar="TIME", default=default, show_default=True, help=text)


def days_since(_: Any, __: Any, value: str) -> int:
    """Return the number of whole days, today included, since a time that is written as `--since` is: `7d`, `2w` or a date."""
    # Imported here because it imports SQLAlchemy, which most commands with these options do not need.
    from langroute.reports.window import Window

    window = Window.since(value)
    if window.start is None or not window.whole_days:
        raise click.BadParameter("give whole days: 7d, 2w, or a date such as 2026-11-01")
    return window.days


def length_in_days(_: Any, __: Any, value: str) -> int:
    """Return the number of days of a length of time: `28d` or `4w`."""
    from langroute.reports.window import Window

    if not _DAYS.fullmatch(value):
        raise click.BadParameter("give whole days or weeks: 28d, 4w")
    return Window.since(value).days
