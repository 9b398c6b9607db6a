"""What does a report say? Plain facts, before anybody turns them into a table, a file or a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from langroute.reports.stats import Range, Rate
from langroute.reports.window import Window

TASK_DIMENSIONS = ("team", "project", "environment", "task_kind", "user", "day")
"""What a report can be broken down by: whom a task was for, and when it began."""

CALL_DIMENSIONS = ("route", "model", "node", "step_kind", "tier")
"""What a report can be broken down by: where a call went."""

DIMENSIONS = (*TASK_DIMENSIONS, *CALL_DIMENSIONS)


@dataclass(frozen=True, slots=True)
class Amount:
    """Money, with the number of calls or tasks that it leaves out because their price is unknown.

    Example:
        >>> Amount.of(0.0, 3, known=0).usd is None
        True
        >>> Amount.of(0.25, 1, known=4)
        Amount(usd=0.25, unknown=1)
    """

    usd: float | None
    """USD of what is known; `None` where nothing is."""

    unknown: int = 0

    @classmethod
    def of(cls, usd: float, unknown: int, known: int) -> Amount:
        """An amount from a sum, the number of things it leaves out, and the number it counts."""
        return cls(None if unknown and known <= 0 and not usd else usd, unknown)

    @property
    def complete(self) -> bool:
        """Nothing is left out."""
        return not self.unknown

    def per(self, count: int) -> Amount:
        """The amount for each of so many; unknown where there are none."""
        return Amount(None if self.usd is None or not count else self.usd / count, self.unknown)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens by what they are billed as; the cached ones are part of `input`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


NOTHING_TOLD = Rate(0, 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report: a team, a route, a day, or all of it.

    What was spent is that of the calls made in the window; tasks and what came of them are those that began in it.
    """

    key: str | None
    """`None` where nobody said."""

    spend: Amount = Amount(0.0)
    tasks: int = 0
    success: Rate = NOTHING_TOLD
    """Of the tasks of which an outcome was told."""

    per_success: Amount = Amount(None)
    """Cost per successful task: that of all tasks with an outcome, the failed ones and every retry included."""

    per_success_range: Range | None = None
    """The same at the ends of the success rate's interval."""

    calls: int = 0
    """Model calls, judges included."""

    errors: int = 0
    retries: int = 0
    decisions: int = 0
    escalated: int = 0
    """Decisions in which a rejected answer went to another route."""

    p50_s: float | None = None
    """Median latency of a model call; of a task where the line is a user."""

    p95_s: float | None = None
    tokens: Tokens = Tokens()
    response_hits: int = 0
    """Decisions that the response cache answered."""

    response_saved_usd: float = 0.0
    """What the calls would have cost that they took the place of."""

    saved_usd: float | None = None
    """Baseline minus cost of the decisions where both are known, net of cold prompt caches; `None` where there are none."""

    hours_saved: float | None = None
    """Only of successful tasks for which a baseline was declared; `None` where there are none."""

    @property
    def escalation_rate(self) -> float | None:
        """Share of decisions that were escalated."""
        return self.escalated / self.decisions if self.decisions else None

    @property
    def untold(self) -> int:
        """Tasks of which no outcome was told yet."""
        return max(0, self.tasks - self.success.of)


@dataclass(frozen=True, slots=True)
class SingleRoute:
    """How tasks went that used one route alone, beside all that did not."""

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
        """Decisions for each task."""
        return self.steps / self.tasks if self.tasks else 0.0


@dataclass(frozen=True, slots=True)
class Savings:
    """What routing saved against one route for everything, and what it took."""

    baselines: tuple[str, ...]
    """The route each decision names as its baseline; more than one where that changed."""

    decisions: int
    """All decisions."""

    compared: int
    """Those where both the cost and the baseline's are known."""

    baseline_usd: float
    """What the baseline would have been billed for the same answers."""

    cost_usd: float
    """What was spent instead: every attempt, retry and check."""

    checks_usd: float
    """Part of `cost_usd`: judges and other paid checks."""

    rejected_calls: int
    """Calls whose answers were thrown away; part of `cost_usd`."""

    cold_usd: float
    """Prompt caches that were left cold by a switch. Taken off, because the baseline would have read them warm."""

    overhead_s: float
    """Time spent deciding."""

    prompt_cache_usd: float | None
    """What providers' prompt caches saved against uncached list prices, their writes taken off; in `cost_usd` already."""

    singles: tuple[SingleRoute, ...] = ()
    """What was measured: tasks that used one route alone, and last those that used several (`route` is `None`)."""

    best_single: str | None = None
    """The route that alone did the tasks cheapest, among those whose success is not clearly lower; `None` where too few were seen."""

    extra_steps: float | None = None
    """Steps that a routed task takes more than one that the best single route did alone; `None` where too few were seen."""

    @property
    def net_usd(self) -> float | None:
        """Saved, after all that routing takes; negative where it cost more."""
        return self.baseline_usd - self.cost_usd - self.cold_usd if self.compared else None

    @property
    def measured_per_success(self) -> float | None:
        """What a successful task costs less than with the best single route, extra steps and retries included."""
        routed = next((one for one in self.singles if one.route is None), None)
        single = next((one for one in self.singles if one.route is not None and one.route == self.best_single), None)
        if routed is None or single is None or routed.per_success.usd is None or single.per_success.usd is None:
            return None
        return single.per_success.usd - routed.per_success.usd


@dataclass(frozen=True, slots=True)
class Worth:
    """What the tasks were worth."""

    hours_saved: float | None
    """Declared baseline minus people's own time, over successful tasks with a baseline."""

    tasks_with_baseline: int
    review_hours: float
    """People's time on all other tasks: those that failed or have no baseline."""

    value_usd: float | None
    """Declared value; `None` where nobody declared one."""

    tasks_with_value: int
    hourly_usd: Range | None
    """What an hour is worth, as stated by whoever asked for the report."""

    return_share: Range | None
    """(value - spend) / spend, as a range; `None` where no value is known or a part of the spend is not."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Energy and greenhouse gases, as ranges."""

    energy_kwh: Range | None
    co2e_kg: Range | None
    method: str
    covered: float
    """Share of the output tokens whose models the method knows."""

    left_out: tuple[str, ...] = ()
    """Models it does not know."""


@dataclass(frozen=True, slots=True)
class UnknownPrice:
    """Calls whose price nobody knows."""

    route: str | None
    model: str | None
    provider: str | None
    calls: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Share:
    """What part went one way: to a tier, or from a kind of step to a tier."""

    tier: str | None
    decisions: int
    usd: float
    step_kind: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was spent in a time, and what came of it."""

    window: Window
    by: str
    lines: tuple[Line, ...]
    total: Line
    tiers: tuple[Share, ...]
    steps: tuple[Share, ...]
    """Which kind of step went to which tier."""

    savings: Savings
    worth: Worth
    unknown_prices: tuple[UnknownPrice, ...]
    footprint: Footprint | None = None
    metrics: Mapping[str, Rate] = field(default_factory=dict)
    """Every outcome key by itself."""

    source: str = "daily sums"
    notes: tuple[str, ...] = ()

    @property
    def first_line(self) -> str:
        """The most important thing to know: unknown prices where there are any, else what it came to."""
        from langroute.reports.words import money, percent

        total = self.total
        told = f"{percent(total.success.share)} of {total.success.of:,} successful" if total.success.of else "no outcome was told"
        each = f", {money(total.per_success)} per successful task" if total.per_success.usd is not None else ""
        rest = f"spend {money(total.spend)}, {total.tasks:,} {'task' if total.tasks == 1 else 'tasks'}, {told}{each}"
        if not total.spend.unknown:
            return rest[0].upper() + rest[1:] + "."
        names = sorted({one.model or one.route or "unnamed" for one in self.unknown_prices})
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            f"UNKNOWN PRICES: {total.spend.unknown:,} of {total.calls:,} calls have no known price ({shown}); "
            f"amounts leave them out. Known so far: {rest}."
        )
