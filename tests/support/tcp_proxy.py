"""A wire between clients and a server on loopback, which can be slow, dead or cut at the worst moment."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

_AT_ONCE = 65_536


class Proxy:
    """Passes bytes on between a port of its own and a server's.

    Args:
        port: The server's.
        delay_s: How long each piece of an answer takes on its way.

    Example:
        >>> with socket.create_server(("127.0.0.1", 0)) as server, Proxy(server.getsockname()[1]) as wire:
        ...     client = socket.create_connection(("127.0.0.1", wire.port))
        ...     there, _ = server.accept()
        ...     client.sendall(b"hello")
        ...     there.recv(5)
        b'hello'
    """

    def __init__(self, port: int, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.lost = 0
        """Connections whose answer was lost, see `lose_the_answer_to`."""

        self._server, self._fatal, self._fatal_left = port, b"", 0
        self._flows = threading.Event()
        self._flows.set()
        self._ended = False
        self._threads: list[threading.Thread] = []
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended = True
        self._flows.set()
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        self._close()

    def cut(self) -> None:
        """Close all connections."""
        for pair in self._pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self.cut()
        for pair in self._pairs:
            for one in pair:
                one.close()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Nothing comes through, and nobody is told."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def lose_the_answer_to(self, said: bytes, times: int = 1) -> None:
        """Close a connection when a client has said something, and the server has heard it: its answer is lost."""
        self._fatal, self._fatal_left = said, times

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            deaf = threading.Event()
            for flow in ((client, server, deaf, True), (server, client, deaf, False)):
                self._threads.append(threading.Thread(target=self._pass, args=flow, daemon=True))
                self._threads[-1].start()

    def _pass(self, here: socket.socket, there: socket.socket, deaf: threading.Event, asks: bool) -> None:
        try:
            self._passed_on(here, there, deaf, asks)
        finally:
            for one in (here, there):
                # The other thread may wait for it.
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _passed_on(self, here: socket.socket, there: socket.socket, deaf: threading.Event, asks: bool) -> None:
        with suppress(OSError):
            while said := here.recv(_AT_ONCE):
                self._flows.wait()
                if not asks and deaf.is_set():
                    # The server has answered, so it is done.
                    self.lost += 1
                    return
                if asks and self._fatal_left and self._fatal in said:
                    self._fatal_left -= 1
                    deaf.set()
                if not asks and self.delay_s:
                    time.sleep(self.delay_s)
                there.sendall(said)


__all__ = ["Proxy"]
