"""Payloads that the installed provider packages build from a history."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pytest
from histories import MODELS, PROVIDERS

from langroute.adapt import Target, adapt, target_for
from langroute.routes.route import build_routes

_MODULES = {
    "anthropic": "langchain_anthropic",
    "openai-chat": "langchain_openai",
    "openai-responses": "langchain_openai",
    "openai-compatible": "langchain_openai",
    "gemini": "langchain_google_genai",
    "mistral": "langchain_mistralai",
    "bedrock": "langchain_aws",
}


@lru_cache
def chat_model(api: str, name: str | None = None, thinking: bool = False) -> Any:
    """A model of the provider's package; nothing is called. Skips where the package is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(_MODULES[api])
    except ImportError:
        pytest.skip(f"{_MODULES[api]} is not installed", allow_module_level=True)
    name = name or MODELS[api]
    if api == "anthropic":
        more: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinking else {}
        return module.ChatAnthropic(model=name, api_key="none", max_tokens=4096, **more)
    if api == "gemini":
        return module.ChatGoogleGenerativeAI(model=name, google_api_key="none")
    if api == "mistral":
        return module.ChatMistralAI(model=name, api_key="none")
    if api == "bedrock":
        keys = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
        return module.ChatBedrockConverse(model=name, region_name="us-east-1", **keys)
    if api == "openai-compatible":
        return module.ChatOpenAI(model=name, api_key="none", base_url="http://127.0.0.1:9/v1")
    return module.ChatOpenAI(model=name, api_key="none", use_responses_api=api == "openai-responses")


@lru_cache
def target(api: str, name: str | None = None, thinking: bool = False) -> Target:
    """The target as a router makes it from the model."""
    route = build_routes({"only": chat_model(api, name, thinking)})["only"]
    found = target_for(route.info, route.model)
    assert found.form == api
    assert found.wrote(PROVIDERS[api])
    return found


def payload(api: str, messages: Sequence[Any], name: str | None = None, thinking: bool = False) -> Any:
    """What the package would send."""
    model = chat_model(api, name, thinking)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if api == "gemini":
            return model._prepare_request(list(messages))
        if api == "mistral":
            return model._create_message_dicts(list(messages), None)[0]
        if api == "bedrock":
            converse = importlib.import_module("langchain_aws.chat_models.bedrock_converse")
            sent, system = converse._messages_to_bedrock(list(messages), model_id=model.model_id, provider=model.provider)
            return {"messages": sent, "system": system}
        return model._get_request_payload(list(messages))


def adapted_payload(api: str, messages: Sequence[Any], name: str | None = None, thinking: bool = False) -> tuple[Any, Any]:
    """The adapted history, and what the package would send of it."""
    adapted = adapt(messages, target(api, name, thinking))
    return adapted, payload(api, adapted.messages, name, thinking and not adapted.disable_thinking)


def everything(sent: Any) -> str:
    """All that a payload says."""
    if isinstance(sent, dict) and "contents" in sent:
        return repr([content.model_dump() for content in sent["contents"]]) + repr(sent["config"].model_dump())
    return repr(sent)
