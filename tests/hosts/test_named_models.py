"""Models that a call's config names."""

from __future__ import annotations

from typing import Any

import pytest

from langroute.hosts.chat_model import ChatRouter
from langroute.hosts.named_models import MANY, NamedModels
from langroute.testing import ScriptedModel


def routed(named: Any, **fields: Any) -> tuple[str, list[str]]:
    """The route that a call went to, and the problems of its decision."""
    routes = {
        "b": ScriptedModel("first", provider="acme", model="tiny"),
        "tiny": ScriptedModel("second", provider="acme", model="b"),
    }
    model = ChatRouter(routes, **fields)
    mark = model.invoke("Hello?", {"configurable": {"model": named}}).response_metadata["langroute"]
    return mark["route"], mark["problems"]


@pytest.mark.parametrize("named, route", [("b", "b"), ("tiny", "tiny"), ("acme:tiny", "b"), ("acme:b", "tiny")])
def test_the_name_of_a_route_goes_before_that_of_a_model(named: str, route: str) -> None:
    assert routed(named) == (route, [])


@pytest.mark.parametrize("named", [7, None, ["b"], {"name": "b"}])
def test_what_is_no_name_is_left_to_the_application(named: Any) -> None:
    assert routed(named, route="tiny") == ("tiny", [])


@pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")
def test_an_unknown_name_is_passed_over_and_said() -> None:
    route, problems = routed("of my own", route="tiny")
    assert route == "tiny"
    assert "the config names the model 'of my own'" in problems[0]


@pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")
def test_the_number_of_routers_that_callers_can_make_is_bounded() -> None:
    model = ChatRouter({"a": ScriptedModel("Hi.")})
    named = NamedModels(model.router)
    for number in range(MANY + 10):
        assert named.router(model, f"unknown {number}") is model.router
    assert len(named.passed_over) <= MANY
    assert f"unknown {MANY + 9}" in named.passed_over
