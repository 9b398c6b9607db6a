"""How is the cache used for LangGraph's nodes and tasks (`compile(cache=...)`)?

LangGraph makes the key and says how long a value stays good; what stands here is the store behind it, and a key function that hits:
the default one sees the random ids that `add_messages` gives to messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.cache.base import BaseCache, FullKey, Namespace

from langroute.cache.keys import Keys, canonical
from langroute.cache.response import ResponseCache


class GraphCache(BaseCache[Any]):
    """LangGraph's cache on any of our stores. Nothing is pickled.

    Args:
        cache: A `ResponseCache`, or where to make one: nothing (memory), a path or a URL.
        serde: How values are written; LangGraph's JSON and msgpack serializer by default.
        clock: Seconds since the epoch.

    Example:
        >>> cache = GraphCache()
        >>> cache.set({(("node",), "k"): ({"answer": 42}, None)})
        >>> cache.get([(("node",), "k")])
        {(('node',), 'k'): {'answer': 42}}
    """

    def __init__(self, cache: Any = None, *, serde: Any = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__(serde=serde)
        self._cache = cache if isinstance(cache, ResponseCache) else ResponseCache(cache)
        self._clock = clock

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
            return True, self.serde.loads_typed((kind.decode("ascii"), body))
        except Exception:  # noqa: BLE001 - whatever a broken value makes of itself, it is no value
            return False, None

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """The values that are there."""
        read = {key: self._read(self._cache.raw(self._key(key))) for key in keys}
        return {key: value for key, (there, value) in read.items() if there}

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """`get`, awaited."""
        found = await asyncio.gather(*(self._cache.araw(self._key(key)) for key in keys))
        read = {key: self._read(data) for key, data in zip(keys, found, strict=True)}
        return {key: value for key, (there, value) in read.items() if there}

    def _written(self, value: Any, ttl: int | None) -> tuple[bytes, float | None]:
        kind, body = self.serde.dumps_typed(value)
        return kind.encode("ascii") + b"\0" + body, None if ttl is None else self._clock() + ttl

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """Keep values."""
        for key, (value, ttl) in pairs.items():
            data, expires = self._written(value, ttl)
            self._cache.put_raw(self._key(key), data, expires=expires, tags=(self._tag(key[0]), "kind:langgraph"))

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """`set`, awaited."""
        for key, (value, ttl) in pairs.items():
            data, expires = self._written(value, ttl)
            await self._cache.aput_raw(self._key(key), data, expires=expires, tags=(self._tag(key[0]), "kind:langgraph"))

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget the values of namespaces, or of all."""
        tags = ["kind:langgraph"] if namespaces is None else [self._tag(namespace) for namespace in namespaces]
        keys = {key for tag in tags for key in self._cache.store.tagged(tag)}
        if keys:
            self._cache.store.delete(*keys)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """`clear`, awaited."""
        await asyncio.to_thread(self.clear, namespaces)


_keys = Keys()


def state_key(*args: Any, **kwargs: Any) -> str:
    """A key for `CachePolicy(key_func=state_key)`: what a node was given, without the random ids of its messages.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> state_key({"messages": [HumanMessage("Hi", id="1")]}) == state_key({"messages": [HumanMessage("Hi", id="2")]})
        True
    """
    return blake2b(canonical([_shown(list(args)), _shown(kwargs)]), digest_size=20).hexdigest()


def _shown(value: Any) -> Any:
    if isinstance(value, BaseMessage):
        return {"\0message": _keys.digest([value])}
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(inner, BaseMessage) for inner in value):
            # Together, so that tool results stay tied to their calls whatever the ids are.
            return {"\0messages": _keys.digest(value)}
        return [_shown(inner) for inner in value]
    if isinstance(value, Mapping):
        return {key: _shown(inner) for key, inner in value.items()}
    return value


__all__ = ["GraphCache", "state_key"]
