"""What decisions and outcomes make of an autopilot's document, in whichever order and from whichever worker they come.

The document has the sums of each family, which arms are proven or out, and every change of mind with its numbers. An entry for each task
says which arm it has, what it has cost, and what was told of it; it expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log
from typing import Any

from langroute.policies.anytime import Pairs, Tally, interval, log_evidence, log_evidence_below
from langroute.policies.autopilot_arms import ALL, ArmStanding, PilotSetup, solved_by, sums_of, tolerated

MOST_FAMILIES = 100
"""Most families with sums of their own; a task of a further one counts in the wider ones."""

MOST_CHANGES = 200
"""Most changes of mind that are kept; of more, the oldest are forgotten."""

BLOCK = 500
"""Outcomes of a proven arm after which the watch over it begins anew, so that a long good past hides no change."""

ADOPTED, DROPPED, HELD, RESUMED = "adopted", "dropped", "held", "resumed"
"""Kinds of changes: proven and given the family's tasks; worse than tolerated and taken off; taken off by a person; tried again."""


class AutopilotFold:
    """Adds decisions and outcomes up, and changes its mind where they prove something.

    Args:
        setup: The autopilot's.

    Example:
        >>> from langroute.policies.autopilot_arms import PilotArm
        >>> fold = AutopilotFold(PilotSetup("large", (PilotArm("small", ("small",)),), margin=0.1))
        >>> document, entries = {}, {"t": {}, "d": {}}
        >>> fold.add(document, entries, ("task", "t", 1.0, 0.0))
        >>> fold.add(document, entries, ("decided", "t", "d", "small", ["all"], 0.25, {}))
        >>> document["families"]["all"]["sums"]["small"]
        [1, 1.0, 1, 0.25, 0.0625]
    """

    keep_seconds = 7 * 86400.0

    def __init__(self, setup: PilotSetup) -> None:
        self.setup = setup

    def keys(self, event: tuple[Any, ...]) -> Iterable[str]:
        """Return the keys of the task and of the decision that an event is about."""
        if event[0] == "pair":
            return ()
        return event[1:3] if event[0] == "decided" else event[1:2]

    def follows(self, entry: Mapping[str, Any]) -> str | None:
        """Return the task of a decision."""
        return entry.get("of")

    def add(self, document: dict[str, Any], sides: dict[str, Any], event: tuple[Any, ...]) -> None:
        """Count what an event says."""
        if "setup" not in document:
            document.update(setup=self.setup.document(), families={}, changes=[], seen=0)
        document["seen"] += 1
        if event[0] == "decided":
            self._decided(document, sides, *event[1:])
        elif event[0] == "pair":
            self._paired(document, *event[1:])
        elif event[0] == "task":
            self._told(document, sides, event[1], *event[2:])
        elif "of" in sides[event[1]]:
            self._told(document, sides, sides[event[1]]["of"], *event[2:])
        else:
            sides[event[1]] = {"score": event[2], "at": event[3]}

    # Decisions -------------------------------------------------------------------------------------------------------

    def _decided(
        self,
        document: dict[str, Any],
        sides: dict[str, Any],
        task: str,
        decision: str,
        arm: str,
        path: Sequence[str],
        cost: float | None,
        ratios: Mapping[str, float],
    ) -> None:
        if ratios and "ratios" not in document:
            document["ratios"] = dict(ratios)
        waiting = [(entry["score"], entry["at"]) for entry in (sides[task], sides[decision]) if "score" in entry]
        if sides[decision].get("of"):
            return
        entry = sides[task]
        if "arm" not in entry:
            families = document["families"]
            kept = [key for key in path if key in families or len(families) < MOST_FAMILIES]
            for key in kept:
                given = families.setdefault(key, {}).setdefault("given", {})
                given[arm] = given.get(arm, 0) + 1
            entry = {"arm": arm, "path": kept, "cost": 0.0}
        paid = None if cost is None or entry["cost"] is None else entry["cost"] + cost
        if "counted" in entry and paid is not None:
            self._add_cost(document, entry, paid)
        sides[task], sides[decision] = {**entry, "cost": paid}, {"of": task}
        for score, at in waiting:
            self._told(document, sides, task, score, at)

    @staticmethod
    def _add_cost(document: dict[str, Any], entry: Mapping[str, Any], paid: float) -> None:
        """Correct the sums by what a task has cost since its outcome was told."""
        for key in entry["path"]:
            sums = document["families"][key].get("sums", {}).get(entry["arm"])
            if sums is not None:
                sums[3] += paid - entry["cost"]
                sums[4] += paid**2 - entry["cost"] ** 2

    # Outcomes --------------------------------------------------------------------------------------------------------

    def _told(self, document: dict[str, Any], sides: dict[str, Any], task: str, score: float, at: float) -> None:
        entry = sides[task]
        if "arm" not in entry:
            sides[task] = {"score": score, "at": at}
            return
        before = entry.get("counted")
        if before is not None and at < entry.get("told", 0.0):
            # Workers hear of an outcome one after another; an older one is not the last word.
            return
        sides[task] = {**entry, "counted": score, "told": at}
        for key in entry["path"]:
            level = document["families"].setdefault(key, {})
            _count(level, entry["arm"], score, before, entry["cost"])
            _watch(level, self.setup.baseline, entry["arm"], score, before)
        self._judge(document, entry["path"], entry["arm"], at)

    def _paired(self, document: dict[str, Any], path: Sequence[str], arm: str, told: Mapping[str, Any], at: float) -> None:
        """Count a task that an arm and the baseline both did."""
        families = document["families"]
        kept = [key for key in path if key in families or len(families) < MOST_FAMILIES]
        for key in kept:
            _count_pair(families.setdefault(key, {}), arm, self.setup.baseline, **told)
        self._judge(document, kept, arm, at)

    # Judging ---------------------------------------------------------------------------------------------------------

    def _judge(self, document: dict[str, Any], path: Sequence[str], arm: str, at: float) -> None:
        """Change the mind about the arms that an outcome says something of, in each family of its task."""
        for place, key in enumerate(path):
            levels = [document["families"][one] for one in path[: place + 1]]
            standing, level = ArmStanding.of(levels), levels[-1]
            for other in self.setup.arms:
                if arm not in (other.name, self.setup.baseline) or other.name in standing.out:
                    continue
                if other.name in standing.proven:
                    if (why := self._harm(level, other.name)) is not None:
                        self._change(document, key, other.name, DROPPED, why, at)
                else:
                    self._try(document, key, other.name, at)

    def _try(self, document: dict[str, Any], key: str, arm: str, at: float) -> None:
        level = document["families"][key]
        old, new = sums_of(level, self.setup.baseline), sums_of(level, arm)
        if not new.compared and min(old.tally.size, new.tally.size) < 2:
            return
        margin = tolerated(self.setup, level, arm)
        better = new.tally.mean - old.tally.mean + margin if new.tally.size else 1.0
        # The sign of the mean says which of the two can be proven at all; pairs may say otherwise.
        if (better > 0 or new.compared) and log_evidence(new.tally, old.tally, -margin, new.pairs) >= self.setup.needed:
            self._change(document, key, arm, ADOPTED, f"not worse than {_tolerance(self.setup, margin)}", at)
        elif (better < 0 or new.compared) and log_evidence_below(new.tally, old.tally, -margin, new.pairs) >= self.setup.needed:
            self._change(document, key, arm, DROPPED, f"worse than {_tolerance(self.setup, margin)}", at)

    def _harm(self, level: Mapping[str, Any], arm: str) -> str | None:
        """Return why a proven arm is harmful now: by its outcomes since, against the hold-out since and the baseline as it always was."""
        watch = level.get("watch", {}).get(arm)
        if watch is None or watch[0] < 5:
            return None
        margin = tolerated(self.setup, level, arm)
        since = Tally(watch[0], watch[1])
        # The watch begins again and again, so each round has a smaller part of the probability of a false alarm.
        needed = self.setup.needed + log(2 * watch[4] * (watch[4] + 1))
        for old, said in (
            (Tally(watch[2], watch[3]), "the tasks held out since"),
            (sums_of(level, self.setup.baseline).tally, "the baseline's tasks"),
        ):
            if since.mean - old.mean + margin < 0 and log_evidence_below(since, old, -margin) >= needed:
                return f"solves {since.mean:.3f} of {since.size:.0f} tasks since it was adopted, {said} {old.mean:.3f} of {old.size:.0f}"
        return None

    def _change(self, document: dict[str, Any], key: str, arm: str, kind: str, why: str, at: float) -> None:
        level = document["families"][key]
        old, new = sums_of(level, self.setup.baseline), sums_of(level, arm)
        low, high = interval(new.tally, old.tally, self.setup.beyond, new.pairs)
        record_change(
            document,
            key,
            arm,
            kind,
            why,
            at,
            difference=round(solved_by(level, self.setup, arm).mean - solved_by(level, self.setup, self.setup.baseline).mean, 4),
            low=round(low, 4),
            high=round(high, 4),
            tasks=[old.tally.size, new.tally.size, round(new.compared)],
            costs=[old.mean_cost, new.mean_cost],
        )


def record_change(document: dict[str, Any], key: str, arm: str, kind: str, why: str, at: float, **numbers: Any) -> None:
    """Change what counts as proven or as out in a family, and write the change down."""
    level = document["families"].setdefault(key, {})
    proven, out = level.setdefault("proven", []), level.setdefault("out", [])
    for names in (proven, out):
        if arm in names:
            names.remove(arm)
    if kind == ADOPTED:
        proven.append(arm)
        level.setdefault("watch", {})[arm] = [0, 0.0, 0, 0.0, 1]
    elif kind in (DROPPED, HELD):
        out.append(arm)
    else:
        # What was known of it is what the person who resumes it does not believe.
        for sums in ("sums", "pairs", "judged", "both", "watch", "given"):
            level.get(sums, {}).pop(arm, None)
    document["number"] = document.get("number", 0) + 1
    change = {"number": document["number"], "at": at, "family": key, "arm": arm, "change": kind, "why": why, **numbers}
    document["changes"] = [*document["changes"][1 - MOST_CHANGES :], change]


def undo(document: dict[str, Any], *, family: str | None, number: int | None, at: float) -> dict[str, Any] | None:
    """Take back the latest change of mind of a family, or the one of a number; return it, or `None` where there is none.

    What was adopted is held; what was dropped or held is tried again, from the beginning.
    """
    for change in reversed(document.get("changes", [])):
        meant = change["number"] == number if number is not None else change["family"] == (family or ALL)
        if meant and not change.get("undone"):
            change["undone"] = True
            kind = HELD if change["change"] in (ADOPTED, RESUMED) else RESUMED
            record_change(document, change["family"], change["arm"], kind, f"change {change['number']} undone", at)
            return dict(change)
    return None


def hold(document: dict[str, Any], *, family: str | None, arm: str, at: float) -> dict[str, Any] | None:
    """Take an arm off in a family, by a person's word; return the change, or `None` where there is no such arm or family."""
    names = [name for name, *_ in document.get("setup", {}).get("arms", ())]
    if arm not in names or (family or ALL) not in {ALL, *document.get("families", ())}:
        return None
    record_change(document, family or ALL, arm, HELD, "held by a person", at)
    return dict(document["changes"][-1])


def _count(level: dict[str, Any], arm: str, score: float, before: float | None, cost: float | None) -> None:
    sums = level.setdefault("sums", {}).setdefault(arm, [0, 0.0, 0, 0.0, 0.0])
    if before is not None:
        # The same task, told again: what was told last counts.
        sums[1] += score - before
        return
    sums[0], sums[1] = sums[0] + 1, sums[1] + score
    if cost is not None:
        sums[2], sums[3], sums[4] = sums[2] + 1, sums[3] + cost, sums[4] + cost * cost


def _count_pair(
    level: dict[str, Any],
    arm: str,
    baseline: str,
    new: float,
    old: float,
    new_cost: float | None,
    old_cost: float | None,
    agreement: float | None,
) -> None:
    where, strength = ("pairs", 1.0) if agreement is None else ("judged", 2 * agreement - 1)
    known = Pairs(*level.get(where, {}).get(arm, (0.0, 0.0, 0.0, strength)))
    # Of several judges, the one that agrees least with outcomes says what all of them are worth.
    level.setdefault(where, {})[arm] = [*known.add(new - old)[:3], min(known.strength, strength)]
    if agreement is None:
        count, solved, before = level.setdefault("both", {}).get(arm, (0, 0.0, 0.0))
        level["both"][arm] = [count + 1, solved + new, before + old]
    for name, cost in ((arm, new_cost), (baseline, old_cost)):
        if cost is not None:
            sums = level.setdefault("sums", {}).setdefault(name, [0, 0.0, 0, 0.0, 0.0])
            sums[2], sums[3], sums[4] = sums[2] + 1, sums[3] + cost, sums[4] + cost * cost


def _watch(level: Mapping[str, Any], baseline: str, arm: str, score: float, before: float | None) -> None:
    if before is not None:
        return
    for name, watch in level.get("watch", {}).items():
        if arm == name:
            if watch[0] >= BLOCK:
                watch[:] = [0, 0.0, 0, 0.0, watch[4] + 1]
            watch[0], watch[1] = watch[0] + 1, watch[1] + score
        elif arm == baseline:
            watch[2], watch[3] = watch[2] + 1, watch[3] + score


def _tolerance(setup: PilotSetup, margin: float) -> str:
    if setup.value_usd is None:
        return f"the baseline by {margin:g}"
    return f"the baseline by the {margin:.3f} solved tasks that it saves at {setup.value_usd:g} USD each"


__all__ = ["ADOPTED", "DROPPED", "HELD", "RESUMED", "AutopilotFold", "hold", "record_change", "undo"]
