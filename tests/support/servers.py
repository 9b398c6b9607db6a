"""Loopback servers that tests call, started on first use, one of each for the session."""

from __future__ import annotations

import atexit
import os
from functools import cache
from typing import Any


@cache
def protocol_mock() -> Any:
    """`llmock` from PyPI: it speaks OpenAI's and Anthropic's protocols and answers what it is told to."""
    from llmock.pytest_plugin import LLMock
    from llmock.testing import LLMockServer

    server = LLMockServer()
    server.start()
    atexit.register(server.stop)
    return LLMock(server)


@cache
def local_server() -> Any:
    """llama.cpp's own server with SmolLM2 of 135 million parameters, which is fetched where it is absent (98 MB).

    `$LANGROUTE_TEST_MODELS` names the directory it is kept in; the user's own where nothing is named.
    """
    from langroute import local

    directory = os.environ.get("LANGROUTE_TEST_MODELS")
    local.fetch("smollm2-135m", directory=directory)
    server = local.start("smollm2-135m", directory=directory, threads=1)
    atexit.register(server.stop)
    return server


def openai_chat(model: str = "gpt-4.1-mini", **kwargs: Any) -> Any:
    """LangChain's own OpenAI model, talking to the protocol mock."""
    from langchain_openai import ChatOpenAI

    given = {"base_url": protocol_mock().base_url("openai"), "api_key": "test", "stream_usage": True, "max_retries": 0}
    return ChatOpenAI(model=model, **{**given, **kwargs})


def anthropic_chat(model: str = "claude-haiku-4-5", **kwargs: Any) -> Any:
    """LangChain's own Anthropic model, talking to the protocol mock."""
    from langchain_anthropic import ChatAnthropic

    given = {"base_url": protocol_mock().base_url("anthropic"), "api_key": "test", "max_retries": 0, "max_tokens": 256}
    return ChatAnthropic(model=model, **{**given, **kwargs})
