"""Rules that a person can read, and the default made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from langroute.core.errors import ConfigurationError, UnknownRouteError
from langroute.core.records import Attempt, Failure, Request, RouteInfo, Selection, Signals, Step
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.base import stops_at_answers
from langroute.policies.rules import Rule, Rules
from langroute.testing import ScriptedModel

THREE = (RouteInfo("small", "cheap", 0), RouteInfo("middle", "balanced", 1), RouteInfo("large", "frontier", 2))


def first(policy: object, step: Step, routes: tuple[RouteInfo, ...] = THREE) -> str:
    """Where a step goes."""
    return policy.select(Request("Hi.", step, routes, default="large"), []).route  # type: ignore[attr-defined]


def test_the_first_rule_that_fits_decides() -> None:
    """Order is priority."""
    policy = Rules([Rule("large", kind="plan"), Rule("small", kind={"plan", "title"})], default="middle")

    assert first(policy, Step("plan")) == "large"
    assert first(policy, Step("title")) == "small"
    assert first(policy, Step("act")) == "middle"


def test_bounds_on_signals() -> None:
    """Both ends of a range belong to it."""
    policy = Rules([Rule("large", minimum={"tokens": 100}, maximum={"tokens": 200})], default="small")

    found = [first(policy, Step(signals=Signals(tokens=tokens))) for tokens in (99, 100, 200, 201)]
    assert found == ["small", "large", "large", "small"]


def test_a_signal_that_is_unknown_fits_no_bound() -> None:
    """`None` is not zero."""
    policy = Rules([Rule("large", maximum={"steps_since_edit": 5})], default="small")

    assert first(policy, Step()) == "small"


def test_a_misspelt_signal_is_told_at_once() -> None:
    """With the names that there are."""
    with pytest.raises(ConfigurationError, match="no signal 'token'"):
        Rule("large", minimum={"token": 1})


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
    policy = Rules([Rule("cheap", kind="title", verify=True)], default="frontier")
    request = Request("Hi.", Step("title"), THREE)
    attempts: list[Attempt] = []
    tried = []
    while (selection := policy.select(request, attempts)) is not None:
        tried.append((selection.route, selection.provisional))
        attempts.append(Attempt(selection, answer="", score=0.0))

    assert tried == [("small", True), ("middle", True), ("large", False)]


def test_an_unchecked_answer_is_kept() -> None:
    """A rule that does not check asks once."""
    policy = Rules([Rule("small", kind="title")])

    assert policy.select(Request("Hi.", Step("title"), THREE), [Attempt(Selection("small"), answer="x")]) is None


def test_a_rule_says_what_it_goes_by() -> None:
    """In the decision's reason, and in the words of who wrote it where there are any."""

    def is_late(request: Request) -> bool:
        return True

    rule = Rule(
        "large",
        kind={"review", "plan"},
        node="critic",
        tag=["b", "a"],
        task_kind="refactor",
        minimum={"tokens": 1000, "error": 0.5},
        maximum={"turn": 2},
        when=is_late,
    )

    assert rule.reason == "plan or review, critic, a or b, refactor, tokens >= 1000, error >= 0.5, turn <= 2, is_late"
    assert Rule("large", when=Late()).reason == "a condition"
    assert Rule("large").reason == "otherwise"
    assert Rule("large", kind="plan", why="plans matter").reason == "plans matter"


class Late:
    """A condition without a name."""

    def __call__(self, request: Request) -> bool:
        return True


@pytest.mark.parametrize(
    ("said", "fits", "does_not"),
    [
        ({"kind": "plan"}, [{"kind": "plan"}], [{"kind": "pla"}, {"kind": "plan b"}, {}]),
        ({"node": "critic"}, [{"node": "critic"}], [{"node": "crit"}, {"node": None}]),
        ({"node": ["critic", "judge"]}, [{"node": "critic"}, {"node": "judge"}], [{"node": "c"}, {}]),
        ({"task_kind": "refactor"}, [{"task_kind": "refactor"}], [{"task_kind": "support"}, {}]),
        ({"tag": "eval"}, [{"tags": ("x", "eval")}, {"tags": ("eval",)}], [{"tags": ("x", "y")}, {"tags": ("eva",)}, {}]),
        ({"tag": {"eval", "ci"}}, [{"tags": ("ci", "x")}], [{"tags": ("x",)}, {}]),
        ({"kind": "plan", "tag": "eval"}, [{"kind": "plan", "tags": ("eval",)}], [{"kind": "plan"}, {"tags": ("eval",)}]),
        ({"when": lambda request: request.default == "large"}, [{}], []),
        ({"when": lambda request: None}, [], [{}]),
        ({}, [{}], []),
    ],
)
def test_everything_that_a_rule_says_has_to_be_true(said: dict[str, Any], fits: list[Any], does_not: list[Any]) -> None:
    rule = Rule("small", **said)

    def matches(asked: dict[str, Any]) -> bool:
        facts = dict(asked)
        tags = facts.pop("tags", ())
        return rule.matches(Request("Hi.", Step(**facts), THREE, default="large", tags=tags))

    assert [matches(asked) for asked in fits] == [True] * len(fits)
    assert [matches(asked) for asked in does_not] == [False] * len(does_not)


@pytest.mark.parametrize("policy", [Rules([Rule("small", kind="title")], default="small"), Rules([], default="cheap"), Rules([])])
def test_what_no_rule_asks_to_check_is_not_checked(policy: Rules) -> None:
    """A provisional answer would be held back."""
    for kind in ("title", "act"):
        selection = policy.select(Request("Hi.", Step(kind), THREE, default="small"), [])
        assert selection is not None
        assert (selection.route, selection.provisional) == ("small", False)


def test_a_rule_names_its_routes_and_what_is_left_over_too() -> None:
    """Tiers are no routes."""
    rules = [Rule("small", kind="title"), Rule("frontier", kind="plan")]

    assert list(Rules(rules, default="middle").routes_named()) == ["small", "middle"]
    assert list(Rules(rules, default="balanced").routes_named()) == ["small"]
    assert list(Rules(rules).routes_named()) == ["small"]


def test_it_says_that_it_stops_at_an_answer() -> None:
    """Unless a subclass chooses default."""
    assert stops_at_answers(Rules([]))
    assert not stops_at_answers(Insisting([]))


CHECKED = Rules([Rule("small", kind="title", verify=True)])


def next_after(*attempts: Attempt) -> tuple[str, str, bool] | None:
    """What follows in a step that is checked."""
    selection = CHECKED.select(Request("Hi.", Step("title"), THREE, default="large"), list(attempts))
    return None if selection is None else (selection.route, selection.reason, selection.provisional)


def checked(route: str, score: float | None = None, **facts: Any) -> Attempt:
    return Attempt(Selection(route, provisional=True), answer=None if facts else "x", score=score, **facts)


def test_an_answer_is_good_enough_from_half_a_point() -> None:
    """One that nobody scored is kept."""
    assert next_after(checked("small", 0.5)) is None
    assert next_after(checked("small", None)) is None
    assert next_after(checked("small", 1.0)) is None
    assert next_after(checked("small", 0.49)) == ("middle", "small scored 0.49", True)


def test_the_latest_attempt_decides() -> None:
    assert next_after(checked("small", 0.1), checked("middle", 0.9)) is None
    assert next_after(checked("small", 0.1), Attempt(Selection("middle"), answer="x")) is None
    assert next_after(checked("small", 0.9), checked("middle", 0.1)) == ("large", "middle scored 0.10", False)


class Refused(Exception):
    """What every provider says of a request that is wrong in itself."""

    status_code = 400


def test_a_checked_call_that_fails_goes_up_where_another_route_may_help() -> None:
    """By what the failure says, and by the error where nobody said anything."""

    def failed(error: BaseException | None, failure: Failure | None = None) -> Attempt:
        return checked("small", error=error, error_type=type(error).__name__ if error is not None else "Lost", failure=failure)

    up = ("middle", "small failed: ConnectionError", True)
    assert next_after(failed(ConnectionError())) == up
    assert next_after(failed(ConnectionError(), Failure("connection"))) == up
    assert next_after(failed(ConnectionError(), Failure("bad_request", retry_elsewhere=False))) is None
    assert next_after(failed(Refused())) is None
    assert next_after(failed(TypeError("a bug of the caller's"))) == ("middle", "small failed: TypeError", True)
    # Read back from a ledger, without the error itself.
    assert next_after(failed(None)) == ("middle", "small failed: Lost", True)


def test_no_route_is_tried_twice_and_none_below() -> None:
    assert next_after(checked("middle", 0.1), checked("small", 0.1)) == ("large", "small scored 0.10", False)
    assert next_after(checked("large", 0.1)) is None
    assert next_after(checked("middle", 0.1), checked("large", 0.1), checked("small", 0.1)) is None
    assert next_after(checked("gone", 0.1)) is None


# The default ---------------------------------------------------------------------------------------------------------


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
