"""A part of the recorded outcomes of real models, where they are present. The whole is in benchmarks/learning.py."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from langroute.cli import cli

pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")


def part(shared: Path, source: str, folder: Path, train: int, test: int) -> tuple[Path, Path]:
    with gzip.open(shared / "outcomes" / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
        # The files are ordered by task; every so many lines is a fair part.
        rows = list(lines)
    step = max(1, len(rows) // (train + test))
    rows = rows[::step][: train + test]
    paths = folder / "train.jsonl", folder / "test.jsonl"
    every = (train + test) // test
    held = set(range(0, len(rows), every))
    paths[0].write_text("".join(row for place, row in enumerate(rows) if place not in held), encoding="utf-8")
    paths[1].write_text("".join(row for place, row in enumerate(rows) if place in held), encoding="utf-8")
    return paths


def fit_and_replay(shared: Path, source: str, folder: Path, train: int, test: int) -> dict[str, Any]:
    known, fresh = part(shared, source, folder, train, test)
    prices = str(shared / "outcomes" / "prices.toml")
    runner = CliRunner()
    runner.invoke(cli, ["fit", str(known), "-o", str(folder / "policy"), "--prices", prices], catch_exceptions=False)
    arguments = ["replay", str(fresh), "--policy", str(folder / "policy"), "--prices", prices, "--format", "json"]
    return json.loads(runner.invoke(cli, arguments, catch_exceptions=False).stdout)


def test_a_pair_is_told_apart_better_than_by_a_coin(shared: Path, tmp_path: Path) -> None:
    result = fit_and_replay(shared, "routellm", tmp_path, 1600, 800)

    assert result["frontier"]["route"] == "gpt-4-1106-preview"
    assert result["pair"]["apgr"] > 0.58


def test_agreement_of_cheap_models_saves_most_of_the_cost(shared: Path, tmp_path: Path) -> None:
    result = fit_and_replay(shared, "zeroeval", tmp_path, 700, 280)
    last = result["targets"][-1]

    # Where a fitted first choice comes out as cheap as agreement, which of the two leads differs between machines.
    assert "LearnedCascade" in {one["policy"] for one in result["targets"]}
    assert last["cost_ratio"] < 0.5
    assert last["quality"] > 0.85 * result["frontier"]["quality"]


def test_tools_and_schemas_are_enough_to_choose_by(shared: Path, tmp_path: Path) -> None:
    result = fit_and_replay(shared, "bfcl", tmp_path, 600, 228)

    assert result["targets"][0]["cost_ratio"] < 0.5
    assert result["targets"][0]["quality"] > result["baselines"]["random"]["quality"]
