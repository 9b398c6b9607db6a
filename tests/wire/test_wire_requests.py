"""Requests of coding agents: what their envelope says, and that all bytes but the model's name stay."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("msgspec")

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from wire_shapes import BODIES, CLAUDE_CODE_HEADERS, REQUESTS, claude_code, codex, compact, opencode, title_call

from langroute.steps.inspector import Inspector
from langroute.wire.protocols import PROTOCOLS, protocol_at
from langroute.wire.translation import TRANSLATORS

HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "x-claude-code-session-id",
            "session-id",
            "Thread-Id",
            "x-session-id",
            "authorization",
            "X-Api-Key",
            "anthropic-beta",
            "odd",
        ]
    ),
    st.text(max_size=30),
    max_size=5,
)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(body=BODIES, headers=HEADERS, way=st.sampled_from([None, 2]))
def test_any_json_is_read_without_an_error(name: str, body: dict[str, Any], headers: dict[str, str], way: int | None) -> None:
    protocol = PROTOCOLS[name]
    raw = json.dumps(body, indent=way).encode()
    request = protocol.read_request(raw, headers)
    messages = request.messages()
    assert all(isinstance(one, (AIMessage, HumanMessage, SystemMessage, ToolMessage)) for one in messages)
    if messages:
        Inspector().inspect(messages, tools=request.tools, response_schema=request.response_schema)
    assert isinstance(request.thread, str)
    assert len(request.thread) < 500
    assert isinstance(request.resend_key, str)
    assert request.side_call in (None, "title", "summarize", "classify", "extract", "answer")
    assert min(json.loads(protocol.count_tokens(request)).values()) >= 0
    sent = protocol.splice(request, model="other")
    expected = {**body, "model": "other"} if "model" in body else body
    assert json.loads(sent) == expected


@pytest.mark.parametrize("name", PROTOCOLS)
@given(body=st.binary(max_size=300), headers=st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3))
def test_any_bytes_are_read_without_an_error(name: str, body: bytes, headers: dict[str, str]) -> None:
    request = PROTOCOLS[name].read_request(body, headers)
    request.messages()
    assert request.problem or request.model
    PROTOCOLS[name].splice(request, model="other")


@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize("turns", [0, 1, 7])
def test_only_the_name_of_the_model_changes(name: str, turns: int) -> None:
    body = REQUESTS[name](turns)
    request = PROTOCOLS[name].read_request(body, {})
    asked = compact(request.model)
    assert PROTOCOLS[name].splice(request, model="ein “anderes”") == body.replace(asked, compact("ein “anderes”"), 1)
    assert PROTOCOLS[name].splice(request) == body
    assert PROTOCOLS[name].splice(request, model=request.model) == body


def test_a_model_named_twice_is_replaced_twice() -> None:
    """A provider may read either: what the client asked for beside the route must not get through."""
    request = PROTOCOLS["chat"].read_request(b'{"model":"dear","messages":[],"model":"cheap"}', {})
    assert request.model == "cheap"
    assert PROTOCOLS["chat"].splice(request, model="route") == b'{"model":"route","messages":[],"model":"route"}'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model":7}', b'{"model":""}', b'{"model":"a"', b'{"model":"' + b"a" * 400 + b'"}']
)
def test_what_is_wrong_with_a_request_is_said(body: bytes) -> None:
    assert PROTOCOLS["messages"].read_request(body, {}).problem


def test_the_envelope_of_each_client() -> None:
    claude = PROTOCOLS["messages"].read_request(claude_code(2), CLAUDE_CODE_HEADERS)
    assert (claude.model, claude.stream, claude.max_tokens) == ("claude-opus-4-8", True, 64000)
    assert claude.tool_names == ("Bash", "Read", "Edit")
    chat = PROTOCOLS["chat"].read_request(opencode(2), {})
    assert (chat.model, chat.stream, chat.max_tokens, chat.tool_names) == ("gpt-5.2", True, 32000, ("bash",))
    responses = PROTOCOLS["responses"].read_request(codex(2), {})
    assert (responses.model, responses.stream, responses.max_tokens, responses.tool_names) == (
        "gpt-5.2",
        True,
        None,
        ("exec_command",),
    )


@pytest.mark.parametrize("name", TRANSLATORS)
def test_steps_of_a_tool_loop_are_told_as_such(name: str) -> None:
    """What clients write into a user's message themselves begins no turn."""
    for turns in (0, 1, 4):
        request = PROTOCOLS[name].read_request(REQUESTS[name](turns), {})
        step = Inspector().inspect(request.messages(), tools=request.tools)
        assert (step.kind, step.turn, step.index) == ("observe" if turns else "act", 1, turns)
        assert not request.side_call


def test_a_person_who_interrupts_begins_a_turn() -> None:
    said = [
        {"role": "user", "content": "Fix it."},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True},
                {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"},
                {"type": "text", "text": "Stop, write the docs instead."},
            ],
        },
    ]
    request = PROTOCOLS["messages"].read_request(compact({"model": "m", "messages": said}), {})
    kinds = [type(one).__name__ for one in request.messages()]
    assert kinds == ["HumanMessage", "AIMessage", "ToolMessage", "SystemMessage", "HumanMessage"]
    assert request.messages()[2].status == "error"


def test_a_request_that_stands_in_a_tag_as_a_whole_is_the_users_still() -> None:
    body = compact(
        {"model": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "<task>Fix it.</task>"}]}
    )
    assert [type(one) for one in PROTOCOLS["chat"].read_request(body, {}).messages()] == [SystemMessage, HumanMessage]


@pytest.mark.parametrize(
    "headers, thread, parent",
    [
        ({"X-Claude-Code-Session-Id": "s"}, "s", None),
        ({"x-claude-code-session-id": "s", "x-claude-code-agent-id": "a"}, "s/a", "s"),
        ({"x-claude-code-session-id": "s", "x-claude-code-agent-id": "b", "x-claude-code-parent-agent-id": "a"}, "s/b", "s/a"),
        ({"session-id": "root", "thread-id": "t"}, "t", None),
        ({"session-id": "root", "thread-id": "t", "x-codex-parent-thread-id": "root"}, "t", "root"),
        ({"x-session-id": "s", "x-session-affinity": "s"}, "s", None),
    ],
)
def test_the_conversation_by_the_clients_headers(headers: dict[str, str], thread: str, parent: str | None) -> None:
    request = PROTOCOLS["messages"].read_request(claude_code(), headers)
    assert (request.thread, request.parent_thread, request.sub_agent) == (thread, parent, parent is not None)


def test_an_id_that_is_long_or_odd_is_hashed() -> None:
    request = PROTOCOLS["messages"].read_request(claude_code(), {"x-session-id": "ö" * 5000})
    assert request.thread.startswith("id_")
    assert len(request.thread) == 35


def test_the_cache_key_of_a_prompt_names_the_conversation() -> None:
    assert PROTOCOLS["responses"].read_request(codex(), {}).thread == "0199-thread"


@pytest.mark.parametrize("name", ["messages", "chat"])
def test_a_conversation_without_an_id_keeps_its_fingerprint_while_it_grows(name: str) -> None:
    key = {"authorization": "Bearer one"}
    threads = {PROTOCOLS[name].read_request(REQUESTS[name](turns), key).thread for turns in (0, 1, 2, 9)}
    assert len(threads) == 1
    assert threads.pop().startswith("fp_")
    other = PROTOCOLS[name].read_request(REQUESTS[name](1), {"authorization": "Bearer two"}).thread
    assert other != PROTOCOLS[name].read_request(REQUESTS[name](1), key).thread


def test_another_first_message_is_another_conversation() -> None:
    one, two = (PROTOCOLS["messages"].read_request(claude_code(1, text=text), {}).thread for text in ("Fix it.", "Write docs."))
    assert one != two


def test_a_resend_is_the_same_step_as_a_stream_or_not() -> None:
    stream = PROTOCOLS["messages"].read_request(claude_code(3), CLAUDE_CODE_HEADERS)
    plain = PROTOCOLS["messages"].read_request(
        claude_code(3, stream=False), {**CLAUDE_CODE_HEADERS, "x-stainless-retry-count": "1"}
    )
    later = PROTOCOLS["messages"].read_request(claude_code(4), CLAUDE_CODE_HEADERS)
    assert stream.resend_key == plain.resend_key != later.resend_key


def test_calls_beside_the_conversation_are_told_without_names() -> None:
    assert PROTOCOLS["messages"].read_request(title_call(), CLAUDE_CODE_HEADERS).side_call == "title"
    summary = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": "Summarize the conversation so far."},
        ],
    }
    assert PROTOCOLS["chat"].read_request(compact(summary), {}).side_call == "summarize"


def test_a_title_is_asked_for_before_the_conversation_itself() -> None:
    said = [
        {"role": "system", "content": "You are a generator of titles.\n<task>\nGive a brief title.\n</task>"},
        {"role": "user", "content": "Generate a title for this conversation:\n"},
        {"role": "user", "content": "Fix the failing test in parser.py, then run it."},
    ]
    assert PROTOCOLS["chat"].read_request(compact({"model": "m", "messages": said}), {}).side_call == "title"


def test_a_client_that_names_its_session_makes_no_step_without_tools() -> None:
    said = [
        {"role": "system", "content": "You write messages for commits."},
        {"role": "user", "content": "diff --git a/a.py b/a.py"},
    ]
    body = compact({"model": "m", "messages": said})
    assert PROTOCOLS["chat"].read_request(body, {"x-session-id": "s"}).side_call == "answer"
    assert PROTOCOLS["chat"].read_request(body, {}).side_call is None


def test_an_agent_without_tools_makes_no_side_calls_of_its_steps() -> None:
    """Some agents put their edits into the text of the answer."""
    said = [
        {"role": "system", "content": "Act as an expert developer. Answer with the whole file in a fence."},
        {"role": "user", "content": "Create calc.py with an add function, and a test for it. Run the test."},
    ]
    assert PROTOCOLS["chat"].read_request(compact({"model": "m", "messages": said}), {}).side_call is None


def test_headers_go_on_without_what_is_the_clients_own() -> None:
    protocol = PROTOCOLS["messages"]
    sent = protocol.forward_headers(CLAUDE_CODE_HEADERS, credentials=protocol.credentials("provider-key"))
    assert sent == {
        "x-claude-code-session-id": "5e551014-0000",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,context-1m-2025-08-07,interleaved-thinking-2025-05-14",
        "x-stainless-retry-count": "0",
        "x-api-key": "provider-key",
    }


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(["Authorization", "X-API-Key", "api-key", "Cookie", "Connection", "TE", "x-ok", "Host"]),
            st.text(max_size=12),
        )
    )
)
def test_no_credential_and_no_line_break_goes_on(headers: list[tuple[str, str]]) -> None:
    sent = PROTOCOLS["chat"].forward_headers(headers, credentials={"authorization": "Bearer theirs"})
    assert sent["authorization"] == "Bearer theirs"
    assert set(sent) <= {"authorization", "x-ok"}
    assert not any(sign in value for value in sent.values() for sign in "\r\n\0")


def test_paths_lead_to_their_protocol() -> None:
    assert {path: protocol_at(path).name for path in ("/v1/responses", "/responses", "/v1/chat/completions", "/v1/messages/")} == {
        "/v1/responses": "responses",
        "/responses": "responses",
        "/v1/chat/completions": "chat",
        "/v1/messages/": "messages",
    }
    assert protocol_at("/v1/messages/count_tokens") is None


def test_a_long_history_is_read_in_a_time_that_grows_with_it() -> None:
    """No absolute time, and only the computing: four times the history takes less than twelve times as long."""

    def seconds(turns: int) -> float:
        body = claude_code(turns)
        best = 9.9
        for _ in range(3):
            begin = time.thread_time()
            request = PROTOCOLS["messages"].read_request(body, CLAUDE_CODE_HEADERS)
            request.messages()
            PROTOCOLS["messages"].splice(request, model="other")
            best = min(best, time.thread_time() - begin)
        return best

    assert seconds(1200) < 12 * seconds(300)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_request_holds_its_history_once(name: str) -> None:
    field = PROTOCOLS[name].entries_field
    body = compact({"model": "m", field: [{"role": "user", "content": "a" * 100}], "tools": [{"type": "function"}]})
    request = PROTOCOLS[name].read_request(body, {})
    assert request.raw("tools") is request.raw("tools") != b""
    assert request.raw(field) == request.raw(field)
    assert request.raw(field) is not request.raw(field)
