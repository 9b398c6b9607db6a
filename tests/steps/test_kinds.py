"""A step kind that no step can have is told when the router is built."""

from __future__ import annotations

from typing import Any

import pytest

from langroute import ChatRouter, Router
from langroute.cache import CachePolicy, ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.core.errors import ConfigurationError
from langroute.core.records import Step
from langroute.policies import Canary, Fallback, Fixed, PlanExecute, Rule, Rules, Sticky
from langroute.steps.inspector import Inspector
from langroute.testing import ScriptedModel


def routes() -> dict[str, Any]:
    return {"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}


def rules(*kinds: str) -> Rules:
    return Rules([Rule("cheap", kind=kinds)], default="frontier")


@pytest.mark.parametrize(
    "policy",
    [
        rules("titel"),
        rules("title", "titel"),
        Sticky(rules("titel")),
        Fallback(Sticky(rules("titel"))),
        Canary(Fixed("cheap"), rules("titel")),
        PlanExecute(plans="titel"),
        PlanExecute(plans=["plan", "titel"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [ChatRouter, Router])
def test_a_misspelt_kind_is_told_with_the_known_ones(policy: Any, kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="'titel'.*Did you mean 'title'.*summarize"):
        kind(routes(), policy=policy)


def test_a_kind_that_is_like_no_other_is_told_too() -> None:
    with pytest.raises(ConfigurationError, match=r"'refund'.*Inspector\(kinds="):
        Router(routes(), policy=rules("refund"))


@pytest.mark.parametrize(
    "inspector",
    [
        Inspector(kinds={"refund": lambda seen: False}),
        Inspector(kinds={"refund": None}),
        Inspector(nodes={"billing": "refund"}),
    ],
)
def test_kinds_of_ones_own_are_known(inspector: Inspector) -> None:
    Router(routes(), policy=rules("refund", "title"), inspector=inspector)
    with pytest.raises(ConfigurationError, match="Did you mean 'refund'"):
        Router(routes(), policy=rules("refunds"), inspector=inspector)


def test_a_kind_that_only_callers_say_is_routed_by_it() -> None:
    model = ChatRouter(routes(), policy=rules("refund"), inspector=Inspector(kinds={"refund": None}))
    said = model.invoke("Hello.", {"metadata": {"langroute_step_kind": "refund"}})
    assert said.response_metadata["langroute"]["route"] == "cheap"
    assert model.invoke("Hello.").response_metadata["langroute"]["route"] == "frontier"


def test_an_inspector_that_does_not_say_its_kinds_may_have_any() -> None:
    class Own:
        def inspect(self, messages: Any, **known: Any) -> Step:
            return Step("titel")

    Router(routes(), policy=rules("titel"), inspector=Own())


@pytest.mark.parametrize(
    "cache", [ResponseCache(policy=CachePolicy(ttl={"titel": 5})), ResponseCache(semantic=SemanticCache(kinds="titel"))]
)
def test_rules_of_the_response_cache_are_checked_too(cache: ResponseCache) -> None:
    with pytest.raises(ConfigurationError, match="response cache names the step kind 'titel'"):
        ChatRouter(routes(), response_cache=cache)
