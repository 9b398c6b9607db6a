"""State store in Redis or Valkey, for several machines."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_hex
from typing import Any

from langroute.core.errors import StateError
from langroute.core.redis_client import close_client, redis_client, redis_errors
from langroute.core.redis_script import RedisScript
from langroute.core.urls import without_secrets
from langroute.state.store import Change, StateEntry

# Each key is a text: its version, a blank, and its value. Redis runs a script without interruption.
_COMMIT = RedisScript("""
for i, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  local version = held and string.match(held, '^(%S*) ') or ''
  local value = ARGV[3 * i - 1]
  -- Asked again because the first answer was lost.
  if value ~= '' and version == string.match(value, '^(%S*) ') then return 1 end
  if version ~= ARGV[3 * i - 2] then return 0 end
end
for i, key in ipairs(KEYS) do
  local value, keep = ARGV[3 * i - 1], ARGV[3 * i]
  if value == '' then redis.call('DEL', key)
  elseif keep == '' then redis.call('SET', key, value)
  else redis.call('SET', key, value, 'PX', keep) end
end
return 1
""")


class RedisState:
    """State store in Redis or Valkey, shared by every process that reaches the server.

    Args:
        url: Such as `redis://127.0.0.1:6379/0` (see `parse_redis_url`), or a client of the `redis` package.
        prefix: Prefix of all keys.
        timeout_seconds: How long to wait for an answer.

    Raises:
        ConfigurationError: The URL is malformed.
        MissingExtraError: The `redis` package is not installed.
    """

    local = False

    def __init__(self, url: Any, *, prefix: str = "langroute:state", timeout_seconds: float = 2.0) -> None:
        self._url, self.prefix, self.timeout = url, prefix, timeout_seconds
        self.client = redis_client(url, timeout_seconds, "Shared state in Redis or Valkey")
        self._errors = redis_errors("Shared state in Redis or Valkey")

    def _key(self, space: str, key: str) -> str:
        # The braces keep a space on one node of a cluster; empty ones would not.
        return f"{self.prefix}:{{{space if space[:1] not in ('', '}') else f'%{space}'}}}:{key}"

    def read(self, space: str, keys: Sequence[str]) -> list[StateEntry]:
        """Return what each key of a space holds."""
        if not keys:
            return []
        found = self._asked(self.client.mget, [self._key(space, key) for key in keys])
        return [_entry(one) for one in found]

    def commit(self, space: str, changes: Sequence[Change]) -> bool:
        """Make all changes or none."""
        told: list[Any] = []
        for change in changes:
            value = "" if change.value is None else f"{token_hex(8)} {change.value}"
            told += [change.version, value, "" if change.keep_seconds is None else max(1, int(change.keep_seconds * 1000))]
        keys = [self._key(space, change.key) for change in changes]
        return bool(self._asked(_COMMIT.run, self.client, keys, told)) if changes else True

    def _asked(self, ask: Any, *arguments: Any) -> Any:
        try:
            return ask(*arguments)
        except self._errors as error:
            said = without_secrets(f"{type(error).__name__}: {error}", self._url)
            raise StateError(f"The shared state in Redis cannot be reached: {said}") from error

    def close(self) -> None:
        """Close the connections."""
        close_client(self.client)

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "prefix": self.prefix, "timeout_seconds": self.timeout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _entry(found: Any) -> StateEntry:
    if found is None:
        return StateEntry()
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    version, _, value = text.partition(" ")
    return StateEntry(value, version)
