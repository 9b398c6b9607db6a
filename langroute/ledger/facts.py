"""What can be known of calls and tasks beside decisions? The facts that a tracker sees, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from langroute.context import Task
from langroute.records import Decision, Outcome, Usage

HITS = ("hit", "semantic_hit")
"""What the response cache says when it gave the answer."""

JUDGE_TAG = "langroute:judge"
"""Tag of a model call that checks another one's answer."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call that was seen, whoever made it."""

    task_id: str
    what: str = "model"
    """`model`, `judge` (a model call that checks another one's answer), `tool` or `retriever`."""

    at: float = 0.0
    """When it began, seconds since the epoch."""

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
    """What checking its answer cost; `None` if unknown."""

    cost_basis: str | None = None
    """`router`, `list` (list price), `own` (the user's price), `cache` (nothing was billed), `decision` (billed with the decision
    it checked), `refused` (an error that is not billed); `None` where the price is unknown."""

    latency_s: float = 0.0
    first_token_s: float | None = None
    error_type: str | None = None
    cache: str | None = None
    """`hit` or `semantic_hit` when the answer came from a response cache."""

    kept: bool = True
    """Its answer was used."""

    retry: bool = False
    """The same call had been tried before."""

    score: float | None = None
    messages: Sequence[Any] = ()
    """What was asked; kept at level `full` only."""

    answer: Any = None
    """What was answered; kept at level `full` only."""


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """That a task began or ended."""

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
    """What part of a task went to one route, model, node or kind of step."""

    calls: int = 0
    errors: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    unknown_costs: int = 0


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """What a task came to. Costs sum what is known; `unknown_costs` counts the calls they leave out."""

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
    """A ledger that also keeps what a tracker sees, and says what a task came to."""

    def record(self, decision: Decision) -> None:
        """Keep a decision."""
        ...

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        ...

    def record_call(self, call: CallRecord | Callable[[], CallRecord]) -> None:
        """Keep a call that no router of this ledger made; a function that tells it is called off the caller's path if possible."""
        ...

    def record_task(self, task: TaskRecord) -> None:
        """Keep that a task began or ended."""
        ...

    def claim(self, decision_id: str, task_id: str) -> None:
        """Say to which task a decision belongs, before or after it is recorded."""
        ...

    def knows(self, decision_id: str) -> bool:
        """The decision was recorded here a short time ago. Looks at memory only."""
        ...

    def thread_task(self, thread: str) -> str:
        """The id of the task that a conversation is, where it was given no other name."""
        ...

    def task(self, task_id: str) -> TaskTotals | None:
        """What the task came to, or `None`."""
        ...

    def flush(self) -> None:
        """Return when all that was recorded is kept."""
        ...


def calls_of(decision: Decision, task_id: str) -> list[CallRecord]:
    """The attempts of a decision as calls.

    Example:
        >>> from langroute.records import Attempt, Selection, Step
        >>> decision = Decision("d1", Step("title"), "small", (Attempt(Selection("small"), cost_usd=0.1, model="m"),))
        >>> [(call.route, call.step_kind, call.cost_usd) for call in calls_of(decision, "t1")]
        [('small', 'title', 0.1)]
    """
    step, kept = decision.step, decision.kept
    found = []
    before: str | None = None
    for index, attempt in enumerate(decision.attempts):
        checks = [verdict.cost_usd for verdict in attempt.verdicts]
        hit = attempt.cache if attempt.cache in HITS else None
        is_kept = attempt is kept
        found.append(
            CallRecord(
                task_id,
                at=decision.started_at,
                run_id=decision.run_id if is_kept else None,
                decision_id=decision.id,
                attempt=index,
                route=attempt.route,
                model=attempt.model,
                provider=attempt.provider or _text(decision.metadata.get("ls_provider")),
                tier=attempt.tier or (decision.tier if attempt.route == decision.route else None),
                node=step.node,
                step_kind=step.kind,
                agent=step.agent,
                usage=attempt.usage,
                cost_usd=attempt.cost_usd,
                verify_usd=None if None in checks else sum(checks),  # type: ignore[arg-type]
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


def avoided_usd(decision: Decision) -> float | None:
    """What the call would have cost that a stored answer took the place of: what it cost when it was made, else the baseline.

    Example:
        >>> from langroute.records import Attempt, Selection, Step
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
    """Nothing was called: the decision picked a branch of a graph."""
    attempts = decision.attempts
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
    """How often a decision changed course."""

    retries: int = 0
    fallbacks: int = 0
    escalations: int = 0


def changes_of(decision: Decision) -> Changes:
    """How often a decision tried again (same route), fell back (after an error) and escalated (after a rejected answer).

    Example:
        >>> from langroute.records import Attempt, Selection, Step
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
    """For whom a call was made."""

    team: str | None = None
    project: str | None = None
    environment: str | None = None
    task_kind: str | None = None
    user: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)


def labels_of(task: Task | None, metadata: Mapping[str, Any], kind: str | None = None) -> Labels:
    """Read labels from the task around a call, then from its run's metadata (`langroute_team` or `team`, and so on).

    Example:
        >>> labels_of(Task("t1", "support", {"team": "search", "release": "7"}), {"environment": "prod"})
        Labels(team='search', project=None, environment='prod', task_kind='support', user=None, others={'release': '7'})
    """
    tags = task.tags if task is not None else {}

    def read(*names: str) -> str | None:
        for name in names:
            value = tags.get(name) or metadata.get(f"langroute_{name}") or metadata.get(name)
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                return str(value)
        return None

    known = ("team", "project", "environment", "user", "user_id", "task_kind")
    return Labels(
        read("team"),
        read("project"),
        read("environment"),
        (task.kind if task is not None else None) or kind or _text(metadata.get("langroute_task_kind")),
        read("user", "user_id"),
        {key: str(value) for key, value in tags.items() if key not in known},
    )


def add_usage(usages: Iterable[Usage | None]) -> Usage:
    """Tokens of several calls together.

    Example:
        >>> add_usage([Usage(1, 2), None, Usage(10, 20, cache_read=5)])
        Usage(input_tokens=11, output_tokens=22, cache_read=5, cache_write=0, cache_write_1h=0, reasoning=0)
    """
    known = [usage for usage in usages if usage is not None]
    return Usage(
        sum(usage.input_tokens for usage in known),
        sum(usage.output_tokens for usage in known),
        sum(usage.cache_read for usage in known),
        sum(usage.cache_write for usage in known),
        sum(usage.cache_write_1h for usage in known),
        sum(usage.reasoning for usage in known),
    )


def add_call(add: Callable[[str, float], None], call: CallRecord) -> None:
    """Add one call to the sums of its task.

    Args:
        add: Called with the name of a sum and an amount.
        call: The call.
    """
    if call.what == "tool":
        add("tools", 1)
        add("tool_errors", int(call.error_type is not None))
        return
    if call.what not in ("model", "judge"):
        return
    usage = call.usage
    add("calls", 1)
    add("judges", int(call.what == "judge"))
    add("errors", int(call.error_type is not None))
    add("retries", int(call.retry))
    add("cache_hits", int(call.cache is not None))
    add("cost_usd", (call.cost_usd or 0.0) + (call.verify_usd or 0.0))
    add("verify_usd", call.verify_usd or 0.0)
    add("unknown_costs", int(call.cost_usd is None or call.verify_usd is None))
    add("latency_s", call.latency_s)
    if usage is not None:
        for name in ("input_tokens", "output_tokens", "cache_read", "cache_write", "cache_write_1h", "reasoning"):
            add(name, getattr(usage, name))


RANKS = {"implicit": 0, "evaluator": 1}
"""Sources whose word weighs less than what a person or a program said outright."""


def rank_of(source: str) -> int:
    """How much a source's word weighs; the part before a colon decides.

    Example:
        >>> rank_of("implicit:asked_again"), rank_of("evaluator:tone"), rank_of("tests")
        (0, 1, 2)
    """
    return RANKS.get(source.partition(":")[0], 2)


@dataclass(frozen=True, slots=True)
class Result:
    """What all outcomes of a task say together."""

    success: bool | None = None
    success_at: float | None = None
    success_rank: int | None = None
    success_source: str | None = None
    human_minutes: float | None = None
    baseline_minutes: float | None = None
    value_usd: float | None = None


def boil(outcomes: Iterable[Outcome]) -> Result:
    """Boil the outcomes of one task down.

    Success is what the weightiest source said last; minutes that people spent add up; of a baseline and a value the last word counts.

    Example:
        >>> boil([Outcome(success=False, source="implicit:asked_again", at=2), Outcome(success=True, source="tests", at=1)]).success
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
