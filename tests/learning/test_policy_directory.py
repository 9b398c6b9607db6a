"""A policy directory: the same bytes for the same data, refused when it is not whole."""

from __future__ import annotations

import json
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute import Router
from langroute.cli import cli
from langroute.core.errors import ConfigurationError, PolicyFormatError, UnknownRouteError
from langroute.estimators.documents import document_of
from langroute.estimators.store import FORMAT, load_policy_file, save_policy
from langroute.learning.fit import fit_files
from langroute.learning.prices import read_prices
from langroute.policies.learned import Learned, LearnedCascade, load_policy
from langroute.testing import ScriptedModel


def test_same_input_and_seed_same_bytes(tmp_path: Path, prices_file: Path) -> None:
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    traffic = write(tmp_path / "train.jsonl", made_traffic(300))
    written = []
    for name in ("one", "two"):
        arguments = ["fit", str(traffic), "-o", str(tmp_path / name), "--prices", str(prices_file), "--seed", "7"]
        assert CliRunner().invoke(cli, arguments, catch_exceptions=False).exit_code == 0
        written.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})

    assert written[0] == written[1]
    assert set(written[0]) == {"policy.json", "arrays.npz", "CARD.md"}


def test_a_directory_of_the_first_format_is_read(fitted: Path, tmp_path: Path) -> None:
    stored = load_policy_file(fitted)
    # The first format had no weights of a label's own.
    old = replace(stored, groups=tuple(replace(g, estimator=replace(g.estimator, letters=None)) for g in stored.groups))
    save_policy(old, tmp_path / "old", "card")
    described = tmp_path / "old" / "policy.json"
    described.write_text(described.read_text(encoding="utf-8").replace('"format": 2', '"format": 1'), encoding="utf-8")

    read = load_policy_file(tmp_path / "old")

    documents = [document_of([{"role": "user", "content": "Add 3 and 4."}], labels=("task=sums",))]
    np.testing.assert_array_equal(
        read.groups[0].estimator.estimate(documents).success, old.groups[0].estimator.estimate(documents).success
    )


def test_files_are_the_users_alone_and_hold_no_text(fitted: Path) -> None:
    files = sorted(fitted.iterdir())
    assert [path.name for path in files] == ["CARD.md", "arrays.npz", "policy.json"]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"converges" not in path.read_bytes()


def test_the_card_states_quality_and_cost_with_intervals(fitted: Path) -> None:
    card = (fitted / "CARD.md").read_text(encoding="utf-8")

    assert "train.jsonl" in card
    assert "| 0.95 |" in card
    assert " to " in card


@pytest.mark.parametrize("name", ["policy.json", "arrays.npz"])
def test_a_truncated_directory_is_refused(fitted: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(fitted, copy)
    path = copy / name
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(PolicyFormatError, match=name):
        load_policy(copy)


def test_a_directory_of_a_newer_version_is_refused(fitted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(fitted, copy)
    whole = json.loads((copy / "policy.json").read_text(encoding="utf-8"))
    whole["format"] = FORMAT + 1
    (copy / "policy.json").write_text(json.dumps(whole), encoding="utf-8")

    with pytest.raises(PolicyFormatError, match="newer langroute"):
        load_policy(copy)


def test_a_directory_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyFormatError, match="langroute fit"):
        load_policy(tmp_path)


def test_a_route_that_the_router_lacks_is_refused_when_it_is_built(fitted: Path) -> None:
    with pytest.raises(UnknownRouteError, match="other"):
        Router({"small": ScriptedModel("a"), "large": ScriptedModel("b")}, policy=load_policy(fitted))


def test_a_target_that_was_not_fitted_is_refused(fitted: Path) -> None:
    with pytest.raises(ConfigurationError, match="not fitted for target 0.5"):
        load_policy(fitted, target=0.5)


def test_a_lower_target_costs_no_more(fitted: Path) -> None:
    points = load_policy_file(fitted).groups[0].points

    assert [point.target for point in points] == [1.0, 0.99, 0.98, 0.95, 0.9]
    assert points[-1].promised["cost_ratio"] <= points[0].promised["cost_ratio"]
    assert isinstance(load_policy(fitted, target=0.95), (Learned, LearnedCascade))


def test_what_is_read_back_estimates_what_was_fitted(tmp_path: Path, prices_file: Path) -> None:
    """A vocabulary is known by slots of hashes: fewer or other slots would move every word."""
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    rows = made_traffic(150)
    for number, row in enumerate(rows):
        row["messages"][0]["content"] += " ".join(f" word{number * step % 997}" for step in range(40))
    policy = fit_files([write(tmp_path / "train.jsonl", rows)], prices=read_prices(prices_file))
    save_policy(policy, tmp_path / "policy", "card")
    documents = [document_of(row["messages"], labels=[f"task={row['task']}"]) for row in rows]

    before = policy.groups[0].estimator.estimate(documents)
    after = load_policy_file(tmp_path / "policy").groups[0].estimator.estimate(documents)

    np.testing.assert_array_equal(before.success, after.success)
    np.testing.assert_array_equal(before.output_tokens, after.output_tokens)
