"""Call arguments, from any provider's spelling to any other's: the provider's own SDK takes what comes out."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from histories import APIS
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from packages import chat_model, target

from langroute.adapt import Target, adapt_kwargs
from langroute.providers.wire import ARGUMENTS

VALUES: dict[str, Any] = {
    "parallel_tool_calls": False, "user": "u", "verbosity": "low", "seed": 1, "logprobs": True, "top_logprobs": 1, "logit_bias": {},
    "n": 1, "frequency_penalty": 0.1, "presence_penalty": 0.1, "modalities": ["text"], "audio": {"prompt": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"}, "web_search_options": {}, "stream_options": {}, "reasoning": {"effort": "low"},
    "include": [], "truncation": "auto", "previous_response_id": "resp_1", "text": {}, "store": False, "safety_identifier": "s",
    "prompt_cache_key": "k", "prompt_cache_options": {}, "prompt_cache_retention": "24h", "service_tier": "auto", "reasoning_effort": "low",
    "effort": "low", "thinking": {"type": "disabled"}, "output_config": {}, "top_k": 3, "betas": [], "cache_control": {"type": "ephemeral"},
    "container": "c", "context_management": {}, "mcp_servers": [], "inference_geo": "us", "safety_settings": {},
    "generation_config": {}, "cached_content": "x", "tool_config": {}, "thinking_budget": 10, "thinking_level": "low",
    "thinking_config": {}, "include_thoughts": True, "response_mime_type": "text/plain", "response_modalities": None, "safe_mode": True,
    "safe_prompt": True, "random_seed": 1, "prompt_mode": "reasoning", "extra_body": {}, "extra_query": {}, "extra_headers": {},
    "temperature": 0.3, "top_p": 0.9, "max_tokens": 100, "timeout": 30, "stream_usage": True, "guardrail_config": {}, "performance_config": {},
    "request_metadata": {}, "additional_model_request_fields": {}, "additional_model_response_field_paths": [],
}  # fmt: skip


def accepted(api: str) -> set[str]:
    """The names that the SDK's method has."""
    if api == "anthropic":
        import anthropic

        return set(inspect.signature(anthropic.resources.beta.messages.Messages.create).parameters)
    if api == "openai-responses":
        from openai.resources.responses import Responses

        return set(inspect.signature(Responses.create).parameters)
    from openai.resources.chat.completions import Completions

    return set(inspect.signature(Completions.create).parameters)


def converse_takes(arguments: dict[str, Any]) -> bool:
    """Whether the package's own methods take the arguments of a call of Bedrock's Converse API."""
    from langchain_aws.chat_models import bedrock_converse

    own = {"additional_model_request_fields", "reasoning_effort", "cache_control", "disable_streaming"}
    rest = {name: value for name, value in arguments.items() if name not in own}
    bedrock_converse._apply_response_format(rest)
    chat_model("bedrock")._converse_params(**bedrock_converse._snake_to_camel_keys(rest))
    return True


def test_every_argument_of_the_table_is_tried() -> None:
    """A new row gets a value here."""
    assert set(ARGUMENTS) <= set(VALUES)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("api", [api for api in APIS if api not in ("gemini", "mistral")])
def test_the_sdk_takes_what_is_left_of_an_argument(api: str, name: str) -> None:
    """One argument at a time, so that a translation cannot hide behind another."""
    model = chat_model(api)
    if api == "bedrock":
        assert converse_takes(adapt_kwargs({name: VALUES[name]}, target(api)))
        return

    left = adapt_kwargs({name: VALUES[name]}, target(api))
    if name == "stream_usage":
        # The package's own, of its method for streams; it is no part of the request.
        assert name in inspect.signature(type(model)._astream if api == "anthropic" else model._should_stream_usage).parameters
        return

    sent = model._get_request_payload([HumanMessage("Hello.")], **left)

    assert set(sent) <= accepted(api)


GEMINI: dict[str, tuple[str, Any]] = {
    "seed": ("seed", 1),
    "random_seed": ("seed", 1),
    "frequency_penalty": ("frequency_penalty", 0.1),
    "presence_penalty": ("presence_penalty", 0.1),
    "temperature": ("temperature", 0.3),
    "top_p": ("top_p", 0.9),
    "top_k": ("top_k", 3),
    "max_tokens": ("max_output_tokens", 100),
    "cached_content": ("cached_content", "x"),
    "response_mime_type": ("response_mime_type", "text/plain"),
    "reasoning": ("thinking_config", {"thinking_level": "LOW"}),
    "reasoning_effort": ("thinking_config", {"thinking_level": "LOW"}),
    "effort": ("thinking_config", {"thinking_level": "LOW"}),
    "thinking_level": ("thinking_config", {"thinking_level": "LOW"}),
    "thinking_budget": ("thinking_config", {"thinking_budget": 10}),
    "include_thoughts": ("thinking_config", {"include_thoughts": True}),
    "thinking_config": ("thinking_config", {}),
}
"""Argument → what its request says then, and where. Every other one changes nothing: it is another provider's, or says nothing."""


def gemini_config(**arguments: Any) -> dict[str, Any]:
    """The config of a request of Gemini's package, which its own classes check."""
    request = chat_model("gemini")._prepare_request([HumanMessage("Hello.")], **adapt_kwargs(arguments, target("gemini")))
    return dict(request["config"].model_dump(mode="json", exclude_none=True))


@pytest.mark.parametrize("name", [name for name in VALUES if name not in ("tool_config", "timeout")])
def test_geminis_package_takes_what_is_left_of_an_argument(name: str) -> None:
    """And says it: what its request says is what was asked for, and nothing beside it."""
    plain = gemini_config()
    assert not {where for where, _ in GEMINI.values()} & plain.keys()
    said = [GEMINI[name]] if name in GEMINI else []

    assert gemini_config(**{name: VALUES[name]}) == {**plain, **dict(said)}


def test_a_time_limit_goes_to_those_that_take_one_with_a_call() -> None:
    """Mistral's and Bedrock's packages have it as a setting of the model alone, and would send it in the request."""
    assert gemini_config(timeout=30)["http_options"]["timeout"] == 30_000
    for api in APIS:
        assert ("timeout" in adapt_kwargs({"timeout": 30}, target(api))) == (api not in ("mistral", "bedrock"))


FORCED = ["any", "required", True, {"type": "any"}, {"type": "required"}]
NAMED = [
    "add",
    {"type": "tool", "name": "add"},
    {"type": "function", "function": {"name": "add"}},
    {"type": "function", "name": "add"},
]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.mark.parametrize("choice", FORCED, ids=str)
@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("anthropic", {"type": "any"}),
        ("openai-chat", "required"),
        ("openai-responses", "required"),
        ("openai-compatible", "required"),
        ("mistral", "any"),
        ("gemini", "any"),
        ("bedrock", {"any": {}}),
    ],
)
def test_a_forced_call_is_forced_everywhere(api: str, expected: Any, choice: Any) -> None:
    """In a call, where the value goes out as it is, and in `bind_tools`."""
    kwargs = adapt_kwargs({"tool_choice": choice}, target(api))

    assert kwargs == {"tool_choice": "any" if api == "bedrock" else expected}
    assert chat_model(api).bind_tools([add], **kwargs).kwargs["tool_choice"] == expected


@pytest.mark.parametrize("choice", NAMED, ids=str)
@pytest.mark.parametrize("api", APIS)
def test_a_named_tool_is_demanded_by_name_everywhere(api: str, choice: Any) -> None:
    """Whatever spelling it came in."""
    bound = chat_model(api).bind_tools([add], **adapt_kwargs({"tool_choice": choice}, target(api))).kwargs["tool_choice"]

    assert bound == {
        "anthropic": {"type": "tool", "name": "add"},
        "gemini": "add",
        "bedrock": {"tool": {"name": "add"}},
    }.get(api, {"type": "function", "function": {"name": "add"}})


@pytest.mark.parametrize("api", APIS)
def test_one_call_at_a_time(api: str) -> None:
    """Each provider says it in its own place."""
    openai, anthropic = {"parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    if api == "anthropic":
        assert adapt_kwargs(openai, target(api)) == anthropic
        assert adapt_kwargs({**openai, "tool_choice": "required"}, target(api))["tool_choice"] == {
            "type": "any",
            "disable_parallel_tool_use": True,
        }
    elif api not in ("gemini", "bedrock"):
        assert adapt_kwargs(openai, target(api)) == openai
        assert adapt_kwargs(anthropic, target(api)) == {"tool_choice": "auto", "parallel_tool_calls": False}


def test_models_that_reason_get_no_temperature() -> None:
    """GPT-5 and the o-models, Claude with thinking on, Claude's latest."""
    asked = {"temperature": 0.2, "top_p": 0.9, "stop": ["x"]}

    assert adapt_kwargs(asked, target("openai-responses", "gpt-5")) == {"stop": ["x"]}
    assert adapt_kwargs(asked, target("openai-chat", "o4-mini")) == {}
    assert adapt_kwargs(asked, target("anthropic", "claude-haiku-4-5", True)) == {"stop": ["x"]}
    assert adapt_kwargs(asked, target("openai-chat", "gpt-4.1")) == asked
    assert adapt_kwargs(asked, target("anthropic", "claude-3-haiku")) == asked
    assert adapt_kwargs(asked, target("anthropic", "claude-haiku-4-5")) == {"temperature": 0.2, "stop": ["x"]}


def test_effort_is_translated() -> None:
    """Each provider has its own word for how hard to think."""
    assert adapt_kwargs({"reasoning": {"effort": "high"}}, target("anthropic")) == {"reasoning_effort": "high"}
    assert adapt_kwargs({"effort": "max"}, target("gemini")) == {"reasoning_effort": "high"}
    assert adapt_kwargs({"thinking_level": "low"}, target("openai-chat")) == {"reasoning_effort": "low"}
    assert adapt_kwargs({"effort": "max"}, target("anthropic")) == {"effort": "max"}


def test_a_users_own_argument_and_an_unknown_route_are_left_alone() -> None:
    """Only what is known to be refused is touched."""
    assert adapt_kwargs({"my_flag": 1}, target("anthropic")) == {"my_flag": 1}
    assert adapt_kwargs({"tool_choice": "any", "seed": 1}, Target(None, "somebody")) == {"tool_choice": "any", "seed": 1}
