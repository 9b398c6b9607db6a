"""Benchmark of the ledger of a fleet: many processes record into one PostgreSQL.

    python benchmarks/ledger_fleet.py write --url postgresql://me@host/empty [--processes 8] [--seconds 20] [--rate 5000]
    python benchmarks/ledger_fleet.py report --url postgresql://me@host/empty [--days 5] [--each-day 300000]

`write`: each process records decisions of its own tasks (ten steps each, an outcome for three of four) through `SqlLedger.record`. With `--rate` all together
record so many a second, and the wall time of each `record` is measured; without, each records as fast as its queue takes it.
Printed: decisions stored a second, from the first record to the last commit; the time of a `record`; CPU time of the processes and, on the same machine, of
the server; and whether the database has every decision once.

`report`: has the database itself make raw rows (`generate_series`), sums them by day, and times every kind of report on the sums, and on the raw rows of one day.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import func, select, text

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger, partitions, schema
from langroute.ledger.sql import SqlLedger
from langroute.reports import Window, build_report
from langroute.reports.chargeback import to_focus
from langroute.reports.model import DIMENSIONS
from langroute.reports.pagedata import page_data

TARGET_RATE, TARGET_US = 5000, 100.0
PER_TASK = 10
ROUTES = (("small", "small-1", "cheap", 0.0004), ("medium", "medium-1", "balanced", 0.004), ("large", "large-1", "frontier", 0.03))
NODES, KINDS = ("plan", "act", "answer", "title"), ("support", "refactor", "research", "title", "review")


def templates(rng: random.Random) -> list[Decision]:
    """Return decisions as a router makes them, without ids."""
    made = []
    for number in range(200):
        route, model, tier, cost = ROUTES[min(2, int(rng.expovariate(1.2)))]
        usage = Usage(rng.randint(200, 9000), rng.randint(5, 900), cache_read=rng.randint(0, 200))
        attempt = Attempt(
            Selection(route, "cheapest"), usage=usage, cost_usd=cost * rng.random(), latency_s=rng.expovariate(0.7), model=model
        )
        step = Step(NODES[number % 4], node=NODES[number % 4])
        known: dict[str, Any] = {
            "reason": "cheapest",
            "policy": "rules",
            "tier": tier,
            "model": model,
            "cost_usd": attempt.cost_usd,
        }
        known |= {"baseline_cost_usd": 0.03, "baseline_route": "large", "overhead_s": 0.0001}
        made.append(Decision("", step, route, (attempt,), **known))
    return made


def record(ledger: SqlLedger, place: int, until: float, rate: float) -> list[float]:
    """Record until a moment, and return the seconds that each `record` took."""
    rng = random.Random(place)
    made, took, number = templates(rng), [], 0
    begun = perf_counter()
    while time.time() < until:
        name = f"w{place}-t{number // PER_TASK}"
        with task(name, kind=KINDS[place % 5], team=f"team-{place}", user=f"user-{number // PER_TASK % 40}"):
            for _ in range(PER_TASK):
                decision = replace(made[number % 200], id=f"{place:08x}{number:024x}", started_at=time.time())
                start = perf_counter()
                ledger.record(decision)
                took.append(perf_counter() - start)
                number += 1
                if rate and (early := begun + number / rate - perf_counter()) > 0:
                    time.sleep(early)
        if rng.random() < 0.75:
            ledger.record_outcome(Outcome(success=rng.random() < 0.8, task_id=name, source="tests", at=time.time()))
    return took


def worker(url: str, place: int, start: Any, seconds: float, rate: float, answers: Any, max_queue: int = 5000) -> None:
    """Be one process of the fleet."""
    with open_ledger(url, max_wait_s=600.0, max_queue=max_queue) as ledger:
        start.wait()
        before, begun = cpu(), time.time()
        took = record(ledger, place, begun + seconds, rate)
        recorded, waited = time.time(), ledger.waiting
        ledger.flush(600.0)
        answers.put((took, cpu() - before, recorded, waited, time.time(), ledger.dropped, begun))


def cpu() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_of_server(ledger: SqlLedger) -> float | None:
    """Return the CPU seconds of the server's processes; `None` where it is not on this machine, or that is not told."""
    with ledger.reading(flush=False) as connection:
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    known = {}
    for found in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = found.read_text().rpartition(")")
            if name.endswith("(postgres"):
                known[int(found.parent.name)] = [int(one) for one in rest.split()[1:15]]
    if backend not in known:
        return None
    parent = known[backend][0]
    # What ended children used is in their parent's count.
    total = sum(sum(told[10:14]) for pid, told in known.items() if parent in (pid, told[0]))
    return total / os.sysconf("SC_CLK_TCK")


def write(url: str, processes: int, seconds: float, rate: float) -> None:
    """Record from several processes at once, and say how many decisions a second were stored."""
    with open_ledger(url) as ledger:
        before = stored(ledger)
        if before:
            raise SystemExit(f"The database has {before:,} decisions already; the benchmark takes an empty one.")
        context = multiprocessing.get_context("spawn")
        answers, start = context.Queue(), context.Barrier(processes + 1)
        workers = [
            context.Process(target=worker, args=(url, place, start, seconds, rate / processes, answers))
            for place in range(processes)
        ]
        for one in workers:
            one.start()
        start.wait()
        server = cpu_of_server(ledger)
        told = [answers.get() for _ in workers]
        for one in workers:
            one.join()
        took = sorted(second * 1e6 for one in told for second in one[0])
        begin, end, count = min(one[6] for one in told), max(one[4] for one in told), len(took)
        found = stored(ledger)
        print(
            f"{processes} processes stored {count:,} decisions, {count / (end - begin):,.0f} a second to the last commit", end="; "
        )
        print(
            f"{sum(one[3] for one in told):,} waited at the end of {seconds:g} s, {max(one[4] - one[2] for one in told):.1f} s more"
        )
        p = [took[int(count * part)] for part in (0.5, 0.99, 0.999)]
        print(f"record: median {p[0]:.1f} us, p99 {p[1]:.1f} us, p99.9 {p[2]:.0f} us, longest {took[-1] / 1000:.1f} ms")
        client = sum(one[1] for one in told) / count * 1e6
        said = f", server {(cpu_of_server(ledger) - server) / count * 1e6:.0f} us" if server is not None else ""
        print(f"CPU a decision: processes {client:.0f} us{said}")
        print(f"in the database: {found:,}; lost {count - found:,}; dropped {sum(one[5] for one in told):,}")


def stored(ledger: SqlLedger) -> int:
    """Return the number of stored decisions."""
    with ledger.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one())


# Reports ---------------------------------------------------------------------------------------------------------------

_TASKS = """
INSERT INTO tasks (id, day, label, "user", state, started_at, ended_at, last_at, success, success_at, success_rank, success_source,
                   decisions, calls, cost_usd, baseline_usd, input_tokens, output_tokens, latency_s)
SELECT 'made-' || :day || '-' || s, :day, l.id, 'user-' || s % 200, 'ok', at, at + 60, at + 60,
       CASE WHEN s % 4 > 0 THEN (s % 5 > 0)::int END, CASE WHEN s % 4 > 0 THEN at END, 2, 'tests', 10, 10, 0.1, 0.3, 30000, 4000, 20
FROM generate_series(1, :tasks) AS s
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number, count(*) OVER () AS count FROM labels) AS l ON l.number = s % l.count,
LATERAL (SELECT :day * 86400.0 + s * (86000.0 / :tasks) AS at) AS started"""

_DECISIONS = """
INSERT INTO decisions (n, task, day, label, place, id, at, cache, ok, attempts, retries, fallbacks, escalations, cost_usd, verify_usd, baseline_usd,
                       latency_s, overhead_s, problems)
SELECT nextval('decisions_numbers'), t.n, t.day, t.label, p.id, md5(t.n || '-' || s), t.started_at + s, 'bypass', 1, 1, 0, 0, (s = 9)::int,
       0.001 * s, 0, 0.03, s / 5.0, 0.0001, 0
FROM tasks AS t CROSS JOIN generate_series(1, 10) AS s
JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number, count(*) OVER () AS count FROM places) AS p ON p.number = (t.n * 7 + s) % p.count
WHERE t.day = :day AND t.id LIKE 'made-%'"""

_CALLS = """
INSERT INTO calls (n, decision, task, day, label, place, at, what, run_id, cost_usd, verify_usd, cost_basis, input_tokens, output_tokens, latency_s,
                   error_type)
SELECT nextval('calls_numbers'), n, task, day, label, place, at, 'model', left(id, 36), cost_usd, 0, 'router', 3000, 400, latency_s,
       CASE WHEN n % 97 = 0 THEN 'RateLimitError' END
FROM decisions WHERE day = :day"""

_OUTCOMES = """
INSERT INTO outcomes (task, key, source, success, at) SELECT n, 'success', 'tests', success, success_at FROM tasks
WHERE day = :day AND success IS NOT NULL AND id LIKE 'made-%'"""

_MARK = "INSERT INTO dirty_days (day, writes) VALUES (:day, 1) ON CONFLICT (day) DO NOTHING"


def fill(ledger: SqlLedger, days: int, each_day: int) -> None:
    """Let the database make raw rows: eight teams with five kinds of tasks, three routes at four nodes, ten steps a task."""
    today = int(time.time() // 86_400)
    for number in range(40):
        with task(f"seed-{number}", kind=KINDS[number % 5], team=f"team-{number // 5}"):
            for made in templates(random.Random(1))[:60]:
                ledger.record(replace(made, id=os.urandom(16).hex(), started_at=time.time()))
    ledger.flush(600)
    with ledger.engine.begin() as connection:
        for ahead in range(1, days):
            partitions.make(connection, today - ahead, today - ahead + 1)
    for day in range(today - days + 1, today + 1):
        with ledger.engine.begin() as connection:
            for statement in (_TASKS, _DECISIONS, _CALLS, _OUTCOMES, _MARK):
                given = {"day": day, "tasks": each_day // PER_TASK}
                connection.execute(text(statement), {name: value for name, value in given.items() if f":{name}" in statement})
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def timed(ledger: SqlLedger, what: str, run: Callable[[], Any]) -> None:
    """Run something, and print its wall time beside the CPU time of this process and the server, which a busy machine does not stretch."""
    begun, own, server = perf_counter(), cpu(), cpu_of_server(ledger)
    found = run()
    said = f", {cpu_of_server(ledger) - server:.2f} s CPU of the server" if server is not None else ""
    print(
        f"{what}: {perf_counter() - begun:.2f} s ({cpu() - own:.2f} s CPU of this process{said}){found if isinstance(found, str) else ''}",
        flush=True,
    )


def report(url: str, days: int, each_day: int) -> None:
    """Time reports on daily sums, and on the raw rows of a day."""
    with open_ledger(url) as ledger:
        if not stored(ledger):
            timed(ledger, f"{days} days of {each_day:,} decisions made by the database", lambda: fill(ledger, days, each_day))
        print(f"{stored(ledger):,} decisions")
        timed(ledger, "all changed days summed", lambda: f": {ledger.rollup()} days")
        window = Window.since(f"{days}d")
        for by in DIMENSIONS:
            timed(ledger, f"report by {by} from sums", lambda by=by: build_report(ledger, window, by=by) and None)
        timed(ledger, "data of the page from sums", lambda: page_data(ledger, window) and None)
        timed(ledger, "chargeback from sums", lambda: to_focus(ledger, window) and None)
        day = Window.since("1d", now=time.time() - 86_400)
        for by in ("team", "route"):
            timed(
                ledger,
                f"report by {by} from the raw rows of a day",
                lambda by=by: build_report(ledger, day, by=by, raw=True) and None,
            )


def main() -> None:
    """Run the selected benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "report"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--each-day", type=int, default=300_000)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.what == "write":
        write(given.url, given.processes, given.seconds, given.rate)
    else:
        report(given.url, given.days, given.each_day)


if __name__ == "__main__":
    main()
