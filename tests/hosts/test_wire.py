"""What a router sends over the wire, beside what the bare model sends."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langroute import ChatRouter
from langroute.core.errors import DegradedWarning
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.routes.route import Route
from tests.support.wire_server import WireServer, anthropic, compatible, gemini, mistral, openai

pytest.importorskip("langchain_openai")
pytest.importorskip("langchain_anthropic")

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def decision(message: Any) -> dict[str, Any]:
    return dict(message.response_metadata["langroute"])


# Chat Completions or Responses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"previous_response_id": "resp_1"},
        {"include": ["reasoning.encrypted_content"]},
        {"reasoning": {"effort": "high", "summary": "auto"}},
        {"truncation": "auto"},
        {"text": {"verbosity": "low"}},
        {"context_management": [{"type": "compaction", "compact_threshold": 1000}]},
        {"reasoning_effort": "high"},
        {"max_tokens": 50, "previous_response_id": "resp_1"},
        {"temperature": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5-mini"])
def test_arguments_go_out_as_the_bare_model_sends_them(arguments: dict[str, Any], model: str) -> None:
    server = WireServer()
    bare = openai(server, model)
    for called in (bare, ChatRouter({"only": bare}), ChatRouter({"only": bare.bind(**arguments)})):
        called.invoke("And now?", **({} if called is not bare and called.routes["only"].kwargs else arguments))

    (path, body), *routed = server.seen
    if model == "gpt-5-mini" and "temperature" in arguments:
        # The router leaves out what this model refuses.
        body = {name: value for name, value in body.items() if name != "temperature"}
    assert routed == [(path, body), (path, body)]


@pytest.mark.parametrize(
    "settings",
    [
        {"include": ["reasoning.encrypted_content"]},
        {"reasoning": {"effort": "low"}},
        {"truncation": "auto"},
        {"use_previous_response_id": True},
        {"output_version": "responses/v1"},
        {"model_kwargs": {"text": {"verbosity": "low"}}},
        {"use_responses_api": False, "reasoning_effort": "low"},
    ],
    ids=str,
)
def test_settings_of_the_model_decide_as_without_a_router(settings: dict[str, Any]) -> None:
    server = WireServer()
    bare = openai(server, "gpt-5-mini", **settings)
    for called in (bare, ChatRouter({"only": bare})):
        called.invoke([HumanMessage("Hi."), AIMessage("Hello."), HumanMessage("And now?")])

    assert server.seen[1] == server.seen[0]


def test_own_tools_of_openai_make_it_responses_and_the_models_reasoning_stays_in_its_loop() -> None:
    own = AIMessage(
        [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": "{}"},
        ],
        tool_calls=[{"name": "add", "args": {}, "id": "call_1"}],
        response_metadata={"model_provider": "openai", "model_name": "gpt-5-mini-2025-08-07"},
    )
    history = [HumanMessage("q"), own, ToolMessage("3", tool_call_id="call_1")]
    server = WireServer()
    bare = openai(server, "gpt-5-mini")
    for own_tool in ({"type": "web_search"}, {"type": "code_interpreter", "container": {"type": "auto"}}):
        server.seen.clear()
        for called in (bare.bind_tools([own_tool, add]), ChatRouter({"only": bare}).bind_tools([own_tool, add])):
            called.invoke(history)
        ChatRouter({"only": bare.bind_tools([own_tool, add])}).invoke(history)
        assert server.path == "/v1/responses"
        assert server.seen == [server.seen[0]] * 3
        assert "reasoning" in [item.get("type") for item in server.body["input"]]


def test_a_server_that_is_not_openais_is_not_moved_by_reasoning() -> None:
    """Elsewhere the effort is said in the argument of the chat protocol."""
    server = WireServer()
    ChatRouter({"only": compatible(server)}).invoke("Hi.", reasoning={"effort": "low"})

    assert (server.path, server.body["reasoning_effort"]) == ("/v1/chat/completions", "low")


# A provider's own tools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [openai, compatible, gemini, mistral])
@pytest.mark.parametrize("tools", [[SEARCH, add], [SEARCH]])
@pytest.mark.parametrize("choice", [None, "web_search", "any"])
def test_a_tool_of_another_provider_is_left_out_and_said(make: Any, tools: list[Any], choice: Any) -> None:
    server = WireServer()
    bound = ChatRouter({"only": make(server)}).bind_tools(tools, **({} if choice is None else {"tool_choice": choice}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = bound.invoke("What is new?")

    sent = repr({name: value for name, value in server.body.items() if name not in ("contents", "messages")})
    assert "web_search" not in sent
    assert ("add" in sent) == (add in tools)
    chosen = repr((server.body.get("tool_choice"), server.body.get("toolConfig")))
    assert (choice == "any" and add in tools) == any(word in chosen for word in ("required", "any", "ANY"))
    assert "cannot run web_search_20250305" in decision(answer)["problems"][0]
    assert any(issubclass(one.category, DegradedWarning) for one in caught)


def test_a_route_that_can_run_the_tool_goes_before_one_that_cannot() -> None:
    cheap, claude = WireServer(), WireServer()
    routed = ChatRouter({"cheap": openai(cheap), "frontier": anthropic(claude)}, policy=Fixed("cheap"))

    answer = routed.bind_tools([SEARCH, add]).invoke("What is new?")
    assert decision(answer)["route"] == "frontier"
    assert "cannot run web_search_20250305" in decision(answer)["rejected"]["cheap"]
    assert claude.body["tools"][0] == SEARCH
    assert decision(routed.bind_tools([add]).invoke("1+2?"))["route"] == "cheap"

    # What the caller demands goes first.
    answer = routed.bind_tools([SEARCH, add]).invoke("What is new?", {"configurable": {"langroute_route": "cheap"}})
    assert decision(answer)["route"] == "cheap"
    assert [one["function"]["name"] for one in cheap.body["tools"]] == ["add"]


def test_two_tools_of_two_providers_are_each_run_where_they_can_be() -> None:
    """No route runs both, so none is better than the other."""
    cheap, claude = WireServer(), WireServer()
    routed = ChatRouter({"cheap": openai(cheap, "gpt-5-mini"), "frontier": anthropic(claude)}, policy=Fixed("cheap"))

    answer = routed.bind_tools([SEARCH, {"type": "web_search"}, add]).invoke("What is new?")

    assert decision(answer)["route"] == "cheap"
    assert [one.get("name") or one["type"] for one in cheap.body["tools"]] == ["web_search", "add"]


def test_tools_in_the_call_itself_are_no_different() -> None:
    server = WireServer()
    ChatRouter({"only": compatible(server)}).invoke("What is new?", tools=[SEARCH, {"type": "web_search"}, add])

    assert [one["function"]["name"] for one in server.body["tools"]] == ["add"]


def test_an_agent_is_offered_the_tools_that_the_route_can_run() -> None:
    agents = pytest.importorskip("langchain.agents")
    from langroute import RouterMiddleware

    cheap, claude = WireServer(), WireServer()
    models = {"cheap": compatible(cheap), "frontier": anthropic(claude)}
    pinned = agents.create_agent(
        models["frontier"],
        tools=[SEARCH, add],
        middleware=[RouterMiddleware(ChatRouter(models, policy=Fixed("cheap"), route="cheap"))],
    )
    answer = pinned.invoke({"messages": "What is new?"})["messages"][-1]
    assert [one["function"]["name"] for one in cheap.body["tools"]] == ["add"]
    assert "cannot run web_search_20250305" in decision(answer)["problems"][0]

    free = agents.create_agent(
        models["frontier"], tools=[SEARCH, add], middleware=[RouterMiddleware(ChatRouter(models, policy=Fixed("cheap")))]
    )
    assert decision(free.invoke({"messages": "What is new?"})["messages"][-1])["route"] == "frontier"
    assert SEARCH in claude.body["tools"]


# What the chosen provider would refuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
def test_settings_of_the_router_fit_whichever_route_answers(streaming: bool) -> None:
    """The router's own fields, which are documented as what every provider takes."""
    settings = {"temperature": 1.4, "timeout": 30, "stop": ["\n", "END", "a", "b", "c", "d"], "max_tokens": 50}
    seen: dict[str, dict[str, Any]] = {}
    for name, make in {"claude": anthropic, "mistral": mistral, "gpt": openai}.items():
        server = WireServer()
        routed = ChatRouter({"only": make(server)}, **settings)
        if streaming and name != "claude":
            continue
        routed.invoke("Hello?")
        seen[name] = server.body

    assert seen["claude"]["temperature"] == 1
    assert seen["claude"]["stop_sequences"] == ["END", "a", "b", "c", "d"]
    if not streaming:
        assert seen["gpt"]["stop"] == ["\n", "END", "a", "b"]
        assert seen["gpt"]["temperature"] == 1.4
        assert seen["mistral"]["temperature"] == 1.4
        assert "timeout" not in seen["mistral"]


def test_the_second_account_takes_over_without_the_first_ones_reasoning() -> None:
    """And the route that wrote it gets it back."""

    def other(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if any(item.get("type") == "reasoning" for item in body["input"]):
            error = {"message": "The encrypted content gAAA could not be verified.", "code": "invalid_encrypted_content"}
            return 400, {"error": {**error, "type": "invalid_request_error"}}
        return None

    down = [False]
    first = WireServer(lambda *_: (503, {"error": {"message": "down", "type": "server_error"}}) if down[0] else None)
    second = WireServer(other)
    models = {
        "first": openai(first, "gpt-5-mini", use_responses_api=True, organization="org-1"),
        "second": openai(second, "gpt-5-mini", use_responses_api=True, organization="org-2"),
    }
    routed = ChatRouter(models, policy=Fallback(Fixed("first"), retries=0, backoff_seconds=0.01))
    own = AIMessage(
        [
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": []},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "add", "arguments": "{}"},
        ],
        tool_calls=[{"name": "add", "args": {}, "id": "call_1"}],
        response_metadata={"model_provider": "openai", "model_name": "gpt-5-mini-2025-08-07", "langroute": {"route": "first"}},
    )
    history = [HumanMessage("Look."), own, ToolMessage("3", tool_call_id="call_1")]

    assert decision(routed.invoke(history))["route"] == "first"
    assert "reasoning" in [item.get("type") for item in first.body["input"]]
    down[0] = True
    assert decision(routed.invoke(history))["route"] == "second"
    assert own.content[0]["encrypted_content"] == "gAAA"


def test_thinking_of_claude_on_bedrock_is_off_for_a_loop_that_began_without_it() -> None:
    aws = pytest.importorskip("langchain_aws")
    model = aws.ChatBedrockConverse(
        model="us.anthropic.claude-haiku-4-5-20251001-v1:0",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        additional_model_request_fields={"thinking": {"type": "enabled", "budget_tokens": 1024}, "other": 1},
    )
    routed = ChatRouter({"only": Route(model)})
    route = routed.routes["only"]

    assert routed.models.target(route).thinking
    plain = routed.models.of(route, without_thinking=True)
    assert plain.additional_model_request_fields == {"other": 1}
    assert model.additional_model_request_fields["thinking"]["type"] == "enabled"
