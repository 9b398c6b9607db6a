"""LangChain's own tests of a chat model, as they are, for a router over `ChatAnthropic` and a protocol mock on loopback."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from servers import anthropic_chat

from langroute import ChatRouter

pytestmark = pytest.mark.server


class _Router:
    # LangChain's tests of pictures and files fetch these from the internet: they are left off, as by default.

    @property
    def chat_model_class(self) -> type[ChatRouter]:
        return ChatRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"routes": {"cheap": anthropic_chat("claude-haiku-4-5"), "frontier": anthropic_chat("claude-opus-4-6")}}

    @property
    def model_override_value(self) -> str:
        return "claude-sonnet-4-5"


class TestUnit(_Router, ChatModelUnitTests):
    pass


class TestIntegration(_Router, ChatModelIntegrationTests):
    pass
