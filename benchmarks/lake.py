"""Benchmark of lakes: reports and replay over more recorded decisions than a machine should hold in memory.

    python benchmarks/lake.py report [--rows 1000000] [--folder DIR]
    python benchmarks/lake.py replay|advise|fit [--rows 200000] [--folder DIR]

`report`: writes a lake of that many decisions (a fifth as many tasks, 1.2 calls each, over 60 days) straight to Parquet with DuckDB, then
runs `langroute report` on it and tells the seconds and the most memory of that process.

The others: write made traffic over three routes as a lake's, then run `langroute replay`, `advise` or `fit` in one process, and with two
workers of a Ray cluster on this machine. The cluster is started before, as a cluster is; `--cold` has each run start its own. Seconds of
processors are told of the command's process, of all workers together, and of the worker that had most: on a machine with other work these
say more than the seconds that passed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import duckdb

from langroute.ledger import schema
from langroute.ledger.lake_layout import DAYS, MARK, PART, RECORD, VERSION, duckdb_type, folder_of, stored_columns

DAYS_BACK = 60
TODAY = 20_600
RECORDS = {
    "attempts": [{"selection": {"route": "large", "confidence": 0.875, "reason": "estimated success 0.912"}, "model": "large-1"}]
}

ROUTE = "CASE WHEN i % 5 < 3 THEN 0 WHEN i % 5 = 3 THEN 1 ELSE 2 END"
TASK = "(i // 5)"
AT = f"({TODAY - DAYS_BACK + 1} + day_at) * 86400.0 + (hash(i) % 864000) / 10.0"
LABEL = f"(hash({TASK}) % 24)::BIGINT"
PLACE = f"(({ROUTE}) * 20 + hash(i + 3) % 20)::BIGINT"
COST = "CASE WHEN hash(i + 7) % 50 = 0 THEN NULL ELSE (hash(i + 1) % 100000) / 1e7 END"

GIVEN: dict[str, dict[str, str]] = {
    "decisions": {
        "n": "i + 1", "task": f"{TASK} + 1", "label": LABEL, "place": PLACE, "id": "'decision-' || i", "at": AT, "ok": "(hash(i + 2) % 100 > 0)::INT",
        "cache": "CASE WHEN hash(i + 4) % 20 = 0 THEN 'hit' ELSE 'miss' END", "attempts": "1 + (i % 5 = 0)::INT", "escalations": "(i % 5 = 0)::INT",
        "cost_usd": COST, "verify_usd": "0.0", "baseline_usd": "(hash(i + 5) % 100000) / 1e6", "switch_usd": "0.0", "fallbacks": "0", "retries": "0",
        "latency_s": "(hash(i + 6) % 10000) / 1000.0", "overhead_s": "0.0001", "problems": "0", "confidence": "(hash(i) % 1000) / 1000.0",
    },
    "calls": {
        "n": "i + 1", "decision": "i // 6 * 5 + least(i % 6, 4) + 1", "task": "i // 6 + 1", "label": "(hash(i // 6) % 24)::BIGINT", "place": PLACE, "at": AT,
        "what": "'model'", "kept": "(i % 6 > 0)::INT", "retry": "0", "error_type": "CASE WHEN hash(i + 2) % 100 = 0 THEN 'RateLimitError' END",
        "cost_usd": COST, "verify_usd": "0.0", "cost_basis": "'router'", "input_tokens": "hash(i) % 4000", "output_tokens": "hash(i + 1) % 800",
        "cache_read": "hash(i + 2) % 1000", "latency_s": "(hash(i + 6) % 10000) / 1000.0", "score": "(hash(i + 9) % 100) / 100.0",
    },
    "tasks": {
        "n": "i + 1", "id": "'task-' || i", "label": "(hash(i) % 24)::BIGINT", "user": "'user-' || hash(i) % 300", "started_at": AT, "last_at": f"{AT} + 60.0",
        "success": "CASE WHEN hash(i + 1) % 10 < 7 THEN (hash(i + 2) % 10 < 8)::INT END", "decisions": "5", "calls": "6", "cost_usd": "(hash(i) % 100000) / 2e6",
        "human_minutes": "1.0", "baseline_minutes": "(hash(i) % 30)::DOUBLE", "latency_s": "20.0", "unknown_costs": "(hash(i) % 10 = 0)::INT",
    },
    "outcomes": {
        "n": "i + 1", "task": "i + 1", "key": "'success'", "source": "'tests'", "success": "CASE WHEN hash(i + 1) % 10 < 7 THEN (hash(i + 2) % 10 < 8)::INT END",
        "at": AT,
    },
}  # fmt: skip
SIZES = {"decisions": 1.0, "calls": 1.2, "tasks": 0.2, "outcomes": 0.2}


def column(table: str, one: Any) -> str:
    default = one.server_default
    value = GIVEN[table].get(one.name, "NULL" if default is None else f"'{default.arg}'")
    return f'({value})::{duckdb_type(one)} AS "{one.name}"'


def make_lake(folder: Path, rows: int) -> None:
    """Write a lake of made decisions."""
    (folder / MARK).parent.mkdir(parents=True, exist_ok=True)
    base = duckdb.connect(config={"memory_limit": "2GB"})
    base.execute("SET enable_progress_bar = false")
    words = {
        "labels": "SELECT i AS id, 'team-' || i % 8 AS team, NULL::VARCHAR AS project, 'production' AS environment, "
        "['support', 'fix', 'triage'][1 + i % 3] AS task_kind FROM range(24) r(i)",
        "places": "SELECT i AS id, ['small', 'medium', 'large'][1 + i // 20] AS route, ['small', 'medium', 'large'][1 + i // 20] || '-1' AS model, "
        "'acme' AS provider, ['cheap', 'balanced', 'frontier'][1 + i // 20] AS tier, 'node-' || i % 5 AS node, ['act', 'plan', 'edit', 'answer'][1 + i % 4] "
        "AS step_kind, NULL::VARCHAR AS agent, 'learned' AS policy, 'v1' AS policy_version, NULL::VARCHAR AS tool FROM range(60) r(i)",
    }
    for name, query in words.items():
        base.execute(f"COPY ({query}) TO '{folder / name}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    record = json.dumps(RECORDS | {"baseline_route": "large"})[:-1]
    for day in range(DAYS_BACK):
        for table in DAYS:
            each = int(rows * SIZES[table.name]) // DAYS_BACK
            columns = [column(table.name, one) for one in stored_columns(table)]
            if table is schema.decisions:
                columns.append(f"""'{record}, "id": "decision-' || i || '", "seed": ' || hash(i) || '}}' AS {RECORD}""")
            path = folder / folder_of(table.name, TODAY - DAYS_BACK + 1 + day) / PART
            path.parent.mkdir(parents=True, exist_ok=True)
            made = f"(SELECT i, {day} AS day_at FROM range({day * each}, {(day + 1) * each}) r(i))"
            base.execute(f"COPY (SELECT {', '.join(columns)} FROM {made}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    (folder / MARK).write_text(json.dumps({"lake": VERSION, "ledger": "made"}))


def run(*arguments: Any, **variables: str) -> tuple[float, float, float, str]:
    """Run a command of langroute in a process of its own; return its seconds, those of its processors, most memory in GB, and output."""
    before = perf_counter()
    code = "import resource, sys; from langroute.cli import cli; cli(standalone_mode=False); "
    code += "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)"
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    *_, processors, memory = done.stderr.split()
    return perf_counter() - before, float(processors), int(memory) / 1e6, done.stdout


def size_of(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*.parquet")) / 1e9


def report(folder: Path, rows: int) -> None:
    if not (folder / MARK).exists():
        before = perf_counter()
        make_lake(folder, rows)
        print(f"made {rows:,} decisions in {perf_counter() - before:.0f} s, {size_of(folder):.2f} GB")
    until = ("--until", "2026-05-27")
    for said in (("--by", "task_kind", "--since", "all"), ("--by", "route", "--since", "all"), ("--by", "team", "--since", "7d")):
        seconds, processors, memory, printed = run("report", "--ledger", folder, *said, *until, "--format", "json")
        print(
            f"report {' '.join(said)}: {seconds:.1f} s ({processors:.1f} s of processors), {memory:.2f} GB; {json.loads(printed)['first_line']}"
        )


def make_traffic(folder: Path, rows: int) -> None:
    """Write made traffic of three routes, as `traffic` of a lake."""
    import pyarrow
    import pyarrow.parquet
    from made_traffic import made_traffic

    days = min(DAYS_BACK, max(1, rows // 8192))
    for day in range(days):
        path = folder / folder_of("traffic", TODAY - DAYS_BACK + 1 + day) / PART
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [
            {**row, "id": f"{day}/{row['id']}", **{name: json.dumps(row[name]) for name in ("messages", "outcomes")}}
            for row in made_traffic(rows // days, seed=day)
        ]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(texts), path, compression="zstd")
    (folder / MARK).write_text(json.dumps({"lake": VERSION, "ledger": "made"}))


class Workers(Thread):
    """Looks how long the processors worked for each of a cluster's workers, as long as there are any."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[str, float] = {}
        self._ended = Event()
        self._before = self._look()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.2):
            for name, seconds in self._look().items():
                self.seconds[name] = max(seconds, self.seconds.get(name, 0.0))

    def end(self) -> list[float]:
        """Return the seconds of each worker since the beginning."""
        self._ended.set()
        self.join()
        return [seconds - self._before.get(name, 0.0) for name, seconds in self.seconds.items()]

    def _look(self) -> dict[str, float]:
        return {process.name: seconds_of(process) for process in Path("/proc").glob("[0-9]*")}


def seconds_of(process: Path) -> float:
    """Return how long the processors worked for a process; 0 for one that has ended, or is no worker of Ray."""
    try:
        if not (process / "cmdline").read_bytes().startswith(b"ray::"):
            return 0.0
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command_of(what: str, folder: Path, rows: int) -> tuple[Any, ...]:
    """Return the command that is measured; its traffic, prices and policy are made where they are missing."""
    prices, policy = folder.parent / "prices.toml", folder.parent / "policy"
    from made_traffic import PRICES, made_traffic, write

    if not (folder / MARK).exists():
        make_traffic(folder, rows)
    prices.write_text(PRICES)
    if what == "replay" and not policy.exists():
        run("fit", write(folder.parent / "train.jsonl", made_traffic(2000, seed=10_000)), "-o", policy, "--prices", prices)
    more = {
        "replay": ("--policy", policy, "--format", "json"),
        "advise": ("--prices", prices, "--format", "json"),
        "fit": ("--prices", prices, "-o", folder.parent / "fitted"),
    }
    return (what, folder, *more[what])


def compare(what: str, folder: Path, rows: int, cold: bool, rounds: int) -> None:
    command = command_of(what, folder, rows)
    cluster = None
    if not cold:
        import ray

        cluster = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    found = {}
    for name, more in (("one process", ()), ("two workers", ("--engine", "ray"))) * rounds:
        variables = {"RAY_ADDRESS": cluster.address_info["address"]} if cluster is not None and more else {}
        workers = Workers()
        seconds, processors, memory, printed = run(*command, *more, **variables)
        theirs = workers.end()
        found[name] = printed
        if what == "fit":
            written = sorted((folder.parent / "fitted").iterdir())
            found[name] = " ".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in written)
        print(
            f"{what}, {name}: {seconds:.1f} s; seconds of processors: {processors:.1f} here, {sum(theirs):.1f} of the workers, "
            f"{max(theirs, default=0.0):.1f} of the busiest; {memory:.2f} GB here",
            flush=True,
        )
    print(f"the results are {'equal' if len(set(found.values())) == 1 else 'DIFFERENT'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["report", "replay", "advise", "fit"])
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=2, help="all but report: how often each is run, in turns")
    parser.add_argument("--cold", action="store_true", help="all but report: each run starts a cluster of its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "lake"
        if given.what == "report":
            report(folder, given.rows or 1_000_000)
        else:
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
            compare(given.what, folder, given.rows or 200_000, given.cold, given.rounds)


if __name__ == "__main__":
    main()
