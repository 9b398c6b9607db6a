"""Conversion of a decision to the plain dictionary in `response_metadata["langroute"]`."""

from __future__ import annotations

from typing import Any

from langroute.core.records import Attempt, Decision
from langroute.core.thread import METADATA_KEY


def to_metadata(decision: Decision) -> dict[str, Any]:
    """Return a decision as a plain dictionary; its keys are stable between minor releases.

    Example:
        >>> from langroute.core.records import Step
        >>> to_metadata(Decision("d1", Step(kind="title"), "small", ()))["step"]["kind"]
        'title'
    """
    step, attempts = decision.step, decision.attempts
    # `round` works on decimal digits, which takes five times as long.
    told = {
        "decision_id": decision.id,
        "task_id": step.task,
        "started_at": int(decision.started_at * 1e3 + 0.5) / 1e3,
        "step": {"kind": step.kind, "node": step.node, "index": step.index, "agent": step.agent},
        "route": decision.route,
        "model": decision.model,
        "tier": decision.tier,
        "reason": decision.reason,
        "policy": decision.policy,
        "policy_version": decision.policy_version,
        "cache": decision.cache,
        "attempts": list(map(_attempt, attempts)),
        "rejected": dict(decision.rejected),
        "problems": list(decision.problems),
        "cost_usd": decision.cost_usd,
        "baseline_cost_usd": decision.baseline_cost_usd,
        "baseline_route": decision.baseline_route,
        "saved_usd": decision.saved_usd,
        "switch_cost_usd": decision.switch_cost_usd,
        "overhead_ms": int(decision.overhead_s * 1e7 + 0.5) / 1e4,
    }
    if (len(attempts) > 1 or (attempts and attempts[0].cache_key is not None)) and (kept := decision.kept) is not None:
        told.update(_cached(kept))
    if decision.limited or decision.instead or decision.memory:
        told.update(_thread(decision))
    return told


def _thread(decision: Decision) -> dict[str, Any]:
    """Return what the thread's next step needs to know; see `langroute.core.thread`."""
    told: dict[str, Any] = {}
    if decision.limited:
        told["limited"] = True
    if decision.instead:
        told["instead"] = True
    if decision.memory:
        told["memory"] = [list(one) if isinstance(one, tuple) else one for one in decision.memory]
    return {"thread": told}


def _cached(kept: Attempt) -> dict[str, Any]:
    """Return the cache key, if there is one, and, on a hit, the tokens and USD that the stored answer saved."""
    if kept.cache_key is None:
        return {}
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
    told: dict[str, Any] = {
        "route": attempt.selection.route,
        "reason": attempt.selection.reason,
        "cost_usd": attempt.cost_usd,
        "latency_s": int(attempt.latency_s * 1e6 + 0.5) / 1e6,
        "verdict": "not checked" if attempt.score is None and attempt.ok else verdict_of(attempt),
        "score": attempt.score,
    }
    if attempt.edits:
        told["edits"] = list(attempt.edits)
    return told


def verdict_of(attempt: Attempt) -> str:
    """Return an attempt's result in a few words: `failed: RateLimitError`, `accepted`, `score 0.20: not_empty`, `not checked`."""
    if not attempt.ok:
        return f"failed: {attempt.error_type}"
    if attempt.score is None:
        return "not checked"
    if attempt.score >= 1:
        return "accepted"
    said = [verdict for verdict in attempt.verdicts if verdict.error is None]
    if not said:
        # The record was made with a score but without verdicts.
        return f"score {attempt.score:.2f}"
    lowest = min(said, key=lambda verdict: verdict.score)
    return f"score {attempt.score:.2f}: {lowest.verifier}" + (f", {lowest.reason}" if lowest.reason else "")


__all__ = ["METADATA_KEY", "to_metadata", "verdict_of"]
