"""Answers of the target's own provider: what of them only their writer may get back."""

from __future__ import annotations

from typing import Any

import pytest
from histories import MODELS, calling, done, said, signed, thinking
from langchain_core.messages import AIMessage, HumanMessage
from packages import adapted_payload, target
from rules import violations

from langroute.adapt import Target, adapt, target_for
from langroute.core.records import RouteInfo
from langroute.routes.route import build_routes

SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "QUOKKA"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


def claude(*blocks: dict[str, Any], **fields: Any) -> AIMessage:
    metadata = {"model_provider": "anthropic", "model_name": MODELS["anthropic"], "stop_reason": "pause_turn"}
    return AIMessage([*blocks], response_metadata=metadata, **fields)


@pytest.mark.parametrize(
    "search",
    [
        SEARCH,
        {**SEARCH, "name": "code_execution", "input": {"code": "print('QUOKKA')"}},
        {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "find", "server_name": "s", "input": {"q": "QUOKKA"}},
        {"type": "server_tool_call", "id": "srvtoolu_1", "name": "web_search", "args": {"query": "QUOKKA"}},
    ],
)
@pytest.mark.parametrize("after", [[AIMessage("All right."), HumanMessage("And?")], []])
def test_a_search_without_result_becomes_words_when_the_thread_went_on(search: dict[str, Any], after: list[Any]) -> None:
    history = [HumanMessage("New?"), claude({"type": "text", "text": "Let me see."}, search), HumanMessage("Never mind."), *after]

    _, sent = adapted_payload("anthropic", history)

    assert violations("anthropic", sent, MODELS["anthropic"]) == []
    assert "QUOKKA" in repr(sent)


def test_a_paused_answer_that_the_thread_ends_with_goes_back_as_it_is() -> None:
    history = [HumanMessage("New?"), claude(SEARCH)]

    assert adapt(history, Target("anthropic", "anthropic", "claude-haiku-4-5")).messages is history
    assert adapt(history, target("anthropic")).messages[1] is history[1]


def test_a_search_with_its_result_stays() -> None:
    history = [HumanMessage("New?"), claude(SEARCH, FOUND, {"type": "text", "text": "So."}), HumanMessage("And?")]

    assert adapt(history, target("anthropic")).messages is history


def test_code_that_waits_for_the_users_own_tool_stays() -> None:
    """Its result comes with the answer after the tool's."""
    running = {**SEARCH, "name": "code_execution", "input": {"code": "look()"}}
    use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    answer = claude(running, use, tool_calls=[{"name": "look", "args": {}, "id": "toolu_1"}])
    history = [HumanMessage("New?"), answer, done("toolu_1")]

    assert adapt(history, target("anthropic")).messages is history


# Reasoning that is bound to endpoint and account ------------------------------------------------------------------------


def reasoned(api: str, route: str | None) -> list[Any]:
    answer = calling(api, [{"name": "look", "args": {}, "id": "call_1"}], think="Hm.")
    if route is not None:
        answer.response_metadata["langroute"] = {"route": route}
    return [HumanMessage("Look."), answer, done("call_1")]


def twins(api: str, **other: Any) -> tuple[Target, Target]:
    """Two routes to one model, the second with other settings."""
    if api == "gemini":
        from langchain_google_genai import ChatGoogleGenerativeAI as Model

        settings: dict[str, Any] = {"model": MODELS[api], "google_api_key": "a"}
    elif api == "anthropic":
        from langchain_anthropic import ChatAnthropic as Model

        settings = {"model": MODELS[api], "api_key": "a", "max_tokens": 9}
    else:
        from langchain_openai import ChatOpenAI as Model

        settings = {"model": MODELS[api], "api_key": "a", "use_responses_api": True}
    routes = build_routes({"first": Model(**settings), "second": Model(**{**settings, **other})})
    models = {name: route.model for name, route in routes.items()}
    first, second = (target_for(route.info, route.model, models) for route in routes.values())
    return first, second


@pytest.mark.parametrize(
    ("api", "other"),
    [
        ("openai-responses", {"organization": "org-2"}),
        ("openai-responses", {"api_key": "b"}),
        ("openai-responses", {"base_url": "https://eu.api.openai.com/v1"}),
        ("gemini", {"google_api_key": "b"}),
        ("gemini", {"base_url": "https://proxy.example.org"}),
    ],
)
def test_another_account_or_endpoint_is_not_sent_the_reasoning(api: str, other: dict[str, Any]) -> None:
    for reader, writer in (twins(api, **other), twins(api, **other)[::-1]):
        name = "first" if reader.strangers == {"first"} else "second"
        history = reasoned(api, name)
        assert signed(api) not in repr(adapt(history, reader).messages)
        assert adapt(history, writer).messages is history


@pytest.mark.parametrize("route", ["second", "named at run time", None])
def test_the_same_account_reads_it_whatever_the_route_is_called(route: str | None) -> None:
    """Other settings are no other account, and of a route that nobody knows nothing is said."""
    for api, other in (("openai-responses", {"temperature": 1}), ("gemini", {"temperature": 0.5})):
        first, _ = twins(api, **other)
        history = reasoned(api, route)
        assert first.strangers == frozenset()
        assert adapt(history, first).messages is history


def test_claudes_signatures_are_read_by_every_endpoint() -> None:
    """As published: they are compatible across platforms."""
    first, _ = twins("anthropic", api_key="b", base_url="https://proxy.example.org")

    history = reasoned("anthropic", "second")
    assert adapt(history, first).messages is history


def test_claude_on_bedrock_keeps_its_own_thinking_and_gets_nobody_elses() -> None:
    own = [HumanMessage("Hi."), said("bedrock", "Hello.", think="Hm."), HumanMessage("And?")]
    assert adapt(own, target("bedrock")).messages is own

    for source in ("anthropic", "openai-responses", "gemini", "mistral"):
        foreign = [HumanMessage("Hi."), said(source, "Hello.", think="QUOKKA"), HumanMessage("And?")]
        assert "QUOKKA" not in repr(adapted_payload("bedrock", foreign)[1])


def test_claude_of_another_package_reads_what_claudes_package_wrote() -> None:
    """`ChatAnthropicBedrock` speaks Anthropic's protocol and writes Anthropic's name."""
    reader = target_for(RouteInfo("only", api="anthropic", provider="anthropic_bedrock", model=MODELS["anthropic"]), None)
    answer = AIMessage(thinking("anthropic"), response_metadata={"model_provider": "anthropic", "model_name": MODELS["anthropic"]})
    history = [HumanMessage("Hi."), answer, HumanMessage("And?")]

    assert adapt(history, reader).messages is history
