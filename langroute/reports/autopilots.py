"""Autopilots of a ledger for people: what they were asked for, how their families stand, what they changed their mind about."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import inspect

from langroute.core.errors import StateError
from langroute.core.plain_text import one_line
from langroute.ledger import schema
from langroute.policies.autopilot_status import FamilyStatus, Undoable, names_in, status_of, told_apart
from langroute.reports.words import usd
from langroute.state.resolve import state_of

MOST_PILOTS = 5
"""Most autopilots on a page."""

MOST_SHOWN = 30
"""Most families of an autopilot on a page."""

LATEST = 20
"""Changes of mind that are shown."""

ON_PAGE = ("name", "state", "share", "given", "told", "success", "cost_usd", "spent_usd", "low", "high", "tolerated", "pairs")
"""What a page has of an arm."""


def autopilots_of(ledger: Any) -> list[dict[str, Any]]:
    """Return the autopilots whose state is in a ledger's database, as plain values; nothing is written there.

    Args:
        ledger: A `SqlLedger`.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.ledger import open_ledger
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     autopilots_of(ledger)
        []
    """
    with ledger.reading() as connection:
        if not inspect(connection).has_table(schema.state.name):
            return []
    store = state_of(ledger)
    try:
        return [_plain(name, Undoable(store, f"autopilot:{name}").read()) for name in names_in(store)[:MOST_PILOTS]]
    except StateError:
        # A role that may read the ledger need not be allowed to read what the workers share.
        return []


def _plain(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    families = told_apart(status_of(document))
    return {
        "id": one_line(name),
        "goal": goal_of(document.get("setup", {})),
        "families": [_family(one) for one in families[:MOST_SHOWN]],
        "left_out": max(0, len(families) - MOST_SHOWN),
        "changes": [said_of(change) for change in document.get("changes", [])[-LATEST:]],
    }


def _family(family: FamilyStatus) -> dict[str, Any]:
    arms = [{key: value for key, value in asdict(arm).items() if key in ON_PAGE} for arm in family.arms]
    return {
        "family": one_line(family.family),
        "verdict": one_line(family.verdict),
        "waits_for": one_line(family.waits_for),
        "saved_usd": family.saved_usd,
        "more_solved": family.more_solved,
        "arms": [arm | {"name": one_line(arm["name"])} for arm in arms],
    }


def goal_of(setup: Mapping[str, Any]) -> str:
    """Return what an autopilot was asked for, from the set-up in its document.

    Example:
        >>> goal_of({"baseline": "large", "margin": 0.02, "value_usd": None})
        'at most 0.02 less solved, baseline large'
    """
    value = setup.get("value_usd")
    goal = f"a solved task is worth {usd(value)}" if value is not None else f"at most {setup.get('margin')} less solved"
    return f"{goal}, baseline {one_line(str(setup.get('baseline')))}"


def said_of(change: Mapping[str, Any]) -> str:
    """Return a change of mind in a line, with its numbers.

    Example:
        >>> said_of({"number": 1, "at": 0, "family": "all", "arm": "small", "change": "held", "why": "held by a person"})
        '1 1970-01-01 00:00 UTC all: small held, held by a person'
    """
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(change.get("at", 0)))
    numbers = ""
    if change.get("low") is not None:
        numbers = f", difference {change.get('difference'):+.3f} [{change['low']:+.3f}, {change['high']:+.3f}]"
    what = f"{change.get('number')} {at} {change.get('family')}: {change.get('arm')} {change.get('change')}, {change.get('why')}"
    return one_line(f"{what}{numbers}{' (undone)' if change.get('undone') else ''}")


__all__ = ["LATEST", "autopilots_of", "goal_of", "said_of"]
