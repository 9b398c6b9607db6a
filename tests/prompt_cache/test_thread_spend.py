"""What a conversation cost, and what one route alone would have cost for it."""

from __future__ import annotations

import pytest

from langroute.prompt_cache.switch_cost import PromptCost, TokenRates
from langroute.prompt_cache.thread_spend import ThreadSpend
from langroute.prompt_cache.turn_statistics import TurnStatistics

OPUS = TokenRates(0.5e-6, 6.25e-6, 25e-6)


def terms(tokens: int, warm: int = 0) -> PromptCost:
    return PromptCost(OPUS, tokens, warm, lives=300.0)


def test_a_route_alone_reads_what_it_was_sent_before() -> None:
    tab = ThreadSpend()
    tab.add(0.01, {"opus": terms(10_000)}, 100, at=0)
    alone = tab.alone("opus", terms(12_000), 100, at=100)

    assert alone == pytest.approx(10_000 * 6.25e-6 + 100 * 25e-6 + 10_000 * 0.5e-6 + 2_000 * 6.25e-6 + 100 * 25e-6)


def test_after_a_long_pause_it_would_have_been_cold_too() -> None:
    tab = ThreadSpend()
    tab.add(0.01, {"opus": terms(10_000)}, 100, at=0)
    alone = tab.alone("opus", terms(12_000), 100, at=301)

    assert alone == pytest.approx(22_000 * 6.25e-6 + 200 * 25e-6)


def test_what_was_warm_at_the_first_step_counts() -> None:
    assert ThreadSpend().alone("opus", terms(10_000, 8_000), 0, at=0) == pytest.approx(8_000 * 0.5e-6 + 2_000 * 6.25e-6)


def test_habits_expect_what_was_seen() -> None:
    habits = TurnStatistics(back=0.0)
    for length in (2, 2, 2, 8) * 8:
        habits.turn_ended(length)

    assert habits.left(0) == pytest.approx(3.5, abs=0.1)
    assert habits.left(3) == pytest.approx(5, abs=0.4)
    assert habits.left(50) >= 1


def test_coming_back_soon_shortens_what_a_switch_may_count_on() -> None:
    habits = TurnStatistics()
    for _ in range(64):
        habits.turn_ended(20)
    for _ in range(20):
        habits.came_back(2)

    assert habits.back > 0.95
    assert habits.left(1) < 4
