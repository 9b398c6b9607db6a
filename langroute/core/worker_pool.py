"""Background threads that start lazily and are recreated in a forked child."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import Any, overload

from langroute.core.locks import at_fork, new_lock
from langroute.core.process_end import watch_end


class Workers:
    """Thread pool that starts its threads with the first job.

    Args:
        name: Prefix of the threads' names.
        count: Number of threads.

    Example:
        >>> workers = Workers("example")
        >>> workers.submit(sum, [1, 2]).result()
        3
    """

    def __init__(self, name: str, count: int = 1) -> None:
        self._name, self._count = name, count
        self._lock = new_lock()
        self._begin()
        at_fork(self, in_child=Workers._begin)

    def _begin(self) -> None:
        # A child inherits the pool object but not its threads; jobs that waited there are done by the parent.
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[Any]] = []
        self._begun: dict[int, float] = {}

    @overload
    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]: ...

    @overload
    def submit(self, function: Callable[..., Any], *arguments: Any, most: int | None) -> Future[Any] | None: ...

    def submit(self, function: Callable[..., Any], *arguments: Any, most: int | None = None) -> Future[Any] | None:
        """Submit a function call to the pool.

        Args:
            function: The function.
            arguments: Its arguments.
            most: Most unfinished jobs; when there are as many, nothing is submitted and `None` is returned.
        """
        with self._lock:
            self._waiting = [one for one in self._waiting if not one.done()]
            if most is not None and len(self._waiting) >= most:
                return None
            if self._pool is None:
                watch_end()
                self._pool = ThreadPoolExecutor(self._count, self._name)
            future = self._pool.submit(self._run, self._begun, function, arguments)
            self._waiting.append(future)
            return future

    @staticmethod
    def _run(begun: dict[int, float], function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        me = threading.get_ident()
        begun[me] = monotonic()
        try:
            return function(*arguments)
        finally:
            del begun[me]

    def longest_run_s(self) -> float:
        """Return how long the job that runs longest has been running; 0 where none runs. A wait for a thread does not count.

        Example:
            >>> Workers("example").longest_run_s()
            0.0
        """
        return monotonic() - min(begun) if (begun := list(self._begun.values())) else 0.0

    async def awithin(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the pool, wait for it off the event loop, and return what it returns.

        One that hangs keeps a thread, and nobody who waits for another thread of the process.

        Raises:
            TimeoutError: It takes longer than that, with its wait for a thread.

        Example:
            >>> asyncio.run(Workers("example").awithin(10.0, sum, [1, 2]))
            3
        """
        awaited = asyncio.wrap_future(self.submit(function, *arguments))
        try:
            done, _ = await asyncio.wait((awaited,), timeout=seconds)
            if not done:
                raise TimeoutError(f"There was no answer within {seconds:g} s.")
            return awaited.result()
        finally:
            # Nobody hears any more what it raises; asyncio would log that.
            if not awaited.cancel() and not awaited.cancelled():
                awaited.exception()

    def pending(self) -> list[Future[Any]]:
        """Return the jobs that are not done."""
        with self._lock:
            return [one for one in self._waiting if not one.done()]

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all jobs submitted so far are done."""
        if waiting := self.pending():
            wait(waiting, timeout=timeout_s)

    def close(self) -> None:
        """Wait for running jobs and shut the pool down."""
        with self._lock:
            pool = self._pool
        if pool is not None:
            pool.shutdown(wait=True)


class RepeatedWork:
    """A function without arguments that a daemon thread runs once more whenever somebody asks for it.

    The end of the program does not wait for it.

    Args:
        name: The thread's name.
        work: The function. It raises nothing.

    Example:
        >>> done = []
        >>> repeated = RepeatedWork("example", lambda: done.append(1))
        >>> repeated.ask()
        >>> repeated.wait(5.0), done
        (True, [1])
    """

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self._name, self._work = name, work
        self._lock = new_lock()
        self._begin()
        at_fork(self, in_child=RepeatedWork._begin)

    def _begin(self) -> None:
        # A child inherits no thread.
        self._asked, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    def ask(self) -> None:
        """Have the work done soon, once for all who ask before it begins."""
        if self._asked.is_set():
            return
        with self._lock:
            self._idle.clear()
            self._asked.set()
            started = self._thread is not None or self._start()
        if not started:
            self._once()

    def _start(self) -> bool:
        """Return whether there is a thread; at the end of the interpreter none can be started."""
        thread = threading.Thread(target=self._run, args=(weakref.ref(self), self._asked), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        weakref.finalize(self, self._asked.set).atexit = False
        return True

    @staticmethod
    def _run(reference: weakref.ref[RepeatedWork], asked: threading.Event) -> None:
        while True:
            asked.wait()
            me = reference()
            if me is None:
                return
            me._once()
            del me

    def _once(self) -> None:
        self._asked.clear()
        try:
            self._work()
        finally:
            with self._lock:
                if not self._asked.is_set():
                    self._idle.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is left to be done; return whether that was in time."""
        return self._idle.wait(timeout_s)


def within(seconds: float, work: Callable[[], object]) -> None:
    """Do some work in a thread of its own, for as long as that takes, and wait for it no longer than a time.

    Raises:
        TimeoutError: It is not done yet. The end of the program does not wait for it either.

    Example:
        >>> done = []
        >>> within(10.0, lambda: done.append(1))
        >>> done
        [1]
    """
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)

    thread = threading.Thread(target=run, name="langroute-within", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"There was no answer within {seconds:g} s.")
    if failed:
        raise failed[0]


__all__ = ["RepeatedWork", "Workers", "within"]
