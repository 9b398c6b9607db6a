"""Whose answer is it? Tenants, users and sessions as parts of a key.

A part can be added anywhere further in, and taken away or changed nowhere: callers narrow, they never widen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from langroute.errors import InputError

Namespace = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

CALL_KEY = "langroute_cache_namespace"
"""Where a call's config narrows the namespace: a word, or a mapping of names to words."""

_NOWHERE: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("langroute_cache_namespace", default=_NOWHERE)


class NoNamespaceError(LookupError):
    """It is not known whose request this is, or two places disagree about it; it is answered without the cache."""


@contextmanager
def cache_namespace(**parts: Any) -> Iterator[Namespace]:
    """Answer the calls inside from the cache of one tenant, user or session.

    Args:
        parts: Names and values; they add to those around.

    Raises:
        InputError: A part contradicts one of those around.

    Example:
        >>> with cache_namespace(tenant_id="acme"), cache_namespace(user_id=7) as inner:
        ...     inner
        (('tenant_id', 'acme'), ('user_id', '7'))
    """
    around = _current.get()
    given = {name: str(value) for name, value in parts.items() if value is not None}
    for name, value in given.items():
        if around.get(name, value) != value:
            raise InputError(f"The cache namespace has {name}={around[name]!r}; it cannot become {value!r} further in.")
    inner = {**around, **given}
    token = _current.set(inner)
    try:
        yield tuple(sorted(inner.items()))
    finally:
        _current.reset(token)


def namespace_of(
    base: Namespace, isolate: Sequence[str], metadata: Mapping[str, Any], configurable: Mapping[str, Any]
) -> Namespace:
    """The namespace of a call.

    Args:
        base: The cache's own.
        isolate: Parts without which there is no telling whose request it is.
        metadata: The run's.
        configurable: The config's.

    Raises:
        NoNamespaceError: One of the parts is missing, or two places disagree about it.

    Example:
        >>> namespace_of((), ["tenant_id"], {"tenant_id": "acme"}, {})
        (('tenant_id', 'acme'),)
        >>> namespace_of((), ["tenant_id"], {}, {})
        Traceback (most recent call last):
        langroute.cache.namespaces.NoNamespaceError: no tenant_id
    """
    around = _current.get()
    call = configurable.get(CALL_KEY)
    if call is None:
        call = metadata.get(CALL_KEY)
    if not isolate and not around and call is None:
        return base
    parts = {**dict(base), **around}
    for name in isolate:
        for source in (metadata, configurable):
            value = source.get(name)
            if value is None or value == "":
                continue
            if parts.setdefault(name, str(value)) != str(value):
                raise NoNamespaceError(f"two values of {name}")
        if not parts.get(name):
            raise NoNamespaceError(f"no {name}")
    if call is not None:
        narrower = call if isinstance(call, Mapping) else {"call": call}
        for name, value in narrower.items():
            if parts.setdefault(str(name), str(value)) != str(value):
                raise NoNamespaceError(f"two values of {name}")
    return tuple(sorted(parts.items()))
