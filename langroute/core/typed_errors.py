"""Errors of the router that are also instances of the type that all failures share, so that handlers by type work."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import new_class
from typing import Any

from langroute.core.errors import RouteFailedError

_UNRAISABLE = (StopIteration, StopAsyncIteration)
"""Python turns them into a `RuntimeError` where they leave a generator."""

_OF_OS_ERRORS = ("errno", "strerror", "filename", "filename2")
_OWN = frozenset({"failures", "is_retryable"})


def common_types(errors: Sequence[BaseException]) -> tuple[type[Exception], ...]:
    """Return the nearest exception types that all errors are instances of, without those that say nothing.

    Example:
        >>> common_types([ConnectionResetError(), BrokenPipeError()])
        (<class 'ConnectionError'>,)
        >>> common_types([ConnectionError(), KeyError()])
        ()
    """
    found: list[type[Exception]] = []
    for base in type(errors[-1]).__mro__:
        if (
            not issubclass(base, Exception)
            or issubclass(RouteFailedError, base)
            or issubclass(base, (RouteFailedError, *_UNRAISABLE))
        ):
            continue
        if all(isinstance(error, base) for error in errors) and not any(issubclass(other, base) for other in found):
            found.append(base)
    return tuple(found)


def typed_error(
    failures: Sequence[tuple[str, BaseException]], types: Sequence[type[Exception]], like: BaseException | None = None
) -> RouteFailedError:
    """Return a `RouteFailedError` that is also an instance of `types`, with the attributes of `like`, else of the last failure.

    The other types' `__init__` is not called: packages want a response and more. Where Python allows no such class, a plain
    `RouteFailedError` is returned.

    Example:
        >>> error = typed_error([("cheap", ConnectionError("down")), ("frontier", ConnectionError("down"))], [ConnectionError])
        >>> isinstance(error, ConnectionError), type(error).__name__
        (True, 'RouteFailedError')
    """
    made = typed_class(tuple(types))
    error = made(failures)
    if made is RouteFailedError:
        return error
    for name, value in _attributes(failures[-1][1] if like is None else like):
        with contextlib.suppress(Exception):
            # A read-only property, for one.
            setattr(error, name, value)
    return error


@lru_cache(maxsize=256)
def typed_class(types: tuple[type[Exception], ...]) -> type[RouteFailedError]:
    """Return the class of errors that are a `RouteFailedError` and of all `types` that can be inherited from."""
    made: type[RouteFailedError] = RouteFailedError
    kept: tuple[type[Exception], ...] = ()
    for given in types:
        # A type that cannot be inherited from or made gives way to its nearest base that can.
        for base in given.__mro__:
            if not issubclass(base, Exception) or issubclass(made, base):
                break
            wanted = (*kept, base)
            try:
                candidate = _class_of(wanted)
                candidate(())
            except Exception:  # noqa: BLE001, S112 - final, another layout, or a `__new__` that wants other arguments
                continue
            made, kept = candidate, wanted
            break
    return made


@lru_cache(maxsize=256)
def _class_of(types: tuple[type[Exception], ...]) -> type[RouteFailedError]:
    names = {"__module__": RouteFailedError.__module__, "__doc__": RouteFailedError.__doc__, "_types": types}
    return new_class(RouteFailedError.__name__, (RouteFailedError, *types), exec_body=lambda namespace: namespace.update(names))


def _attributes(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Return the attributes of an error, without those that `RouteFailedError` has."""
    names = [*getattr(error, "__dict__", ())]
    for base in type(error).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names.extend((slots,) if isinstance(slots, str) else slots)
    if isinstance(error, OSError):
        names.extend(_OF_OS_ERRORS)
    for name in names:
        if name in _OWN or name.startswith("__"):
            continue
        try:
            yield name, getattr(error, name)
        except AttributeError:
            continue


# Copies and processes --------------------------------------------------------------------------------------------------


def reduced(error: RouteFailedError) -> tuple[Any, ...]:
    """Return how an error is pickled: what cannot be pickled of it and its failures is left out."""
    types = tuple(given for given in getattr(error, "_types", ()) if _picklable(given))
    failures = tuple((route, _Portable.of(failure)) for route, failure in error.failures)
    return _rebuilt, (types, failures, error.args, error.is_retryable, _portable_attributes(error))


def _rebuilt(
    types: tuple[type[Exception], ...],
    failures: tuple[tuple[str, _Portable], ...],
    args: tuple[Any, ...],
    is_retryable: bool,
    attributes: Mapping[str, Any],
) -> RouteFailedError:
    error = typed_error([(route, failure.error()) for route, failure in failures], types)
    error.args, error.is_retryable = args, is_retryable
    for name, value in attributes.items():
        with contextlib.suppress(Exception):
            setattr(error, name, value)
    return error


class _Portable:
    """An error that is rebuilt without its `__init__`: few errors of packages survive Python's own way."""

    __slots__ = ("args", "attributes", "type")

    def __init__(self, type_: type[BaseException], args: tuple[Any, ...], attributes: Mapping[str, Any]) -> None:
        self.type, self.args, self.attributes = type_, args, attributes

    @classmethod
    def of(cls, error: BaseException) -> Any:
        if isinstance(error, RouteFailedError):
            return cls(RouteFailedError, (error,), {})
        given = next(base for base in type(error).__mro__ if _picklable(base))
        args = error.args if _picklable(error.args) else (str(error),)
        return cls(given, args, _portable_attributes(error))

    def error(self) -> BaseException:
        if self.type is RouteFailedError:
            return self.args[0]  # type: ignore[no-any-return]
        try:
            error = self.type.__new__(self.type, *self.args)
        except Exception:  # noqa: BLE001 - a foreign `__new__` may ask for anything
            return RuntimeError(*self.args)
        error.args = self.args
        for name, value in self.attributes.items():
            with contextlib.suppress(Exception):
                setattr(error, name, value)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return _Portable, (self.type, self.args, self.attributes)


def _portable_attributes(error: BaseException) -> dict[str, Any]:
    return {name: value for name, value in _attributes(error) if _picklable(value)}


def _picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever an object raises, it stays behind
        return False
    return True
