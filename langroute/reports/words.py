"""How are amounts, shares and times written for people? Unknown is said, never shown as 0."""

from __future__ import annotations

from langroute.reports.model import Amount
from langroute.reports.stats import Range, Rate

UNKNOWN = "unknown"


def usd(value: float | None, sign: bool = False) -> str:
    """USD with as many digits as tell something.

    Example:
        >>> usd(1234.5), usd(0.5), usd(0.0123), usd(0.0), usd(None), usd(-2.5, sign=True)
        ('1,234.50 USD', '0.50 USD', '0.0123 USD', '0.00 USD', 'unknown', '-2.50 USD')
    """
    if value is None:
        return UNKNOWN
    plus = "+" if sign and value > 0 else ""
    if value == 0 or abs(value) >= 1:
        return f"{plus}{value:,.2f} USD"
    # Three digits that tell something, and never less than cents.
    digits = f"{value:.3g}"
    shown = f"{float(digits):.10f}".rstrip("0") if "e" in digits else digits
    whole, _, cents = shown.partition(".")
    return f"{plus}{whole}.{cents.ljust(2, '0')} USD"


def money(amount: Amount) -> str:
    """An amount; one that leaves something out says so.

    Example:
        >>> money(Amount(2.0)), money(Amount(2.0, unknown=3)), money(Amount(None, unknown=3))
        ('2.00 USD', 'at least 2.00 USD', 'unknown')
    """
    if amount.usd is None or amount.complete:
        return usd(amount.usd)
    return f"at least {usd(amount.usd)}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share as a percentage.

    Example:
        >>> percent(0.914), percent(None)
        ('91 %', 'unknown')
    """
    return UNKNOWN if share is None else f"{share * 100:.{digits}f} %"


def rate(value: Rate) -> str:
    """A share with its interval.

    Example:
        >>> rate(Rate(10, 10)), rate(Rate(0, 0))
        ('100 % (72–100)', 'not told')
    """
    if value.share is None:
        return "not told"
    return f"{percent(value.share)} ({value.low * 100:.0f}–{value.high * 100:.0f})"


def seconds(value: float | None) -> str:
    """A time.

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
    """A range.

    Example:
        >>> span(Range(0.5, 2.0), "kWh")
        '0.50 to 2.00 kWh'
    """
    if value is None:
        return UNKNOWN
    return f"{value.low:,.{digits}f} to {value.high:,.{digits}f} {unit}"


def count(value: int) -> str:
    """A number of things.

    Example:
        >>> count(5_000_000)
        '5,000,000'
    """
    return f"{value:,}"


def named(key: str | None) -> str:
    """A name, or what stands for none."""
    return "(none)" if key is None or key == "" else key
