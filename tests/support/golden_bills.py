"""Answers as the providers' LangChain packages give them, each with its bill computed by hand from the published list.

Rates in USD per million tokens, of 2026-11-29 12:00 UTC. An answer whose cost cannot be known has `None`, and what it is billed all the
same in `billed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import genai_prices.types
import pytest

from langroute.routes import pricing

NOON = datetime(2026, 11, 29, 12, 0, tzinfo=timezone.utc)
HAS_TIERS = hasattr(genai_prices.types, "PriceVariant")
"""Older lists have no rates of tiers."""


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices are those of `NOON` in every test of a module that imports this."""

    class Noon(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOON

    monkeypatch.setattr(pricing, "datetime", Noon)


@dataclass(frozen=True)
class Bill:
    """One answer and its bill."""

    profile: str
    shape: str
    model: str
    usd: float | None
    input: int = 0
    output: int = 0
    total: int | None = None
    details: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[str, int] = field(default_factory=dict)
    """Details of the output."""

    response: Mapping[str, Any] = field(default_factory=dict)
    content: Any = "ok"
    billed: float = 0.0
    """The bill where the answer does not tell it."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the call: the tier, the provider's own tools."""

    provider: str | None = None
    """`ls_provider`; by default the profile's name."""

    prompt: int | None = None
    """Real tokens of the prompt, where the answer does not tell them."""

    @property
    def hears(self) -> bool:
        """Whether the prompt has audio."""
        return "audio" in self.shape

    @property
    def name(self) -> str:
        """Name of the case."""
        return f"{self.profile}: {self.shape}"

    @property
    def true_usd(self) -> float:
        """What the provider bills."""
        return self.billed if self.usd is None else self.usd

    @property
    def usage(self) -> dict[str, Any]:
        """LangChain's `usage_metadata`."""
        total = self.input + self.output if self.total is None else self.total
        found: dict[str, Any] = {"input_tokens": self.input, "output_tokens": self.output, "total_tokens": total}
        if self.details:
            found["input_token_details"] = dict(self.details)
        if self.told:
            found["output_token_details"] = dict(self.told)
        return found


M = 1e-6
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}

BILLS = (
    # OpenAI: gpt-5-mini 0.25 / 0.025 cached / 2; flex 0.125 / 0.0125 / 1; priority and fast 0.45 / 0.045 / 3.60; 10 USD per 1,000 searches.
    # 8,000 x 0.25 + 2,000 x 0.025 + 1,000 x 2 = 2,000 + 50 + 2,000 = 4,050 millionths.
    Bill("openai", "plain", "gpt-5-mini", 0.004050, 10_000, 1_000, details={"cache_read": 2_000}, told={"reasoning": 100}),
    # 8,000 x 0.125 + 2,000 x 0.0125 + 1,000 x 1 = 1,000 + 25 + 1,000.
    Bill("openai", "flex", "gpt-5-mini", 0.002025, 10_000, 1_000, details={"flex_cache_read": 2_000, "flex": 8_000},
         told={"flex_reasoning": 100, "flex": 900}, response={"service_tier": "flex"}, asked={"service_tier": "flex"}),
    # The details of the tokens alone name the tier, as in a stream: 8,000 x 0.45 + 2,000 x 0.045 + 1,000 x 3.6 = 3,600 + 90 + 3,600.
    Bill("openai", "priority, told by the details", "gpt-5-mini", 0.007290, 10_000, 1_000,
         details={"priority_cache_read": 2_000, "priority": 8_000}, asked={"service_tier": "priority"}),
    # 10,000 x 0.45 + 1,000 x 3.6 = 4,500 + 3,600.
    Bill("openai", "fast", "gpt-5-mini", 0.008100, 10_000, 1_000, response={"service_tier": "fast"}, asked={"service_tier": "fast"}),
    # 10,000 x 0.125 + 1,000 x 1.
    Bill("openai", "batch", "gpt-5-mini", 0.002250, 10_000, 1_000, response={"service_tier": "batch"}, asked={"service_tier": "batch"}),
    # A tier that the list does not have.
    Bill("openai", "scale", "gpt-5-mini", None, 10_000, 1_000, response={"service_tier": "scale"}, billed=0.0045),
    # Asked for flex, served as default: 10,000 x 0.25 + 1,000 x 2.
    Bill("openai", "flex that fell back", "gpt-5-mini", 0.004500, 10_000, 1_000, response={"service_tier": "default"},
         asked={"service_tier": "flex"}),
    # gpt-audio: text 2.50 / 10, audio 32 / 64: 100 x 2.5 + 1,000 x 32 + 50 x 10 + 500 x 64 = 250 + 32,000 + 500 + 32,000.
    Bill("openai", "audio", "gpt-audio", 0.064750, 1_100, 550, details={"audio": 1_000}, told={"audio": 500}),
    # The same, and the answer does not say which tokens are audio.
    Bill("openai", "audio that is not told", "gpt-audio", None, 1_100, 550, billed=0.064750),
    # Two searches, one page that was opened: 1,000 x 0.25 + 100 x 2 millionths and 2 x 0.01.
    Bill("openai", "searches", "gpt-5-mini", 0.020450, 1_000, 100, response={"service_tier": "default"}, content=[
        {"type": "web_search_call", "id": "1", "action": {"type": "search"}},
        {"type": "web_search_call", "id": "2", "action": {"type": "open_page"}},
        {"type": "web_search_call", "id": "3", "action": {"type": "search"}},
        {"type": "text", "text": "ok"},
    ], asked={"tools": [{"type": "web_search"}]}),
    # One search of files, 2.50 USD per 1,000.
    Bill("openai", "search of files", "gpt-5-mini", 0.002950, 1_000, 100, content=[
        {"type": "file_search_call", "id": "1"}, {"type": "text", "text": "ok"},
    ], asked={"tools": [{"type": "file_search"}]}),
    # gpt-5.6-luna above 272,000: 0.40 / 1.80: 300,000 x 0.4 + 1,000 x 1.8.
    Bill("openai", "long prompt", "gpt-5.6-luna", 0.121800, 300_000, 1_000),
    Bill("openai", "usage of zero", "gpt-5-mini", None, 0, 0, billed=0.0025, prompt=10_000),
    Bill("openai", "no output of an answer", "gpt-5-mini", None, 10_000, 0, billed=0.0045),
    # Azure bills the list price of the same model; the deployment's name says nothing, the served model does.
    Bill("azure", "plain", "gpt-5-mini", 0.004050, 10_000, 1_000, details={"cache_read": 2_000}),
    Bill("azure", "a deployment's own name", "my-deployment", 0.004500, 10_000, 1_000, response={"model_name": "gpt-5-mini-2025-08-07"}),
    # No rate of Azure's for this tier is listed.
    Bill("azure", "priority", "gpt-5-mini", None, 10_000, 1_000, response={"service_tier": "priority"}, billed=0.0081,
         asked={"service_tier": "priority"}),
    Bill("azure_ai", "plain", "gpt-5-mini", 0.004500, 10_000, 1_000),
    # Anthropic: claude-opus-4-6 5 / 25, read 0.5, written 6.25 for 5 minutes and 10 for an hour.
    # 1,000 x 5 + 90,000 x 0.5 + 8,000 x 6.25 + 1,000 x 10 + 500 x 25 = 5,000 + 45,000 + 50,000 + 10,000 + 12,500.
    Bill("anthropic", "cached", "claude-opus-4-6", 0.122500, 100_000, 500, details={
        "cache_read": 90_000, "cache_creation": 0, "ephemeral_5m_input_tokens": 8_000, "ephemeral_1h_input_tokens": 1_000,
    }),
    # (1,000 x 5 + 500 x 25) x 1.1.
    Bill("anthropic", "in the US", "claude-opus-4-6", 0.019250, 1_000, 500, asked={"inference_geo": "us"},
         response={"usage": {"inference_geo": "us", "service_tier": "standard", "speed": "standard"}}),
    # claude-opus-5 fast 10 / 50: 1,000 x 10 + 500 x 50.
    Bill("anthropic", "fast", "claude-opus-5", 0.035000, 1_000, 500, response={"usage": {"speed": "fast"}}, asked={"speed": "fast"}),
    # Both: x 1.1.
    Bill("anthropic", "fast in the US", "claude-opus-5", 0.038500, 1_000, 500, asked={"speed": "fast", "inference_geo": "us"},
         response={"usage": {"speed": "fast", "inference_geo": "us"}}),
    # A stream says none of it; the request does.
    Bill("anthropic", "fast, in a stream", "claude-opus-5", 0.035000, 1_000, 500, asked={"speed": "fast"}),
    # Half: 1,000 x 2.5 + 500 x 12.5.
    Bill("anthropic", "batch", "claude-opus-4-6", 0.008750, 1_000, 500, response={"usage": {"service_tier": "batch"}}),
    Bill("anthropic", "priority, by contract", "claude-opus-4-6", None, 1_000, 500, response={"usage": {"service_tier": "priority"}},
         billed=0.0175),
    # claude-sonnet-4-5 3 / 15, 10 USD per 1,000 searches: 1,000 x 3 + 500 x 15 = 10,500 millionths, and 3 x 0.01.
    Bill("anthropic", "searches", "claude-sonnet-4-5", 0.040500, 1_000, 500, asked={"tools": [WEB_SEARCH]},
         response={"usage": {"server_tool_use": {"web_search_requests": 3}}}),
    # A stream loses the count; its blocks show two.
    Bill("anthropic", "searches, in a stream", "claude-sonnet-4-5", 0.030500, 1_000, 500, asked={"tools": [WEB_SEARCH]}, content=[
        {"type": "server_tool_use", "name": "web_search", "id": "a"}, {"type": "web_search_tool_result", "tool_use_id": "a"},
        {"type": "server_tool_use", "name": "web_search", "id": "b"}, {"type": "text", "text": "ok"},
    ]),
    Bill("anthropic", "a stream without input", "claude-opus-4-6", None, 0, 5, billed=0.05, prompt=10_000),
    # Google: gemini-2.5-flash 0.30 / 2.50; 1,000 x 0.3 + 200 x 2.5, thinking included.
    Bill("google_genai", "plain", "gemini-2.5-flash", 0.000800, 1_000, 200, told={"reasoning": 150}),
    # Grounding is billed by the prompt up to 2.5 (35 USD per 1,000), by the query since 3 (14 USD): 300 + 500 millionths and 0.035.
    Bill("google_genai", "grounded prompt", "gemini-2.5-flash", 0.035800, 1_000, 200, asked={"tools": [{"type": "google_search"}]},
         response={"grounding_metadata": {"web_search_queries": ["a", "b", "c"]}}),
    # gemini-3-flash-preview 0.50 / 3: 500 + 600 millionths and 3 x 0.014.
    Bill("google_genai", "grounding queries", "gemini-3-flash-preview", 0.043100, 1_000, 200, asked={"tools": [{"type": "google_search"}]},
         response={"grounding_metadata": {"web_search_queries": ["a", "b", "c"]}}),
    # The package drops the modalities: 1,290 tokens of image at 30 are 0.0387, and 1,000 x 0.3.
    Bill("google_genai", "image that is not told", "gemini-2.5-flash-image", None, 1_000, 1_290, billed=0.039),
    # Audio in: 100 x 0.3 + 4,900 x 1 + 100 x 2.5.
    Bill("google_genai", "audio", "gemini-2.5-flash", 0.005180, 5_000, 100, details={"audio": 4_900}),
    # Vertex: gemini-2.5-pro above 200,000: 2.5 / 15: 300,000 x 2.5 + 1,000 x 15.
    Bill("google_vertexai", "long prompt", "gemini-2.5-pro", 0.765000, 300_000, 1_000),
    # 1.25 / 10, and a grounded prompt: 1,000 x 1.25 + 200 x 10 = 3,250 millionths and 0.035.
    Bill("google_vertexai", "searches", "gemini-2.5-pro", 0.038250, 1_000, 200, asked={"tools": [{"type": "google_search"}]},
         response={"grounding_metadata": {"web_search_queries": ["a", "b"]}}),
    # Claude there: 3 / 15.
    Bill("google_vertexai", "claude", "claude-sonnet-4-5", 0.010500, 1_000, 500, provider="google_anthropic_vertex"),
    # Bedrock: the region is part of the name: 3.3 / 16.5, an hour's write 6.6: 1,000 x 3.3 + 2,000 x 6.6 + 500 x 16.5.
    Bill("amazon_bedrock", "region and hour", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 0.024750, 3_000, 500,
         details={"cache_creation": 2_000, "ephemeral_1h_input_tokens": 2_000, "ephemeral_5m_input_tokens": 0}),
    # 1,000 x 3 + 500 x 15.
    Bill("amazon_bedrock", "global", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", 0.010500, 1_000, 500),
    # Mistral: mistral-small-latest 0.15 / 0.6, read 0.015; its package leaves the cached tokens to the provider's record:
    # 200 x 0.15 + 800 x 0.015 + 100 x 0.6 = 30 + 12 + 60.
    Bill("mistralai", "cached", "mistral-small-latest", 0.000102, 1_000, 100, response={"token_usage": {
        "prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100, "prompt_tokens_details": {"cached_tokens": 800},
    }}),
    # DeepSeek: quiet hours of deepseek-v4-flash 0.15 / 0.6, read 0.003: 200 x 0.15 + 800 x 0.003 + 100 x 0.6 = 30 + 2.4 + 60.
    Bill("deepseek", "cached", "deepseek-v4-flash", 0.0000924, 1_000, 100, details={"cache_read": 800}),
    # xAI: grok-4 3 / 15; thinking stands beside the completion: 100 x 3 + 450 x 15.
    Bill("xai", "thinking beside", "grok-4", 0.007050, 100, 50, total=550, told={"reasoning": 400}),
    # A total that leaves it out: thinking that is more than the output is no part of it.
    Bill("xai", "thinking beside, and beside the total", "grok-4", 0.007050, 100, 50, told={"reasoning": 400}),
    # What it states: 7,056,000 ticks, of which 10,000,000,000 are a USD.
    Bill("xai", "stated", "grok-4", 0.0007056, 100, 50, response={"token_usage": {
        "prompt_tokens": 100, "completion_tokens": 50, "cost_in_usd_ticks": 7_056_000,
    }}),
    # Groq: openai/gpt-oss-120b 0.15 / 0.6; flex costs the same: 1,000 x 0.15 + 100 x 0.6.
    Bill("groq", "plain", "openai/gpt-oss-120b", 0.000210, 1_000, 100, response={"service_tier": "on_demand"}),
    Bill("groq", "flex", "openai/gpt-oss-120b", 0.000210, 1_000, 100, response={"service_tier": "flex"}, asked={"service_tier": "flex"}),
    # Moonshot: kimi-k2 0.57 / 2.3. Z.ai: glm-4.6 0.6 / 2.2, read 0.11: 200 x 0.6 + 800 x 0.11 + 100 x 2.2 = 120 + 88 + 220.
    Bill("moonshot", "plain", "kimi-k2", 0.000800, 1_000, 100),
    Bill("zai", "cached", "glm-4.6", 0.000428, 1_000, 100, details={"cache_read": 800}),
    # OpenRouter: what it charged, whatever the list says; 3 / 15 where it states nothing.
    Bill("openrouter", "stated", "anthropic/claude-sonnet-4.5", 0.0123, 1_000, 100, response={"token_usage": {"cost": 0.0123, "is_byok": False}}),
    # With a key of one's own: the fee, and what the model's provider bills.
    Bill("openrouter", "own key", "anthropic/claude-sonnet-4.5", 0.004725, 1_000, 100, response={"token_usage": {
        "cost": 0.000225, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0045},
    }}),
    # The fee alone is no cost: 1,000 x 3 + 100 x 15.
    Bill("openrouter", "own key without the upstream cost", "anthropic/claude-sonnet-4.5", 0.004500, 1_000, 100, response={"token_usage": {
        "cost": 0.000225, "is_byok": True,
    }}),
    Bill("openrouter", "its own choice", "openrouter/auto", 0.004500, 1_000, 100, response={"model_name": "anthropic/claude-sonnet-4.5"}),
    # Together 0.88 / 0.88. Cerebras 0.35 / 0.75. MiniMax-M2 0.3 / 1.2. Cohere 2.5 / 10.
    Bill("together", "plain", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 0.000968, 1_000, 100),
    Bill("cerebras", "plain", "gpt-oss-120b", 0.000425, 1_000, 100),
    Bill("minimax", "plain", "MiniMax-M2", 0.000420, 1_000, 100),
    Bill("cohere", "plain", "command-a-03-2025", 0.003500, 1_000, 100),
    # Perplexity states it; else sonar costs 1 / 1 and 12 USD per 1,000 requests: 1,100 millionths and 0.012.
    Bill("perplexity", "stated", "sonar", 0.0061, 1_000, 100, response={"token_usage": {
        "num_search_queries": 2, "cost": {"request_cost": 0.005, "total_cost": 0.0061},
    }}),
    Bill("perplexity", "plain", "sonar", 0.013100, 1_000, 100),
    # Fireworks: gpt-oss-120b 0.15 / 0.6, read 0.015: 200 x 0.15 + 800 x 0.015 + 100 x 0.6 = 30 + 12 + 60.
    Bill("fireworks", "cached", "accounts/fireworks/models/gpt-oss-120b", 0.000102, 1_000, 100, details={"cache_read": 800}),
    # Not listed: unknown, never free, and a cost of 0 says nothing.
    Bill("fireworks", "unlisted", "a-model-of-nobody", None, 1_000, 100),
    Bill("dashscope", "unlisted", "a-model-of-nobody", None, 1_000, 100),
    Bill("ollama", "unlisted", "a-model-of-nobody", None, 1_000, 100),
    Bill("openai_compatible", "a cost of zero", "a-model-of-nobody", None, 1_000, 100, response={"token_usage": {"cost": 0}}),
    Bill("openai_compatible", "stated", "a-model-of-nobody", 0.002, 1_000, 100, response={"token_usage": {"cost": 0.002}}),
)  # fmt: skip
