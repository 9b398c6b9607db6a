"""HTML page of the demo: the comparison with a chart, as one self-contained file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from html import escape

from langroute.core.plain_text import one_line
from langroute.demo.compare import STEPS, Comparison, RunResult, Solved
from langroute.demo.learning import LearnedStream
from langroute.policies.autopilot_status import told_apart
from langroute.reports.autopilots import said_of

COLOURS = {"plan": "#7c6bd6", "write": "#2f8f83", "repair": "#d1495b", "summarize": "#e0a030"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #667; --line: #d8dade; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e9eb; --soft: #9aa0aa; --line: #3a3d44; --paper: #17191d; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p, caption { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 1.2rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; } tbody tr:hover { background: color-mix(in srgb, var(--line) 40%, transparent); }
.good { color: light-dark(#157a4f, #56cf95); } .bad { color: light-dark(#c0303f, #ff8590); } .soft { color: var(--soft); }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } svg .soft { fill: var(--soft); } .wide { overflow-x: auto; }
"""


def write_page(comparison: Comparison, learned: LearnedStream | None = None) -> str:
    """Return the page as HTML.

    Args:
        comparison: The runs.
        learned: What an autopilot did after them, where there was one.
    """
    routed, frontier = comparison.run("routed"), comparison.run("always frontier")
    saved = f"{comparison.saved:.0%} less cost" if comparison.saved is not None else "cost unknown"
    first = f"Routed: {routed.solved} of {len(routed.tasks)} tasks solved, always frontier {frontier.solved}; {saved}."
    models = one_line(", ".join(f"{route}: {model}" for route, model in comparison.models.items()))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>langroute demo</title><style>{_STYLE}</style></head><body>
<h1>{escape(first)}</h1>
<p>A coding agent (plan, write, run the tests, repair, summarize) on {len(routed.tasks)} small Python functions, each run for real.
{escape(models)}. {escape(comparison.date)}, {escape(comparison.machine)}; {comparison.elapsed_s:.0f} s in all.</p>
<h2>What it cost, and what for</h2>
{picture(comparison.runs)}
<h2>The runs</h2>
<div class="wide">{_runs(comparison.runs)}</div>
<h2>Where each step went</h2>
<div class="wide">{_went(comparison.runs)}</div>
<h2>Task by task</h2>
<div class="wide">{_tasks(comparison.runs)}</div>
{_learned(learned) if learned is not None else ""}</body></html>
"""


def picture(runs: Iterable[RunResult]) -> str:
    """Return the costs as an SVG chart of stacked bars, one for each run."""
    runs = tuple(runs)
    most = max((sum(_step_cost(run, step) for step in STEPS) for run in runs), default=0.0) or 1.0
    left, width, high = 130, 560, 44
    parts = []
    for row, run in enumerate(runs):
        top, at = row * (high + 18), float(left)
        parts.append(f'<text x="0" y="{top + 20}">{escape(run.name)}</text>')
        parts.append(f'<text class="soft" x="0" y="{top + 37}">{run.solved} of {len(run.tasks)} solved</text>')
        for step in STEPS:
            spent = _step_cost(run, step)
            if spent > 0:
                long = spent / most * width
                parts.append(
                    f'<rect x="{at:.1f}" y="{top}" width="{long:.1f}" height="{high}" fill="{COLOURS[step]}">'
                    f"<title>{escape(run.name)}, {step}: {_usd(spent)}</title></rect>"
                )
                at += long
        parts.append(f'<text x="{at + 8:.1f}" y="{top + 27}">{_usd(run.cost_usd)}</text>')
    bottom = len(runs) * (high + 18)
    for place, step in enumerate(STEPS):
        x = left + place * 120
        parts.append(f'<rect x="{x}" y="{bottom}" width="12" height="12" fill="{COLOURS[step]}"/>')
        parts.append(f'<text class="soft" x="{x + 18}" y="{bottom + 11}">{step}</text>')
    names = ", ".join(f"{run.name} {_usd(run.cost_usd)}" for run in runs)
    return (
        f'<svg viewBox="0 0 {left + width + 130} {bottom + 20}" role="img" aria-label="Cost of the runs: {escape(names)}">'
        f"{''.join(parts)}</svg>"
    )


def _learned(learned: LearnedStream) -> str:
    """Return what an autopilot saved as it went, and what it knows in the end."""
    rows: list[list[object]] = []
    done = 0
    for one in learned.stretches:
        saved = "unknown" if one.saved is None else f"{one.saved:.0%}"
        costs = (_usd(one.cost_usd), _usd(one.frontier_usd))
        rows.append([f"{done + 1} to {done + one.tasks}", one.solved, one.frontier_solved, *costs, saved])
        done += one.tasks
    stream = _table(["tasks", "solved", "frontier solves", "cost", "frontier costs", "saved"], rows, numbers=range(1, 6))
    families = [
        [one_line(family.family), arm.name, arm.state, f"{arm.share:.0%}", arm.told, _share(arm.success), _usd(arm.cost_usd)]
        for family in told_apart(learned.families)
        for arm in family.arms
    ]
    head = ["tasks", "way", "state", "next tasks", "told", "solved", "cost of a task"]
    verdicts = "".join(
        f"<li>{escape(one_line(f'{one.family}: {one.verdict}; waits for {one.waits_for}'))}</li>"
        for one in told_apart(learned.families)
    )
    changes = "".join(f"<li>{escape(said_of(one))}</li>" for one in learned.changes)
    return f"""<h2>What an autopilot learned on {done:,} of these tasks</h2>
<p>They came in random order, again and again. It began on the frontier model and may solve at most {learned.margin:.0%} less.</p>
<div class="wide">{stream}</div><ul>{verdicts}</ul>
<div class="wide">{_table(head, families, numbers=range(3, 7))}</div>
<h2>Its changes of mind</h2><ul>{changes or "<li>none</li>"}</ul>
"""


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _step_cost(run: RunResult, step: str) -> float:
    return sum(spent or 0.0 for spent in run.cost_by_step.get(step, {}).values())


def _runs(runs: Iterable[RunResult]) -> str:
    rows = [
        [
            run.name,
            f"{run.solved} of {len(run.tasks)}",
            run.calls,
            run.input_tokens,
            run.output_tokens,
            _usd(run.cost_usd),
            f"{run.seconds:.0f}",
        ]
        for run in runs
    ]
    return _table(["run", "solved", "calls", "tokens in", "tokens out", "cost", "seconds"], rows, numbers=range(1, 7))


def _went(runs: Iterable[RunResult]) -> str:
    runs = tuple(runs)
    rows = [[step, *(_ways(run.went.get(step, {})) for run in runs)] for step in STEPS]
    return _table(["step", *(run.name for run in runs)], rows)


def _ways(ways: Mapping[str, int]) -> str:
    return "; ".join(f"{way}: {count}" for way, count in ways.items()) or "none"


def _tasks(runs: Iterable[RunResult]) -> str:
    runs = tuple(runs)
    head = ["task", *(text for run in runs for text in (run.name, "cost"))]
    rows = []
    for place, task in enumerate(runs[0].tasks):
        row: list[object] = [task.task]
        for run in runs:
            row += [_outcome(run.tasks[place]), _usd(run.tasks[place].cost_usd)]
        rows.append(row)
    return _table(head, rows, numbers=range(2, len(head), 2))


class _Markup(str):
    """HTML that is a cell as it is."""

    __slots__ = ()


def _outcome(one: Solved) -> _Markup:
    """Return how a task ended: a mark, a word, and whether it took a repair."""
    mark, kind, word = ("✓", "good", "solved") if one.solved else ("✗", "bad", one.failure)
    repaired = f' <span class="soft">{one.repairs} repair</span>' if one.repairs else ""
    return _Markup(f'<span class="{kind}"><span aria-hidden="true">{mark}</span> {escape(word)}</span>{repaired}')


def _table(head: Iterable[object], rows: Iterable[Iterable[object]], numbers: Collection[int] = ()) -> str:
    """Return a table; the columns whose places are in `numbers` are aligned on the right."""

    def side(place: int) -> str:
        return ' class="n"' if place in numbers else ""

    def cells(tag: str, row: Iterable[object]) -> str:
        return "".join(f"<{tag}{side(place)}>{_shown(cell)}</{tag}>" for place, cell in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def _shown(cell: object) -> str:
    if isinstance(cell, _Markup):
        return cell
    return escape(f"{cell:,}" if isinstance(cell, int) else str(cell))


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.5f} USD"
