"""Finds where a peer does better than langroute."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

from provider import PRICES
from tables import points

OURS = {"langroute_default", "langroute_fixed", "langroute_gateway"}


def rank(fault: str, got: str) -> int:
    """Return how good an end is for a caller: 3 is an answer (or, for a wrong request, an error), 0 half an answer without a word."""
    if fault == "wrong":
        return 3 if got.startswith("error") else 0
    if got == "other":
        return 3
    if got.startswith("error"):
        return 2
    return 1 if "then" in got else 0


def ahead(found: Any) -> list[str]:
    """Return a line for each cell in which a peer does better."""
    return [
        *_timed(found),
        *_looped(found),
        *_imported(found),
        *_failing(found),
        *_gateways(found),
        *_cached(found),
        *_served(found),
        *_routed(found),
        *_tasks(found),
    ]


def _median(turns: list[dict[str, Any]], *path: str) -> float:
    values = []
    for turn in turns:
        value: Any = turn
        for name in path:
            value = value[name]
        values.append(float(value))
    return statistics.median(values)


def _won(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> str:
    """Return the cases in which a peer adds less than langroute, with both times; empty where there is none."""
    both = ((case, _median(theirs, case, "adds"), _median(ours, case, "adds")) for case in theirs[0])
    return "; ".join(f"{case} {one:,.0f} against {own:,.0f}" for case, one, own in both if one < own)


def _timed(found: Any) -> list[str]:
    known, lines = found.of("overhead"), []
    for key, turns in known.items():
        group = found.subjects[key]["group"]
        # Who judges is compared with who judges; all others with langroute where it judges nothing.
        ours = "langroute_default" if group == "judges" else "langroute_fixed"
        if key in OURS or ours not in known:
            continue
        if won := _won(turns, known[ours]):
            lines.append(f"**{found.name(key)}** adds less than {found.name(ours)}, µs: {won}.")
    return lines


def _looped(found: Any) -> list[str]:
    known, lines = found.of("agents"), []
    own = known.get("agent_langroute")
    for key, turns in known.items():
        if own is None or key.startswith("agent_langroute"):
            continue
        if won := _won(turns, own):
            lines.append(f"**{found.name(key)}** adds less to an agent's call than {found.name('agent_langroute')}, µs: {won}.")
    return lines


def _imported(found: Any) -> list[str]:
    known, lines = found.of("import"), []
    own = known.get("langroute_default")
    for key, turns in known.items():
        if key in OURS or own is None:
            continue
        for what, unit in (("ms", "ms"), ("mb", "MB")):
            theirs, mine = _median(turns, what), _median(own, what)
            # Who does not need LangChain's core is compared with langroute and the core.
            mine += 0.0 if _median(turns, f"core_{what}") else _median(own, f"core_{what}")
            if theirs < mine:
                lines.append(f"**{found.name(key)}** imports with less: {theirs:,.1f} {unit} against {mine:,.1f}.")
    return lines


def _failing(found: Any) -> list[str]:
    known, lines = found.of("faults"), []
    for key, turns in known.items():
        ours = "langroute_gateway" if found.subjects[key]["group"] == "gateway" else "langroute_default"
        if key in OURS or ours not in known:
            continue
        fewer = []
        for fault, theirs in turns[0].items():
            mine = known[ours][0][fault]
            better, worse = rank(fault, theirs["got"]), rank(fault, mine["got"])
            if better > worse:
                lines.append(
                    f"**{found.name(key)}**, `{fault}`: {theirs['got']}, where {found.name(ours)} ends with {mine['got']}."
                )
            elif better == worse == 3 and sum(theirs["asked"].values()) < sum(mine["asked"].values()):
                fewer.append(f"`{fault}`")
        if fewer:
            lines.append(
                f"**{found.name(key)}** comes to the same end with fewer calls, as {found.name(ours)} asks the same model again first: {', '.join(fewer)}."
            )
    return lines


def _gateways(found: Any) -> list[str]:
    told = found.found["probes"].get("gateways", {})
    own, lines = told.get("langroute serve"), []
    for name, peer in told.items():
        if own and isinstance(peer, dict) and not name.startswith("langroute"):
            lines += _gateway(name, peer, own)
    return lines


def _gateway(name: str, peer: dict[str, Any], own: dict[str, Any]) -> list[str]:
    lines = [
        f"**{name}**, {size}, {what}: adds {peer[size][what]:.1f} ms against {own[size][what]:.1f}."
        for size in ("2 kB", "77 kB")
        for what in ("first", "whole")
        if peer[size][what] < own[size][what]
    ]
    if peer["rate"] > own["rate"]:
        lines.append(f"**{name}** answers {peer['rate']:.0f} requests a second, `langroute serve` {own['rate']:.0f}.")
    if peer["cpu"] < own["cpu"]:
        lines.append(f"**{name}** takes {peer['cpu']:.1f} ms of processor time for a request, `langroute serve` {own['cpu']:.1f}.")
    if peer["memory"] < own["memory"]:
        lines.append(f"**{name}** begins with {peer['memory']:.0f} MB, `langroute serve` with {own['memory']:.0f}.")
    return lines


def bill(log: list[dict[str, Any]]) -> dict[str, float]:
    """Return what a thread came to at the provider."""
    usd = total = cached = 0.0
    switches = sum(one["model"] != other["model"] for one, other in itertools.pairwise(log))
    for one in log:
        rate, read, _, output = PRICES[one["model"]]
        fresh = one["prompt_tokens"] - one["cached_tokens"]
        usd += (fresh * rate + one["cached_tokens"] * read + 40 * output) / 1e6
        total, cached = total + one["prompt_tokens"], cached + one["cached_tokens"]
    small = sum(one["model"] == "small" for one in log)
    return {"steps": len(log), "small": small, "switches": switches, "cached": cached / max(1.0, total), "usd": usd}


def _cached(found: Any) -> list[str]:
    known, lines = found.of("thread"), []
    for key, turns in known.items():
        ours = "langroute_gateway" if found.subjects[key]["group"] == "gateway" else "langroute_default"
        if key in OURS or ours not in known:
            continue
        theirs, own = bill(turns[0]["log"]), bill(known[ours][0]["log"])
        if theirs["cached"] > own["cached"]:
            lines.append(
                f"**{found.name(key)}** keeps more of the thread's prompt in the provider's cache: {theirs['cached']:.1%} against {own['cached']:.1%}; "
                f"{theirs['small']:.0f} of {theirs['steps']:.0f} calls went to the small model, langroute's {own['small']:.0f}."
            )
    return lines


def _served(found: Any) -> list[str]:
    lines = []
    for name, one in found.found["probes"].get("pairs", {}).get("sets", {}).items():
        own = next(((hits, false) for key, _, hits, false in one["rows"] if key == "langroute_cache"), None)
        better = [
            f"{label} {hits:,}, {false:,}"
            for key, label, hits, false in one["rows"]
            if own is not None and key != "langroute_cache" and hits > own[0] and "langroute's hits" not in label
        ]
        if own and better:
            lines.append(
                f"{name} pairs: more hits than langroute's semantic cache, and false hits ({own[0]:,}, {own[1]:,}): {'; '.join(better)}."
            )
    return lines


def _routed(found: Any) -> list[str]:
    """Compare with the default, and with the best of the rows that nothing was fitted for on the source, as peers have their best one there."""
    rows = found.found["probes"].get("questions", {}).get("found", {})
    lines = []
    for kind in rows.get("langroute's default", {}):
        asked = [label for label, one in rows.items() if label.startswith("langroute's `LossPerDollar`") and kind in one]
        best = max(asked, key=lambda label: rows[label][kind]["above"], default=None)
        lines += _routed_than("langroute's default", kind, rows)
        lines += _routed_than(best, kind, rows) if best else []
    return lines


def _routed_than(label: str, kind: str, rows: dict[str, Any]) -> list[str]:
    own = rows[label][kind]
    better = [
        f"{name} {_above(one[kind])}"
        for name, one in rows.items()
        if "langroute" not in name and kind in one and round(one[kind]["above"] - own["above"], 1) > 0
    ]
    if not better:
        return []
    return [
        f"Recorded questions, {kind} pairs of models: more points above the mix, at their share of the large model's cost, than {label} ({_above(own)}): {'; '.join(better)}."
    ]


def _above(one: dict[str, Any]) -> str:
    return f"{points(one['above'])} ± {one['error']:.1f} at {one['usd']:.0f} %"


def _tasks(found: Any) -> list[str]:
    lines = []
    for source, one in found.found["probes"].get("tasks", {}).get("found", {}).items():
        own = one["rows"]["langroute's autopilot"]
        better = [
            f"{label} {row['worth']:,.0f}"
            for label, row in one["rows"].items()
            if "langroute" not in label and row["worth"] > own["worth"]
        ]
        if better:
            lines.append(
                f"Recorded tasks, {source}: worth more, USD, than langroute's autopilot ({own['worth']:,.0f}): {'; '.join(better)}."
            )
    return lines
