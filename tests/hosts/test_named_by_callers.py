"""What a caller names: a model as a call argument, a key in the config, fields that are set while others call, branches of an edge."""

from __future__ import annotations

import pickle
import threading
import warnings
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from langroute import ChatRouter, Route, RouterNode, route_edge
from langroute.core.errors import ConfigurationError, DegradedWarning, InputError
from langroute.hosts.named_models import NamedModels
from langroute.testing import ScriptedModel

SCHEMA = {"title": "T", "type": "object", "properties": {"a": {"type": "integer"}}}


def two(**more: Any) -> ChatRouter:
    return ChatRouter(
        {
            "cheap": Route(ScriptedModel("c", model="gpt-4o-mini", provider="openai")),
            "frontier": Route(ScriptedModel("f", model="claude-opus-4-6", provider="anthropic")),
        },
        **more,
    )


@pytest.mark.parametrize("name", ["cheap", "gpt-4o-mini", "openai:gpt-4o-mini"])
def test_a_model_as_a_call_argument_is_that_route_and_not_an_argument_of_another(name: str) -> None:
    model = two()
    for answer in (model.invoke("Plan the migration.", model=name), model.bind(model=name).invoke("Plan the migration.")):
        assert answer.content == "c"
        assert answer.response_metadata["langroute"]["model"] == "gpt-4o-mini"


def test_another_model_of_a_routes_provider_is_asked_at_its_own_price() -> None:
    told = two().invoke("Plan the migration.", model="gpt-4o").response_metadata["langroute"]
    dearer = two().invoke("Plan the migration.", model="openai:gpt-4").response_metadata["langroute"]
    assert (told["model"], dearer["model"]) == ("gpt-4o", "gpt-4")
    assert 0 < told["cost_usd"] < dearer["cost_usd"]


async def test_a_model_that_cannot_be_made_is_an_error_of_the_caller() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegradedWarning)
        with pytest.raises(InputError, match="provider:model"):
            two().invoke("Hi.", model="nobody:nothing")
        with pytest.raises(InputError, match="provider:model"):
            await two().ainvoke("Hi.", model="nobody:nothing")


def test_a_tenants_key_is_sent_with_the_model_it_is_named_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_openai")
    monkeypatch.setenv("OPENAI_API_KEY", "the-operators-key")
    model = two()
    named = NamedModels(model.router)

    def key(name: str, tenant: str | None) -> str:
        config = {"model": name, **({"api_key": tenant} if tenant else {})}
        router, problem = named.of_config(model, config)
        assert problem is None
        (route,) = router.routes.values()
        return str(route.model.openai_api_key.get_secret_value())

    assert key("openai:gpt-4.1", None) == "the-operators-key"
    assert [key("openai:gpt-4.1", tenant) for tenant in ("a", "b", "a")] == ["a", "b", "a"]
    # A route's own model holds its own key, so the named model is made anew with the tenant's.
    assert key("gpt-4o-mini", "a") == "a"


def test_a_key_without_a_model_is_said_to_be_ignored() -> None:
    with pytest.warns(DegradedWarning, match="api_key"):
        answer = two().with_config(configurable={"api_key": "tenant"}).invoke("Hi.")
    assert answer.content in "cf"


def test_a_field_is_set_while_other_threads_call() -> None:
    model, errors, done = two(), list[BaseException](), threading.Event()

    def call() -> None:
        while not done.is_set():
            try:
                model.invoke("hello!")
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(100):
        model.temperature = number / 100
        model.exclude = {"frontier"} if number % 2 else set()
    done.set()
    for thread in threads:
        thread.join()

    assert errors == []
    assert model.settings == {"temperature": 0.99}
    assert model.invoke("x").content == "c"


def test_a_field_that_is_refused_changes_nothing() -> None:
    model = two(temperature=0.1)
    with pytest.raises(ConfigurationError):
        model.routes = {}
    assert (model.settings, list(model.routes)) == ({"temperature": 0.1}, ["cheap", "frontier"])
    assert set(model.__dict__) == set(two(temperature=0.1).__dict__)
    assert "_core" not in pickle.dumps(model).decode("latin-1")


def test_an_argument_that_nobody_gave_is_not_passed_to_a_model_of_ones_own() -> None:
    class Mine(ScriptedModel):
        def with_structured_output(self, schema: Any) -> Any:  # type: ignore[override]
            return RunnableLambda(lambda _: {"a": 1})

    assert ChatRouter({"cheap": Mine("x"), "frontier": Mine("x")}).with_structured_output(SCHEMA).invoke("x") == {"a": 1}


def test_a_node_does_not_drop_its_tools() -> None:
    @tool
    def look_up(q: str) -> str:
        """Look up."""
        return q

    with pytest.raises(ConfigurationError, match="two nodes"):
        RouterNode({"cheap": ScriptedModel("x")}, tools=[look_up], schema=SCHEMA, output_key="out")


@pytest.mark.parametrize(
    ("given", "branch"),
    [({"route": "cheap"}, "a"), ({"min_tier": "frontier"}, "b"), ({"exclude": ["frontier"]}, "a"), ({"exclude": {"cheap"}}, "b")],
)
def test_an_edge_takes_the_limits_that_other_hosts_take(given: dict[str, Any], branch: str) -> None:
    assert route_edge({"cheap": "a", "frontier": "b"}, **given).invoke({"messages": ["Hello?"]}) == branch


@pytest.mark.parametrize("name", ["pin", "temperature", "response_cache", "polcy"])
def test_an_edge_refuses_what_it_cannot_heed(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        route_edge({"cheap": "a", "frontier": "b"}, **{name: 1})


def test_a_summary_is_triggered_by_the_tokens_that_any_route_reports() -> None:
    pytest.importorskip("langchain")
    from langchain.agents.middleware import SummarizationMiddleware
    from langchain_core.messages import AIMessage, HumanMessage

    openai, anthropic = pytest.importorskip("langchain_openai"), pytest.importorskip("langchain_anthropic")
    routes = {
        "cheap": openai.ChatOpenAI(model="gpt-5-mini", api_key="x"),
        "frontier": anthropic.ChatAnthropic(model="claude-opus-4-6", api_key="x"),
    }
    middleware = SummarizationMiddleware(ChatRouter(routes), trigger=("tokens", 80_000))

    def summarizes(provider: str, tokens: int) -> bool:
        used = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
        said = AIMessage("ok", usage_metadata=used, response_metadata={"model_provider": provider})
        messages = [HumanMessage("hi"), said, HumanMessage("go on")]
        return bool(middleware._should_summarize(messages, middleware.token_counter(messages)))

    assert [summarizes(one, 90_000) for one in ("openai", "anthropic", "google_genai")] == [True, True, False]
    assert not summarizes("openai", 10_000)


def test_a_provider_of_several_routes_is_text_like_any_other() -> None:
    import copy
    import json

    provider = two()._get_ls_params()["ls_provider"]
    assert (str(provider), json.dumps(provider), hash(provider)) == (provider, f'"{provider}"', hash(str(provider)))
    for other in (copy.deepcopy(provider), pickle.loads(pickle.dumps(provider))):
        assert other == "openai"
        assert other == "anthropic"
        assert other != "mistral"
    one = ChatRouter({"a": Route(ScriptedModel("x", provider="openai")), "b": Route(ScriptedModel("y", provider="openai"))})
    assert type(one._get_ls_params()["ls_provider"]) is str


@pytest.mark.parametrize(("routed", "warns"), [(False, True), (True, False)])
def test_a_deep_agent_is_told_that_its_subagents_are_not_routed(routed: bool, warns: bool) -> None:
    pytest.importorskip("langchain")
    from langchain.agents import create_agent

    from langroute import RouterMiddleware

    @tool
    def task(description: str, subagent_type: str) -> str:
        """Hand work to a sub-agent."""
        return "done"

    own = ChatRouter({"only": ScriptedModel("x")}) if routed else ScriptedModel("x")
    agent = create_agent(own, tools=[task], middleware=[RouterMiddleware({"cheap": ScriptedModel("Hi.", "Hi.")})])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        agent.invoke({"messages": "Hello?"})
        agent.invoke({"messages": "Hello?"})
    assert sum("sub-agents" in str(one.message) for one in told) == int(warns)
