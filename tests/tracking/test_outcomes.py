"""Reported outcomes are parsed, passed to everything they concern, and rejected where they make no sense."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute import ChatRouter, RouterNode, open_ledger, record_outcome, task
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.records import Outcome, Selection
from langroute.ledger.facts import summarize_outcomes
from langroute.ledger.memory import MemoryLedger
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker, track
from langroute.tracking.outcomes import Metric, Outcomes, from_langsmith, pull_langsmith, to_langsmith


class Learner:
    """A policy that hears how things went."""

    name = "learner"

    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def select(self, request: Any, attempts: Any) -> Selection | None:
        return None if attempts else Selection("small")

    def on_outcome(self, outcome: Outcome) -> None:
        self.heard.append(outcome)


def test_a_router_tells_its_ledger_its_policy_and_its_hooks() -> None:
    policy, hook = Learner(), Learner()
    model = ChatRouter({"small": ScriptedModel("Hi.")}, policy=policy, hooks=[hook])
    for to in (model, model.router, RouterNode(model)):
        record_outcome(to, True, task_id="t1")
    assert len(model.ledger.outcomes) == len(policy.heard) == len(hook.heard) == 3


def test_a_tracker_and_several_are_told_too() -> None:
    ledgers = [MemoryLedger(), MemoryLedger()]
    record_outcome([OutcomeTracker(ledgers[0]), ledgers[1]], True, task_id="t1")
    assert [ledger.task("t1").success for ledger in ledgers] == [True, True]


def test_an_outcome_is_about_the_task_around_it_unless_it_says_otherwise() -> None:
    ledger = MemoryLedger()
    with task("around"):
        record_outcome(ledger, True)
        record_outcome(ledger, False, task_id="other")
    assert (ledger.task("around").success, ledger.task("other").success) == (True, False)


def test_numbers_are_ids_too(tmp_path: Any) -> None:
    """A ticket's number, a row's: the ledger keeps the decision, and what is told finds it."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        model = ChatRouter({"small": ScriptedModel("Hi.")}, policy=Fixed("small"), ledger=ledger)
        with track(0, kind=7, ledger=ledger):  # type: ignore[arg-type]
            model.invoke("Hello?")
        model.invoke("Hello?", config={"metadata": {"langroute_task": 17, "langroute_task_kind": 7}})
        ledger.flush()
        for number in (0, 17):
            record_outcome(ledger, True, task_id=number)
            ledger.flush()
            totals = ledger.task(str(number))
            assert (totals.decisions, totals.kind, totals.success) == (1, "7", True)
        record_outcome(MemoryLedger(), True, task_id=5)


def test_a_message_is_enough_to_tell_what_it_is_about() -> None:
    """From a router by its decision, from any model by its run."""
    ledger = MemoryLedger()
    model = ChatRouter({"small": ScriptedModel("Hi.")}, policy=Fixed("small"), ledger=ledger)
    with task("routed"):
        answer = model.invoke("Hello?")
    record_outcome(ledger, False, message=answer)
    with track("plain", ledger=ledger) as tracked:
        plain = ScriptedModel("Hi.").invoke("Hello?")
    record_outcome(ledger, True, message=plain)
    assert ledger.task("routed").success is False
    assert tracked.totals.success is True


def test_a_tracked_task_can_be_told_on_the_spot() -> None:
    with track("t1") as tracked:
        ScriptedModel("Hi.").invoke("Hello?")
        tracked.outcome(True, source="tests", human_minutes=2)
    assert tracked.totals.success is True


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"success": True}, "is about something"),
        ({"task_id": "t1"}, "says something"),
        ({"task_id": "t1", "success": 1}, "a number is a score"),
        ({"task_id": "t1", "score": 7}, "from 0 to 1"),
        ({"task_id": "t1", "score": float("nan"), "key": "tone"}, "is a number"),
        ({"task_id": "t1", "success": True, "human_minutes": -1}, "from 0 up"),
        ({"task_id": "t1", "key": "resolved", "score": 0.5}, "is a truth"),
        ({"task_id": "t1", "success": True, "at": 1_790_000_000_000}, "seconds since the epoch"),
        ({"task_id": "t1", "success": True, "at": datetime(2026, 5, 27, tzinfo=timezone.utc)}, r"value\.timestamp"),
        ({"task_id": "t1", "key": "tone", "score": 1.5}, "share from 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    outcomes = Outcomes(MemoryLedger(), metrics=[Metric("resolved"), Metric("tone", kind="score")])
    with pytest.raises(InputError, match=message):
        outcomes.record(**fields)


def test_what_is_no_ledger_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="none of them"):
        record_outcome(object(), True, task_id="t1")


@pytest.mark.parametrize(
    ("metric", "value", "success"),
    [
        (Metric("resolved"), True, True),
        (Metric("reopened", higher_is_better=False), True, False),
        (Metric("tone", kind="score", threshold=0.7), 0.7, True),
        (Metric("tone", kind="score"), 0.1, None),
        (Metric("edits", kind="number", higher_is_better=False, threshold=20), 21, False),
        (Metric("thumbs", decides=False), True, None),
    ],
)
def test_a_declared_metric_says_what_its_values_mean(metric: Metric, value: Any, success: bool | None) -> None:
    told = Outcomes(MemoryLedger(), metrics=[metric]).record(key=metric.name, score=value, task_id="t1")
    assert told.success is success
    assert told.score == float(value)


def test_a_wrong_metric_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ConfigurationError, match="bool, score, number"):
        Metric("tone", kind="stars")
    with pytest.raises(ConfigurationError, match="no threshold"):
        Metric("resolved", threshold=0.5)


def test_several_outcomes_come_to_one_result() -> None:
    """The weightiest source's last word, all the minutes, the last baseline and value."""
    result = summarize_outcomes(
        [
            Outcome(success=True, source="evaluator:tone", at=9),
            Outcome(success=True, source="user", at=1, human_minutes=3, baseline_minutes=20),
            Outcome(success=False, source="tests", at=2, human_minutes=4, value_usd=5),
            Outcome(success=True, source="implicit:abandoned", at=10),
            Outcome(key="length", score=120, source="user", at=11, baseline_minutes=30),
        ]
    )
    assert (result.success, result.success_source) == (False, "tests")
    assert (result.human_minutes, result.baseline_minutes, result.value_usd) == (7, 30, 5)
    assert summarize_outcomes([]).success is None


def test_langsmith_feedback_goes_there_and_back() -> None:
    told = Outcome("resolved", success=True, run_id="r1", source="tests", human_minutes=3, at=1.0)
    sent = to_langsmith(told)
    assert (sent["run_id"], sent["key"], sent["score"], sent["source_info"]["human_minutes"]) == ("r1", "resolved", 1.0, 3)
    back = from_langsmith({**sent, "feedback_source": {"type": "api"}})
    assert (back.key, back.success, back.run_id) == ("resolved", True, "r1")


def test_feedback_of_which_less_is_better_is_no_success() -> None:
    """An evaluator that finds an invention in every answer must not make every task a success."""

    class Client:
        def list_feedback(self, run_ids: Any) -> list[dict[str, Any]]:
            return [
                {"run_id": "r1", "key": "hallucinated", "score": 1},
                {"run_id": "r2", "key": "edits", "score": 3},
                {"run_id": "r3", "key": "hallucinated", "score": 0.5},
                {"run_id": "r4", "key": "thumbs", "score": 1},
            ]

    told: list[Outcome] = []

    class Ledger:
        record_outcome = staticmethod(told.append)

    declared = [Metric("hallucinated", higher_is_better=False), Metric("edits", kind="number", higher_is_better=False, threshold=5)]
    assert pull_langsmith(Client(), ["r1"], Ledger(), metrics=declared) == 4
    assert [outcome.success for outcome in told] == [False, True, None, True]


def test_a_message_that_says_nothing_of_its_run_is_refused() -> None:
    with pytest.raises(InputError, match="about something"):
        record_outcome(MemoryLedger(), True, message=AIMessage("Hi."))


@pytest.mark.parametrize("place", ["ledger.db", Path("ledger.db"), "postgresql://user:secret@host/ledger"])
def test_a_path_is_no_ledger_and_the_error_says_how_it_is_opened(place: Any) -> None:
    with pytest.raises(ConfigurationError, match="open_ledger") as told:
        record_outcome(place, True, task_id="t1")
    assert "secret" not in str(told.value)
