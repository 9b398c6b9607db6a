"""What a call's config says: thread, budget, limits, and the run that it belongs to."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import CallbackManager

from langroute import Budget, ChatRouter, Route
from langroute.core.errors import BudgetExceededError
from langroute.engine.call_config import read_config
from langroute.engine.eligibility import NO_LIMITS, RouteLimits
from langroute.testing import ScriptedModel


@pytest.mark.parametrize(
    ("config", "budget"),
    [
        ({}, None),
        ({"configurable": {"thread_id": "t"}}, None),
        ({"metadata": {"langroute_budget": 1.0}}, 1.0),
        ({"metadata": {"langroute_budget": 1.0}, "configurable": {"thread_id": "t"}}, 1.0),
        ({"configurable": {"langroute_budget": 2.0}}, 2.0),
        ({"configurable": {"budget": 3.0}}, 3.0),
        ({"configurable": {"langroute_budget": 2.0, "budget": 3.0}}, 2.0),
        ({"metadata": {"langroute_budget": 1.0}, "configurable": {"budget": 3.0}}, 3.0),
    ],
)
def test_a_call_may_bring_its_budget_in_either_place(config: dict[str, Any], budget: float | None) -> None:
    """What is configured for the call counts before what stands in its metadata."""
    assert read_config(config, NO_LIMITS).budget == budget


@pytest.mark.parametrize("where", ["metadata", "configurable"])
def test_a_budget_of_the_call_binds_a_router_that_has_none_of_its_own(where: str) -> None:
    model = ChatRouter({"a": Route(ScriptedModel("ok", max_tokens=100), price={"input": 1, "output": 1})})

    assert model.invoke("Hello.", {where: {"langroute_budget": Budget(usd=1, per="call")}}).content == "ok"
    with pytest.raises(BudgetExceededError):
        model.invoke("Hello.", {where: {"langroute_budget": Budget(usd=0, per="call")}})


@pytest.mark.parametrize(
    ("config", "thread"),
    [
        ({"metadata": {"thread_id": "m"}}, "m"),
        ({"configurable": {"thread_id": "c"}}, "c"),
        ({"metadata": {"thread_id": "m"}, "configurable": {"thread_id": "c"}}, "m"),
        ({"configurable": {"thread_id": ""}}, None),
    ],
)
def test_the_thread_is_the_one_of_the_metadata_else_the_configured_one(config: dict[str, Any], thread: str | None) -> None:
    """LangChain copies what is configured into the metadata; where a caller did not, nothing else says it."""
    assert read_config(config, NO_LIMITS).metadata.get("thread_id") == thread


def test_a_call_inside_another_has_its_metadata_and_belongs_to_its_run() -> None:
    outer, own = uuid4(), uuid4()
    callbacks = CallbackManager([], parent_run_id=outer, metadata={"b": 2, "c": 2}, inheritable_metadata={"a": 1, "b": 1, "c": 1})

    run = read_config({"callbacks": callbacks, "metadata": {"c": 3}, "tags": ["x"], "run_id": own}, NO_LIMITS)

    assert run.metadata == {"a": 1, "b": 2, "c": 3}
    assert (run.run_id, run.parent_run_id, list(run.tags)) == (str(own), str(outer), ["x"])
    assert (read_config({}, NO_LIMITS).run_id, read_config({}, NO_LIMITS).parent_run_id) == (None, None)


def test_limits_of_a_call_are_added_to_the_routers_own() -> None:
    own = RouteLimits(exclude=frozenset({"a"}), labels=frozenset({"eu"}))

    limits = read_config({"metadata": {"langroute_labels": ["pii"]}, "configurable": {"exclude": "b"}}, own).limits

    assert limits == RouteLimits(exclude=frozenset({"a", "b"}), labels=frozenset({"eu", "pii"}))
    assert read_config({"metadata": {"thread_id": "t"}}, own).limits is own


def test_the_route_that_an_outer_router_chose_is_no_limit_of_the_inner_one() -> None:
    """It has marked its call with it; what the caller forbids holds inside, too."""
    metadata = {"langroute_decision_id": "d1", "langroute_route": "outer", "langroute_exclude": ["a"]}

    assert read_config({"metadata": metadata}, NO_LIMITS).limits == RouteLimits(exclude=frozenset({"a"}))
    del metadata["langroute_decision_id"]
    assert read_config({"metadata": metadata}, NO_LIMITS).limits == RouteLimits(route="outer", exclude=frozenset({"a"}))
