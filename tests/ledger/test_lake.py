"""A lake is a ledger's rows: reports of it are those of the ledger, to the last digit."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import func, literal, select
from waiting import wait_until

from langroute.cli.advise import advise
from langroute.cli.learn import analyze
from langroute.cli.ledger import export
from langroute.cli.report import report
from langroute.core.errors import DataError, LedgerError
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage
from langroute.core.task_context import task
from langroute.ledger import open_ledger, schema
from langroute.ledger.export import export_traffic
from langroute.ledger.lake import Lake
from langroute.ledger.lake_export import LakeExport
from langroute.reports.build import build_report
from langroute.reports.chargeback import to_focus
from langroute.reports.formats import plain
from langroute.reports.model import DIMENSIONS
from langroute.reports.pagedata import page_data
from langroute.reports.window import Window

pytest.importorskip("duckdb_engine", reason="DuckDB is not installed (the extra `lake`)")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (the extra `lake`)")


DAY = 86_400.0
TODAY = 20_600
NOW = TODAY * DAY + 43_200.0
WINDOWS = (Window.since(None, now=NOW), Window.since("3d", now=NOW), Window.since("30h", now=NOW))
ROUTES = {"small": "cheap", "medium": "balanced", "large": "frontier"}


def binary(random_: random.Random, most: float) -> float:
    """An amount whose sums are exact as floats: in multiples of 2^-20."""
    return round(random_.random() * most * (1 << 20)) / (1 << 20)


def decimal(random_: random.Random, most: float) -> float:
    return random_.random() * most


def fill(ledger: Any, seed: int, amount: Any = binary, tasks: int = 120, days: int = 4) -> None:
    """Tasks with steps of one or two attempts, failures, cache hits, unknown costs, subtasks, shadows' absence, and outcomes."""
    chance = random.Random(seed)
    for number in range(tasks):
        at = NOW - DAY * chance.randrange(days) - chance.randrange(40_000)
        kind = chance.choice(("support", "fix", None))
        with task(f"t{number}", kind=kind, team=chance.choice(("search", "data", None)), user=chance.choice(("ada", None))):
            for step in range(chance.randrange(1, 5)):
                _record(ledger, chance, amount, f"d{number}-{step}", at + 60.0 * step)
        if chance.random() < 0.7:
            success = chance.random() < 0.8
            worth = binary(chance, 9.0) if chance.random() < 0.3 else None
            ledger.record_outcome(
                Outcome(
                    success=success, task_id=f"t{number}", at=at + 900.0, human_minutes=1.0, baseline_minutes=8.5, value_usd=worth
                )
            )
        if chance.random() < 0.2:
            ledger.record_outcome(Outcome("rating", score=chance.randrange(5) / 4, decision_id=f"d{number}-0", at=at + 950.0))


def _record(ledger: Any, chance: random.Random, amount: Any, name: str, at: float) -> None:
    tried = []
    for route in chance.sample(list(ROUTES), chance.randrange(1, 3)):
        failed = chance.random() < 0.1
        tried.append(
            Attempt(
                Selection(route, confidence=binary(chance, 1.0), propensity=0.5),
                usage=Usage(chance.randrange(4000), chance.randrange(900), chance.randrange(100)),
                cost_usd=None if chance.random() < 0.1 else amount(chance, 0.02),
                latency_s=binary(chance, 4.0),
                model=f"{route}-1",
                provider="acme",
                score=chance.choice((None, 0.25, 1.0)),
                error_type=chance.choice(("RateLimitError", "TimeoutError")) if failed else None,
            )
        )
    kept = tried[-1]
    costs = [one.cost_usd for one in tried]
    ledger.record(
        Decision(
            name,
            Step(chance.choice(("act", "plan", "edit")), node=chance.choice(("agent", None))),
            kept.route if kept.ok else None,
            tuple(tried),
            tier=ROUTES[kept.route],
            model=kept.model,
            cost_usd=None if None in costs else sum(costs),
            baseline_cost_usd=chance.choice((None, amount(chance, 0.05))),
            baseline_route="large",
            switch_cost_usd=amount(chance, 0.001),
            overhead_s=2.0**-12,
            started_at=at,
        )
    )


def same_report(ledger: Any, lake: Any, window: Window, by: str) -> None:
    expected, found = (plain(build_report(one, window, by=by, raw=True)) for one in (ledger, lake))
    assert found == expected
    sums = plain(build_report(ledger, window, by=by))
    for name in ("source", "notes"):
        sums.pop(name), found.pop(name)
    assert found == sums


def in_order(page: Any) -> Any:
    """The page adds its rows up, so that their order is of no meaning."""
    if isinstance(page, dict):
        return {name: in_order(value) for name, value in page.items()}
    return sorted(page, key=repr) if isinstance(page, list) else page


def same_reports(ledger: Any, lake: Any, dimensions: Any) -> None:
    for by in dimensions:
        same_report(ledger, lake, WINDOWS[0], by)
    for window in WINDOWS[1:]:
        expected, found = (plain(build_report(one, window, by="model", raw=True)) for one in (ledger, lake))
        assert found == expected
        assert sorted(to_focus(lake, window).splitlines()) == sorted(to_focus(ledger, window, raw=True).splitlines())


def test_reports_are_those_of_the_ledger(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 1)
        assert LakeExport(ledger, tmp_path / "lake").run() == 4
        with Lake(tmp_path / "lake", memory="500MB") as lake:
            same_reports(ledger, lake, DIMENSIONS if os.environ.get("LANGROUTE_SLOW_LAKE") else ("user", "day", "route"))
            found, expected = (page_data(one, WINDOWS[1], raw=True) for one in (lake, ledger))
            found.pop("made_at"), expected.pop("made_at")
            assert in_order(found) == in_order(expected)


@pytest.mark.server
def test_reports_are_those_of_a_ledger_in_postgresql(postgres: str, tmp_path: Path) -> None:
    with open_ledger(postgres) as ledger:
        fill(ledger, 2, tasks=60)
        LakeExport(ledger, tmp_path / "lake").run()
        with Lake(tmp_path / "lake") as lake:
            same_reports(ledger, lake, ("team", "tier"))


def test_sums_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    """Amounts that no float holds exactly: the lake's sum is the true one, rounded once."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 3, amount=decimal)
        LakeExport(ledger, tmp_path / "lake").run()
        with Lake(tmp_path / "lake") as lake, lake.reading() as connection, ledger.reading() as there:
            cost = schema.calls.c.cost_usd
            costs = list(there.execute(select(cost).where(cost.is_not(None))).scalars())
            assert list(connection.execute(select(cost).where(cost.is_not(None)).order_by(schema.calls.c.n)).scalars()) == costs
            assert connection.execute(select(func.sum(cost))).scalar_one() == math.fsum(costs)
            assert connection.execute(select(func.sum(cost)).where(cost > 9.0)).scalar_one() is None
            huge = connection.execute(select(func.sum(literal(1e15) + cost - cost))).scalar_one()
            assert huge == 1e15 * len(costs)


def test_two_lakes_are_read_together(tmp_path: Path) -> None:
    """Row numbers of two ledgers are the same, and their rows are still told apart."""
    for number in (1, 2):
        with open_ledger(tmp_path / f"{number}.db") as ledger:
            fill(ledger, number, tasks=20)
            LakeExport(ledger, tmp_path / "lakes" / str(number)).run()
            spent = build_report(ledger, WINDOWS[0], by="route").total
        with Lake(tmp_path / "lakes" / str(number)) as lake:
            assert build_report(lake, WINDOWS[0], by="route").total == spent
    with Lake(f"{tmp_path}/lakes/*") as lake:
        both = build_report(lake, WINDOWS[0], by="route").total
    assert (both.tasks, both.success.of > spent.success.of) == (40, True)


def test_a_column_that_an_older_langroute_did_not_write_has_its_default(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 1, tasks=5)
        LakeExport(ledger, tmp_path / "lake").run()
    for file in (tmp_path / "lake" / "calls").rglob("*.parquet"):
        parquet.write_table(parquet.ParquetFile(file).read().drop(["cache_write_1h", "first_token_s"]), file)
    with Lake(tmp_path / "lake") as lake:
        assert build_report(lake, WINDOWS[0]).total.calls > 0


# Export ---------------------------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    return [row for file in sorted((folder / table).rglob("*.parquet")) for row in parquet.ParquetFile(file).read().to_pylist()]


def test_everything_is_private_and_compressed(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 1, tasks=10)
        LakeExport(ledger, tmp_path / "lake").run()
    for path in (tmp_path / "lake", *(tmp_path / "lake").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    file = next((tmp_path / "lake" / "calls").rglob("*.parquet"))
    assert parquet.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


def test_traffic_is_that_of_the_export(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 4, tasks=30)
        LakeExport(ledger, tmp_path / "lake").run()
        expected = {line["id"]: line for line in export_traffic(ledger)}
    found = {}
    for row in rows_of(tmp_path / "lake", "traffic"):
        found[row["id"]] = {**row, **{name: json.loads(row[name]) for name in ("messages", "step", "outcomes")}}
        found[row["id"]].pop("day", None)
    assert found == expected


class Stopped(Exception):
    pass


def test_an_export_that_was_stopped_goes_on_and_another_begins_anew(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 5, tasks=40)
        LakeExport(ledger, whole).run()

        def stop(day: int, done: int, total: int) -> None:
            if done == 2:
                raise Stopped

        with pytest.raises(Stopped):
            LakeExport(ledger, parts, progress=stop).run()
        assert len(list((parts / "calls").iterdir())) == 2
        seen: list[int] = []
        LakeExport(ledger, parts, progress=lambda day, done, total: seen.append(done)).run()
        assert seen == [3, 4]
        assert files_of(parts) == files_of(whole)
        seen.clear()
        LakeExport(ledger, parts, progress=lambda day, done, total: seen.append(done)).run()
        assert seen == [1, 2, 3, 4]
        assert files_of(parts) == files_of(whole)


def test_a_killed_export_leaves_whole_files(tmp_path: Path) -> None:
    """Killed at any moment, the folder has whole days, and nothing of the kill stays after the next run."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 6, tasks=150)
        LakeExport(ledger, tmp_path / "whole").run()
    lake = tmp_path / "lake"
    code = "import sys; from langroute.cli import main; main()"
    command = [sys.executable, "-c", code, "export", "--ledger", str(tmp_path / "ledger.db"), "--parquet", str(lake)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: list(lake.glob("calls/*/*.new")) or running.poll() is not None)
    running.kill()
    running.wait()
    for file in lake.rglob("*.parquet"):
        parquet.ParquetFile(file).read()
    assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    assert files_of(lake) == files_of(tmp_path / "whole")


def test_days_that_the_ledger_let_go_stay_and_those_that_are_empty_now_go(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db", raw_days=2) as ledger:
        fill(ledger, 7, tasks=40)
        LakeExport(ledger, tmp_path / "lake").run()
        before = files_of(tmp_path / "lake")
        ledger.purge(NOW)
        stray = tmp_path / "lake" / "calls" / "day=2026-06-01"
        stray.mkdir(mode=0o700)
        shutil.copy(next((tmp_path / "lake" / "calls").rglob("*.parquet")), stray / "part-0.parquet")
        LakeExport(ledger, tmp_path / "lake").run()
        assert set(files_of(tmp_path / "lake")) == set(before)
        assert rows_of(tmp_path / "lake", "calls")
        assert files_of(tmp_path / "lake")["calls/day=2026-05-24/part-0.parquet"] == before["calls/day=2026-05-24/part-0.parquet"]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("Chapter 1")
    with open_ledger(tmp_path.parent / f"{tmp_path.name}.db") as ledger:
        with pytest.raises(DataError, match="something else"):
            LakeExport(ledger, tmp_path).run()
        LakeExport(ledger, tmp_path / "lake").run()
    with open_ledger(tmp_path / "other.db") as other, pytest.raises(DataError, match="another ledger"):
        LakeExport(other, tmp_path / "lake").run()
    for content in ("[]", "no JSON", '{"lake": 99, "ledger": ""}'):
        (tmp_path / "lake" / "lake.json").write_text(content)
        with pytest.raises(LedgerError, match="mark|Upgrade"):
            Lake(tmp_path / "lake")
    with pytest.raises(LedgerError, match="no lake"):
        Lake(tmp_path / "nowhere")


def test_commands_read_a_lake_as_they_read_a_ledger(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        fill(ledger, 8, tasks=30)
    run = CliRunner(mix_stderr=False) if "mix_stderr" in CliRunner.__init__.__code__.co_varnames else CliRunner()
    made = run.invoke(export, ["--ledger", str(tmp_path / "ledger.db"), "--parquet", str(tmp_path / "lake")])
    assert (made.exit_code, "4 days are in" in made.stderr) == (0, True)
    window = ["--since", "2026-05-01", "--until", "2026-05-27", "--format", "csv", "--by", "route"]
    reports = [run.invoke(report, ["--ledger", str(tmp_path / name), *window]) for name in ("ledger.db", "lake")]
    assert (reports[0].exit_code, reports[1].exit_code) == (0, 0), reports[1].exception
    assert reports[0].stdout == reports[1].stdout
    assert run.invoke(export, ["--ledger", str(tmp_path / "ledger.db"), "--parquet", "x", "--output", "y"]).exit_code == 1


@pytest.mark.parametrize("form", ["folder", "pattern", "url"])
def test_advice_and_analysis_of_a_lake_are_those_of_the_ledger(tmp_path: Path, form: str) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        # Days one after the other, because a lake is read by day and a ledger as it was written.
        fill(ledger, 9, tasks=40, days=1)
        LakeExport(ledger, tmp_path / "lake").run()
    traffic = tmp_path / "traffic.jsonl"
    run = CliRunner()
    assert run.invoke(export, ["--ledger", str(tmp_path / "ledger.db"), "--output", str(traffic)]).exit_code == 0
    lake = {"folder": f"{tmp_path}/lake", "pattern": f"{tmp_path}/lake/traffic/day=*/*.parquet", "url": f"file://{tmp_path}/lake"}[
        form
    ]
    for command in (advise, analyze):
        expected, found = (run.invoke(command, [str(place), "--format", "json"]) for place in (traffic, lake))
        assert (expected.exit_code, found.exit_code) == (0, 0), found.exception
        assert json.loads(found.stdout) == json.loads(expected.stdout)
    if form == "folder":
        expected, found = (
            run.invoke(advise, ["--ledger", f"{tmp_path}/{name}", "--format", "json"]) for name in ("ledger.db", "lake")
        )
        assert found.stdout == expected.stdout
