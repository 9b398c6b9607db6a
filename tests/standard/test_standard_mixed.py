"""LangChain's own tests of a chat model, as they are, for routers whose answers come from several providers or are verified."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from servers import anthropic_chat, openai_chat

from langroute import ChatRouter
from langroute.core.records import Attempt, Request, Selection
from langroute.policies import Cascade

pytestmark = pytest.mark.server


class Alternating:
    """Every call goes to the other provider than the one before: the hardest a history can be tried."""

    def __init__(self) -> None:
        self.calls = count()

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Take the routes in turn."""
        return None if attempts else Selection(request.routes[next(self.calls) % len(request.routes)].name, "in turn")


class TestAlternatingProviders(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatRouter]:
        return ChatRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"routes": {"openai": openai_chat(), "anthropic": anthropic_chat()}, "policy": Alternating()}

    @property
    def supports_model_override(self) -> bool:
        # A model's name means something to one provider only.
        return False


class TestVerifiedCascade(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[ChatRouter]:
        return ChatRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"routes": {"cheap": openai_chat(), "frontier": openai_chat("gpt-4.1")}, "policy": Cascade()}

    @property
    def model_override_value(self) -> str:
        return "gpt-4.1-nano"
