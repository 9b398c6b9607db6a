"""A replayed policy stands beside the random mix of routes that costs as much, with the interval of the difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute.cli import cli
from langroute.learning.prices import read_prices
from langroute.learning.replay import replay
from langroute.learning.traffic import read_traffic


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    return write(tmp_path / "traffic.jsonl", made_traffic(900, seed=4))


def test_a_policy_that_knows_nothing_is_on_the_line(traffic: Path, prices_file: Path) -> None:
    """One route for everything is a corner of the line, or below it."""
    table = read_prices(prices_file)
    for name in ("small", "large"):
        (one,) = replay([traffic], f"always:{name}", prices=table)["targets"]
        assert one["random_mix"]["routes"] == {name: 1.0}
        assert (one["random_mix"]["difference"], one["random_mix"]["low"], one["random_mix"]["high"]) == pytest.approx((0, 0, 0))
    (other,) = replay([traffic], "always:other", prices=table)["targets"]
    assert other["random_mix"]["difference"] < 0


def test_the_difference_is_that_of_the_very_same_requests(traffic: Path, prices_file: Path) -> None:
    """The default policy on small and large: the same numbers, made from every request on its own."""
    result = replay([traffic], "default", prices=read_prices(prices_file))
    (one,) = result["targets"]
    mix = one["random_mix"]
    shares = np.array([mix["routes"].get(name, 0.0) for name in ("small", "other", "large")])
    scores = np.array(
        [[row.outcomes[name].score for name in ("small", "other", "large")] for row in read_traffic([traffic])], float
    )
    expected = float((scores @ shares).mean())

    assert 0 < shares.max() < 1
    assert mix["quality"] == pytest.approx(expected)
    assert mix["cost_usd"] == pytest.approx(one["cost_usd"])
    assert mix["difference"] == pytest.approx(one["quality"] - expected)
    # Sums and proofs are told apart by their words: the paired interval is narrower than that of two independent means.
    wide = 1.96 * np.sqrt(one["quality"] * (1 - one["quality"]) / 900 + (scores @ shares).var() / 900)
    assert 0 < mix["high"] - mix["low"] < 2 * wide
    assert mix["low"] > 0


def test_the_interval_holds_over_many_drawings(tmp_path: Path, prices_file: Path) -> None:
    """Of 60 files of one kind, the interval of about 95 in 100 has the difference of a very long one."""
    table = read_prices(prices_file)
    long = replay([write(tmp_path / "long.jsonl", made_traffic(12_000, seed=99))], "default", prices=table)["targets"][0]
    true = long["random_mix"]["difference"]
    held = 0
    for seed in range(60):
        (one,) = replay([write(tmp_path / f"{seed}.jsonl", made_traffic(250, seed=seed))], "default", prices=table)["targets"]
        held += one["random_mix"]["low"] <= true <= one["random_mix"]["high"]
    assert held >= 51


def test_the_table_has_it_and_says_that_an_oracle_is_lucky(traffic: Path, prices_file: Path) -> None:
    said = CliRunner().invoke(cli, ["replay", str(traffic), "--policy", "default", "--prices", str(prices_file)]).output

    assert "random mix of that cost" in said
    assert "oracle of one run, luck included" in said


def test_without_two_routes_on_the_same_requests_there_is_no_line(tmp_path: Path, prices_file: Path) -> None:
    rows = made_traffic(40)
    for number, row in enumerate(rows):
        name = ("small", "large")[number % 2]
        row["outcomes"] = {name: row["outcomes"][name]}
        row["step"] = {"served": name}
    result = replay([write(tmp_path / "ledger.jsonl", rows)], "always:small", prices=read_prices(prices_file))

    assert result["mix_line"] == []
    assert result["targets"][0]["random_mix"] is None
