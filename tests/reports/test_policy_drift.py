"""The drift rule detects from the ledger that a fitted policy no longer matches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from by_hand import NOW, TODAY, decided, tried

from langroute.core.records import Outcome, Selection
from langroute.core.task_context import task
from langroute.estimators.store import PolicyFile
from langroute.reports.drift import PolicyDrift

POLICY = PolicyFile((), version="abc")


def decide(
    ledger: Any, name: str, success: bool | None, *, version: str = "abc", model: str | None = None, day: int = TODAY
) -> None:
    """A decision that the policy was nine tenths sure of."""
    attempt = replace(tried("small", 0.1, model=model), selection=Selection("small", confidence=0.9))
    with task(name):
        ledger.record(replace(decided(name, attempt, day=day), policy_version=version))
    if success is not None:
        ledger.record_outcome(Outcome(success=success, task_id=name, at=NOW))


def test_outcomes_as_expected_are_ok(ledger: Any) -> None:
    for number in range(40):
        decide(ledger, f"t{number}", number % 10 != 0)
    assert [one.state for one in PolicyDrift(POLICY).verdicts(ledger, NOW)] == ["ok"]
    assert PolicyDrift(POLICY).check(ledger, NOW) == []


def test_a_policy_that_fails_its_own_estimates_drifts(ledger: Any) -> None:
    for number in range(40):
        decide(ledger, f"t{number}", number % 2 == 0)
    (alert,) = PolicyDrift(POLICY).check(ledger, NOW)
    assert (alert.kind, alert.subject) == ("drift", "small")
    assert "fewer successes than the policy expected" in alert.message


def test_an_outcome_of_the_decision_weighs_more_than_its_tasks(ledger: Any) -> None:
    for number in range(40):
        decide(ledger, f"t{number}", True)
        ledger.record_outcome(Outcome(success=False, decision_id=f"t{number}", source="evaluator:tone", at=NOW))
    assert len(PolicyDrift(POLICY).check(ledger, NOW)) == 1


def test_another_model_behind_the_route_drifts(ledger: Any) -> None:
    decide(ledger, "t1", None, model="m-1", day=TODAY - 1)
    decide(ledger, "t2", None, model="m-2")
    (alert,) = PolicyDrift(POLICY).check(ledger, NOW)
    assert "m-2 serves now, m-1 did" in alert.message


def test_too_little_is_no_proof_that_all_is_well(ledger: Any) -> None:
    decide(ledger, "t1", False)
    assert [one.state for one in PolicyDrift(POLICY).verdicts(ledger, NOW)] == ["cannot tell"]


def test_decisions_of_another_policy_do_not_count(ledger: Any) -> None:
    for number in range(40):
        decide(ledger, f"t{number}", False, version="other")
    (verdict,) = PolicyDrift(POLICY).verdicts(ledger, NOW)
    assert (verdict.state, verdict.reason) == ("cannot tell", "no decision of policy version abc in the last 28 days")
