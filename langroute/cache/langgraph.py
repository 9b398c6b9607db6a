"""`GraphCache`: the cache for LangGraph's nodes and tasks (`compile(cache=...)`), and a key function for it.

LangGraph makes the key and sets the time to live; this module has the store behind it, and a key function that finds repeated
states: the default one includes the random ids that `add_messages` gives to messages. Stored values never run code: see `plain`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from langchain_core.messages import BaseMessage
from langgraph.cache.base import BaseCache, FullKey, Namespace

from langroute.cache.keys import Keys, canonical
from langroute.cache.plain import PlainSerializer, messages_in
from langroute.cache.response import ResponseCache
from langroute.core.degradation import Degradations
from langroute.core.errors import ConfigurationError, DegradedWarning


class GraphCache(BaseCache[Any]):
    """LangGraph cache on any of the stores. Nothing is pickled, and values are restored only to types of a fixed table.

    A node's result is stored if it holds plain values, messages, documents or types that you name, and no call of a tool that may
    do more than read; the same is checked again when it is read. A value that cannot be stored or read is a miss, with one warning.

    Args:
        cache: A `ResponseCache`, or where to open one: nothing (memory), a path or a URL. Its policy says which tools may be called
            again.
        types: Types of your own that values may have: pydantic models, dataclasses, enumerations, named tuples.
        serde: Another serializer. LangGraph's own creates any type that a value names, so that whoever writes to the store
            can run code here: in a store that others reach, it needs a secret.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: A serializer of your own was given for a store that others reach, without a secret.
        TypeError: One of the types cannot be written.

    Example:
        >>> cache = GraphCache()
        >>> cache.set({(("node",), "k"): ({"answer": 42}, None)})
        >>> cache.get([(("node",), "k")])
        {(('node',), 'k'): {'answer': 42}}
    """

    def __init__(
        self, cache: Any = None, *, types: Iterable[type] = (), serde: Any = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(serde=PlainSerializer(types) if serde is None else serde)
        self._cache = cache if isinstance(cache, ResponseCache) else ResponseCache(cache, clock=clock)
        if serde is not None and self._cache.store.shared and not self._cache.store.has_secret:
            raise ConfigurationError(
                "Whoever can write to this store could run code here, with a serializer that makes whatever a value names. Leave serde out, "
                'or give the store a secret: Codec(secret="...").'
            )
        self._clock = clock
        self._notices = Degradations()

    def _key(self, key: FullKey) -> str:
        namespace, name = key
        hashed = blake2b(b"langgraph-1", digest_size=20, key=self._cache.keys.namespace((*self._cache.base, tuple(namespace))))
        hashed.update(name.encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()

    def _tag(self, namespace: Namespace) -> str:
        return "graph:" + blake2b(canonical([list(map(list, self._cache.base)), list(namespace)]), digest_size=16).hexdigest()

    def _read(self, data: bytes | None) -> tuple[bool, Any]:
        if data is None:
            return False, None
        kind, _, body = data.partition(b"\0")
        try:
            value = self.serde.loads_typed((kind.decode("ascii"), body))
            reason = self._cache.validator.acts(messages_in(value))
        except Exception as error:  # noqa: BLE001 - whatever a broken value makes of itself, it is no value
            self._said("read", error)
            return False, None
        if reason is not None:
            self._cache.note("errors", f"a stored value may not be given: {reason}")
            return False, None
        return True, value

    def _said(self, what: str, error: Exception) -> None:
        """Warn once that values cannot be read or stored."""
        text = f"{type(error).__name__}: {error}"[:300]
        self._cache.note("errors" if what == "read" else "not_stored", text)
        self._notices.warn(what, DegradedWarning, f"A graph's value could not be {what} ({text}). The node runs instead.")

    def _key_of(self, key: FullKey) -> str | None:
        try:
            return self._key(key)
        except Exception as error:  # noqa: BLE001 - a graph's key may be made of anything
            self._said("looked up", error)
            return None

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Return the stored values of these keys."""
        read = {key: self._read(self._cache.raw(name)) for key in keys if (name := self._key_of(key)) is not None}
        return {key: value for key, (there, value) in read.items() if there}

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """Async version of `get`."""
        named = {key: name for key in keys if (name := self._key_of(key)) is not None}
        found = await asyncio.gather(*(self._cache.araw(name) for name in named.values()))
        read = {key: self._read(data) for key, data in zip(named, found, strict=True)}
        return {key: value for key, (there, value) in read.items() if there}

    def _written(self, key: FullKey, value: Any, ttl: int | None) -> dict[str, Any] | None:
        """Return the entry to store for a value; `None` where it may not be stored."""
        try:
            if (reason := self._cache.validator.acts(messages_in(value))) is not None:
                self._cache.note("not_stored", reason)
                return None
            kind, body = self.serde.dumps_typed(value)
            data = kind.encode("ascii") + b"\0" + body
            expires = None if ttl is None else self._clock() + ttl
            return {"key": self._key(key), "data": data, "expires": expires, "tags": (self._tag(key[0]), "kind:langgraph")}
        except Exception as error:  # noqa: BLE001 - a node may return anything
            self._said("kept", error)
            return None

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Store values."""
        for key, (value, ttl) in pairs.items():
            if (written := self._written(key, value, ttl)) is not None:
                self._cache.put_raw(**written)

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Async version of `set`."""
        for key, (value, ttl) in pairs.items():
            if (written := self._written(key, value, ttl)) is not None:
                await self._cache.aput_raw(**written)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Delete the values of some namespaces, or all values."""
        tags = ["kind:langgraph"] if namespaces is None else [self._tag(namespace) for namespace in namespaces]
        keys = {key for tag in tags for key in self._cache.store.tagged(tag)}
        if keys:
            self._cache.store.delete(*keys)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Async version of `clear`."""
        await asyncio.to_thread(self.clear, namespaces)


_keys = Keys()
_notices = Degradations()


def state_key(*args: Any, **kwargs: Any) -> str:
    """Return a key for `CachePolicy(key_func=state_key)`: a digest of a node's input without the random ids of its messages.

    A state without a stable form gets a random key that is never found again, so that the node runs.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> state_key({"messages": [HumanMessage("Hi", id="1")]}) == state_key({"messages": [HumanMessage("Hi", id="2")]})
        True
    """
    try:
        return blake2b(canonical([_shown(list(args)), _shown(kwargs)]), digest_size=20).hexdigest()
    except Exception as error:  # noqa: BLE001 - a state may hold anything
        _notices.warn(
            "key", DegradedWarning, f"A state has no stable form ({type(error).__name__}): its node is not answered from the cache."
        )
        return uuid4().hex


def _shown(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {"\0message": _keys.digest([value])}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(inner, BaseMessage) for inner in value):
            # Digested together, so that tool results stay linked to their calls whatever the ids are.
            return {"\0messages": _keys.digest(value)}
        return [_shown(inner) for inner in value]
    if isinstance(value, Mapping):
        return {key: _shown(inner) for key, inner in value.items()}
    return value


__all__ = ["GraphCache", "state_key"]
