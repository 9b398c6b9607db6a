"""Blocks that nobody knows, contents that are empty, and roles that a server does not know."""

from __future__ import annotations

from typing import Any

import pytest
from histories import APIS
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from packages import everything, payload, target

from langroute.adapt import Target, adapt
from langroute.providers.wire import RULES

CALL = AIMessage("", tool_calls=[{"name": "find", "args": {}, "id": "abcdefgh1"}])


def result(content: Any, **fields: Any) -> list[BaseMessage]:
    return [HumanMessage("Find."), CALL, ToolMessage(content, tool_call_id="abcdefgh1", **fields)]


STRANGE = {
    "a link of MCP": {"type": "resource_link", "uri": "file:///QUOKKA.txt", "name": "report"},
    "a resource of MCP": {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "QUOKKA"}},
    "rows": {"type": "json", "json": {"rows": [{"id": 1, "animal": "QUOKKA"}]}},
    "rows without a type": {"rows": ["QUOKKA"]},
    "a block that LangChain wrapped": {"type": "non_standard", "value": {"type": "table", "cells": [["QUOKKA", 2]]}},
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("title", STRANGE)
def test_what_a_strange_block_says_arrives(api: str, title: str) -> None:
    for history in (
        result([STRANGE[title]]),
        result([{"type": "text", "text": "Found:"}, STRANGE[title]]),
        [HumanMessage([STRANGE[title]])],
    ):
        found = adapt(history, target(api)).messages
        assert "QUOKKA" in everything(payload(api, found)), title


@pytest.mark.parametrize("api", APIS)
def test_a_strange_block_is_bounded_and_tells_no_bytes_and_no_thoughts(api: str) -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = {"in": deep}
    many = {"type": "dump", "lines": ["y" * 5000] * 100, "deep": deep, "blob": "QUJD" * 1000}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}

    said = repr(adapt(result([many, thought]), target(api)).messages[-1].content)

    assert len(said) < 3000
    assert "QUJD" not in said
    assert "Hm." not in said


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("nothing", [[], [""], [{"type": "thinking", "thinking": "Hm."}], [{}], [{"type": "hologram"}]])
def test_an_empty_list_is_sent_to_nobody(api: str, nothing: list[Any]) -> None:
    histories = (
        result(nothing),
        result(nothing, status="error"),
        [HumanMessage("Hi."), AIMessage("Hello."), HumanMessage(nothing)],
    )
    for history in (*histories, [HumanMessage(nothing)]):
        last = adapt(history, target(api)).messages[-1]
        assert last.content == "(no text)"
        assert type(last) is type(history[-1])


@pytest.mark.parametrize("blank", ["", " \n"])
@pytest.mark.parametrize("written", [dict, str])
def test_a_blank_text_beside_others_goes_where_it_is_refused(blank: str, written: type) -> None:
    """As a block, and as the bare string that a list of blocks may have."""
    content = [blank if written is str else {"type": "text", "text": blank}, {"type": "text", "text": "rows"}]
    for api in APIS:
        for history in (result(content), [HumanMessage(content)]):
            found = adapt(history, target(api)).messages[-1].content
            if not RULES[api].empty_messages:
                assert found in ("rows", [{"type": "text", "text": "rows"}])


def test_a_picture_with_a_blank_word_is_sent_without_the_word_where_it_is_refused() -> None:
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    for api in APIS:
        for blank in (" ", {"type": "text", "text": " "}):
            (message,) = adapt([HumanMessage([blank, image])], target(api)).messages
            assert len(message.content) == (2 if RULES[api].empty_messages else 1)
            assert "iVBORw0KGgo=" in repr(message.content)


def test_blocks_that_need_no_change_are_the_very_same_objects() -> None:
    """Nothing is copied, so that what is known of a message is known of what is sent."""
    words = [{"type": "text", "text": "rows"}]
    for api in APIS:
        for history in ([SystemMessage(words), HumanMessage(words)], [HumanMessage("Hi."), AIMessage("Ho."), HumanMessage(words)]):
            assert all(new is old for new, old in zip(adapt(history, target(api)).messages, history, strict=True))


DEVELOPER = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi."}]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("more", [[], [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "So?"}]])
def test_the_developers_role_goes_to_those_that_know_it(api: str, more: list[Any]) -> None:
    history = convert_to_messages([*DEVELOPER, *more])
    knows = api in ("openai-chat", "openai-responses")

    found = adapt(history, target(api)).messages

    assert (found[0].additional_kwargs.get("__openai_role__") == "developer") == knows
    assert isinstance(found[0], SystemMessage)
    if api in ("openai-chat", "openai-responses", "openai-compatible"):
        sent = payload(api, found)
        assert (sent.get("messages") or sent["input"])[0]["role"] == ("developer" if knows else "system")


def test_the_developers_role_said_in_words_is_the_same_role() -> None:
    history = [ChatMessage(role="developer", content="Be brief."), HumanMessage("Hi.")]

    assert payload("openai-chat", adapt(history, target("openai-chat")).messages)["messages"][0]["role"] == "developer"
    assert payload("openai-compatible", adapt(history, target("openai-compatible")).messages)["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("host", "model"), [("api.deepseek.com", "deepseek-v4-flash"), (None, "qwen3"), ("openrouter.ai", "openai/gpt-5")]
)
def test_no_other_server_is_sent_the_developers_role(host: str | None, model: str) -> None:
    history = convert_to_messages(
        [*DEVELOPER, {"role": "assistant", "content": "Hello."}, {"role": "developer", "content": "More."}]
    )

    found = adapt([*history, HumanMessage("So?")], Target("openai-compatible", "openai", model, host=host)).messages

    assert not any(message.additional_kwargs for message in found)
