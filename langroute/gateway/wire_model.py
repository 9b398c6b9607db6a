"""`WireModel`: a route's model in the gateway, which is called by bytes and never by messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable

from langroute.core.errors import ConfigurationError

APIS = {"chat": "openai-chat", "responses": "openai-responses", "messages": "anthropic", "gemini": "gemini"}
"""Protocol → langroute's wire format."""


class WireModel(BaseChatModel):
    """Name and provider of a route's model, as a policy, a price and a ledger see it.

    Args:
        wire_name: The model's name.
        wire_provider: LangChain's name of the provider.
        address: The base address, where it is not the provider's own.

    Example:
        >>> WireModel(wire_name="gpt-5-mini", wire_provider="openai")._get_ls_params()["ls_provider"]
        'openai'
    """

    wire_name: str
    wire_provider: str
    address: str | None = None

    # Looked for with every step; Pydantic takes long to say that a field is not there. The limit of an answer stands in the request.
    max_tokens: ClassVar[int | None] = None
    max_completion_tokens: ClassVar[int | None] = None
    max_output_tokens: ClassVar[int | None] = None

    @property
    def openai_api_base(self) -> str | None:
        """The address, under the name by which prices are told from it."""
        return self.address

    @property
    def _llm_type(self) -> str:
        return "langroute-wire"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": self.wire_provider, "ls_model_name": self.wire_name, "ls_model_type": "chat"}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """Return the model itself: tools are in the bytes."""
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        raise ConfigurationError(f"The gateway calls {self.wire_name!r} with a client's bytes; it takes no messages.")

    @property
    def host(self) -> str | None:
        """Host of the address."""
        return urlsplit(self.address).hostname if self.address else None


__all__ = ["APIS", "WireModel"]
