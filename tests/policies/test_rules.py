"""Rules that a person can read, and the default made of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from langroute.chat_model import ChatRouter
from langroute.errors import ConfigurationError, UnknownRouteError
from langroute.policies.default import default_policy
from langroute.policies.rules import Rule, Rules
from langroute.records import Attempt, Request, RouteInfo, Selection, Signals, Step
from langroute.testing import ScriptedModel

THREE = (RouteInfo("small", "cheap", 0), RouteInfo("middle", "balanced", 1), RouteInfo("large", "frontier", 2))


def first(policy: object, step: Step, routes: tuple[RouteInfo, ...] = THREE) -> str:
    """Where a step goes."""
    return policy.select(Request("Hi.", step, routes, default="large"), []).route  # type: ignore[attr-defined]


def test_the_first_rule_that_fits_decides() -> None:
    """Order is priority."""
    policy = Rules([Rule("large", kind="plan"), Rule("small", kind={"plan", "title"})], otherwise="middle")

    assert first(policy, Step("plan")) == "large"
    assert first(policy, Step("title")) == "small"
    assert first(policy, Step("act")) == "middle"


def test_bounds_on_signals() -> None:
    """Both ends of a range belong to it."""
    policy = Rules([Rule("large", at_least={"tokens": 100}, at_most={"tokens": 200})], otherwise="small")

    found = [first(policy, Step(signals=Signals(tokens=tokens))) for tokens in (99, 100, 200, 201)]
    assert found == ["small", "large", "large", "small"]


def test_a_signal_that_is_unknown_fits_no_bound() -> None:
    """`None` is not zero."""
    policy = Rules([Rule("large", at_most={"steps_since_edit": 5})], otherwise="small")

    assert first(policy, Step()) == "small"


def test_a_misspelt_signal_is_told_at_once() -> None:
    """With the names that there are."""
    with pytest.raises(ConfigurationError, match="no signal 'token'"):
        Rule("large", at_least={"token": 1})


def test_a_rule_for_a_route_that_does_not_exist_is_told_when_the_router_is_built() -> None:
    """Not in the middle of a call."""
    with pytest.raises(UnknownRouteError, match="huge"):
        ChatRouter({"small": ScriptedModel(), "large": ScriptedModel()}, policy=Rules([Rule("huge", kind="plan")]))


def test_a_rule_whose_route_fell_out_falls_to_the_default() -> None:
    """The policy is asked only about eligible routes."""
    chosen = Rules([Rule("small", kind="title")]).select(Request("Hi.", Step("title"), THREE[1:], default="large"), [])

    assert chosen is not None
    assert chosen.route == "large"
    assert "small cannot take this step" in chosen.reason


def test_a_rule_that_raises_costs_no_answer() -> None:
    """The default route answers, and the decision says why."""
    policy = Rules([Rule("small", when=lambda request: request.nonsense)])
    model = ChatRouter({"small": ScriptedModel("s"), "large": ScriptedModel("l")}, policy=policy)
    with pytest.warns(UserWarning, match="nonsense"):
        answer = model.invoke("Hi.")

    assert answer.content == "l"
    assert "nonsense" in answer.response_metadata["langroute"]["problems"][0]


def test_a_checked_answer_that_is_rejected_goes_up_every_tier_in_turn() -> None:
    """No tier is left out, none is tried twice."""
    policy = Rules([Rule("cheap", kind="title", checked=True)], otherwise="frontier")
    request = Request("Hi.", Step("title"), THREE)
    attempts: list[Attempt] = []
    tried = []
    while (selection := policy.select(request, attempts)) is not None:
        tried.append((selection.route, selection.tentative))
        attempts.append(Attempt(selection, answer="", score=0.0))

    assert tried == [("small", True), ("middle", True), ("large", False)]


def test_an_unchecked_answer_is_kept() -> None:
    """A rule that does not check asks once."""
    policy = Rules([Rule("small", kind="title")])

    assert policy.select(Request("Hi.", Step("title"), THREE), [Attempt(Selection("small"), answer="x")]) is None


# The default ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step, route",
    [
        (Step("title"), "small"),
        (Step("classify"), "small"),
        (Step("plan"), "large"),
        (Step("review"), "large"),
        (Step("act"), "middle"),
        (Step("observe"), "middle"),
        (Step("answer"), "middle"),
        (Step("edit"), "middle"),
        (Step("chat", signals=Signals(turn=1)), "small"),
        (Step("observe", signals=Signals(errors_in_row=2)), "large"),
        (Step("observe", signals=Signals(repeats=2)), "large"),
    ],
)
def test_the_default_sends_each_kind_to_its_tier(step: Step, route: str) -> None:
    """Every tier can be reached."""
    assert first(default_policy(THREE), step) == route


def test_the_default_answers_the_person_with_the_strongest_of_two() -> None:
    """Tool use makes the final answer neither cheap nor dear."""
    two = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))

    assert first(default_policy(two), Step("answer", signals=Signals(tool_results=3)), two) == "large"


def agent_step(*results: str) -> list[BaseMessage]:
    """A thread whose tool gave these results."""
    messages: list[BaseMessage] = [HumanMessage("Mend the build.")]
    for place, result in enumerate(results):
        call = {"name": "bash", "args": {"n": place}, "id": f"c{place}", "type": "tool_call"}
        messages += [AIMessage("", tool_calls=[call]), ToolMessage(result, tool_call_id=f"c{place}")]
    return messages


def test_a_stuck_turn_goes_up_and_stays_there_until_the_next_turn() -> None:
    """Escalated once, not to and fro; the next request begins where it would have."""
    names = ("small", "middle", "large")
    routes = dict(zip(("cheap", "balanced", "frontier"), (ScriptedModel(name, model=name) for name in names), strict=True))
    model = ChatRouter(routes).bind_tools(
        [{"name": "bash", "description": "Run.", "parameters": {"type": "object", "properties": {}}}]
    )
    config = {"configurable": {"thread_id": "t"}}

    def answered(messages: list[BaseMessage]) -> str:
        return model.invoke(messages, config).content

    fine, stuck = agent_step("ok"), agent_step("ok", "exit code: 1", "exit code: 1")
    assert answered(fine) == "middle"
    assert answered(stuck) == "large"
    better = agent_step("ok", "exit code: 1", "exit code: 1", "exit code: 0")
    assert answered(better) == "large"
    assert answered([*better, AIMessage("Done."), HumanMessage("Which files did you change?")]) == "middle"


def test_a_verifier_without_a_policy_makes_a_cascade() -> None:
    """Who says what an answer must pass wants the cheapest one that passes."""
    routes = {"cheap": ScriptedModel("Hm."), "frontier": ScriptedModel("42")}
    model = ChatRouter(
        routes, verifier=lambda message: "42" in message.content, prices={name: {"input": 1, "output": 1} for name in routes}
    )

    assert model.invoke("What is 6 * 7?").content == "42"
    assert [attempt["route"] for attempt in model.invoke("6 * 7?").response_metadata["langroute"]["attempts"]] == [
        "cheap",
        "frontier",
    ]


class Insisting(Rules):
    """Goes on after an answer that nothing rejects."""

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        if len(attempts) == 1:
            return Selection("large", "a second opinion")
        return super().select(request, attempts)


def test_a_policy_of_ones_own_is_asked_after_every_answer() -> None:
    """What a built-in policy promises of itself, a subclass with another `select` does not."""
    routes = {name: ScriptedModel(name) for name in ("small", "large")}
    model = ChatRouter(
        routes, policy=Insisting([Rule("small", kind="answer")]), prices={n: {"input": 1, "output": 1} for n in routes}
    )

    assert model.invoke("Why is the sky blue?").content == "large"
