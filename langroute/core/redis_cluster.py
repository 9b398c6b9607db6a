"""Client of a cluster of Redis or Valkey that connects at its first use, and never waits longer than for one answer of one node.

The `redis` package's own client connects when it is made, repeats each command of a pipeline that a hanging node did not answer, and
forgets the nodes it was given: after all addresses have changed at once it would find none of them again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

from langroute.core.redis_url import RedisAddress

REDIRECTED = (exceptions.MovedError, exceptions.AskError, exceptions.TryAgainError)


def repeats(attempts: int) -> dict[str, Any]:
    """Return the option of a cluster's client for how often it repeats a command by itself.

    Example:
        >>> len(repeats(0))
        1
    """
    if int(redis.__version__.partition(".")[0]) < 6:
        return {"cluster_error_retry_attempts": attempts}
    return {"retry": Retry(NoBackoff(), attempts)}


def is_cluster(client: Any) -> bool:
    """Return whether an object is the `redis` package's client of a cluster.

    Example:
        >>> is_cluster(redis.Redis())
        False
    """
    return isinstance(client, RedisCluster)


class ClusterClient:
    """A cluster's client for commands of one key (or one hash tag), made anew in a forked child.

    Args:
        address: The nodes that are asked for the others.
        options: Options of each connection.
        given: A client of the `redis` package to use instead.
    """

    def __init__(self, address: RedisAddress | None = None, options: dict[str, Any] | None = None, *, given: Any = None) -> None:
        self._address, self._options, self._given = address, dict(options or {}), given
        self._options.pop("db", None)
        self._made: dict[int, Any] = {}
        """Process id → its client. That of a parent is neither used nor closed."""

    def cluster(self) -> Any:
        """Return the package's client of this process."""
        if self._given is not None:
            return self._given
        made = self._made.get(os.getpid())
        # No lock is held while it connects, which may take as long as the time limit: of two, the first one stays.
        return self._made.setdefault(os.getpid(), self._make()) if made is None else made

    def _nodes(self) -> list[ClusterNode]:
        hosts = self._address.hosts if self._address is not None else ()
        return [ClusterNode(host, port) for host, port in hosts]  # type: ignore[no-untyped-call]

    def _make(self) -> Any:
        return RedisCluster(startup_nodes=self._nodes(), require_full_coverage=False, **repeats(0), **self._options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(RedisCluster, name):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.once_more(lambda: getattr(self.cluster(), name)(*args, **kwargs))

        return call

    def once_more(self, ask: Callable[[], Any]) -> Any:
        """Ask, and where a connection was refused or closed, ask whoever has taken over; what took its time is not asked again."""
        try:
            return ask()
        except exceptions.ConnectionError:
            # The package has asked the other nodes meanwhile who they are.
            return ask()
        except exceptions.RedisClusterException:
            # None of the nodes that it knew can be reached.
            self.forget()
            raise

    def forget(self) -> None:
        """Have the next command begin with the nodes of the address."""
        if self._given is None:
            self.close()

    def node(self, key: str) -> Any:
        """Return the plain client of the node that has a key."""
        return self.cluster().get_redis_connection(self._node(key))

    def _node(self, key: Any) -> Any:
        cluster = self.cluster()
        for last in (False, True):
            with suppress(exceptions.SlotNotCoveredError, KeyError):
                if (node := cluster.get_node_from_key(key)) is not None:
                    return node
            if not last:
                self.look_again()
        raise exceptions.SlotNotCoveredError(f"No node of the cluster has the slot of {key!r}.")  # type: ignore[no-untyped-call]

    def address(self, key: Any) -> tuple[str, int] | None:
        """Return host and port of the node that has a key, if that is known without asking."""
        cluster = self._given or self._made.get(os.getpid())
        with suppress(exceptions.SlotNotCoveredError, KeyError):
            node = cluster.get_node_from_key(key) if cluster is not None else None
            return (node.host, node.port) if node is not None else None
        return None

    def found_address(self, key: Any) -> tuple[str, int]:
        """Return host and port of the node that has a key."""
        node = self.once_more(lambda: self._node(key))
        return node.host, node.port

    def addresses(self) -> set[tuple[str, int]]:
        """Return host and port of all nodes that are known."""
        cluster = self._given or self._made.get(os.getpid())
        return {(node.host, node.port) for node in cluster.get_nodes()} if cluster is not None else set()

    def look_again(self, without: tuple[str, int] | None = None) -> None:
        """Ask the cluster which node has which keys, if it was asked before; a node that did not answer is left out."""
        cluster = self._given or self._made.get(os.getpid())
        if cluster is None:
            return
        manager = cluster.nodes_manager
        known = dict(manager.startup_nodes)
        if without is not None and len(known) > 1:
            for name, node in known.items():
                if (node.host, node.port) == without:
                    manager.startup_nodes.pop(name, None)
        try:
            manager.initialize()
        except exceptions.RedisClusterException:
            self.forget()
        except Exception:  # noqa: BLE001 - whatever hinders it, the next command will say so
            return

    def scan_iter(self, **kwargs: Any) -> Any:
        """Return the keys that match, of all nodes."""
        return self.cluster().scan_iter(**kwargs)

    def pipeline(self, transaction: bool = False) -> ClusterBatch:
        """Return a batch of commands, each of one key."""
        return ClusterBatch(self)

    def close(self) -> None:
        """Close the connections; others are opened when it is used again."""
        if self._given is not None:
            self._given.close()
        elif (made := self._made.pop(os.getpid(), None)) is not None:
            with suppress(Exception):
                made.close()


class ClusterBatch:
    """Commands of any keys, sent together to each node. The first node that cannot be reached ends it.

    Args:
        client: The cluster.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def __enter__(self) -> ClusterBatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands = []

    def execute_command(self, *command: Any) -> None:
        """Add a command; its key is its first argument, that of `EVAL` its third."""
        self._commands.append(command)

    def execute(self) -> list[Any]:
        """Send the commands and return their answers in order.

        Raises:
            RedisError: One of them failed.
        """
        commands, self._commands = self._commands, []
        found: dict[int, Any] = {}
        for _ in range(2):
            left = [place for place in range(len(commands)) if place not in found]
            self._client.once_more(partial(self._send, commands, left, found))
            if len(found) == len(commands):
                break
            self._client.look_again()
        for place, command in enumerate(commands):
            if place not in found:
                # A slot is on its way from one node to another: the package follows it, command by command.
                found[place] = self._client.execute_command(*command)
        return [found[place] for place in range(len(commands))]

    def _send(self, commands: Sequence[tuple[Any, ...]], places: Sequence[int], found: dict[int, Any]) -> None:
        nodes: dict[Any, list[int]] = {}
        for place in places:
            if place not in found:
                nodes.setdefault(self._client.found_address(key_of(commands[place])), []).append(place)
        for address, its in nodes.items():
            try:
                with self._client.node(key_of(commands[its[0]])).pipeline(transaction=False) as pipe:
                    for place in its:
                        pipe.execute_command(*commands[place])
                    answers = pipe.execute(raise_on_error=False)
            except (exceptions.ConnectionError, exceptions.TimeoutError, ValueError) as error:
                self._client.look_again(without=address)
                if isinstance(error, ValueError):
                    # The package closed the connection in another thread, when that looked at the nodes again.
                    raise exceptions.ConnectionError(str(error)) from error
                raise
            for place, answer in zip(its, answers, strict=True):
                if isinstance(answer, Exception) and not isinstance(answer, REDIRECTED):
                    raise answer
                if not isinstance(answer, Exception):
                    found[place] = answer


def key_of(command: Sequence[Any]) -> Any:
    """Return the key of a command: its first argument, that of a script the third.

    Example:
        >>> key_of(("GET", "a")), key_of(("EVAL", "return 1", 1, "b", "x"))
        ('a', 'b')
    """
    return command[3] if command[0] in ("EVAL", "EVALSHA") else command[1]


__all__ = ["REDIRECTED", "ClusterBatch", "ClusterClient", "is_cluster", "key_of", "repeats"]
