"""Awaited client of a cluster of Redis or Valkey, within one event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError, RedisClusterException, TimeoutError  # noqa: A004

from langroute.core.redis_cluster import repeats


class AwaitedCluster(RedisCluster):
    """A cluster's client that asks once more where a connection was refused or closed, and remembers the nodes it was given.

    Args:
        hosts: The nodes that are asked for the others.
        options: Options of each connection.
    """

    def __init__(self, hosts: Sequence[tuple[str, int]], options: dict[str, Any]) -> None:
        self._hosts, self._options_of_nodes = hosts, options
        nodes = [ClusterNode(host, port) for host, port in hosts]
        super().__init__(startup_nodes=nodes, require_full_coverage=False, **repeats(0), **options)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command to the node that has its key."""
        try:
            return await super().execute_command(*args, **kwargs)
        except ConnectionError:
            # The package asks the other nodes who they are before it sends the next command.
            return await super().execute_command(*args, **kwargs)
        except RedisClusterException:
            # None of the nodes that it knew can be reached: the next command begins with those of the address.
            for host, port in self._hosts:
                node = ClusterNode(host, port, **self.connection_kwargs)
                self.nodes_manager.startup_nodes.setdefault(node.name, node)
            raise

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """Return a batch of commands, each of one key."""
        return AwaitedBatch(self, super().pipeline)


class AwaitedBatch:
    """Commands of any keys, sent together to each node.

    Args:
        cluster: The cluster.
        make: Makes a pipeline of the `redis` package.
    """

    def __init__(self, cluster: AwaitedCluster, make: Callable[[], Any]) -> None:
        self._cluster, self._make = cluster, make
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
        try:
            return await self._sent(commands)
        except ConnectionError:
            return await self._sent(commands)

    async def _sent(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            async with self._make() as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())
        except (ConnectionError, TimeoutError):
            # A failing pipeline does not make the package ask who has taken over, as a failing command does.
            self._cluster._initialize = True
            raise


__all__ = ["AwaitedBatch", "AwaitedCluster"]
