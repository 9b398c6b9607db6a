"""Anytime-valid tests hold at every look, and find what is there."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langroute.policies.anytime import Pairs, Tally, interval, log_evidence, log_evidence_below, more_needed

ALPHA = 0.05


@pytest.mark.parametrize(("base", "margin"), [(0.75, 0.02), (0.97, 0.02), (0.5, 0.1), (0.03, 0.02)])
def test_a_route_that_is_worse_by_the_whole_margin_is_rarely_called_good_at_any_look(base: float, margin: float) -> None:
    """At the border of the hypothesis, with a look after every ten tasks, mistakes stay below alpha."""
    random, wrong, runs = np.random.default_rng(1), 0, 150
    for _ in range(runs):
        new = np.cumsum(random.binomial(10, base - margin, 40))
        old = np.cumsum(random.binomial(10, base, 40))
        looks = (
            log_evidence(Tally(10 * (k + 1), new[k]), Tally(10 * (k + 1), old[k]), -margin) >= log(1 / ALPHA)
            for k in range(0, 40, 2)
        )
        wrong += any(looks)
    assert wrong / runs <= ALPHA


def test_the_test_is_valid_when_shares_follow_what_was_seen() -> None:
    """A mistake is no likelier where the arm that looks better gets more of the tasks."""
    random, wrong, runs = np.random.default_rng(2), 0, 150
    for _ in range(runs):
        new, old = Tally(), Tally()
        for number in range(300):
            share = 0.8 if new.mean > old.mean else 0.2
            if random.random() < share:
                new = Tally(new.size + 1, new.total + (random.random() < 0.6))
            else:
                old = Tally(old.size + 1, old.total + (random.random() < 0.7))
            if number % 20 == 19 and log_evidence(new, old, -0.1) >= log(1 / ALPHA):
                wrong += 1
                break
    assert wrong / runs <= ALPHA


def test_a_collapse_is_seen_within_a_few_tasks() -> None:
    """Thirty good and thirty bad tasks are more than enough."""
    assert log_evidence_below(Tally(30, 3), Tally(30, 27), -0.05) > log(1 / ALPHA)
    assert log_evidence_below(Tally(30, 27), Tally(30, 27), -0.05) < 0


def test_the_interval_has_the_difference_and_narrows() -> None:
    """It covers the observed difference, lies within -1 and 1, and four times the tasks make it about half as wide."""
    small, large = interval(Tally(100, 80), Tally(100, 70), ALPHA), interval(Tally(400, 320), Tally(400, 280), ALPHA)
    assert -1 <= small[0] < large[0] < 0.1 < large[1] < small[1] <= 1
    assert 0.4 < (large[1] - large[0]) / (small[1] - small[0]) < 0.7
    low, high = interval(Tally(), Tally(), ALPHA)
    assert low < -0.999
    assert high > 0.999


def test_pairs_prove_sooner() -> None:
    """Tasks that both did tell more than as many that one of them did."""
    apart = interval(Tally(200, 150), Tally(200, 150), ALPHA)
    paired = interval(Tally(), Tally(), ALPHA, [Pairs(5, 190, 5)])
    assert paired[1] - paired[0] < 0.6 * (apart[1] - apart[0])


def test_a_judge_is_worth_what_its_agreement_is() -> None:
    """A judge that is right in eight of ten cases sees six tenths of a difference: the same verdicts prove less."""
    sure, unsure = Pairs(0, 100, 0), Pairs(0, 100, 0, strength=0.6)
    assert log_evidence(Tally(), Tally(), -0.1, [sure]) > log_evidence(Tally(), Tally(), -0.1, [unsure]) > 0


def test_a_judges_mistakes_do_not_prove_what_is_not_there() -> None:
    """The arm is worse by the margin; a judge who errs in a fifth of the cases, about both alike, rarely says otherwise."""
    random, wrong, runs = np.random.default_rng(3), 0, 200
    for _ in range(runs):
        new, old = random.random(300) < 0.6, random.random(300) < 0.7
        said = [np.where(random.random(300) < 0.8, one, ~one).astype(float) for one in (new, old)]
        pairs = Pairs(strength=0.6)
        for difference in said[0] - said[1]:
            pairs = pairs.add(float(difference))
            if log_evidence(Tally(), Tally(), -0.1, [pairs]) >= log(1 / ALPHA):
                wrong += 1
                break
    assert wrong / runs <= ALPHA


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 1), st.floats(0, 1), st.floats(-1, 1))
def test_the_evidence_is_a_number_whatever_the_tallies(news: int, olds: int, new: float, old: float, difference: float) -> None:
    """No tally and no hypothesis makes it infinite or undefined, and it is never for both sides."""
    above = log_evidence(Tally(news, news * new), Tally(olds, olds * old), difference)
    below = log_evidence_below(Tally(news, news * new), Tally(olds, olds * old), difference)
    assert np.isfinite(above)
    assert np.isfinite(below)
    assert min(above, below) < log(20)


def test_how_many_more_are_needed() -> None:
    """Nothing where it is proven, a multiple where it will be, infinity where rates as they are will not do."""
    needed = log(1 / ALPHA)
    assert more_needed(Tally(500, 450), Tally(500, 400), 0.0, needed) == 1.0
    times = more_needed(Tally(50, 40), Tally(50, 40), -0.1, needed)
    assert 1 < times < 20
    assert log_evidence(Tally(50, 40).times(times * 1.01), Tally(50, 40).times(times * 1.01), -0.1) >= needed
    assert more_needed(Tally(50, 30), Tally(50, 40), -0.1, needed) == inf
