"""The providers' own packages read what is written here: requests by their types, answers by their parsers."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import Any

import pytest

pytest.importorskip("msgspec")
pytest.importorskip("anthropic")
pytest.importorskip("openai")

import anthropic
import openai
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import TypeAdapter, ValidationError
from wire_shapes import REQUESTS, STREAMS, compact

from langroute.wire.edits import WireTarget
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.translation import TRANSLATORS, AnswerTranslator, TranslatedRequest, translated

PAIRS = [(source, target) for source in TRANSLATORS for target in TRANSLATORS if source != target]
PROVIDERS = {"messages": "anthropic", "chat": "openai", "responses": "openai"}
TARGETS = {
    "messages": WireTarget("claude-haiku-4-5", "anthropic", max_output=64000),
    "chat": WireTarget("gpt-5.2", "openai", max_output=32768),
    "responses": WireTarget("gpt-5.2", "openai", max_output=32768),
}
TYPES = {
    "messages": message_create_params.MessageCreateParamsStreaming,
    "chat": completion_create_params.CompletionCreateParamsStreaming,
    "responses": response_create_params.ResponseCreateParamsStreaming,
}
CALL = {"command": "printf 'ümlaut 机\\n' && python3 -c \"print('✓')\""}


def asked(source: str, target: str, turns: int = 2) -> TranslatedRequest:
    return translated(PROTOCOLS[source].read_request(REQUESTS[source](turns), {}), PROTOCOLS[target], TARGETS[target])


@pytest.mark.parametrize("source, target", PAIRS)
def test_requests_are_of_the_types_that_the_packages_declare(source: str, target: str) -> None:
    body = json.loads(asked(source, target).body)
    adapter = TypeAdapter(TYPES[target])
    walked(adapter.validate_python(body))
    with pytest.raises(ValidationError):
        walked(adapter.validate_python({**body, PROTOCOLS[target].entries_field: [{"role": "nobody"}]}))


def walked(value: Any) -> Any:
    """The value with all that Pydantic checks only when it is looked at."""
    if isinstance(value, dict):
        return {key: walked(inner) for key, inner in value.items()}
    return [walked(one) for one in value] if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) else value


@pytest.mark.parametrize("source, target", PAIRS)
@pytest.mark.parametrize("call", [None, CALL])
def test_streams_are_read_by_the_clients_package(source: str, target: str, call: dict[str, Any] | None) -> None:
    translator = AnswerTranslator(asked(source, target), model="shown", stream=True, provider=PROVIDERS[target])
    stream = translator.feed(STREAMS[target]("Let me löök.", call=call)) + translator.finish()
    text, calls, tokens = answer_of(source, stream)
    assert text == "Let me löök."
    assert calls == ([CALL] if call else [])
    assert tokens == 442


@pytest.mark.parametrize("name", TRANSLATORS)
def test_an_error_in_the_middle_is_an_error_to_the_clients_package(name: str) -> None:
    stream = STREAMS[name]("Let me look.", call=CALL)
    broken = stream[: stream.index(b"python3")].rpartition(b"\n\n")[0] + b"\n\n"
    with pytest.raises((anthropic.APIStatusError, openai.APIError, Heard)):
        answer_of(name, broken + PROTOCOLS[name].error_event("upstream_broken", "It broke off."))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_budget_that_is_used_up_is_a_bad_request_to_the_clients_package(name: str) -> None:
    """Which no client tries again."""
    status, body = PROTOCOLS[name].budget_exceeded("The budget of 5 USD is used up.")
    with pytest.raises((anthropic.BadRequestError, openai.BadRequestError), match="5 USD is used up"):
        answer_of(name, body, status)


class Heard(Exception):
    """An error event that a package hands on as an event."""


def client_of(kind: Any, body: bytes, status: int) -> Any:
    """A client of a package that gets this answer to everything, over the HTTP package that it wants."""

    def answers(request: Any) -> Any:
        told = "text/event-stream" if status == 200 else "application/json"
        return http.Response(status, content=body, headers={"content-type": told}, request=request)

    error: TypeError | None = None
    for name in ("httpx", "httpx2"):
        http = importlib.import_module(name)
        try:
            return kind(api_key="k", http_client=http.Client(transport=http.MockTransport(answers)), max_retries=0)
        except TypeError as failed:
            error = failed
    raise AssertionError(error)


def answer_of(name: str, body: bytes, status: int = 200) -> tuple[str, list[Any], int]:
    """Text, arguments of the calls and input tokens, as the package of the protocol's maker reads them."""
    if name == "messages":
        client = client_of(anthropic.Anthropic, body, status)
        with (
            warnings.catch_warnings(),
            client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "a"}]) as stream,
        ):
            warnings.simplefilter("ignore")
            message = stream.get_final_message()
        usage = message.usage
        tokens = usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
        return (
            "".join(one.text for one in message.content if one.type == "text"),
            [one.input for one in message.content if one.type == "tool_use"],
            tokens,
        )
    client = client_of(openai.OpenAI, body, status)
    if name == "chat":
        text, arguments, tokens = "", "", 0
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                arguments += "".join(one.function.arguments or "" for one in choice.delta.tool_calls or ())
            tokens = chunk.usage.prompt_tokens if chunk.usage else tokens
        return text, [json.loads(arguments)] if arguments else [], tokens
    done = None
    for event in client.responses.create(model="m", input="a", stream=True):
        if event.type == "error":
            raise Heard(event.message)
        done = event.response if event.type == "response.completed" else done
    assert done is not None
    assert compact(done.usage.model_dump())
    return (
        done.output_text,
        [json.loads(one.arguments) for one in done.output if one.type == "function_call"],
        done.usage.input_tokens,
    )
