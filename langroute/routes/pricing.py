"""Costs of calls: the one formula, and prices as users write them.

Token counts come from the message, rates from the user's own table or from the list (`list_price.py`). An unknown price is `None`,
never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Price, Usage
from langroute.routes import list_price

SECONDS_KEY = "compute_seconds"
"""Key in `response_metadata` for the seconds the model worked on the message. A price per second uses these seconds where they are
known, so that queueing time is not charged.
"""


@fast_dataclass
class Component:
    """A part of a call's bill beside plain tokens: its rate stands in `Price.extra_rates`, its count in `Usage.extra_counts`.

    Example:
        >>> COMPONENTS["searches"].per, COMPONENTS["input_audio"].of
        (1, 'input')
    """

    name: str
    listed: str
    """Its field in `genai-prices`."""

    of: str | None = None
    """The count that it is part of, `input`, `output` or `cache_read`; `None` for a fee of its own."""

    per: int = 1_000_000
    """How many of them the rate is for; a fee is in USD for each."""

    listed_per: int = 1_000_000


COMPONENTS: Mapping[str, Component] = {
    component.name: component
    for component in (
        Component("input_audio", "input_audio_mtok", "input"),
        Component("input_image", "input_image_mtok", "input"),
        Component("input_video", "input_video_mtok", "input"),
        Component("cache_read_audio", "cache_audio_read_mtok", "cache_read"),
        Component("cache_read_image", "cache_image_read_mtok", "cache_read"),
        Component("output_audio", "output_audio_mtok", "output"),
        Component("output_image", "output_image_mtok", "output"),
        Component("output_video", "output_video_mtok", "output"),
        Component("searches", "web_searches_kcount", per=1, listed_per=1000),
        Component("file_searches", "storage_searches_kcount", per=1, listed_per=1000),
    )
}
"""Components of a price by name; a new one needs its line here and the field that counts it in a provider's `BillingRules`."""

_PLAIN = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "per_call", "per_second")
_FIELDS = (*_PLAIN, "above", "terms", *COMPONENTS)


def price_from(value: Price | Mapping[str, Any] | None, where: str = "price") -> Price | None:
    """Read a price as a user writes it: a `Price`, or a mapping with its fields.

    Raises:
        ConfigurationError: A rate is negative or not a number, or a field is unknown.

    Example:
        >>> price_from({"input": 3, "output": 15}) == Price(input=3.0, output=15.0)
        True
    """
    if value is None:
        return None
    if not isinstance(value, Price):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where} is {value!r}; give a Price, or a mapping with its fields.")
        unknown = sorted(set(map(str, value)) - {*_FIELDS, "extra_rates"})
        if unknown:
            raise ConfigurationError(
                f"{where}: unknown field {unknown[0]!r}. A price has: {', '.join(_FIELDS)} (USD per million tokens; per search and call)."
            )
        if not ("input" in value and "output" in value):
            raise ConfigurationError(f"{where}: give both `input` and `output`, in USD per million tokens.")
        rates: dict[str, Any] = {name: _rate(rate, f"{where}.{name}") for name, rate in value.items() if name in _PLAIN}
        extra = {**_pairs(value.get("extra_rates"), f"{where}.extra_rates"), **{n: value[n] for n in COMPONENTS if n in value}}
        return Price(
            **rates,
            above=_tiers(value.get("above", ()), f"{where}.above"),
            extra_rates=_extra_rates(extra, where),
            terms=_terms(value.get("terms"), f"{where}.terms"),
        )
    for name in _PLAIN:
        _rate(getattr(value, name), f"{where}.{name}")
    _tiers(value.above, f"{where}.above")
    _extra_rates(_pairs(value.extra_rates, f"{where}.extra_rates"), where)
    _terms(value.terms, f"{where}.terms")
    return value


def _pairs(value: Any, where: str) -> dict[str, Any]:
    """Return a table as a user or a `Price` has it: a mapping, or pairs."""
    try:
        return {str(name): found for name, found in dict(value or {}).items()}
    except (TypeError, ValueError):
        raise ConfigurationError(f"{where} is {value!r:.80}; it is a mapping of names.") from None


def _extra_rates(given: Mapping[str, Any], where: str) -> tuple[tuple[str, float], ...]:
    """Return the rates of components as sorted pairs."""
    found: list[tuple[str, float]] = []
    for name, rate in sorted(given.items()):
        if name not in COMPONENTS:
            raise ConfigurationError(f"{where}: unknown component {name!r}. Components: {', '.join(COMPONENTS)}.")
        if (checked := _rate(rate, f"{where}.{name}")) is not None:
            found.append((name, checked))
    return tuple(found)


def _terms(value: Any, where: str) -> tuple[tuple[str, Price | float], ...]:
    """Return the terms of a price as sorted pairs: another price, or a factor."""
    found: list[tuple[str, Price | float]] = []
    for name, other in sorted(_pairs(value, where).items()):
        read = price_from(other, f"{where}.{name}") if isinstance(other, (Price, Mapping)) else _rate(other, f"{where}.{name}")
        if read is None:
            raise ConfigurationError(f"{where}.{name} is None; give another price, or a factor of this one.")
        found.append((name.lower(), read))
    return tuple(found)


def _tiers(value: Any, where: str) -> tuple[tuple[int, Price], ...]:
    """Return the alternative rates for longer inputs, as pairs of tokens and a price."""
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"{where} is {value!r}; it is a list of pairs, each of input tokens and another price.")
    found: list[tuple[int, Price]] = []
    for pair in value:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[1], (Price, Mapping)):
            raise ConfigurationError(f"{where} has {pair!r}; each of it is a pair of input tokens and a price.")
        start = pair[0]
        if isinstance(start, bool) or not isinstance(start, (int, float)) or start < 0 or start != start // 1:
            raise ConfigurationError(f"{where} has {start!r}; give whole input tokens from 0 up.")
        if found and start <= found[-1][0]:
            raise ConfigurationError(f"{where} has {start!r} after {found[-1][0]}; put the smallest number of tokens first.")
        if (price := price_from(pair[1], where)) is not None:
            found.append((int(start), price))
    return tuple(found)


def _rate(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ConfigurationError(f"{where} is {value!r}; a price is a number from 0 up, in USD.")
    return float(value)


def price_of(model: str | None, provider: str | None = None, table: Mapping[str, Price] | None = None) -> Price | None:
    """Return the price of a model now, or `None` where it is unknown.

    Args:
        model: The model's name, as asked for or as served; `provider:model` works in the table.
        provider: LangChain's `ls_provider`.
        table: The user's own prices, by `provider:model` or model name; they win.

    Example:
        >>> price_of("claude-opus-4-6", "anthropic").cache_read
        0.5
        >>> price_of("my-own-model") is None
        True
    """
    if not model:
        return None
    if table:
        own = table.get(f"{provider}:{model}") or table.get(model)
        if own is not None:
            return own
    return list_price.entry(model, provider, now(), COMPONENTS.values()).price


def now() -> datetime:
    """Return the time at which a price is read, in UTC."""
    return datetime.now(list_price.UTC)


def cost(price: Price | None, usage: Usage | None, seconds: float = 0.0) -> float | None:
    """Return the USD of one call, or `None` where price or usage is unknown. What the provider itself states goes first.

    Args:
        price: The route's rates.
        usage: Tokens of the call; not needed where only time is charged.
        seconds: How long the call took, for prices by the second.

    Example:
        >>> opus = Price(input=5, output=25, cache_read=0.5, cache_write=6.25)
        >>> round(cost(opus, Usage(input_tokens=100_000, output_tokens=500, cache_read=90_000, cache_write=2_000)), 4)
        0.11
    """
    if usage is not None and usage.stated_usd is not None:
        return usage.stated_usd
    if price is None:
        return None
    timed = price.per_call + price.per_second * seconds
    if usage is None:
        return timed if timed and not price.input and not price.output else None
    rates: Price | None = price.under(usage.terms) if usage.terms else price
    if rates is None:
        return None
    if rates.above:
        rates = rates.at(usage.input_tokens)
    plain = usage.input_tokens - usage.cache_read - usage.cache_write - usage.cache_write_1h
    total = plain * rates.input + usage.output_tokens * rates.output
    if usage.cache_read:
        total += usage.cache_read * rates.read_rate
    if usage.cache_write or usage.cache_write_1h:
        total += usage.cache_write * rates.write_rate + usage.cache_write_1h * rates.write_1h_rate
    if usage.extra_counts:
        extra = extra_cost(rates, dict(usage.extra_counts))
        return None if extra is None else total / 1e6 + timed + extra
    return total / 1e6 + timed


def extra_cost(rates: Price, counts: Mapping[str, Any]) -> Any:
    """Return the USD of components beside plain tokens: what a part costs more than its whole, and fees; `None` for an unknown fee.

    Args:
        rates: The rates for the size of the call.
        counts: Count of each component; numbers or arrays.

    Example:
        >>> extra_cost(Price(2.5, 10, extra_rates=(("input_audio", 32.0),)), {"input_audio": 1000})
        0.0295
    """
    known = dict(rates.extra_rates)
    total: Any = 0.0
    for name, count in counts.items():
        component, rate = COMPONENTS.get(name), known.get(name)
        if component is None:
            continue
        if rate is None:
            # A part without a rate of its own costs what the whole does; a fee that nobody knows is unknown.
            if component.of is None and _any(count):
                return None
            continue
        whole = 0.0 if component.of is None else rates.read_rate if component.of == "cache_read" else getattr(rates, component.of)
        total = total + count * (rate - whole) / component.per
    return total


def _any(count: Any) -> bool:
    return bool(count.any()) if hasattr(count, "any") else bool(count)


def cached_saving(price: Price, usage: Usage) -> float:
    """Return the USD that a prompt cache saved on a call; negative where writing cost more than reading saved.

    Example:
        >>> cached_saving(Price(input=5, output=25, cache_read=0.5, cache_write=6.25), Usage(100_000, 0, 90_000, 8_000))
        0.395
    """
    rates = price.at(usage.input_tokens)
    written = usage.cache_write * (rates.write_rate - rates.input) + usage.cache_write_1h * (rates.write_1h_rate - rates.input)
    return (usage.cache_read * (rates.input - rates.read_rate) - written) / 1e6


def seconds_of(message: Any, measured: float) -> float:
    """Return the seconds a model worked on a message: as the message reports them, else as measured.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> seconds_of(AIMessage("Hi.", response_metadata={"compute_seconds": 0.5}), 2.0), seconds_of(AIMessage("Hi."), 2.0)
        (0.5, 2.0)
    """
    worked = (getattr(message, "response_metadata", None) or {}).get(SECONDS_KEY)
    return float(worked) if isinstance(worked, (int, float)) else measured
