"""Fields of decisions and outcomes that hooks may export: numbers and names given by programmers, never text of users or models."""

from __future__ import annotations

from typing import Any

from langroute.core.records import Attempt, Decision, Outcome

HITS = ("hit", "semantic_hit")


def decision_facts(decision: Decision) -> dict[str, Any]:
    """Return a decision as flat fields; unknown ones are left out.

    Example:
        >>> from langroute.core.records import Step
        >>> decision_facts(Decision("d1", Step("title"), "small", (), cost_usd=0.25))["cost_usd"]
        0.25
    """
    attempts = decision.attempts
    known: dict[str, Any] = {
        "decision_id": decision.id,
        "step_kind": decision.step.kind,
        "node": decision.step.node,
        "agent": decision.step.agent,
        "task_kind": decision.step.task_kind,
        "route": decision.route,
        "model": decision.model,
        "tier": decision.tier,
        "policy": decision.policy or None,
        "policy_version": decision.policy_version or None,
        "cache": decision.cache.partition(":")[0],
        "attempts": len(attempts),
        "failed_attempts": sum(not attempt.ok for attempt in attempts),
        "escalations": escalations(decision),
        "rejected_routes": len(decision.rejected),
        "problems": len(decision.problems),
        "cost_usd": decision.cost_usd,
        "baseline_cost_usd": decision.baseline_cost_usd,
        "saved_usd": decision.saved_usd,
        "latency_s": sum(attempt.latency_s for attempt in attempts),
        "overhead_s": decision.overhead_s,
        "run_id": decision.run_id,
    }
    return {name: value for name, value in known.items() if value is not None}


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as flat fields, without its comment and without the task id, which may contain a person's name.

    Example:
        >>> outcome_facts(Outcome(success=True, task_id="Ada's ticket", source="tests", at=1.0))
        {'key': 'success', 'source': 'tests', 'success': True}
    """
    known = {
        "key": outcome.key,
        "source": outcome.source,
        "success": outcome.success,
        "score": outcome.score,
        "decision_id": outcome.decision_id,
        "run_id": outcome.run_id,
        "human_minutes": outcome.human_minutes,
        "baseline_minutes": outcome.baseline_minutes,
        "value_usd": outcome.value_usd,
    }
    return {name: value for name, value in known.items() if value is not None}


def escalations(decision: Decision) -> int:
    """Return how often an answer was rejected and another route was tried."""
    pairs = zip(decision.attempts, decision.attempts[1:], strict=False)
    return sum(earlier.ok and earlier.route != later.route for earlier, later in pairs)


def result_of(attempt: Attempt, decision: Decision) -> str:
    """Return the result of an attempt: `kept`, `rejected`, `error`, or the cache status."""
    if not attempt.ok:
        return "error"
    if attempt.cache in HITS:
        return str(attempt.cache)
    return "kept" if attempt is decision.kept else "rejected"


class Bounded:
    """Limit the number of values of a label: the first ones keep their names, all others become `other`.

    Args:
        most: Most values of each label.

    Example:
        >>> bounded = Bounded(2)
        >>> [bounded("model", name) for name in ("a", "b", "c", "a", None)]
        ['a', 'b', 'other', 'a', '']
    """

    def __init__(self, most: int = 100) -> None:
        self.most = most
        self._seen: dict[str, set[str]] = {}

    def __call__(self, label: str, value: str | None) -> str:
        """Return the value to export."""
        if not value:
            return ""
        seen = self._seen.setdefault(label, set())
        if value in seen:
            return value
        if len(seen) >= self.most:
            return "other"
        seen.add(value)
        return value
