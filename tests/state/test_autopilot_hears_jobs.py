"""An autopilot hears the outcomes that a CI job or a git hook writes to the ledger, in a process of its own that knows no router."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from langroute import ChatRouter, Route, task
from langroute.ledger.sql import SqlLedger
from langroute.policies import Autopilot
from langroute.testing import ScriptedModel

JOB = """
import sys
from langroute.cli import cli
ledger, level, *names = sys.argv[1:]
for name in names:
    task, _, said = name.partition("=")
    how = ["--ledger", ledger, "--level", level, "--source", "ci", *(["--thread"] if task.startswith("conversation") else [])]
    cli(["outcome", task, f"--{said}", *how], standalone_mode=False)
"""


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db") if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


def job(where: str, level: str, *told: str) -> None:
    subprocess.run([sys.executable, "-c", JOB, where, level, *told], check=True, timeout=100)


def app(ledger: SqlLedger) -> tuple[ChatRouter, Autopilot]:
    routes = {
        "small": Route(ScriptedModel("Done."), price={"input": 1, "output": 4}),
        "large": Route(ScriptedModel("Done."), price={"input": 10, "output": 40}),
    }
    pilot = Autopilot(["small"], baseline="large", margin=0.2)
    return ChatRouter(routes, policy=pilot, ledger=ledger), pilot


@pytest.fixture
def apps(database: str, request: pytest.FixtureRequest) -> Iterator[list[tuple[ChatRouter, Autopilot]]]:
    """Two workers of a service, each with a ledger object of its own on the one database."""
    ledgers = [SqlLedger(database, level=getattr(request, "param", "metadata"), flush_interval_s=0.01) for _ in range(2)]
    yield [app(ledger) for ledger in ledgers]
    for ledger in ledgers:
        ledger.close()


def told(pilot: Autopilot) -> int:
    return sum(arm.told for arm in pilot.status()[0].arms)


def worked(apps: list[tuple[ChatRouter, Autopilot]], names: list[str], *, threads: bool = False) -> None:
    """Each task is done by one worker; afterwards both have begun to read what others write."""
    for number, name in enumerate(names):
        model, _ = apps[number % 2]
        if threads:
            model.invoke("Fix it.", {"configurable": {"thread_id": name}})
        else:
            with task(name, kind="fix"):
                model.invoke("Fix it.")
    for model, _ in apps:
        model.router.ledger.flush()
        wait_until(lambda model=model: model.router.ledger.feed.heard_to is not None)


@pytest.mark.parametrize(
    ("database", "apps", "threads"),
    [("sqlite", "minimal", True), ("postgres", "metadata", False)],
    indirect=["database", "apps"],
    ids=["SQLite, threads stored as hashes", "PostgreSQL, tasks"],
)
def test_a_job_that_knows_only_the_ledger_tells_every_worker_once(
    database: str, apps: list[tuple[ChatRouter, Autopilot]], threads: bool
) -> None:
    names = [f"{'conversation' if threads else 'change'}-{number}" for number in range(4)]
    worked(apps, names, threads=threads)
    job(database, apps[0][0].router.ledger.level, *(f"{name}={'failure' if name == names[0] else 'success'}" for name in names))

    for _, pilot in apps:
        wait_until(lambda pilot=pilot: told(pilot) == len(names))
    for model, _ in apps:
        model.router.ledger.feed.poll(model.router.ledger)
    for _, pilot in apps:
        arms = pilot.status()[0].arms
        assert sum(arm.told * (arm.success or 0.0) for arm in arms) == len(names) - 1
        assert told(pilot) == len(names)
    # It is one task in the ledger too, and no second one beside it.
    model, _ = apps[0]
    failed = model.router.ledger.task(model.router.ledger.thread_task(names[0]) if threads else names[0])
    assert (failed.success, failed.decisions) == (False, 1)


def test_a_mistyped_ledger_is_said_and_not_made(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from langroute.cli import cli
    from langroute.core.errors import LedgerError

    result: Any = CliRunner().invoke(cli, ["outcome", "t", "--success", "--ledger", str(tmp_path / "none.db")])
    assert isinstance(result.exception, LedgerError)
    assert not (tmp_path / "none.db").exists()
