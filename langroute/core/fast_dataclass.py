"""Frozen dataclasses with slots that are quicker to make and to import.

A routed call makes a dozen records. `dataclasses` writes every field of a frozen class through `object.__setattr__`; a plain assignment
to an object that is not frozen yet takes a tenth of the time. `dataclasses` also compiles a comparison, a hash and a text form
for each class when the module is imported; here all classes share them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

Kind = TypeVar("Kind", bound=type)

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Callable[[Kind], Kind]:
        """Return the decorator unchanged: only type checkers read it."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def fast_dataclass(kind: Kind) -> Kind:
    """Return the class as a frozen dataclass with slots, as `dataclass(frozen=True, slots=True)` makes it.

    Args:
        kind: The class. It extends no other, says itself nothing of how attributes are set, and gives its `field(init=False)` a value in
            `__post_init__`. Other classes may extend it, also as dataclasses.

    Raises:
        TypeError: It is none of these.

    Example:
        >>> @fast_dataclass
        ... class Point:
        ...     x: int
        ...     y: int = 0
        >>> Point(3), Point(x=1, y=2) == Point(1, 2), hash(Point(1)) == hash((1, 0))
        (Point(x=3, y=0), True, True)
    """
    if kind.__bases__ != (object,) or "__setattr__" in kind.__dict__ or "__delattr__" in kind.__dict__:
        raise TypeError(f"{kind.__name__} extends a class or sets its attributes itself: use dataclass(frozen=True, slots=True).")
    # Not frozen by `dataclasses`, which compiles two methods for each class that refuse assignments; here all classes share them.
    made: Any = dataclass(slots=True, init=False, repr=False, eq=False)(kind)
    made.__dataclass_params__.frozen = True
    made.__setattr__, made.__delattr__ = _set, _delete
    for name, method in (("__getstate__", _state), ("__setstate__", _restored)):
        if name not in kind.__dict__:
            setattr(made, name, method)
    names = [one.name for one in fields(made) if one.compare]
    values = attrgetter(*names) if len(names) > 1 else lambda self: tuple([getattr(self, name) for name in names])
    for name, method in (("__eq__", _equality(values)), ("__hash__", _hash(values)), ("__repr__", _text(fields(made)))):
        if name not in kind.__dict__:
            setattr(made, name, method)
    if "__init__" not in kind.__dict__:
        made.__init__ = _init(made)
    return made  # type: ignore[no-any-return]


def _set(self: Any, name: str, value: Any) -> None:
    if _is_fixed(self, name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delete(self: Any, name: str) -> None:
    if _is_fixed(self, name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _is_fixed(self: Any, name: str) -> bool:
    """Return whether an attribute cannot change; a class that extends a record may have others of its own."""
    return "__dataclass_fields__" in type(self).__dict__ or name in self.__dataclass_fields__


def _state(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in fields(self)]


def _restored(self: Any, state: list[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


class _Factory:
    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()
"""Default of an argument whose field has a factory, as signatures show it."""


def _init(made: Any) -> Any:
    """Return an `__init__` that writes the fields while the object has the class of `_open_twin`, one without the refusals."""
    names: dict[str, Any] = {
        "_FACTORY": _FACTORY,
        "_frozen": made,
        "_open": _open_twin(made),
        "_set_class": object.__dict__["__class__"].__set__,
        "_fill": _fill,
    }
    arguments, made_here, writes = [], [], []
    for one in fields(made):
        name = one.name
        if not one.init:
            # Left to `__post_init__`.
            continue
        if one.default_factory is not MISSING:
            names[f"_make_{name}"] = one.default_factory
            arguments.append(f"{name}=_FACTORY")
            made_here.append(f"if {name} is _FACTORY: {name} = _make_{name}()")
        else:
            names[f"_default_{name}"] = one.default
            arguments.append(name if one.default is MISSING else f"{name}=_default_{name}")
        writes.append(f"self.{name} = {name}")
    subclass = "if self.__class__ is not _frozen: return _fill(self, locals())"
    lines = [*made_here, subclass, "_set_class(self, _open)", *writes, "self.__class__ = _frozen"]
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n    ".join(lines)
    exec(f"def __init__(self, {', '.join(arguments)}):\n    {body}", names)  # noqa: S102 - from the fields' names alone, as dataclasses does
    init = names["__init__"]
    init.__annotations__ = {one.name: one.type for one in fields(made)} | {"return": None}
    init.__qualname__, init.__module__ = f"{made.__qualname__}.__init__", made.__module__
    return init


def _fill(self: Any, values: dict[str, Any]) -> None:
    """Write the fields of an object whose class extends the dataclass, as `dataclasses` does."""
    for name, value in values.items():
        if value is not self:
            object.__setattr__(self, name, value)
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _open_twin(made: Any) -> type:
    """Return a class whose objects lie in memory as those of `made` do, and take assignments.

    An object can change between classes of one layout; until its `__init__` ends nobody else has it.
    """
    return type(made.__name__, (), {"__slots__": made.__slots__, "__module__": made.__module__})


def _equality(values: Callable[[Any], tuple[Any, ...]]) -> Any:
    def equals(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return equals


def _hash(values: Callable[[Any], tuple[Any, ...]]) -> Any:
    def hashed(self: Any) -> int:
        return hash(values(self))

    return hashed


def _text(shown: tuple[Field[Any], ...]) -> Any:
    @recursive_repr()
    def text(self: Any) -> str:
        said = ", ".join([f"{one.name}={getattr(self, one.name)!r}" for one in shown if one.repr])
        return f"{self.__class__.__qualname__}({said})"

    return text


__all__ = ["fast_dataclass"]
