"""What a ledger exports is replayed and analysed: what can be judged is, and what cannot is said."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from langroute.cli import cli
from langroute.core.errors import DataError, UnknownRouteError
from langroute.learning.analyze import analyze
from langroute.learning.offpolicy import replay_logged
from langroute.learning.prices import read_prices
from langroute.learning.replay import replay


def row(number: int, *routes: str, score: float | None = 1.0, **more: Any) -> dict[str, Any]:
    outcome = {"score": score, "input_tokens": 100, "output_tokens": 20, "cost_usd": 0.001, **more}
    return {
        "id": str(number),
        "task": "support",
        "messages": [{"role": "user", "content": f"Question {number}"}],
        "step": {"kind": "answer", "served": routes[-1]},
        "outcomes": {route: dict(outcome) for route in routes},
    }


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def said(*arguments: Any) -> str:
    result = CliRunner().invoke(cli, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """`small` answered 40 of 80, `large` 40, and `middle` 20."""
    asked = [("small",), ("small", "large"), ("large",), ("middle",)]
    return written(tmp_path / "export.jsonl", [row(number, *asked[number % 4]) for number in range(80)])


@pytest.mark.parametrize("route, judged", [("small", 40), ("large", 40), ("middle", 20)])
def test_a_route_is_judged_by_the_requests_that_it_answered(export: Path, route: str, judged: int) -> None:
    result = replay([export], f"always:{route}")

    assert (result["read"], result["requests"], result["unscored"], result["unanswered"]) == (80, judged, 0, 80 - judged)
    assert result["unanswered_by_route"] == {route: 80 - judged}
    assert result["logged"]
    assert result["frontier"]["quality"] == result["targets"][0]["quality"] == 1.0
    assert f"{judged} of 80 requests have the answer" in said("replay", export, "--policy", f"always:{route}")


def test_a_policy_is_asked_with_all_the_routes_that_a_ledger_had(export: Path) -> None:
    """With the asked route alone it would have no choice, and whatever it is would be right."""
    result = replay([export], "default")

    assert 0 < result["requests"] < 80
    assert result["requests"] + result["unanswered"] == 80


def test_a_route_that_nobody_asked_is_unknown(export: Path) -> None:
    with pytest.raises(UnknownRouteError, match="tiny"):
        replay([export], "always:tiny")
    with pytest.raises(UnknownRouteError, match="tiny"):
        replay([export], "always:small", frontier="tiny")


def test_a_frontier_that_answered_part_of_the_requests_is_compared_there(export: Path) -> None:
    assert replay([export], "always:small", frontier="large")["requests"] == 40


@pytest.mark.parametrize(
    "scores, low, high", [([1.0] * 6, 0.61, 1.0), ([0.0] * 6, 0.0, 0.39), ([1.0] * 5 + [0.0], 0.43, 0.97), ([0.5] * 6, 0.18, 0.82)]
)
def test_few_scores_are_no_certainty(tmp_path: Path, scores: list[float], low: float, high: float) -> None:
    rows = [row(number, "small", score=score) for number, score in enumerate([*scores, None, None])]
    path = written(tmp_path / "few.jsonl", rows)
    result = replay([path], "always:small")

    assert (result["read"], result["requests"], result["unscored"]) == (8, 6, 2)
    assert result["targets"][0]["quality_low"] == pytest.approx(low, abs=0.01)
    assert result["targets"][0]["quality_high"] == pytest.approx(high, abs=0.01)
    assert "6 of 8 requests have a score; 2 are left out." in said("replay", path, "--policy", "always:small")


def test_what_was_billed_stands_for_a_price_that_nobody_knows(export: Path) -> None:
    result = replay([export], "always:small")

    assert result["targets"][0]["cost_usd"] == pytest.approx(40 * 0.001)


def test_a_policy_with_a_choice_is_not_praised_for_requests_without_one(tmp_path: Path, fitted: Path, prices_file: Path) -> None:
    path = written(tmp_path / "logged.jsonl", [row(number, "small") for number in range(5)])
    with pytest.raises(DataError, match="nothing that it could choose between"):
        replay([path], fitted, prices=read_prices(prices_file))
    both = written(tmp_path / "both.jsonl", [row(number, *(["small", "large"][: 1 + number % 2])) for number in range(10)])
    result = replay([both], fitted, prices=read_prices(prices_file))
    assert (result["read"], result["requests"], result["unanswered"]) == (10, 5, 5)


def test_calls_without_a_cost_are_counted_apart(tmp_path: Path) -> None:
    rows = [row(number, "mine") for number in range(50)]
    del rows[3]["outcomes"]["mine"]["cost_usd"]
    rows[3]["outcomes"]["mine"] |= {"score": 0.0, "error_type": "TimeoutError", "input_tokens": 0, "output_tokens": 0}
    path = written(tmp_path / "timeout.jsonl", rows)
    result = analyze([path], by=["task"])

    assert (result["requests"], result["failed"], result["unpriced"], result["routes"]) == (50, 1, 1, 1)
    assert result["cost_usd"] == pytest.approx(49 * 0.001)
    output = said("analyze", path, "--by", "task")
    assert "1 of the requests failed" in output
    assert "only one route was asked" in output
    assert "0.00 USD to 0.00 USD" not in output


def test_a_route_without_any_cost_or_price_is_still_a_mistake(tmp_path: Path) -> None:
    rows = [row(number, "mine") for number in range(5)]
    for one in rows:
        del one["outcomes"]["mine"]["cost_usd"]
    with pytest.raises(DataError, match="No price is known for mine"):
        analyze([written(tmp_path / "unbilled.jsonl", rows)], by=["task"])


def drawn(path: Path, count: int, seed: int = 3) -> Path:
    """Hard requests go to `small` one time in ten, easy ones nine times in ten; `small` solves the easy ones, `large` all."""
    random_ = random.Random(seed)
    rows = []
    for number in range(count):
        hard = random_.random() < 0.5
        share = 0.1 if hard else 0.9
        route = "small" if random_.random() < share else "large"
        score = float(route == "large" or not hard)
        rows.append(row(number, route, score=score, propensity=share if route == "small" else 1 - share))
    return written(path, rows)


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_a_policy_by_name_is_judged_by_propensities(tmp_path: Path, estimator: str) -> None:
    """Of what `small` answered nine tenths were easy, so it seems to solve 90 %; it would solve half."""
    log = drawn(tmp_path / "log.jsonl", 3000)
    (one,) = replay_logged([log], "always:small", estimator=estimator)["targets"]

    assert replay([log], "always:small")["targets"][0]["quality"] == pytest.approx(0.9, abs=0.03)
    assert one["low"] < 0.5 < one["high"]
    assert one["high"] < 0.65
    output = said("replay", log, "--policy", "always:small", "--estimator", estimator)
    assert "3000 logged requests" in output
    assert "the policy: quality" in output


def test_a_policy_that_goes_on_after_an_answer_cannot_be_judged_by_one_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cascading.py").write_text(
        "from langroute.core.records import Selection\n"
        "class Twice:\n"
        "    def select(self, request, attempts):\n"
        "        return Selection(['small', 'large'][len(attempts)]) if len(attempts) < 2 else None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="goes on after an answer"):
        replay_logged([drawn(tmp_path / "log.jsonl", 200)], "cascading:Twice")
    with pytest.raises(DataError, match="judges a policy"):
        replay_logged([tmp_path / "log.jsonl"], "nothing")
