"""Outcomes that are reported over HTTP: what came of a session, a task or a decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from langroute.core.errors import InputError
from langroute.core.records import Outcome
from langroute.gateway.clients import Caller
from langroute.ledger.facts import Labels
from langroute.tracking.outcomes import Outcomes

_FIELDS = {
    "success": (bool,),
    "score": (int, float),
    "key": (str,),
    "source": (str,),
    "comment": (str,),
    "human_minutes": (int, float),
    "baseline_minutes": (int, float),
    "value_usd": (int, float),
    "at": (int, float),
}
_ABOUT = ("session", "task_id", "decision_id")
MAX_TEXT = 2000


def recorded_outcome(body: bytes, record: Callable[[Outcome], None], caller: Caller, ledger: Any = None) -> dict[str, Any]:
    """Record the outcome that a body tells; return what was understood.

    A client with a name tells of its own user's and its team's sessions only: outcomes are learned from, and withdraw answers.

    Args:
        body: A JSON object with `session`, `task_id` or `decision_id`, and arguments of `langroute.record_outcome`.
        record: Passes an outcome on.
        caller: Who tells it.
        ledger: Knows whose a session or decision is.

    Raises:
        InputError: The body tells no outcome, or one of somebody else's session.
        LedgerError: The ledger cannot say whose session it is.

    Example:
        >>> heard = []
        >>> recorded_outcome(b'{"session": "s1", "success": true, "source": "tests"}', heard.append, Caller())
        {'recorded': True, 'about': 's1'}
        >>> heard[0].task_id, heard[0].success, heard[0].source
        ('s1', True, 'tests')
    """
    told = _object(body)
    unknown = sorted(set(told) - {*_FIELDS, *_ABOUT})
    if unknown:
        raise InputError(f"{unknown[0][:100]!r} is none of {', '.join((*_ABOUT, *_FIELDS))}.")
    about = {name: told[name] for name in _ABOUT if told.get(name) is not None}
    if len(about) != 1 or not all(isinstance(value, str) and 0 < len(value) <= MAX_TEXT for value in about.values()):
        raise InputError("An outcome is about one thing: give session, task_id or decision_id, as a text.")
    given: dict[str, Any] = {}
    for name, kinds in _FIELDS.items():
        value = told.get(name)
        if value is None:
            continue
        if (
            not isinstance(value, kinds)
            or (isinstance(value, bool) and bool not in kinds)
            or (isinstance(value, str) and len(value) > MAX_TEXT)
        ):
            raise InputError(f"{name} cannot be {value!r:.60}.")
        given[name] = value
    ((name, value),) = about.items()
    of = {"decision_id" if name == "decision_id" else "task_id": value}
    if _is_anothers(ledger, caller, of):
        raise InputError(
            f"{value[:100]!r} is not of the client {caller.name!r}. A client tells outcomes of its own sessions and of its team's: "
            "give both clients one team in langroute.toml, or tell it with the gateway's own token."
        )
    Outcomes(_Told(record)).record(**of, **{"source": caller.name or "user", **given})
    return {"recorded": True, "about": value}


def _is_anothers(ledger: Any, caller: Caller, of: dict[str, Any]) -> bool:
    ask = getattr(ledger, "made_for", None)
    return caller.name is not None and callable(ask) and ask(Labels(team=caller.team, user=caller.user), **of) is False


class _Told:
    """What `Outcomes` records to: a function."""

    def __init__(self, record: Callable[[Outcome], None]) -> None:
        self.record_outcome = record


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("The body is not JSON.") from error
    if not isinstance(told, dict):
        raise InputError("The body is a JSON object.")
    return told


__all__ = ["recorded_outcome"]
