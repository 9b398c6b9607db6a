"""Agreement chains: cheap routes that must agree, and a stronger one where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_traffic import made_traffic, write

from langroute.cli import cli
from langroute.core.errors import DataError, PolicyFormatError
from langroute.core.records import Attempt, Request, RouteInfo
from langroute.estimators import policy_schema, store
from langroute.estimators.store import Group, load_policy_file
from langroute.learning.agreement import Chain, chain_plan, chains, outcomes
from langroute.learning.cascades import Ground
from langroute.policies.learned import LearnedCascade, load_policy

REQUEST = Request("Add 17 and 4, then tell me the sum.", routes=tuple(RouteInfo(name) for name in ("small", "other", "large")))


def ground(answers: list[list[str | None]], right: str = "21") -> Ground:
    """Recorded answers of three routes, of which the last is the frontier."""
    scores = np.array([[float(answer == right) for answer in row] for row in answers])
    same = np.array([[[a is not None and a == b for b in row] for a in row] for row in answers])
    known = np.array([[float(answer is not None) for answer in row] for row in answers])
    costs = np.tile([0.1, 0.2, 1.0], (len(answers), 1))
    none = np.zeros_like(scores)
    return Ground(none, scores, costs, costs, same, known, none, 2, np.arange(len(answers)) % 2)


RECORDED = ground([["21", "21", "21"], ["21", "20", "21"], ["3", "3", "21"], [None, None, "21"], ["4", "5", "6"]])


def test_what_a_chain_would_have_scored_and_cost_is_counted() -> None:
    ((score, cost),) = outcomes(RECORDED, [Chain((0, 1), 2)])

    assert score.tolist() == [1.0, 1.0, 0.0, 1.0, 0.0]
    assert cost == pytest.approx([0.3, 1.3, 0.3, 1.3, 1.3])


def test_three_that_must_agree_are_asked_as_long_as_they_do() -> None:
    recorded = ground([["21", "21", "21"], ["21", "20", "21"], ["21", "21", "4"]])
    ((score, cost),) = outcomes(recorded, [Chain((0, 1, 2), 1)])

    assert score.tolist() == [1.0, 0.0, 1.0]
    assert cost == pytest.approx([1.3, 0.5, 1.5])


def test_chains_are_of_routes_cheaper_than_the_best_one() -> None:
    found = chains(np.array([0.7, 0.75, 0.8, 0.9]), np.array([0.1, 0.2, 2.0, 1.0]), 3)

    assert Chain((0, 1), 3) in found
    assert not any(2 in (*one.cheap, one.last) or 3 in one.cheap for one in found)


@pytest.fixture
def group(fitted: Path) -> Group:
    return load_policy_file(fitted).groups[0]


def attempts_of(policy: LearnedCascade, request: Request, answers: dict[str, str | None]) -> list[Attempt]:
    found: list[Attempt] = []
    while (selection := policy.select(request, found)) is not None:
        answer = answers[selection.route]
        found.append(Attempt(selection, answer or "", parsed=answer))
    return found


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ({"small": "21", "other": "21"}, ["small", "other"]),
        ({"small": "21", "other": "20", "large": "21"}, ["small", "other", "large"]),
        ({"small": None, "other": None, "large": "21"}, ["small", "other", "large"]),
    ],
)
def test_the_policy_asks_as_the_chain_was_counted(group: Group, answers: dict[str, Any], asked: list[str]) -> None:
    place = {name: index for index, name in enumerate(group.routes)}
    order = [place["small"], place["other"], place["large"]]
    plain = [order.index(index) for index in range(3)]
    recorded = ground([[row[index] for index in plain] for row in [["21", "21", "21"], ["21", "20", "21"], ["3", "4", "21"]]])
    plan = chain_plan(recorded, Chain((order[0], order[1]), order[2]), group.unit_usd)

    found = attempts_of(LearnedCascade(group, plan=plan), REQUEST, answers)

    assert [attempt.route for attempt in found] == asked
    assert all(0 <= attempt.selection.confidence <= 1 for attempt in found if attempt.selection.confidence is not None)


def test_without_one_of_the_pair_the_last_route_answers(group: Group) -> None:
    place = {name: index for index, name in enumerate(group.routes)}
    width = len(group.routes)
    recorded = ground([["21"] * width, ["3", "4", "21"]])
    plan = chain_plan(recorded, Chain((place["small"], place["other"]), place["large"]), group.unit_usd)
    policy = LearnedCascade(group, plan=plan)

    no_first = Request(REQUEST.messages, routes=(RouteInfo("other"), RouteInfo("large")))
    no_second = Request(REQUEST.messages, routes=(RouteInfo("small"), RouteInfo("large")))

    assert [one.route for one in attempts_of(policy, no_first, {"large": "21"})] == ["large"]
    assert [one.route for one in attempts_of(policy, no_second, {"small": "21", "large": "21"})] == ["small", "large"]


def fit(folder: Path, targets: str) -> Any:
    pytest.importorskip("sklearn", reason="fitting needs the extra `learn`")
    prices = folder / "prices.toml"
    from made_traffic import PRICES

    prices.write_text(PRICES, encoding="utf-8")
    traffic = write(folder / "traffic.jsonl", made_traffic(700))
    arguments = ["fit", str(traffic), "-o", str(folder / "policy"), "--prices", str(prices), "--targets", targets]
    return CliRunner().invoke(cli, arguments)


def test_a_target_above_one_is_fitted_where_routes_together_are_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit(tmp_path, "1.01,1.0").exit_code == 0
    stored = load_policy_file(tmp_path / "policy")
    above, best = stored.groups[0].points

    assert above.plan is not None
    assert above.promised["relative"] >= 1.01
    assert above.promised["cost_ratio"] < 1
    assert load_policy(tmp_path / "policy", target=1.01).plan.order == above.plan.order
    if above.plan.price_of_quality < 1e-6:
        assert "which must agree; else large" in (tmp_path / "policy" / "CARD.md").read_text(encoding="utf-8")
    # Without a target it is the best route's quality, not the most that there is.
    usual = load_policy(tmp_path / "policy")
    assert stored.usual_target == 1.0
    assert getattr(usual, "plan", None) is None or usual.plan.order == best.plan.order  # type: ignore[union-attr]
    # An older version says that it is too old, rather than that the file is damaged.
    monkeypatch.setattr(store, "FORMAT", 2)
    monkeypatch.setattr(policy_schema, "MOST_TARGET", 1.0)
    with pytest.raises(PolicyFormatError, match="newer langroute"):
        load_policy_file(tmp_path / "policy")


def test_a_target_that_nothing_reaches_says_what_is_reached(tmp_path: Path) -> None:
    result = fit(tmp_path, "1.3,1.0")

    assert isinstance(result.exception, DataError)
    assert "No setting reaches the target 1.3" in str(result.exception)
    assert "the most is 1.0" in str(result.exception)


def test_older_versions_can_read_a_policy_without_such_targets(fitted: Path) -> None:
    assert '"format": 2' in (fitted / "policy.json").read_text(encoding="utf-8")
