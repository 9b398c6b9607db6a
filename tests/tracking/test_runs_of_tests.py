"""Runs of tests in tool results are outcomes of the answer before: reported, outweighed by whatever is said outright, and learned from by nobody."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute import ChatRouter
from langroute.cache import ResponseCache
from langroute.cache.decisions import CachedDecisions
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Signals, Step
from langroute.core.records.outcome import TESTS_SEEN
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Escalate, Fixed
from langroute.policies.base import reward_of
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker
from langroute.tracking.implicit_feedback import MOST_RESULTS, ImplicitFeedback

PASSED, FAILED = "==== 3 passed in 0.02s ====", "FAILED test_a.py::test_one\n==== 1 failed, 2 passed in 0.05s ===="
ROUTES = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))


def call(number: int = 1, command: str = "pytest -q", name: str = "bash") -> dict[str, Any]:
    return {"name": name, "args": {"command": command}, "id": f"c{number}", "type": "tool_call"}


def heard(*after: Any, calls: Any = None, task_id: str | None = "t1") -> Outcome | None:
    history = [HumanMessage("Mend it."), AIMessage("", tool_calls=[call()] if calls is None else calls)]
    return ImplicitFeedback().heard([*history, *after], task_id, at=5.0)


def result(text: str, number: int = 1, **more: Any) -> ToolMessage:
    return ToolMessage(text, tool_call_id=f"c{number}", **more)


@pytest.mark.parametrize(("text", "success"), [(PASSED, True), (FAILED, False)])
def test_a_run_of_tests_is_an_outcome_of_the_task(text: str, success: bool) -> None:
    told = heard(result(text))
    assert told == Outcome("tests_passed", success=success, task_id="t1", source=TESTS_SEEN, at=5.0)


def test_it_is_one_of_the_decision_that_ran_them_where_the_answer_knows_it() -> None:
    answer = AIMessage("", tool_calls=[call()], response_metadata={"langroute": {"decision_id": "d1"}})
    told = ImplicitFeedback().heard([HumanMessage("Mend it."), answer, result(FAILED)], "t1")
    assert told is not None
    assert (told.decision_id, told.task_id, told.success) == ("d1", None, False)


def test_of_several_runs_one_that_failed_counts() -> None:
    calls = [call(1), call(2), call(3, "ls")]
    after = [result(PASSED, 1), result(FAILED, 2), result("a.py", 3)]
    for order in (after, after[::-1]):
        told = heard(*order, calls=calls)
        assert told is not None
        assert told.success is False


@pytest.mark.parametrize(
    ("after", "calls"),
    [
        ([], None),
        ([result("a.py")], None),
        ([result(PASSED)], [call(name="read_file")]),
        ([result(PASSED)], [call(name="fetch_page")]),
        ([result(PASSED)], [call(command="cat ci.log")]),
        ([result(PASSED, 9)], []),
        ([HumanMessage(PASSED)], None),
        ([SystemMessage(FAILED)], None),
        ([result(PASSED), AIMessage("Done.")], None),
        ([result(PASSED), AIMessage("Done."), HumanMessage("Thanks!")], None),
    ],
    ids=["no result", "no tests", "a file", "a page", "a log", "no call", "a person", "a system", "answered", "a later turn"],
)
def test_what_ran_no_tests_just_now_says_nothing(after: list[Any], calls: Any) -> None:
    assert heard(*after, calls=calls) is None


def test_what_a_client_says_behind_the_result_hides_it_not() -> None:
    """Claude Code writes a reminder there."""
    told = heard(result(PASSED), SystemMessage("<system-reminder>Be brief.</system-reminder>"))
    assert told is not None
    assert told.success is True


def test_a_person_who_takes_it_back_is_heard_before_the_tests() -> None:
    told = heard(result(PASSED), HumanMessage("Undo that."))
    assert told is not None
    assert (told.source, told.success) == ("implicit:undone", False)


def test_nothing_is_told_of_nobody() -> None:
    assert heard(result(PASSED), task_id=None) is None


def test_a_round_of_many_results_is_read_to_a_limit() -> None:
    calls = [call(number) for number in range(MOST_RESULTS + 1)]
    after = [result("a.py", number) for number in range(MOST_RESULTS)]
    assert heard(*after, result(FAILED, MOST_RESULTS), calls=calls) is None
    told = heard(*after[1:], result(FAILED, MOST_RESULTS), calls=calls)
    assert told is not None
    assert told.success is False


def test_the_last_run_counts_and_whoever_says_it_outright_more() -> None:
    ledger = MemoryLedger()
    tracker = OutcomeTracker(ledger, implicit=ImplicitFeedback())
    model = ScriptedModel(AIMessage("", tool_calls=[call()]))
    config = {"callbacks": [tracker], "metadata": {"langroute_task": "t1"}}
    history: list[Any] = [HumanMessage("Mend it.")]
    seen = []
    for text in (FAILED, PASSED):
        history += [model.invoke(history, config), result(text)]
        model.invoke(history, config)
        tracker.flush()
        found = tracker.task("t1")
        assert found is not None
        seen.append(found.success)
    assert seen == [False, True]
    ledger.record_outcome(Outcome(success=False, task_id="t1", source="ci"))
    model.invoke([*history[:-1], result(PASSED)], config)
    tracker.flush()
    found = tracker.task("t1")
    assert found is not None
    assert found.success is False


# What a text of anybody's says steers nothing ------------------------------------------------------------------------------

SEEN = Outcome("tests_passed", success=False, task_id="t1", source=TESTS_SEEN, at=1.0)
SAID = Outcome("tests_passed", success=False, task_id="t1", source="tests", at=1.0)


def test_no_policy_is_rewarded_for_it() -> None:
    assert reward_of(SAID) == 0.0
    assert reward_of(SEEN) is None


@pytest.mark.parametrize(("outcome", "route"), [(SEEN, "large"), (SAID, "small")])
def test_an_escalated_task_stays_where_it_is(outcome: Outcome, route: str) -> None:
    policy = Escalate(["small", "large"])
    stuck = Request("Go on.", Step("act", thread="t1", task="t1", signals=Signals(errors_in_row=4, turn=1)), ROUTES)
    calm = Request("Go on.", Step("act", thread="t1", task="t1", signals=Signals(turn=1)), ROUTES)
    first = policy.select(stuck, [])
    assert first is not None
    assert first.route == "large"
    policy.on_decision(Decision("d1", step=stuck.step, attempts=(Attempt(first, answer="Hm."),), route="large"))
    policy.on_outcome(outcome)
    after = policy.select(calm, [])
    assert after is not None
    assert after.route == route


@pytest.mark.parametrize(("outcome", "cache"), [(SEEN, "hit"), (SAID, "miss")])
def test_an_answer_that_was_kept_stays_kept(outcome: Outcome, cache: str) -> None:
    model = ChatRouter({"small": ScriptedModel("42")}, response_cache=ResponseCache(), prices={"small": {"input": 1, "output": 1}})
    config: Any = {"metadata": {"langroute_task": "t1"}}
    model.invoke("What is 6 * 7?", config)
    model.response_cache.on_outcome(outcome)
    assert model.invoke("What is 6 * 7?", config).response_metadata["langroute"]["cache"] == cache


@pytest.mark.parametrize(("outcome", "reason"), [(SEEN, "as before: fixed"), (SAID, "fixed")])
def test_a_choice_that_was_kept_stays_kept(outcome: Outcome, reason: str) -> None:
    policy = CachedDecisions(Fixed("small"))
    policy.select(Request("Define entropy.", routes=ROUTES), [])
    policy.on_outcome(outcome)
    found = policy.select(Request("Define entropy.", routes=ROUTES), [])
    assert found is not None
    assert found.reason == reason
