"""Awaited client of a cluster of Redis or Valkey, within one event loop.

Which node has which keys is known to the client that is not awaited, and asked of it; each node has an awaited client of its own. (The
`redis` package's awaited client of a cluster, 7.4, loses its connections each time it looks at the nodes again.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from langroute.core.redis_cluster import REDIRECTED, ClusterClient, key_of

Address = tuple[str, int]
AWAY = (exceptions.ConnectionError, exceptions.TimeoutError)


class AwaitedCluster:
    """Awaited commands of one key (or one hash tag).

    Args:
        known: The client that knows the nodes.
        options: Options of each connection.
    """

    def __init__(self, known: ClusterClient, options: dict[str, Any]) -> None:
        self._known, self._options = known, options
        self._nodes: dict[Address, Redis] = {}

    async def _address(self, key: Any) -> Address:
        # To connect and to ask the nodes takes its time; what is known is said at once.
        if (known := self._known.address(key)) is not None:
            return known
        return await asyncio.to_thread(self._known.found_address, key)

    def _node(self, address: Address) -> Redis:
        node = self._nodes.get(address)
        if node is None:
            host, port = address
            once = Retry(NoBackoff(), 0)
            node = self._nodes[address] = Redis(host=host, port=port, **self._options, retry=once)
        return node

    async def _look_again(self, without: Address | None = None) -> None:
        await asyncio.to_thread(self._known.look_again, without)
        if here := self._known.addresses():
            for address in [one for one in self._nodes if one not in here]:
                with suppress(Exception):
                    await self._nodes.pop(address).aclose()

    async def execute_command(self, *command: Any) -> Any:
        """Send a command to the node that has its key."""
        for last in (False, True):
            address = await self._address(key_of(command))
            try:
                return await self._node(address).execute_command(*command)  # type: ignore[no-untyped-call]
            except AWAY as error:
                await self._look_again(address)
                # What took its time is not asked again.
                if last or isinstance(error, exceptions.TimeoutError):
                    raise
            except exceptions.MovedError:
                await self._look_again()
            except REDIRECTED:
                break
        # A slot is on its way from one node to another: the package follows it.
        return await asyncio.to_thread(self._known.execute_command, *command)

    async def getrange(self, key: str, start: int, end: int) -> Any:
        """Return a part of a value."""
        return await self.execute_command("GETRANGE", key, start, end)

    async def eval(self, script: str, count: int, *keys_and_arguments: Any) -> Any:
        """Run a script by its text."""
        return await self.execute_command("EVAL", script, count, *keys_and_arguments)

    async def evalsha(self, digest: str, count: int, *keys_and_arguments: Any) -> Any:
        """Run a script by its digest."""
        return await self.execute_command("EVALSHA", digest, count, *keys_and_arguments)

    def pipeline(self, transaction: bool = False) -> AwaitedBatch:
        """Return a batch of commands, each of one key."""
        return AwaitedBatch(self)

    async def send(self, commands: Sequence[tuple[Any, ...]], found: dict[int, Any]) -> None:
        """Send commands together to each node, and note the answers that came, by their place; redirections are no answers."""
        nodes: dict[Address, list[int]] = {}
        for place, command in enumerate(commands):
            if place not in found:
                nodes.setdefault(await self._address(key_of(command)), []).append(place)
        sent = (self._sent(address, [commands[place] for place in its]) for address, its in nodes.items())
        failed: list[Any] = []
        for its, answers in zip(nodes.values(), await asyncio.gather(*sent, return_exceptions=True), strict=True):
            if isinstance(answers, BaseException):
                failed.append(answers)
            else:
                found.update((place, one) for place, one in zip(its, answers, strict=True) if not isinstance(one, REDIRECTED))
        failed += [one for one in found.values() if isinstance(one, Exception)]
        if failed:
            raise failed[0]

    async def _sent(self, address: Address, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            async with self._node(address).pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute(raise_on_error=False))
        except AWAY:
            await self._look_again(address)
            raise

    async def look_again(self) -> None:
        """Ask the cluster which node has which keys."""
        await self._look_again()

    def pools(self) -> list[Any]:
        """Return the pools of connections."""
        return [node.connection_pool for node in self._nodes.values()]

    async def aclose(self) -> None:
        """Close the connections."""
        for node in list(self._nodes.values()):
            await node.aclose()


class AwaitedBatch:
    """Commands of any keys, sent together to each node.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: AwaitedCluster) -> None:
        self._cluster = cluster
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> AwaitedBatch:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands = []

    def execute_command(self, *command: Any) -> None:
        """Add a command."""
        self._commands.append(command)

    async def execute(self) -> list[Any]:
        """Send the commands and return their answers in order.

        Raises:
            RedisError: One of them failed.
        """
        commands, self._commands = self._commands, []
        found: dict[int, Any] = {}
        try:
            await self._cluster.send(commands, found)
        except exceptions.ConnectionError:
            await self._cluster.send(commands, found)
        if len(found) < len(commands):
            await self._cluster.look_again()
            await self._cluster.send(commands, found)
        for place, command in enumerate(commands):
            if place not in found:
                found[place] = await self._cluster.execute_command(*command)
        return [found[place] for place in range(len(commands))]


__all__ = ["AwaitedBatch", "AwaitedCluster"]
