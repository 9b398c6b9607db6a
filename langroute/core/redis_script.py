"""A script that Redis or Valkey runs without interruption, on whichever server has its keys."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any


class RedisScript:
    """A script of keys with one hash tag.

    It is asked for by its digest. A server that does not know it yet, as after a restart or a failover, gets its text: only that one, so
    that no other node of a cluster has to be there.

    Args:
        text: The script, in Lua.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._digest = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        """Run it and return its answer."""
        from redis.exceptions import NoScriptError

        try:
            return client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *arguments)

    async def arun(self, client: Any, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        """Async version of `run`."""
        from redis.exceptions import NoScriptError

        try:
            return await client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.eval(self.text, len(keys), *keys, *arguments)


def has_hash_tag(prefix: str) -> bool:
    """Return whether a prefix keeps all keys that begin with it on one node of a cluster.

    Example:
        >>> has_hash_tag("{shop}:budget"), has_hash_tag("shop"), has_hash_tag("{}shop")
        (True, False, False)
    """
    _, begun, rest = prefix.partition("{")
    return bool(begun) and rest.find("}") > 0


__all__ = ["RedisScript", "has_hash_tag"]
