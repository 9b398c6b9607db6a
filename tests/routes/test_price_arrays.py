"""The price of one call and of many at once are the same formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langroute.core.records import Price, Usage
from langroute.routes.price_arrays import PriceTable, costs
from langroute.routes.pricing import COMPONENTS, cost

RATE = st.floats(0, 100)
MAYBE = st.none() | RATE
TIER = st.builds(Price, RATE, RATE, MAYBE, MAYBE, MAYBE)
PRICE = st.builds(
    Price, RATE, RATE, MAYBE, MAYBE, MAYBE, per_call=st.floats(0, 1), per_second=st.floats(0, 1),
    above=st.lists(st.tuples(st.integers(0, 400_000), TIER), max_size=3, unique_by=lambda pair: pair[0]).map(lambda found: tuple(sorted(found, key=lambda pair: pair[0]))),
)  # fmt: skip
COUNT = st.integers(0, 100_000)


@given(price=PRICE, calls=st.lists(st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT, st.floats(0, 600)), min_size=1, max_size=5))
def test_many_calls_cost_what_each_of_them_costs(price: Price, calls: list[tuple[int, int, int, int, int, float]]) -> None:
    usages = [Usage(plain + read + write + hour, output, read, write, hour) for plain, output, read, write, hour, _ in calls]
    seconds = [call[5] for call in calls]

    found = costs(
        price,
        np.array([float(usage.input_tokens) for usage in usages]),
        np.array([float(usage.output_tokens) for usage in usages]),
        cache_read=np.array([float(usage.cache_read) for usage in usages]),
        cache_write=np.array([float(usage.cache_write) for usage in usages]),
        cache_write_1h=np.array([float(usage.cache_write_1h) for usage in usages]),
        seconds=np.array(seconds),
    )

    expected = [cost(price, usage, time) for usage, time in zip(usages, seconds, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


EXTRA = st.lists(st.tuples(st.sampled_from(sorted(COMPONENTS)), RATE), max_size=5, unique_by=lambda pair: pair[0]).map(tuple)


@given(
    price=st.builds(
        Price,
        RATE,
        RATE,
        MAYBE,
        extra_rates=EXTRA,
        above=st.builds(Price, RATE, RATE, extra_rates=EXTRA).map(lambda more: ((50_000, more),)),
    ),
    calls=st.lists(st.tuples(COUNT, COUNT, st.dictionaries(st.sampled_from(sorted(COMPONENTS)), COUNT)), min_size=1, max_size=5),
)
def test_many_calls_with_media_and_fees_cost_what_each_of_them_costs(
    price: Price, calls: list[tuple[int, int, dict[str, int]]]
) -> None:
    """A fee that nobody knows makes the cost unknown: `None` for one call, not a number among many."""
    names = sorted({name for *_, counts in calls for name in counts})
    for one, other, counts in calls:
        extra = {name: np.array([float(counts.get(name, 0))]) for name in names}
        (found,) = costs(price, np.array([float(one)]), np.array([float(other)]), extra=extra)
        expected = cost(price, Usage(one, other, extra_counts=tuple(sorted(counts.items()))))
        assert np.isnan(found) if expected is None else found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(prices=st.lists(PRICE, min_size=1, max_size=3), tokens=st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=4))
def test_a_table_of_prices_costs_what_each_route_costs(prices: list[Price], tokens: list[tuple[int, int]]) -> None:
    given_ = np.array([[float(one)] * len(prices) for one, _ in tokens])
    written = np.array([[float(one)] * len(prices) for _, one in tokens])

    found = PriceTable(prices, [2.0] * len(prices)).costs(given_, written)

    for row, (one, other) in enumerate(tokens):
        expected = [cost(price, Usage(one, other), 2.0) for price in prices]
        assert found[row].tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_a_fitted_policy_prices_a_long_prompt_as_it_is_billed() -> None:
    """300,000 tokens of a model that doubles its rates above 200,000."""
    price = Price(3, 15, above=((200_000, Price(6, 22.5)),))
    table = PriceTable([price, Price(0, 0, per_second=0.001)], [0.0, 4.0])

    found = table.costs(np.array([[300_000.0, 300_000.0]]), np.array([[500.0, 500.0]]))

    # 0.3 M x 6 + 0.0005 M x 22.5; 4 s x 0.001
    assert found[0].tolist() == pytest.approx([1.81125, 0.004])
