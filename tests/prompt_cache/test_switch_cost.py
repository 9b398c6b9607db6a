"""The arithmetic of switch costs, checked against the rule of thumb that motivated it."""

from __future__ import annotations

import pytest

from langroute.core.records import Price, Usage
from langroute.prompt_cache.switch_cost import Pace, TokenRates, break_even_steps
from langroute.routes.pricing import cost

CONTEXT = 100_000
PACE = Pace(input_tokens=2000, output_tokens=500)
OPUS = Price(input=5, output=25, cache_read=0.5, cache_write=6.25)
SONNET = Price(input=3, output=15, cache_read=0.3, cache_write=3.75)
HAIKU = Price(input=1, output=5, cache_read=0.1, cache_write=1.25)
TINY = Price(input=0.4, output=2, cache_read=0.04)


def rates(price: Price) -> TokenRates:
    return TokenRates.of(price, CONTEXT)


@pytest.mark.parametrize("price, steps", [(SONNET, 11), (HAIKU, 2), (TINY, 1)])
def test_leaving_a_warm_opus_pays_after_as_many_steps_as_the_rule_of_thumb_says(price: Price, steps: int) -> None:
    assert break_even_steps(rates(OPUS), rates(price), tokens=CONTEXT, pace=PACE) == steps


@pytest.mark.parametrize("price, more", [(SONNET, 14), (HAIKU, 9), (TINY, 8)])
def test_a_cold_opus_on_return_costs_about_ten_steps_more(price: Price, more: int) -> None:
    there = break_even_steps(rates(OPUS), rates(price), tokens=CONTEXT, pace=PACE)
    back = break_even_steps(rates(OPUS), rates(price), tokens=CONTEXT, pace=PACE, returns_cold=True)

    assert there is not None
    assert back == there + more


def test_a_switch_to_a_dearer_route_never_pays() -> None:
    assert break_even_steps(rates(SONNET), rates(OPUS), tokens=CONTEXT, pace=PACE) is None


def test_a_run_costs_what_its_calls_cost_one_by_one() -> None:
    """The closed form is the sum of single calls, billed by the library's own price function."""
    pace = Pace(7, 1200, 340)
    warm, prompt, total = 50_000, 53_000, 0.0
    for _ in range(7):
        usage = Usage(prompt, pace.output_tokens, cache_read=warm, cache_write=prompt - warm)
        total += cost(OPUS, usage) or 0.0
        warm, prompt = prompt, prompt + pace.grows

    assert rates(OPUS).run(53_000, 50_000, pace) == pytest.approx(total)


def test_without_caching_reading_again_costs_the_full_price() -> None:
    plain = TokenRates.of(OPUS, CONTEXT, caches=False)

    assert plain.read == plain.write == 5 / 1e6
    assert plain.cold(CONTEXT) == 0


def test_long_prompts_have_the_rates_of_long_prompts() -> None:
    price = Price(input=1, output=2, above=((200_000, Price(input=2, output=3, cache_read=0.2)),))

    assert TokenRates.of(price, 200_000).write == 1 / 1e6
    assert TokenRates.of(price, 200_001).write == 2 / 1e6


def test_an_hour_of_cache_is_billed_as_one() -> None:
    price = Price(input=5, output=25, cache_read=0.5, cache_write=6.25, cache_write_1h=10)

    assert TokenRates.of(price, CONTEXT, hour=True).write == 10 / 1e6
