"""Formatting of amounts, shares and times for people; an unknown value is never shown as 0."""

from __future__ import annotations

from langroute.reports.model import Amount, RouteErrors, SubtaskCascadeLine
from langroute.reports.stats import Range, Rate

UNKNOWN = "unknown"


def usd(value: float | None, sign: bool = False) -> str:
    """Format USD with as many digits as are significant.

    Example:
        >>> usd(1234.5), usd(0.5), usd(0.0123), usd(0.0), usd(None), usd(-2.5, sign=True)
        ('1,234.50 USD', '0.50 USD', '0.0123 USD', '0.00 USD', 'unknown', '-2.50 USD')
        >>> usd(0.0004475), usd(0.000055 + 0.0003925)
        ('0.000448 USD', '0.000448 USD')
    """
    if value is None:
        return UNKNOWN
    plus = "+" if sign and value > 0 else ""
    # Sums of the same calls in another order differ in the last bit; a half is rounded up in all of them.
    value *= 1 + 1e-12
    if value == 0 or abs(value) >= 1:
        return f"{plus}{value:,.2f} USD"
    # Three significant digits, and at least cents.
    digits = f"{value:.3g}"
    shown = f"{float(digits):.10f}".rstrip("0") if "e" in digits else digits
    whole, _, cents = shown.partition(".")
    return f"{plus}{whole}.{cents.ljust(2, '0')} USD"


def money(amount: Amount) -> str:
    """Format an amount; one that leaves something out is marked as a lower bound.

    Example:
        >>> money(Amount(2.0)), money(Amount(2.0, unknown=3)), money(Amount(None, unknown=3))
        ('2.00 USD', 'at least 2.00 USD', 'unknown')
    """
    if amount.usd is None or amount.complete:
        return usd(amount.usd)
    return f"at least {usd(amount.usd)}"


def percent(share: float | None, digits: int = 0) -> str:
    """Format a share as a percentage.

    Example:
        >>> percent(0.914), percent(None)
        ('91 %', 'unknown')
    """
    return UNKNOWN if share is None else f"{share * 100:.{digits}f} %"


def rate(value: Rate) -> str:
    """Format a share with its interval.

    Example:
        >>> rate(Rate(10, 10)), rate(Rate(0, 0))
        ('100 % (72–100)', 'not told')
    """
    if value.share is None:
        return "not told"
    return f"{percent(value.share)} ({value.low * 100:.0f}–{value.high * 100:.0f})"


def seconds(value: float | None) -> str:
    """Format a duration.

    Example:
        >>> seconds(0.04), seconds(2.345), seconds(125), seconds(None)
        ('40 ms', '2.3 s', '2 min', '')
    """
    if value is None:
        return ""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else f"{value / 60:.0f} min"


def span(value: Range | None, unit: str, digits: int = 2) -> str:
    """Format a range.

    Example:
        >>> span(Range(0.5, 2.0), "kWh")
        '0.50 to 2.00 kWh'
    """
    if value is None:
        return UNKNOWN
    return f"{value.low:,.{digits}f} to {value.high:,.{digits}f} {unit}"


def count(value: int) -> str:
    """Format a count.

    Example:
        >>> count(5_000_000)
        '5,000,000'
    """
    return f"{value:,}"


def errors_of(one: RouteErrors) -> str:
    """Format the failed calls of a route.

    Example:
        >>> errors_of(RouteErrors("cheap", 10, 9, (("NotFoundError", 9),)))
        '9 of 10 calls of cheap failed (9 NotFoundError)'
    """
    types = ", ".join(f"{count(number)} {name}" for name, number in one.types)
    return f"{count(one.errors)} of {count(one.calls)} calls of {one.route} failed" + (f" ({types})" if types else "")


def cascade_of(one: SubtaskCascadeLine) -> str:
    r"""Format a cascade of subtasks: how good its check is beside what the pair of routes needs, and whether it loses.

    Example:
        >>> right, alone = Rate(45, 60), Rate(80, 100)
        >>> line = SubtaskCascadeLine("fix", "cheap", "frontier", 100, Rate(60, 100), right, Rate(0, 0), Rate(20, 40), Rate(65, 100), alone)
        >>> print(cascade_of(line).replace("; ", ";\n"))
        Subtask fix, cheap before frontier: 60 of 100 results were accepted;
        75 % (63–84) of the accepted were right, break-even is 100 %: the cascade loses;
        it solved 65 % (55–74), frontier alone 80 % (71–87).
    """
    begun = f"Subtask {named(one.node)}, {one.first} before {one.next}: {count(one.accepted.hits)} of {count(one.subtasks)} results were accepted"
    if one.accepted_right.share is None:
        return (
            f"{begun}; no outcome of those is known, so nobody knows whether the check is good enough: record one for each subtask."
        )
    at_least = "" if one.alone.of else "at least "
    needed = "break-even is unknown" if one.break_even is None else f"break-even is {at_least}{percent(one.break_even)}"
    parts = [begun, f"{rate(one.accepted_right)} of the accepted were right, {needed}{_verdict(one)}"]
    if one.refused_wrong.of:
        parts.append(f"{rate(one.agreement)} of the verdicts on results that were kept were right")
    each = "" if one.usd is None else f" at {usd(one.usd)} each"
    alone = f", {one.next} alone {rate(one.alone)}" if one.alone.of else ""
    alone_each = "" if one.alone_usd is None or not alone else f" at {usd(one.alone_usd)} each"
    return "; ".join([*parts, f"it solved {rate(one.success)}{each}{alone}{alone_each}"]) + "."


def _verdict(one: SubtaskCascadeLine) -> str:
    if one.loses is None:
        return ""
    told = "the cascade loses" if one.loses else "the cascade holds"
    return f": {told}" if one.is_sure else f": {told}, by too few outcomes to be sure"


def named(key: str | None) -> str:
    """Return a name, or a placeholder for none."""
    return "(none)" if key is None or key == "" else key
