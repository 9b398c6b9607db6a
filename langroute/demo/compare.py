"""What do three ways of choosing a model come to on the same tasks? Always cheap, always frontier, and routed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from langroute.chat_model import ChatRouter
from langroute.context import task as in_task
from langroute.demo.agent import TestsPass, build_agent
from langroute.demo.meter import Meter
from langroute.demo.tasks import Task
from langroute.policies.fixed import Fixed
from langroute.policies.rules import Rule, Rules
from langroute.records import Outcome
from langroute.verifiers import default_verifiers

STEPS = ("plan", "write", "repair", "summarize")
"""The agent's nodes that ask a model."""


def routed_policy() -> Rules:
    """How the routed run chooses: the cheap model goes first, the tests judge, the frontier model does what is left.

    Example:
        >>> [rule.route for rule in routed_policy().rules]
        ['frontier', 'cheap', 'cheap', 'cheap']
    """
    return Rules(
        [
            Rule("frontier", node="repair", why="the code of every route has failed its tests"),
            Rule("cheap", kind="edit", checked=True, why="the tests will tell whether it will do"),
            Rule("cheap", kind="plan", checked=True, why="the tests will judge what comes of it"),
            Rule("cheap", kind="summarize", checked=True, why="nothing depends on it"),
        ],
        otherwise="frontier",
    )


POLICIES: Mapping[str, Callable[[], Any]] = {
    "always cheap": lambda: Fixed("cheap"),
    "always frontier": lambda: Fixed("frontier"),
    "routed": routed_policy,
}
"""The three runs, each with its policy."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What came of one task in one run."""

    task: str
    solved: bool
    passed: int
    total: int
    repairs: int
    seconds: float
    cost_usd: float | None
    failure: str = ""
    decision_id: str = ""
    """Of the step that wrote the code."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of one run."""

    name: str
    tasks: tuple[Solved, ...]
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    seconds: float
    """As if every call had been made: models, tests and all."""

    went: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cost_by_step: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def solved(self) -> int:
        """How many tasks were solved."""
        return sum(task.solved for task in self.tasks)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs, and what they ran on."""

    runs: tuple[RunResult, ...]
    models: Mapping[str, str]
    """Route → model."""

    date: str = ""
    machine: str = ""
    elapsed_s: float = 0.0
    """What the comparison took in all; less than the runs together, which share answers."""

    def run(self, name: str) -> RunResult:
        """The run of that name."""
        return next(run for run in self.runs if run.name == name)

    @property
    def saved(self) -> float | None:
        """Share of always-frontier's cost that routing saved."""
        routed, frontier = self.run("routed").cost_usd, self.run("always frontier").cost_usd
        return None if routed is None or not frontier else 1 - routed / frontier

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        found = asdict(self)
        for plain, run in zip(found["runs"], self.runs, strict=True):
            plain["solved"] = run.solved
        return {**found, "saved": self.saved}


def compare(
    routes: Mapping[str, Any],
    tasks: Sequence[Task],
    *,
    ledger: Any = None,
    heard: Callable[[str, Solved], None] | None = None,
) -> tuple[RunResult, ...]:
    """Run the agent on every task, once for each policy.

    Args:
        routes: A `cheap` and a `frontier` route. Where their models remember answers (see `remembering`), the runs share them.
        tasks: What to do.
        ledger: Keeps the decisions and outcomes of all runs.
        heard: Told of each task when it is done, with the run's name.
    """
    found = []
    for name, policy in POLICIES.items():
        meter = Meter()
        verifiers = (*default_verifiers(), TestsPass(tasks))
        model = ChatRouter(dict(routes), policy=policy(), verifier=verifiers, default="frontier", ledger=ledger, hooks=[meter])
        agent = build_agent(model)
        solved = []
        for task in tasks:
            solved.append(_solve(name, task, agent, model, meter))
            if heard is not None:
                heard(name, solved[-1])
        found.append(_result(name, solved, meter))
    return tuple(found)


def _solve(run: str, task: Task, agent: Any, model: ChatRouter, meter: Meter) -> Solved:
    calls, decisions, begun = len(meter.calls), len(meter.decisions), time.perf_counter()
    with in_task(f"{run}/{task.name}", kind="function"):
        state = agent.invoke({"task": task}, {"callbacks": [meter]})
    own = time.perf_counter() - begun
    made, decided = meter.calls[calls:], meter.decisions[decisions:]
    tested = state["tested"]
    model.router.record_outcome(
        Outcome("tests", tested.passed / tested.total, tested.ok, task_id=f"{run}/{task.name}", source="tests", at=time.time())
    )
    costs = [decision.cost_usd for decision in decided]
    return Solved(
        task=task.name,
        solved=tested.ok,
        passed=tested.passed,
        total=tested.total,
        repairs=state.get("repairs", 0),
        # The tests and the graph took what they took; a call that was not made again counts as if it had been.
        seconds=own - sum(call.waited for call in made) + sum(call.seconds for call in made),
        cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        failure="" if tested.ok else tested.failures[0],
        decision_id=next((decision.id for decision in reversed(decided) if decision.step.kind == "edit"), ""),
    )


def _result(name: str, solved: Sequence[Solved], meter: Meter) -> RunResult:
    return RunResult(
        name=name,
        tasks=tuple(solved),
        calls=len(meter.calls),
        input_tokens=sum(call.input_tokens for call in meter.calls),
        output_tokens=sum(call.output_tokens for call in meter.calls),
        cost_usd=meter.cost_usd,
        seconds=sum(task.seconds for task in solved),
        went=meter.went(),
        cost_by_step=meter.cost_by_step(),
    )
