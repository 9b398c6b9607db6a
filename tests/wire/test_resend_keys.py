"""A resend is known by what a person or a tool last said, whatever the client adds of the answer that broke off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langroute.wire.answers import MAX_TEXT
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.request import WireRequest
from langroute.wire.resend_key import GivenAnswer, HeardAnswer, heard_answer_of

REMINDER = "<system-reminder>\nYour response above was cut off mid-stream. Resume directly from where it stops.\n</system-reminder>"
"""As Claude Code 2.1.332 puts it."""

SESSION = {"x-session-id": "s"}


def request(name: str, history: list[Any]) -> WireRequest:
    protocol = PROTOCOLS[name]
    body: dict[str, Any] = {"model": "m", protocol.entries_field: history, "stream": True}
    address = "/m:streamGenerateContent" if name == "gemini" else ""
    return protocol.read_request(json.dumps(body).encode(), SESSION, address)


def key(name: str, history: list[Any]) -> str:
    return request(name, history).resend_key


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


ASKED = {"role": "user", "content": [text("Fix the test.")]}
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}]}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}
HEARD = {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "c2ln"}, text("Let me run it.")]}
STEP = [ASKED, CALL, {"role": "user", "content": [{**RESULT, "cache_control": {"type": "ephemeral"}}]}]


@pytest.mark.parametrize(
    "resent",
    [
        [ASKED, CALL, {"role": "user", "content": [RESULT]}],
        [ASKED, CALL, {"role": "user", "content": [RESULT, text(REMINDER, cache_control={"type": "ephemeral"})]}],
        [ASKED, CALL, {"role": "user", "content": [RESULT]}, HEARD],
        [ASKED, CALL, {"role": "user", "content": [RESULT]}, HEARD, {"role": "user", "content": [text(REMINDER)]}],
        [ASKED, CALL, {"role": "user", "content": [RESULT]}, HEARD, {"role": "user", "content": REMINDER}],
    ],
)
def test_a_resend_with_what_was_heard_is_the_same_step(resent: list[Any]) -> None:
    assert key("messages", resent) == key("messages", STEP)


@pytest.mark.parametrize(
    "other",
    [
        [*STEP[:2], {"role": "user", "content": [{**RESULT, "content": "b.py"}]}],
        [*STEP[:2], {"role": "user", "content": [{**RESULT, "tool_use_id": "t2"}]}],
        [*STEP[:2], {"role": "user", "content": [RESULT, text("No, stop.")]}],
        [*STEP, HEARD, {"role": "user", "content": [text(REMINDER), text("No, stop.")]}],
        [*STEP, CALL, {"role": "user", "content": [RESULT]}],
        STEP[:1],
        [{"role": "user", "content": [text("Fix it all.")]}, *STEP[1:]],
    ],
)
def test_whatever_a_person_or_a_tool_says_besides_is_another_step(other: list[Any]) -> None:
    assert key("messages", other) != key("messages", STEP)


@pytest.mark.parametrize(
    "name, asked, heard, more",
    [
        (
            "chat",
            {"role": "user", "content": "Go."},
            {"role": "assistant", "content": "I w"},
            {"role": "user", "content": REMINDER},
        ),
        (
            "responses",
            {"role": "user", "content": "Go."},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I w"}]},
            {"role": "user", "content": [{"type": "input_text", "text": REMINDER}]},
        ),
        (
            "gemini",
            {"role": "user", "parts": [{"text": "Go."}]},
            {"role": "model", "parts": [{"text": "I w"}]},
            {"role": "user", "parts": [{"text": REMINDER}]},
        ),
    ],
)
def test_it_is_so_in_each_protocol(name: str, asked: Any, heard: Any, more: Any) -> None:
    first = key(name, [asked])
    assert first == key(name, [asked, heard, more])
    assert first != key(name, [asked, heard, asked])
    # A model goes on from what stands last.
    assert request(name, [asked]).given_answer == GivenAnswer()
    assert request(name, [asked, heard]).given_answer == GivenAnswer("Iw", last=True)
    assert request(name, [asked, heard, more]).given_answer == GivenAnswer("Iw", last=False)
    assert request(name, [heard, asked]).given_answer == GivenAnswer()


def test_reasoning_that_was_heard_whole_begins_no_step() -> None:
    """Codex 0.171.0 sends it with its resend."""
    call = {"type": "function_call", "name": "exec_command", "arguments": "{}", "call_id": "c1"}
    said = [{"role": "user", "content": "Go."}, call, {"type": "function_call_output", "call_id": "c1", "output": "ok"}]
    reasoning = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA"}
    assert (
        key("responses", said)
        == key("responses", [*said, reasoning])
        == key("responses", [*said, reasoning, {**call, "call_id": "c2"}])
    )
    assert key("responses", said) != key("responses", [*said, reasoning, {**said[2], "output": "failed"}])


def test_words_that_a_client_puts_behind_a_broken_answer_begin_no_step() -> None:
    """As Gemini CLI 0.61.0 does where it heard thoughts alone."""
    ran = {"role": "user", "parts": [{"functionResponse": {"name": "run", "response": {"output": "ok"}}}]}
    said = [
        {"role": "user", "parts": [{"text": "Go."}]},
        {"role": "model", "parts": [{"functionCall": {"name": "run", "args": {}}}]},
        ran,
    ]
    filler = {"role": "model", "parts": [{"text": "[Tool execution completed.]"}]}
    words = (
        "[System: You previously generated thoughts but failed to provide a final user-facing response. Please call a tool now.]"
    )
    assert key("gemini", said) == key("gemini", [*said, filler, {"role": "user", "parts": [{"text": words}]}])
    assert key("gemini", said) != key("gemini", [*said, filler, {"role": "user", "parts": [{"text": "Go on."}]}])


def test_a_history_in_which_nobody_speaks_is_known_by_all_of_it() -> None:
    """Some write in tags all that they ask; what nobody here understands may be anybody's."""
    first, second = ({"role": "user", "content": f"<task>{place}</task>"} for place in (1, 2))
    assert key("messages", [first]) != key("messages", [second])
    unknown = (
        [{"role": "user", "content": "Go."}, {"type": "odd", "id": 1}],
        [{"role": "user", "content": "Go."}, {"type": "odd", "id": 2}],
    )
    assert len({key("responses", one) for one in unknown}) == 2
    assert key("responses", "Go.") != key("responses", "Stop.")  # type: ignore[arg-type]


def said(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def parts(*told: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(told)}


def picture(data: str) -> dict[str, Any]:
    return parts({"text": "What is it?"}, {"inlineData": {"mimeType": "image/png", "data": data}})


def returned(response: Any) -> dict[str, Any]:
    return parts({"functionResponse": {"name": "run", "response": response}})


QUESTION = {"role": "user", "content": "Translate: cat"}
ANSWER = {"role": "assistant", "content": "Katze"}


@pytest.mark.parametrize(
    "name, one, two",
    [
        ("gemini", [picture("AAAA")], [picture("BBBB")]),
        ("gemini", [returned({"output": "a", "x": 1})], [returned({"output": "a", "x": 2})]),
        ("messages", [ASKED, CALL, said({**RESULT, "is_error": True})], [ASKED, CALL, said({**RESULT, "is_error": False})]),
        ("chat", [QUESTION, {"role": "system", "content": "To French"}], [QUESTION, {"role": "system", "content": "To German"}]),
        ("chat", [QUESTION, {"role": "developer", "content": REMINDER}], [QUESTION]),
        ("messages", [QUESTION], [QUESTION, ANSWER, {"role": "user", "content": "<b>stop everything</b>"}]),
        ("messages", [QUESTION], [QUESTION, ANSWER, {"role": "user", "content": f"{REMINDER} Stop. {REMINDER}"}]),
        ("messages", [QUESTION], [QUESTION, ANSWER, said({"type": "document", "text": REMINDER, "title": "a"})]),
    ],
)
def test_nothing_that_was_said_is_left_out(name: str, one: list[Any], two: list[Any]) -> None:
    assert key(name, one) != key(name, two)


def test_a_text_is_the_same_with_a_block_and_without() -> None:
    """Claude Code makes a block of it where it puts a mark of the prompt cache."""
    block = said({**text("Translate: cat"), "cache_control": {"type": "ephemeral"}})
    assert key("messages", [QUESTION]) == key("messages", [block]) == key("messages", [said(*block["content"], text(REMINDER * 2))])


def test_a_system_message_is_the_same_with_a_block_and_without() -> None:
    """Claude Code 2.1.332 ends the history of a model that takes it with one, and its mark is elsewhere in the resend."""
    left = "<total_tokens>14998980 tokens left</total_tokens>"
    marked = {"role": "system", "content": [text(left, cache_control={"type": "ephemeral"})]}
    resent = [*STEP, {"role": "system", "content": left}, HEARD, {"role": "user", "content": [text(REMINDER)]}]
    assert key("messages", [*STEP, marked]) == key("messages", resent)
    assert key("messages", [*STEP, marked]) != key("messages", [*STEP, {"role": "system", "content": left.replace("4", "5")}])


# How much of an answer was heard ------------------------------------------------------------------------------------------


def heard_of(name: str, *events: dict[str, Any]) -> HeardAnswer:
    reader = PROTOCOLS[name].answer_reader(stream=True)
    for event in events:
        reader.feed(b"data: %s\n\n" % json.dumps(event).encode())
    return heard_answer_of(reader)


def delta(**said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": said}]}


def item(said: str, index: int = 0) -> dict[str, Any]:
    content = [{"type": "output_text", "text": said}]
    return {"type": "response.output_item.done", "output_index": index, "item": {"type": "message", "content": content}}


def words(said: str, index: int = 0) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": index, "delta": said}


THINKING = {"type": "thinking", "thinking": [text("Hm.")]}


@pytest.mark.parametrize(
    ("name", "events", "heard"),
    [
        ("chat", [], HeardAnswer()),
        ("chat", [delta(role="assistant", content="")], HeardAnswer()),
        ("chat", [delta(content="Hel"), delta(content="lo")], HeardAnswer("Hello")),
        ("chat", [delta(content=[text("Hel"), text("lo")])], HeardAnswer("Hello")),
        ("chat", [delta(content=[THINKING]), delta(content=[text("Hello")])], HeardAnswer("Hello")),
        ("chat", [delta(content=[THINKING])], HeardAnswer("", whole=False)),
        ("chat", [delta(content=[3, None, {"text": 4}, {}])], HeardAnswer()),
        ("chat", [delta(reasoning_content="Hm.")], HeardAnswer("", whole=False)),
        ("chat", [delta(content="x" * MAX_TEXT)], HeardAnswer("x" * MAX_TEXT)),
        ("chat", [delta(content="x" * MAX_TEXT), delta(content="y")], HeardAnswer("x" * MAX_TEXT, whole=False)),
        ("chat", [delta(content="x" * MAX_TEXT + "y")], HeardAnswer("x" * MAX_TEXT, whole=False)),
        ("responses", [item("Hello")], HeardAnswer("Hello")),
        ("responses", [item("Hel"), item("lo", 1)], HeardAnswer("Hello")),
        ("responses", [words("Hel"), item("Hel"), item("lo", 1)], HeardAnswer("Hello")),
        ("responses", [item("Hel"), words("lo", 1), item("lo", 1)], HeardAnswer("Hello")),
        ("responses", [item("ha"), item("ha", 1), words("ha", 2)], HeardAnswer("hahaha")),
        ("responses", [item("x" * MAX_TEXT + "y"), item("z", 1)], HeardAnswer("x" * MAX_TEXT, whole=False)),
    ],
)
def test_it_is_known_whether_all_text_was_heard(name: str, events: list[dict[str, Any]], heard: HeardAnswer) -> None:
    assert heard_of(name, *events) == heard


@pytest.mark.parametrize(
    ("given", "before", "heard", "same"),
    [
        ("Hello", "", HeardAnswer("Hello, you"), True),
        ("Hello,you", "", HeardAnswer("Hello"), False),
        ("Hello,you", "", HeardAnswer("Hello", whole=False), True),
        ("Hell", "", HeardAnswer("Hello", whole=False), True),
        ("Help!", "", HeardAnswer("Hello", whole=False), False),
        ("{", "", HeardAnswer(), False),
        ("{", "", HeardAnswer(whole=False), True),
        ("{1", "[", HeardAnswer(whole=False), False),
        ("[1", "[", HeardAnswer(whole=False), True),
        ("x" * MAX_TEXT + "y", "", HeardAnswer("x" * MAX_TEXT, whole=False), True),
    ],
)
def test_what_was_not_heard_tells_no_beginnings_apart(given: str, before: str, heard: HeardAnswer, same: bool) -> None:
    assert GivenAnswer(given, last=True).goes_on("", GivenAnswer(before, last=bool(before)), heard) is same
