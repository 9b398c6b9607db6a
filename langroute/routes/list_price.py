"""List prices of models, from `genai-prices` (bundled data, no network), as they are when a call is made.

Prices change by date and by hour. One is converted once and holds until the next change that the list announces, at most for an hour,
so that a list that was updated meanwhile is read, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, time, timedelta, timezone
from typing import Any, Protocol

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Price
from langroute.providers.registry import ON_CHANGE, price_id, profile_of

UTC = timezone.utc
MAX_MODELS = 4096
"""Most models whose prices are kept."""

_TOKENS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
_TERMS = frozenset({"service_tier", "processing", "speed"})
"""Conditions of a price that an answer may state."""


class ListedComponent(Protocol):
    """A price component as the list has it; see `langroute.routes.pricing.Component`."""

    @property
    def name(self) -> str:
        """Name of the component."""
        ...

    @property
    def listed(self) -> str:
        """Its field in the list."""
        ...

    @property
    def per(self) -> int:
        """How many of them our rate is for."""
        ...

    @property
    def listed_per(self) -> int:
        """How many of them the list's rate is for."""
        ...


@fast_dataclass
class ListedPrice:
    """A list price, and the times between which it holds."""

    price: Price | None
    since: datetime
    until: datetime


_known: dict[tuple[str, str | None], ListedPrice] = {}

ON_CHANGE.append(_known.clear)


def entry(model: str, provider: str | None, now: datetime, components: Iterable[ListedComponent]) -> ListedPrice:
    """Return the list price of a model at a time; its price is `None` where it is not listed.

    Args:
        model: The model's name.
        provider: LangChain's `ls_provider`.
        now: The time, in UTC.
        components: The components to convert beside tokens.
    """
    found = _known.get((model, provider))
    if found is not None and found.since <= now < found.until:
        return found
    listed = _find(model, provider)
    price = None if listed is None else _converted(*listed, provider, now, tuple(components))
    made = ListedPrice(price, *_holds(None if listed is None else listed[1], now))
    if len(_known) >= MAX_MODELS:
        _known.clear()
    _known[model, provider] = made
    return made


def hour(now: datetime) -> tuple[datetime, datetime]:
    """Return the begin and the end of the hour, the longest for which prices are kept.

    Example:
        >>> [str(end.time()) for end in hour(datetime(2026, 11, 29, 12, 30, tzinfo=UTC))]
        ['12:00:00', '13:00:00']
    """
    since = now.replace(minute=0, second=0, microsecond=0)
    return since, since + timedelta(hours=1)


def _find(model: str, provider: str | None) -> tuple[Any, Any] | None:
    """Return the provider and the model of the list."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        found: tuple[Any, Any] = get_snapshot().find_provider_model(model, None, price_id(provider), None)
    except LookupError:
        return None
    return found


def _holds(listed: Any, now: datetime) -> tuple[datetime, datetime]:
    """Return the times between which a price read now does not change: within this hour, and between two changes of the list."""
    since, until = hour(now)
    prices = getattr(listed, "prices", None)
    several = [*(prices if isinstance(prices, list) else ()), *(getattr(listed, "price_variants", None) or ())]
    for change in _changes(several, now):
        if change <= now:
            since = max(since, change)
        else:
            until = min(until, change)
    return since, until


def _changes(prices: Iterable[Any], now: datetime) -> Iterator[datetime]:
    """Yield the times of this day at which one of these prices begins or ends; dates begin at full hours."""
    for price in prices:
        constraint = getattr(price, "constraint", None)
        for name in ("start_time", "end_time"):
            clock = getattr(constraint, name, None)
            if isinstance(clock, time):
                zone = clock.tzinfo or UTC
                yield datetime.combine(now.astimezone(zone).date(), clock.replace(tzinfo=zone)).astimezone(UTC)


def _converted(
    owner: Any, listed: Any, provider: str | None, now: datetime, components: tuple[ListedComponent, ...]
) -> Price | None:
    """Return a listed model's price with its terms."""
    price = _price(listed.get_prices(now), components)
    if price is None:
        return None
    profile = profile_of(provider)
    standard = profile.billing.standard_terms
    terms: dict[str, Price | float] = dict(profile.billing.term_factors)
    # Terms that one provider lists for its own models say nothing of the same models at another one.
    own = any(listed is model for model in owner.models)
    for variant in (getattr(listed, "price_variants", None) or ()) if own else ():
        name, word = next(iter(variant.when.items()))
        if len(variant.when) == 1 and name in _TERMS and word not in standard:
            other = _price(listed.get_prices(now, dict(variant.when)), components)
            if other is not None:
                terms[word.lower()] = other
    return replace(price, terms=tuple(sorted(terms.items()))) if terms else price


def _price(rates: Any, components: tuple[ListedComponent, ...]) -> Price | None:
    """Return rates of `genai-prices` as a `Price`; its tiers become complete alternative prices."""
    raw = {ours: getattr(rates, theirs, None) for ours, theirs in _TOKENS.items()}
    if raw["input"] is None and raw["output"] is None:
        return None
    extra = [(one, rate) for one in components if (rate := getattr(rates, one.listed, None)) is not None]
    starts = sorted({tier.start for rate in (*raw.values(), *(rate for _, rate in extra)) for tier in getattr(rate, "tiers", ())})
    per_call = float(getattr(rates, "requests_kcount", None) or 0) / 1000

    def whole(tokens: int, above: tuple[tuple[int, Price], ...] = ()) -> Price:
        found = {name: _tiered(rate, tokens) for name, rate in raw.items()}
        return Price(
            input=found["input"] or 0.0,
            output=found["output"] or 0.0,
            cache_read=found["cache_read"],
            cache_write=found["cache_write"],
            cache_write_1h=found["cache_write_1h"],
            per_call=per_call,
            above=above,
            extra_rates=tuple(sorted((one.name, (_tiered(rate, tokens) or 0.0) * one.per / one.listed_per) for one, rate in extra)),
        )

    return whole(0, tuple((start, whole(start + 1)) for start in starts))


def _tiered(rate: Any, tokens: int) -> float | None:
    if rate is None:
        return None
    if not hasattr(rate, "tiers"):
        return float(rate)
    price = rate.base
    for tier in rate.tiers:
        if tokens > tier.start:
            price = tier.price
    return float(price)
