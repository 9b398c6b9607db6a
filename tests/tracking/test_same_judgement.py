"""The router's accounts and the tracker judge the same call alike: whether its answer broke off, and whether a failed one may be billed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from langroute import ChatRouter, Route
from langroute.core.errors import AnswerCutOffError
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Fallback, Fixed
from langroute.providers.failures import classify, maybe_billed
from langroute.providers.profile import ProviderProfile
from langroute.providers.registry import register_provider, unregister_provider
from langroute.tracking.callbacks import OutcomeTracker

PROVIDERS = ("openai", "anthropic", "google_genai", "google_vertexai", "groq", "xai", "mistralai", "amazon_bedrock", "my_own")


class JudgedTwice(BaseChatModel):
    """A model of some provider that fails, or answers with the given metadata."""

    provider: str = "my_own"
    error: Any = None
    ended: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return self.provider

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": self.provider, "ls_model_name": "m", "ls_model_type": "chat"}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self.error is not None:
            raise self.error
        used = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        message = AIMessage("The first thr", response_metadata=dict(self.ended), usage_metadata=used)
        return ChatResult(generations=[ChatGeneration(message=message)])


class CallsKept(MemoryLedger):
    """A ledger that keeps the calls a tracker tells it of."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def record_call(self, call: Any) -> None:
        self.calls.append(call() if callable(call) else call)


def seen_by_both(model: JudgedTwice) -> tuple[Any, Any]:
    """Return the attempt in a router's ledger and the call in a tracker's."""
    routed, tracked = MemoryLedger(), CallsKept()
    price = {"input": 1, "output": 2}
    router = ChatRouter({"a": Route(model, price=price)}, policy=Fallback(Fixed("a"), retries=0), ledger=routed)
    tracker = OutcomeTracker(tracked, prices={"m": price})
    for one, config in ((router, {}), (model, {"callbacks": [tracker]})):
        with suppress(type(model.error) if model.error is not None else AnswerCutOffError):
            one.invoke("Count to three.", config)
    ((decision,), (call,)) = routed.decisions, tracked.calls
    return decision.attempts[0], call


@pytest.mark.parametrize("reason", [None, "stop", "error", "OTHER", "insufficient_system_resource", "a word nobody knows"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_broken_answer_is_one_to_both(provider: str, reason: str | None) -> None:
    attempt, call = seen_by_both(JudgedTwice(provider=provider, ended={} if reason is None else {"finish_reason": reason}))
    assert (call.error_type, call.cost_usd) == (attempt.error_type, attempt.cost_usd)


ERRORS = [
    *(
        (name, Exception)
        for name in ("RemoteProtocolError", "IncompleteRead", "OutputParserException", "ConnectError", "ReadError")
    ),
    *((name, Exception) for name in ("APITimeoutError", "ReadTimeout", "ConnectTimeout", "RateLimitError", "AuthenticationError")),
    *((name, Exception) for name in ("JSONDecodeError", "ChunkedEncodingError", "ValidationError", "Nonsense")),
    ("Silent", TimeoutError),
    ("Gone", ConnectionResetError),
]


@pytest.mark.parametrize("provider", ["openai", "google_genai", "my_own"])
@pytest.mark.parametrize(("name", "base"), ERRORS)
def test_a_failed_call_may_be_billed_to_both_or_to_none(name: str, base: type[Exception], provider: str) -> None:
    error = type(name, (base,), {})("x")
    attempt, call = seen_by_both(JudgedTwice(provider=provider, error=error))
    assert call.error_type == attempt.error_type == name
    assert call.cost_usd == attempt.cost_usd
    assert (call.cost_usd is None) is maybe_billed(classify(error, provider).kind, provider)


def test_a_provider_that_bills_what_it_refuses_is_heeded_by_both() -> None:
    register_provider(ProviderProfile("bills_all", maybe_billed=frozenset({"content_filter", "unknown"})))
    try:
        attempt, call = seen_by_both(JudgedTwice(provider="bills_all", error=RuntimeError("refused")))
        assert attempt.cost_usd is None
        assert call.cost_usd is None
        attempt, call = seen_by_both(JudgedTwice(provider="bills_all", error=TimeoutError()))
        assert attempt.cost_usd == call.cost_usd == 0
    finally:
        unregister_provider("bills_all")
