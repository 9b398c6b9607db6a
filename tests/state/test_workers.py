"""Worker processes judge a canary together: on SQLite, PostgreSQL and Redis."""

from __future__ import annotations

import subprocess
import sys

from langroute.policies import Canary, Fixed

WORKER = """
import sys
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step
from langroute.policies import Canary, Fixed

where, me, count, tasks = sys.argv[1], *map(int, sys.argv[2:])
canary = Canary(Fixed("old"), Fixed("new"), share=0.5, margin=0.05, store=where)
for number in range(tasks):
    new = canary.takes_part(f"t{number}")
    route = "new" if new else "old"
    if number % count == me:
        canary.on_decision(Decision(f"d{number}", Step(task=f"t{number}"), route, (Attempt(Selection(route)),)))
    if (number + 1) % count == me:
        canary.on_outcome(Outcome(success=number % 2 == 0, task_id=f"t{number}"))
"""


def test_no_outcome_is_lost_or_counted_twice_between_processes(where: str) -> None:
    """Each task is decided in one process and judged in the next; the processes end without a word."""
    count, tasks = 3, 90
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, where, str(me), str(count), str(tasks)]) for me in range(count)]
    assert [worker.wait(60) for worker in workers] == [0] * count

    verdict = Canary(Fixed("old"), Fixed("new"), share=0.5, margin=0.05, store=where).verdict()
    assert verdict.old + verdict.new == tasks
