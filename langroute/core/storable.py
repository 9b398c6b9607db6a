"""Conversion of foreign text and numbers to a form that files, databases and JSON accept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from numbers import Real
from typing import Any

from langroute.core.bounded import SCALARS
from langroute.core.errors import DataError
from langroute.core.number_checks import MOST
from langroute.core.resolve_task import id_text

NAME = 256
"""Longest name that is stored, in characters: a task's id, a route, a team, a tag. A PostgreSQL index row has room for two."""

ID = 64
"""Longest decision id in characters."""

RUN = 36
"""Longest run id in characters: a UUID with its hyphens."""

MOST_ENTRIES = 64
"""Most tags stored of one task, and most reasons, problems and the like of one decision."""

METADATA_CHARACTERS, METADATA_ITEMS = 1 << 16, 2_000
"""Largest metadata stored of one call."""

DEEPEST = 64
"""Deepest nesting of lists and mappings that is stored."""

_DIGEST = 32
"""Number of hexadecimal digits of the hash that replaces the end of a long name."""


def storable(text: str) -> str:
    r"""Return a text without NUL and lone surrogates, as every database and file accepts it.

    Example:
        >>> storable("a\ud83d\x00b")
        'a?b'
    """
    if text.isascii() and "\x00" not in text:
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def text_of(value: Any) -> str:
    r"""Return any value as text; bytes are decoded as UTF-8.

    Example:
        >>> text_of(b"caf\xc3\xa9"), text_of(7), text_of(10**5000)
        ('café', '7', '<int>')
    """
    if isinstance(value, str):
        # A subclass's `__str__` may return something other than its value.
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - anybody's `__str__`, and integers of more digits than Python writes
        return f"<{type(value).__name__}>"


def name_of(value: Any, most: int = NAME) -> str:
    """Return a name as it is stored: storable, and at most `most` characters. A longer one ends in a hash, the same one everywhere.

    Example:
        >>> name_of("ticket-17")
        'ticket-17'
        >>> name_of("x" * 3000)[-40:], len(name_of("x" * 3000))
        ('xxxxxxx~92309444244f4d1e01fe396b023ca2aa', 256)
    """
    text = value if type(value) is str else text_of(value)
    if len(text) <= most and text.isascii() and "\x00" not in text:
        return text
    text = storable(text)
    if len(text) <= most:
        return text
    if most <= _DIGEST:
        return text[:most]
    digest = blake2b(text.encode(), digest_size=_DIGEST // 2).hexdigest()
    return f"{text[: most - _DIGEST - 1]}~{digest}"


def finite(value: Any) -> float | None:
    """Return a finite number as a float; `None` for infinity, NaN, truth values and anything that is not a number.

    Example:
        >>> finite(3), finite(float("nan")), finite(10**400), finite(True)
        (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        return None
    number: Any = value
    try:
        return float(number) if -MOST <= number <= MOST else None
    except ArithmeticError:
        # A `Decimal` that is not a number is compared with nothing.
        return None


@dataclass(slots=True)
class Room:
    """Remaining size budget of a value that is stored.

    Args:
        characters: Characters of text that may still be kept.
        items: Values, at every level, that may still be kept.
    """

    characters: int
    items: int

    def take(self, characters: int = 0) -> None:
        """Use up room for one value.

        Raises:
            DataError: There is not enough room.
        """
        if characters > self.characters or self.items < 1:
            raise DataError("It is too large to be kept.")
        self.characters -= characters
        self.items -= 1


def sound(value: Any, room: Room | None = None, depth: int = DEEPEST) -> Any:
    """Return a value that every JSON parser can read: numbers that are not finite become `None`, keys become text.

    Args:
        value: Any value; one that is not plain becomes text.
        room: Size limit; unlimited by default.
        depth: Most levels of nesting.

    Raises:
        DataError: The value is too large, nested too deeply, or contains itself.

    Example:
        >>> sound({1: float("inf"), "a": ("x", b"y", 10**30)})
        {'1': None, 'a': ['x', 'y', None]}
    """
    if value is None or isinstance(value, (bool, int, float)):
        if room is not None:
            room.take()
        if isinstance(value, float):
            return float(value) if -MOST * MOST < value < MOST * MOST else None
        return value if value is None or -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        if depth <= 0:
            raise DataError("It is nested too deeply to be kept.")
        if room is not None:
            room.take()
        if isinstance(value, Mapping):
            return {name_of(key): sound(inner, room, depth - 1) for key, inner in value.items()}
        return [sound(inner, room, depth - 1) for inner in value]
    text = text_of(value)
    if room is not None:
        room.take(len(text))
    return storable(text)


def is_small(values: Mapping[Any, Any]) -> bool:
    """Return whether a mapping has only few, short names and plain values, so that it needs no closer check.

    Example:
        >>> is_small({"thread_id": "t1", "path": ("a", 1)}), is_small({"page": "x" * 3000}), is_small({"deep": {}})
        (True, False, False)
    """
    if len(values) > MOST_ENTRIES or type(values) is not dict:
        return not values
    # Called for every call: a loop takes half the time of a generator.
    for key, value in values.items():
        if type(key) is not str or len(key) > NAME:
            return False
        if type(value) is str:
            if len(value) > NAME:
                return False
        elif not (_is_short(value) if type(value) in SCALARS else _are_short(value)):
            return False
    return True


def _is_short(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= NAME
    return value is None or kind is bool or -MOST <= value <= MOST


def _are_short(value: Any) -> bool:
    """Return whether a value is a short list of short plain values, such as LangGraph writes into the metadata."""
    kind = type(value)
    return kind in (tuple, list) and len(value) <= 16 and all(type(one) in SCALARS and _is_short(one) for one in value)


def bounded(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the metadata of a call within the size limit; entries that do not fit are left out.

    Example:
        >>> list(bounded({"release": "7", "page": "x" * 10**6, "thread_id": "t" * 3000}))
        ['release', 'thread_id']
    """
    room = Room(METADATA_CHARACTERS, METADATA_ITEMS)
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if room.items < 1:
            break
        try:
            # A task is looked up by its thread, with the whole id.
            kept[name_of(key)] = name_of(id_text(value) or "") if key == "thread_id" and value is not None else sound(value, room)
        except (DataError, RecursionError):
            continue
    return kept


def strict_json(value: Any, **options: Any) -> str:
    r"""Return strict JSON: no NaN, no infinity, no lone surrogates.

    Args:
        value: Plain values.
        options: As for `json.dumps`.

    Example:
        >>> strict_json({"usd": float("inf"), "name": "half \ud83d"}, ensure_ascii=False)
        '{"usd": null, "name": "half ?"}'
    """
    try:
        text = json.dumps(value, allow_nan=False, **options)
        text.encode()
    except (ValueError, TypeError, RecursionError):
        return json.dumps(sound(value, depth=200), allow_nan=False, **options)
    return text


__all__ = [
    "ID",
    "MOST_ENTRIES",
    "NAME",
    "RUN",
    "Room",
    "bounded",
    "finite",
    "is_small",
    "name_of",
    "sound",
    "storable",
    "strict_json",
    "text_of",
]
