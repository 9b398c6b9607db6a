"""Every policy fails over unless somebody says otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from langroute import ChatRouter, Route, RouterNode
from langroute.core.errors import ConfigurationError
from langroute.core.records import Decision, Request, Selection
from langroute.policies import Canary, Cascade, Escalate, Fallback, Fixed, PlanExecute, Rule, Rules, Shadow, Sticky
from langroute.policies.base import handles_errors
from langroute.policies.fallback import with_fallback, without_fallback
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 2}


class Mine:
    """What anybody writes first."""

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection("cheap", "it is cheap")


class MineAwaited(Mine):
    async def aselect(self, request: Request, attempts: Any) -> Selection | None:
        return self.select(request, attempts)


class Handles(Mine):
    """Sees to errors itself."""

    handles_errors = True

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return Selection("frontier" if attempts else "cheap") if not attempts or not attempts[-1].ok else None


def routes(down: ScriptedModel) -> dict[str, Route]:
    return {"cheap": Route(down, price=PRICE), "frontier": Route(ScriptedModel("fine"), price=PRICE)}


def down() -> ScriptedModel:
    return ScriptedModel(ConnectionError("down"))


@pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")
@pytest.mark.parametrize(
    "policy",
    [
        Mine(), MineAwaited(), Fixed("cheap"), Rules([Rule("cheap", kind="chat")]), PlanExecute(), Escalate(), Cascade(["cheap", "frontier"]),
        Sticky(Fixed("cheap")), Shadow(Fixed("cheap"), ScriptedModel("s"), share=0.0), Canary(Fixed("cheap"), Fixed("cheap")), None,
    ],
    ids=lambda policy: type(policy).__name__,
)  # fmt: skip
async def test_an_outage_of_one_route_takes_nothing_down(policy: Any) -> None:
    """Retried as often as `max_retries` says, then the other route."""
    for retries in (0, 2):
        model = down()
        router = ChatRouter(routes(model), policy=policy, max_retries=retries)
        without = router.router.policy
        without.backoff = 0.001
        assert (await router.ainvoke("hello!")).content == "fine"
        assert len(model.calls) == retries + 1
        assert "".join(chunk.text for chunk in ChatRouter(routes(down()), policy=policy, max_retries=0).stream("hello!")) == "fine"


@pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")
def test_a_node_fails_over_too() -> None:
    node = RouterNode(routes(down()), policy=Mine(), max_retries=0)
    assert node.invoke({"messages": [HumanMessage("hello!")]})["messages"][-1].content == "fine"


def test_it_is_left_out_on_purpose() -> None:
    for policy in (Mine(), None):
        model = down()
        router = ChatRouter({"cheap": Route(model, price=PRICE)}, policy=policy, fallback=False)
        with pytest.raises(ConnectionError):
            router.invoke("hello!")
        assert len(model.calls) == 1


def test_a_policy_that_handles_errors_is_left_alone() -> None:
    policy = Handles()
    router = ChatRouter(routes(down()), policy=policy)

    assert router.router.policy is policy
    assert [one["route"] for one in router.invoke("Hi.").response_metadata["langroute"]["attempts"]] == ["cheap", "frontier"]


@pytest.mark.parametrize(
    "around", [lambda inner: inner, Sticky, lambda inner: Sticky(Sticky(inner)), lambda inner: Canary(inner, inner)]
)
def test_a_fallback_within_a_policy_is_not_doubled(around: Any) -> None:
    policy = around(Fallback(Fixed("cheap"), retries=0))
    assert handles_errors(policy)
    assert with_fallback(policy) is policy
    assert not handles_errors(Canary(Fallback(Fixed("cheap")), Fixed("cheap")))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"policy": Fallback(Fixed("cheap"))}, "a Fallback of its own"),
        ({"policy": Escalate.for_coding_agents()}, "a Fallback of its own"),
        ({"policy": Fixed("cheap"), "fallback": False}, "fallback=False"),
        ({"fallback": False}, "fallback=False"),
    ],
)
def test_retries_that_would_not_be_used_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"max_retries=2 is not used, because .*{words}"):
        ChatRouter(routes(down()), max_retries=2, **given)


def test_the_policy_of_the_model_is_the_one_that_was_given_and_keeps_its_name() -> None:
    policy = Mine()
    router = ChatRouter(routes(ScriptedModel("Hi.")), policy=policy)

    assert router.policy is policy
    assert without_fallback(router.router.policy) is policy
    assert router.invoke("Hi.").response_metadata["langroute"]["policy"] == "Mine"


@pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")
def test_what_rests_is_still_known_when_a_setting_changes() -> None:
    """A changed field makes a new router, a copy by `configurable_fields` too."""
    model = down()
    router = ChatRouter(routes(model), policy=Mine(), max_retries=0)
    router.invoke("Hi.")
    router.temperature = 0.5
    router.invoke("Hi.")
    router.model_copy(update={"temperature": 0.1}).invoke("Hi.")
    assert len(model.calls) == 1

    router.max_retries = 1
    assert router.router.policy.retries == 1


def test_the_wrapped_policy_hears_what_it_heard_before() -> None:
    heard: list[Decision] = []

    class Listening(Mine):
        def on_decision(self, decision: Decision) -> None:
            heard.append(decision)

    ChatRouter(routes(ScriptedModel("Hi.")), policy=Listening()).invoke("Hi.")
    assert [one.route for one in heard] == ["cheap"]
