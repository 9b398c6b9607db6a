"""Comparison of three policies on the same tasks: always cheap, always frontier, and routed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from langroute.core.records import Outcome
from langroute.core.task_context import task as in_task
from langroute.demo.agent import TestsPass, build_agent, build_handover_agent, build_subtask_agent
from langroute.demo.meter import Meter
from langroute.demo.tasks import DemoTask
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.fixed import Fixed
from langroute.policies.rules import Rule, Rules
from langroute.verifiers import default_verifiers

STEPS = ("plan", "write", "repair", "summarize")
"""The agent's nodes that call a model."""


def routed_policy() -> Rules:
    """Return the policy of the routed run: cheap model first, tests as verifier, frontier model for what fails.

    Example:
        >>> [rule.route for rule in routed_policy().rules]
        ['frontier', 'cheap', 'cheap', 'cheap']
    """
    return Rules(
        [
            Rule("frontier", node="repair", why="the code of every route has failed its tests"),
            Rule("cheap", kind="edit", verify=True, why="the tests will tell whether it will do"),
            Rule("cheap", kind="plan", verify=True, why="the tests will judge what comes of it"),
            Rule("cheap", kind="summarize", verify=True, why="nothing depends on it"),
        ],
        default="frontier",
    )


POLICIES: Mapping[str, Callable[[], Any]] = {
    "always cheap": lambda: Fixed("cheap"),
    "always frontier": lambda: Fixed("frontier"),
    "routed": routed_policy,
}
"""The three runs, each with its policy."""

SUBTASK = "code as a subtask"
"""A run that sends the work as a whole to one route, and to the next one where its tests fail."""

BRIEF = "only the last route repairs"
"""The same, where a route that another one follows does not repair what its tests reject."""

KEPT_PLAN = "and keeps the plan"
"""The same again, where the next route goes by the first one's plan."""

HANDOVER = "code handed over"
"""A run in which the next route repairs what the first one wrote."""

AGENTS: Mapping[str, Callable[[ChatRouter], Any]] = {
    SUBTASK: build_subtask_agent,
    BRIEF: partial(build_subtask_agent, repairs_last=True),
    KEPT_PLAN: partial(build_subtask_agent, repairs_last=True, keeps_plan=True),
    HANDOVER: build_handover_agent,
}
"""Runs whose agent is another one."""


def subtask_policy() -> Rules:
    """Return the policy of the steps around the subtask: the summary goes to the cheap model, as in the routed run."""
    return Rules([Rule("cheap", kind="summarize", verify=True, why="nothing depends on it")], default="frontier")


@dataclass(frozen=True, slots=True)
class Solved:
    """Result of one task in one run."""

    task: str
    solved: bool
    passed: int
    total: int
    repairs: int
    seconds: float
    cost_usd: float | None
    failure: str = ""
    decision_id: str = ""
    """Decision of the step that wrote the code."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of one run."""

    name: str
    tasks: tuple[Solved, ...]
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    seconds: float
    """Total time as if every call had been made: models, tests and the graph."""

    went: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cost_by_step: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def solved(self) -> int:
        """Number of solved tasks."""
        return sum(task.solved for task in self.tasks)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of all runs, with the models and machine they ran on."""

    runs: tuple[RunResult, ...]
    models: Mapping[str, str]
    """Route → model."""

    date: str = ""
    machine: str = ""
    elapsed_s: float = 0.0
    """Elapsed time of the whole comparison; less than the sum of the runs, which share answers."""

    def run(self, name: str) -> RunResult:
        """Return the run with this name."""
        return next(run for run in self.runs if run.name == name)

    @property
    def saved(self) -> float | None:
        """Share of always-frontier's cost that routing saved."""
        routed, frontier = self.run("routed").cost_usd, self.run("always frontier").cost_usd
        return None if routed is None or not frontier else 1 - routed / frontier

    def as_dict(self) -> dict[str, Any]:
        """Return all results as plain values."""
        found = asdict(self)
        for plain, run in zip(found["runs"], self.runs, strict=True):
            plain["solved"] = run.solved
        return {**found, "saved": self.saved}


def compare(
    routes: Mapping[str, Any],
    tasks: Sequence[DemoTask],
    *,
    ledger: Any = None,
    heard: Callable[[str, Solved], None] | None = None,
    policies: Mapping[str, Callable[[], Any]] = POLICIES,
) -> tuple[RunResult, ...]:
    """Run the agent on every task, once for each policy.

    Args:
        routes: A `cheap` and a `frontier` route. Where their models remember answers (see `remembering`), the runs share them.
        tasks: The tasks.
        ledger: Stores the decisions and outcomes of all runs.
        heard: Called with the run's name and each finished task.
        policies: The runs, each with its policy.
    """
    found = []
    for name, policy in policies.items():
        meter = Meter()
        verifiers = (*default_verifiers(), TestsPass(tasks))
        model = ChatRouter(dict(routes), policy=policy(), verifier=verifiers, default="frontier", ledger=ledger, hooks=[meter])
        build: Callable[[ChatRouter], Any] = AGENTS.get(name, build_agent)
        agent = build(model)
        solved = []
        for task in tasks:
            solved.append(solve(f"{name}/{task.name}", task, agent, model, meter))
            if heard is not None:
                heard(name, solved[-1])
        found.append(_result(name, solved, meter))
    return tuple(found)


def solve(name: str, task: DemoTask, agent: Any, model: ChatRouter, meter: Meter, *, kind: str = "function") -> Solved:
    """Let the agent do one task, tell the router what came of it, and return the result.

    Args:
        name: The task's id; it ends with `/` and the task's name, by which its tests are found.
        task: The task.
        agent: The agent, whose model is `model`.
        model: A router with `meter` among its hooks.
        meter: What the calls are read from.
        kind: Kind of the task, for reports and policies.
    """
    calls, decisions, begun = len(meter.calls), len(meter.decisions), time.perf_counter()
    with in_task(name, kind=kind):
        state = agent.invoke({"task": task}, {"callbacks": [meter]})
    own = time.perf_counter() - begun
    made, decided = meter.calls[calls:], meter.decisions[decisions:]
    tested = state["tested"]
    model.router.record_outcome(
        Outcome("tests", tested.passed / tested.total, tested.ok, task_id=name, source="tests", at=time.time())
    )
    costs = [decision.cost_usd for decision in decided]
    return Solved(
        task=task.name,
        solved=tested.ok,
        passed=tested.passed,
        total=tested.total,
        repairs=state.get("repairs", 0),
        # The measured time, with each replayed call counted as if it had been made again.
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
