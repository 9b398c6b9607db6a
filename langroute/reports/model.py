"""Data model of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from langroute.reports.stats import Range, Rate, difference
from langroute.reports.window import Window

TASK_DIMENSIONS = ("team", "project", "environment", "task_kind", "user", "day")
"""Dimensions of a report that are properties of tasks."""

CALL_DIMENSIONS = ("route", "model", "node", "step_kind", "tier")
"""Dimensions of a report that are properties of calls."""

DIMENSIONS = (*TASK_DIMENSIONS, *CALL_DIMENSIONS)


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of money, with the number of calls or tasks that it leaves out because their price is unknown.

    Example:
        >>> Amount.of(0.0, 3, known=0).usd is None
        True
        >>> Amount.of(0.25, 1, known=4)
        Amount(usd=0.25, unknown=1)
    """

    usd: float | None
    """Known part in USD; `None` where nothing is known."""

    unknown: int = 0

    @classmethod
    def of(cls, usd: float, unknown: int, known: int) -> Amount:
        """Return an amount from a sum, the number of items it leaves out, and the number it counts."""
        return cls(None if unknown and known <= 0 and not usd else usd, unknown)

    @property
    def complete(self) -> bool:
        """Whether nothing is left out."""
        return not self.unknown

    def per(self, count: int) -> Amount:
        """Return the amount divided by a number of items; unknown where there are none."""
        return Amount(None if self.usd is None or not count else self.usd / count, self.unknown)


@dataclass(frozen=True, slots=True)
class TokenTotals:
    """Tokens by billing category; the cached ones are part of `input`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


NOTHING_TOLD = Rate(0, 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report: a team, a route, a day, or the total.

    Spend is that of the calls made in the window; tasks and outcomes are those of tasks that began in it.
    """

    key: str | None
    """`None` where the value is missing."""

    spend: Amount = Amount(0.0)
    tasks: int = 0
    success: Rate = NOTHING_TOLD
    """Success rate of the tasks with a reported outcome."""

    per_success: Amount = Amount(None)
    """Cost of all tasks with an outcome, failed ones and retries included, divided by the successful ones."""

    per_success_range: Range | None = None
    """Cost per successful task at the ends of the success rate's interval."""

    calls: int = 0
    """Model calls, judges included."""

    errors: int = 0
    unknown_failed: int = 0
    """Calls that failed or were left, so that their cost is unknown whether or not their price is known."""

    retries: int = 0
    decisions: int = 0
    escalated: int = 0
    """Decisions in which a rejected answer went to another route."""

    p50_s: float | None = None
    """Median latency of a model call, or of a task where the line is a user."""

    p95_s: float | None = None
    tokens: TokenTotals = TokenTotals()
    response_hits: int = 0
    """Decisions that the response cache answered."""

    response_saved_usd: float = 0.0
    """Cost of the calls that they avoided."""

    saved_usd: float | None = None
    """Baseline minus cost of the decisions where both are known, net of cold prompt caches; `None` if there are no such decisions."""

    hours_saved: float | None = None
    """Hours saved in successful tasks with a declared baseline; `None` if there are none."""

    @property
    def escalation_rate(self) -> float | None:
        """Share of decisions that were escalated."""
        return self.escalated / self.decisions if self.decisions else None

    @property
    def untold(self) -> int:
        """Number of tasks without a reported outcome."""
        return max(0, self.tasks - self.success.of)


@dataclass(frozen=True, slots=True)
class SingleRoute:
    """Results of the tasks that used one route alone, to compare with the others."""

    route: str | None
    """`None`: the tasks that used more than one."""

    tasks: int
    success: Rate
    cost: Amount
    steps: int

    @property
    def per_success(self) -> Amount:
        """Cost per successful task."""
        return self.cost.per(self.success.hits)

    @property
    def steps_per_task(self) -> float:
        """Mean number of decisions per task."""
        return self.steps / self.tasks if self.tasks else 0.0


@dataclass(frozen=True, slots=True)
class Savings:
    """What routing saved against one route for everything, and what routing itself cost."""

    baselines: tuple[str, ...]
    """Routes that decisions name as their baseline; more than one if that changed."""

    decisions: int
    """All decisions."""

    compared: int
    """Decisions where both the cost and the baseline cost are known."""

    baseline_usd: float
    """What the baseline would have been billed for the same answers."""

    cost_usd: float
    """Actual spend: every attempt, retry and check."""

    checks_usd: float
    """Part of `cost_usd`: judges and other paid checks."""

    rejected_calls: int
    """Calls whose answers were rejected; their cost is part of `cost_usd`."""

    cold_usd: float
    """Cost of prompt caches left cold by a switch. Subtracted, because the baseline would have read them warm."""

    overhead_s: float
    """Time spent deciding."""

    prompt_cache_usd: float | None
    """Savings of providers' prompt caches against uncached list prices, less their writes; included in `cost_usd` already."""

    singles: tuple[SingleRoute, ...] = ()
    """Measured results of tasks that used one route alone; last, those that used several (`route` is `None`)."""

    best_single: str | None = None
    """Route with the lowest cost per success among those whose success rate is not clearly lower, within task kinds; `None` where no route
    did enough tasks of every kind alone."""

    extra_steps: float | None = None
    """Extra steps of a routed task compared with one of the best single route; `None` without enough tasks."""

    measured_per_success: float | None = None
    """Difference in the cost of a successful task from the best single route, extra steps and retries included; within task kinds."""

    measured_share: float | None = None
    """The same as a share of what a success costs with that route."""

    measured_kinds: int = 0
    """Kinds of task that were compared."""

    @property
    def net_usd(self) -> float | None:
        """Savings less all costs of routing; negative where routing cost more."""
        return self.baseline_usd - self.cost_usd - self.cold_usd if self.compared else None

    @property
    def net_share(self) -> float | None:
        """`net_usd` as a share of what the baseline would have cost."""
        return self.net_usd / self.baseline_usd if self.net_usd is not None and self.baseline_usd > 0 else None


@dataclass(frozen=True, slots=True)
class Worth:
    """Estimated value of the tasks."""

    hours_saved: float | None
    """Declared baseline minus people's own time, over successful tasks with a baseline."""

    tasks_with_baseline: int
    review_hours: float
    """People's time on all other tasks: those that failed or have no baseline."""

    value_usd: float | None
    """Declared value; `None` if none was declared."""

    tasks_with_value: int
    hourly_usd: Range | None
    """Value of an hour, as given by the caller."""

    return_share: Range | None
    """(value - spend) / spend, as a range; `None` where no value is known or a part of the spend is not."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Energy and greenhouse gases, as ranges."""

    energy_kwh: Range | None
    co2e_kg: Range | None
    method: str
    covered: float
    """Share of the output tokens whose models ecologits knows."""

    left_out: tuple[str, ...] = ()
    """Models that ecologits does not know."""


@dataclass(frozen=True, slots=True)
class UnknownPrice:
    """Calls whose price is unknown."""

    route: str | None
    model: str | None
    provider: str | None
    calls: int
    tokens: int


@dataclass(frozen=True, slots=True)
class RouteErrors:
    """Failed calls of one route."""

    route: str
    calls: int
    errors: int
    types: tuple[tuple[str, int], ...] = ()
    """Types of error with their counts, the most frequent first; empty where no raw rows are left."""

    @property
    def rate(self) -> Rate:
        """Share of its calls that failed."""
        return Rate(self.errors, self.calls)


@dataclass(frozen=True, slots=True)
class SubtaskCascadeLine:
    """Subtasks that began on one route and went on to another where their check rejected the result.

    What a check must be good for: the cascade solves as many subtasks as the next route alone if the results that it accepts are right in
    `break_even` of the cases. With `a` the share that is accepted, `s` the success of the next route alone and `r` its success on what
    was handed on to it, that is `(s - (1 - a) r) / a`.

    Example:
        >>> line = SubtaskCascadeLine(
        ...     "fix", "cheap", "frontier", 100, Rate(60, 100), Rate(45, 60), Rate(0, 0), Rate(20, 40), Rate(65, 100), Rate(80, 100)
        ... )
        >>> line.break_even, line.loses
        (1.0, True)
    """

    node: str | None
    """Name of the subtask: its node in the graph."""

    first: str
    next: str
    subtasks: int
    """Subtasks that began on the first route and whose result was checked."""

    accepted: Rate
    """Share whose first result was accepted."""

    accepted_right: Rate
    """Share of the accepted results that later outcomes call a success: the accuracy of the check where it matters."""

    refused_wrong: Rate
    """Share of the results that were kept though they were rejected that later outcomes call a failure."""

    handed_on_right: Rate
    """Success of the next route on what was handed on to it."""

    success: Rate
    """Success of the cascade as a whole."""

    alone: Rate
    """Success of the subtasks that began and ended on the next route."""

    usd: float | None = None
    """Mean cost of a subtask in the cascade; `None` if one is unknown."""

    alone_usd: float | None = None
    """Mean cost on the next route alone."""

    @property
    def agreement(self) -> Rate:
        """Share of verdicts on results that were kept that later outcomes confirm."""
        return Rate(self.accepted_right.hits + self.refused_wrong.hits, self.accepted_right.of + self.refused_wrong.of)

    @property
    def break_even(self) -> float | None:
        """Accuracy of accepted results at which the cascade loses nothing.

        Without subtasks on the next route alone it is at least that route's success on what was handed on, which is harder. `None` where
        nothing is known of the next route.
        """
        handed, alone, accepted = self.handed_on_right.share, self.alone.share, self.accepted.share
        if alone is None or not accepted:
            return handed
        return min(1.0, max(0.0, (alone - (1 - accepted) * (alone if handed is None else handed)) / accepted))

    @property
    def loses(self) -> bool | None:
        """Whether the accepted results are right less often than the pair needs; `None` where that is not known."""
        if self.break_even is None or self.accepted_right.share is None:
            return None
        return self.accepted_right.share < self.break_even

    @property
    def is_sure(self) -> bool:
        """Whether the 95 % interval of the difference between the cascade and the next route alone excludes the opposite."""
        change = difference(self.alone, self.success) if self.alone.of else difference(self.handed_on_right, self.accepted_right)
        return change.high < 0 if self.loses else change.low >= 0


@dataclass(frozen=True, slots=True)
class TierShare:
    """A share of calls or decisions: of a tier, or of a tier within a kind of step."""

    tier: str | None
    decisions: int
    usd: float
    step_kind: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Spend and outcomes of a time window."""

    window: Window
    by: str
    lines: tuple[Line, ...]
    total: Line
    tiers: tuple[TierShare, ...]
    steps: tuple[TierShare, ...]
    """Shares of tiers within each kind of step."""

    savings: Savings
    worth: Worth
    unknown_prices: tuple[UnknownPrice, ...]
    footprint: Footprint | None = None
    metrics: Mapping[str, Rate] = field(default_factory=dict)
    """Success rate of each outcome key."""

    route_errors: tuple[RouteErrors, ...] = ()
    """Routes with failed calls, the worst first."""

    subtasks: tuple[SubtaskCascadeLine, ...] = ()
    """Cascades of whole subtasks, the most frequent first."""

    source: str = "daily sums"
    notes: tuple[str, ...] = ()

    @property
    def _said_saving(self) -> str:
        """What routing saved, in percent: measured on whole tasks where that is known, else priced."""
        from langroute.reports.words import percent

        saved = self.savings
        if saved.measured_share is not None:
            word, share, than = "measured", saved.measured_share, f"{saved.best_single} alone"
        elif saved.net_share is not None:
            word, share, than = "priced", saved.net_share, " or ".join(saved.baselines) or "the baseline route"
        else:
            return ""
        return f"; {word} {'saving' if share >= 0 else 'loss'} {percent(abs(share))} against {than}"

    @property
    def first_line(self) -> str:
        """The headline: unknown prices where there are any, else the totals and what was saved."""
        from langroute.reports.words import money, percent

        total = self.total
        told = f"{percent(total.success.share)} of {total.success.of:,} successful" if total.success.of else "no outcome was told"
        each = f", {money(total.per_success)} per successful task" if total.per_success.usd is not None else ""
        saved = self._said_saving
        rest = f"spend {money(total.spend)}, {total.tasks:,} {'task' if total.tasks == 1 else 'tasks'}, {told}{each}{saved}"
        unpriced = total.spend.unknown - total.unknown_failed
        if unpriced <= 0:
            return rest[0].upper() + rest[1:] + "."
        names = sorted({one.model or one.route or "unnamed" for one in self.unknown_prices})
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            f"UNKNOWN PRICES: {unpriced:,} of {total.calls:,} calls have no known price ({shown}); "
            f"amounts leave them out. Known so far: {rest}."
        )
