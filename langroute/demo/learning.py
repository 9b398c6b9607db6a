"""Autopilot on a stream of the demo's tasks: it begins on the frontier model, tries cheaper ways, and moves what is proven.

The tasks come again and again in random order, as tickets of a few kinds do. Answers to the same request are kept (see `remembering`), so
each task is billed as if its calls were made and takes no time of a model after its first runs. Every outcome is that of real tests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from langroute.demo.agent import TestsPass, build_agent
from langroute.demo.compare import Comparison, routed_policy, solve
from langroute.demo.meter import Meter
from langroute.demo.sandbox import SandboxLimits, Tested, run_tests
from langroute.demo.tasks import SIZES, DemoTask, size_of
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.autopilot import Autopilot
from langroute.policies.autopilot_status import FamilyStatus
from langroute.verifiers import default_verifiers

RUN = "autopilot"
"""First word of its tasks' ids."""

ID = "demo"
"""Its name in the ledger."""

ARMS = {"cheap": "always cheap", "routed": "routed"}
"""What it may try, each with the run of the comparison that does the same."""

BASELINE_RUN = "always frontier"

MARGIN, SHARE = 0.1, 0.5
"""It may solve one task of ten less, and half of the tasks are on trial: a short trial, for a demo."""

STRETCHES = 4


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the stream, beside what the frontier model has for the same tasks."""

    tasks: int
    solved: int
    cost_usd: float | None
    frontier_solved: int
    frontier_usd: float | None

    @property
    def saved(self) -> float | None:
        """Share of the frontier model's cost that was saved."""
        return None if self.cost_usd is None or not self.frontier_usd else 1 - self.cost_usd / self.frontier_usd


@dataclass(frozen=True, slots=True)
class LearnedStream:
    """What the autopilot did and knows."""

    margin: float
    stretches: tuple[Stretch, ...]
    families: tuple[FamilyStatus, ...]
    """The widest first."""

    changes: tuple[Mapping[str, Any], ...]
    by_size: Mapping[str, Mapping[str, tuple[int, int, float | None]]]
    """Label → way → solved tasks, tasks and cost of the comparison's runs: what it had to find out."""

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "margin": self.margin,
            "stretches": [asdict(one) for one in self.stretches],
            "families": [asdict(one) for one in self.families],
            "changes": [dict(one) for one in self.changes],
            "by_size": {size: {way: list(found) for way, found in ways.items()} for size, ways in self.by_size.items()},
        }


class TestsOnce:
    """Runs the tests of the same code once: they have no other result the second time."""

    __test__ = False  # for pytest: no collection of tests

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Tested] = {}

    def __call__(self, code: str, task: DemoTask, limits: SandboxLimits) -> Tested:
        """Return the result of a task's tests on code."""
        found = self._known.get((task.name, code))
        if found is None:
            found = self._known[task.name, code] = run_tests(code, task, limits)
        return found


def learn(
    routes: Mapping[str, Any],
    tasks: Sequence[DemoTask],
    comparison: Comparison,
    *,
    count: int,
    margin: float = MARGIN,
    ledger: Any = None,
    seed: int = 0,
    heard: Callable[[int, Sequence[Mapping[str, Any]]], None] | None = None,
) -> LearnedStream:
    """Let an autopilot do a stream of tasks.

    Args:
        routes: A `cheap` and a `frontier` route, whose models remember answers.
        tasks: The tasks that come in random order.
        comparison: Of the same routes and tasks: what each of the ways has for each of them.
        count: Number of tasks of the stream.
        margin: By how much less a cheaper way may solve.
        ledger: Has the decisions, the outcomes and the autopilot's state.
        seed: Of the order.
        heard: Called after each task with their number and the changes of mind so far.
    """
    meter, testing = Meter(), TestsOnce()
    pilot = Autopilot(
        {"cheap": "cheap", "routed": routed_policy()}, baseline="frontier", margin=margin, share=SHARE, family=_families, id=ID
    )
    verifiers = (*default_verifiers(), TestsPass(tasks, testing=testing))
    model = ChatRouter(dict(routes), policy=pilot, verifier=verifiers, default="frontier", ledger=ledger, hooks=[meter])
    agent = build_agent(model, testing=testing)
    frontier = {one.task: one for one in comparison.run(BASELINE_RUN).tasks}
    draw = random.Random(seed)  # noqa: S311 - an order of tasks, no secret
    done, there = [], []
    for number in range(count):
        task = draw.choice(list(tasks))
        done.append(solve(f"{RUN}/{number}/{task.name}", task, agent, model, meter, kind=size_of(task)))
        there.append(frontier[task.name])
        if heard is not None:
            heard(number + 1, pilot.changes() if number % 10 == 9 else ())
    families, changes = pilot.status(), pilot.changes()
    return LearnedStream(
        margin,
        tuple(_stretch(done[begin:end], there[begin:end]) for begin, end in _bounds(count)),
        tuple(families),
        tuple(changes),
        _by_size(comparison, tasks),
    )


def _families(step: Any) -> tuple[str, ...]:
    """Return the parts of a step's family: the label of its task alone. All steps of a task are of one graph."""
    return (f"size={step.task_kind}",)


def _bounds(count: int) -> list[tuple[int, int]]:
    marks = [count * place // STRETCHES for place in range(STRETCHES + 1)]
    return [(begin, end) for begin, end in pairwise(marks) if end > begin]


def _stretch(done: Sequence[Any], there: Sequence[Any]) -> Stretch:
    return Stretch(len(done), sum(one.solved for one in done), _cost(done), sum(one.solved for one in there), _cost(there))


def _cost(solved: Sequence[Any]) -> float | None:
    costs = [one.cost_usd for one in solved]
    return None if None in costs else float(sum(costs))


def _by_size(comparison: Comparison, tasks: Sequence[DemoTask]) -> dict[str, dict[str, tuple[int, int, float | None]]]:
    found: dict[str, dict[str, tuple[int, int, float | None]]] = {}
    for size in SIZES:
        names = {task.name for task in tasks if size_of(task) == size}
        for way, run in {"frontier": BASELINE_RUN, **ARMS}.items():
            some = [one for one in comparison.run(run).tasks if one.task in names]
            if some:
                found.setdefault(size, {})[way] = (sum(one.solved for one in some), len(some), _cost(some))
    return found
