"""Judgement of a request's step by the model that ships with langroute."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage, SystemMessage

from langroute.core.errors import DataError
from langroute.core.locks import new_lock
from langroute.core.records import Request
from langroute.steps.texts import job_of

if TYPE_CHECKING:
    from langroute.estimators.step_judge import Judgement, StepJudge

FILE = Path(__file__).resolve().parent.parent / "data" / "steps" / "judge.npz"

_JOBS = frozenset(("title", "summarize", "classify", "extract"))

_ANY_REQUEST = "hello how does this work?"
"""A request that says nothing about the job; where the kind is not `answer` all the same, the system prompt says so."""

MOST_JUDGED = 4096
"""Most judgements that are kept."""

_judged: dict[int, tuple[Any, Any, Judgement]] = {}
"""Hash of a history, which holds in this process only → its judgement, and the tools and the schema that it was made with."""

_reading = new_lock()
_last = threading.local()


def step_judge() -> StepJudge:
    """Return the judge of steps that ships with langroute, read at the first call.

    Example:
        >>> step_judge().judge([{"role": "user", "content": "Thanks a lot!"}]).kind
        'chat'
    """
    # Without the lock, every thread that is waiting at the first step would read it.
    with _reading:
        return _read()


@lru_cache(maxsize=1)
def _read() -> StepJudge:
    # numpy is imported at the first step that is judged, not with langroute.
    from langroute.estimators.step_judge import read_step_judge

    return read_step_judge(FILE)


def judgement_of(request: Request) -> Judgement:
    """Return what the request's step looks like; asked again about the same request, the answer is the one before.

    Example:
        >>> judgement_of(Request("Prove that every bounded sequence has a convergent subsequence.")).hard > 0.5
        True
    """
    # The same messages are often judged again: by another policy, in a retried step, in a prompt without a thread.
    prefix = getattr(getattr(request.messages, "history", None), "prefix", None)
    same = _judged.get(prefix) if prefix is not None else None
    if same is not None and same[0] is request.tools and same[1] is request.response_schema:
        return same[2]
    known: tuple[Request, Judgement] | None = getattr(_last, "known", None)
    if known is not None and known[0] is request:
        return known[1]
    found = step_judge().judge(request.messages, request.tools, request.response_schema)
    _last.known = (request, found)
    if prefix is not None:
        if len(_judged) >= MOST_JUDGED:
            _judged.clear()
        _judged[prefix] = (request.tools, request.response_schema, found)
    return found


@lru_cache(maxsize=1024)
def job_of_prompt(prompt: str) -> str | None:
    """Return the kind of work that a system prompt asks for whatever the user says, or `None` where it is not surely one.

    Example:
        >>> job_of_prompt("You write titles for conversations."), job_of_prompt("You are a helpful assistant.")
        ('title', None)
    """
    try:
        judge = step_judge()
    except DataError:
        return job_of(prompt)
    kind = judge.judge([SystemMessage(prompt), HumanMessage(_ANY_REQUEST)]).kind
    return kind if kind in _JOBS else None


def explain(request: Request, most: int = 8) -> list[tuple[str, float]]:
    """Return the words that weighed most in whether the step looks hard; they are words of the prompt and are kept nowhere.

    Example:
        >>> len(explain(Request("Prove that the series converges."), most=2))
        2
    """
    return step_judge().explain(request.messages, request.tools, request.response_schema, most)
