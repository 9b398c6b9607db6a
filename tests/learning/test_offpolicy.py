"""Off-policy estimates: right on average, and honest about how sure they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute.cli import cli
from langroute.errors import DataError
from langroute.learning.offpolicy import ESTIMATORS, estimate_value


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_truth_is_inside_the_interval_in_nine_of_ten_runs(estimator: str) -> None:
    """Logged by a random policy that prefers the weak route; the new policy takes the strong one for hard requests."""
    scores = np.array([[one["outcomes"][name]["score"] for name in ("small", "large")] for one in made_traffic(3000)])
    hard = np.array([one["task"] == "proofs" for one in made_traffic(3000)])
    new = hard.astype(int)
    index = np.arange(len(new))
    truth = scores[index, new].mean()
    model = np.where(hard[:, None], [0.45, 0.85], [0.9, 0.9])
    inside = 0
    for run in range(100):
        random = np.random.default_rng(run)
        strong = random.random(len(new)) < 0.3
        logged = strong.astype(int)
        found = estimate_value(
            scores[index, logged],
            np.where(strong, 0.3, 0.7),
            (logged == new).astype(float),
            estimator=estimator,
            expected=model[index, logged],
            expected_new=model[index, new],
        )
        inside += found.low <= truth <= found.high

    assert inside >= 90


def test_a_fitted_policy_is_judged_by_logged_traffic(tmp_path: Path, prices_file: Path) -> None:
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    train = write(tmp_path / "train.jsonl", made_traffic(500, routes=("small", "large")))
    policy = tmp_path / "policy"
    runner = CliRunner()
    assert runner.invoke(cli, ["fit", str(train), "-o", str(policy), "--prices", str(prices_file)]).exit_code == 0
    rows = made_traffic(1500, seed=6, routes=("small", "large"))
    whole = write(tmp_path / "whole.jsonl", rows)
    random = np.random.default_rng(0)
    for row in rows:
        name = "large" if random.random() < 0.5 else "small"
        row["outcomes"] = {name: {**row["outcomes"][name], "propensity": 0.5}}
    logged = write(tmp_path / "logged.jsonl", rows)

    arguments = ["replay", str(logged), "--policy", str(policy), "--estimator", "dr", "--json"]
    guessed = json.loads(runner.invoke(cli, arguments, catch_exceptions=False).stdout)
    true = json.loads(runner.invoke(cli, ["replay", str(whole), "--policy", str(policy), "--json"], catch_exceptions=False).stdout)

    for said, seen in zip(guessed["targets"], true["targets"], strict=True):
        assert said["low"] - 0.01 <= seen["quality"] <= said["high"] + 0.01


def test_what_cannot_be_judged_is_said(tmp_path: Path, fitted: Path) -> None:
    with pytest.raises(DataError, match="above 0"):
        estimate_value(np.ones(2), np.array([0.5, 0.0]), np.ones(2), estimator="ips")
    with pytest.raises(DataError, match="nothing can be said"):
        estimate_value(np.ones(2), np.ones(2), np.zeros(2), estimator="ips")
    several = write(tmp_path / "x.jsonl", made_traffic(3))
    result = CliRunner().invoke(cli, ["replay", str(several), "--policy", str(fitted), "--estimator", "ips"])
    assert isinstance(result.exception, DataError)
    assert "x.jsonl:1" in str(result.exception)
