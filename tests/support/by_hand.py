"""Decisions with hand-written numbers."""

from __future__ import annotations

from langroute.core.records import Attempt, Decision, Selection, Step, Usage, Verdict

DAY = 86_400.0
TODAY = 20_600
"""2026-05-27, the last day of every test's ledger."""

NOW = TODAY * DAY + 43_200.0


def tried(
    route: str,
    cost: float | None,
    *,
    score: float | None = None,
    error: str | None = None,
    check_usd: float | None = None,
    tokens: tuple[int, int] = (1000, 100),
    cache: str | None = None,
    seconds: float = 1.0,
    model: str | None = None,
) -> Attempt:
    verdicts = (Verdict("judge", 1.0 if score is None else score, cost_usd=check_usd),) if check_usd is not None else ()
    usage = None if error else Usage(*tokens)
    return Attempt(
        Selection(route, "a reason"),
        score=score,
        verdicts=verdicts,
        error_type=error,
        usage=usage,
        cost_usd=cost,
        latency_s=seconds,
        model=model or f"{route}-1",
        cache=cache,
    )


def decided(
    id: str,
    *attempts: Attempt,
    baseline: float | None = 1.0,
    day: int = TODAY,
    kind: str = "act",
    tier: str | None = None,
    switch: float | None = None,
    cache: str = "miss",
    second: float = 0.0,
) -> Decision:
    """A decision whose last attempt was kept."""
    kept = attempts[-1]
    costs = [one.cost_usd for one in attempts] + [verdict.cost_usd for one in attempts for verdict in one.verdicts]
    return Decision(
        id,
        Step(kind, node="agent"),
        kept.route if kept.ok else None,
        attempts,
        reason=kept.selection.reason,
        policy="Cascade",
        cache=cache,
        tier=tier or {"small": "cheap", "large": "frontier"}.get(kept.route),
        model=kept.model,
        cost_usd=None if None in costs else sum(costs),  # type: ignore[arg-type]
        baseline_cost_usd=baseline,
        baseline_route="large",
        overhead_s=0.001,
        started_at=day * DAY + 3600.0 + second,
        metadata={"ls_provider": "openai"},
        switch_cost_usd=switch,
    )
