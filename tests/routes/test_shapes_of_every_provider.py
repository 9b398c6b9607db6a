"""Shapes of bills that any provider's answer may have, for every profile: each bill computed by hand from the published list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from golden_bills import HAS_TIERS, at_noon  # noqa: F401 - a fixture of every test here
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from langroute import ChatRouter, Route
from langroute.providers.registry import BUILT_IN

pytestmark = pytest.mark.skipif(not HAS_TIERS, reason="this list has no rates of tiers")

LISTED = {
    # Profile: model, USD of 1,000 tokens in and 100 out, and of 400 tokens out more; millionths in the comments.
    "openai": ("gpt-5-mini", 450e-6, 800e-6),  # 0.25 / 2: 250 + 200; 400 x 2
    "azure": ("gpt-5-mini", 450e-6, 800e-6),
    "azure_ai": ("gpt-5-mini", 450e-6, 800e-6),
    "anthropic": ("claude-opus-4-6", 7_500e-6, 10_000e-6),  # 5 / 25: 5,000 + 2,500; 400 x 25
    "google_genai": ("gemini-2.5-flash", 550e-6, 1_000e-6),  # 0.30 / 2.50: 300 + 250; 400 x 2.5
    "google_vertexai": ("gemini-2.5-pro", 2_250e-6, 4_000e-6),  # 1.25 / 10: 1,250 + 1,000; 400 x 10
    "amazon_bedrock": ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", 4_500e-6, 6_000e-6),  # 3 / 15: 3,000 + 1,500; 400 x 15
    "mistralai": ("mistral-small-latest", 210e-6, 240e-6),  # 0.15 / 0.6: 150 + 60; 400 x 0.6
    "deepseek": ("deepseek-v4-flash", 210e-6, 240e-6),  # quiet hours, 0.15 / 0.6
    "xai": ("grok-4", 4_500e-6, 6_000e-6),  # 3 / 15
    "groq": ("openai/gpt-oss-120b", 210e-6, 240e-6),  # 0.15 / 0.6
    "moonshot": ("kimi-k2", 800e-6, 920e-6),  # 0.57 / 2.3: 570 + 230; 400 x 2.3
    "zai": ("glm-4.6", 820e-6, 880e-6),  # 0.6 / 2.2: 600 + 220; 400 x 2.2
    "openrouter": ("anthropic/claude-sonnet-4.5", 4_500e-6, 6_000e-6),  # 3 / 15
    "together": ("meta-llama/Llama-3.3-70B-Instruct-Turbo", 968e-6, 352e-6),  # 0.88 / 0.88: 880 + 88; 400 x 0.88
    "fireworks": ("accounts/fireworks/models/gpt-oss-120b", 210e-6, 240e-6),  # 0.15 / 0.6
    "cerebras": ("gpt-oss-120b", 425e-6, 300e-6),  # 0.35 / 0.75: 350 + 75; 400 x 0.75
    "minimax": ("MiniMax-M2", 420e-6, 480e-6),  # 0.3 / 1.2: 300 + 120; 400 x 1.2
    "cohere": ("command-a-03-2025", 3_500e-6, 4_000e-6),  # 2.5 / 10: 2,500 + 1,000; 400 x 10
    "perplexity": ("sonar", 13_100e-6, 400e-6),  # 1 / 1, and 0.012 a request: 1,100 + 12,000; 400 x 1
}
UNLISTED = {"dashscope": "qwen-plus", "ollama": "llama3.2", "openai_compatible": "my-own"}
"""Nobody lists their prices: with one of the user's own, 1 / 2, 1,000 tokens in and 100 out are 1,000 + 200, and 400 more 800 millionths."""

OWN = {"input": 1, "output": 2}
CASES = [
    *((profile, model, None, usd, more) for profile, (model, usd, more) in LISTED.items()),
    *((profile, model, OWN, 1_200e-6, 800e-6) for profile, model in UNLISTED.items()),
]
by_profile = pytest.mark.parametrize(("profile", "model", "price", "usd", "more"), CASES, ids=[case[0] for case in CASES])


class ShapedAnswers(BaseChatModel):
    """A model of some provider that answers with the given usages: one for each chunk of a stream, the last one for a whole answer."""

    profile: str
    asked: str
    served: str = ""
    usages: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return self.profile

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": self.profile, "ls_model_name": self.asked, "ls_model_type": "chat"}

    def _ended(self) -> dict[str, Any]:
        return {"finish_reason": "stop", "model_name": self.served or self.asked}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage("ok", usage_metadata=self.usages[-1], response_metadata=self._ended())
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number, usage in enumerate(self.usages):
            last = number + 1 == len(self.usages)
            response, place = (self._ended(), "last") if last else ({}, None)
            yield ChatGenerationChunk(
                message=AIMessageChunk("ok", usage_metadata=usage, response_metadata=response, chunk_position=place)
            )


def used(given: int, written: int, total: int | None = None, **more: Any) -> Any:
    return {"input_tokens": given, "output_tokens": written, "total_tokens": given + written if total is None else total, **more}


def billed(model: ShapedAnswers, price: Any, *, stream: bool = False) -> float | None:
    router = ChatRouter({"a": Route(model, price=price)})
    answer = list(router.stream("Hello."))[-1] if stream else router.invoke("Hello.")
    found: float | None = answer.response_metadata["langroute"]["cost_usd"]
    return found


def test_every_profile_is_here() -> None:
    assert {case[0] for case in CASES} == {profile.name for profile in BUILT_IN}


@by_profile
def test_plain(profile: str, model: str, price: Any, usd: float, more: float) -> None:
    one = ShapedAnswers(profile=profile, asked=model, usages=[used(1_000, 100)])
    assert billed(one, price) == pytest.approx(usd)
    assert billed(one, price, stream=True) == pytest.approx(usd)


@by_profile
def test_usage_of_zero_is_unknown(profile: str, model: str, price: Any, usd: float, more: float) -> None:
    one = ShapedAnswers(profile=profile, asked=model, usages=[used(0, 0)])
    assert billed(one, price) is None
    assert billed(one, price, stream=True) is None


@by_profile
def test_a_stream_without_its_input_is_unknown(profile: str, model: str, price: Any, usd: float, more: float) -> None:
    one = ShapedAnswers(profile=profile, asked=model, usages=[None, used(0, 5)])
    assert billed(one, price, stream=True) is None


@by_profile
def test_usage_in_every_chunk_counts_once(profile: str, model: str, price: Any, usd: float, more: float) -> None:
    one = ShapedAnswers(profile=profile, asked=model, usages=[used(1_000, written) for written in (1, 50, 100)])
    assert billed(one, price, stream=True) == pytest.approx(usd)


@by_profile
def test_thinking_beside_the_completion_is_billed_as_output(profile: str, model: str, price: Any, usd: float, more: float) -> None:
    """The total has it, or it is more than the output, which it then is no part of."""
    in_total = used(1_000, 100, 1_500, output_token_details={"reasoning": 400})
    beside = used(1_000, 100, output_token_details={"reasoning": 400})
    for usage in (in_total, beside):
        one = ShapedAnswers(profile=profile, asked=model, usages=[usage])
        assert billed(one, price) == pytest.approx(usd + more)


@by_profile
def test_the_model_that_served_is_billed(profile: str, model: str, price: Any, usd: float, more: float) -> None:
    """Asked for by a name of one's own; the user's own price is the route's, whoever served."""
    one = ShapedAnswers(profile=profile, asked="my-alias", served=model, usages=[used(1_000, 100)])
    assert billed(one, price) == pytest.approx(usd)
