"""Model card of a fitted policy, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langroute.core.plain_text import one_line
from langroute.estimators.plan import Plan
from langroute.estimators.store import Group, Point, PolicyFile
from langroute.learning.agreement import NO_PRICE


def card_of(policy: PolicyFile) -> str:
    """Return the card of a policy, in Markdown."""
    lines = [
        "# A fitted routing policy",
        "",
        f"Made by langroute {policy.made_with} with seed {policy.seed}. The same files and seed give the same bytes.",
        "",
        "## Data",
        "",
        *(f"- `{_code(one['file'])}`, sha256 `{one['sha256'][:16]}…`{_dates(one)}" for one in policy.data),
        "",
        "Quality and cost below are cross-fitted: every request was judged by models that had not seen it. What a setting owes to",
        "having been chosen on this data is taken off its quality. Intervals are 95 %.",
        "They hold for traffic like this; `langroute alert` compares later outcomes with them.",
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


_MARKS = re.compile(r"([\\`*_\[\]<>|#!])")


def _text(name: str) -> str:
    r"""Return a name escaped as Markdown text, so that it cannot begin a link, image, element or table column.

    Example:
        >>> _text("a|b\n# c"), _text("gpt-4.1-mini")
        ('a\\|b \\# c', 'gpt-4.1-mini')
    """
    return _MARKS.sub(r"\\\1", one_line(name))


def _code(name: str) -> str:
    """Return a name for use between backticks, its own backticks replaced."""
    return one_line(name).replace("`", "'")


def _dates(one: Mapping[str, Any]) -> str:
    return f", {one['first']} to {one['last']}" if one.get("first") else ", no dates in the data"


def _group(group: Group) -> list[str]:
    facts = group.facts
    lines = [
        "",
        f"## Routes compared with `{_code(group.frontier)}`",
        "",
        f"{facts['requests']} requests, {facts['complete']} of them with a scored outcome of every route"
        + (f"; sources: {', '.join(map(_text, facts['sources']))}" if facts["sources"] else "")
        + f"; {len(facts['tasks'])} task kinds. A perfect choice would reach {facts['oracle']:.1%}.",
        "",
        "| route | quality | mean cost, USD | calibration error | solves what the frontier does not | fails what it solves |",
        "|---|---|---|---|---|---|",
    ]
    for name in sorted(facts["quality"], key=lambda route: -facts["quality"][route]):
        rescue = facts["rescue"].get(name)
        both = f"{rescue['rescue']:.1%} | {rescue['loss']:.1%}" if rescue else "– | –"
        lines.append(
            f"| {_text(name)} | {facts['quality'][name]:.1%} | {facts['mean_cost_usd'][name]:.3g} "
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
            lines.append(f"- target {point.target:g}: {_order(group, point.plan)}")  # type: ignore[arg-type]
    return lines


def _order(group: Group, plan: Plan) -> str:
    order = " → ".join(_text(group.routes[place]) for place in plan.order)
    if plan.price_of_quality > NO_PRICE:
        return order
    return f"{order}, which must agree; else {_text(group.routes[plan.stages[-1].actions[-1]])}"


def _point(point: Point) -> str:
    said = point.promised
    single = "the best single route"
    learned = single if point.tolerance is None else f"Learned, tolerance {point.tolerance:.3g}"
    kind = "LearnedCascade" if point.plan is not None else learned
    return (
        f"| {point.target:g} | {kind} | {said['quality']:.1%} ({said['quality_low']:.1%} to {said['quality_high']:.1%}) "
        f"| {said['relative']:.1%} ({said['relative_low']:.1%} to {said['relative_high']:.1%}) "
        f"| {said['cost_ratio']:.1%} | {said['lost']} | {said['gained']} |"
    )
