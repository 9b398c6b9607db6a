"""Where the money goes: a planted family of easy requests is found, a hard one is left alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute.cli import cli
from langroute.core.errors import DataError, UnknownRouteError
from langroute.learning.analyze import analyze
from langroute.learning.prices import read_prices


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    rows = made_traffic(1600)
    for row in rows:
        row["step"] = {"kind": "answer", "node": "solve", "team": "maths", "served": "large"}
    return write(tmp_path / "traffic.jsonl", rows)


def test_easy_requests_get_a_candidate_and_hard_ones_none(traffic: Path, prices_file: Path) -> None:
    groups = {one["name"]: one for one in analyze([traffic], prices=read_prices(prices_file), by=["task"])["groups"]}

    assert groups["sums"]["candidate"] in ("small", "other")
    assert groups["sums"]["kept"] > 0.9
    assert groups["sums"]["saving_low_usd"] <= groups["sums"]["saving_usd"] <= groups["sums"]["saving_high_usd"]
    assert groups["proofs"]["candidate"] is None
    assert sum(one["cost_share"] for one in groups.values()) == pytest.approx(1)


def test_clusters_of_similar_requests_find_the_same_without_labels(traffic: Path, prices_file: Path) -> None:
    groups = analyze([traffic], prices=read_prices(prices_file), by=["cluster"])["groups"]

    assert sum(one["requests"] for one in groups) == 1600
    assert groups[0]["candidate"] in ("small", "other")


def test_steps_nodes_and_teams_are_groups_too(traffic: Path, prices_file: Path) -> None:
    result = CliRunner().invoke(
        cli, ["analyze", str(traffic), "--prices", str(prices_file), "--format", "json"], catch_exceptions=False
    )
    groups = json.loads(result.stdout)["groups"]

    assert {(one["by"], one["name"]) for one in groups} >= {("kind", "answer"), ("node", "solve"), ("team", "maths")}
    table = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["analyze", str(traffic), "--prices", str(prices_file)])
    assert "task: sums" in table.stdout


def test_money_is_written_as_money_and_whole(tmp_path: Path, prices_file: Path) -> None:
    """No `1.23e+04`, and no cell cut to the 80 columns of a terminal that is not there."""
    rows = made_traffic(100)
    for row in rows:
        row["task"] = "a-kind-of-task-with-a-rather-long-name"
        for outcome in row["outcomes"].values():
            outcome["input_tokens"], outcome["score"] = 50_000_000, 1.0
    traffic = write(tmp_path / "dear.jsonl", rows)
    table = CliRunner().invoke(cli, ["analyze", str(traffic), "--prices", str(prices_file), "--by", "task"], catch_exceptions=False)
    assert "task: a-kind-of-task-with-a-rather-long-name" in table.stdout
    assert "e+" not in table.stdout
    assert "…" not in table.stdout
    assert " USD" in table.stdout.splitlines()[-2]


def test_a_few_lucky_requests_are_no_evidence(tmp_path: Path, prices_file: Path) -> None:
    rows = [row for row in made_traffic(60) if row["task"] == "sums"][:25]
    for row in rows:
        row["outcomes"]["small"]["score"] = row["outcomes"]["large"]["score"] = 1.0
    found = analyze([write(tmp_path / "few.jsonl", rows)], prices=read_prices(prices_file), by=["task"])["groups"][0]

    assert found["candidate"] is None


def test_what_was_billed_needs_no_price(tmp_path: Path) -> None:
    rows = made_traffic(200)
    for row in rows:
        for name, outcome in row["outcomes"].items():
            outcome["cost_usd"] = {"large": 0.5}.get(name, 0.125)
    found = analyze([write(tmp_path / "billed.jsonl", rows)], by=["task"], frontier="large")

    assert found["cost_usd"] == pytest.approx(200 * 0.5)
    assert found["compared"] == 200
    for group in found["groups"]:
        assert group["saving_low_usd"] <= group["saving_usd"] <= group["saving_high_usd"]
        if group["candidate"]:
            assert group["saving_usd"] == pytest.approx(group["requests"] * 0.375)


def test_the_best_of_many_routes_by_luck_is_no_candidate(tmp_path: Path) -> None:
    """Of sixty routes that each lose three points, the most that is tolerated, one so often looks better."""
    rng, wrong = random.Random(3), 0
    for trial in range(20):
        rows = made_traffic(200)
        for row in rows:
            row["task"] = "one"
            row["outcomes"] = {
                name: {"score": float(rng.random() < (0.9 if name == "large" else 0.87)), "input_tokens": 9, "output_tokens": 9}
                for name in ("large", *(f"small{number}" for number in range(60)))
            }
            for name, outcome in row["outcomes"].items():
                outcome["cost_usd"] = 1.0 if name == "large" else 0.1
        groups = analyze([write(tmp_path / f"{trial}.jsonl", rows)], by=["task"], frontier="large")["groups"]
        wrong += groups[0]["candidate"] is not None
    assert wrong <= 4


def test_traffic_of_one_route_says_that_nothing_can_be_compared(tmp_path: Path, prices_file: Path) -> None:
    rows = made_traffic(60)
    for row in rows:
        row["outcomes"] = {"large": row["outcomes"]["large"]}
    path = write(tmp_path / "one.jsonl", rows)
    said = CliRunner().invoke(cli, ["analyze", str(path), "--prices", str(prices_file)], catch_exceptions=False).stdout

    assert "Nothing to compare: only one route was asked" in said


def test_mistakes_are_said(traffic: Path, prices_file: Path) -> None:
    with pytest.raises(DataError, match="Cannot group by colour"):
        analyze([traffic], prices=read_prices(prices_file), by=["colour"])
    with pytest.raises(UnknownRouteError):
        analyze([traffic], prices=read_prices(prices_file), frontier="huge")
