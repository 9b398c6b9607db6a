"""Coding agents as they are installed finish a task through `langroute serve`, in a network namespace that has loopback alone.

Where they are looked for stands in `agent_clients.py`. `LANGROUTE_AGENTS=DIR pytest tests/gateway/test_real_clients.py -k "opencode and drop"`
runs some of it; what was seen of each is added to the file `$LANGROUTE_AGENTS_SEEN`, if there is one. What the agents send is not kept.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent_clients import CLIENTS, Client
from alone import BREAKS, FAULTS, REFUSALS
from provider import USAGE_OUT
from scripted_task import CALC, RAN

pytestmark = [pytest.mark.slow, pytest.mark.server]

HERE = Path(__file__).resolve().parent
COST = (1000 * 10 + USAGE_OUT * 20) / 1e6

WAYS = [(name, mode) for name, client in CLIENTS.items() for mode in ("same", "other", *client.across)]
"""Clients, each with the routes that answer it: of its protocol, another model's, of other protocols."""


@pytest.fixture
def agents() -> Path:
    """The folder with the clients."""
    named = os.environ.get("LANGROUTE_AGENTS")
    if not named:
        pytest.skip("needs coding agents in $LANGROUTE_AGENTS")
    if os.name != "posix" or os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs unshare, as root: the agents run without a network")
    return Path(named)


def ran(name: str, mode: str, fault: str | None, agents: Path, folder: Path) -> dict[str, Any]:
    """Run an agent; return what was seen."""
    client = CLIENTS[name]
    if not (agents / client.program).exists():
        pytest.skip(f"needs {client.program} in {agents}")
    asked = client.believes if mode == "other" else "langroute/auto"
    order = {
        **client.order(asked, str(agents)), "mode": mode, "fault": fault, "finishes": name == "mini", "writes_itself": client.writes_itself,
    }  # fmt: skip
    (folder / "work").mkdir()
    (folder / "home").mkdir()
    for file, text in order.pop("files").items():
        (folder / "home" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "home" / file).write_text(text)
    git = "git -c user.name=t -c user.email=t@example.invalid"
    subprocess.run(f"git init -q . && {git} commit -qm i --allow-empty", shell=True, cwd=folder / "work", check=True)
    (folder / "order.json").write_text(json.dumps(order))
    done = subprocess.run(
        ["unshare", "-n", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, str(HERE / "alone.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE), str(HERE.parent / "support")])},
        capture_output=True, text=True, timeout=230, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "told.json").read_text())


def finished(folder: Path) -> bool:
    file = folder / "work" / "calc.py"
    return file.exists() and file.read_text() == CALC


def noted(name: str, mode: str, fault: str | None, told: dict[str, Any], folder: Path) -> None:
    """Add what was seen to the file that asks for it."""
    if file := os.environ.get("LANGROUTE_AGENTS_SEEN"):
        notes = folder / "work" / "ran"
        seen = {"client": name, "mode": mode, "fault": fault, "ran": notes.read_text() if notes.exists() else "", **told}
        with Path(file).open("a") as out:
            out.write(json.dumps(seen) + "\n")


@pytest.mark.parametrize("fault", [None, *FAULTS])
@pytest.mark.parametrize("name, mode", WAYS)
@pytest.mark.timeout(300)
def test_a_real_client_finishes_its_task(name: str, mode: str, fault: str | None, agents: Path, tmp_path: Path) -> None:
    client = CLIENTS[name]
    told = ran(name, mode, fault, agents, tmp_path)
    noted(name, mode, fault, told, tmp_path)
    assert not [call["refused"] for call in told["calls"] if call["refused"]], "a model was sent what it does not take"
    shown = fault in BREAKS or reaches_the_client(mode, fault)
    stops = shown and fault in client.stops
    check_work(client, tmp_path, stops)
    failed = [step for step in told["steps"] if step["route"] is None]
    # What is sent again after a broken stream is the same step; after a refusal it is a new one.
    assert len(failed) == (1 if reaches_the_client(mode, fault) or stops else 0), "a step was doubled"
    check_books(told)


def reaches_the_client(mode: str, fault: str | None) -> bool:
    """Whether a refusal does: where there is another route, it answers, and what passes by itself is tried again."""
    return fault in REFUSALS and (mode == "same" or (mode != "other" and fault in ("context", "402")))


def check_work(client: Client, folder: Path, stops: bool) -> None:
    """Each command was run once and as a whole, or files were written once."""
    notes = folder / "work" / "ran"
    if stops:
        assert not notes.exists() or notes.read_text() == RAN[:2], "half a command was run"
        return
    assert finished(folder), (folder / "said").read_text(errors="replace")[-1000:]
    if client.writes_itself:
        commits = subprocess.run(["git", "log", "--oneline"], cwd=folder / "work", capture_output=True, text=True, check=True)
        assert len(commits.stdout.splitlines()) == 2, "the files were written more than once"
    else:
        assert notes.read_text() == RAN, "a command was run in half, or again"


def check_books(told: dict[str, Any]) -> None:
    """The ledger has each call of the provider's log, each step once, and what they cost."""
    calls, steps = told["calls"], told["steps"]
    whole = [call for call in calls if call["ended"] == "whole" and not call["status"]]
    attempts = [attempt for step in steps for attempt in step["attempts"]]
    assert len(attempts) == len(calls), "a call is missing in the ledger, or there twice"
    answered = [step for step in steps if step["route"] is not None]
    assert len(answered) == len(whole), "a step was doubled"
    good = [attempt for attempt in attempts if attempt["error"] is None]
    assert [attempt["cost"] for attempt in good] == [pytest.approx(COST)] * len(whole)
    # An error that is told in the place of a whole answer is a refusal, whatever its status.
    instead = [call for call in calls if call["how"] == "error" and not call["stream"]]
    refused = [call for call in calls if call["status"]] + instead
    broken = [call for call in calls if call["ended"] == "cut" and call not in instead]
    # What half an answer that is no stream has cost is unknown.
    costs = sorted(-1 if attempt["cost"] is None else attempt["cost"] for attempt in attempts if attempt["error"] is not None)
    assert costs.count(-1) == sum(not call["stream"] for call in broken)
    assert len(costs) == len(refused) + len(broken)
    assert costs.count(0) == len(refused), "what was heard of a broken answer is paid for, and a refusal is not"
