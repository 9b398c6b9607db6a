"""Which task does this call belong to?

A task is what a person wanted done. `with task("ticket-17", kind="support"):` marks every model call inside, in threads and
coroutines that carry the context along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Task:
    """What a person wanted done."""

    id: str
    kind: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    """Team, project, user, environment: whatever reports should group by."""


_current: ContextVar[Task | None] = ContextVar("langroute_task", default=None)


@contextmanager
def task(id: str | None = None, *, kind: str | None = None, **tags: str) -> Iterator[Task]:
    """Mark every model call inside as part of one task.

    Args:
        id: The task's id, such as a ticket's; a new one is made where none is given.
        kind: The user's own label for a family of tasks.
        tags: Whatever reports should group by (`team="search"`).

    Example:
        >>> with task("ticket-17", kind="support") as current:
        ...     current.id
        'ticket-17'
    """
    # Whoever numbers tasks may give the number.
    entered = Task(uuid4().hex if id is None or id == "" else str(id), kind if kind is None else str(kind), tags)
    token = _current.set(entered)
    try:
        yield entered
    finally:
        _current.reset(token)


def current_task() -> Task | None:
    """The task around this call, if there is one."""
    return _current.get()
