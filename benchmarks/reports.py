"""Benchmark of reports over five million decisions: time and page size.

    python benchmarks/reports.py                    # 100,000 tasks of 50 decisions each; about 3 GB on disk, deleted afterwards
    python benchmarks/reports.py --tasks 2000       # a quick look

Rows are written straight into a ledger's tables: what is measured is reading them. Prints one line for each measurement.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from langroute.ledger import open_ledger, schema
from langroute.reports.build import build_report
from langroute.reports.formats import to_csv, to_json
from langroute.reports.model import DIMENSIONS
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.window import Window

TEAMS = ("payments", "search", "platform", "mobile", "data", "growth", None)
KINDS = ("refactor", "support", "extraction", "docs", "triage", "release-notes")
ROUTES = (
    ("cheap", "gpt-5-nano", "openai", 0.05, 0.4),
    ("balanced", "claude-haiku-4-5", "anthropic", 1.0, 5.0),
    ("frontier", "claude-opus-4-6", "anthropic", 5.0, 25.0),
)
STEPS = ("plan", "act", "observe", "edit", "extract", "classify", "summarize", "title", "review", "answer", "chat")
NODES = ("planner", "agent", "tools", "writer", "reviewer")
TIER_OF_STEP = {"plan": 2, "review": 2, "edit": 1, "act": 1, "observe": 1, "answer": 2, "chat": 1}
WHY = {
    "plan": "plans go to the strongest route",
    "review": "reviews go to the strongest route",
    "answer": "a person reads it",
    "title": "a step beside the conversation",
    "summarize": "a step beside the conversation",
    "classify": "a step beside the conversation",
    "extract": "a step beside the conversation",
    "act": "stays with the route of this turn",
    "observe": "stays with the route of this turn",
    "edit": "stays with the route of this turn",
}
DAY = 86_400
DECISIONS = (
    "n, id, task, day, at, label, place, cache, ok, attempts, retries, fallbacks, escalations, score, confidence, propensity, cost_usd,"
    " verify_usd, baseline_usd, switch_usd, latency_s, overhead_s, problems, avoided_usd"
)
CALLS = (
    "n, decision, attempt, task, day, at, label, place, what, run_id, kept, retry, error_type, cache, score, cost_usd, verify_usd,"
    " cost_basis, input_tokens, output_tokens, cache_read, cache_write, cache_write_1h, reasoning, latency_s, first_token_s"
)


def fill(
    path: Path, *, tasks: int, steps: int, days: int = 90, seed: int = 7, end: float | None = None, unknown: float = 0.0
) -> None:
    """Write a ledger of that many tasks.

    Args:
        path: Where; it is made.
        tasks: How many tasks.
        steps: Decisions of each task, on average.
        days: Over how many days, the last of which is today.
        seed: Of the random numbers.
        end: Seconds since the epoch at which the last task begins; now by default.
        unknown: Share of calls without a known price.
    """
    open_ledger(path).close()
    random = np.random.default_rng(seed)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-500000")
    connection.execute("BEGIN")
    label_ids = {}
    for team in TEAMS:
        for kind in KINDS:
            label_ids[team, kind] = len(label_ids) + 1
    connection.executemany(
        "INSERT INTO labels VALUES (?, ?, ?, ?, ?)",
        [(number, team, "shop" if team else None, "prod", kind) for (team, kind), number in label_ids.items()],
    )
    place_ids = np.zeros((len(ROUTES), len(STEPS)), dtype=int)
    rows = []
    for r, (route, model, provider, _, _) in enumerate(ROUTES):
        for s, step in enumerate(STEPS):
            place_ids[r, s] = len(rows) + 1
            rows.append((len(rows) + 1, route, model, provider, route, NODES[s % len(NODES)], step, None, "Rules", "1", None))
    connection.executemany("INSERT INTO places VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
    last = time.time() if end is None else end
    first = last - (days - 1) * DAY
    started = np.sort(random.uniform(first, last, tasks))
    team_of = random.choice(len(TEAMS), tasks, p=[0.24, 0.2, 0.17, 0.14, 0.12, 0.08, 0.05])
    kind_of = random.choice(len(KINDS), tasks, p=[0.22, 0.28, 0.16, 0.12, 0.14, 0.08])
    hardness = np.array([0.5, 0.25, 0.15, 0.2, 0.1, 0.18])[kind_of]
    lengths = np.maximum(1, random.poisson(steps * np.array([1.5, 0.8, 0.6, 1.0, 0.5, 1.2])[kind_of] / 0.93, tasks))
    base = np.array([TIER_OF_STEP.get(step, 0) for step in STEPS])
    price_in = np.array([route[3] for route in ROUTES])
    price_out = np.array([route[4] for route in ROUTES])
    n = 0
    for low in range(0, tasks, 2000):
        high = min(tasks, low + 2000)
        size = lengths[low:high]
        owner = np.repeat(np.arange(low, high), size)
        count = len(owner)
        starts = np.concatenate([[0], np.cumsum(size)[:-1]])
        place_in_task = np.arange(count) - np.repeat(starts, size)
        step = random.choice(len(STEPS), count, p=[0.06, 0.27, 0.22, 0.13, 0.06, 0.05, 0.05, 0.03, 0.04, 0.06, 0.03])
        routed = started[owner] > first + 0.3 * (last - first)
        tier = np.where(routed, base[step], 2)
        tier = np.where(random.random(count) < 0.05, 2, tier)
        tokens_in = random.lognormal(8.3, 0.7, count).astype(int)
        tokens_out = random.lognormal(5.3, 0.6, count).astype(int)
        warm = (tokens_in * np.where(random.random(count) < 0.6, 0.8, 0.0)).astype(int)
        cost = ((tokens_in - warm) * price_in[tier] + warm * price_in[tier] * 0.1 + tokens_out * price_out[tier]) / 1e6
        baseline = ((tokens_in - warm) * 5.0 + warm * 0.5 + tokens_out * 25.0) / 1e6
        latency = random.lognormal(0.1, 0.8, count) * np.array([0.5, 0.9, 1.6])[tier]
        hit = random.random(count) < 0.02
        cost, latency = np.where(hit, 0.0, cost), np.where(hit, 0.003, latency)
        lost = (random.random(count) < unknown) & (tier == 1)
        at = started[owner] + place_in_task * 4.0
        day = (at // DAY).astype(int)
        labels = np.array([label_ids[TEAMS[t], KINDS[k]] for t, k in zip(team_of[owner], kind_of[owner], strict=True)])
        place = place_ids[tier, step]
        escalated = (random.random(count) < 0.03) & (tier == 2) & ~hit
        error = random.random(count) < 0.008
        numbers = np.arange(n + 1, n + 1 + count)
        n += count

        def usd(values: np.ndarray, gone: np.ndarray) -> list[float | None]:
            return [None if lost else value for value, lost in zip(values.tolist(), gone.tolist(), strict=True)]

        columns = [
            numbers.tolist(), [f"d{number}" for number in numbers.tolist()], (owner + 1).tolist(), day.tolist(), at.tolist(),
            labels.tolist(), place.tolist(), np.where(hit, "hit", "miss").tolist(), [1] * count, (1 + escalated).tolist(),
            [0] * count, [0] * count, escalated.astype(int).tolist(), [None] * count, np.round(random.random(count), 3).tolist(),
            [1.0] * count, usd(cost, lost), [0.0] * count, baseline.tolist(), [None] * count, latency.tolist(), [0.0002] * count,
            [0] * count, np.where(hit, baseline, 0.0).tolist(),
        ]  # fmt: skip
        _insert(connection, "decisions", DECISIONS, columns)
        # The record of every decision would be 2 GB that no report reads: only one task in a hundred has them here.
        shown = [
            (number, json.dumps(_record(number, int(t) + 1, STEPS[s], ROUTES[r], float(a), float(c), float(wait))))
            for number, t, s, r, a, c, wait in zip(numbers.tolist(), owner, step, tier, at, cost, latency, strict=True)
            if t % 100 == 0 or tasks <= 2000
        ]
        connection.executemany("INSERT INTO decision_details (decision, record) VALUES (?, ?)", shown)
        columns = [
            numbers.tolist(), numbers.tolist(), [0] * count, (owner + 1).tolist(), day.tolist(), at.tolist(), labels.tolist(),
            place.tolist(), ["model"] * count, [None] * count, [1] * count, [0] * count,
            np.where(error, "RateLimitError", None).tolist(), np.where(hit, "hit", None).tolist(), [None] * count,
            usd(cost, lost), [0.0] * count, ["router"] * count, tokens_in.tolist(), tokens_out.tolist(), warm.tolist(),
            [0] * count, [0] * count, [0] * count, latency.tolist(), (latency * 0.3).tolist(),
        ]  # fmt: skip
        _insert(connection, "calls", CALLS, columns)

        def summed(values: np.ndarray, starts: np.ndarray = starts) -> list[float]:
            return np.add.reduceat(values, starts).tolist()

        told = random.random(high - low) < 0.8
        won = random.random(high - low) < 1 - hardness[low:high] * 0.6
        spent, walls = summed(np.where(lost, 0.0, cost)), summed(latency)
        sums = zip(
            spent, summed(lost.astype(int)), summed(baseline), summed(tokens_in), summed(tokens_out), summed(warm), walls,
            summed(escalated.astype(int)), summed(error.astype(int)), summed(hit.astype(int)), size.tolist(), strict=True,
        )  # fmt: skip
        minutes = np.array([45.0, 12.0, 8.0, 30.0, 5.0, 25.0])[kind_of[low:high]]
        for place_, (usd_, gone, base_, input_, output, read, wall, up, errors, hits, length) in enumerate(sums):
            task = low + place_
            success = int(won[place_]) if told[place_] else None
            connection.execute(
                'INSERT INTO tasks (n, id, day, label, "user", state, started_at, ended_at, success, success_source, human_minutes,'
                " baseline_minutes, decisions, calls, errors, escalations, cache_hits, cost_usd, unknown_costs, baseline_usd,"
                " input_tokens, output_tokens, cache_read, latency_s, overhead_s)"
                " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (
                    task + 1, f"task-{task + 1}", int(started[task] // DAY), label_ids[TEAMS[team_of[task]], KINDS[kind_of[task]]],
                    f"user:{task % 40:016x}", "ok", float(started[task]), float(started[task]) + wall, success,
                    "tests" if success is not None else None, 2.0 if success is not None else None,
                    float(minutes[place_]) if success is not None and task % 2 else None, length, length, errors, up, hits, usd_, gone,
                    base_, input_, output, read, wall, length * 0.0002,
                ),
            )  # fmt: skip
    connection.execute(
        "INSERT INTO outcomes (task, key, source, success, at) SELECT n, 'success', 'tests', success, started_at FROM tasks"
        " WHERE success IS NOT NULL"
    )
    connection.execute(
        "INSERT INTO dirty_days (day, writes) SELECT DISTINCT day, 1 FROM decisions UNION SELECT DISTINCT day, 1 FROM tasks"
    )
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()


def _insert(connection: sqlite3.Connection, table: str, names: str, columns: list[list]) -> None:
    rows = zip(*columns, strict=True)
    connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({','.join('?' * len(columns))})", rows)


def _record(number: int, task: int, step: str, route: tuple, at: float, cost: float, latency: float) -> dict:
    name, model, provider, _, _ = route
    reason = (
        WHY.get(step, "no rule fits") if name != "frontier" or step in TIER_OF_STEP else "stuck: two rounds of tool calls failed"
    )
    attempt = {"selection": {"route": name, "reason": reason}, "cost_usd": cost, "latency_s": latency, "model": model}
    return {
        "id": f"d{number}", "step": {"kind": step, "task": f"task-{task}"}, "route": name, "attempts": [attempt],
        "reason": reason, "policy": "Rules", "tier": name, "model": model, "cost_usd": cost,
        "baseline_route": "frontier", "started_at": at, "metadata": {"ls_provider": provider},
    }  # fmt: skip


def timed(what: str, run: object) -> object:
    """Run it, and print the time on the clock and that of this process, which a busy machine does not stretch."""
    begun, worked = time.perf_counter(), time.process_time()
    result = run()  # type: ignore[operator]
    print(f"{what}: {time.perf_counter() - begun:.2f} s ({time.process_time() - worked:.2f} s of this process)", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--ledger", type=Path, help="Keep it here, and use it where it is there already.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) if options.ledger is None else None
    path = options.ledger or folder / "ledger.db"
    try:
        if not path.exists():
            timed("writing the rows", lambda: fill(path, tasks=options.tasks, steps=options.steps))
        with open_ledger(path) as ledger:
            with ledger.reading() as connection:
                decisions = connection.exec_driver_sql(f"SELECT count(*) FROM {schema.decisions.name}").scalar()
            print(f"{decisions:,} decisions, {path.stat().st_size / 1e9:.1f} GB")
            timed("making the daily sums of every day", ledger.rollup)
            window = Window.since("all")
            for by in DIMENSIONS:
                made = timed(f"report by {by}, daily sums", lambda by=by: build_report(ledger, window, by=by))
                to_csv(made), to_json(made)
            page = timed("HTML page", lambda: write_page(page_data(ledger, window)))
            print(f"HTML page: {len(page.encode()) / 1e6:.2f} MB")
            for by in ("task_kind", "route"):
                timed(f"report by {by}, raw rows", lambda by=by: build_report(ledger, window, by=by, raw=True))
    finally:
        if folder is not None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
