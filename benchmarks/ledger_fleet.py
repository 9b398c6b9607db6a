"""Benchmark of the ledger of a fleet: many processes record into one PostgreSQL.

    python benchmarks/ledger_fleet.py write --url postgresql://me@host/empty [--processes 8] [--seconds 20] [--rate 5000]
    python benchmarks/ledger_fleet.py report --url postgresql://me@host/empty [--days 50] [--each-day 100000]

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
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from sqlalchemy import func, select

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger, schema
from langroute.ledger.sql import SqlLedger

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


def worker(url: str, place: int, start: Any, seconds: float, rate: float, answers: Any) -> None:
    """Be one process of the fleet."""
    with open_ledger(url, max_wait_s=600.0) as ledger:
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


def cpu_of_server() -> float | None:
    """Return the CPU seconds of every PostgreSQL process of this machine; `None` where that is not told."""
    total = 0.0
    if not sys.platform.startswith("linux"):
        return None
    for found in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = found.read_text().rpartition(")")
        except OSError:
            continue
        if name.endswith("(postgres"):
            # What ended children used is in their parent's count.
            total += sum(map(int, rest.split()[11:15]))
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
        server = cpu_of_server()
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
        said = f", server {(cpu_of_server() - server) / count * 1e6:.0f} us" if server is not None else ""
        print(f"CPU a decision: processes {client:.0f} us{said}")
        print(f"in the database: {found:,}; lost {count - found:,}; dropped {sum(one[5] for one in told):,}")


def stored(ledger: SqlLedger) -> int:
    """Return the number of stored decisions."""
    with ledger.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(schema.decisions)).scalar_one())


def main() -> None:
    """Run the selected benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=0.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    write(given.url, given.processes, given.seconds, given.rate)


if __name__ == "__main__":
    main()
