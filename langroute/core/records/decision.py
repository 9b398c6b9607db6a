"""Decisions: everything that was considered, tried and answered for one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records.attempt import Attempt, best_attempt
from langroute.core.records.step import Step


@fast_dataclass
class Decision:
    """Everything that was considered, tried and answered for one step."""

    id: str
    step: Step
    route: str | None
    """The route whose answer was kept; `None` when every one failed."""

    attempts: tuple[Attempt, ...]
    reason: str = ""
    policy: str = ""
    policy_version: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)
    cache: str = "miss"
    """`hit`, `semantic_hit`, `miss` or `bypass: why`."""

    tier: str | None = None
    model: str | None = None
    """Model id as served."""

    cost_usd: float | None = None
    """USD of all attempts and paid checks; `None` when one of them is unknown."""

    baseline_cost_usd: float | None = None
    """USD that the baseline route would have billed for the same tokens."""

    baseline_route: str | None = None
    overhead_s: float = 0.0
    """Seconds spent on routing, calls not included."""

    problems: tuple[str, ...] = ()
    """Internal failures that were worked around, in a few words each."""

    started_at: float = 0.0
    """Seconds since the epoch."""

    run_id: str | None = None
    root_run_id: str | None = None
    parent_run_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    switch_cost_usd: float | None = None
    messages: tuple[Any, ...] = ()
    """The last messages of the request; set only for a ledger that keeps text."""

    limited: bool = False
    """The caller had limits for this call alone (`Request.limited`)."""

    instead: bool = False
    """The answer came from a route in the place of one that failed or rested."""

    memory: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    """What the policy has to know at the thread's next step, by its latest selection that says so (`Selection.memory`)."""

    subtask: bool = False
    """Its attempts are runs of a whole subtask. The steps inside are decisions of their own, and their costs are counted there."""

    inner_baseline_usd: float | None = None
    """Of a subtask: USD that the baseline route would have billed for all steps inside, which count it, those of rejected attempts too."""

    @property
    def kept(self) -> Attempt | None:
        """The attempt whose answer was returned."""
        if self.route is None:
            return None
        return best_attempt(self.attempts)

    @property
    def saved_usd(self) -> float | None:
        """Baseline minus cost; negative when routing cost more."""
        if self.cost_usd is None or self.baseline_cost_usd is None:
            return None
        return self.baseline_cost_usd - self.cost_usd

    @property
    def own_baseline_usd(self) -> float | None:
        """What this decision adds to a sum of baselines: of a subtask, less than nothing, as no baseline makes attempts that are rejected."""
        if not self.subtask:
            return self.baseline_cost_usd
        kept = self.baseline_cost_usd if self.route is not None else 0.0
        return None if kept is None or self.inner_baseline_usd is None else kept - self.inner_baseline_usd

    def without_text(self) -> Decision:
        """Return a copy of the decision without any text."""
        return replace(self, attempts=tuple(attempt.without_text() for attempt in self.attempts), messages=())
