"""Savings of a report: what providers' prompt caches saved at list prices, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import NOW, TODAY, decided, tried

from langroute.core.records import Usage
from langroute.ledger.facts import CallRecord
from langroute.reports.build import build_report
from langroute.reports.window import Window
from langroute.routes.pricing import price_of

WEEK = Window.since("7d", now=NOW)

HAIKU = ("claude-haiku-4-5", "anthropic")
"""Reads for less than fresh input, writes for more, and writes for an hour for more still."""

GPT = ("gpt-4.1-mini", "openai")
"""Reads for less; writes cost what fresh input costs, so no price of theirs is listed."""


def used(ledger: Any, of: tuple[str, str], day: int = TODAY, **cached: int) -> None:
    model, provider = of
    seen = Usage(10_000_000, 100, **cached)
    ledger.record_call(CallRecord("t1", model=model, provider=provider, usage=seen, cost_usd=0.1, at=day * 86_400.0 + 60))


def saved(ledger: Any, raw: bool) -> float | None:
    ledger.flush()
    return build_report(ledger, WEEK, raw=raw).savings.prompt_cache_usd


@pytest.mark.parametrize("raw", [False, True], ids=["daily sums", "raw rows"])
class TestPromptCache:
    @pytest.fixture(autouse=True)
    def _listed(self) -> None:
        """The list prices that the numbers below were worked out with, per million tokens."""
        haiku, gpt = price_of(*HAIKU), price_of(*GPT)
        assert (haiku.input, haiku.cache_read, haiku.cache_write) == (1.0, 0.1, 1.25)
        assert (gpt.input, gpt.cache_read, gpt.cache_write) == (0.4, 0.1, None)

    def test_a_read_saves_what_fresh_input_would_have_cost_more(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_read=2_000_000)
        assert saved(ledger, raw) == pytest.approx(2 * (1.0 - 0.1))

    def test_a_write_costs_more_than_fresh_input_and_is_taken_off(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_read=2_000_000, cache_write=1_000_000)
        assert saved(ledger, raw) == pytest.approx(2 * 0.9 - 1 * 0.25)

    def test_writes_alone_are_a_loss(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_write=4_000_000)
        assert saved(ledger, raw) == pytest.approx(-4 * 0.25)

    def test_a_write_for_an_hour_is_taken_off_at_its_own_price(self, ledger: Any, raw: bool) -> None:
        haiku = price_of(*HAIKU)
        hour = haiku.cache_write if haiku.cache_write_1h is None else haiku.cache_write_1h
        used(ledger, HAIKU, cache_read=5_000_000, cache_write=1_000_000, cache_write_1h=2_000_000)
        assert saved(ledger, raw) == pytest.approx(5 * 0.9 - 1 * 0.25 - 2 * (hour - 1.0))

    def test_where_writes_have_no_price_they_cost_what_fresh_input_does(self, ledger: Any, raw: bool) -> None:
        used(ledger, GPT, cache_read=1_000_000, cache_write=3_000_000, cache_write_1h=2_000_000)
        assert saved(ledger, raw) == pytest.approx(1 * (0.4 - 0.1))

    def test_models_are_added_up_each_at_its_price(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU, cache_read=1_000_000)
        used(ledger, HAIKU, cache_read=1_000_000, day=TODAY - 1)
        used(ledger, GPT, cache_read=1_000_000)
        assert saved(ledger, raw) == pytest.approx(2 * 0.9 + 0.3)

    def test_a_model_without_a_price_is_left_out_and_hides_no_other(self, ledger: Any, raw: bool) -> None:
        used(ledger, ("a-nobody-knows", "nobody"), cache_read=9_000_000)
        used(ledger, GPT, cache_read=1_000_000)
        used(ledger, ("zz-nobody-knows", "nobody"), cache_read=9_000_000)
        assert saved(ledger, raw) == pytest.approx(0.3)

    def test_where_no_price_is_known_nothing_is_said(self, ledger: Any, raw: bool) -> None:
        used(ledger, ("nobody-knows", "nobody"), cache_read=9_000_000)
        assert saved(ledger, raw) is None

    def test_calls_that_used_no_prompt_cache_say_nothing(self, ledger: Any, raw: bool) -> None:
        used(ledger, HAIKU)
        assert saved(ledger, raw) is None

    def test_calls_outside_the_window_do_not_count(self, ledger: Any, raw: bool) -> None:
        used(ledger, GPT, cache_read=1_000_000)
        used(ledger, HAIKU, day=TODAY - 30, cache_read=9_000_000)
        assert saved(ledger, raw) == pytest.approx(0.3)


def test_net_savings_are_unknown_where_nothing_can_be_compared(ledger: Any) -> None:
    ledger.record(decided("d1", tried("small", 0.25), baseline=None))
    ledger.flush()
    assert build_report(ledger, WEEK).savings.net_usd is None
