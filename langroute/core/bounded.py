"""Bounded reading of text and values that somebody else made: tool results, tool calls, contents, metadata.

Nothing here raises, whatever it is given, and nothing takes longer for a hostile value than for a plain one of the same size: length, depth,
digits and the number of values are limited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

MAX_CHARS = 20_000
"""Longest text, in characters, that is parsed."""

MAX_DEPTH = 64
"""Deepest nesting of lists and dictionaries."""

MAX_NODES = 10_000
"""Most values inside one value; a value that is referenced several times counts each time."""

MAX_DIGITS = 18
"""Most digits of a whole number that is read exactly."""

SCALARS = frozenset({str, int, float, bool, type(None)})
"""Types of plain values that contain no others."""

_SEQUENCES = (list, tuple, set, frozenset)
_CONTAINERS = (dict, *_SEQUENCES, Mapping)

_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_WHOLE = re.compile(r"[+-]?[0-9]+")


def parse_json(text: Any, *, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH, max_digits: int = MAX_DIGITS) -> Any:
    """Return the value of a JSON text; `None` where it is not valid JSON, or is longer or deeper than the limits.

    A whole number of more than `max_digits` digits becomes a float.

    Example:
        >>> parse_json('{"exit_code": 1}'), parse_json("[" * 100_000), parse_json('{"exit_code": ' + "9" * 5000 + "}")
        ({'exit_code': 1}, None, {'exit_code': inf})
    """
    if not isinstance(text, str) or len(text) > max_chars:
        return None
    if text.count("[") + text.count("{") > max_depth and _depth(text, max_depth) > max_depth:
        return None
    try:
        return _decoder(max_digits).decode(text)
    except (ValueError, RecursionError, MemoryError):
        return None


@lru_cache(maxsize=8)
def _decoder(max_digits: int) -> json.JSONDecoder:
    return json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) <= max_digits else float(digits))


def _depth(text: str, most: int) -> int:
    """Return the depth of a JSON text, counting no further than `most + 1`."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(text):
        sign = found.group()
        if sign in "[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > most:
                break
        elif sign in "]}":
            depth -= 1
    return deepest


def small_int(text: Any, *, max_digits: int = MAX_DIGITS) -> int | None:
    """Return the whole number that a text consists of; `None` for any other text, and for a number of more digits.

    Example:
        >>> small_int("-12"), small_int("9" * 5000), small_int("twelve")
        (-12, None, None)
    """
    if not isinstance(text, str) or len(text) > max_digits + 1 or _WHOLE.fullmatch(text) is None:
        return None
    return int(text)


def fits(value: Any, *, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES) -> bool:
    """Return whether a value of lists and dictionaries stays within the limits; one that contains itself does not.

    Args:
        value: Any value; texts and numbers are within all limits.
        max_depth: Most levels of containers.
        max_nodes: Most values inside it.

    Example:
        >>> circle = []
        >>> circle.append(circle)
        >>> fits({"a": [1, 2]}), fits(circle), fits([[1]], max_depth=2), fits([[[]]], max_depth=2)
        (True, False, True, False)
    """
    if type(value) in SCALARS or not isinstance(value, _CONTAINERS):
        return True
    level, nodes = [value], 0
    # Only the methods of a foreign mapping can raise.
    with suppress(Exception):
        for _ in range(max_depth):
            below: list[Any] = []
            for one in level:
                inner = one if isinstance(one, _SEQUENCES) else one.values()
                nodes += len(inner)
                if nodes > max_nodes:
                    return False
                below += [part for part in inner if type(part) not in SCALARS and isinstance(part, _CONTAINERS)]
            if not below:
                return True
            level = below
    return False


def canonical(value: Any, *, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES) -> str | None:
    """Return a value as JSON with sorted keys, so that equal values are equal texts; `None` where it has no such form within the limits.

    Example:
        >>> canonical({"b": 1, "a": None}), canonical({1: 0, "a": 0})
        ('{"a":null,"b":1}', None)
    """
    try:
        # Most arguments are flat mappings of texts and numbers, which need no traversal.
        flat = type(value) is dict and len(value) <= max_nodes and SCALARS.issuperset(map(type, value.values()))
        return _SORTED.encode(value) if flat or fits(value, max_depth=max_depth, max_nodes=max_nodes) else None
    except Exception:  # noqa: BLE001 - whatever an object raises that is asked what it says
        return None


def as_text(value: Any) -> str | None:
    """Return a value as text, for names and ids; `None` for `None`, and where it cannot be converted.

    Example:
        >>> as_text(7), as_text(None), as_text(10**5000)
        ('7', None, None)
    """
    if type(value) is str:
        return value
    if value is None:
        return None
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return canonical(value)
    try:
        return str(value)
    except Exception:  # noqa: BLE001
        return None


def shown(value: Any, max_chars: int = 200) -> str:
    """Return a value as an error message shows it, cut to `max_chars`.

    Example:
        >>> shown("a"), shown("a" * 1000, 5)
        ("'a'", "'aaaa…")
    """
    try:
        text = repr(value if not isinstance(value, (str, bytes)) else value[:max_chars]) if fits(value) else type(value).__name__
    except Exception:  # noqa: BLE001
        text = f"a {type(value).__name__}"
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


def error_text(error: BaseException, max_chars: int = 300) -> str:
    """Return an error's class and message, cut to `max_chars`: a message may quote foreign text.

    Example:
        >>> error_text(KeyError("a")), error_text(ValueError("a" * 1000), 4)
        ("KeyError: 'a'", 'ValueError: aaaa…')
    """
    text = as_text(error) or ""
    return f"{type(error).__name__}: {text if len(text) <= max_chars else text[:max_chars] + '…'}"


def characters(value: Any, *, max_nodes: int = 100_000) -> int:
    """Count the characters of all text in a value, keys included; what contains itself is counted once.

    Example:
        >>> characters({"ab": ["c", {"d": "efg"}], "h": 12})
        10
    """
    count, nodes = 0, 0
    waiting, met = [value], set()
    # Counted until iterating a foreign object raises.
    with suppress(Exception):
        while waiting and nodes < max_nodes:
            one = waiting.pop()
            nodes += 1
            if isinstance(one, (str, bytes)):
                count += len(one)
            elif isinstance(one, (Mapping, list, tuple, set, frozenset)):
                if id(one) not in met:
                    met.add(id(one))
                    waiting.extend(_inside(one))
            elif one is not None:
                count += 2
    return count


def plain(value: Any, *, max_depth: int = MAX_DEPTH, max_nodes: int = MAX_NODES) -> Any:
    """Return a copy of a value with only JSON types, within the limits; anything else becomes `None` or is left out.

    Example:
        >>> plain({"a": [1, object()], 2: 3, "b": {"c": ["d"]}}, max_depth=2)
        {'a': [1, None], 'b': {'c': None}}
    """
    left = [max_nodes]

    def copy(one: Any, depth: int) -> Any:
        left[0] -= 1
        if isinstance(one, (str, bool, int, float)):
            return one
        if depth == 0 or left[0] < 0:
            return None
        if isinstance(one, dict):
            return {key: copy(inner, depth - 1) for key, inner in one.items() if isinstance(key, str)}
        return [copy(inner, depth - 1) for inner in one] if isinstance(one, (list, tuple)) else None

    return copy(value, max_depth)


def _inside(value: Any) -> Iterable[Any]:
    return [part for pair in value.items() for part in pair] if isinstance(value, Mapping) else value


def _said(value: Any) -> str:
    """Return the text that stands in JSON for a value of an unsupported type."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001
        return f"<{type(value).__name__}>"


_SORTED = json.JSONEncoder(sort_keys=True, default=_said, separators=(",", ":"))

__all__ = ["SCALARS", "as_text", "canonical", "characters", "error_text", "fits", "parse_json", "plain", "shown", "small_int"]
