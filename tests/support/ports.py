"""Ports of loopback for servers that tests start."""

from __future__ import annotations

import random
import socket
from contextlib import closing

# Not the generator that plugins and tests seed: processes that test beside each other would draw the same ports.
_CHANCE = random.SystemRandom()


def free_port(*far: int) -> int:
    """Return a port where nobody listens, and no client's connection begins.

    Systems give ports from 32768 on (others from 49152 on) to connections of clients. A server that is told such a port, or comes
    back to it, may find a connection of some other test there.

    Args:
        far: How far above it further ports have to be free, such as the one at which the nodes of a cluster talk.
    """
    while True:
        port = _CHANCE.randrange(10_000, 22_000)
        if all(_is_free(port + more) for more in (0, *far)):
            return port


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


__all__ = ["free_port"]
