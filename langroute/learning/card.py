"""What should a reader know of a fitted policy before trusting it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.estimators.store import Group, Point, PolicyFile


def card_of(policy: PolicyFile) -> str:
    """The card, in Markdown."""
    lines = [
        "# A fitted routing policy",
        "",
        f"Made by langroute {policy.made_with} with seed {policy.seed}. The same files and seed give the same bytes.",
        "",
        "## Data",
        "",
        *(f"- `{one['file']}`, sha256 `{one['sha256'][:16]}…`{_dates(one)}" for one in policy.data),
        "",
        "Quality and cost below are cross-fitted: every request was judged by models that had not seen it. What a setting owes to",
        "having been chosen on this data is taken off its quality. Intervals are 95 %.",
        "They hold for traffic like this; `langroute check` compares later outcomes with them.",
    ]
    for group in policy.groups:
        lines += _group(group)
    lines += [
        "",
        "## What it does not know",
        "",
        "- Requests unlike these: other languages, tasks or tools. Their estimates are pulled towards the averages above.",
        "- A route that changed behind its name. Fit again, or put a new name to it.",
        "- What a longer conversation did before this step, beyond its shape and the latest messages.",
        "",
    ]
    return "\n".join(lines)


def _dates(one: Mapping[str, Any]) -> str:
    return f", {one['first']} to {one['last']}" if one.get("first") else ", no dates in the data"


def _group(group: Group) -> list[str]:
    facts = group.facts
    lines = [
        "",
        f"## Routes compared with `{group.frontier}`",
        "",
        f"{facts['requests']} requests, {facts['complete']} of them with a scored outcome of every route"
        + (f"; sources: {', '.join(facts['sources'])}" if facts["sources"] else "")
        + f"; {len(facts['tasks'])} task kinds. A perfect choice would reach {facts['oracle']:.1%}.",
        "",
        "| route | quality | mean cost, USD | calibration error | solves what the frontier does not | fails what it solves |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(facts["quality"], key=lambda route: -facts["quality"][route]):
        rescue = facts["rescue"].get(name)
        both = f"{rescue['rescue']:.1%} | {rescue['loss']:.1%}" if rescue else "– | –"
        lines.append(
            f"| {name} | {facts['quality'][name]:.1%} | {facts['mean_cost_usd'][name]:.3g} "
            f"| {facts['calibration_error'][name]:.3f} | {both} |"
        )
    lines += [
        "",
        "| target | policy | quality | relative to the frontier | cost of the frontier's | answers lost | gained |",
        "|---|---|---|---|---|---|---|",
        *(_point(point) for point in group.points),
        "",
        "*Lost* counts requests of this data that the frontier solved and the policy would not have; *gained* the opposite.",
    ]
    plans = [point for point in group.points if point.plan is not None]
    if plans:
        lines += ["", "Cascades ask, in order, and stop or go up after any answer:", ""]
        for point in plans:
            order = " → ".join(group.routes[place] for place in point.plan.order)  # type: ignore[union-attr]
            lines.append(f"- target {point.target:g}: {order}")
    return lines


def _point(point: Point) -> str:
    said = point.promised
    kind = "LearnedCascade" if point.plan is not None else f"Learned, tolerance {point.tolerance:.3g}"
    return (
        f"| {point.target:g} | {kind} | {said['quality']:.1%} ({said['quality_low']:.1%} to {said['quality_high']:.1%}) "
        f"| {said['relative']:.1%} ({said['relative_low']:.1%} to {said['relative_high']:.1%}) "
        f"| {said['cost_ratio']:.1%} | {said['lost']} | {said['gained']} |"
    )
