"""What a policy remembers of threads in this process, for histories whose answers do not carry their decisions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic
from typing import Generic, TypeVar

from langroute.core.locks import new_lock
from langroute.core.records import Step

V = TypeVar("V")


def thread_key(step: Step, *, past: bool) -> Hashable | None:
    """Return what identifies the thread of a step; `None` where nothing does.

    A thread without an id is told apart by all its messages: what was remembered of the messages before its latest answer is what the
    step before remembered. Callers who begin with the same words thus share nothing.

    Args:
        step: The step.
        past: Whether the key is for what earlier steps remembered, rather than for what this step remembers.

    Example:
        >>> thread_key(Step(thread="t1"), past=True), thread_key(Step(thread="5f0", prefixes=(None, 7)), past=True)
        ('t1', None)
    """
    return step.thread if step.prefixes is None else step.prefixes[0 if past else 1]


class ThreadMemory(Generic[V]):
    """A bounded map with a time to live; the latest written entries are kept.

    Args:
        max_entries: Most entries.
        ttl_seconds: Seconds for which one is kept.

    Example:
        >>> memory = ThreadMemory(2, 60.0)
        >>> for name in ("a", "b", "c"):
        ...     memory.put(name, name.upper())
        >>> memory.get("a"), memory.get("c")
        (None, 'C')
    """

    # Read and written on every call, so not a `TTLCache`, which takes ten times as long.
    def __init__(self, max_entries: int, ttl_seconds: float) -> None:
        self.max_entries, self.ttl_seconds = max_entries, ttl_seconds
        self._entries: OrderedDict[Hashable, tuple[V, float]] = OrderedDict()
        self._lock = new_lock()

    def get(self, key: Hashable) -> V | None:
        """Return what is remembered under a key."""
        found = self._entries.get(key)
        return found[0] if found is not None and found[1] > monotonic() else None

    def put(self, key: Hashable, value: V) -> None:
        """Remember a value, for at most `ttl_seconds`."""
        with self._lock:
            self._entries[key] = (value, monotonic() + self.ttl_seconds)
            self._entries.move_to_end(key)
            if len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)

    def forget_where(self, first: Hashable) -> None:
        """Forget the entries whose key is a tuple that begins with `first`."""
        with self._lock:
            for key in [key for key in self._entries if isinstance(key, tuple) and key[0] == first]:
                del self._entries[key]


__all__ = ["ThreadMemory", "thread_key"]
