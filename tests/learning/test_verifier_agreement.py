"""`langroute advise` shows how good the verifier was beside how good a pair of routes needs it to be."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from langroute import ChatRouter, Route, task
from langroute.cli import cli
from langroute.core.errors import DataError
from langroute.learning.advise import advise
from langroute.learning.break_even import RoutePair
from langroute.learning.recorded import recorded_outcomes
from langroute.learning.traffic import parse_exchange
from langroute.learning.verdict_counts import VerdictCounts, accepted_right_at
from langroute.ledger import open_ledger
from langroute.ledger.export import export_traffic
from langroute.policies import Cascade
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome


def lines(accuracy: float, *, field: str = "verified", rejected: bool = True) -> list[dict[str, Any]]:
    """Four hundred requests: large solves nine of ten, small six, and a verifier of some accuracy judged what small answered."""
    draw = random.Random(3)
    found = []
    for number in range(400):
        small, large = int(draw.random() < 0.6), int(draw.random() < 0.9)
        verified = small if draw.random() < accuracy else 1 - small
        tokens = {"input_tokens": 100, "output_tokens": 20}
        first = {**tokens, "score": small, "cost_usd": 0.001}
        if verified or rejected:
            first |= {"verified": verified} if field == "verified" else {"score": verified, "told": small}
        outcomes = {"small": first, "large": {**tokens, "score": large, "cost_usd": 0.02}}
        found.append({"id": str(number), "messages": [{"role": "user", "content": f"Ticket {number}"}], "outcomes": outcomes})
    return found


def verifier(rows: list[dict[str, Any]]) -> dict[str, Any]:
    result = advise(parse_exchange(row, "line") for row in rows)
    (pair,) = result["pairs"]
    assert (pair["cheap"], pair["strong"]) == ("small", "large")
    return pair["verifier"]


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.97, "enough"), (0.7, "too low")])
def test_a_verifiers_accuracy_is_measured_and_compared(accuracy: float, verdict: str) -> None:
    found = verifier(lines(accuracy))
    assert found["measured"] == "accuracy"
    assert found["of"] == 400
    assert found["low"] < accuracy < found["high"]
    assert 0.8 < found["needed"] < 0.92
    assert found["verdict"] == verdict


def test_outcomes_that_were_told_beside_a_score_count_alike() -> None:
    """`langroute collect` has the verifier's score as the score, and what was told beside it."""
    found = verifier(lines(0.97, field="told"))
    assert (found["accepted"] + found["rejected"], found["verdict"]) == (400, "enough")


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.97, "enough"), (0.6, "too low")])
def test_of_accepted_answers_alone_the_right_ones_are_counted(accuracy: float, verdict: str) -> None:
    """What was rejected went to the next route, and nobody knows whether it was wrong."""
    found = verifier(lines(accuracy, rejected=False))
    assert (found["measured"], found["rejected"]) == ("accepted right", 0)
    assert found["verdict"] == verdict
    assert found["needed"] > 0.85, "more of the accepted ones have to be right than six of ten are anyway"


def test_what_is_needed_of_accepted_answers_is_what_a_verifier_at_break_even_has() -> None:
    pair = RoutePair("small", "large", 400, 0.5, 0.1, 0.4, None, None, None)
    draw, right, accepted = random.Random(1), 0, 0
    for _ in range(20_000):
        good = draw.random() < pair.cheap_quality
        if good == (draw.random() < pair.break_even):
            accepted, right = accepted + 1, right + good
    assert right / accepted == pytest.approx(accepted_right_at(pair, pair.break_even), abs=0.01)


def test_without_outcomes_of_what_was_verified_nothing_is_said() -> None:
    rows = lines(0.9)
    for row in rows:
        row["outcomes"]["small"].pop("verified")
    assert verifier(rows) is None
    assert VerdictCounts(0, 0, 5, 5).against(RoutePair("small", "large", 9, 0.5, 0.1, 0.4, None, None, None)) is None


@pytest.mark.parametrize("value", [2, "yes", True, float("nan")])
def test_a_score_that_cannot_be_is_refused(value: Any) -> None:
    for field in ("verified", "told"):
        with pytest.raises(DataError, match=rf"small\.{field} is"):
            recorded_outcomes({"small": {"score": 1, "input_tokens": 1, "output_tokens": 1, field: value}}, "line")


def test_a_ledger_says_what_verifiers_thought_of_answers_whose_outcome_was_told(tmp_path: Path) -> None:
    routes = {
        "small": Route(ScriptedModel("42"), price={"input": 1, "output": 4}),
        "large": Route(ScriptedModel("42!"), price={"input": 10, "output": 40}),
    }
    with open_ledger(tmp_path / "ledger.db") as ledger:
        model = ChatRouter(
            routes, policy=Cascade(["small", "large"]), verifier=lambda request, attempt: "42" in attempt.answer.text, ledger=ledger
        )
        for number in range(3):
            with task(f"t{number}"):
                model.invoke("6 * 7?")
            if number:
                record_outcome(model, number == 1, task_id=f"t{number}", source="tests")
        ledger.flush()
        assert [line["outcomes"]["small"].get("verified") for line in export_traffic(ledger)] == [None, 1.0, 1.0]


def test_the_table_has_it_beside_the_break_even(tmp_path: Path) -> None:
    file = tmp_path / "traffic.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in lines(0.7)), encoding="utf-8")
    shown = CliRunner().invoke(cli, ["advise", str(file)], catch_exceptions=False, env={"COLUMNS": "250"}).output
    assert "verifier, measured" in shown
    assert "of 400: too low: loses" in shown
