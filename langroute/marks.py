"""What does a result carry? A decision as the plain dictionary under `response_metadata["langroute"]`."""

from __future__ import annotations

from typing import Any

from langroute.records import Attempt, Decision

KEY = "langroute"


def mark(decision: Decision) -> dict[str, Any]:
    """A decision as plain values, stable between minor releases.

    Example:
        >>> from langroute.records import Step
        >>> mark(Decision("d1", Step(kind="title"), "small", ()))["step"]["kind"]
        'title'
    """
    step, kept = decision.step, decision.kept
    return {
        "decision_id": decision.id,
        "task_id": step.task,
        "step": {"kind": step.kind, "node": step.node, "index": step.index},
        "route": decision.route,
        "model": decision.model,
        "tier": decision.tier,
        "reason": decision.reason,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "cache": decision.cache,
        "attempts": [_attempt(attempt) for attempt in decision.attempts],
        "rejected": dict(decision.rejected),
        "problems": list(decision.problems),
        "cost_usd": decision.cost_usd,
        "baseline_cost_usd": decision.baseline_cost_usd,
        "baseline_route": decision.baseline_route,
        "saved_usd": decision.saved_usd,
        "switch_cost_usd": decision.switch_cost_usd,
        "overhead_ms": round(decision.overhead_s * 1e3, 4),
        **(_cached(kept) if kept is not None and kept.cache_key is not None else {}),
    }


def _cached(kept: Attempt) -> dict[str, Any]:
    """Where the answer is kept, and on a hit what the call that it saved would have taken."""
    stored = kept.stored
    if stored is None:
        return {"cache_key": kept.cache_key}
    usage = stored.usage
    tokens = None if usage is None else {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {
        "cache_key": kept.cache_key,
        "saved": {**(tokens or {}), "total_tokens": usage.total_tokens if usage else None, "usd": stored.cost_usd},
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "route": attempt.route,
        "reason": attempt.selection.reason,
        "cost_usd": attempt.cost_usd,
        "latency_s": round(attempt.latency_s, 6),
        "verdict": verdict_of(attempt),
        "score": attempt.score,
    }


def verdict_of(attempt: Attempt) -> str:
    """What became of an attempt, in a word or two: `failed: RateLimitError`, `accepted`, `score 0.20: not_empty`, `not checked`."""
    if not attempt.ok:
        return f"failed: {attempt.error_type}"
    if attempt.score is None:
        return "not checked"
    if attempt.score >= 1:
        return "accepted"
    said = [verdict for verdict in attempt.verdicts if verdict.error is None]
    if not said:
        # Scored by whoever made the record.
        return f"score {attempt.score:.2f}"
    lowest = min(said, key=lambda verdict: verdict.score)
    return f"score {attempt.score:.2f}: {lowest.verifier}" + (f", {lowest.reason}" if lowest.reason else "")
