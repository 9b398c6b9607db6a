"""Operating points: the cheapest that meets the target, and a promise that does not praise luck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langroute.core.errors import DataError
from langroute.learning.agreement import Chain
from langroute.learning.points import TOLERATED, Candidate, choose


def test_what_was_chosen_for_its_luck_is_not_promised_to_go_on() -> None:
    """Forty settings that are all right four times in five: the best of them on 400 requests looks better than that."""
    random = np.random.default_rng(1)
    held = looked = 0
    for run in range(200):
        scores = (random.random((40, 400)) < 0.8).astype(float)
        settings = [Candidate(one, np.full(400, 0.5), 0.0) for one in scores]
        (found,) = choose([1.0], settings, (random.random(400) < 0.8).astype(float), run)
        held += found.promised["quality_low"] <= 0.8 <= found.promised["quality_high"]
        looked += found.candidate.score.mean() - 1.96 * found.promised["spread"] / 20 <= 0.8

    assert held >= 190
    assert looked < 140, "chosen settings need no correction here, so this test says nothing"


@settings(deadline=None)
@given(st.data())
def test_the_cheapest_that_meets_the_target_is_chosen(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 30))
    column = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=count, max_size=count).map(np.array)
    reference = data.draw(column.filter(np.any))
    tried = [
        Candidate(data.draw(column), np.full(count, data.draw(st.sampled_from([0.1, 1.0, 3.0]))), float(place))
        for place in range(6)
    ]
    target = data.draw(st.sampled_from([1.0, 0.9, 0.5]))

    single = Candidate(reference, np.full(count, 1.0), None)

    (found,) = choose([target], [*tried, single], reference, 0)

    chosen = found.candidate
    assert chosen.score.mean() >= target * reference.mean() - TOLERATED - 1e-6
    assert found.promised["quality"] >= target * reference.mean() - TOLERATED - 1e-6
    if found.promised["luck"] == 0 and chosen is not single:
        good = [one for one in tried if one.score.mean() >= target * reference.mean() - TOLERATED - 1e-6]
        assert chosen.score.mean() >= min(one.score.mean() for one in good)
    assert found.promised["quality_low"] <= found.promised["quality"] <= found.promised["quality_high"]


def test_where_only_luck_meets_the_target_it_is_the_best_single_route() -> None:
    """Eighty settings that cost a tenth and are as good as the best route by chance, and never by more than that."""
    random = np.random.default_rng(5)
    for run in range(20):
        reference = (random.random(300) < 0.8).astype(float)
        lucky = [Candidate((random.random(300) < 0.78).astype(float), np.full(300, 0.9), float(place)) for place in range(80)]
        single = Candidate(reference, np.ones(300), None)
        (found,) = choose([1.0], [*lucky, single], reference, run)

        assert found.promised["relative"] >= 0.998
        assert found.candidate is single or found.promised["luck"] > 0


def test_what_cascades_owe_to_luck_is_not_charged_to_a_chain() -> None:
    """A chain that costs half and is a little better, beside four hundred cascades that are better by chance alone."""
    random = np.random.default_rng(7)
    chosen = []
    for run in range(10):
        reference = (random.random(1000) < 0.8).astype(float)
        better = np.where(random.random(1000) < 0.2, 1.0, reference)
        lucky = [
            Candidate((random.random(1000) < 0.79).astype(float), np.full(1000, 0.9), float("nan"), (place,))
            for place in range(400)
        ]
        chain = Candidate(better, np.full(1000, 0.5), float("nan"), chain=Chain((0, 1), 2))
        (found,) = choose([1.0], [*lucky, chain, Candidate(reference, np.ones(1000), None)], reference, run)
        chosen.append(found.candidate is chain)
        assert not chosen[-1] or found.promised["luck"] < 0.02

    assert all(chosen)


def test_a_target_above_the_best_route_is_met_where_routes_together_are_better() -> None:
    random = np.random.default_rng(8)
    reference = (random.random(1000) < 0.8).astype(float)
    better = np.where(random.random(1000) < 0.2, 1.0, reference)
    chain = Candidate(better, np.full(1000, 0.5), float("nan"), chain=Chain((0, 1), 2))
    single = Candidate(reference, np.ones(1000), None)

    (found,) = choose([1.03], [chain, single], reference, 0)

    assert found.candidate is chain
    with pytest.raises(DataError, match=r"No setting reaches the target 1\.2 .* the most is 1\.0"):
        choose([1.2], [chain, single], reference, 0)
    with pytest.raises(DataError, match="none is better than the best single route"):
        choose([1.2], [single], reference, 0)


def test_a_promise_of_what_is_fitted_allows_for_another_fit() -> None:
    """What is fitted would decide otherwise after another fit, which scatters besides; a chain is the same again."""
    random = np.random.default_rng(3)
    fitted = _interval(random, tolerance=1.0)
    chain = _interval(random, tolerance=float("nan"), chain=Chain((0, 1), 2))

    assert fitted["unsettled"] == pytest.approx(fitted["spread"] * np.sqrt(1.25 / 500), abs=1e-5)
    assert chain["unsettled"] == 0
    assert _width(fitted) == pytest.approx(1.5 * _width(chain), rel=0.05)


@pytest.mark.parametrize("folds", [2, 10])
def test_the_fewer_folds_the_less_two_fits_agree(folds: int) -> None:
    found = _interval(np.random.default_rng(3), folds, tolerance=1.0)
    assert found["unsettled"] == pytest.approx(found["spread"] * np.sqrt(folds / (folds - 1) / 500), abs=1e-5)


def _interval(random: np.random.Generator, folds: int = 5, **setting: Any) -> dict[str, Any]:
    scores = (random.random(500) < 0.8).astype(float)
    (found,) = choose([0.5], [Candidate(scores, np.full(500, 0.1), **setting)], scores, 0, folds)
    return found.promised


def _width(promised: dict[str, Any]) -> float:
    return float(promised["quality_high"] - promised["quality_low"])
