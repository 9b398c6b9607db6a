"""Values of call arguments: clamped, translated or left out where the target would refuse them."""

from __future__ import annotations

from typing import Any

import pytest
from histories import APIS
from langchain_core.messages import HumanMessage
from packages import chat_model, target
from pydantic import BaseModel

from langroute.adapt import Target, adapt_kwargs

SONNET = Target("anthropic", "anthropic", "claude-sonnet-4-5")
KIMI = Target("openai-compatible", "openai", "kimi-k2.6", host="api.moonshot.ai")
GROK = Target("openai-compatible", "xai", "grok-4")


@pytest.mark.parametrize(
    ("api", "highest"),
    [("anthropic", 1), ("bedrock", 1), ("mistral", 1.5), ("gemini", 2), ("openai-chat", 2), ("openai-compatible", 7)],
)
def test_a_temperature_is_kept_within_the_targets_range(api: str, highest: float) -> None:
    model = {"openai-chat": "gpt-4.1"}.get(api)
    to = target(api, model) if model else target(api)

    for given, expected in ((7, highest), (0.3, 0.3), (0, 0), (None, None)):
        if given is not None or api == "openai-compatible":
            assert adapt_kwargs({"temperature": given}, to) == {"temperature": expected}
    if api != "openai-compatible":
        assert adapt_kwargs({"temperature": -1}, to) == {"temperature": 0}


def test_the_range_is_the_servers_not_the_models() -> None:
    assert adapt_kwargs({"temperature": 1.4}, KIMI) == {"temperature": 1}
    assert adapt_kwargs({"temperature": 1.4}, Target("openai-compatible", "groq", "moonshotai/kimi-k2")) == {"temperature": 1.4}


@pytest.mark.parametrize("model", ["claude-opus-4-1", "claude-sonnet-4-5-20250929", "claude-haiku-4-5", "claude-sonnet-5"])
def test_newer_claudes_get_one_sampler(model: str) -> None:
    asked = {"temperature": 0.2, "top_p": 0.9}

    assert adapt_kwargs(asked, Target("anthropic", "anthropic", model)) == {"temperature": 0.2}
    assert adapt_kwargs(asked, Target("bedrock", "amazon_bedrock", f"us.anthropic.{model}-v1:0")) == {"temperature": 0.2}
    assert adapt_kwargs({"top_p": 0.9}, Target("anthropic", "anthropic", model)) == {"top_p": 0.9}
    assert adapt_kwargs({"temperature": None, "top_p": 0.9}, Target("anthropic", "anthropic", model))["top_p"] == 0.9


@pytest.mark.parametrize(
    "model", ["claude-opus-4-20250514", "claude-sonnet-4-0", "claude-3-7-sonnet-latest", "claude-3-haiku-20240307"]
)
def test_older_claudes_take_both(model: str) -> None:
    asked = {"temperature": 0.2, "top_p": 0.9}

    assert adapt_kwargs(asked, Target("anthropic", "anthropic", model)) == asked


@pytest.mark.parametrize(
    ("to", "given", "expected"),
    [
        (SONNET, ["\n", "END", "  "], ["END"]),
        (SONNET, ["\n"], None),
        (SONNET, "\n\n", None),
        (SONNET, "END", ["END"]),
        (SONNET, list("abcdefg"), list("abcdefg")),
        (target("openai-chat", "gpt-4.1"), list("abcdefg"), list("abcd")),
        (target("openai-chat", "gpt-4.1"), ["\n"], ["\n"]),
        (target("gemini"), list("abcdefg"), list("abcde")),
        (target("openai-chat", "o3"), ["END"], None),
        (target("openai-chat", "gpt-5-mini"), "END", None),
        (target("openai-chat", "gpt-5-chat-latest"), ["END"], ["END"]),
        (GROK, ["END"], None),
        (Target("openai-compatible", "xai", "grok-4-fast-non-reasoning"), ["END"], ["END"]),
        (Target("openai-compatible", "deepseek", "deepseek-chat"), list("abcdefghijklmnopqr"), list("abcdefghijklmnop")),
        (target("openai-compatible"), list("abcdefg"), list("abcdefg")),
        (target("bedrock"), ["\n", "END"], ["END"]),
    ],
)
def test_stop_sequences_are_those_that_the_target_takes(to: Target, given: Any, expected: Any) -> None:
    for name in ("stop", "stop_sequences"):
        assert adapt_kwargs({name: given}, to) == ({} if expected is None else {"stop": expected})


def test_one_list_of_stop_sequences_is_enough() -> None:
    assert adapt_kwargs({"stop": ["a"], "stop_sequences": ["b"]}, SONNET) == {"stop": ["a"]}


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"])
def test_a_model_that_reasons_gets_no_other_sampler_either(name: str) -> None:
    assert adapt_kwargs({name: 1}, target("openai-chat", "gpt-5-mini")) == {}
    assert adapt_kwargs({name: 1}, target("openai-chat", "gpt-4.1")) == {name: 1}


class Answer(BaseModel):
    """An answer."""

    number: int


SCHEMA = {"type": "json_schema", "json_schema": {"name": "Answer", "schema": Answer.model_json_schema()}}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("form", [SCHEMA, Answer, Answer.model_json_schema()], ids=["form", "class", "schema"])
def test_a_demanded_schema_reaches_every_package(api: str, form: Any) -> None:
    """In the form that the package reads, and its payload says so."""
    left = adapt_kwargs({"response_format": form}, target(api))["response_format"]

    if api in ("mistral", "gemini", "bedrock"):
        assert left["type"] == "json_schema"
        assert left["json_schema"]["schema"]["properties"]["number"]["type"] == "integer"
    if api == "bedrock":
        from langchain_aws.chat_models.bedrock_converse import _response_format_to_output_config

        assert "number" in repr(_response_format_to_output_config(left))
    elif api == "gemini":
        sent = chat_model(api)._prepare_request([HumanMessage("?")], response_format=left)
        assert "number" in repr(sent["config"].response_json_schema)
    elif api != "mistral":
        assert "number" in repr(chat_model(api)._get_request_payload([HumanMessage("?")], response_format=left)) or left is Answer


@pytest.mark.parametrize("api", APIS)
def test_json_alone_is_asked_of_those_that_know_it(api: str) -> None:
    left = adapt_kwargs({"response_format": {"type": "json_object"}}, target(api))

    assert bool(left) == (api not in ("anthropic", "bedrock"))


@pytest.mark.parametrize(
    "choice", ["add", {"type": "tool", "name": "add"}, {"type": "function", "function": {"name": "add"}}, {"tool": {"name": "add"}}]
)
def test_a_named_tool_is_named_to_bedrock_and_from_it(choice: Any) -> None:
    assert adapt_kwargs({"tool_choice": choice}, target("bedrock")) == {"tool_choice": "add"}
    assert adapt_kwargs({"tool_choice": choice}, SONNET) == {"tool_choice": {"type": "tool", "name": "add"}}


@pytest.mark.parametrize(("choice", "expected"), [({"any": {}}, "required"), ({"auto": {}}, "auto"), ("none", "none")])
def test_bedrocks_own_form_of_a_choice_is_read(choice: Any, expected: str) -> None:
    assert adapt_kwargs({"tool_choice": choice}, target("openai-chat")) == {"tool_choice": expected}
    assert adapt_kwargs({"tool_choice": choice}, target("bedrock")) == (
        {} if expected == "none" else {"tool_choice": expected.replace("required", "any")}
    )
