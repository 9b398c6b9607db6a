"""Where do budgets live that several machines share?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.budgets.store import LEASE_SECONDS, Balance, Hold
from langroute.errors import BudgetStoreError, MissingExtraError

# Each limit is one hash: `spent`, and a field for every reservation with its amount and the time it lapses. Redis runs a script without
# interruption, so nobody sees a balance between the reading and the writing. Times are the server's own: clients' clocks differ.
_COMMON = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function balance(key)
  local fields = redis.call('HGETALL', key)
  local spent, held = 0, 0
  for i = 1, #fields, 2 do
    if fields[i] == 'spent' then
      spent = tonumber(fields[i + 1])
    else
      local amount, expires = string.match(fields[i + 1], '^(%d+) (.+)$')
      if tonumber(expires) > now then
        held = held + tonumber(amount)
      else
        redis.call('HDEL', key, fields[i])
      end
    end
  end
  return spent, held
end
local function keep(key, seconds)
  if seconds == '' then redis.call('PERSIST', key) else redis.call('EXPIRE', key, seconds) end
end
"""
_BALANCES = (
    _COMMON
    + """
local out = {}
for i, key in ipairs(KEYS) do
  local spent, held = balance(key)
  out[2 * i - 1], out[2 * i] = string.format('%.0f', spent), string.format('%.0f', held)
end
return out
"""
)
_RESERVE = (
    _COMMON
    + """
for i, key in ipairs(KEYS) do
  local spent, held = balance(key)
  if spent + held + tonumber(ARGV[3 * i]) > tonumber(ARGV[3 * i + 1]) then return i - 1 end
end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, 'hold:' .. ARGV[1], ARGV[3 * i] .. ' ' .. string.format('%.3f', now + tonumber(ARGV[2])))
  keep(key, ARGV[3 * i + 2])
end
return -1
"""
)
_SETTLE = """
for i, key in ipairs(KEYS) do
  if ARGV[1] ~= '' then redis.call('HDEL', key, 'hold:' .. ARGV[1]) end
  redis.call('HINCRBY', key, 'spent', ARGV[2 * i])
  if ARGV[2 * i + 1] == '' then redis.call('PERSIST', key) else redis.call('EXPIRE', key, ARGV[2 * i + 1]) end
end
return 0
"""


class RedisBudgets:
    """Budgets in Redis or Valkey, shared by every process that reaches it.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`, or a client of the `redis` package.
        prefix: What keys begin with; the braces keep them on one node of a cluster.
        timeout_seconds: How long to wait for an answer.

    Raises:
        MissingExtraError: The `redis` package is not installed.
    """

    local = False

    def __init__(self, url: Any, *, prefix: str = "{langroute}:budget", timeout_seconds: float = 2.0) -> None:
        self._url, self.prefix, self.timeout = url, prefix, timeout_seconds
        try:
            import redis
        except ImportError as error:
            raise MissingExtraError("redis", "redis", "RedisBudgets") from error
        self._error: Any = redis.RedisError
        self.client: Any = (
            redis.Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds)
            if isinstance(url, str)
            else url
        )
        self._balances = self.client.register_script(_BALANCES)
        self._reserve = self.client.register_script(_RESERVE)
        self._settle = self.client.register_script(_SETTLE)

    def _run(self, script: Any, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        try:
            return script(keys=[f"{self.prefix}:{key}" for key in keys], args=list(arguments))
        except (self._error, OSError) as error:
            raise BudgetStoreError(f"The budgets in Redis cannot be reached: {type(error).__name__}: {error}") from error

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """What was taken from each limit."""
        found = [int(value) for value in self._run(self._balances, keys)]
        return [Balance(*found[place : place + 2]) for place in range(0, len(found), 2)]

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing."""
        arguments: list[Any] = [id, lease_seconds]
        for hold in holds:
            # A reservation outlives its lease nowhere, whatever the key is kept for.
            arguments += [hold.amount, hold.limit, _seconds(hold.keep_seconds, lease_seconds)]
        place = int(self._run(self._reserve, [hold.key for hold in holds], arguments))
        return None if place < 0 else place

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Let go of a reservation and add what was really spent."""
        arguments: list[Any] = [id or ""]
        for hold in spent:
            arguments += [hold.amount, _seconds(hold.keep_seconds)]
        self._run(self._settle, [hold.key for hold in spent], arguments)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "prefix": self.prefix, "timeout_seconds": self.timeout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _seconds(keep: float | None, least: float = 1.0) -> str:
    return "" if keep is None else str(int(max(keep, least, 1.0)))
