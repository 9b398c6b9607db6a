"""From a file of outcomes to a policy, and what it would have done on another file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute.cli import cli
from langroute.core.errors import DataError, UnknownRouteError
from langroute.learning.fit import calibration_error, fit_files
from langroute.learning.prices import read_prices

pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def replayed(*arguments: Any) -> dict[str, Any]:
    result = run("replay", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests that the policy was not fitted on."""
    return write(tmp_path_factory.mktemp("fresh") / "test.jsonl", made_traffic(600, seed=1))


@pytest.fixture(scope="module")
def result(fitted: Path, fresh: Path, prices_file: Path) -> dict[str, Any]:
    return replayed(fresh, "--policy", fitted, "--prices", prices_file)


def test_the_promise_holds_on_requests_it_never_saw(result: dict[str, Any]) -> None:
    assert result["frontier"]["route"] == "large"
    for one in result["targets"]:
        assert one["promised"]["quality_low"] <= one["quality"] <= one["promised"]["quality_high"]
        assert one["quality_low"] <= one["quality"] <= one["quality_high"]
        assert one["cost_ratio"] < 0.8
        assert sum(one["shares"].values()) == pytest.approx(1)


def test_the_object_has_every_field(result: dict[str, Any]) -> None:
    assert result["requests"] == 600
    assert {"target", "quality", "cost_usd", "cost_ratio", "quality_low", "quality_high", "calls_per_request", "shares"} <= set(
        result["targets"][0]
    )
    assert {"setting", "quality", "cost_usd"} == set(result["curve"][0])
    assert {"always:small", "always:other", "always:large", "random", "best_by_task", "knn", "oracle"} == set(result["baselines"])
    assert 0.5 < result["aiq"] < 1
    assert "pair" not in result


def test_baselines_are_what_they_say(result: dict[str, Any], fresh: Path) -> None:
    rows = [json.loads(line) for line in fresh.read_text(encoding="utf-8").splitlines()]
    large = [row["outcomes"]["large"] for row in rows]

    assert result["baselines"]["always:large"]["quality"] == pytest.approx(np.mean([one["score"] for one in large]))
    spent = sum(one["input_tokens"] * 5 + one["output_tokens"] * 15 for one in large) / 1e6
    assert result["baselines"]["always:large"]["cost_usd"] == pytest.approx(spent)
    best = np.mean([max(one["score"] for one in row["outcomes"].values()) for row in rows])
    assert result["baselines"]["oracle"]["quality"] == pytest.approx(best)


def test_a_named_policy_is_replayed_like_a_fitted_one(fresh: Path, prices_file: Path, result: dict[str, Any]) -> None:
    always = replayed(fresh, "--policy", "always:small", "--prices", prices_file)
    default = replayed(fresh, "--policy", "default", "--prices", prices_file)

    assert always["targets"][0]["quality"] == pytest.approx(result["baselines"]["always:small"]["quality"])
    assert always["targets"][0]["shares"] == {"small": 1.0}
    assert 0 < default["targets"][0]["quality"] <= 1


def test_two_routes_are_judged_as_a_pair(tmp_path: Path, prices_file: Path) -> None:
    train = write(tmp_path / "train.jsonl", made_traffic(500, routes=("small", "large")))
    test = write(tmp_path / "test.jsonl", made_traffic(500, seed=3, routes=("small", "large")))
    assert run("fit", train, "-o", tmp_path / "p", "--prices", prices_file).exit_code == 0

    pair = replayed(test, "--policy", tmp_path / "p", "--prices", prices_file)["pair"]

    # A perfect order by kind of request recovers all of the gap with the 40 % of calls that are proofs.
    assert 0.7 < pair["apgr"] < 0.95
    assert pair["cpt"]["50"] < pair["cpt"]["80"] < pair["cpt"]["95"]


def test_files_of_different_routes_make_one_policy_of_several_groups(tmp_path: Path, prices_file: Path) -> None:
    one = write(tmp_path / "one.jsonl", made_traffic(200, seed=4, routes=("small", "large")))
    two = write(tmp_path / "two.jsonl", made_traffic(200, seed=5, routes=("other", "large")))
    assert run("fit", one, two, "-o", tmp_path / "p", "--prices", prices_file).exit_code == 0

    alone = replayed(two, "--policy", tmp_path / "p", "--prices", prices_file)
    both = replayed(one, two, "--policy", tmp_path / "p", "--prices", prices_file)

    assert set(alone["targets"][-1]["shares"]) <= {"other", "large"}
    assert both["requests"] == 400


def test_probabilities_are_calibrated(fitted: Path, fresh: Path) -> None:
    from langroute.estimators.documents import document_of
    from langroute.estimators.store import load_policy_file
    from langroute.learning.traffic import read_traffic

    estimator = load_policy_file(fitted).groups[0].estimator
    exchanges = list(read_traffic([fresh]))
    success = estimator.estimate([document_of(one.messages, labels=one.labels) for one in exchanges]).success
    for place, route in enumerate(estimator.routes):
        scores = np.array([one.outcomes[route].score for one in exchanges])
        assert calibration_error(success[:, place], scores) < 0.05


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (made_traffic(20), "too little data"),
        (made_traffic(200, routes=("small",)), "nothing to choose by"),
    ],
)
def test_too_little_to_learn_from_is_said(tmp_path: Path, prices_file: Path, rows: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        fit_files([write(tmp_path / "train.jsonl", rows)], prices=read_prices(prices_file))


def test_a_route_without_outcomes_or_price_is_said(tmp_path: Path, prices_file: Path) -> None:
    path = write(tmp_path / "train.jsonl", made_traffic(120))
    with pytest.raises(DataError, match="No outcome of huge"):
        fit_files([path], prices=read_prices(prices_file), routes=["small", "huge"])
    with pytest.raises(DataError, match="No price is known for large, other, small"):
        fit_files([path])


def test_a_frontier_that_is_no_route_is_said(fitted: Path, fresh: Path, prices_file: Path) -> None:
    result = run("replay", fresh, "--policy", fitted, "--prices", prices_file, "--frontier", "huge")

    assert isinstance(result.exception, UnknownRouteError)
    assert str(result.exception).startswith("Unknown route 'huge'")
    assert set(result.exception.known) == {"small", "other", "large"}


def test_traffic_of_other_routes_is_said(fitted: Path, tmp_path: Path, prices_file: Path) -> None:
    rows = made_traffic(3)
    for row in rows:
        row["outcomes"] = {"stranger": row["outcomes"]["small"]}
    result = run("replay", write(tmp_path / "x.jsonl", rows), "--policy", fitted, "--prices", prices_file)

    assert isinstance(result.exception, DataError)
    assert "no request has a scored outcome of the policy's routes" in str(result.exception)


def test_an_empty_file_is_said(fitted: Path, tmp_path: Path, prices_file: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    result = run("replay", empty, "--policy", fitted, "--prices", prices_file)

    assert isinstance(result.exception, DataError)
    assert "there are no requests" in str(result.exception)


def test_the_frontier_can_be_drawn(fitted: Path, fresh: Path, prices_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    result = run("replay", fresh, "--policy", fitted, "--prices", prices_file, "--plot", tmp_path / "frontier.html")

    assert result.exit_code == 0
    assert "always:large" in (tmp_path / "frontier.html").read_text(encoding="utf-8")
