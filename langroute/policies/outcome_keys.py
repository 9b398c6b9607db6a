"""Keys of tasks and decisions in shared state: the same for what a router decided and for what a ledger tells of it."""

from __future__ import annotations

from typing import Any

from langroute.core.records import Step
from langroute.state.local import digest
from langroute.state.resolve import lasts


def decision_key(decision_id: str) -> str:
    """Return the key of a decision."""
    return digest(f"decision:{decision_id}")


def task_key(ledger: Any, task: str) -> str:
    """Return the key of a task, or of a thread that is one.

    A ledger that lasts stores the ids of threads, and at level `minimal` those of tasks, as keyed hashes; workers that share state share it.

    Args:
        ledger: The router's ledger; `None` where it has none yet.
        task: The id as the program says it, or as the ledger stores it.

    Example:
        >>> task_key(None, "thread:t1") == task_key(None, "t1")
        True
    """
    if ledger is None or not lasts(ledger):
        return digest(f"task:{task.removeprefix('thread:')}")
    return digest(f"task:{ledger.thread_task(ledger.privacy.task_id(task))}")


def task_of_step(ledger: Any, step: Step) -> str | None:
    """Return the task of a step as `task_key` wants it: the one that was given, else its thread, else `None`.

    A thread without an id is no task: nobody can name it, and others may begin with the same words.
    """
    if step.task is not None:
        return step.task
    if step.thread is None or step.prefixes is not None:
        return None
    return str(ledger.thread_task(step.thread)) if ledger is not None and lasts(ledger) else step.thread


__all__ = ["decision_key", "task_key", "task_of_step"]
