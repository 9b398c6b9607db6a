"""Alert rules over a ledger, for CI, cron and hooks."""

from __future__ import annotations

import time
import warnings
from calendar import monthrange
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from math import inf
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import func, select

from langroute.core.errors import ConfigurationError, DegradedWarning
from langroute.core.number_checks import check_number
from langroute.ledger.facts import PAID
from langroute.ledger.schema import daily_calls, places
from langroute.reports.build import build_report
from langroute.reports.model import Line, RouteErrors
from langroute.reports.source import open_source
from langroute.reports.stats import Rate, difference, is_above
from langroute.reports.window import DAY_S, Window, day_name
from langroute.reports.words import errors_of, money, rate, usd

PERIODS = ("day", "week", "month")
"""Budget periods: a UTC day, an ISO week, a calendar month."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One problem that a rule found."""

    kind: str
    """`budget_burn`, `success_drop`, `price_unknown`, `model_changed`, `route_failing`, `drift`, or a kind of your own rule."""

    subject: str
    """Subject of the alert: a team, a task kind, a model or a route."""

    message: str
    """Description with the numbers, in one sentence."""

    value: float | None = None
    limit: float | None = None


class AlertRule(Protocol):
    """Check a ledger for one kind of problem."""

    def check(self, ledger: Any, now: float) -> Sequence[Alert]:
        """Return the alerts as of `now`, in seconds since the epoch; empty if there are none."""
        ...


@runtime_checkable
class AlertHook(Protocol):
    """A hook that also receives alerts."""

    def on_alert(self, alert: Alert) -> None:
        """Receive an alert."""
        ...


def check(ledger: Any, rules: Iterable[AlertRule], *, hooks: Iterable[Any] = (), now: float | None = None) -> list[Alert]:
    """Run every rule, and pass the alerts to every hook that has `on_alert`.

    Args:
        ledger: A `SqlLedger`.
        rules: The rules to check.
        hooks: Hooks that receive the alerts. A failing hook causes a warning and loses no alert.
        now: Seconds since the epoch.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.ledger import open_ledger
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     check(ledger, [BudgetBurn(100.0), PriceUnknown()])
        []
    """
    now = time.time() if now is None else now
    alerts = [alert for rule in rules for alert in rule.check(ledger, now)]
    for hook in hooks:
        if isinstance(hook, AlertHook):
            for alert in alerts:
                _tell(hook, alert)
    return alerts


def _tell(hook: AlertHook, alert: Alert) -> None:
    try:
        hook.on_alert(alert)
    except Exception as error:  # noqa: BLE001 - a hook that fails costs no alert
        warnings.warn(f"A hook failed: {type(error).__name__}: {error}", DegradedWarning, stacklevel=3)


class BudgetBurn:
    """Alert when a budget is spent, or will be before its period ends if spending goes on at the same rate.

    Args:
        budget_usd: Budget of the period.
        per: `day`, `week` or `month`.
        team: Only this team; by default all.
        grace: Share of the period without a forecast: the first calls of a month are no basis for one.

    Example:
        >>> BudgetBurn(500.0, per="week", team="search").budget_usd
        500.0
    """

    def __init__(self, budget_usd: float, *, per: str = "month", team: str | None = None, grace: float = 0.1) -> None:
        if per not in PERIODS:
            raise ConfigurationError(f"A budget is for a {', a '.join(PERIODS)}, not for {per!r}.")
        if not 0 < budget_usd < inf:
            raise ConfigurationError(f"A budget is above 0 USD, not {budget_usd}.")
        self.budget_usd, self.per, self.team, self.grace = budget_usd, per, team, grace

    def check(self, ledger: Any, now: float) -> list[Alert]:
        """Return an alert if the budget is spent or about to be."""
        start, end = _period(self.per, now)
        line = self._line(ledger, Window(start, (int(now // DAY_S) + 1) * DAY_S))
        spent = line.spend.usd or 0.0
        elapsed = (now - start) / (end - start)
        subject = self.team or "all teams"
        if spent >= self.budget_usd:
            said = f"{money(line.spend)} of {usd(self.budget_usd)} for this {self.per} are spent by {subject}."
            return [Alert("budget_burn", subject, said, spent, self.budget_usd)]
        foretold = spent / elapsed if elapsed > 0 else 0.0
        if elapsed < self.grace or foretold <= self.budget_usd:
            return []
        said = (
            f"{subject} will have spent about {usd(foretold)} of {usd(self.budget_usd)} by the end of this {self.per} "
            f"({money(line.spend)} after {elapsed:.0%} of it)."
        )
        return [Alert("budget_burn", subject, said, foretold, self.budget_usd)]

    def _line(self, ledger: Any, window: Window) -> Line:
        if self.team is None:
            return build_report(ledger, window).total
        lines = build_report(ledger, window, by="team").lines
        return next((line for line in lines if line.key == self.team), Line(self.team))


MANY_LINES = 20
"""Lines that are taken to be compared where nobody says how many."""


class SuccessDrop:
    """Alert when the success rate of tasks drops by more than chance explains.

    The interval of the difference (Newcombe) must lie below `-min_drop`: the 95 % interval, widened for the number of lines that are
    compared, so that with many task kinds no more weeks end in a false alarm than with one.

    Args:
        days: Number of latest days to check, today included.
        before: Number of preceding days to compare with.
        by: Dimension (`task_kind`, `team` and so on) whose values are compared individually, besides the total.
        min_drop: Smallest drop that matters, as a share.
    """

    def __init__(self, *, days: int = 7, before: int = 28, by: str = "task_kind", min_drop: float = 0.0) -> None:
        check_number("days", days, least=1, whole=True)
        check_number("before", before, least=1, whole=True)
        check_number("min_drop", min_drop, least=0, most=1)
        self.days, self.before, self.by, self.min_drop = days, before, by, min_drop

    def check(self, ledger: Any, now: float) -> list[Alert]:
        """Return an alert for the total and for each line that dropped."""
        latest = Window.since(f"{self.days}d", now=now)
        new = build_report(ledger, latest, by=self.by)
        old = build_report(ledger, latest.before(self.before), by=self.by)
        earlier = {line.key: line.success for line in old.lines}
        pairs = [("all tasks", old.total.success, new.total.success)]
        pairs += [(f"{self.by} {line.key or '(none)'}", earlier.get(line.key, Rate(0, 0)), line.success) for line in new.lines]
        # A line that has no outcomes on one side can raise no false alarm.
        lines = sum(1 for _, before, after in pairs if before.of and after.of)
        return [alert for pair in pairs if (alert := self._compare(*pair, lines)) is not None]

    def _compare(self, subject: str, old: Rate, new: Rate, lines: int = MANY_LINES) -> Alert | None:
        """Return an alert for a line that dropped; of so many lines compared, all false alarms together stay as rare as with one."""
        if old.share is None or new.share is None or difference(old, new, lines).high >= -self.min_drop:
            return None
        said = (
            f"Success of {subject} fell to {rate(new)} in the last {self.days} days, from {rate(old)} in the {self.before} before."
        )
        return Alert("success_drop", subject, said, new.share, old.share)


class PriceUnknown:
    """Alert when calls were made whose price is unknown.

    Args:
        days: Number of latest days to check, today included.
    """

    def __init__(self, *, days: int = 7) -> None:
        self.days = days

    def check(self, ledger: Any, now: float) -> list[Alert]:
        """Return an alert for each model."""
        report = build_report(ledger, Window.since(f"{self.days}d", now=now))
        return [
            Alert(
                "price_unknown",
                one.model or one.route or "(unnamed)",
                f"{one.calls} calls of {one.model or '(unnamed)'} on route {one.route or '(none)'} have no known price; "
                "give it with prices={...} or Route(..., price=...).",
                float(one.calls),
            )
            for one in report.unknown_prices
        ]


class RouteFailing:
    """Alert when a route's calls fail: nobody notices as long as another route answers in its place.

    Args:
        days: Number of latest days to check, today included.
        max_share: Share of failed calls that is still accepted; more must have failed than chance explains (97.5 %), so that one or two
            failed calls are no alert.
    """

    def __init__(self, *, days: int = 7, max_share: float = 0.2) -> None:
        check_number("days", days, least=1, whole=True)
        check_number("max_share", max_share, least=0, most=1)
        self.days, self.max_share = days, max_share

    def check(self, ledger: Any, now: float) -> list[Alert]:
        """Return an alert for each route whose calls fail."""
        report = build_report(ledger, Window.since(f"{self.days}d", now=now))
        return [self._alert(one) for one in report.route_errors if is_above(one.rate, self.max_share)]

    def _alert(self, one: RouteErrors) -> Alert:
        said = f"{errors_of(one)} in the last {self.days} days; other routes answer in its place."
        return Alert("route_failing", one.route, said, one.rate.share, self.max_share)


class ModelChanged:
    """Alert when a route is served by another model than before: the provider moved an alias, or the route was changed.

    Args:
        days: Number of latest days to check, today included.
        before: Number of preceding days to compare with.
    """

    def __init__(self, *, days: int = 7, before: int = 28) -> None:
        self.days, self.before = days, before

    def check(self, ledger: Any, now: float) -> list[Alert]:
        """Return an alert for each route and new model."""
        latest = Window.since(f"{self.days}d", now=now)
        old: dict[str, set[str]] = defaultdict(set)
        new: dict[str, dict[str, int]] = defaultdict(dict)
        whole = Window(latest.before(self.before).start, latest.end)
        c, p = daily_calls.c, places.c
        query = (
            select(p.route, p.model, c.day, func.sum(c.calls))
            .join_from(daily_calls, places, p.id == c.place)
            .where(c.what.in_(PAID), p.route.is_not(None), p.model.is_not(None))
            .group_by(p.route, p.model, c.day)
            .order_by(c.day)
        )
        with open_source(ledger, whole) as source:
            for route, model, day, _ in source.connection.execute(query.where(source.within(daily_calls))):
                if day < latest.first_day:
                    old[route].add(model)
                elif model not in old[route]:
                    new[route].setdefault(model, day)
        return [
            Alert(
                "model_changed",
                route,
                f"Route {route} is served by {model} since {day_name(day)}; before, by {', '.join(sorted(old[route]))}.",
            )
            for route, models in sorted(new.items())
            for model, day in sorted(models.items())
            if old[route]
        ]


def _period(per: str, now: float) -> tuple[float, float]:
    """Return the beginning and the end of the period around a time."""
    today = datetime.fromtimestamp(now, timezone.utc).date()
    if per == "day":
        first, days = today, 1
    elif per == "week":
        first, days = today - timedelta(days=today.weekday()), 7
    else:
        first, days = today.replace(day=1), monthrange(today.year, today.month)[1]
    start = float((first - date(1970, 1, 1)).days * DAY_S)
    return start, start + days * DAY_S
