"""Run the demo's agent with its code as one subtask, begun anew in several ways or handed over, beside the runs of the demo.

    python benchmarks/subtasks.py                  # two local models, 15 tasks
    python benchmarks/subtasks.py --task add       # one task

The models answer at temperature 0, and runs that ask the same model the same thing share its answer, billed and timed as if made again;
so the runs differ by what they ask for alone. The tests that verify are those that the report counts as solved.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from langroute.demo.answers import remembering
from langroute.demo.compare import AGENTS, POLICIES, RunResult, Solved, compare, subtask_policy
from langroute.demo.tasks import tasks
from langroute.ledger import open_ledger
from langroute.local.servers import serve


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", help="only this task; may be repeated")
    parser.add_argument("--run", action="append", help="only this run; may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--directory", type=Path, help="where the local models are")
    parser.add_argument("--ledger", type=Path, help="keep the decisions in this file")
    parser.add_argument("--json", type=Path, help="write the numbers of each task to this file")
    given = parser.parse_args()
    with ExitStack() as stack:
        routes = {}
        for tier, name in (("cheap", "smollm2-135m"), ("frontier", "qwen2.5-coder-1.5b")):
            server = stack.enter_context(serve(name, directory=given.directory, threads=given.threads))
            routes[tier] = server.route(remembering(server.chat_model()))
        ledger = stack.enter_context(open_ledger(given.ledger)) if given.ledger is not None else None
        policies = {**POLICIES, **dict.fromkeys(AGENTS, subtask_policy)}
        policies = {name: policies[name] for name in given.run or policies}
        found: dict[str, list[RunResult]] = {name: [] for name in policies}
        # Task by task, so that what is there when it is stopped can be compared.
        for task in tasks(given.task):
            for run in compare(routes, [task], ledger=ledger, heard=_heard, policies=policies):
                found[run.name].append(run)
            if given.json is not None:
                given.json.write_text(json.dumps(_numbers(found), indent=1), encoding="utf-8")
    for name, runs in found.items():
        print(_line(name, runs))


def _heard(run: str, one: Solved) -> None:
    print(f"{run:<27} {one.task:<22} {'solved' if one.solved else one.failure:.60}", file=sys.stderr, flush=True)


def _numbers(found: Mapping[str, list[RunResult]]) -> dict[str, Any]:
    return {name: [[run.tasks[0].task, run.solved, run.cost_usd, run.calls] for run in runs] for name, runs in found.items()}


def _line(name: str, runs: list[RunResult]) -> str:
    costs = [run.cost_usd for run in runs]
    cost = "unknown" if None in costs else f"{sum(one for one in costs if one is not None):.5f}"
    solved, calls = sum(run.solved for run in runs), sum(run.calls for run in runs)
    return f"{name:<27} solved {solved:>2} of {len(runs)}   calls {calls:>3}   cost {cost} USD"


if __name__ == "__main__":
    main()
