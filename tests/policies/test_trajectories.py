"""Policies that look at where a thread is going: escalate, plan and execute, sub-agents, one voice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from langroute import ChatRouter, Route, RouterMiddleware
from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Decision, Failure, Outcome, Request, RouteInfo, Selection, Signals, Step
from langroute.policies import CacheAware, ConfidenceFloor, Escalate, Fixed, PinThread, PlanExecute, Sticky, SubagentCap
from langroute.policies.escalate import Trigger, long_turn, loops, no_progress, tool_errors
from langroute.testing import ScriptedModel

ROUTES = (RouteInfo("small", "cheap", 0), RouteInfo("middle", "balanced", 1), RouteInfo("large", "frontier", 2))


class Talk:
    """A thread that tells a policy what its steps look like, and hears where they go."""

    def __init__(self, policy: Any, thread: str = "t", routes: Sequence[RouteInfo] = ROUTES) -> None:
        self.policy, self.thread, self.routes, self.turn, self.steps = policy, thread, tuple(routes), 1, 0

    def step(self, kind: str = "act", *, agent: str | None = None, score: float | None = None, **signals: Any) -> str:
        signals = {"turn": self.turn, "turn_steps": self.steps, **signals}
        step = Step(kind, thread=self.thread, agent=agent, index=self.steps, signals=Signals(**signals))
        request = Request([HumanMessage("Go on.")], step, self.routes, "large")
        attempts: list[Attempt] = []
        while selection := self.policy.select(request, attempts):
            attempts.append(Attempt(selection, answer="x", score=score if selection.provisional else None))
        self.reason = attempts[-1].selection.reason
        if hasattr(self.policy, "on_decision"):
            self.policy.on_decision(Decision("d", step, attempts[-1].route, tuple(attempts)))
        self.steps += 1
        return attempts[-1].route

    def user(self) -> None:
        self.turn, self.steps = self.turn + 1, 0


# Escalate ----------------------------------------------------------------------------------------------------------------


def test_a_thread_starts_cheap_and_stays_there_while_all_goes_well() -> None:
    talk = Talk(Escalate())

    assert [talk.step() for _ in range(10)] == ["small"] * 10


@pytest.mark.parametrize("sign", [{"errors_in_row": 2}, {"repeats": 2}])
def test_trouble_moves_it_up_and_the_latch_keeps_it_there(sign: dict[str, int]) -> None:
    talk = Talk(Escalate())
    talk.step()
    assert talk.step(**sign) == "middle"
    assert talk.reason.startswith("up to middle")

    assert [talk.step() for _ in range(8)] == ["middle"] * 8


def test_the_stronger_route_gets_its_steps_before_the_next_move() -> None:
    """The signs of the old trouble are still in the history."""
    talk = Talk(Escalate(min_steps_between=3))

    assert [talk.step(errors_in_row=2) for _ in range(6)] == ["middle", "middle", "middle", "large", "large", "large"]
    talk = Talk(Escalate())
    assert [talk.step(errors_in_row=2) for _ in range(4)] == ["middle", "middle", "large", "large"]


def test_it_comes_down_at_a_boundary_one_rung_at_a_time_and_only_when_calm() -> None:
    talk = Talk(Escalate(min_steps_between=0))
    talk.step(errors_in_row=2)
    assert talk.step(errors_in_row=3) == "large"
    talk.user()
    assert talk.step() == "large"
    talk.user()
    assert talk.step() == "middle"
    talk.user()
    assert talk.step() == "small"
    talk.user()
    assert talk.step() == "small", "below the lowest there is nothing, least of all the highest"


def test_what_an_answer_carries_moves_a_thread_where_it_was_rejected_and_not_where_it_failed() -> None:
    """In another process, which knows only the messages."""
    step = Step("act", thread="t", signals=Signals(turn=1))

    def after(**fields: Any) -> str:
        policy = Escalate(["small", "large"], verify=True)
        request = Request([HumanMessage("Go on.")], step, ROUTES)
        first = policy.select(request, [])
        assert first is not None
        second = policy.select(request, [Attempt(first, **fields)])
        assert second is not None
        assert second.route == "large"
        told = {"route": "large", "step": {"kind": "act"}, "thread": {"memory": list(second.memory)}}
        answer = AIMessage("Yes.", response_metadata={"langroute": told})
        later = Request([HumanMessage("Go on."), answer], Step("act", thread="t", signals=Signals(turn=1, turn_steps=1)), ROUTES)
        chosen = Escalate(["small", "large"], verify=True).select(later, [])
        assert chosen is not None
        return chosen.route

    failure = Failure("overloaded", retry_elsewhere=True)
    assert after(answer="x", score=0.1) == "large"
    assert after(error=RuntimeError(), error_type="RuntimeError", failure=failure) == "small"


def test_a_new_task_in_the_same_turn_is_no_boundary_unless_that_is_asked_for() -> None:
    policy = Escalate()
    routes = []
    for task_id, errors in (("k1", 2), ("k2", 0)):
        step = Step("act", thread="t", task=task_id, signals=Signals(turn=1, errors_in_row=errors))
        selection = policy.select(Request("Go on.", step, ROUTES), [])
        assert selection is not None
        policy.on_decision(Decision("d", step, selection.route, (Attempt(selection, answer="x"),)))
        routes.append(selection.route)

    assert routes == ["middle", "middle"]


def test_a_rejected_answer_goes_up_at_once_and_the_thread_stays_there() -> None:
    talk = Talk(Escalate(["small", "large"], verify=True))
    assert talk.step(score=0.9) == "small"
    assert talk.step(score=0.1) == "large"

    assert talk.step(score=0.9) == "large"
    assert "an answer was rejected" in talk.reason


def test_no_progress_is_many_steps_without_an_edit() -> None:
    talk = Talk(Escalate(triggers=[no_progress(5)]))
    routes = [talk.step() for _ in range(6)]
    assert routes == ["small"] * 5 + ["middle"]

    fresh = Talk(Escalate(triggers=[no_progress(5)]), thread="other")
    assert [fresh.step(steps_since_edit=1) for _ in range(8)] == ["small"] * 8


def test_triggers_of_ones_own() -> None:
    talk = Talk(Escalate(triggers=[Trigger("expensive question", lambda step: step.signals.turn_tokens > 1000)]))

    assert talk.step(turn_tokens=2000) == "middle"
    assert "expensive question" in talk.reason


def test_steps_beside_the_conversation_stay_on_the_lowest_rung_and_change_nothing() -> None:
    talk = Talk(Escalate())
    talk.step(errors_in_row=2)

    assert talk.step("title", errors_in_row=5) == "small"
    assert talk.step() == "middle"


def test_threads_and_agents_climb_on_their_own() -> None:
    policy = Escalate()
    Talk(policy, "a").step(errors_in_row=2)

    assert Talk(policy, "b").step() == "small"
    assert Talk(policy, "a").step(agent="helper") == "small"
    assert Talk(policy, "a").step() == "middle"


def test_a_boundary_may_be_the_task() -> None:
    policy = Escalate(reset_at="task")
    for task_id, trouble, expected in (("k1", 2, "middle"), ("k1", 0, "middle"), ("k2", 0, "small")):
        step = Step("act", thread="t", task=task_id, signals=Signals(turn=trouble, errors_in_row=trouble))
        request = Request("Go on.", step, ROUTES)
        selection = policy.select(request, [])
        policy.on_decision(Decision("d", step, selection.route, (Attempt(selection, answer="x"),)))
        assert selection.route == expected
    policy.on_outcome(Outcome(task_id="k1"))

    assert policy.select(Request("Go on.", Step("act", thread="t", task="k1"), ROUTES), []).route == "small"


def test_a_move_up_is_firm_so_that_a_warm_cache_does_not_hold_it_back() -> None:
    talk = Talk(CacheAware(Escalate()))
    talk.step()

    assert talk.step(errors_in_row=1) == "small"
    assert talk.step(repeats=2) == "middle"


def test_answers_are_checked_only_where_that_is_asked_for_and_something_stands_above() -> None:
    """A provisional answer is held back; the highest rung's is the last word."""
    for policy, checked in ((Escalate(), [False] * 3), (Escalate(verify=True), [True, True, False])):
        talk, found = Talk(policy), []
        for trouble in (0, 2, 2):
            step = Step("act", thread="t", signals=Signals(turn=1, errors_in_row=trouble))
            selection = policy.select(Request("Go on.", step, ROUTES), [])
            found.append(selection.provisional)
            for _ in range(2):
                talk.step(errors_in_row=trouble)
        assert found == checked


def test_a_rung_whose_stronger_rungs_are_the_same_route_is_the_last_one() -> None:
    """Two tiers, one route: there is nothing to go on to."""
    selection = Escalate(["balanced", "frontier"], verify=True).select(Request("Hi.", Step("act", thread="t"), ROUTES[:1]), [])

    assert (selection.route, selection.provisional) == ("small", False)


def escalated(score: float | None = None, *, threshold: float = 0.5, **facts: Any) -> Selection | None:
    """What follows the first attempt of a thread whose answers are checked."""
    policy = Escalate(verify=True, threshold=threshold)
    request = Request("Go on.", Step("act", thread="t"), ROUTES)
    first = policy.select(request, [])
    return policy.select(request, [Attempt(first, answer=None if facts else "x", score=score, **facts)])


def test_an_answer_is_good_enough_at_the_threshold() -> None:
    assert escalated(0.7, threshold=0.7) is None
    assert escalated(None) is None
    assert escalated(0.69, threshold=0.7) == Selection(
        "middle", "up to middle: small scored 0.69", provisional=True, override_wrappers=True
    )


class Refused(Exception):
    status_code = 400


def test_a_checked_call_that_fails_goes_up_where_another_route_may_help() -> None:
    """By what the failure says, and by the error where nobody said anything."""
    lost = {"error": ConnectionError(), "error_type": "ConnectionError"}
    expected = Selection("middle", "up to middle: small failed: ConnectionError", provisional=True, override_wrappers=True)

    assert escalated(**lost) == expected
    assert escalated(**lost, failure=Failure("connection")) == expected
    assert escalated(**lost, failure=Failure("bad_request", retry_elsewhere=False)) is None
    assert escalated(error=Refused(), error_type="Refused") is None
    assert escalated(error_type="Lost") == Selection(
        "middle", "up to middle: small failed: Lost", provisional=True, override_wrappers=True
    )


def test_an_unchecked_answer_or_failure_is_not_its_business() -> None:
    policy, request = Escalate(), Request("Go on.", Step("act", thread="t"), ROUTES)
    first = policy.select(request, [])

    assert policy.select(request, [Attempt(first, answer="x", score=0.1)]) is None
    assert policy.select(request, [Attempt(first, error=ConnectionError(), error_type="ConnectionError")]) is None


def test_no_rung_is_tried_twice_in_a_step() -> None:
    """Each rejected answer goes one up; above the highest there is nothing."""
    policy, request, attempts = Escalate(verify=True), Request("Go on.", Step("act", thread="t"), ROUTES), []
    while (selection := policy.select(request, attempts)) is not None:
        attempts.append(Attempt(selection, answer="x", score=0.1))

    assert [(attempt.route, attempt.selection.provisional) for attempt in attempts] == [
        ("small", True),
        ("middle", True),
        ("large", False),
    ]


def test_a_rung_that_cannot_take_the_step_leaves_it_to_the_default_route() -> None:
    policy = Escalate(["small", "large"])
    selection = policy.select(Request("Go on.", Step("act", thread="t"), ROUTES[1:], default="middle"), [])

    assert selection == Selection("middle", "small cannot take this step; starts cheap")
    assert policy.select(Request("Go on.", Step("act", thread="t"), ROUTES[1:]), []).route == "small"


def test_two_rejected_answers_move_a_thread_up_two_rungs_and_no_further_than_the_top() -> None:
    for rejected, route in ((1, "middle"), (2, "large"), (3, "large")):
        policy, step = Escalate(verify=True), Step("act", thread="t", signals=Signals(turn=1))
        attempts = tuple(Attempt(Selection("small"), answer="x", score=0.1) for _ in range(rejected))
        policy.on_decision(Decision("d", step, "large", (*attempts, Attempt(Selection("large"), answer="x"))))

        assert policy.select(Request("Go on.", step, ROUTES), []).route == route


def test_an_answer_at_the_threshold_and_a_failed_call_were_not_rejected() -> None:
    policy, step = Escalate(verify=True), Step("act", thread="t", signals=Signals(turn=1))
    kept = Attempt(Selection("small"), answer="x", score=0.5)
    lost = Attempt(Selection("small"), score=0.0, error_type="ConnectionError")
    policy.on_decision(Decision("d", step, "small", (lost, Attempt(Selection("small"), answer="x"), kept)))

    assert policy.select(Request("Go on.", step, ROUTES), []).route == "small"


def test_what_moved_a_thread_up_is_said_as_long_as_it_stays_and_after() -> None:
    talk = Talk(Escalate())
    reasons = []
    for trouble in (0, 2, 0):
        talk.step(errors_in_row=trouble)
        reasons.append(talk.reason)
    talk.user()
    talk.step()
    reasons.append(talk.reason)

    assert reasons == [
        "starts cheap",
        "up to middle: tool calls fail",
        "stays with middle: tool calls fail",
        "calm again after: tool calls fail",
    ]


def test_a_move_up_is_firm_and_a_start_is_not() -> None:
    """Who wraps it may trade the lowest rung for a warm route."""
    policy = Escalate()
    start, up = (Step("act", thread="t", signals=Signals(errors_in_row=errors)) for errors in (0, 2))

    assert policy.select(Request("Go on.", start, ROUTES), []).override_wrappers is False
    assert policy.select(Request("Go on.", up, ROUTES), []).override_wrappers is True


def test_trouble_while_the_stronger_route_settles_keeps_it_over_the_boundary() -> None:
    """Its last step was not calm."""
    talk = Talk(Escalate(min_steps_between=5))
    assert [talk.step(errors_in_row=2) for _ in range(2)] == ["middle", "middle"]
    talk.user()

    assert talk.step() == "middle"


def test_after_a_rejected_answer_the_stronger_route_has_its_steps_too() -> None:
    """The step that it was rejected in is the first of two."""
    policy = Escalate(verify=True)
    weak, kept = Attempt(Selection("small"), answer="x", score=0.1), Attempt(Selection("middle"), answer="x", score=0.9)
    step = Step("act", thread="t", signals=Signals(turn=1))
    policy.on_decision(Decision("d", step, "middle", (weak, kept)))
    stuck, found = Step("act", thread="t", signals=Signals(turn=1, errors_in_row=2)), []
    for _ in range(2):
        found.append(policy.select(Request("Go on.", stuck, ROUTES), []).route)
        policy.on_decision(Decision("d", stuck, found[-1], (Attempt(Selection(found[-1]), answer="x", score=0.9),)))

    assert found == ["middle", "large"]


def test_a_rejected_answer_is_trouble_over_the_next_boundary() -> None:
    """As a failed call of a tool is: only a turn without any comes down again."""
    talk = Talk(Escalate(["small", "large"], verify=True))
    assert talk.step(score=0.1) == "large"
    talk.user()

    assert talk.step() == "large"
    talk.user()
    assert talk.step(score=0.9) == "small"


def test_what_was_rejected_on_the_top_changes_nothing() -> None:
    """Another policy inside may have checked it; there is nowhere to go, and the reason to be there stays."""
    policy = Escalate(["small", "large"], min_steps_between=0)
    step = Step("act", thread="t", signals=Signals(turn=1, errors_in_row=2))
    weak = Attempt(Selection("large"), answer="x", score=0.1)
    policy.on_decision(Decision("d", step, "large", (weak, weak)))
    policy.on_decision(Decision("d", Step("act", thread="t", signals=Signals(turn=1)), "large", (weak, weak)))

    later = policy.select(Request("Go on.", Step("act", thread="t", signals=Signals(turn=1)), ROUTES), [])
    assert later is not None
    assert (later.route, later.reason) == ("large", "stays with large: tool calls fail")


def test_where_it_is_stuck_on_the_top_it_stays_there() -> None:
    talk = Talk(Escalate(["small", "large"], min_steps_between=0))

    assert [talk.step(errors_in_row=2) for _ in range(4)] == ["large"] * 4


def test_trouble_in_a_new_turn_moves_a_thread_up_from_where_the_boundary_put_it() -> None:
    talk = Talk(Escalate(min_steps_between=0))
    talk.step(errors_in_row=2)
    assert talk.step(errors_in_row=2) == "large"
    assert talk.step() == "large"
    talk.user()

    # Down one rung for the boundary; not up again before the stronger route had its steps.
    assert talk.step(errors_in_row=2) == "large"


def test_without_a_thread_a_task_is_followed_and_without_either_nothing() -> None:
    policy = Escalate()
    for names, route in (({"task": "k"}, "middle"), ({}, "small")):
        step = Step("act", **names, signals=Signals(turn=1, errors_in_row=2))
        policy.on_decision(Decision("d", step, "middle", ()))
        calm = Step("act", **names, signals=Signals(turn=1))
        assert policy.select(Request("Go on.", calm, ROUTES), []).route == route


def test_a_sub_agents_depth_has_a_climb_of_its_own() -> None:
    policy = Escalate()
    policy.on_decision(Decision("d", Step("act", thread="t", signals=Signals(turn=1, errors_in_row=2)), "middle", ()))
    inner = Step("act", thread="t", signals=Signals(turn=1, depth=1))

    assert policy.select(Request("Go on.", inner, ROUTES), []).route == "small"


def test_an_outcome_ends_its_own_task_and_no_other() -> None:
    policy = Escalate(reset_at="task")
    for task in ("k1", "k2"):
        policy.on_decision(Decision("d", Step("act", task=task, signals=Signals(errors_in_row=2)), "middle", ()))
    policy.on_outcome(Outcome(decision_id="k2"))
    policy.on_outcome(Outcome(task_id="k1"))

    routes = [policy.select(Request("Go on.", Step("act", task=task), ROUTES), []).route for task in ("k1", "k2")]
    assert routes == ["small", "middle"]


def test_a_ladder_of_routes_names_them() -> None:
    """Tiers are no routes."""
    assert list(Escalate(["small", "frontier", "large"]).routes_named()) == ["small", "large"]


def test_signs_of_trouble_by_their_numbers() -> None:
    """Each from its number on, not before."""
    signs = {
        tool_errors(): "errors_in_row",
        loops(): "repeats",
        no_progress(2): "turn_steps",
        long_turn(2): "turn_steps",
    }
    for trigger, name in signs.items():
        assert [trigger.when(Step(signals=Signals(**{name: number}))) for number in (1, 2, 3)] == [False, True, True]
    assert [long_turn().when(Step(signals=Signals(turn_steps=number))) for number in (5, 6)] == [False, True]
    assert [no_progress().when(Step(signals=Signals(turn_steps=number))) for number in (11, 12)] == [False, True]
    assert [no_progress(2).when(Step(signals=Signals(turn_steps=9, steps_since_edit=n))) for n in (0, 1, 2)] == [False, False, True]


@pytest.mark.parametrize(
    "right", [{"min_steps_between": 0}, {"threshold": 0}, {"threshold": 1}, {"reset_at": "task"}, {"tiers": ["small"]}]
)
def test_the_ends_of_what_is_allowed_are_allowed(right: dict[str, Any]) -> None:
    assert Escalate(**right).select(Request("Go on.", Step("act"), ROUTES), []).route == "small"


@pytest.mark.parametrize(
    "wrong", [{"tiers": "small"}, {"tiers": []}, {"reset_at": "tomorrow"}, {"min_steps_between": -1}, {"threshold": 2}]
)
def test_a_wrong_ladder_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Escalate(**wrong)


# Plan and execute --------------------------------------------------------------------------------------------------------


def test_the_first_step_of_a_turn_plans_and_the_others_execute() -> None:
    talk = Talk(PlanExecute())
    assert [talk.step() for _ in range(4)] == ["large", "small", "small", "small"]
    talk.user()

    assert talk.step() == "large"


def test_planners_and_reviewers_of_a_graph_are_known_by_their_kind() -> None:
    talk = Talk(PlanExecute(plan_first=False))

    assert [talk.step(kind) for kind in ("plan", "act", "edit", "review", "title")] == ["large", "small", "small", "large", "small"]


def test_the_strong_route_looks_over_the_work_now_and_then_and_when_it_is_stuck() -> None:
    talk = Talk(PlanExecute(review_every=3))
    routes = [talk.step("observe" if place else "act") for place in range(7)]

    assert routes == ["large", "small", "small", "large", "small", "small", "large"]
    assert talk.step("observe", errors_in_row=2) == "large"
    assert talk.step("observe") == "small"


def test_the_same_history_makes_the_same_plan() -> None:
    first, second = Talk(PlanExecute(review_every=4)), Talk(PlanExecute(review_every=4))

    assert [first.step("observe") for _ in range(9)] == [second.step("observe") for _ in range(9)]


# Sub-agents --------------------------------------------------------------------------------------------------------------


def test_a_sub_agent_is_no_dearer_than_what_its_parent_used_in_this_turn() -> None:
    policy = SubagentCap(PlanExecute("large", "small", plan_first=False))
    talk = Talk(policy)
    talk.step("act")
    sub = Talk(policy)
    assert sub.step("plan", depth=1) == "small"
    assert "no dearer than its parent" in sub.reason

    talk.step("plan")
    assert sub.step("plan", depth=1) == "large"
    talk.user()
    talk.step("act")
    assert sub.step("plan", depth=1) == "small"


def test_a_sub_agent_whose_step_only_a_dearer_route_can_take_says_so() -> None:
    policy = SubagentCap(Fixed("large"))
    step = Step("act", thread="t")
    policy.on_decision(Decision("d", step, "small", ()))
    request = Request("Look.", Step("act", thread="t", signals=Signals(depth=1)), ROUTES[2:])

    selection = policy.select(request, [])
    assert selection.route == "large"
    assert "none of the parent's routes can" in selection.reason


def test_the_top_is_not_limited() -> None:
    talk = Talk(SubagentCap(Fixed("large")))

    assert talk.step() == "large"


# One voice, confidence, stickiness -----------------------------------------------------------------------------------------


def test_user_facing_steps_of_a_thread_stay_with_one_model() -> None:
    policy = PinThread(PlanExecute("large", "small"))
    talk = Talk(policy)

    assert talk.step("act") == "large"
    talk.user()
    assert [talk.step(kind) for kind in ("observe", "chat", "title", "answer")] == ["large", "large", "small", "large"]


def test_an_answer_of_another_route_in_between_does_not_change_the_voice() -> None:
    policy = PinThread(Fixed("small"))
    step = Step("chat", thread="t")
    for route in ("small", "large"):
        policy.on_decision(Decision("d", step, route, ()))

    assert policy.select(Request("Hi.", step, ROUTES), []).route == "small"


def unsure(confidence: float | None, route: str = "small") -> Any:
    class Policy:
        def select(self, request: Request, attempts: Any) -> Selection:
            return Selection(route, "guess", confidence=confidence)

    return Policy()


@pytest.mark.parametrize(
    "confidence, route, expected",
    [
        (0.2, "small", "middle"),
        (0.9, "small", "small"),
        (None, "small", "small"),
        (0.2, "middle", "large"),
        (0.2, "large", "large"),
    ],
)
def test_low_confidence_goes_up_never_down(confidence: float | None, route: str, expected: str) -> None:
    assert ConfidenceFloor(unsure(confidence, route)).select(Request("Hm.", routes=ROUTES), []).route == expected


@pytest.mark.parametrize("per, same", [("turn", ["middle"] * 3), ("thread", ["middle"] * 3)])
def test_a_sticky_turn_stays_where_it_began(per: str, same: list[str]) -> None:
    wishes = iter(["middle", "small", "large"])

    class Fickle:
        def select(self, request: Request, attempts: Any) -> Selection | None:
            return None if attempts else Selection(next(wishes))

    talk = Talk(Sticky(Fickle(), per=per))
    assert [talk.step() for _ in range(3)] == same


def test_a_sticky_turn_follows_an_escalation_and_ends_with_the_turn() -> None:
    policy = Sticky(Fixed("small"))
    talk = Talk(policy)
    talk.step()
    policy.on_decision(Decision("d", Step("act", thread="t", signals=Signals(turn=1)), "large", ()))
    assert talk.step() == "large"
    talk.user()

    assert talk.step() == "small"


def test_a_sticky_route_that_fell_out_is_not_insisted_on() -> None:
    policy = Sticky(Fixed("small"))
    policy.on_decision(Decision("d", Step("act", thread="t", signals=Signals(turn=1)), "large", ()))
    request = Request("Go on.", Step("act", thread="t", signals=Signals(turn=1)), ROUTES[:2])

    assert policy.select(request, []).route == "small"


def test_a_sticky_turn_is_forgotten_after_its_time_and_when_there_are_too_many() -> None:
    def after(policy: Sticky, *threads: str) -> list[str]:
        for thread in threads:
            policy.on_decision(Decision("d", Step("act", thread=thread), "large", ()))
        return [policy.select(Request("Go on.", Step("act", thread=thread), ROUTES), []).route for thread in threads]

    assert after(Sticky(Fixed("small"), ttl_seconds=0), "a") == ["small"]
    assert after(Sticky(Fixed("small"), max_entries=2), "a", "b", "c") == ["small", "large", "large"]
    # One that is told of again is the latest again.
    assert after(Sticky(Fixed("small"), max_entries=2), "a", "b", "a", "c") == ["large", "small", "large", "large"]


# In real hosts -------------------------------------------------------------------------------------------------------------


@tool
def run_tests(attempt: int) -> str:
    """Run the tests."""
    if attempt < 3:
        raise ValueError("2 failed, 1 passed")
    return "3 passed"


def coder(name: str) -> Any:
    def answer(messages: Any) -> AIMessage:
        done = sum(message.type == "tool" for message in messages)
        if done >= 4:
            return AIMessage(f"done by {name}")
        call = {"name": "run_tests", "args": {"attempt": done}, "id": f"c{done}"}
        return AIMessage("", tool_calls=[call])

    return ScriptedModel(answer, model=name)


def team() -> dict[str, Route]:
    prices = {"cheap": {"input": 1, "output": 5}, "frontier": {"input": 5, "output": 25}}
    return {tier: Route(coder(tier), price=price) for tier, price in prices.items()}


def routes_of(result: Any) -> list[str]:
    return [m.response_metadata["langroute"]["route"] for m in result["messages"] if isinstance(m, AIMessage)]


class ErrorsAreResults(AgentMiddleware):
    """A tool that raises answers with its error."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except ValueError as error:
            return self.failed(request, error)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except ValueError as error:
            return self.failed(request, error)

    def failed(self, request: Any, error: Exception) -> ToolMessage:
        return ToolMessage(f"Error: {error}", tool_call_id=request.tool_call["id"], status="error")


class Heard:
    """Keeps every decision."""

    def __init__(self) -> None:
        self.decisions: list[Decision] = []

    def on_decision(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        raise AssertionError("nobody told one")


def agent_with(policy: Any) -> Any:
    middleware = [RouterMiddleware(team(), policy=policy), ErrorsAreResults()]
    return create_agent(ScriptedModel("unused"), tools=[run_tests], middleware=middleware)


def test_an_agent_escalates_when_its_tool_calls_fail() -> None:
    result = agent_with(Escalate.for_coding_agents()).invoke({"messages": [HumanMessage("Fix it.")]})

    assert routes_of(result) == ["cheap", "cheap", "frontier", "frontier", "frontier"]
    assert result["messages"][-1].content == "done by frontier"


def test_an_agent_plans_with_one_model_and_executes_with_another() -> None:
    result = agent_with(PlanExecute.for_coding_agents()).invoke({"messages": [HumanMessage("Fix it.")]})

    assert routes_of(result) == ["frontier", "cheap", "frontier", "frontier", "cheap"]


async def test_the_same_in_an_agent_that_is_awaited() -> None:
    result = await agent_with(PlanExecute.for_coding_agents()).ainvoke({"messages": [HumanMessage("Fix it.")]})

    assert routes_of(result) == ["frontier", "cheap", "frontier", "frontier", "cheap"]


def test_a_plain_graph_plans_and_executes_by_its_nodes() -> None:
    model = ChatRouter({"cheap": ScriptedModel("did"), "frontier": ScriptedModel("thought")}, policy=PlanExecute())

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    for name in ("planner", "executor", "reviewer"):
        graph.add_node(name, ask)
    graph.add_edge(START, "planner").add_edge("planner", "executor").add_edge("executor", "reviewer")
    result = graph.compile().invoke({"messages": [HumanMessage("Write a letter.")]})

    assert routes_of(result) == ["frontier", "cheap", "frontier"]


def test_deep_agents_sub_agents_are_no_dearer_than_the_agent_that_sent_them() -> None:
    deepagents = pytest.importorskip("deepagents")

    def lead(messages: Any) -> AIMessage:
        if any("SUBTASK" in str(message.content) for message in messages if message.type == "human"):
            return AIMessage("found it")
        if sum(message.type == "ai" for message in messages):
            return AIMessage("all done")
        call = {"name": "task", "args": {"description": "SUBTASK", "subagent_type": "general-purpose"}, "id": "c1"}
        return AIMessage("", tool_calls=[call])

    class TopCheapSubDear:
        def select(self, request: Request, attempts: Any) -> Selection | None:
            return None if attempts else Selection("frontier" if request.step.signals.depth else "cheap", "wish")

    heard, routes = Heard(), {"cheap": ScriptedModel(lead), "frontier": ScriptedModel(lead)}
    model = ChatRouter(routes, policy=SubagentCap(TopCheapSubDear()), hooks=[heard])
    agent = deepagents.create_deep_agent(model=model)
    agent.invoke({"messages": [HumanMessage("Go.")]}, {"configurable": {"thread_id": "t1"}})
    decisions = heard.decisions

    assert [decision.route for decision in decisions] == ["cheap", "cheap", "cheap"]
    assert decisions[1].step.signals.depth == 1
    assert "no dearer than its parent" in decisions[1].reason


def test_a_support_agent_gets_the_strong_model_when_a_turn_drags_on() -> None:
    talk = Talk(Escalate.for_support_agents())
    routes = [talk.step("observe" if place else "act") for place in range(8)]

    assert routes == ["middle"] * 6 + ["large"] * 2


def test_a_turn_that_takes_too_long_is_a_trigger() -> None:
    assert long_turn(3).when(Step(signals=Signals(turn_steps=3)))
    assert not long_turn(3).when(Step(signals=Signals(turn_steps=2)))


# Where work begins -------------------------------------------------------------------------------------------------------

TWO = (RouteInfo("mini", "cheap", 0), RouteInfo("max", "frontier", 1))
UPPER = (RouteInfo("mid", "balanced", 0), RouteInfo("max", "frontier", 1))
ALIKE = (RouteInfo("one", "frontier", 0), RouteInfo("two", "frontier", 1))


@pytest.mark.parametrize("make", [Escalate.for_support_agents, PlanExecute.for_support_agents])
@pytest.mark.parametrize(("routes", "start", "side"), [(TWO, "mini", "mini"), (ROUTES, "middle", "small"), (UPPER, "mid", "mid"), (ALIKE, "one", "one")])  # fmt: skip
def test_a_support_agent_begins_below_the_top_and_titles_go_to_the_cheapest(
    make: Any, routes: tuple[RouteInfo, ...], start: str, side: str
) -> None:
    for kind, expected in (("answer", start), ("act", start), ("chat", start), ("title", side), ("summarize", side)):
        selection = make().select(Request("Where is my order?", Step(kind, thread="t"), routes), [])
        assert selection.route == expected
        assert expected == routes[0].name or "cheap" not in selection.reason


def test_a_support_agent_with_two_routes_still_goes_up() -> None:
    talk = Talk(Escalate.for_support_agents(), routes=TWO)
    assert [talk.step(), talk.step(errors_in_row=1), talk.step()] == ["mini", "max", "max"]
    execute = Talk(PlanExecute.for_support_agents(), routes=TWO)
    assert [execute.step(), execute.step(errors_in_row=2)] == ["mini", "max"]


def test_routes_that_were_named_are_the_only_ones() -> None:
    """A cheaper route that nobody named is not used, for side calls neither."""
    policy = Escalate(["middle", "large"])
    for kind in ("act", "title"):
        assert policy.select(Request("Hi.", Step(kind, thread="t"), ROUTES), []).route == "middle"
