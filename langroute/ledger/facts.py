"""Records of calls and tasks, the `TaskLedger` protocol, and the totals computed from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from langroute.core.records import TOKENS, Decision, Outcome, Usage
from langroute.core.resolve_task import LABELS, label_keys, label_of, resolve_task
from langroute.core.storable import text_of
from langroute.core.task_context import Task

HITS = ("hit", "semantic_hit")
"""Cache statuses of an answer from the response cache."""

JUDGE_TAG = "langroute:judge"
"""Tag of a model call that checks another one's answer."""


JUDGED = "shadow_judge"
"""Key of the outcomes that say how a shadow's judge scored the answer of the route in use; they decide nothing."""

PAID = ("model", "judge", "shadow")
"""Kinds of calls that are billed."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One observed call, made by a router or by anything else."""

    task_id: str
    what: str = "model"
    """`model`, `judge` (a model call that checks another one's answer), `shadow` (one whose answer nobody waits for), `tool`, `retriever`, or
    `subtask` (an attempt at a whole subtask, whose model calls are recorded beside it and billed there)."""

    at: float = 0.0
    """Start time in seconds since the epoch."""

    run_id: str | None = None
    decision_id: str | None = None
    attempt: int = 0
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    tier: str | None = None
    node: str | None = None
    step_kind: str | None = None
    agent: str | None = None
    tool: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    verify_usd: float | None = 0.0
    """Cost of checking its answer; `None` if unknown."""

    cost_basis: str | None = None
    """`router`, `list` (list price), `own` (the user's price), `stated` (by the provider), `cache` (nothing was billed), `decision` (billed with the decision
    it checked), `refused` (an error that is not billed); `None` where the price is unknown."""

    latency_s: float = 0.0
    first_token_s: float | None = None
    error_type: str | None = None
    cache: str | None = None
    """`hit` or `semantic_hit` when the answer came from a response cache."""

    kept: bool = True
    """Whether its answer was used."""

    retry: bool = False
    """Whether the same call had been tried before."""

    score: float | None = None
    messages: Sequence[Any] = ()
    """The input; stored at level `full` only."""

    answer: Any = None
    """The output; stored at level `full` only."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The start or the end of a task."""

    id: str
    state: str | None = None
    """`ok`, `error`, `interrupted`, `cancelled`, `abandoned`; `None` while it runs."""

    started_at: float = 0.0
    ended_at: float | None = None
    root_run_id: str | None = None
    kind: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a task that went to one route, model, node or kind of step."""

    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """Totals of one task. Costs sum what is known; `unknown_costs` counts the calls they leave out."""

    id: str
    kind: str | None = None
    state: str | None = None
    success: bool | None = None
    decisions: int = 0
    calls: int = 0
    """Model calls, the router's own checks included."""

    errors: int = 0
    retries: int = 0
    escalations: int = 0
    cache_hits: int = 0
    tools: int = 0
    tool_errors: int = 0
    judges: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0
    verify_usd: float = 0.0
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    overhead_s: float = 0.0
    by_route: Mapping[str, Share] = field(default_factory=dict)
    by_model: Mapping[str, Share] = field(default_factory=dict)
    by_node: Mapping[str, Share] = field(default_factory=dict)
    by_step_kind: Mapping[str, Share] = field(default_factory=dict)
    by_basis: Mapping[str, Share] = field(default_factory=dict)


@runtime_checkable
class TaskLedger(Protocol):
    """A ledger that also stores what a tracker observes, and returns the totals of a task."""

    def record(self, decision: Decision) -> None:
        """Store a decision."""
        ...

    def record_outcome(self, outcome: Outcome) -> None:
        """Store an outcome."""
        ...

    def record_call(self, call: CallRecord | Callable[[], CallRecord]) -> None:
        """Store a call that no router of this ledger made.

        A callable that returns the record is called off the caller's path if possible.
        """
        ...

    def record_task(self, task: TaskRecord) -> None:
        """Store the start or the end of a task."""
        ...

    def claim(self, decision_id: str, task_id: str) -> None:
        """Assign a decision to a task, before or after the decision is recorded."""
        ...

    def knows(self, decision_id: str) -> bool:
        """Return whether the decision was recorded here recently. Reads memory only."""
        ...

    def thread_task(self, thread: str) -> str:
        """Return the task id of a thread that was given no other task id."""
        ...

    def task(self, task_id: str) -> TaskTotals | None:
        """Return the totals of a task, or `None`."""
        ...

    def flush(self) -> None:
        """Block until everything recorded so far is stored."""
        ...


def calls_of(decision: Decision, task_id: str) -> list[CallRecord]:
    """Return the attempts of a decision as calls; the closing text of a used-up budget is none.

    Example:
        >>> from langroute.core.records import Attempt, Selection, Step
        >>> decision = Decision("d1", Step("title"), "small", (Attempt(Selection("small"), cost_usd=0.1, model="m"),))
        >>> [(call.route, call.step_kind, call.cost_usd) for call in calls_of(decision, "t1")]
        [('small', 'title', 0.1)]
    """
    step, kept = decision.step, decision.kept
    found = []
    before: str | None = None
    for index, attempt in enumerate(decision.attempts):
        if attempt.is_closing:
            continue
        checks = [verdict.cost_usd for verdict in attempt.verdicts]
        verify_usd: float | None = None if None in checks else sum(checks)  # type: ignore[arg-type]
        if decision.subtask and verify_usd != 0:
            found.append(_check_of(decision, task_id, index, verify_usd))
            verify_usd = 0.0
        hit = attempt.cache if attempt.cache in HITS else None
        is_kept = attempt is kept
        found.append(
            CallRecord(
                task_id,
                "subtask" if decision.subtask else "model",
                at=decision.started_at,
                run_id=decision.run_id if is_kept else None,
                decision_id=decision.id,
                attempt=index,
                route=attempt.route,
                model=attempt.model or attempt.asked_model,
                provider=attempt.provider or _text(decision.metadata.get("ls_provider")),
                tier=attempt.tier or (decision.tier if attempt.route == decision.route else None),
                node=step.node,
                step_kind=step.kind,
                agent=step.agent,
                usage=attempt.usage,
                cost_usd=attempt.cost_usd,
                verify_usd=verify_usd,
                cost_basis=_basis(attempt.cost_usd, hit),
                latency_s=attempt.latency_s,
                first_token_s=attempt.first_token_s,
                error_type=attempt.error_type,
                cache=hit,
                kept=is_kept,
                retry=attempt.route == before,
                score=attempt.score,
            )
        )
        before = attempt.route
    return found


def _check_of(decision: Decision, task_id: str, index: int, cost_usd: float | None) -> CallRecord:
    """Return the paid checks of an attempt at a subtask as a call: they are nobody else's."""
    step = decision.step
    return CallRecord(
        task_id,
        "judge",
        at=decision.started_at,
        decision_id=decision.id,
        attempt=index,
        node=step.node,
        step_kind=step.kind,
        agent=step.agent,
        cost_usd=cost_usd,
        cost_basis=_basis(cost_usd, None),
        kept=False,
    )


def avoided_usd(decision: Decision) -> float | None:
    """Return the cost that a cache hit avoided: what the call cost when it was made, else the baseline.

    Example:
        >>> from langroute.core.records import Attempt, Selection, Step
        >>> hit = Attempt(Selection("small"), cost_usd=0.0, cache="hit")
        >>> avoided_usd(Decision("d1", Step(), "small", (hit,), cache="hit", baseline_cost_usd=0.25))
        0.25
    """
    kept = decision.kept
    if kept is None or kept.cache not in HITS:
        return None
    stored = kept.stored
    return stored.cost_usd if stored is not None and stored.cost_usd is not None else decision.baseline_cost_usd


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _basis(cost_usd: float | None, cache: str | None) -> str | None:
    if cache is not None:
        return "cache"
    return None if cost_usd is None else "router"


def only_chosen(decision: Decision) -> bool:
    """Return whether the decision called no model: it only picked a branch of a graph, or its budget was used up before."""
    attempts = [attempt for attempt in decision.attempts if not attempt.is_closing]
    if len(attempts) != 1:
        return not attempts
    attempt = attempts[0]
    return (
        attempt.latency_s == 0.0
        and attempt.usage is None
        and attempt.error_type is None
        and attempt.cache not in HITS
        and attempt.cost_usd is None
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """Numbers of retries, fallbacks and escalations of a decision."""

    retries: int = 0
    fallbacks: int = 0
    escalations: int = 0


def changes_of(decision: Decision) -> Changes:
    """Count the retries (same route), fallbacks (after an error) and escalations (after a rejected answer) of a decision.

    Example:
        >>> from langroute.core.records import Attempt, Selection, Step
        >>> weak, strong = Attempt(Selection("small"), score=0.1), Attempt(Selection("large"), score=1.0)
        >>> changes_of(Decision("d1", Step(), "large", (weak, strong)))
        Changes(retries=0, fallbacks=0, escalations=1)
    """
    retries = fallbacks = escalations = 0
    for earlier, later in zip(decision.attempts, decision.attempts[1:], strict=False):
        if earlier.route == later.route:
            retries += 1
        elif earlier.ok:
            escalations += 1
        else:
            fallbacks += 1
    return Changes(retries, fallbacks, escalations)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a call: whom and what it was made for."""

    team: str | None = None
    project: str | None = None
    environment: str | None = None
    task_kind: str | None = None
    user: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)

    def or_else(self, others: Labels) -> Labels:
        """Return these labels, with those of another record where they say nothing.

        Example:
            >>> Labels(team="search").or_else(Labels("care", user="Ada"))
            Labels(team='search', project=None, environment=None, task_kind=None, user='Ada', others={})
        """
        return Labels(
            self.team or others.team,
            self.project or others.project,
            self.environment or others.environment,
            self.task_kind or others.task_kind,
            self.user or others.user,
            {**others.others, **self.others} if others.others else self.others,
        )


def made_for(labels: Labels, caller: Labels) -> bool:
    """Return whether what has some labels is a caller's: its team's, or where one of them has no team, its user's. What has neither is anybody's.

    Example:
        >>> ada, bob, before = Labels("search", user="ada"), Labels("search", user="bob"), Labels(user="ada")
        >>> made_for(ada, bob), made_for(ada, Labels("sales", user="ada")), made_for(before, ada), made_for(before, bob)
        (True, False, True, False)
    """
    if labels.team is None and labels.user is None:
        return True
    if labels.team is not None and caller.team is not None:
        return labels.team == caller.team
    return labels.user is not None and labels.user == caller.user


def labels_of(task: Task | None, metadata: Mapping[str, Any], kind: str | None = None) -> Labels:
    """Read labels from the task around a call, then from its run's metadata (`langroute_team`, `team_id` or `team`, and so on).

    Example:
        >>> labels_of(Task("t1", "support", {"team": "search", "release": "7"}), {"environment": "prod"})
        Labels(team='search', project=None, environment='prod', task_kind='support', user=None, others={'release': '7'})
    """
    tags = task.tags if task is not None else {}
    team, project, environment, user = [label_of(name, metadata, task) for name in LABELS]
    return Labels(
        team,
        project,
        environment,
        (task.kind if task is not None else None) or kind or resolve_task(metadata).kind,
        user,
        {key: text_of(value) for key, value in tags.items() if key not in _WITH_COLUMNS},
    )


_WITH_COLUMNS = frozenset({"task_kind", *(key for name in LABELS for key in label_keys(name))})


def add_usage(usages: Iterable[Usage | None]) -> Usage:
    """Sum the tokens of several calls.

    Example:
        >>> add_usage([Usage(1, 2), None, Usage(10, 20, cache_read=5)])
        Usage(input_tokens=11, output_tokens=22, cache_read=5, cache_write=0, cache_write_1h=0, reasoning=0)
    """
    known = [usage for usage in usages if usage is not None]
    return Usage(*[sum(getattr(usage, name) for usage in known) for name in TOKENS])


RANKS = {"implicit": 0, "evaluator": 1}
"""Sources that weigh less than an explicit report of a person or a program."""


def rank_of(source: str) -> int:
    """Return the weight of an outcome's source; the part before a colon decides.

    Example:
        >>> rank_of("implicit:asked_again"), rank_of("evaluator:tone"), rank_of("tests")
        (0, 1, 2)
    """
    return RANKS.get(source.partition(":")[0], 2)


@dataclass(frozen=True, slots=True)
class Result:
    """Summary of all outcomes of a task."""

    success: bool | None = None
    success_at: float | None = None
    success_rank: int | None = None
    success_source: str | None = None
    human_minutes: float | None = None
    baseline_minutes: float | None = None
    value_usd: float | None = None


def summarize_outcomes(outcomes: Iterable[Outcome]) -> Result:
    """Summarize the outcomes of one task.

    Success is the latest report of the source with the highest weight; human minutes are summed; the latest baseline and value count.

    Example:
        >>> summarize_outcomes([Outcome(success=False, source="implicit:asked_again", at=2), Outcome(success=True, source="tests", at=1)]).success
        True
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.at)
    told = [outcome for outcome in ordered if outcome.success is not None]
    decisive = max(told, key=lambda outcome: (rank_of(outcome.source), outcome.at), default=None)
    minutes = [outcome.human_minutes for outcome in ordered if outcome.human_minutes is not None]
    baselines = [outcome.baseline_minutes for outcome in ordered if outcome.baseline_minutes is not None]
    values = [outcome.value_usd for outcome in ordered if outcome.value_usd is not None]
    return Result(
        decisive.success if decisive else None,
        decisive.at if decisive else None,
        rank_of(decisive.source) if decisive else None,
        decisive.source if decisive else None,
        sum(minutes) if minutes else None,
        baselines[-1] if baselines else None,
        values[-1] if values else None,
    )
