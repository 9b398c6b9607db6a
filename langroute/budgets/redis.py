"""Budget store in Redis or Valkey, for several machines."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Any

from langroute.budgets.store import LEASE_SECONDS, Balance, Hold, UnconfirmedError
from langroute.core.degradation import Degradations
from langroute.core.errors import BudgetStoreError, ConfigurationError, DegradedWarning
from langroute.core.redis_client import close_client, is_spread, look_again, node_of, redis_client, redis_errors
from langroute.core.redis_clients import redis_of_loops
from langroute.core.redis_script import RedisScript, has_hash_tag
from langroute.core.urls import without_secrets

# Each limit is one hash: `spent`, and a field for every reservation with its amount and the time it lapses. Redis runs a script without
# interruption, so nobody sees a balance between the reading and the writing. Times are the server's own: clients' clocks differ.
_COMMON = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function balance(key, own)
  local fields = redis.call('HGETALL', key)
  local spent, held = 0, 0
  for i = 1, #fields, 2 do
    if fields[i] == 'spent' then
      spent = tonumber(fields[i + 1])
    elseif fields[i] ~= own then
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
_BALANCES = RedisScript(
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
_RESERVE = RedisScript(
    _COMMON
    + """
local own = 'hold:' .. ARGV[1]
for i, key in ipairs(KEYS) do
  -- Its own reservation is there where it is asked again, because the first answer was lost.
  local spent, held = balance(key, own)
  if spent + held + tonumber(ARGV[3 * i]) > tonumber(ARGV[3 * i + 1]) then return i - 1 end
end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, own, ARGV[3 * i] .. ' ' .. string.format('%.3f', now + tonumber(ARGV[2])))
  keep(key, ARGV[3 * i + 2])
end
return -1
"""
)
# The first key remembers that this was settled, for when it is asked again; to write it once more lets `WAIT` wait for it once more.
_SETTLE = RedisScript("""
if ARGV[2] ~= '' and not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  return 1
end
for i = 2, #KEYS do
  local key = KEYS[i]
  if ARGV[1] ~= '' then redis.call('HDEL', key, 'hold:' .. ARGV[1]) end
  redis.call('HINCRBY', key, 'spent', ARGV[2 * i - 1])
  if ARGV[2 * i] == '' then redis.call('PERSIST', key) else redis.call('EXPIRE', key, ARGV[2 * i]) end
end
return 0
""")

SETTLED_SECONDS = 300
"""Seconds for which a settlement is known. One whose answer was lost and that cannot be told again for longer counts twice."""

WAIT_SHARE = 0.5
"""Share of the time limit in which replicas must confirm; the rest is for the answer."""

_KNOWN_SECONDS = 3000.0
ORDER_SECONDS = 2.0
"""Seconds before spending that is gone counts as forgotten; threads may look in another order than they have read."""
_KNOWN_KEYS = 10_000


class RedisBudgets:
    """Budget store in Redis or Valkey, shared by every process that reaches the server.

    Args:
        url: Such as `redis://127.0.0.1:6379/0` (see `parse_redis_url`), or a client of the `redis` package.
        prefix: Prefix of all keys; the braces keep them on one node of a cluster.
        timeout_seconds: How long to wait for an answer.
        replicas: Replicas that must have a settlement before it counts as settled (`WAIT`); else it is tried again. So what was spent
            outlives the server that was told, where one of these replicas takes over. Calls do not wait for it.

    Raises:
        ConfigurationError: The URL is malformed, or it is a cluster's and the prefix has no braces.
        MissingExtraError: The `redis` package is not installed.
    """

    local = False

    def __init__(self, url: Any, *, prefix: str = "{langroute}:budget", timeout_seconds: float = 2.0, replicas: int = 0) -> None:
        self._url, self.prefix, self.timeout, self.replicas = url, prefix, timeout_seconds, replicas
        self.client: Any = redis_client(url, timeout_seconds, "RedisBudgets")
        if is_spread(self.client) and not has_hash_tag(prefix):
            raise ConfigurationError(
                f"Budgets of one call must be on one node of a cluster: write braces into the prefix, such as {'{' + prefix + '}'!r}."
            )
        self._errors = redis_errors("RedisBudgets")
        self._loops = redis_of_loops(url, timeout_seconds, self.client)
        self._checked = False
        self._known: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._notices = Degradations()

    def _check_server(self) -> None:
        """Warn once where the server may evict keys: what was spent would be forgotten, and could be spent again."""
        self._checked = True
        try:
            memory = node_of(self.client, self.prefix).info("memory")
            policy, limit = str(memory.get("maxmemory_policy", "noeviction")), int(memory.get("maxmemory", 0))
        except Exception:  # noqa: BLE001 - not every server says it to every user
            return
        if policy != "noeviction" and limit:
            self._notices.warn(
                "eviction",
                DegradedWarning,
                f"The Redis of the budgets evicts keys when its memory is full (maxmemory-policy {policy}): budgets would forget what was "
                "spent. Give them a server of their own, or set maxmemory-policy noeviction.",
            )

    def _check_spent(self, keys: Sequence[str], balances: Sequence[Balance]) -> None:
        """Warn where the server has forgotten what this process knows to be spent."""
        now = monotonic()
        for key, balance in zip(keys, balances, strict=True):
            spent, at = self._known.pop(key, (0, now))
            if balance.spent < spent and ORDER_SECONDS < now - at < _KNOWN_SECONDS:
                self._notices.warn(
                    "forgotten",
                    DegradedWarning,
                    "The Redis of the budgets has forgotten what was spent: it evicted or deleted the key (see its maxmemory-policy), or a "
                    "replica took over that did not have it yet (see `replicas`), so that more may be spent than the limit.",
                )
            if balance.spent:
                # Keys last longer than this: nothing that expired counts as forgotten.
                self._known[key] = (balance.spent, now)
        while len(self._known) > _KNOWN_KEYS:
            self._known.popitem(last=False)

    def _keys(self, keys: Sequence[str]) -> list[str]:
        return [f"{self.prefix}:{key}" for key in keys]

    def _run(self, script: RedisScript, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        if not self._checked:
            self._check_server()
        try:
            return script.run(self.client, keys, arguments)
        except self._errors as error:
            raise self._away(error) from error

    @property
    def awaited(self) -> bool:
        """Whether `abalances` and `areserve` work: with a URL, not with a client of one's own."""
        return isinstance(self._url, str)

    async def _arun(self, script: RedisScript, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
        if not self._checked:
            await asyncio.to_thread(self._check_server)
        try:
            return await script.arun(self._loops.get(), keys, arguments)
        except self._errors as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> BudgetStoreError:
        said = without_secrets(f"{type(error).__name__}: {error}", self._url)
        return BudgetStoreError(f"The budgets in Redis cannot be reached: {said}")

    def balances(self, keys: Sequence[str]) -> list[Balance]:
        """Return what was taken from each limit."""
        return self._read(keys, self._run(_BALANCES, self._keys(keys))) if keys else []

    async def abalances(self, keys: Sequence[str]) -> list[Balance]:
        """Async version of `balances`."""
        return self._read(keys, await self._arun(_BALANCES, self._keys(keys))) if keys else []

    def _read(self, keys: Sequence[str], said: Sequence[Any]) -> list[Balance]:
        found = [int(value) for value in said]
        balances = [Balance(*found[place : place + 2]) for place in range(0, len(found), 2)]
        self._check_spent(keys, balances)
        return balances

    def reserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Reserve all or nothing. Return `None` when granted, else the index of the first hold that does not fit."""
        keys = self._keys([hold.key for hold in holds])
        place = int(self._run(_RESERVE, keys, _reserving(id, holds, lease_seconds))) if keys else -1
        return None if place < 0 else place

    async def areserve(self, id: str, holds: Sequence[Hold], lease_seconds: float = LEASE_SECONDS) -> int | None:
        """Async version of `reserve`."""
        keys = self._keys([hold.key for hold in holds])
        place = int(await self._arun(_RESERVE, keys, _reserving(id, holds, lease_seconds))) if keys else -1
        return None if place < 0 else place

    def settle(self, id: str | None, spent: Sequence[Hold]) -> None:
        """Release a reservation and add what was really spent. A charge with an id counts once, however often it is told."""
        if self.replicas:
            self.settle_all([(id, spent)])
        elif spent:
            self._run(_SETTLE, *self._settling(id, spent))

    def settle_all(self, charges: Sequence[tuple[str | None, Sequence[Hold]]]) -> None:
        """Settle several at once, and wait for the replicas.

        Raises:
            UnconfirmedError: They are settled, but too few replicas say that they have them.
        """
        try:
            # Over one connection: a server confirms to a connection what it heard from it.
            with node_of(self.client, self.prefix).pipeline(transaction=False) as pipe:
                for keys, arguments in (self._settling(*charge) for charge in charges):
                    pipe.execute_command("EVAL", _SETTLE.text, len(keys), *keys, *arguments)
                if self.replicas:
                    pipe.execute_command("WAIT", self.replicas, max(1, int(self.timeout * WAIT_SHARE * 1000)))
                said = pipe.execute()
        except self._errors as error:
            look_again(self.client)
            raise self._away(error) from error
        if self.replicas and int(said[-1]) < self.replicas:
            raise UnconfirmedError(f"{int(said[-1])} of {self.replicas} replicas of the budgets' Redis have what was spent.")

    def _settling(self, id: str | None, spent: Sequence[Hold]) -> tuple[list[str], list[Any]]:
        arguments: list[Any] = [id or "", SETTLED_SECONDS if id and any(hold.amount for hold in spent) else ""]
        for hold in spent:
            arguments += [hold.amount, _seconds(hold.keep_seconds)]
        return [f"{self.prefix}.settled:{id or ''}", *self._keys([hold.key for hold in spent])], arguments

    def close(self) -> None:
        """Close the connections, but those of event loops that run."""
        close_client(self.client)
        self._loops.sweep()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._loops.aclose()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._url, "prefix": self.prefix, "timeout_seconds": self.timeout, "replicas": self.replicas}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def _reserving(id: str, holds: Sequence[Hold], lease_seconds: float) -> list[Any]:
    """Return the arguments of the script that reserves."""
    arguments: list[Any] = [id, lease_seconds]
    for hold in holds:
        # A reservation lapses with its lease, however long the key is kept.
        arguments += [hold.amount, hold.limit, _seconds(hold.keep_seconds, lease_seconds)]
    return arguments


def _seconds(keep: float | None, least: float = 1.0) -> str:
    return "" if keep is None else str(int(max(keep, least, 1.0)))
