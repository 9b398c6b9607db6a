"""The task, thread, agent, team and user that a call belongs to: read here and nowhere else.

What the program says around a call (`with task(...)`) goes before what its metadata says. Steps, budgets, ledgers and trackers ask here, so
that a limit binds whoever the bill names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from langroute.core.bounded import as_text
from langroute.core.task_context import Task

LABELS = ("team", "project", "environment", "user")
"""Labels of a task that have columns of their own in a ledger."""


class CallOwner(NamedTuple):
    """To what a call belongs; `None` where nothing says it."""

    task: str | None
    kind: str | None
    """The user's own label for a family of tasks."""

    thread: str | None
    agent: str | None


NOBODY = CallOwner(None, None, None, None)


def resolve_task(metadata: Mapping[str, Any], around: Task | None = None) -> CallOwner:
    """Return the task, its kind, the thread and the agent of a call.

    Args:
        metadata: The run's metadata.
        around: The task around the call.

    Example:
        >>> resolve_task({"thread_id": 7, "langroute_task": "t1"})
        CallOwner(task='t1', kind=None, thread='7', agent=None)
        >>> resolve_task({"langroute_task": "t1"}, Task("ticket-17", "support")).task
        'ticket-17'
    """
    if not metadata:
        return NOBODY if around is None else CallOwner(around.id or None, around.kind or None, None, None)
    get = metadata.get
    task, kind = get("langroute_task"), get("langroute_task_kind")
    thread, agent = get("thread_id"), get("lc_agent_name")
    if around is not None:
        task, kind = around.id or task, around.kind or kind
    return CallOwner(id_text(task), id_text(kind), id_text(thread), id_text(agent))


def task_id_of(task: str | None, thread: Any, own: str, thread_task: Callable[[str], str]) -> str:
    """Return the id of a call's task in a ledger: the task that was given, else the thread's, else the call's own.

    Args:
        task: Id of the task that was given, if any.
        thread: The `thread_id`, if any.
        own: Id of the task that the call is by itself.
        thread_task: Returns the ledger's task id of a thread.

    Example:
        >>> task_id_of(None, "a", "d1", "thread:{}".format), task_id_of(None, None, "d1", "thread:{}".format)
        ('thread:a', 'd1')
    """
    if task:
        return task
    name = id_text(thread)
    return own if name is None else thread_task(name)


def label_of(name: str, metadata: Mapping[str, Any], around: Task | None = None) -> str | None:
    """Return a label of a call: of its team, its user, or a tag of any name.

    A label is found under `langroute_NAME`, `NAME_id` or `NAME`, in the tags of the task around the call, then in the metadata.

    Args:
        name: Name of the label.
        metadata: The run's metadata.
        around: The task around the call.

    Example:
        >>> label_of("team", {"team_id": "search"}), label_of("user", {"user": "Ada"}), label_of("team", {})
        ('search', 'Ada', None)
        >>> label_of("team", {"langroute_team": "search"}, Task("t1", tags={"team": "care"}))
        'care'
    """
    for values in (metadata,) if around is None else (around.tags, metadata):
        for key in label_keys(name):
            if key in values and (found := values[key]) is not False and (text := id_text(found)) is not None:
                return text
    return None


@lru_cache(maxsize=256)
def label_keys(name: str) -> tuple[str, ...]:
    """Return the keys under which a label is found, the first that is there counts.

    Example:
        >>> label_keys("team")
        ('langroute_team', 'langroute_team_id', 'team_id', 'team')
    """
    return (f"langroute_{name}", f"langroute_{name}_id", f"{name}_id", name)


def id_text(value: Any) -> str | None:
    r"""Return an id or a name as text; `None` where there is none.

    Example:
        >>> id_text(7), id_text(b"caf\xc3\xa9"), id_text(""), id_text(None)
        ('7', 'café', None, None)
    """
    if type(value) is str:
        return value or None
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace") or None
    return as_text(value) or None


__all__ = ["LABELS", "CallOwner", "id_text", "label_keys", "label_of", "resolve_task", "task_id_of"]
