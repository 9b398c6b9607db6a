"""How an autopilot stands, from its document alone: families, arms, intervals, and what it waits for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isinf
from typing import Any, NamedTuple

from langroute.core.errors import ConfigurationError, StateError
from langroute.policies.anytime import interval, more_needed
from langroute.policies.autopilot_arms import ALL, BEGIN, ArmStanding, ArmSums, PilotSetup, shares_of, solved_by, sums_of, tolerated
from langroute.policies.autopilot_fold import hold, undo
from langroute.state.shared import DOCUMENT, TRIES
from langroute.state.store import Change

INDEX = "autopilots"
"""Space of the store that has the names of its autopilots."""

MOST_NAMES = 100
"""Most autopilots of a store that are listed."""

BASELINE, ADOPTED, TRIAL, OUT = "baseline", "adopted", "on trial", "out"
"""States of an arm in a family."""

TELL = "outcomes: record_outcome(router, True, task_id=...) after each task"


@dataclass(frozen=True, slots=True)
class ArmStatus:
    """How an arm stands in a family."""

    name: str
    state: str
    """`baseline`, `adopted`, `on trial` or `out`."""

    share: float
    """Share of the family's next tasks that it gets."""

    given: int
    """Tasks that it was given."""

    told: int
    """Those of them with an outcome."""

    success: float | None
    """Mean outcome."""

    cost_usd: float | None
    """Mean cost of a task."""

    spent_usd: float | None
    """What those of its tasks cost that have an outcome and a known cost; `None` where there are none."""

    low: float
    high: float
    """Ends of the anytime-valid interval of its mean outcome less the baseline's."""

    tolerated: float
    """By how much less it may solve: the margin, or what it saves in solved tasks."""

    pairs: int
    """Tasks that it and the baseline both did."""

    more: float | None
    """Further outcomes in the family until it is proven, if rates stay as they are; infinity where they would not do; `None` where nothing
    is awaited or nothing known yet."""


@dataclass(frozen=True, slots=True)
class FamilyStatus:
    """How a family stands."""

    family: str
    arms: tuple[ArmStatus, ...]
    """The baseline first."""

    waits_for: str
    saved_usd: float | None
    """What the tasks with outcomes cost less than at the baseline's mean cost; `None` where costs are unknown."""

    more_solved: float
    """How many more of them were solved than at the baseline's rate."""

    @property
    def verdict(self) -> str:
        """What is known by now, in a line: which arm has most of the next tasks, and why."""
        most = max(self.arms, key=lambda arm: (arm.share, arm.state != TRIAL))
        proof = {ADOPTED: ", by proof", TRIAL: ", not proven yet"}.get(most.state, "")
        tried = ", ".join(arm.name for arm in self.arms if arm.state == TRIAL and arm.share > 0 and arm is not most)
        return f"{most.name} has {most.share:.0%} of the tasks{proof}{f'; on trial: {tried}' if tried else ''}"


def told_apart(families: Sequence[FamilyStatus]) -> list[FamilyStatus]:
    """Return families without those that say the same as a wider one: where all tasks are of one kind, there is one to show."""
    found: list[FamilyStatus] = []
    for family in families:
        if all(family.arms != other.arms for other in found):
            found.append(family)
    return found


def status_of(
    document: Mapping[str, Any], setup: PilotSetup | None = None, ratios: Mapping[str, float] | None = None
) -> list[FamilyStatus]:
    """Return how each family stands, the widest first.

    Args:
        document: The autopilot's document.
        setup: The autopilot's, where the document has none yet.
        ratios: Price of each arm by the baseline's, where the document has none yet.

    Example:
        >>> from langroute.policies.autopilot_arms import PilotArm
        >>> setup = PilotSetup("large", (PilotArm("small", ("small",)),), margin=0.02)
        >>> [arm.state for arm in status_of({}, setup)[0].arms]
        ['baseline', 'on trial']
    """
    if "setup" in document:
        setup = PilotSetup.of(document["setup"])
    if setup is None:
        return []
    families = document.get("families", {}) or {ALL: {}}
    ratios = document.get("ratios") or ratios or {}
    return [_family(setup, families, name, ratios) for name in sorted(families, key=lambda one: (one != ALL, one))]


def _family(setup: PilotSetup, families: Mapping[str, Any], name: str, ratios: Mapping[str, float]) -> FamilyStatus:
    wider = [ALL] + [one for one in families if one != ALL and (one == name or name.startswith(f"{one}, "))]
    levels = [
        families[one]
        for one in sorted(set(wider) if name != ALL else {ALL}, key=lambda one: (one != ALL, len(one)))
        if one in families
    ]
    standing, shares = ArmStanding.of(levels), shares_of(setup, levels, ratios)
    arms = tuple(_arm(setup, families[name], one, standing, shares) for one in setup.names)
    base = sums_of(families[name], setup.baseline)
    others = [(arm, sums_of(families[name], arm.name)) for arm in arms[1:]]
    saved = [
        (base.mean_cost - one.mean_cost) * one.costs
        for _, one in others
        if base.mean_cost is not None and one.mean_cost is not None
    ]
    more = sum((one.tally.mean - base.tally.mean) * one.tally.size for _, one in others) if base.tally.size else 0.0
    return FamilyStatus(name, arms, _waits_for(arms, base), sum(saved) if saved else None, more)


def _arm(setup: PilotSetup, level: Mapping[str, Any], name: str, standing: ArmStanding, shares: Mapping[str, float]) -> ArmStatus:
    old, new = sums_of(level, setup.baseline), sums_of(level, name)
    state = BASELINE if name == setup.baseline else OUT if name in standing.out else ADOPTED if name in standing.proven else TRIAL
    margin = tolerated(setup, level, name) if state != BASELINE else 0.0
    low, high = (-1.0, 1.0) if state == BASELINE else interval(new.tally, old.tally, setup.beyond, new.pairs)
    more = _more(setup, old, new, margin) if state == TRIAL else None
    solved = solved_by(level, setup, name)
    success = solved.mean if solved.size else None
    given = level.get("given", {}).get(name, 0)
    share = shares.get(name, 0.0)
    return ArmStatus(
        name,
        state,
        share,
        given,
        int(new.tally.size),
        success,
        new.mean_cost,
        new.cost if new.costs else None,
        low,
        high,
        margin,
        round(new.compared),
        more,
    )


def _more(setup: PilotSetup, old: ArmSums, new: ArmSums, margin: float) -> float | None:
    count = old.tally.size + new.tally.size + new.compared
    if not new.compared and min(old.tally.size, new.tally.size) < BEGIN:
        return None
    times = more_needed(new.tally, old.tally, -margin, setup.needed, new.pairs)
    return inf if isinf(times) else float(round((times - 1) * count))


def _waits_for(arms: Sequence[ArmStatus], base: ArmSums) -> str:
    if base.tally.size < BEGIN and not any(arm.pairs for arm in arms):
        return TELL
    waiting = [arm for arm in arms if arm.state == TRIAL]
    if not waiting:
        return "nothing"
    if all(arm.more is None for arm in waiting):
        return "outcomes of the arms on trial"
    known = [arm for arm in waiting if arm.more is not None and not isinf(arm.more)]
    if not known:
        return "better outcomes: at present rates nothing on trial is good enough"
    soonest = min(known, key=lambda arm: arm.more or 0.0)
    return f"about {soonest.more:,.0f} more outcomes, to prove {soonest.name} at present rates"


# Stores --------------------------------------------------------------------------------------------------------------


class Undoable(NamedTuple):
    """Where an autopilot's document is."""

    store: Any
    space: str

    def read(self) -> dict[str, Any]:
        """Return the document; an empty one where there is none that can be read."""
        return _read(self.store.read(self.space, [DOCUMENT])[0])


def _read(entry: Any) -> dict[str, Any]:
    try:
        found = json.loads(entry.value) if entry.value else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def undo_in(where: Undoable, *, family: str | None = None, number: int | None = None) -> Mapping[str, Any]:
    """Take back a change of mind in a store; see `Autopilot.undo`.

    Raises:
        ConfigurationError: There is no such change.
        StateError: The store is away, or others change it all the time.
    """
    what = f"no change {number}" if number is not None else f"no change of the family {family or ALL!r} that could be undone"
    return _changed(where, lambda document: undo(document, family=family, number=number, at=time.time()), what)


def hold_in(where: Undoable, arm: str, *, family: str | None = None) -> Mapping[str, Any]:
    """Take an arm off in a family, in a store; see `Autopilot.hold`.

    Raises:
        ConfigurationError: There is no such arm or family.
        StateError: The store is away, or others change it all the time.
    """
    what = f"no arm {arm!r} in a family {family or ALL!r}"
    return _changed(where, lambda document: hold(document, family=family, arm=arm, at=time.time()), what)


def _changed(where: Undoable, change: Callable[[dict[str, Any]], dict[str, Any] | None], what: str) -> Mapping[str, Any]:
    for _ in range(TRIES):
        (entry,) = where.store.read(where.space, [DOCUMENT])
        document = _read(entry)
        found = change(document)
        if found is None:
            raise ConfigurationError(f"There is {what}. `langroute autopilot` lists families, arms and changes.")
        document["seen"] = document.get("seen", 0) + 1
        if where.store.commit(where.space, [Change(DOCUMENT, json.dumps(document, separators=(",", ":")), entry.version)]):
            return found
    raise StateError(f"The shared state {where.space!r} changes all the time; try again.")


class IndexFold:
    """Keeps the names of the autopilots that a store has.

    Example:
        >>> document = {}
        >>> IndexFold().add(document, {}, ("checkout",))
        >>> document
        {'names': ['checkout']}
    """

    keep_seconds = 1.0

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """There are no entries beside the document."""
        return ()

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """There is nothing to follow."""
        return None

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Add a name."""
        names = document.setdefault("names", [])
        if event[0] not in names and len(names) < MOST_NAMES:
            names.append(event[0])


def names_in(store: Any) -> list[str]:
    """Return the names of the autopilots that a store has."""
    names = _read(store.read(INDEX, [DOCUMENT])[0]).get("names")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


__all__ = ["ArmStatus", "FamilyStatus", "IndexFold", "Undoable", "hold_in", "names_in", "status_of", "told_apart", "undo_in"]
