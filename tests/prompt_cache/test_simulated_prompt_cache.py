"""A simulated provider prompt cache: what it reads, writes and forgets."""

from __future__ import annotations

import pytest

from langroute.prompt_cache.simulated_prompt_cache import LOOK_BACK, SimulatedProvider
from langroute.providers.profile import HOUR, CacheRules

MARKED = CacheRules(min_tokens=1000, automatic=False)
AUTOMATIC = CacheRules(min_tokens=1000, block=128)


def pieces(*sizes: int, names: str = "") -> list[tuple[str, int]]:
    return [((names[place] if names else str(place)), size) for place, size in enumerate(sizes)]


def test_what_was_written_is_read_the_next_time() -> None:
    provider = SimulatedProvider(MARKED)
    first = provider.bill(pieces(900, 600), 50, at=0)
    second = provider.bill(pieces(900, 600, 50, 300), 50, at=10)

    assert (first.cache_read, first.cache_write) == (0, 1500)
    assert (second.cache_read, second.cache_write) == (1500, 350)
    assert second.input_tokens == 1850


def test_a_beginning_lives_five_minutes_after_its_last_use() -> None:
    provider = SimulatedProvider(MARKED)
    for at in (0, 250, 500):
        usage = provider.bill(pieces(2000), 1, at=at)

    assert usage.cache_read == 2000
    assert provider.bill(pieces(2000), 1, at=801).cache_read == 0


def test_an_hours_cache_lives_an_hour_and_is_billed_as_such() -> None:
    provider = SimulatedProvider(CacheRules(1000, ttl_seconds=HOUR, automatic=False))

    assert provider.bill(pieces(2000), 1, at=0).cache_write_1h == 2000
    assert provider.bill(pieces(2000), 1, at=3000).cache_read == 2000


def test_short_prompts_are_neither_written_nor_read() -> None:
    for rules in (MARKED, AUTOMATIC):
        provider = SimulatedProvider(rules)
        provider.bill(pieces(999), 1, at=0)
        usage = provider.bill(pieces(999), 1, at=1)
        assert usage.cache_read == usage.cache_write == 0


def test_a_changed_system_prompt_makes_everything_after_it_cold() -> None:
    provider = SimulatedProvider(MARKED)
    provider.bill(pieces(2000, 500, names="sa"), 1, at=0)

    assert provider.bill(pieces(2000, 500, names="Sa"), 1, at=1).cache_read == 0


def test_another_conversation_with_the_same_system_prompt_reads_that() -> None:
    provider = SimulatedProvider(MARKED)
    provider.bill(pieces(2000, 500, names="sa"), 1, at=0)

    assert provider.bill(pieces(2000, 700, names="sb"), 1, at=1).cache_read == 2000


def test_a_provider_without_marks_reads_whole_blocks_and_bills_no_writing() -> None:
    provider = SimulatedProvider(AUTOMATIC)
    provider.bill(pieces(1500), 1, at=0)
    usage = provider.bill(pieces(1500, 200), 1, at=1)

    assert usage.cache_read == 1500 // 128 * 128
    assert usage.cache_write == 0


def test_marks_are_looked_for_only_so_far_back() -> None:
    """Past twenty pieces a provider with marks finds only the mark behind the system prompt."""
    provider = SimulatedProvider(MARKED)
    provider.bill(pieces(2000, 100), 1, at=0)
    sizes = [2000, 100, *[10] * LOOK_BACK]

    assert provider.bill(pieces(*sizes), 1, at=1).cache_read == 2000


@pytest.mark.parametrize("rules", [MARKED, AUTOMATIC])
def test_without_caching_every_token_is_plain_input(rules: CacheRules) -> None:
    provider = SimulatedProvider(rules, caching=False)
    provider.bill(pieces(5000), 1, at=0)
    usage = provider.bill(pieces(5000), 1, at=1)

    assert (usage.input_tokens, usage.cache_read, usage.cache_write) == (5000, 0, 0)
