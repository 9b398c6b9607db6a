"""What did this call cost?

Token counts come from the message, rates from the user's own table or from `genai-prices` (bundled data, no network). Rates are
looked up once for each model; the arithmetic on the hot path is ours. An unknown price is `None`, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from langroute.errors import ConfigurationError
from langroute.records import Price, Usage

PROVIDER_IDS = {
    "amazon_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "anthropic_bedrock": "aws",
    "azure_openai": "azure",
    "azure_ai": "azure",
    "google_genai": "google",
    "google_vertexai": "google",
    "google_anthropic_vertex": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
}
"""LangChain's `ls_provider` → the id in `genai-prices`, where the two differ."""

SECONDS_KEY = "compute_seconds"
"""Where a message's `response_metadata` says how long the model worked for it. A price by the second is for these seconds where they
are known: a call that waited its turn costs no more for it."""


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
        unknown = sorted(set(value) - set(Price.__dataclass_fields__))
        if unknown:
            fields = ", ".join(Price.__dataclass_fields__)
            raise ConfigurationError(f"{where}: unknown field {unknown[0]!r}. A price has: {fields} (USD per million tokens).")
        if not ("input" in value and "output" in value):
            raise ConfigurationError(f"{where}: give both `input` and `output`, in USD per million tokens.")
        rates: dict[str, Any] = {name: _rate(rate, f"{where}.{name}") for name, rate in value.items() if name != "above"}
        return Price(**rates, above=_tiers(value.get("above", ()), f"{where}.above"))
    for name in ("input", "output", "cache_read", "cache_write", "cache_write_1h", "per_call", "per_second"):
        _rate(getattr(value, name), f"{where}.{name}")
    _tiers(value.above, f"{where}.above")
    return value


def _tiers(value: Any, where: str) -> tuple[tuple[int, Price], ...]:
    """Other rates for longer inputs, as pairs of tokens and a price."""
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
    """The list price of a model, or `None` where nobody knows it.

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
    return _list_price(model, provider)


@lru_cache(maxsize=4096)
def _list_price(model: str, provider: str | None) -> Price | None:
    from genai_prices.data_snapshot import get_snapshot

    provider_id = PROVIDER_IDS.get(provider, provider) if provider else None
    try:
        _, found = get_snapshot().find_provider_model(model, None, provider_id, None)
    except LookupError:
        return None
    return _converted(found.get_prices(datetime.now(timezone.utc)))


def _converted(rates: Any) -> Price | None:
    """A price of `genai-prices` as ours; tiers become whole alternative prices."""
    names = {
        "input": "input_mtok",
        "output": "output_mtok",
        "cache_read": "cache_read_mtok",
        "cache_write": "cache_write_mtok",
        "cache_write_1h": "cache_write_1h_mtok",
    }
    raw = {ours: getattr(rates, theirs, None) for ours, theirs in names.items()}
    if raw["input"] is None and raw["output"] is None:
        return None
    starts = sorted({tier.start for rate in raw.values() for tier in getattr(rate, "tiers", ())})

    def at(tokens: int) -> dict[str, float | None]:
        return {name: _tiered(rate, tokens) for name, rate in raw.items()}

    def whole(values: dict[str, float | None], **more: Any) -> Price:
        return Price(
            input=values["input"] or 0.0,
            output=values["output"] or 0.0,
            cache_read=values["cache_read"],
            cache_write=values["cache_write"],
            cache_write_1h=values["cache_write_1h"],
            **more,
        )

    per_call = float(getattr(rates, "requests_kcount", None) or 0) / 1000
    above = tuple((start, whole(at(start + 1), per_call=per_call)) for start in starts)
    return whole(at(0), per_call=per_call, above=above)


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


def cost(price: Price | None, usage: Usage | None, seconds: float = 0.0) -> float | None:
    """USD for one call, or `None` where price or usage is unknown.

    Args:
        price: The route's rates.
        usage: Tokens of the call; not needed where only time is charged.
        seconds: How long the call took, for prices by the second.

    Example:
        >>> opus = Price(input=5, output=25, cache_read=0.5, cache_write=6.25)
        >>> round(cost(opus, Usage(input_tokens=100_000, output_tokens=500, cache_read=90_000, cache_write=2_000)), 4)
        0.11
    """
    if price is None:
        return None
    timed = price.per_call + price.per_second * seconds
    if usage is None:
        return timed if timed and not price.input and not price.output else None
    for start, other in reversed(price.above):
        if usage.input_tokens > start:
            price = other
            break
    plain = usage.input_tokens - usage.cache_read - usage.cache_write - usage.cache_write_1h
    total = plain * price.input + usage.output_tokens * price.output
    if usage.cache_read:
        total += usage.cache_read * (price.input if price.cache_read is None else price.cache_read)
    if usage.cache_write or usage.cache_write_1h:
        write = price.input if price.cache_write is None else price.cache_write
        total += usage.cache_write * write
        total += usage.cache_write_1h * (write if price.cache_write_1h is None else price.cache_write_1h)
    return total / 1e6 + timed


def seconds_of(message: Any, measured: float) -> float:
    """How long a model worked for a message: as it says itself, else as measured from outside.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> seconds_of(AIMessage("Hi.", response_metadata={"compute_seconds": 0.5}), 2.0), seconds_of(AIMessage("Hi."), 2.0)
        (0.5, 2.0)
    """
    worked = (getattr(message, "response_metadata", None) or {}).get(SECONDS_KEY)
    return float(worked) if isinstance(worked, (int, float)) else measured


def usage_of(message: Any) -> Usage | None:
    """The tokens a message was billed for, or `None` where the model did not say.

    LangChain's `usage_metadata` comes first. Without it the provider's own record in `response_metadata` is read: Anthropic's
    counts cached tokens beside the input, OpenAI's and Gemini's as part of it.
    """
    metadata = getattr(message, "usage_metadata", None)
    response = getattr(message, "response_metadata", None) or {}
    raw = None
    for key in ("usage", "token_usage", "usage_metadata"):
        if (found := response.get(key)) and isinstance(found, Mapping):
            raw = found
            break
    if metadata and ("input_tokens" in metadata or "output_tokens" in metadata):
        usage = usage_from_metadata(metadata)
        if raw is None or metadata.get("input_token_details"):
            return usage
        # Some integrations (Mistral's) leave the cached tokens to the provider's own record.
        own = usage_from_provider(raw)
        return own if own.cache_read and own.input_tokens == usage.input_tokens else usage
    return usage_from_provider(raw) if raw is not None else None


def usage_from_metadata(metadata: Mapping[str, Any]) -> Usage:
    """Read LangChain's `usage_metadata`, with the spellings its integrations use for cached tokens.

    Example:
        >>> usage_from_metadata({"input_tokens": 10, "output_tokens": 2, "input_token_details": {"cache_read": 8}})
        Usage(input_tokens=10, output_tokens=2, cache_read=8, cache_write=0, cache_write_1h=0, reasoning=0)
    """
    given = int(metadata.get("input_tokens") or 0)
    output = int(metadata.get("output_tokens") or 0)
    details = metadata.get("input_token_details")
    # OpenAI's service tiers prefix the keys: `flex_cache_read`, `priority_reasoning`.
    told = metadata.get("output_token_details")
    reasoning = sum(value for key, value in told.items() if key.endswith("reasoning") and isinstance(value, int)) if told else 0
    if not details:
        return Usage(given, output, reasoning=int(reasoning))
    read = write = 0
    hour = int(details.get("ephemeral_1h_input_tokens") or 0)
    for key, value in details.items():
        if not isinstance(value, int):
            continue
        if key.endswith("cache_read"):
            read += value
        elif key.endswith("cache_creation") or key == "ephemeral_5m_input_tokens":
            write += value
    if "ephemeral_1h_input_tokens" in details and details.get("cache_creation") and write >= hour:
        # The total and its parts are both there: count the parts once.
        short = int(details.get("ephemeral_5m_input_tokens") or 0)
        write = max(short, int(details["cache_creation"]) - hour)
    elif details.get("ephemeral_5m_input_tokens") and details.get("cache_creation"):
        write = max(int(details["cache_creation"]), int(details["ephemeral_5m_input_tokens"]))
    cached = read + write + hour
    # Cached tokens are part of the input in LangChain's form; an integration that adds them beside it shows more cached than input.
    return Usage(given + cached if cached > given else given, output, read, write, hour, int(reasoning))


def usage_from_provider(raw: Mapping[str, Any]) -> Usage:
    """Read a provider's own usage record: Anthropic messages, OpenAI chat and Responses, Gemini.

    Example:
        >>> usage_from_provider({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}).input_tokens
        100
        >>> usage_from_provider({"promptTokenCount": 100, "cachedContentTokenCount": 90, "candidatesTokenCount": 5}).input_tokens
        100
    """

    def number(source: Mapping[str, Any] | None, *names: str) -> int:
        return next((int(source[name]) for name in names if source and isinstance(source.get(name), int)), 0)

    if "promptTokenCount" in raw or "prompt_token_count" in raw:
        thoughts = number(raw, "thoughtsTokenCount", "thoughts_token_count")
        return Usage(
            number(raw, "promptTokenCount", "prompt_token_count")
            + number(raw, "toolUsePromptTokenCount", "tool_use_prompt_token_count"),
            number(raw, "candidatesTokenCount", "candidates_token_count") + thoughts,
            cache_read=number(raw, "cachedContentTokenCount", "cached_content_token_count"),
            reasoning=thoughts,
        )
    if "cache_read_input_tokens" in raw or "cache_creation_input_tokens" in raw:
        read, written = number(raw, "cache_read_input_tokens"), number(raw, "cache_creation_input_tokens")
        hour = number(raw.get("cache_creation"), "ephemeral_1h_input_tokens")
        plain = number(raw, "input_tokens")
        return Usage(plain + read + written, number(raw, "output_tokens"), read, written - hour, hour)
    inputs = raw.get("prompt_tokens_details") or raw.get("input_tokens_details")
    outputs = raw.get("completion_tokens_details") or raw.get("output_tokens_details")
    return Usage(
        number(raw, "prompt_tokens", "input_tokens"),
        number(raw, "completion_tokens", "output_tokens"),
        # DeepSeek says it beside the others.
        cache_read=number(inputs, "cached_tokens") or number(raw, "prompt_cache_hit_tokens"),
        cache_write=number(inputs, "cache_write_tokens"),
        reasoning=number(outputs, "reasoning_tokens"),
    )
