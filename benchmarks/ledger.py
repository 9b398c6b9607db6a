"""Benchmark of the ledger: overhead of recording per call, and query time over many decisions.

    python benchmarks/ledger.py calls [--rounds 2000]
    python benchmarks/ledger.py many [--decisions 5000000] [--file big.db]

`calls`: each number is the median over rounds of (recorded - not recorded) in microseconds, both timed in the same round in shuffled
order; in brackets the median without. The ledger is SQLite at its default level and writes while the calls go on.

`many`: fills a SQLite ledger through the ledger's own writer, sums it by day, and times the queries of reports on the sums and on raw rows.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from sqlalchemy import func, select

from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import Task
from langroute.hosts.chat_model import ChatRouter
from langroute.ledger import open_ledger, schema
from langroute.ledger.batch import QueuedRecord
from langroute.policies.fixed import Fixed
from langroute.tracking.callbacks import OutcomeTracker

TARGET_US = 40.0


class Nothing:
    """A ledger that stores nothing, to measure a call without recording."""

    def record(self, decision: Any) -> None:
        pass

    record_outcome = record

    def get(self, decision_id: str) -> None:
        return None

    def flush(self) -> None:
        pass

    close = flush


def paired(bare: Callable[[], Any], recorded: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the medians of (recorded - bare) and of bare, in microseconds."""
    for _ in range(100):
        bare()
        recorded()
    differences, plain = [], []
    for _ in range(rounds):
        took = {}
        for work in random.sample([bare, recorded], 2):
            begun = perf_counter()
            work()
            took[work] = (perf_counter() - begun) * 1e6
        differences.append(took[recorded] - took[bare])
        plain.append(took[bare])
    return statistics.median(differences), statistics.median(plain)


def calls(rounds: int) -> None:
    """What recording adds to a call."""
    warnings.simplefilter("ignore")
    long = [HumanMessage(f"question {n}", id=f"q{n}") if n % 2 else AIMessage(f"answer {n}", id=f"a{n}") for n in range(40)]
    long.append(HumanMessage("And now?", id="last"))
    with tempfile.TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.db") as ledger:
        routes = {"small": FakeListChatModel(responses=["ok"]), "large": FakeListChatModel(responses=["ok"])}
        routed = ChatRouter(routes, policy=Fixed("small"), ledger=Nothing())
        kept = ChatRouter(routes, policy=Fixed("small"), ledger=ledger)
        model = FakeListChatModel(responses=["ok"])
        tracker = OutcomeTracker(ledger)
        config = {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}}
        plain = {"metadata": {"langroute_task": "t1"}}
        cases = [
            ("decision of a router", lambda: routed.invoke("hi"), lambda: kept.invoke("hi")),
            ("call seen by the tracker", lambda: model.invoke("hi", plain), lambda: model.invoke("hi", config)),
            ("the same, 41 messages", lambda: model.invoke(long, plain), lambda: model.invoke(long, config)),
        ]
        for name, bare, recorded in cases:
            added, without = paired(bare, recorded, rounds)
            verdict = "" if added <= TARGET_US else f"  above the target of {TARGET_US:.0f}"
            print(f"{name:30} {added:7.1f} us added ({without:.0f} without){verdict}")


def decisions(count: int, days: int = 90, per_task: int = 10) -> Iterator[QueuedRecord]:
    """Yield decisions of a synthetic company: 8 teams, 5 task kinds, 4 nodes, 3 routes, 40 users."""
    rng = random.Random(7)
    routes = [
        ("small", "small-1", "cheap", 0.0004),
        ("medium", "medium-1", "balanced", 0.004),
        ("large", "large-1", "frontier", 0.03),
    ]
    kinds, nodes = ("support", "refactor", "research", "title", "review"), ("plan", "act", "answer", "title")
    start = 20_500 * 86_400.0
    for number in range(count):
        place = number // per_task
        if number % per_task == 0:
            around = Task(
                f"task-{place}",
                kinds[place % 5],
                {"team": f"team-{place % 8}", "user": f"user-{place % 40}", "environment": "prod" if place % 3 else "test"},
            )
            day = place * days // max(1, count // per_task)
        route, model, tier, cost = routes[min(2, int(rng.expovariate(1.2)))]
        usage = Usage(rng.randint(200, 9000), rng.randint(5, 900), cache_read=rng.randint(0, 200))
        attempt = Attempt(
            Selection(route, "cheapest"), usage=usage, cost_usd=cost * rng.random(), latency_s=rng.expovariate(0.7), model=model
        )
        at = start + day * 86_400 + (number * 7919) % 86_400
        node = nodes[number % 4]
        yield QueuedRecord(
            Decision(
                f"{number:032x}",
                Step(node, node=node, task=around.id, task_kind=around.kind),
                route,
                (attempt,),
                reason="cheapest",
                policy="rules",
                tier=tier,
                model=model,
                cost_usd=attempt.cost_usd,
                baseline_cost_usd=0.03,
                baseline_route="large",
                overhead_s=0.0001,
                started_at=at,
            ),
            around,
        )
        if number % per_task == per_task - 1 and place % 4:
            yield QueuedRecord(
                Outcome("success", success=rng.random() < 0.8, task_id=around.id, source="tests", at=at, baseline_minutes=20.0)
            )


def many(count: int, file: Path) -> None:
    """Fill a ledger, roll it up and query it."""
    fresh = not file.exists()
    with open_ledger(file) as ledger:
        if fresh:
            begun, batch, written = perf_counter(), [], 0
            for entry in decisions(count):
                batch.append(entry)
                if len(batch) >= 20_000:
                    ledger._write(batch)
                    written += len(batch)
                    batch = []
            ledger._write(batch)
            took = perf_counter() - begun
            print(f"wrote {count:,} decisions in {took:.0f} s ({count / took:,.0f} a second), {file.stat().st_size / 1e9:.2f} GB")
            begun = perf_counter()
            print(f"summed {ledger.rollup()} days in {perf_counter() - begun:.1f} s")
        questions(ledger)


def questions(ledger: Any) -> None:
    """Time the queries of reports, on the sums and on raw rows."""
    la, p = schema.labels.c, schema.places.c
    dc, dt, dp = schema.daily_calls.c, schema.daily_tasks.c, schema.daily_parts.c
    c, t = schema.calls.c, schema.tasks.c
    summed = {
        "spend by team": select(la.team, func.sum(dc.cost_usd), func.sum(dc.calls)).join_from(schema.daily_calls, schema.labels, dc.label == la.id).group_by(la.team),
        "spend by route and day": select(p.route, dc.day, func.sum(dc.cost_usd)).join_from(schema.daily_calls, schema.places, dc.place == p.id).group_by(p.route, dc.day),
        "cost per success by task kind": select(la.task_kind, func.sum(dt.known_usd) / func.sum(dt.succeeded)).join_from(schema.daily_tasks, schema.labels, dt.label == la.id).group_by(la.task_kind),
        "success by model": select(dp.value, func.sum(dp.succeeded), func.sum(dp.failed)).where(dp.dimension == "model").group_by(dp.value),
    }  # fmt: skip
    raw = {
        "spend by team": select(la.team, func.sum(c.cost_usd), func.count()).join_from(schema.calls, schema.labels, c.label == la.id).group_by(la.team),
        "spend by route and day": select(p.route, c.day, func.sum(c.cost_usd)).join_from(schema.calls, schema.places, c.place == p.id).group_by(p.route, c.day),
        "cost per success by task kind": select(la.task_kind, func.sum(t.cost_usd)).join_from(schema.tasks, schema.labels, t.label == la.id).where(t.success.is_not(None)).group_by(la.task_kind),
        "success by model": select(p.model, func.count(t.n.distinct())).join_from(schema.calls, schema.places, c.place == p.id).join(schema.tasks, t.n == c.task).group_by(p.model),
    }  # fmt: skip
    with ledger.reading() as connection:
        for name in summed:
            times = []
            for query in (summed[name], raw[name]):
                begun = perf_counter()
                rows = connection.execute(query).all()
                times.append(perf_counter() - begun)
            print(f"{name:32} {times[0]:7.3f} s from sums, {times[1]:7.2f} s from raw rows ({len(rows)} rows)")


def main() -> None:
    """Run the selected benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["calls", "many"])
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--decisions", type=int, default=5_000_000)
    parser.add_argument("--file", type=Path, default=None)
    given = parser.parse_args()
    if given.what == "calls":
        calls(given.rounds)
    else:
        many(given.decisions, given.file or Path(tempfile.mkdtemp()) / "big.db")


if __name__ == "__main__":
    main()
