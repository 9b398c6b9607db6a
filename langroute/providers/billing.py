"""What answers say about the bill beside their tokens: searches, media, service tiers, regions and the cost itself.

The fields stand in the profiles (`BillingRules`); an answer is read by those of all providers, because many are reached through another
provider's client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, TypeGuard

from langroute.core.fast_dataclass import fast_dataclass
from langroute.providers.registry import ON_CHANGE, profiles

MAX_ENTRIES = 1000
"""Most blocks or entries of a list that are counted."""


@fast_dataclass
class _Table:
    """The billing rules of all profiles."""

    counts: Mapping[str, tuple[tuple[str, str], ...]]
    """Field of the usage → fields in it, each with its component; an empty name is the field itself."""

    blocks: Mapping[str, tuple[tuple[str, str | None], ...]]
    free_actions: frozenset[str]
    lists: tuple[tuple[str, str, tuple[str, ...]], ...]
    terms: frozenset[str]
    standard: frozenset[str]
    stated: tuple[tuple[str, float], ...]
    upstream: tuple[tuple[str, str], ...]
    inner: Mapping[str, frozenset[str]]
    """Field of the usage → names of the fields in it that count something."""

    names: frozenset[str]
    """Fields of the usage that anything here is read from."""


@lru_cache(maxsize=1)
def _table() -> _Table:
    rules = [profile.billing for profile in profiles()]
    counts: dict[str, dict[str, str]] = {}
    blocks: dict[str, dict[tuple[str, str | None], None]] = {}
    for rule in rules:
        for component, path in rule.counts:
            outer, _, inner = path.partition(".")
            counts.setdefault(outer, {})[inner] = component
        for component, kind, name in rule.blocks:
            blocks.setdefault(kind, {})[component, name] = None
    stated = tuple(dict.fromkeys(pair for rule in rules for pair in rule.stated_cost))
    terms = frozenset(name for rule in rules for name in rule.terms)
    return _Table(
        {outer: tuple(inner.items()) for outer, inner in counts.items()},
        {kind: tuple(found) for kind, found in blocks.items()},
        frozenset(action for rule in rules for action in rule.free_actions),
        tuple(dict.fromkeys((*pair, rule.once_per_call) for rule in rules for pair in rule.lists)),
        terms,
        frozenset(word for rule in rules for word in rule.standard_terms),
        stated,
        tuple(dict.fromkeys(rule.upstream_cost for rule in rules if rule.upstream_cost is not None)),
        {outer: frozenset(found) for outer, found in counts.items()},
        frozenset({*counts, *terms, *(path.partition(".")[0] for path, _ in stated)}),
    )


ON_CHANGE.append(_table.cache_clear)


def read_bill(
    response: Mapping[str, Any], raw: Mapping[str, Any] | None
) -> tuple[dict[str, int], tuple[str, ...], float | None] | None:
    """Return counts of components, terms and the stated cost of an answer; `None` where its fields say nothing beside the tokens.

    Args:
        response: The response's metadata.
        raw: The provider's own usage record in it.

    Example:
        >>> read_bill({"service_tier": "flex"}, {"prompt_tokens": 10})
        ({}, ('flex',), None)
        >>> read_bill({"service_tier": "default"}, {"prompt_tokens": 10}) is None
        True
    """
    table = _table()
    if not (_says_terms(table, response) or (raw is not None and _says_more(table, raw))):
        return None
    if raw is None:
        return {}, terms_in(response), None
    return counts_in(raw), terms_in(response, raw), stated_cost(raw)


# Both are on the path of every call, and make nothing.


def _says_terms(table: _Table, response: Mapping[str, Any]) -> bool:
    for name in response:
        if name in table.terms:
            value = response[name]
            if value and not (isinstance(value, str) and value in table.standard):
                return True
    return False


def _says_more(table: _Table, raw: Mapping[str, Any]) -> bool:
    for name in raw:
        if name in table.names and (value := raw[name]):
            if isinstance(value, dict) and name in table.inner:
                known = table.inner[name]
                for inner in value:
                    if inner in known and value[inner]:
                        return True
            elif not (isinstance(value, str) and value in table.standard):
                return True
    return False


def counts_in(raw: Mapping[str, Any]) -> dict[str, int]:
    """Return the counts of price components that a usage record has.

    Example:
        >>> counts_in({"input_tokens": 10, "server_tool_use": {"web_search_requests": 3}})
        {'searches': 3}
    """
    table = _table()
    found: dict[str, int] = {}
    for outer in table.names.intersection(raw):
        value = raw[outer]
        if not value or outer not in table.counts:
            continue
        if isinstance(value, (list, tuple)):
            value = by_kind(value)
        for inner, component in table.counts[outer]:
            count = value.get(inner) if isinstance(value, Mapping) else value if not inner else None
            if is_count(count):
                found[component] = max(found.get(component, 0), count)
    return found


def by_kind(entries: Iterable[Any]) -> dict[str, Any]:
    """Return a list of counts as a mapping: Gemini's by modality, Bedrock's by time to live.

    Example:
        >>> by_kind([{"modality": "AUDIO", "tokenCount": 7}, {"ttl": "1h", "inputTokens": 5}])
        {'AUDIO': 7, '1h': 5}
    """
    found: dict[str, Any] = {}
    for number, one in enumerate(entries):
        if number < 20 and isinstance(one, Mapping):
            kind = str(one.get("modality") or one.get("ttl")).rpartition(".")[2]
            found[kind] = next((one[name] for name in ("tokenCount", "token_count", "inputTokens") if name in one), None)
    return found


def is_count(value: Any) -> TypeGuard[int]:
    """Return whether a value is a count above zero."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def counts_of_blocks(content: Any) -> dict[str, int]:
    """Return the counts of price components that the blocks of an answer show.

    Example:
        >>> counts_of_blocks([{"type": "web_search_call", "id": "1"}, {"type": "text", "text": "Found."}])
        {'searches': 1}
    """
    table = _table()
    seen: dict[tuple[str, str], None] = {}
    for place, block in enumerate(content[:MAX_ENTRIES]):
        kind = block.get("type") if isinstance(block, Mapping) else None
        for component, name in table.blocks.get(kind, ()) if isinstance(kind, str) else ():
            action = block.get("action")
            free = isinstance(action, Mapping) and action.get("type") in table.free_actions
            if not free and name in (None, block.get("name")):
                # The chunks of a stream repeat the id.
                seen[component, str(block.get("id") or place)] = None
    found: dict[str, int] = {}
    for component, _ in seen:
        found[component] = found.get(component, 0) + 1
    return found


def counts_of_lists(response: Mapping[str, Any], model: str | None) -> dict[str, int]:
    """Return the counts of price components that lists in a response's metadata show.

    Example:
        >>> counts_of_lists({"grounding_metadata": {"web_search_queries": ["a", "b"]}}, "gemini-3-pro"), counts_of_lists({}, None)
        ({'searches': 2}, {})
    """
    found: dict[str, int] = {}
    for component, path, once in _table().lists:
        outer, _, inner = path.partition(".")
        held = response.get(outer)
        entries = held.get(inner) if isinstance(held, Mapping) else None
        if entries and isinstance(entries, (list, tuple)):
            single = model is not None and any(part in model for part in once)
            found[component] = 1 if single else min(len(entries), MAX_ENTRIES)
    return found


def terms_in(*records: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the terms, other than the standard ones, under which these records say that a call was billed.

    Example:
        >>> terms_in({"service_tier": "flex"}), terms_in({"service_tier": "default", "speed": "fast"})
        (('flex',), ('fast',))
    """
    table = _table()
    found: dict[str, None] = {}
    for record in records:
        for name in table.terms.intersection(record):
            value = record[name]
            if isinstance(value, Mapping):
                value = value.get("type")
            if value and isinstance(value, str) and (word := value[:40].lower()) not in table.standard:
                found[word] = None
    return tuple(sorted(found))


def says_terms(*records: Mapping[str, Any]) -> bool:
    """Return whether any of these records says under which terms a call was billed."""
    names = _table().terms
    return any(record.get(name) is not None for record in records for name in names.intersection(record))


def asked_terms(model: Any, kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the terms, other than the standard ones, that a chat model asks for with every call.

    Args:
        model: The chat model.
        kwargs: Call arguments that are bound to it.
    """
    given: dict[str, Any] = {}
    for record in (getattr(model, "model_kwargs", None), getattr(model, "extra_body", None), kwargs):
        if isinstance(record, Mapping):
            given.update(record)
            if isinstance(more := record.get("extra_body"), Mapping):
                given.update(more)
    own = {name: getattr(model, name, None) for name in _table().terms}
    return terms_in({**{name: value for name, value in own.items() if value is not None}, **given})


def stated_cost(raw: Mapping[str, Any]) -> float | None:
    """Return the USD that a usage record itself states for the call; `None` where it states none.

    A cost of 0 is no statement: gateways without a price say it, too.

    Example:
        >>> stated_cost({"prompt_tokens": 10, "cost": 0.0123}), stated_cost({"cost": 0}), stated_cost({"cost_in_usd_ticks": 37756000})
        (0.0123, None, 0.0037756)
    """
    table = _table()
    if table.names.isdisjoint(raw):
        return None
    for path, unit in table.stated:
        found = _number(raw, path)
        if found is None:
            continue
        for flag, upstream in table.upstream:
            if raw.get(flag):
                more = _number(raw, upstream)
                return None if more is None else (found + more) or None
        if found:
            return round(found * unit, 12)
    return None


def _number(raw: Mapping[str, Any], path: str) -> float | None:
    value: Any = raw
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if isfinite(value) and value >= 0 else None
