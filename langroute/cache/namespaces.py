"""Cache namespaces: tenants, users and sessions as parts of a key.

Inner scopes can add parts, but never remove or change one: callers narrow the namespace, they never widen it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from langroute.core.errors import InputError

Namespace = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

CALL_KEY = "langroute_cache_namespace"
"""Key of a call's config that narrows the namespace: a string, or a mapping of names to strings."""

_NOWHERE: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("langroute_cache_namespace", default=_NOWHERE)


class NoNamespaceError(LookupError):
    """The namespace of a request is unknown or contradictory, so it is answered without the cache."""


@contextmanager
def cache_namespace(**parts: Any) -> Iterator[Namespace]:
    """Restrict the calls inside to the cache of one tenant, user or session.

    Args:
        parts: Names and values, added to those of surrounding blocks.

    Raises:
        InputError: A part contradicts one of a surrounding block.

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
    """Return the namespace of a call.

    Args:
        base: The cache's own namespace.
        isolate: Names of the parts that are required.
        metadata: The run's metadata.
        configurable: The config's `configurable` fields.

    Raises:
        NoNamespaceError: A required part is missing, or two places contradict each other.

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
            if value is not None and value != "":
                _agree(parts, name, value)
        if not parts.get(name):
            raise NoNamespaceError(f"no {name}")
    if call is not None:
        for name, value in (call if isinstance(call, Mapping) else {"call": call}).items():
            _agree(parts, str(name), value)
    return tuple(sorted(parts.items()))


def _agree(parts: dict[str, str], name: str, value: Any) -> None:
    """Add a part.

    Raises:
        NoNamespaceError: It has another value already.
    """
    if parts.setdefault(name, str(value)) != str(value):
        raise NoNamespaceError(f"two values of {name}")
