"""Context variable with the current task.

A task is what a person wanted done. `with task("ticket-17", kind="support"):` marks every model call inside, in threads and
coroutines that carry the context along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import field
from uuid import uuid4

from langroute.core.fast_dataclass import fast_dataclass


@fast_dataclass
class Task:
    """A task: what a person wanted done."""

    id: str
    kind: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    """Labels that reports can group by: team, project, user, environment."""


_current: ContextVar[Task | None] = ContextVar("langroute_task", default=None)


@contextmanager
def task(id: str | None = None, *, kind: str | None = None, **tags: str) -> Iterator[Task]:
    """Mark every model call inside the block as part of one task.

    Args:
        id: The task's id, such as a ticket's; a new one is made where none is given.
        kind: The user's own label for a family of tasks.
        tags: Whatever reports should group by (`team="search"`).

    Example:
        >>> with task("ticket-17", kind="support") as current:
        ...     current.id
        'ticket-17'
    """
    # Ids may be given as numbers.
    entered = Task(uuid4().hex if id is None or id == "" else str(id), kind if kind is None else str(kind), tags)
    with within(entered):
        yield entered


@contextmanager
def within(entered: Task | None) -> Iterator[None]:
    """Make a task the current one inside the block; `None` for no task.

    A generator with such a block may be closed by another thread or coroutine than the one that entered it, as web servers do when a client
    leaves. In that context there is nothing to undo.
    """
    token = _current.set(entered)
    try:
        yield
    finally:
        try:
            _current.reset(token)
        except ValueError:
            if _current.get() is entered:
                # A copy of the context in which the block was entered.
                _current.set(None if token.old_value is Token.MISSING else token.old_value)


def current_task() -> Task | None:
    """Return the task around this call, or `None`."""
    return _current.get()
