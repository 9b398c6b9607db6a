"""Places of the parts of a JSON text: exact for every text, and nothing but an error for what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from langroute.wire.editing import taken_out
from langroute.wire.spans import NotJsonError, Splice, items, members, spliced, value_of

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=6)
WAYS = st.fixed_dictionaries({"ensure_ascii": st.booleans(), "indent": st.sampled_from([None, 1, 4])})


def written(value: Any, way: dict[str, Any]) -> bytes:
    return json.dumps(value, **way).encode("utf-8", "surrogatepass")


@given(OBJECTS, WAYS)
def test_members_are_found_where_they_stand(value: dict[str, Any], way: dict[str, Any]) -> None:
    body = written(value, way)
    found = members(body)
    assert [one.name for one in found] == list(value)
    for one in found:
        assert json.loads(body[one.value : one.stop]) == value[one.name]
        assert json.loads(body[one.start : one.stop].split(b":", 1)[0] if ":" not in one.name else b'"x"') in (one.name, "x")


@given(st.lists(VALUES, max_size=6), WAYS)
def test_items_are_found_where_they_stand(value: list[Any], way: dict[str, Any]) -> None:
    body = b" " + written({"a": value}, way)
    (found,) = members(body)
    assert [json.loads(body[one.start : one.stop]) for one in items(body, found.value, found.stop)] == value


@given(OBJECTS, st.sets(st.integers(0, 5)), WAYS)
def test_what_is_taken_out_leaves_the_rest(value: dict[str, Any], out: set[int], way: dict[str, Any]) -> None:
    body = written(value, way)
    found = members(body)
    left = json.loads(spliced(body, taken_out(found, out)))
    assert left == {name: inner for at, (name, inner) in enumerate(value.items()) if at not in out}
    assert list(left) == [name for at, name in enumerate(value) if at not in out]


@given(st.lists(st.tuples(st.sampled_from(["model", "a", "mo\\u0064el"]), st.integers(0, 10**6)), max_size=6))
def test_a_name_that_occurs_twice_is_found_twice(pairs: list[tuple[str, int]]) -> None:
    """What reads the first of two and what reads the last of them must not see different models."""
    body = ("{" + ", ".join(f'"{name}": {number}' for name, number in pairs) + "}").encode()
    assert [(one.name, int(body[one.value : one.stop])) for one in members(body)] == [
        (json.loads(f'"{name}"'), number) for name, number in pairs
    ]


@given(
    st.binary(max_size=200)
    | st.text(alphabet='{}[]",:\\ud8a1\x00 ', max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_other_bytes_are_no_object_or_one_that_python_reads_too(body: bytes) -> None:
    try:
        found = members(body)
    except NotJsonError:
        return
    read = json.loads(body.decode("utf-8", "replace"), object_pairs_hook=lambda pairs: pairs)
    assert len(read) == len(found)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"a":"' + b"\\" * 99_999, b""])
def test_depth_and_length_are_no_way_to_break_it(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        members(body)
    assert isinstance(value_of(body, 0, len(body)), str)


def test_half_a_pair_of_surrogates_is_read_and_stays_in_the_bytes() -> None:
    """JavaScript writes it where it cuts a text in the middle of an emoji; orjson and msgspec refuse it."""
    body = b'{"model":"a","text":"cut \\ud83d","pair":"\\ud83d\\ude00","slash":"\\\\ud83d"}'
    found = members(body)
    assert [one.name for one in found] == ["model", "text", "pair", "slash"]
    assert [value_of(body, one.value, one.stop) for one in found[1:]] == ["cut \ufffd", "\U0001f600", "\\ud83d"]
    assert spliced(body, [Splice(found[0].value, found[0].stop, b'"b"')]) == body.replace(b'"a"', b'"b"')
