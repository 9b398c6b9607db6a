"""Off-policy estimates: right on average, and honest about how sure they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute import ChatRouter
from langroute.cli import cli
from langroute.core.errors import DataError
from langroute.core.records import RouteInfo
from langroute.estimators.documents import document_of
from langroute.estimators.store import load_policy_file
from langroute.learning.crossfit import Settings
from langroute.learning.fit import fit_group
from langroute.learning.grouping import table_of
from langroute.learning.offpolicy import ESTIMATORS, estimate_value, replay_logged
from langroute.learning.prices import prices_for, read_prices
from langroute.learning.traffic import read_traffic
from langroute.ledger import open_ledger
from langroute.policies.bandit import Bandit
from langroute.policies.learned import Learned
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome


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

    arguments = ["replay", str(logged), "--policy", str(policy), "--estimator", "dr", "--format", "json"]
    guessed = json.loads(runner.invoke(cli, arguments, catch_exceptions=False).stdout)
    true = json.loads(
        runner.invoke(cli, ["replay", str(whole), "--policy", str(policy), "--format", "json"], catch_exceptions=False).stdout
    )

    assert (guessed["requests"], guessed["left_out"], guessed["unjudged"]) == (1500, 0, [])
    for said, seen in zip(guessed["targets"], true["targets"], strict=True):
        assert said["low"] <= seen["quality"] <= said["high"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_few_requests_that_count_are_no_reason_to_be_sure(estimator: str) -> None:
    """Nine routes, and a log that seldom leaves one of them: a tenth of the requests, each with thirty times the weight, decides."""
    truth, inside, chances = 0.8, 0, np.full(9, 0.3 / 9)
    chances[0] += 0.7
    for run in range(100):
        random = np.random.default_rng(run)
        logged = random.choice(9, 260, p=chances)
        new = random.choice(9, 260, p=np.full(9, 1 / 9))
        found = estimate_value(
            (random.random(260) < truth).astype(float),
            chances[logged],
            (logged == new).astype(float),
            estimator=estimator,
            expected=np.full(260, 0.7),
            expected_new=np.full(260, 0.7),
        )
        inside += found.low <= truth <= found.high
        assert 0 <= found.low <= found.value <= found.high <= 1

    assert inside >= 90


@pytest.mark.parametrize("source", ["bfcl", "routellm"])
def test_estimates_from_logs_made_of_recorded_outcomes_agree_with_the_full_record(shared: Path, source: str) -> None:
    """One outcome a request is kept, by a policy with known propensities; requests are drawn anew for each run."""
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    prices = read_prices(shared / "outcomes" / "prices.toml")
    every = list(read_traffic([shared / "outcomes" / f"{source}.jsonl.gz"]))[::3]
    routes = tuple(sorted(every[0].outcomes))
    small = Settings(folds=2, trees=10)
    table = table_of(every[::2], routes, prices_for(routes, prices))
    group = fit_group(table, prices_for(routes, prices), (1.0,), 0, small)
    held = table_of(every[1::2], routes, prices_for(routes, prices))
    policy = Learned(group, tolerance=0.3)
    guess = group.estimator.estimate([document_of(one.messages, one.tools, one.labels) for one in held.exchanges])
    new = policy.places(guess, tuple(RouteInfo(name, price=group.prices[name]) for name in group.routes))
    index, chances = np.arange(len(new)), np.full(len(routes), 0.5 / len(routes))
    chances[group.routes.index(group.frontier)] += 0.5
    truth = held.scores[index, new].mean()
    inside = dict.fromkeys(ESTIMATORS, 0)
    for run in range(100):
        random = np.random.default_rng(run)
        rows = random.integers(len(new), size=len(new))
        logged = random.choice(len(routes), len(rows), p=chances)
        for estimator in ESTIMATORS:
            found = estimate_value(
                held.scores[rows, logged],
                chances[logged],
                (logged == new[rows]).astype(float),
                estimator=estimator,
                expected=guess.success[rows, logged],
                expected_new=guess.success[rows, new[rows]],
            )
            inside[estimator] += found.low <= truth <= found.high

    assert min(inside.values()) >= 90, inside


def test_a_log_that_cannot_hold_what_the_policy_would_do_is_refused() -> None:
    """A route that was never explored: the requests that would go to it are missing, and no weight brings them back."""
    random = np.random.default_rng(0)
    new, rewards = random.random(400) < 0.5, random.random(400)

    with pytest.raises(DataError, match="could not be made when this was logged"):
        estimate_value(rewards, np.ones(400), 1.0 - new, estimator="snips")


def test_a_bandit_log_goes_through_ledger_and_export_to_an_estimate(tmp_path: Path, prices_file: Path) -> None:
    """Nothing between is made up: a router with a bandit, its ledger, `langroute export`, `langroute replay --estimator`."""
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    train = write(tmp_path / "train.jsonl", made_traffic(400, routes=("small", "large")))
    policy, runner = tmp_path / "policy", CliRunner()
    assert runner.invoke(cli, ["fit", str(train), "-o", str(policy), "--prices", str(prices_file)]).exit_code == 0
    group = load_policy_file(policy).groups[0]
    bandit = Bandit(["small", "large"], group=group, cost_weight=1.0, explore=0.5)
    models = {name: ScriptedModel(lambda _: "done") for name in ("small", "large")}
    with open_ledger(tmp_path / "l.db", level="full") as ledger:
        router = ChatRouter(models, policy=bandit, ledger=ledger, prices={"scripted": {"input": 1, "output": 1}})
        for row in made_traffic(150, seed=8, routes=("small", "large")):
            answer = router.invoke(row["messages"][0]["content"])
            route = answer.response_metadata["langroute"]["route"]
            record_outcome(router, bool(row["outcomes"][route]["score"]), message=answer)
    done = runner.invoke(cli, ["export", "--ledger", str(tmp_path / "l.db"), "-o", str(tmp_path / "log.jsonl")])
    assert done.exit_code == 0, done.output
    propensities = {next(iter(one.outcomes.values())).propensity for one in read_traffic([tmp_path / "log.jsonl"])}
    assert len(propensities) > 5

    said = json.loads(
        runner.invoke(
            cli,
            ["replay", str(tmp_path / "log.jsonl"), "--policy", str(policy), "--estimator", "dr", "--format", "json"],
            catch_exceptions=False,
        ).stdout
    )

    assert said["requests"] == 150
    assert all(0 <= one["low"] <= one["value"] <= one["high"] <= 1 for one in said["targets"])


def test_cascades_are_named_as_what_a_log_cannot_judge(tmp_path: Path, fitted: Path) -> None:
    rows = made_traffic(600, seed=6)
    random = np.random.default_rng(0)
    for row in rows:
        name = str(random.choice(["small", "other", "large"]))
        row["outcomes"] = {name: {**row["outcomes"][name], "propensity": 1 / 3}}
    logged = write(tmp_path / "logged.jsonl", rows)

    done = CliRunner().invoke(cli, ["replay", str(logged), "--policy", str(fitted), "--estimator", "snips"], catch_exceptions=False)

    assert "600 logged requests, judged by snips" in done.stdout
    assert "cannot be judged: What a cascade does next depends on an answer" in done.stdout


def test_what_cannot_be_judged_is_said(tmp_path: Path, fitted: Path) -> None:
    with pytest.raises(DataError, match="above 0"):
        estimate_value(np.ones(2), np.array([0.5, 0.0]), np.ones(2), estimator="ips")
    with pytest.raises(DataError, match="nothing can be said"):
        estimate_value(np.ones(2), np.ones(2), np.zeros(2), estimator="ips")
    several = write(tmp_path / "x.jsonl", made_traffic(3))
    result = CliRunner().invoke(cli, ["replay", str(several), "--policy", str(fitted), "--estimator", "ips"])
    assert isinstance(result.exception, DataError)
    assert "x.jsonl:1: logged traffic has, of one outcome, the `propensity`" in str(result.exception)


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_propensities_that_are_too_low_are_said(estimator: str) -> None:
    """Else every request would count as many, and the mean would be cut off at 1."""
    random = np.random.default_rng(1)
    right = (random.random(400) < 0.6).astype(float)
    same = (random.random(400) < 1 / 3).astype(float)
    guess = np.full(400, 0.6)

    with pytest.raises(
        DataError, match=r"propensities of the log are too low: weights by them have a mean of [67]\.\d+ \(at least [456]"
    ):
        estimate_value(right, np.full(400, 0.05), same, estimator=estimator, expected=guess, expected_new=guess)
    value = estimate_value(right, np.full(400, 1 / 3), same, estimator=estimator, expected=guess, expected_new=guess)
    assert value.low < 0.6 < value.high


def test_an_estimate_of_what_is_no_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="give the directory that `langroute fit` wrote, or a name such as always:small, not nobody"
    ):
        replay_logged([tmp_path / "logged.jsonl"], "nobody")
