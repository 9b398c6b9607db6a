"""Time window of a report."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from langroute.core.errors import InputError

DAY_S = 86_400
_AGO = re.compile(r"(\d+)\s*(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}


@dataclass(frozen=True, slots=True)
class Window:
    """Start and end in seconds since the epoch; the end is exclusive. Whole days are UTC days.

    Example:
        >>> window = Window.since("7d", now=86_400 * 10.5)
        >>> window.first_day, window.last_day, window.days
        (4, 10, 7)
        >>> Window.since("6h", now=86_400 * 10.5).whole_days
        False
    """

    start: float | None
    """`None` means from the first row on."""

    end: float

    @classmethod
    def since(cls, since: str | None = None, until: str | None = None, now: float | None = None) -> Window:
        """Parse a time window as users write it.

        Args:
            since: `7d` (today and the six days before it), `2w`, `36h` (by the hour), a date such as `2026-11-01`; by default all time.
            until: The last day, as a date; by default today.
            now: Seconds since the epoch.

        Raises:
            InputError: It cannot be parsed.
        """
        now = time.time() if now is None else now
        earliest = _date(date.min.isoformat())
        midnight = (int(now // DAY_S) + 1) * DAY_S
        end: float = midnight if until is None else _date(until) + DAY_S
        if since is None or since == "all":
            return cls(None, end)
        found = _AGO.fullmatch(since.strip())
        if found is None:
            start: float = _date(since)
        elif found[2] == "h":
            end = min(end, now)
            start = end - int(found[1]) * 3600
        else:
            start = end - int(found[1]) * _HOURS[found[2]] * 3600
        if start < earliest:
            raise InputError(f"There are no dates as early as {since} ago. Say all.")
        if start >= end:
            raise InputError(f"The report would end before it begins: since {since}, until {until or 'today'}.")
        return cls(start, end)

    @property
    def whole_days(self) -> bool:
        """Whether both ends are midnight in UTC, so that daily sums can be used."""
        return (self.start is None or self.start % DAY_S == 0) and self.end % DAY_S == 0

    @property
    def first_day(self) -> int:
        """The first day, as days since 1970-01-01."""
        return 0 if self.start is None else int(self.start // DAY_S)

    @property
    def last_day(self) -> int:
        """The last day, as days since 1970-01-01."""
        return int(-(-self.end // DAY_S)) - 1

    @property
    def days(self) -> int:
        """Number of days that the window touches."""
        return self.last_day - self.first_day + 1

    def before(self, days: int) -> Window:
        """Return the window of the days just before this one."""
        start = self.first_day * DAY_S
        return Window(start - days * DAY_S, start)

    def __str__(self) -> str:
        if not self.whole_days:
            return f"{_moment(self.start or 0)} to {_moment(self.end)} UTC"
        last = day_name(self.last_day)
        if self.start is None:
            return f"everything up to {last}"
        first = day_name(self.first_day)
        return f"{first} (UTC)" if first == last else f"{first} to {last} (UTC)"


def day_name(day: int) -> str:
    """Return a day as an ISO date.

    Example:
        >>> day_name(20_000)
        '2024-10-04'
    """
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _date(text: str) -> int:
    try:
        return (date.fromisoformat(text.strip()) - date(1970, 1, 1)).days * DAY_S
    except ValueError as error:
        raise InputError(f"A time is given as 7d, 2w, 36h or a date such as 2026-11-01, not {text!r}.") from error


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")
