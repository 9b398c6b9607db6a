"""Worker processes fly one autopilot together: on SQLite, PostgreSQL and Redis."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from langroute.policies import Autopilot

WORKER = """
import sys
from langroute.core.records import Attempt, Decision, Outcome, Price, Request, RouteInfo, Step
from langroute.policies import Autopilot

where, me, count, tasks = sys.argv[1], *map(int, sys.argv[2:])
routes = (RouteInfo("small", price=Price(1, 4)), RouteInfo("large", rank=1, price=Price(10, 40)))
pilot = Autopilot(["small"], baseline="large", margin=0.5, store=where)
for number in range(tasks):
    if number % count == me:
        for part in range(2):
            step = Step(task=f"t{number}", task_kind="support")
            selection = pilot.select(Request("Hi.", step, routes), ())
            attempt = Attempt(selection, answer="Hm.", cost_usd=0.5)
            pilot.on_decision(Decision(f"d{number}/{part}", step, selection.route, (attempt,), cost_usd=0.5))
    if (number + 1) % count == me:
        pilot.on_outcome(Outcome(success=number % 10 != 0, task_id=f"t{number}"))
    if number % 20 == 0:
        pilot.changes()
"""


def test_no_task_is_lost_or_counted_twice_and_all_hear_the_verdict(where: str) -> None:
    """Each task is done in one process and judged in the next; the processes end without a word, and one more knows it all."""
    count, tasks = 3, 300
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, where, str(me), str(count), str(tasks)]) for me in range(count)]
    assert [worker.wait(120) for worker in workers] == [0] * count

    pilot = Autopilot(["small"], baseline="large", margin=0.5, store=where)
    for family in pilot.status()[:2]:
        assert sum(arm.given for arm in family.arms) == tasks
        assert sum(arm.told for arm in family.arms) == tasks
        assert sum(arm.told * (arm.success or 0) for arm in family.arms) == pytest.approx(0.9 * tasks)
        assert {round(arm.cost_usd, 6) for arm in family.arms if arm.cost_usd is not None} == {1.0}
    changes = [(change["family"], change["change"]) for change in pilot.changes()]
    assert changes.count(("all", "adopted")) == 1


def test_an_undone_change_is_undone_everywhere(where: str) -> None:
    """A worker that knows nothing of the undoing learns of it a moment later."""
    here, there = (Autopilot(["small"], baseline="large", margin=0.3, id="undone", store=where) for _ in range(2))
    for _ in range(60):
        here.add_pair("small", 1.0, 1.0)
    assert [change["change"] for change in there.changes() or (here.changes() and there.changes())] == ["adopted"]
    here.undo()
    until = time.monotonic() + 10
    while there.shares_in(("all",)) != {"large": 1.0} and time.monotonic() < until:
        time.sleep(0.1)
    assert there.shares_in(("all",)) == {"large": 1.0}
