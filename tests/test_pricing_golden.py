"""What a call costs, to the cent, from what each provider's package reports: cached, written, reasoning, streamed.

Rates are written down here, in USD per million tokens, and every sum is worked out in its test: what the code says is compared with
arithmetic, not with itself. The packages are the providers' own; they talk to a server that reports the tokens it is told to.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from usage_server import UsageServer

from langroute import ChatRouter
from langroute.pricing import cost, price_of, usage_from_provider, usage_of
from langroute.records import Price, Usage
from langroute.routes import Route

OPUS = Price(input=5.0, output=25.0, cache_read=0.5, cache_write=6.25, cache_write_1h=10.0)
GPT = Price(input=1.25, output=10.0, cache_read=0.125)
GEMINI = Price(input=1.25, output=10.0, cache_read=0.125)
MISTRAL = Price(input=2.0, output=6.0, cache_read=0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[UsageServer]:
    with UsageServer() as running:
        yield running


def chat_model(api: str, server: UsageServer) -> Any:
    if api == "anthropic":
        module = pytest.importorskip("langchain_anthropic")
        return module.ChatAnthropic(model="claude-opus-4-6", base_url=server.url, api_key="x", max_retries=0, max_tokens=99)
    if api == "gemini":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = pytest.importorskip("langchain_google_genai")
            return module.ChatGoogleGenerativeAI(model="gemini-2.5-pro", google_api_key="x", base_url=server.url, max_retries=0)
    if api == "mistral":
        module = pytest.importorskip("langchain_mistralai")
        return module.ChatMistralAI(model="mistral-large-2512", api_key="x", endpoint=f"{server.url}/v1", max_retries=1)
    module = pytest.importorskip("langchain_openai")
    return module.ChatOpenAI(
        model="gpt-5",
        base_url=f"{server.url}/v1",
        api_key="x",
        max_retries=0,
        stream_usage=True,
        use_responses_api=api == "responses",
    )


CASES: dict[str, tuple[str, Price, dict[str, Any], float]] = {
    # 1,000 plain, 90,000 read and 2,000 written for 5 minutes, beside each other; 500 out.
    "anthropic, read and written": (
        "anthropic",
        OPUS,
        {
            "input_tokens": 1_000, "output_tokens": 500, "cache_read_input_tokens": 90_000, "cache_creation_input_tokens": 2_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 0},
        },
        (1_000 * 5.0 + 90_000 * 0.5 + 2_000 * 6.25 + 500 * 25.0) / 1e6,
    ),
    # Written for an hour costs twice the input, and some of it for 5 minutes.
    "anthropic, written for an hour": (
        "anthropic",
        OPUS,
        {
            "input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 5_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 4_000},
        },
        (100 * 5.0 + 1_000 * 6.25 + 4_000 * 10.0 + 10 * 25.0) / 1e6,
    ),
    # An older record without the two lifetimes.
    "anthropic, written, no lifetimes": (
        "anthropic",
        OPUS,
        {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 60},
        (100 * 5.0 + 40 * 0.5 + 60 * 6.25 + 10 * 25.0) / 1e6,
    ),
    # 10,000 in, 8,000 of them cached; 700 out, 600 of them reasoning: a part, not more.
    "openai chat, cached and reasoning": (
        "chat",
        GPT,
        {
            "prompt_tokens": 10_000, "completion_tokens": 700, "total_tokens": 10_700,
            "prompt_tokens_details": {"cached_tokens": 8_000}, "completion_tokens_details": {"reasoning_tokens": 600},
        },
        (2_000 * 1.25 + 8_000 * 0.125 + 700 * 10.0) / 1e6,
    ),
    "openai responses, cached and reasoning": (
        "responses",
        GPT,
        {
            "input_tokens": 10_000, "output_tokens": 700, "total_tokens": 10_700,
            "input_tokens_details": {"cached_tokens": 8_000}, "output_tokens_details": {"reasoning_tokens": 600},
        },
        (2_000 * 1.25 + 8_000 * 0.125 + 700 * 10.0) / 1e6,
    ),
    # 0.7642 was reported by a known tool, which charged every token of the input in full; 0.1849 is right.
    "gemini, mostly cached": (
        "gemini",
        GEMINI,
        {"promptTokenCount": 595_360, "cachedContentTokenCount": 514_933, "candidatesTokenCount": 2_000, "totalTokenCount": 597_360},
        0.1849,
    ),
    # Thoughts stand beside the answer and are billed like it; a tool's prompt beside the prompt.
    "gemini, thoughts and tool prompt": (
        "gemini",
        GEMINI,
        {
            "promptTokenCount": 1_000, "toolUsePromptTokenCount": 200, "candidatesTokenCount": 50, "thoughtsTokenCount": 450,
            "totalTokenCount": 1_700,
        },
        (1_200 * 1.25 + 500 * 10.0) / 1e6,
    ),
    "mistral, cached": (
        "mistral",
        MISTRAL,
        {
            "prompt_tokens": 10_000, "completion_tokens": 100, "total_tokens": 10_100,
            "prompt_tokens_details": {"cached_tokens": 8_000},
        },
        (2_000 * 2.0 + 8_000 * 0.2 + 100 * 6.0) / 1e6,
    ),
}  # fmt: skip


@pytest.mark.server
@pytest.mark.parametrize("case", CASES)
def test_a_call_costs_what_the_provider_bills(case: str, server: UsageServer) -> None:
    """Through the provider's own package."""
    api, price, server.usage, right = CASES[case]
    model = ChatRouter({"only": Route(chat_model(api, server), price=price)})

    answer = model.invoke("Well?")

    assert answer.response_metadata["langroute"]["cost_usd"] == pytest.approx(right, abs=5e-5)


@pytest.mark.server
@pytest.mark.parametrize("case", [case for case, (api, *_) in CASES.items() if api != "responses"])
def test_a_streamed_call_costs_the_same(case: str, server: UsageServer) -> None:
    """The usage comes in another place, and in Anthropic's case twice."""
    api, price, server.usage, right = CASES[case]
    if api == "mistral":
        pytest.skip("LangChain's package reports no cached tokens of a stream")
    model = ChatRouter({"only": Route(chat_model(api, server), price=price)})

    *_, last = model.stream("Well?")

    assert last.response_metadata["langroute"]["cost_usd"] == pytest.approx(right, abs=5e-5)


def test_the_known_wrong_sum_is_what_charging_every_token_gives() -> None:
    """So that the case above is the one that was reported."""
    assert round((595_360 * 1.25 + 2_000 * 10.0) / 1e6, 4) == 0.7642
    assert round(((595_360 - 514_933) * 1.25 + 514_933 * 0.125 + 2_000 * 10.0) / 1e6, 4) == 0.1849


def test_service_tiers_prefix_the_counts() -> None:
    """OpenAI's flex and priority: `flex_cache_read`, `flex_reasoning`, and `flex` for the rest."""
    details = {"flex_cache_read": 8_000, "flex": 2_000}
    told = {"flex_reasoning": 600, "flex": 100}
    metadata = {"input_tokens": 10_000, "output_tokens": 700, "total_tokens": 10_700}
    message = AIMessage("x", usage_metadata={**metadata, "input_token_details": details, "output_token_details": told})  # type: ignore[typeddict-item]

    assert usage_of(message) == Usage(10_000, 700, cache_read=8_000, reasoning=600)


def test_a_large_request_costs_the_rates_above_the_line_for_all_its_tokens() -> None:
    """Gemini 2.5 Pro above 200,000 tokens of input, cached ones included."""
    tiered = Price(1.25, 10.0, cache_read=0.125, above=((200_000, Price(2.5, 15.0, cache_read=0.25)),))

    assert cost(tiered, Usage(200_000, 1_000)) == pytest.approx((200_000 * 1.25 + 1_000 * 10.0) / 1e6)
    assert cost(tiered, Usage(200_001, 1_000, cache_read=150_000)) == pytest.approx(
        (50_001 * 2.5 + 150_000 * 0.25 + 1_000 * 15.0) / 1e6
    )


def test_a_provider_without_a_rate_for_cached_tokens_bills_them_as_input() -> None:
    """Not as nothing."""
    assert cost(Price(1.0, 2.0), Usage(1_000, 10, cache_read=900, cache_write=50)) == pytest.approx((1_000 * 1.0 + 10 * 2.0) / 1e6)


def test_deepseek_says_cached_tokens_in_its_own_way() -> None:
    """Beside the others, and part of the input."""
    raw = {"prompt_tokens": 1_000, "completion_tokens": 10, "prompt_cache_hit_tokens": 900, "prompt_cache_miss_tokens": 100}

    assert usage_from_provider(raw) == Usage(1_000, 10, cache_read=900)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("claude-opus-4-6", "anthropic"),
        ("gpt-5-mini", "openai"),
        ("gemini-2.5-pro", "google_genai"),
        ("mistral-large-latest", "mistralai"),
    ],
)
def test_list_prices_agree_with_the_library_they_come_from(model: str, provider: str) -> None:
    """Our arithmetic against its own, on the same counts."""
    import genai_prices
    from genai_prices import Usage as TheirUsage

    from langroute.pricing import PROVIDER_IDS

    price = price_of(model, provider)
    assert price is not None
    read = 80_000 if price.cache_read is not None else 0
    usage = TheirUsage(input_tokens=100_000, output_tokens=2_000, cache_read_tokens=read)
    theirs = genai_prices.calc_price(usage, model, provider_id=PROVIDER_IDS.get(provider, provider))

    assert cost(price, Usage(100_000, 2_000, cache_read=read)) == pytest.approx(float(theirs.total_price))
