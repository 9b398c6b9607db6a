"""A replay asks the shipped policies: all at once gives what asking them one by one gives, and traffic of any length streams by."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_traffic import made_traffic, write

from langroute.core.records import Price, Usage, best_attempt
from langroute.estimators.documents import Document
from langroute.estimators.features import featurize_and_hash, word_hashes
from langroute.estimators.store import load_policy_file
from langroute.estimators.vocabulary import HashedVocabulary
from langroute.learning import neighbours, parts
from langroute.learning.fit import fit_files
from langroute.learning.named import named_policy
from langroute.learning.neighbours import Neighbours, most_alike
from langroute.learning.parts import Rates, parts_of
from langroute.learning.prices import read_prices
from langroute.learning.replay import CURVE, attempt_of, replay, request_of
from langroute.learning.traffic import Exchange, parse_exchange, read_traffic
from langroute.policies.learned import LearnedGroups, policy_from
from langroute.routes.price_arrays import costs
from langroute.routes.pricing import cost


def one_by_one(policy: Any, exchanges: list[Exchange], rates: Rates) -> tuple[float, float, int]:
    """Score, cost and calls of a policy that is asked for each request alone, as a router would."""
    score = spent = 0.0
    calls = 0
    for one in exchanges:
        names = tuple(sorted(one.outcomes))
        request = request_of(one, rates.infos(names))
        asked = policy.of(names) if isinstance(policy, LearnedGroups) else policy
        attempts: list[Any] = []
        while (selection := asked.select(request, attempts)) is not None:
            outcome = one.outcomes[selection.route]
            paid = cost(rates[selection.route], Usage(outcome.input_tokens, outcome.output_tokens))
            attempts.append(attempt_of(selection, outcome, paid))
        kept = best_attempt(attempts)
        score += one.outcomes[kept.route].score
        spent += sum(attempt.cost_usd for attempt in attempts)
        calls += len(attempts)
    return score, spent, calls


def check(result: dict[str, Any], stored: Any, exchanges: list[Exchange], rates: Rates) -> None:
    for said in result["targets"]:
        score, spent, calls = one_by_one(policy_from(stored, target=said["target"]), exchanges, rates)
        assert said["quality"] == pytest.approx(score / len(exchanges))
        assert said["cost_usd"] == pytest.approx(spent)
        assert said["calls_per_request"] == pytest.approx(calls / len(exchanges))
    for said in result["curve"][:: len(CURVE) // 4]:
        score, spent, _ = one_by_one(policy_from(stored, tolerance=said["setting"]), exchanges, rates)
        assert said["quality"] == pytest.approx(score / len(exchanges))
        assert said["cost_usd"] == pytest.approx(spent)


def test_every_fitted_policy_decides_in_a_batch_as_it_does_alone(fitted: Path, tmp_path: Path, prices_file: Path) -> None:
    """Single calls, cascades, and each setting of the curve."""
    path = write(tmp_path / "fresh.jsonl", made_traffic(300, seed=1))
    stored, table = load_policy_file(fitted), read_prices(prices_file)

    result = replay([path], fitted, prices=table)

    assert {one["policy"] for one in result["targets"]} == {"Learned", "LearnedCascade"}
    check(result, stored, list(read_traffic([path])), Rates(table, stored))


def test_a_policy_of_several_groups_decides_in_a_batch_as_it_does_alone(tmp_path: Path, prices_file: Path) -> None:
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    from langroute.estimators.store import save_policy

    table = read_prices(prices_file)
    rows = [*made_traffic(160, seed=4, routes=("small", "large")), *made_traffic(160, seed=5, routes=("other", "large"))]
    mixed = write(tmp_path / "mixed.jsonl", [row for pair in zip(rows[:160], rows[160:], strict=True) for row in pair])
    stored = save_policy(fit_files([mixed], prices=table), tmp_path / "policy", "")

    check(replay([mixed], tmp_path / "policy", prices=table), stored, list(read_traffic([mixed])), Rates(table, stored))


@pytest.mark.parametrize("name", ["default", "always:small"])
def test_a_named_policy_is_asked_for_each_request(tmp_path: Path, prices_file: Path, name: str) -> None:
    path = write(tmp_path / "traffic.jsonl", made_traffic(60, seed=2))
    rates = Rates(read_prices(prices_file))

    said = replay([path], name, prices=read_prices(prices_file))["targets"][0]
    score, spent, calls = one_by_one(
        named_policy(name, rates.infos(("large", "other", "small"))), list(read_traffic([path])), rates
    )

    assert said["quality"] == pytest.approx(score / 60)
    assert said["cost_usd"] == pytest.approx(spent)
    assert said["calls_per_request"] == pytest.approx(calls / 60)


def test_where_a_stretch_ends_changes_nothing(
    fitted: Path, tmp_path: Path, prices_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "traffic.jsonl", made_traffic(200, seed=3))
    whole = replay([path], fitted, prices=read_prices(prices_file))
    monkeypatch.setattr(parts, "REQUESTS", 37)
    short = replay([path], fitted, prices=read_prices(prices_file))

    for one, other in zip((*whole["targets"], *whole["curve"]), (*short["targets"], *short["curve"]), strict=True):
        assert one["quality"] == pytest.approx(other["quality"])
        assert one["cost_usd"] == pytest.approx(other["cost_usd"])
    for name, one in whole["baselines"].items():
        assert one == pytest.approx(short["baselines"][name]), name


def test_no_text_is_kept_of_what_was_read(prices_file: Path) -> None:
    """Long traffic streams by: at most two stretches of it are there at a time."""

    class Text(str):
        pass

    alive: list[weakref.ref[Text]] = []

    def endless() -> Iterator[Exchange]:
        for row in made_traffic(6 * parts.REQUESTS):
            text = Text(row["messages"][0]["content"])
            alive.append(weakref.ref(text))
            yield parse_exchange({**row, "messages": [{"role": "user", "content": text}]})

    most = 0
    for part in parts_of(endless(), Rates(read_prices(prices_file))):
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        del part

    assert len(alive) == 6 * parts.REQUESTS
    assert most <= 2 * parts.REQUESTS


def test_long_texts_end_a_stretch_early(prices_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "CHARACTERS", 1000)
    rows = [parse_exchange(row) for row in made_traffic(100)]

    assert max(len(part) for part in parts_of(rows, Rates(read_prices(prices_file)))) < 30


@given(
    tokens=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**5)), min_size=1, max_size=20),
    rates=st.tuples(*[st.floats(0, 100)] * 4),
    tiers=st.lists(st.integers(0, 10**6), max_size=3, unique=True),
)
def test_costs_in_a_batch_are_those_of_one_call(tokens: list[tuple[int, int]], rates: tuple[float, ...], tiers: list[int]) -> None:
    above = tuple((start, Price(rates[0] + place, rates[1] * 2)) for place, start in enumerate(sorted(tiers)))
    price = Price(rates[0], rates[1], per_call=rates[2], per_second=rates[3], above=above)
    given_, written = np.array(tokens, float).T
    seconds = np.arange(len(tokens), dtype=float)

    found = costs(price, given_, written, seconds=seconds)

    assert found == pytest.approx([cost(price, Usage(*both), place) for place, both in enumerate(tokens)])


@pytest.mark.parametrize(("width", "near"), [(7, 3), (250, 20), (300, 20), (1000, 20), (1049, 50), (900, 60)])
def test_the_most_alike_are_the_largest(width: int, near: int) -> None:
    likeness = np.random.default_rng(width).random((40, width)).astype(np.float32)

    found = np.sort(np.take_along_axis(likeness, most_alike(likeness, near), 1), 1)

    assert np.array_equal(found, np.sort(likeness, 1)[:, -near:])


def test_neighbours_of_long_traffic_are_judged_on_a_part_that_is_spread_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two families of requests, each with a route of its own; the part that is kept says the same as the whole."""
    random = np.random.default_rng(0)
    family = random.random(4000) < 0.3
    vectors = np.where(family[:, None], [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
    scores = np.column_stack([family, ~family]).astype(float)

    def totals() -> tuple[float, float]:
        near = Neighbours(2)
        for begin in range(0, 4000, 100):
            at = slice(begin, begin + 100)
            near.add(vectors[at], scores[at], np.ones((100, 2)))
        return near.totals()

    assert totals() == (4000, 4000)
    monkeypatch.setattr(neighbours, "KEPT", 500)
    assert totals() == pytest.approx((4000, 4000))


def test_one_pass_over_the_text_says_what_two_would() -> None:
    documents = [Document(f"Add {number} and two.\nA. yes\nB. né", "seen it" * (number % 2)) for number in range(50)]
    hashes, owners = word_hashes(documents)
    vocabulary = HashedVocabulary(np.unique(hashes)[::2])

    batch, found, found_owners = featurize_and_hash(documents, vocabulary)

    assert np.array_equal(found, hashes)
    assert np.array_equal(found_owners, owners)
    assert len(batch) == 50
