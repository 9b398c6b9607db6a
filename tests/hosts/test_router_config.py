"""What a chat router's arguments mean, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from langroute.cache import ResponseCache
from langroute.core.errors import ConfigurationError
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel

ROUTES = {"a": ScriptedModel("Hi."), "b": ScriptedModel("Hi.")}


@pytest.mark.parametrize(
    "given, said",
    [
        ({"polcy": None}, "ChatRouter has no argument 'polcy'. Did you mean 'policy'?"),
        ({"stop_sequence": ["x"]}, "Did you mean 'stop_sequences'?"),
        ({"zzz": 1}, "ChatRouter has no argument 'zzz'."),
        ({"max_attempts": "many"}, "ChatRouter's max_attempts: "),
        ({"routes": ROUTES}, "Give the routes once"),
    ],
)
def test_a_wrong_argument_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ChatRouter(ROUTES, **given)
    assert said in str(raised.value)


def test_a_response_cache_under_langchains_name_is_accepted() -> None:
    cache = ResponseCache()
    model = ChatRouter(ROUTES, cache=cache)
    assert (model.response_cache, model.cache) == (cache, None)
    assert model.caching.cache is cache


@pytest.mark.parametrize("given", [None, False])
def test_no_response_cache(given: Any) -> None:
    assert ChatRouter(ROUTES, response_cache=given).caching is None


def test_a_refused_change_leaves_the_router_as_it_was() -> None:
    model = ChatRouter(ROUTES, default="a")
    router = model.router
    with pytest.raises(ConfigurationError):
        model.default = "c"
    assert (model.default, model.router) == ("a", router)
    assert model.invoke("Hello?").content == "Hi."


def test_a_change_is_in_effect_for_the_next_call_and_keeps_what_was_recorded() -> None:
    model = ChatRouter(ROUTES)
    model.invoke("Hello?")
    ledger, policy = model.ledger, model.policy
    model.temperature = 0.5
    model.route = "b"
    assert (model.settings, model.router.limits.route) == ({"temperature": 0.5}, "b")
    assert (model.ledger, model.policy) == (ledger, policy)
    assert model.invoke("Hello?").response_metadata["langroute"]["route"] == "b"
