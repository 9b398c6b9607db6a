"""Context variable with the subtask that runs: the route of all its steps, and what they cost.

A pin holds for every router call inside, in threads and coroutines that carry the context along, however deep the graph is. What the
steps cost is heard here, so that an attempt at a subtask knows its cost though its calls are recorded one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langroute.core.locks import new_lock
from langroute.core.records import TOKENS, Usage

Cost: TypeAlias = tuple[float | None, float | None]

MOST_TOOLS = 64
"""Most names of tools that are remembered of one attempt."""


@dataclass(slots=True)
class SubtaskPin:
    """One attempt at a subtask: the route of its steps, and what is heard of them.

    Example:
        >>> pin = SubtaskPin("small")
        >>> pin.hear("d1", 0.25, 1.0, True)
        >>> pin.hear("d1", 0.25, 1.0, True)
        >>> pin.hear("d2", None, None, False)
        >>> pin.costs, pin.failed
        ({'d1': (0.25, 1.0), 'd2': (None, None)}, True)
    """

    route: str
    outer: SubtaskPin | None = None
    """The pin of the subtask around this one."""

    costs: dict[str, Cost] = field(default_factory=dict)
    """By decision, its cost in USD, and what the baseline would have billed."""

    usage: Usage | None = None
    tools: set[str] = field(default_factory=set)
    """Names of the tools that were called."""

    schemas: set[str] = field(default_factory=set)
    """Names of the schemas that answers were asked for in, which may look like tools."""

    failed: bool = False
    """Whether the latest step got no answer."""

    provisional: bool = False
    """Whether a rejected result is done again by another route."""

    _lock: Any = field(default_factory=new_lock, repr=False, compare=False)
    """Branches of a graph run side by side."""

    def hear(
        self,
        decision_id: str,
        cost_usd: float | None,
        baseline_usd: float | None,
        answered: bool,
        usage: Usage | None = None,
        tools: Iterable[str] = (),
        schemas: Iterable[str] = (),
    ) -> None:
        """Note a step; the subtask around this one hears of it too."""
        with self._lock:
            if decision_id not in self.costs:
                self.costs[decision_id] = (cost_usd, baseline_usd)
                self.usage = _added(self.usage, usage)
                self.failed = not answered
                if len(self.tools) < MOST_TOOLS:
                    self.tools.update(tools)
                    self.schemas.update(schemas)
        if self.outer is not None:
            self.outer.hear(decision_id, cost_usd, baseline_usd, answered, usage, tools, schemas)


def sum_of(costs: Iterable[float | None]) -> float | None:
    """Return the sum of costs in USD; `None` where one of them is unknown, or there are none.

    Example:
        >>> sum_of([0.25, 0.5]), sum_of([0.25, None]), sum_of([])
        (0.75, None, None)
    """
    several = list(costs)
    return None if not several or None in several else sum(cost for cost in several if cost is not None)


def _added(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return first or second
    return Usage(*[getattr(first, name) + getattr(second, name) for name in TOKENS])


_current: ContextVar[SubtaskPin | None] = ContextVar("langroute_subtask", default=None)


@contextmanager
def pinned(pin: SubtaskPin) -> Iterator[SubtaskPin]:
    """Pin the steps inside the block to one route."""
    token = _current.set(pin)
    try:
        yield pin
    finally:
        _current.reset(token)


current_pin: Callable[[], SubtaskPin | None] = _current.get
"""Function that returns the pin around a call, or `None`; every step asks it twice."""


def attempt_is_provisional() -> bool:
    """Return whether the attempt at a subtask that runs may be rejected and made again by another route.

    A subtask that repairs what its tests reject may leave that to the next route: a repair pays only where it works more often than the
    share that it costs of the next attempt.

    Example:
        >>> attempt_is_provisional()
        False
        >>> with pinned(SubtaskPin("small", provisional=True)):
        ...     attempt_is_provisional()
        True
    """
    pin = _current.get()
    while pin is not None:
        if pin.provisional:
            return True
        pin = pin.outer
    return False
