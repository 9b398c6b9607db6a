"""Records behave as the frozen dataclasses with slots that the standard library makes, and are written faster."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import pytest

from langroute.core.fast_dataclass import fast_dataclass


@fast_dataclass
class Fast:
    x: int
    words: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Plain:
    x: int
    words: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)


class Extended(Fast):
    """A user's own record, without slots and without a decorator."""

    def __init__(self, x: int) -> None:
        super().__init__(x)
        self.own = "kept"


@dataclass(frozen=True, slots=True)
class Wider(Fast):
    more: tuple[int, ...] = ()


@fast_dataclass
class Checked:
    x: int
    double: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("below 0")
        object.__setattr__(self, "double", 2 * self.x)


@pytest.mark.parametrize("kind", [Fast, Plain])
def test_a_record_is_a_frozen_dataclass(kind: Any) -> None:
    one = kind(1, note="n")
    assert (one.x, one.words, one.note) == (1, [], "n")
    assert is_dataclass(one)
    assert kind(1).words is not kind(1).words
    assert one == kind(1, [])
    assert one != kind(2)
    assert one != 1
    assert repr(one) == f"{kind.__name__}(x=1, words=[])"
    assert asdict(one) == {"x": 1, "words": [], "note": "n"}
    assert [part.name for part in fields(kind)] == ["x", "words", "note"]
    assert replace(one, x=3) == kind(3)
    assert type(replace(one, x=3)) is kind
    assert not hasattr(one, "__dict__")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        one.x = 2
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del one.x
    # The standard library's own classes with slots raise a TypeError here.
    with pytest.raises((FrozenInstanceError, TypeError)):
        one.other = 2
    with pytest.raises(TypeError):
        kind()
    with pytest.raises(TypeError):
        kind(1, what=2)


@pytest.mark.parametrize("kind", [Fast, Plain])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_record_is_copied_and_pickled_whole(kind: Any, again: Any) -> None:
    one = kind(1, ["a"], "n")
    found = again(one)
    assert found == one
    assert found.note == "n"
    assert type(found) is kind
    with pytest.raises(FrozenInstanceError):
        found.x = 2


def test_the_class_of_a_record_is_its_own_and_frozen_while_it_checks_itself() -> None:
    one = Checked(2)
    assert type(one) is Checked
    assert one.double == 4
    with pytest.raises(ValueError, match="below 0"):
        Checked(-1)
    seen: list[type] = []

    @fast_dataclass
    class Watching:
        x: int

        def __post_init__(self) -> None:
            seen.append(type(self))
            with pytest.raises(FrozenInstanceError):
                self.x = 0  # type: ignore[misc]

    assert Watching(1).x == 1
    assert seen == [Watching]


def test_a_class_that_extends_a_record_has_fields_and_attributes_of_its_own() -> None:
    extended = Extended(1)
    assert (extended.x, extended.words, extended.own, type(extended)) == (1, [], "kept", Extended)
    extended.own = "changed"
    with pytest.raises(FrozenInstanceError):
        extended.x = 2  # type: ignore[misc]
    wider = Wider(1, ["a"], more=(2,))
    assert (wider.x, wider.words, wider.more) == (1, ["a"], (2,))
    assert replace(wider, x=5).more == (2,)
    with pytest.raises(FrozenInstanceError):
        wider.more = ()  # type: ignore[misc]


def test_records_of_the_same_values_hash_alike() -> None:
    @fast_dataclass
    class Point:
        x: int
        y: int = 0

    assert len({Point(1), Point(1, 0), Point(x=1, y=2)}) == 2
    with pytest.raises(TypeError):
        hash(Fast(1))


def test_what_cannot_be_a_record_is_refused_in_one_line() -> None:
    with pytest.raises(TypeError, match=r"More extends a class .*: use dataclass\(frozen=True, slots=True\)"):

        @fast_dataclass
        class More(Fast):
            z: int = 0

    class Own:
        x: int

        def __setattr__(self, name: str, value: Any) -> None: ...

    with pytest.raises(TypeError, match="Own extends a class or sets its attributes itself"):
        fast_dataclass(Own)


def test_a_record_of_class_variables_is_copied() -> None:
    @fast_dataclass
    class Counted:
        x: int
        kinds: ClassVar[tuple[str, ...]] = ("a",)

    assert copy.copy(Counted(1)) == Counted(1)
    assert Counted.kinds == ("a",)


def test_a_signature_shows_that_a_default_is_made() -> None:
    assert str(inspect.signature(Fast)).startswith("(x: 'int', words: 'list[str]' = <factory>")
