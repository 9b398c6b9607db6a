"""Ids and names of tool calls: fit for the target, and the same in the call, its block and its result."""

from __future__ import annotations

import re
from typing import Any

import pytest
from histories import APIS, MODELS, by, call, calling, done
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from packages import adapted_payload, target
from rules import violations

from langroute.adapt import Target, adapt
from langroute.adapt.calls import tool_name
from langroute.providers.wire import RULES

KIMI = Target("openai-compatible", "openai", "moonshotai/Kimi-K2.6")


def names_in(found: Any) -> set[str]:
    """Every name of a tool in a history."""
    names = {call["name"] for message in found for call in getattr(message, "tool_calls", ())}
    names |= {message.name for message in found if isinstance(message, ToolMessage) and message.name}
    blocks = [block for message in found if isinstance(message.content, list) for block in message.content]
    return names | {block["name"] for block in blocks if isinstance(block, dict) and "name" in block}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("called", ["fs/read:file", "läs fil", "", "9 lives", "a" * 65, "$web_search", "mcp__git.log"])
def test_a_made_up_name_fits_everywhere_it_stands(api: str, source: str, called: str) -> None:
    history = [
        HumanMessage("Look."),
        calling(source, [call(called, {}, "call_1")]),
        ToolMessage(f"{called} is not a valid tool.", tool_call_id="call_1", name=called, status="error"),
    ]

    adapted, sent = adapted_payload(api, history)

    assert all(re.fullmatch(RULES[api].tool_name, name) for name in names_in(adapted.messages))
    assert len(names_in(adapted.messages)) == 1
    assert violations(api, sent, MODELS[api]) == []


def test_a_name_that_fits_is_left_alone_and_another_word_is_not_invented() -> None:
    history = [HumanMessage("Look."), calling("anthropic", [call("look-up_2", {}, "call_1")]), done("call_1")]

    assert adapt(history, target("anthropic")).messages is history
    assert tool_name("fs.read", RULES["gemini"]) == "fs.read"
    assert tool_name("9lives", RULES["gemini"]) == "_9lives"
    assert tool_name(None, RULES["mistral"]) == "unknown"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("same", ["edit22", "", "functions.edit:0"])
def test_parallel_calls_with_one_id_keep_their_own_results(api: str, source: str, same: str) -> None:
    calls = [call("edit", {"file": n}, same) for n in (1, 2, 3)]
    history = [HumanMessage("Edit."), calling(source, calls), *(ToolMessage(f"{n} done", tool_call_id=same) for n in (1, 2, 3))]

    adapted, sent = adapted_payload(api, history)
    answer = next(message for message in adapted.messages if isinstance(message, AIMessage))
    results = {message.tool_call_id: message.content for message in adapted.messages if isinstance(message, ToolMessage)}

    assert violations(api, sent, MODELS[api]) == []
    assert [results[call["id"]] for call in answer.tool_calls] == ["1 done", "2 done", "3 done"]


def test_ids_of_one_answer_depend_on_the_answer_alone() -> None:
    """A prompt cache is lost where the same history is written differently from step to step."""
    twice = [call("edit", {}, "a"), call("edit", {}, "a")]
    history = [
        HumanMessage("Edit."),
        by("openai-chat", "", tool_calls=twice),
        done("a"),
        done("a"),
        AIMessage("So."),
        HumanMessage("?"),
    ]

    first = adapt(history[:4], target("openai-chat")).messages
    later = adapt(history, Target("openai-chat", "openai", "gpt-5-mini")).messages

    assert [c["id"] for c in first[1].tool_calls] == [c["id"] for c in later[1].tool_calls]
    assert first[1].tool_calls[0]["id"] == "a"


def kimi(*calls: tuple[str, str], model: str = "moonshotai/Kimi-K2.6") -> AIMessage:
    metadata = {"model_provider": "openai", "model_name": model}
    return AIMessage("", tool_calls=[call(name, {}, call_id) for name, call_id in calls], response_metadata=metadata)


@pytest.mark.parametrize("own", ["functions.read_file:0", "functions.read_file:17", "search:0", "functions.mcp.git.log:3"])
def test_kimi_gets_its_own_ids_back(own: str) -> None:
    history = [HumanMessage("Read."), kimi(("read_file", own)), ToolMessage("text", tool_call_id=own)]

    assert adapt(history, KIMI).messages is history


def test_ids_of_others_become_the_ones_that_kimi_would_have_written() -> None:
    """Numbered through the whole conversation, beside its own."""
    history = [
        HumanMessage("Read both."),
        AIMessage("", tool_calls=[call("read", {}, "toolu_1"), call("list", {}, "toolu_2")]),
        ToolMessage("a", tool_call_id="toolu_1"),
        ToolMessage("b", tool_call_id="toolu_2"),
        kimi(("read", "functions.read:2")),
        ToolMessage("c", tool_call_id="functions.read:2"),
        AIMessage("", tool_calls=[call("read", {}, "toolu_1")]),
        ToolMessage("d", tool_call_id="toolu_1"),
    ]

    found = adapt(history, KIMI).messages

    called = [c["id"] for message in found if isinstance(message, AIMessage) for c in message.tool_calls]
    assert called == ["functions.read:0", "functions.list:1", "functions.read:2", "functions.read:3"]
    assert [message.tool_call_id for message in found if isinstance(message, ToolMessage)] == called
    for length in range(3, len(history) + 1):
        assert (
            adapt(history[:length], KIMI).messages == adapt(history[:length], Target(KIMI.api, KIMI.provider, KIMI.model)).messages
        )


@pytest.mark.parametrize(
    ("api", "provider", "model", "host"),
    [
        ("openai-compatible", "openai", "kimi-k2.6", "api.moonshot.ai"),
        ("openai-compatible", "groq", "moonshotai/kimi-k2-instruct-0905", None),
        ("openai-compatible", "openrouter", "moonshotai/kimi-k2.5", None),
    ],
)
def test_kimi_is_kimi_wherever_it_is_served(api: str, provider: str, model: str, host: str | None) -> None:
    history = [
        HumanMessage("Read."),
        AIMessage("", tool_calls=[call("read", {}, "call_1")]),
        ToolMessage("a", tool_call_id="call_1"),
    ]

    found = adapt(history, Target(api, provider, model, host=host)).messages

    assert found[2].tool_call_id == "functions.read:0"
