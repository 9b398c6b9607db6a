"""JSON serializer for values of a graph: plain values, messages, documents and a fixed table of further types.

A stored value names its type by a short word, and each word stands for one type in a table here. No module is imported and no
function is called because of what a stored value says.
"""

from __future__ import annotations

import datetime
import decimal
import ipaddress
import json
import pathlib
import sys
import uuid
import zoneinfo
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import count
from typing import Any, NamedTuple

from langchain_core import messages as lc
from langchain_core.documents import Document
from langgraph.types import Overwrite, Send

from langroute.core.errors import DataError

FORM = "langroute-1"
MARK = "\0"
"""Key that marks a dictionary as the encoded form of another type."""

MAX_DEPTH = 100
"""Deepest nesting of values."""

MAX_VALUES = 1_000_000
"""Most values within one value, since nested references to a shared list can grow beyond what can be written."""

ARRAYS = frozenset("biufcSUmM")
"""Kinds of numpy arrays that hold numbers, text and times, but no objects."""


class Kind(NamedTuple):
    """How values of one type are written and read."""

    word: str
    plain: Callable[[Any], Any]
    made: Callable[[Any], Any]


def _fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a message or model, without empty ones."""
    found = {name: getattr(value, name) for name in type(value).model_fields}
    return {name: inner for name, inner in {**found, **(value.model_extra or {})}.items() if inner is not None}


def _model(type_: Any) -> Callable[[Any], Any]:
    return lambda plain: type_(**{_alias(type_, name): inner for name, inner in plain.items()})


def _alias(type_: Any, name: str) -> str:
    found = type_.model_fields.get(name)
    return found.alias if found is not None and isinstance(found.alias, str) else name


def _sent(plain: Any) -> Send:
    node, arg, *more = plain
    return Send(str(node), arg, **({"timeout": more[0]} if more else {}))


def _send(value: Send) -> list[Any]:
    timeout = getattr(value, "timeout", None)
    return [value.node, value.arg, *([] if timeout is None else [timeout])]


MESSAGES = (
    lc.HumanMessage, lc.AIMessage, lc.SystemMessage, lc.ToolMessage, lc.ChatMessage, lc.FunctionMessage, lc.RemoveMessage,
    lc.HumanMessageChunk, lc.AIMessageChunk, lc.SystemMessageChunk, lc.ToolMessageChunk, lc.ChatMessageChunk, lc.FunctionMessageChunk,
)  # fmt: skip

KINDS: dict[type, Kind] = {
    bytes: Kind("bytes", lambda value: b64encode(value).decode("ascii"), lambda plain: b64decode(plain, validate=True)),
    bytearray: Kind("bytearray", lambda value: b64encode(value).decode("ascii"), lambda plain: bytearray(b64decode(plain))),
    tuple: Kind("tuple", list, tuple),
    set: Kind("set", list, set),
    frozenset: Kind("frozenset", list, frozenset),
    deque: Kind("deque", lambda value: [value.maxlen, list(value)], lambda plain: deque(plain[1], plain[0])),
    datetime.datetime: Kind("datetime", lambda value: value.isoformat(), datetime.datetime.fromisoformat),
    datetime.date: Kind("date", lambda value: value.isoformat(), datetime.date.fromisoformat),
    datetime.time: Kind("time", lambda value: value.isoformat(), datetime.time.fromisoformat),
    datetime.timedelta: Kind(
        "timedelta", lambda value: [value.days, value.seconds, value.microseconds], lambda plain: datetime.timedelta(*plain)
    ),
    datetime.timezone: Kind(
        "timezone", lambda value: value.utcoffset(None), lambda plain: datetime.timezone(plain)
    ),
    zoneinfo.ZoneInfo: Kind("zone", lambda value: value.key, zoneinfo.ZoneInfo),
    decimal.Decimal: Kind("decimal", str, decimal.Decimal),
    uuid.UUID: Kind("uuid", lambda value: value.hex, uuid.UUID),
    type(pathlib.Path()): Kind("path", str, pathlib.Path),
    Document: Kind("document", _fields_of, _model(Document)),
    Send: Kind("send", _send, _sent),
    Overwrite: Kind("overwrite", lambda value: value.value, Overwrite),
    **{type_: Kind(type_.__name__, _fields_of, _model(type_)) for type_ in MESSAGES},
    **{
        type_: Kind(type_.__name__, str, type_)
        for type_ in (
            ipaddress.IPv4Address,
            ipaddress.IPv6Address,
            ipaddress.IPv4Interface,
            ipaddress.IPv6Interface,
            ipaddress.IPv4Network,
            ipaddress.IPv6Network,
        )
    },
}  # fmt: skip
"""Types that can be written, beside strings, numbers, lists and dictionaries."""


def kind_of(type_: type) -> Kind:
    """Return how values of a user's type are written: a pydantic model, a dataclass, an enumeration or a named tuple.

    Raises:
        TypeError: The type is none of these.
    """
    word = f"{type_.__module__}.{type_.__qualname__}"
    if issubclass(type_, Enum):
        return Kind(word, lambda value: value.value, type_)
    if hasattr(type_, "model_fields"):
        return Kind(word, _fields_of, _model(type_))
    if is_dataclass(type_):
        return Kind(
            word,
            lambda value: {one.name: getattr(value, one.name) for one in fields(value) if one.init},
            lambda plain: type_(**plain),
        )
    if issubclass(type_, tuple) and hasattr(type_, "_fields"):
        return Kind(word, list, lambda plain: type_(*plain))
    raise TypeError(f"{word} is no pydantic model, dataclass, enumeration or named tuple.")


class PlainSerializer:
    """Serializer with the interface of LangGraph's serializers.

    Args:
        types: Types of your own that values may have.

    Example:
        >>> serializer = PlainSerializer()
        >>> serializer.loads_typed(serializer.dumps_typed({"when": datetime.date(2026, 1, 2), 3: (b"x", None)}))
        {'when': datetime.date(2026, 1, 2), 3: (b'x', None)}
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._kinds = {**KINDS, **{type_: kind_of(type_) for type_ in types}}
        self._words = {kind.word: kind for kind in self._kinds.values()}

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Return a value as the name of its format and bytes.

        Raises:
            DataError: It contains a value of a type that cannot be written.
        """
        try:
            return FORM, json.dumps(self._plain(obj, MAX_DEPTH, count()), separators=(",", ":")).encode("ascii")
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"This value cannot be written: {type(error).__name__}: {error}"[:300]) from error

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Return the value of a format name and bytes.

        Raises:
            DataError: It names a type that is not in the table, or is damaged.
        """
        form, body = data
        if form != FORM:
            raise DataError(f"A stored value has the form {form[:40]!r}, which is none of ours.")
        try:
            return self._made(json.loads(body), MAX_DEPTH)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"A stored value cannot be read: {type(error).__name__}") from error

    def _plain(self, value: Any, left: int, number: Iterator[int]) -> Any:
        if left <= 0 or next(number) > MAX_VALUES:
            raise DataError("This value is nested too deeply, or too large.")
        type_ = type(value)
        if value is None or type_ in (str, int, float, bool):
            return value
        kind = self._kinds.get(type_) or _array(value)
        if kind is not None:
            return {MARK: kind.word, "v": self._plain(kind.plain(value), left - 1, number)}
        if isinstance(value, dict):
            if all(type(key) is str and key != MARK for key in value):
                return {key: self._plain(inner, left - 1, number) for key, inner in value.items()}
            pairs = [[self._plain(key, left - 1, number), self._plain(inner, left - 1, number)] for key, inner in value.items()]
            return {MARK: "dict", "v": pairs}
        if isinstance(value, list):
            return [self._plain(inner, left - 1, number) for inner in value]
        if isinstance(value, (str, float)) and not isinstance(value, Enum):
            return str(value) if isinstance(value, str) else float(value)
        raise DataError(
            f"A {type_.__module__}.{type_.__qualname__} is no value that is kept: name the type in GraphCache(types=[...])."
        )

    def _made(self, plain: Any, left: int) -> Any:
        if left <= 0:
            raise DataError("A stored value is nested too deeply.")
        if isinstance(plain, list):
            return [self._made(inner, left - 1) for inner in plain]
        if not isinstance(plain, dict):
            return plain
        word = plain.get(MARK)
        if word is None:
            return {key: self._made(inner, left - 1) for key, inner in plain.items()}
        inner = plain.get("v")
        if word == "dict":
            return {self._made(key, left - 1): self._made(one, left - 1) for key, one in inner}  # type: ignore[union-attr]
        kind = self._words.get(word) or (ARRAY if word == ARRAY.word else None)
        if kind is None:
            raise DataError(f"A stored value names {str(word)[:80]!r}, which is in no table.")
        return kind.made(self._made(inner, left - 1))


def _array_made(plain: Any) -> Any:
    import numpy as np

    name, shape, data = plain
    kind = np.dtype(name)
    if kind.kind not in ARRAYS or kind.names is not None:
        raise DataError("A stored array holds something else than numbers, texts or times.")
    return np.frombuffer(b64decode(data), dtype=kind).reshape(shape).copy()


ARRAY = Kind("array", lambda value: [value.dtype.str, list(value.shape), b64encode(value.tobytes()).decode("ascii")], _array_made)


def _array(value: Any) -> Kind | None:
    numpy: Any = sys.modules.get("numpy")
    return ARRAY if numpy is not None and type(value) is numpy.ndarray and value.dtype.kind in ARRAYS else None


def messages_in(value: Any) -> list[Any]:
    """Return all messages in a value of a graph, at any depth."""
    found: list[Any] = []
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, lc.BaseMessage):
            found.append(one)
        elif id(one) not in seen:
            seen.add(id(one))
            # Visited objects are kept alive until the end, so that no id is reused.
            waiting.extend(_inside(one))
    return found


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return value
    if isinstance(value, Send):
        return (value.arg,)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, one.name, None) for one in fields(value)]
    return vars(value).values() if hasattr(type(value), "model_fields") else ()


__all__ = ["PlainSerializer", "kind_of", "messages_in"]
