"""Token usage of a call, read from a message or from a provider's own usage record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langroute.core.records import Usage
from langroute.providers import anthropic, bedrock, google, hosted_services, local_servers, openai_protocol
from langroute.providers.billing import by_kind, counts_of_blocks, counts_of_lists, is_count, read_bill
from langroute.providers.profile import UsageFields

RECORDS = (
    google.USAGE,
    bedrock.USAGE,
    anthropic.USAGE,
    openai_protocol.USAGE,
    openai_protocol.RESPONSES_USAGE,
    hosted_services.COHERE_USAGE,
    local_servers.OLLAMA_USAGE,
)
"""Kinds of usage records, the most specific first."""

MEDIA = frozenset({"audio", "image", "video"})
"""Kinds of media that LangChain's details of the tokens tell apart."""

_MEDIA_FIELDS = {
    "input": ("promptTokensDetails", "prompt_tokens_details", "input_tokens_details"),
    "output": ("candidatesTokensDetails", "candidates_tokens_details", "completion_tokens_details", "output_tokens_details"),
}
_PLAIN_DETAILS = frozenset({"cache_read", "cache_creation", "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "reasoning"})
_TIER_KEYS = frozenset({"flex", "priority"})
"""OpenAI's service tiers that LangChain's details of the tokens name."""

_KEYS = ("usage", "token_usage", "usage_metadata")
"""Keys of the provider's usage record in `response_metadata` of LangChain's packages."""


def usage_of(message: Any) -> Usage | None:
    """Return the tokens a message was billed for, or `None` where the model did not report them.

    LangChain's `usage_metadata` comes first. Without it the provider's own record in `response_metadata` is read. Anthropic's record does
    not include cached tokens in the input count; OpenAI's and Gemini's do. No input, or no output for an answer that says something, is
    no measurement.
    """
    metadata = getattr(message, "usage_metadata", None)
    response = getattr(message, "response_metadata", None) or {}
    raw = None
    for key in _KEYS if response else ():
        if (found := response.get(key)) and isinstance(found, Mapping):
            raw = found
            break
    if metadata and ("input_tokens" in metadata or "output_tokens" in metadata):
        usage = usage_from_metadata(metadata)
        if raw is not None and not (usage.cache_read and usage.cache_write):
            usage = _with_own_cache(usage, raw)
    elif raw is not None:
        usage = usage_from_provider(raw)
    else:
        return None
    if usage.input_tokens <= 0 or (usage.output_tokens <= 0 and not is_measured(usage, message)):
        return None
    content = getattr(message, "content", None)
    bill = read_bill(response, raw)
    if bill is None and not usage.extra_counts and not isinstance(content, list) and "grounding_metadata" not in response:
        return usage
    return _billed(usage, content, response, bill)


def _with_own_cache(usage: Usage, raw: Mapping[str, Any]) -> Usage:
    """Return the usage with the cached tokens that an integration left to the provider's own record: Mistral's, all writes of DashScope."""
    fields = _fields_of(raw)
    # Most records have nothing to add, and every answer comes through here.
    adds_read = not usage.cache_read and _count(raw, fields.cache_read)
    if not adds_read and (usage.cache_write or not _count(raw, fields.cache_write)):
        return usage
    own = _read(raw, fields)
    read, written = usage.cache_read or own.cache_read, usage.cache_write or own.cache_write
    if own.input_tokens != usage.input_tokens or (read, written) == (usage.cache_read, usage.cache_write):
        return usage
    if usage.cache_write_1h or read + written > usage.input_tokens:
        return usage
    return replace(usage, cache_read=read, cache_write=written)


def is_measured(usage: Usage, message: Any = None) -> bool:
    """Return whether token counts can be true: a prompt is never empty, nor is an answer that says something.

    Example:
        >>> is_measured(Usage(10, 2)), is_measured(Usage(0, 2))
        (True, False)
    """
    if usage.input_tokens <= 0 or usage.output_tokens < 0:
        return False
    return usage.output_tokens > 0 or not (getattr(message, "content", None) or getattr(message, "tool_calls", None))


def _billed(usage: Usage, content: Any, response: Mapping[str, Any], bill: Any) -> Usage:
    """Return the usage with what the answer says of the bill beside its tokens."""
    counts = dict(usage.extra_counts)
    if content and isinstance(content, list):
        counts.update(counts_of_blocks(content))
    if "grounding_metadata" in response:
        counts.update(counts_of_lists(response, response.get("model_name")))
    more, terms, stated = bill or ({}, (), None)
    counts.update(more)
    if not (counts or terms) and stated is None:
        return usage
    return replace(usage, extra_counts=_uncached(usage, counts), terms=terms or usage.terms, stated_usd=stated)


def _uncached(usage: Usage, counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return the counts with media of the input less what of it was cached; no part is larger than the whole."""
    found = dict(counts)
    plain = max(0, usage.input_tokens - usage.cache_read - usage.cache_write - usage.cache_write_1h)
    left = {"input_": plain, "output_": usage.output_tokens, "cache_read_": usage.cache_read}
    for name in sorted(found):
        if name.startswith("input_"):
            found[name] -= found.get("cache_read_" + name.removeprefix("input_"), 0)
        for start in left:
            if name.startswith(start):
                found[name] = max(0, min(found[name], left[start]))
                left[start] -= found[name]
    return tuple((name, count) for name, count in sorted(found.items()) if count)


def media_told(message: Any, direction: str) -> bool:
    """Return whether an answer says which of its tokens stand for audio, images or video.

    Args:
        message: The answer.
        direction: `input` or `output`.
    """
    details = (getattr(message, "usage_metadata", None) or {}).get(f"{direction}_token_details") or {}
    if not MEDIA.isdisjoint(details):
        return True
    response = getattr(message, "response_metadata", None) or {}
    names = _MEDIA_FIELDS[direction]
    records = [found for key in _KEYS if isinstance(found := response.get(key), Mapping)]
    return any(record.get(name) for record in records for name in names)


def usage_from_provider(raw: Mapping[str, Any]) -> Usage:
    """Read a provider's own usage record: Anthropic messages, OpenAI chat and Responses, Gemini, Bedrock.

    Example:
        >>> usage_from_provider({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}).input_tokens
        100
        >>> usage_from_provider({"promptTokenCount": 100, "cachedContentTokenCount": 90, "candidatesTokenCount": 5}).input_tokens
        100
    """
    return _read(raw, _fields_of(raw))


def _fields_of(raw: Mapping[str, Any]) -> UsageFields:
    """Return the field names of a usage record, told by those that it has."""
    for fields in RECORDS:
        for name in fields.told_by:
            if name in raw:
                return fields
    return openai_protocol.USAGE


def _read(raw: Mapping[str, Any], fields: UsageFields) -> Usage:
    read, written = _count(raw, fields.cache_read), _count(raw, fields.cache_write)
    hour = _count(raw, fields.cache_write_1h)
    given = _count(raw, fields.input) + _count(raw, fields.more_input)
    if fields.cached_beside_input:
        given += read + written
    return _whole_usage(
        given,
        _count(raw, fields.output) + _count(raw, fields.more_output),
        read,
        written - hour if fields.written_with_1h else written,
        hour,
        _count(raw, fields.reasoning),
        _count(raw, fields.total),
    )


def _whole_usage(given: int, output: int, read: int, write: int, hour: int, reasoning: int, total: int) -> Usage:
    """Return a usage whose parts are the whole that the provider tells: some count thinking, or cached input, beside the others."""
    beside = total - given - output
    cached = read + write + hour
    if beside > 0 and beside == cached:
        given += beside
    elif beside > 0:
        output += beside
    elif reasoning > output:
        output += reasoning
    return Usage(given, output, read, write, hour, reasoning)


def _count(raw: Mapping[str, Any], names: tuple[str, ...]) -> int:
    """Return the first of these counts that the record has."""
    for name in names:
        outer, _, inner = name.partition(".")
        value = raw.get(outer)
        if inner and isinstance(value, (list, tuple)):
            # Bedrock lists what was written by the time it lives.
            value = by_kind(value)
        if inner:
            value = value.get(inner) if isinstance(value, Mapping) else None
        if is_count(value):
            return int(value)
    return 0


def usage_from_metadata(metadata: Mapping[str, Any]) -> Usage:
    """Read LangChain's `usage_metadata`, including its integrations' different names for cached tokens.

    Example:
        >>> usage_from_metadata({"input_tokens": 10, "output_tokens": 2, "input_token_details": {"cache_read": 8}})
        Usage(input_tokens=10, output_tokens=2, cache_read=8, cache_write=0, cache_write_1h=0, reasoning=0)
    """
    given = int(metadata.get("input_tokens") or 0)
    output = int(metadata.get("output_tokens") or 0)
    details = metadata.get("input_token_details")
    # OpenAI's service tiers prefix the keys: `flex_cache_read`, `priority_reasoning`.
    told = metadata.get("output_token_details")
    reasoning = sum(value for key, value in told.items() if key.endswith("reasoning") and is_count(value)) if told else 0
    read, write, hour = _cached(details) if details else (0, 0, 0)
    cached = read + write + hour
    if cached > given:
        # Cached tokens are part of the input in LangChain's form; an integration that adds them beside it shows more cached than input.
        given += cached
    total = metadata.get("total_tokens") or 0
    if total > given + output or reasoning > output:
        usage = _whole_usage(given, output, read, write, hour, int(reasoning), int(total))
    else:
        usage = Usage(given, output, read, write, hour, int(reasoning))
    if (details and not _PLAIN_DETAILS.issuperset(details)) or (told and not _PLAIN_DETAILS.issuperset(told)):
        return _with_details(usage, details, told)
    return usage


def _with_details(usage: Usage, details: Any, told: Any) -> Usage:
    """Return the usage with the media and the service tier that LangChain's details of the tokens name."""
    counts: list[tuple[str, int]] = []
    terms: tuple[str, ...] = ()
    for direction, found in (("input", details), ("output", told)):
        for key in found or ():
            if key in MEDIA:
                if is_count(found[key]):
                    counts.append((f"{direction}_{key}", found[key]))
            elif key in _TIER_KEYS:
                terms = (key,)
    return replace(usage, extra_counts=tuple(counts), terms=terms) if counts or terms else usage


def _cached(details: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return the tokens read, written for five minutes, and written for an hour."""
    read = write = 0
    hour = _whole(details.get("ephemeral_1h_input_tokens"))
    for key, value in details.items():
        if not is_count(value):
            continue
        if key.endswith("cache_read"):
            read += value
        elif key.endswith("cache_creation") or key == "ephemeral_5m_input_tokens":
            write += value
    short = _whole(details.get("ephemeral_5m_input_tokens"))
    total = _whole(details.get("cache_creation"))
    if "ephemeral_1h_input_tokens" in details and total and write >= hour:
        # The total and its parts are both there: count the parts once.
        write = max(short, total - hour)
    elif short and total:
        write = max(total, short)
    return read, write, hour


def _whole(value: Any) -> int:
    return value if is_count(value) else 0
