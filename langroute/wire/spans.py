"""Where the parts of a JSON text stand in its bytes, so that one of them can be replaced and all others stay as they were sent."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from langroute.core.errors import MissingExtraError

try:
    import msgspec
except ImportError as error:
    raise MissingExtraError("msgspec", "serve", "Reading the requests of coding agents") from error

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^ \t\r\n,\]}]+")
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)

_HALF = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})")
"""Escaped surrogates: pairs, and halves, which no Unicode text has."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()

BROKEN = (msgspec.MsgspecError, ValueError, RecursionError, MemoryError)
"""What msgspec raises for bytes that are no JSON, or too deep."""


class Member(NamedTuple):
    """A member of a JSON object, by its places in the bytes."""

    name: str
    start: int
    """Where its name begins, with the quotation mark."""

    value: int
    """Where its value begins."""

    stop: int
    """Where its value ends."""


class Span(NamedTuple):
    """A value, by its places in the bytes."""

    start: int
    stop: int


class Splice(NamedTuple):
    """Bytes to put in the place of others."""

    start: int
    stop: int
    text: bytes


class NotJsonError(ValueError):
    """Bytes are no JSON of the kind that was expected. Does not leave this package."""


def members(body: bytes, start: int = 0, stop: int | None = None) -> list[Member]:
    """Return the members of a JSON object in their order, those of the same name each.

    Args:
        body: The bytes in which the object stands.
        start: Where it begins; white space may stand before it.
        stop: Where it ends; `None` for the end of the bytes.

    Raises:
        NotJsonError: The bytes are no JSON object.

    Example:
        >>> [(one.name, one.value, one.stop) for one in members(b'{"model": "a", "n":1}')]
        [('model', 10, 13), ('n', 19, 20)]
    """
    end = len(body) if stop is None else stop
    try:
        found = _OBJECT.decode(body if end - start == len(body) else memoryview(body)[start:end])
    except BROKEN:
        return _scanned(body, start, end)
    place = _past(body, start) + 1
    result: list[Member] = []
    for name, raw in found.items():
        begin, value = _name(body, place)
        last = value + memoryview(raw).nbytes
        if value < 0 or not body.startswith(raw, value):
            # A name occurs twice: the last value stands for both.
            return _scanned(body, start, end)
        result.append(Member(name, begin, value, last))
        place = _past(body, last)
        if body[place : place + 1] == b",":
            place += 1
        elif len(result) != len(found):
            return _scanned(body, start, end)
    return result if body[_past(body, place) : end].strip() == b"}" else _scanned(body, start, end)


def items(body: bytes, start: int, stop: int) -> list[Span]:
    """Return the places of the items of a JSON array.

    Raises:
        NotJsonError: The bytes are no JSON array.

    Example:
        >>> items(b'[1, {"a": 2}]', 0, 13)
        [Span(start=1, stop=2), Span(start=4, stop=12)]
    """
    try:
        found = _ARRAY.decode(memoryview(body)[start:stop])
    except BROKEN as error:
        raise NotJsonError("no JSON array") from error
    place = _past(body, start) + 1
    result = []
    for raw in found:
        place = _past(body, place)
        last = place + memoryview(raw).nbytes
        result.append(Span(place, last))
        place = _past(body, last) + 1
    return result


def value_of(body: bytes, start: int, stop: int) -> Any:
    """Return a value as Python has it; what is no JSON, or too deep, is returned as text.

    Example:
        >>> value_of(b'{"a":[1]}', 5, 8), value_of(b"{", 0, 1)
        ([1], '{')
    """
    try:
        return _ANY.decode(body if stop - start == len(body) else memoryview(body)[start:stop])
    except BROKEN:
        return _lenient(body[start:stop].decode("utf-8", "replace"))


def encoded(value: Any) -> bytes:
    """Return a value as JSON on one line, as JavaScript writes it.

    Example:
        >>> encoded({"a": ["ä", 1]}).decode()
        '{"a":["ä",1]}'
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def spliced(body: bytes, splices: list[Splice]) -> bytes:
    """Return the bytes with these parts replaced; of two that overlap the outer one counts. What is put in stands before what goes.

    Example:
        >>> spliced(b'{"model":"a","n":1}', [Splice(9, 12, b'"b"')])
        b'{"model":"b","n":1}'
    """
    parts, place = [], 0
    for one in sorted(splices, key=lambda one: (one.start, one.stop > one.start, -one.stop)):
        if one.start < place:
            continue
        parts += [body[place : one.start], one.text]
        place = one.stop
    return b"".join((*parts, body[place:]))


def _lenient(text: str) -> Any:
    """Return the value of a JSON text that has half a pair of surrogates in it; the text itself where it is no JSON."""
    try:
        return _ANY.decode(_HALF.sub(_whole, text))
    except BROKEN:
        return text


def _whole(found: re.Match[str]) -> str:
    return found.group() if found.lastgroup != "half" else r"\ufffd"


def _past(body: bytes, place: int) -> int:
    """Return the first place that is no white space."""
    return _SPACE.match(body, place).end()  # type: ignore[union-attr]


def _name(body: bytes, place: int) -> tuple[int, int]:
    """Return where the next member and its value begin; -1 for the value where there is no member."""
    begin = _past(body, place)
    name = _STRING.match(body, begin)
    if name is None:
        return begin, -1
    colon = _past(body, name.end())
    return begin, _past(body, colon + 1) if body[colon : colon + 1] == b":" else -1


def _scanned(body: bytes, start: int, stop: int) -> list[Member]:
    """Return the members of an object that has a name twice, or text that is no Unicode, by reading every bracket."""
    place = _past(body, start)
    if body[place : place + 1] != b"{" or not _is_json(body, start, stop):
        raise NotJsonError("no JSON object")
    result: list[Member] = []
    place = _past(body, place + 1)
    while body[place : place + 1] == b'"':
        begin, value = _name(body, place)
        last = _skip(body, value)
        name = value_of(body, begin, _STRING.match(body, begin).end())  # type: ignore[union-attr]
        result.append(Member(name, begin, value, last))
        place = _past(body, last)
        if body[place : place + 1] == b",":
            place = _past(body, place + 1)
    return result


def _is_json(body: bytes, start: int, stop: int) -> bool:
    """Return whether the bytes are JSON. Half of a pair of surrogates, which JavaScript writes where it cuts a text, is taken."""
    try:
        json.loads(body[start:stop].decode("utf-8", "replace"))
    except BROKEN:
        return False
    return True


def _skip(body: bytes, place: int) -> int:
    """Return where the value ends that begins here."""
    if body[place : place + 1] not in (b"{", b"["):
        found = _STRING.match(body, place) or _SCALAR.match(body, place)
        return found.end() if found else place
    depth = 0
    for one in _BRACKETS.finditer(body, place):
        sign = one.group()
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return one.end()
    return len(body)


__all__ = ["Member", "NotJsonError", "Span", "Splice", "encoded", "items", "members", "spliced", "value_of"]
