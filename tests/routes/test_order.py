"""Routes are kept cheapest first: put right where tiers say so, told where only prices do."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from langroute import ChatRouter, Route, Router
from langroute.core.errors import ConfigurationWarning
from langroute.policies import Cascade
from langroute.routes.route import build_routes
from langroute.testing import ScriptedModel

CHEAP, MIDDLE, DEAR = {"input": 1, "output": 5}, {"input": 3, "output": 15}, {"input": 5, "output": 25}


def route(price: Any = None, **more: Any) -> Route:
    return Route(ScriptedModel("x"), price=price, **more)


def built(routes: Any) -> tuple[list[str], list[str]]:
    """Return the names in order, and the warnings about it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = build_routes(routes)
    assert [one.info.rank for one in found.values()] == list(range(len(found)))
    return list(found), [str(one.message) for one in told if issubclass(one.category, ConfigurationWarning)]


@pytest.mark.parametrize(
    "routes, order",
    [
        ({"frontier": route(DEAR), "cheap": route(CHEAP)}, ["cheap", "frontier"]),
        ({"frontier": route(), "balanced": route(), "cheap": route()}, ["cheap", "balanced", "frontier"]),
        ({"big": route(DEAR, tier="frontier"), "small": route(CHEAP, tier="cheap")}, ["small", "big"]),
        ({"b2": route(tier="balanced"), "b1": route(tier="balanced"), "c": route(tier="cheap")}, ["c", "b2", "b1"]),
        ([route(name="frontier"), route(name="cheap")], ["cheap", "frontier"]),
        ({"frontier": route(DEAR), "cheap": route()}, ["cheap", "frontier"]),
    ],
)
def test_routes_are_put_in_the_order_of_their_tiers(routes: Any, order: list[str]) -> None:
    assert built(routes) == (order, [])


@pytest.mark.parametrize(
    "routes, first, second",
    [
        ({"opus": route(DEAR), "haiku": route(CHEAP)}, "opus", "haiku"),
        ({"opus": route(DEAR), "sonnet": route(MIDDLE), "haiku": route(CHEAP)}, "opus", "sonnet"),
        ({"haiku": route(CHEAP), "opus": route(DEAR), "sonnet": route(MIDDLE)}, "opus", "sonnet"),
        ({"frontier": route(), "mine": route(), "cheap": route()}, "frontier", "cheap"),
        ({"frontier": route(CHEAP), "cheap": route(DEAR)}, "frontier", "cheap"),
        ({"opus": route(DEAR), "local": route({"input": 0, "output": 0})}, "opus", "local"),
    ],
)
def test_an_order_that_cannot_be_right_is_told(routes: dict[str, Route], first: str, second: str) -> None:
    order, told = built(routes)
    assert order == list(routes)
    assert len(told) == 1
    assert repr(first) in told[0]
    assert repr(second) in told[0]


@pytest.mark.parametrize(
    "routes",
    [
        {"cheap": route(CHEAP), "frontier": route(DEAR)},
        {"haiku": route(CHEAP), "opus": route(DEAR)},
        {"a": route(), "b": route()},
        {"a": route(CHEAP), "b": route(CHEAP)},
        {"a": route({"input": 1, "output": 9}), "b": route({"input": 2, "output": 8})},
        {"a": route(DEAR, tier="cheap"), "b": route(CHEAP, tier="frontier")},
        {"a": route(tier="mine"), "b": route(tier="yours")},
        {"only": route(DEAR)},
    ],
)
def test_other_orders_are_the_users(routes: dict[str, Route]) -> None:
    """Dearer in one respect only, without prices, or with tiers that say so: nothing is told, nothing is moved."""
    assert built(routes) == (list(routes), [])


@pytest.mark.parametrize("kind", [ChatRouter, Router])
def test_a_router_is_the_right_way_up(kind: Any) -> None:
    found = kind({"frontier": route(DEAR), "cheap": route(CHEAP)}, policy=Cascade())
    router = getattr(found, "router", found)
    assert list(router.routes) == ["cheap", "frontier"]
    assert (router.default, router.baseline) == ("frontier", "frontier")


def test_it_is_told_once_and_at_the_callers_line() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = ChatRouter({"opus": route(DEAR), "haiku": route(CHEAP)})
        model.max_tokens = 5
        model.bind(stop=["."])
    found = [one for one in told if issubclass(one.category, ConfigurationWarning)]
    assert len(found) == 1
    assert found[0].filename == __file__


@pytest.mark.parametrize("labels", ["eu", {"eu"}, ["eu"], ("eu",), iter(["eu"])])
def test_labels_are_words_in_any_form(labels: Any) -> None:
    (found,) = build_routes({"a": route(labels=labels)}).values()
    assert found.info.labels == {"eu"}


@pytest.mark.parametrize("labels", [7, {"eu": True}, [7], None])
def test_labels_that_are_no_words_are_refused(labels: Any) -> None:
    from langroute.core.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="labels are words"):
        build_routes({"a": route(labels=labels)})
