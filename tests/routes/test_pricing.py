"""What a call costs, to the cent, from what each provider's package reports: cached, written, reasoning, streamed.

TokenRates are written down here, in USD per million tokens, and every sum is worked out in its test: what the code says is compared with
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
from langroute.core.errors import ConfigurationError
from langroute.core.records import Price, Usage
from langroute.providers.usage import is_measured, usage_from_metadata, usage_from_provider, usage_of
from langroute.routes.pricing import cached_saving, cost, price_from, price_of, seconds_of
from langroute.routes.route import Route

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

    assert usage_of(message) == Usage(10_000, 700, cache_read=8_000, reasoning=600, terms=("flex",))


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


@pytest.mark.parametrize(
    ("details", "usage"),
    [
        # Cached tokens are part of the input.
        ({"cache_read": 80}, Usage(100, 7, cache_read=80)),
        ({"cache_read": 60, "cache_creation": 40}, Usage(100, 7, cache_read=60, cache_write=40)),
        # An integration that counts them beside the input shows more cached than input: 100 plain and 150 cached are 250.
        ({"cache_read": 150}, Usage(250, 7, cache_read=150)),
        ({"cache_read": 90, "cache_creation": 20}, Usage(210, 7, cache_read=90, cache_write=20)),
        ({"cache_read": 1, "ephemeral_1h_input_tokens": 100}, Usage(201, 7, cache_read=1, cache_write_1h=100)),
        # The total of what was written stands beside its parts: Anthropic's, with and without the hour.
        (
            {"cache_creation": 50, "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20},
            Usage(100, 7, cache_write=30, cache_write_1h=20),
        ),
        ({"cache_creation": 50, "ephemeral_1h_input_tokens": 20}, Usage(100, 7, cache_write=30, cache_write_1h=20)),
        ({"cache_creation": 50, "ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 0}, Usage(100, 7, cache_write=50)),
        ({"cache_creation": 50, "ephemeral_5m_input_tokens": 50}, Usage(100, 7, cache_write=50)),
        ({"cache_creation": 40, "ephemeral_5m_input_tokens": 50}, Usage(100, 7, cache_write=50)),
        # The parts alone.
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 20}, Usage(100, 7, 0, 30, 20)),
        ({"ephemeral_5m_input_tokens": 30}, Usage(100, 7, cache_write=30)),
        # OpenAI's service tiers, and counts that are none.
        ({"priority_cache_creation": 60}, Usage(100, 7, cache_write=60)),
        ({"priority_cache_read": 80, "audio": 5}, Usage(100, 7, cache_read=80, extra_counts=(("input_audio", 5),))),
        ({"cache_read": None, "cache_creation": "many"}, Usage(100, 7)),
    ],
)
def test_cached_tokens_are_counted_once_wherever_an_integration_puts_them(details: dict[str, Any], usage: Usage) -> None:
    assert usage_from_metadata({"input_tokens": 100, "output_tokens": 7, "input_token_details": details}) == usage


def test_counts_that_are_missing_are_none() -> None:
    assert usage_from_metadata({"output_tokens": 5}) == Usage(0, 5)
    assert usage_from_metadata({"input_tokens": 5, "output_tokens": None}) == Usage(5, 0)


def test_what_is_cached_beside_the_input_is_billed_beside_it() -> None:
    """100 tokens in full and 150 read: not 150 read and 50 given back."""
    usage = usage_from_metadata({"input_tokens": 100, "output_tokens": 10, "input_token_details": {"cache_read": 150}})

    assert cost(OPUS, usage) == pytest.approx((100 * 5.0 + 150 * 0.5 + 10 * 25.0) / 1e6)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}, Usage(100, 5, cache_read=90)),
        ({"input_tokens": 10, "cache_creation_input_tokens": 90, "output_tokens": 5}, Usage(100, 5, cache_write=90)),
        (
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 90,
                "cache_creation": {"ephemeral_1h_input_tokens": 30},
                "output_tokens": 5,
            },
            Usage(100, 5, cache_write=60, cache_write_1h=30),
        ),
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cache_write_tokens": 60}}, Usage(100, 5, 0, 60)),
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": None}, Usage(100, 5)),
        ({"prompt_token_count": 100, "candidates_token_count": 5, "cached_content_token_count": 90}, Usage(100, 5, 90)),
        (
            {"prompt_token_count": 100, "tool_use_prompt_token_count": 20, "candidates_token_count": 5, "thoughts_token_count": 3},
            Usage(120, 8, reasoning=3),
        ),
        ({"input_tokens": "many", "output_tokens": 5}, Usage(0, 5)),
        ({}, Usage()),
    ],
)
def test_a_providers_own_record_is_read_in_each_of_its_spellings(raw: dict[str, Any], usage: Usage) -> None:
    assert usage_from_provider(raw) == usage


def test_the_providers_own_record_fills_in_what_the_integration_leaves_out() -> None:
    """Only the cached tokens, and only where both count the same input."""

    def told(own: dict[str, Any], **counts: Any) -> Usage | None:
        metadata = {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105, **counts}
        return usage_of(AIMessage("x", usage_metadata=metadata, response_metadata={"token_usage": own}))  # type: ignore[arg-type]

    own = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 80}}
    assert told(own) == Usage(100, 5, cache_read=80)
    assert told({**own, "prompt_tokens": 90}) == Usage(100, 5)
    assert told({"prompt_tokens": 100, "completion_tokens": 9}) == Usage(100, 5)
    assert told(own, input_token_details={"cache_read": 40}) == Usage(100, 5, cache_read=40)
    # All of the prompt may be cached, and no more of it than there is.
    whole, more = ({**own, "prompt_tokens_details": {"cached_tokens": cached}} for cached in (100, 101))
    assert (told(whole), told(more)) == (Usage(100, 5, cache_read=100), Usage(100, 5))


def test_of_several_records_of_a_provider_the_first_counts() -> None:
    """Integrations leave the provider's answer beside what they made of it; what is no record is passed over."""
    own, other = {"input_tokens": 3, "output_tokens": 1}, {"prompt_tokens": 9, "completion_tokens": 9}
    for response in (
        {"usage": own, "token_usage": other, "usage_metadata": other},
        {"usage": {}, "token_usage": own, "usage_metadata": other},
        {"usage": "none", "token_usage": None, "usage_metadata": own},
    ):
        assert usage_of(AIMessage("x", response_metadata=response)) == Usage(3, 1)


def test_media_together_are_no_more_than_the_tokens_that_there_are() -> None:
    """Or a prompt would be billed twice where a provider's counts do not add up."""
    raw = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 50,
        "totalTokenCount": 150,
        "promptTokensDetails": [
            {"modality": kind, "tokenCount": count} for kind, count in (("AUDIO", 70), ("IMAGE", 60), ("VIDEO", 9))
        ],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
    }
    usage = usage_of(AIMessage("x", response_metadata={"usage_metadata": raw}))

    assert usage is not None
    assert dict(usage.extra_counts) == {"input_audio": 70, "input_image": 30, "output_audio": 50}


@pytest.mark.parametrize(
    ("audio", "cached", "left"),
    [(40, 30, {"cache_read_audio": 30, "input_audio": 10}), (40, 40, {"cache_read_audio": 40}), (40, 50, {"cache_read_audio": 50})],
)
def test_sound_that_was_cached_is_not_billed_as_new_sound_too(audio: int, cached: int, left: dict[str, int]) -> None:
    """Gemini says how much of the prompt was sound, and how much of what was cached."""
    raw = {
        "promptTokenCount": 100,
        "candidatesTokenCount": 5,
        "totalTokenCount": 105,
        "cachedContentTokenCount": 60,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": audio}, {"modality": "TEXT", "tokenCount": 100 - audio}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": cached}],
    }
    usage = usage_of(AIMessage("x", response_metadata={"usage_metadata": raw}))

    assert usage is not None
    assert dict(usage.extra_counts) == left


def test_a_record_of_langchains_that_counts_neither_side_leaves_it_to_the_providers_own() -> None:
    own = {"usage": {"input_tokens": 3, "output_tokens": 1}}
    for counts, expected in (({"total_tokens": 9}, Usage(3, 1)), ({"input_tokens": 5}, None), ({"output_tokens": 5}, None)):
        message = AIMessage("x", response_metadata=own)
        message.usage_metadata = counts  # type: ignore[assignment]
        assert usage_of(message) == expected


def test_a_prompt_has_a_token_at_least_and_an_answer_that_says_something_too() -> None:
    assert is_measured(Usage(1, 1), AIMessage("x"))
    assert is_measured(Usage(1, 0), AIMessage(""))
    assert not is_measured(Usage(1, 0), AIMessage("x"))
    assert not is_measured(Usage(0, 1), AIMessage("x"))
    assert not is_measured(Usage(1, -1), AIMessage(""))


def test_without_any_record_the_usage_is_unknown() -> None:
    """And not nothing."""
    assert usage_of(AIMessage("x")) is None
    assert usage_of(AIMessage("x", response_metadata={"usage": "none of your business"})) is None
    assert usage_of("x") is None
    assert usage_of(AIMessage("x", response_metadata={"usage": {"input_tokens": 3, "output_tokens": 1}})) == Usage(3, 1)


def test_time_and_calls_are_billed_beside_tokens() -> None:
    """A model on one's own machine costs by the second, whether or not it counts its tokens."""
    hourly = Price(0.0, 0.0, per_second=0.002)

    assert cost(hourly, None, 3.0) == pytest.approx(0.006)
    assert cost(hourly, Usage(1_000, 10)) == 0
    assert cost(hourly, Usage(1_000, 10), 3.0) == pytest.approx(0.006)
    assert cost(Price(1.0, 2.0, per_call=0.01), Usage(1_000, 10)) == pytest.approx(0.01 + (1_000 * 1.0 + 10 * 2.0) / 1e6)
    assert cost(Price(1.0, 2.0, per_second=0.002, per_call=0.01), Usage(1_000, 10), 3.0) == pytest.approx(0.016 + 0.00102)
    # Where tokens cost something too, a call without their count has no known cost.
    assert cost(Price(1.0, 0.0, per_second=0.002), None, 3.0) is None
    assert cost(Price(0.0, 1.0, per_call=0.002), None, 3.0) is None
    assert cost(Price(0.0, 0.0), None, 3.0) is None
    assert cost(None, Usage(1, 1), 3.0) is None


def test_a_call_with_fees_costs_its_tokens_its_time_and_its_fees() -> None:
    price = Price(1.0, 2.0, per_call=0.01, per_second=0.002, extra_rates=(("searches", 0.01),))

    assert cost(price, Usage(1_000, 10, extra_counts=(("searches", 2),)), 3.0) == pytest.approx(0.016 + 0.00102 + 0.02)


def test_what_a_prompt_cache_saved_is_the_dearer_input_without_it() -> None:
    """Reading saves, writing costs, for an hour more than for five minutes."""
    price = Price(input=5, output=25, cache_read=0.5, cache_write=6.25, cache_write_1h=10)

    assert cached_saving(price, Usage(100_000, 0, 90_000)) == pytest.approx(90_000 * 4.5 / 1e6)
    assert cached_saving(price, Usage(100_000, 0, 0, 8_000)) == pytest.approx(-8_000 * 1.25 / 1e6)
    assert cached_saving(price, Usage(100_000, 0, 90_000, 4_000, 2_000)) == pytest.approx(
        (90_000 * 4.5 - 4_000 * 1.25 - 2_000 * 5) / 1e6
    )


def test_a_price_by_the_call_is_read_from_the_list() -> None:
    """Perplexity's search models charge by the thousand calls, beside their tokens."""
    price = price_of("sonar-pro", "perplexity")
    assert price is not None

    assert price.per_call > 0
    assert cost(price, Usage(1_000, 100)) == pytest.approx(price.per_call + (1_000 * price.input + 100 * price.output) / 1e6)


def test_whose_price_it_is() -> None:
    """The user's own before the list, with the provider before without; LangChain's names for providers; unknown is unknown."""
    own, other = Price(1.0, 2.0), Price(3.0, 4.0)

    assert price_of("m", "p", {"p:m": own, "m": other}) == own
    assert price_of("m", "q", {"p:m": own, "m": other}) == other
    assert price_of("gpt-5-mini", "openai", {"openai:gpt-5-mini": own}) == own
    assert price_of("gpt-5-mini", "openai", {"gpt-4": own}) == price_of("gpt-5-mini", "openai")
    assert price_of("gpt-5-mini", "azure_openai") is not None
    assert price_of(None, "openai", {"None": own}) is None
    assert price_of("", "openai") is None
    assert price_of("nobody-knows-it", "openai") is None
    embedding = price_of("text-embedding-3-small", "openai")
    assert embedding is not None
    assert embedding.output == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        {"input": 1.0},
        {"output": 1.0},
        {"input": 1.0, "output": 2.0, "cached": 0.1},
        {"input": -0.1, "output": 2.0},
        {"input": 1.0, "output": float("inf")},
        {"input": 1.0, "output": float("nan")},
        {"input": True, "output": 2.0},
        {"input": "1", "output": 2.0},
        {"input": 1.0, "output": 2.0, "above": 5},
        {"input": 1.0, "output": 2.0, "above": [(100,)]},
        {"input": 1.0, "output": 2.0, "above": [100]},
        {"input": 1.0, "output": 2.0, "above": [(100, 3.0)]},
        {"input": 1.0, "output": 2.0, "above": [(-1, Price(1.0, 2.0))]},
        {"input": 1.0, "output": 2.0, "above": [(0.5, Price(1.0, 2.0))]},
        {"input": 1.0, "output": 2.0, "above": [(True, Price(1.0, 2.0))]},
        {"input": 1.0, "output": 2.0, "above": [(100, Price(1.0, 2.0)), (100, Price(1.0, 2.0))]},
        {"input": 1.0, "output": 2.0, "above": [(100, Price(1.0, 2.0)), (300, Price(1.0, 2.0)), (200, Price(1.0, 2.0))]},
        {"input": 1.0, "output": 2.0, "above": [(100, {"input": 1.0})]},
        Price(1.0, -2.0),
        Price(1.0, 2.0, per_second=-1.0),
        Price(1.0, 2.0, above=((1, Price(-1.0, 2.0)),)),
    ],
)
def test_a_price_that_is_none_is_said(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="mine"):
        price_from(wrong, "mine")


def test_a_price_may_be_written_as_a_mapping() -> None:
    above = [(0, {"input": 3, "output": 4}), (1e3, Price(5.0, 6.0))]

    assert price_from({"input": 0, "output": 2, "cache_read": None, "above": above}) == Price(
        0.0, 2.0, above=((0, Price(3.0, 4.0)), (1000, Price(5.0, 6.0)))
    )
    assert price_from(None) is None
    given = Price(1.0, 2.0, above=((10, Price(2.0, 3.0)),))
    assert price_from(given) is given


def test_how_long_a_model_worked_is_its_own_word_where_it_gives_one() -> None:
    """Zero seconds too; what is no number is not believed."""
    for told, seconds in ((0.5, 0.5), (0, 0.0), ("long", 2.0), (None, 2.0)):
        assert seconds_of(AIMessage("x", response_metadata={"compute_seconds": told}), 2.0) == seconds
    assert seconds_of("x", 2.0) == 2.0


def test_each_line_of_a_price_with_several_has_its_own_rates() -> None:
    """The last line that the input is above."""
    tiered = Price(1.0, 2.0, above=((100, Price(3.0, 4.0)), (200, Price(5.0, 6.0))))

    assert [cost(tiered, Usage(tokens)) for tokens in (100, 101, 200, 201)] == pytest.approx(
        [100 * 1.0 / 1e6, 101 * 3.0 / 1e6, 200 * 3.0 / 1e6, 201 * 5.0 / 1e6]
    )


def test_what_is_written_for_an_hour_has_its_own_rate_or_that_of_five_minutes() -> None:
    usage = Usage(1_000, 0, cache_write=100, cache_write_1h=200)

    assert cost(Price(1.0, 0.0, cache_write=1.25, cache_write_1h=2.0), usage) == pytest.approx((700 + 125 + 400) / 1e6)
    assert cost(Price(1.0, 0.0, cache_write=1.25), usage) == pytest.approx((700 + 125 + 250) / 1e6)
    assert cost(Price(1.0, 0.0, cache_write_1h=2.0), usage) == pytest.approx((700 + 100 + 400) / 1e6)


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
@pytest.mark.parametrize("tokens", [100_000, 200_000, 200_001, 400_000])
def test_list_prices_agree_with_the_library_they_come_from(model: str, provider: str, tokens: int) -> None:
    """Our arithmetic against its own, on the same counts; Gemini's rates change above 200,000 tokens."""
    import genai_prices
    from genai_prices import Usage as TheirUsage

    from langroute.providers.registry import price_id

    price = price_of(model, provider)
    assert price is not None
    read = 80_000 if price.cache_read is not None else 0
    usage = TheirUsage(input_tokens=tokens, output_tokens=2_000, cache_read_tokens=read)
    theirs = genai_prices.calc_price(usage, model, provider_id=price_id(provider))

    assert cost(price, Usage(tokens, 2_000, cache_read=read)) == pytest.approx(float(theirs.total_price))


@pytest.mark.parametrize("count", [-900, True, 1.5, "900", None])
def test_a_detail_that_is_no_count_is_left_out(count: Any) -> None:
    """A provider may tell anything: a negative count of cached tokens made a call dearer than all of its tokens."""
    metadata = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "input_token_details": dict.fromkeys(("cache_read", "cache_creation", "ephemeral_1h_input_tokens"), count),
        "output_token_details": {"reasoning": count},
    }
    assert usage_from_metadata(metadata) == Usage(1000, 100)
