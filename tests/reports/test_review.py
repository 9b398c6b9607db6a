"""A review shows decisions blindly and stores the ratings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from langroute import ChatRouter
from langroute.cli.review import review as command
from langroute.core.errors import InputError
from langroute.core.records import Outcome, Verdict
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.policies import Cascade, Fixed
from langroute.reports.review import KEY, candidates, rating, tie
from langroute.reports.window import Window
from langroute.testing import ScriptedModel

# Until long after today: the day may change while the tests run.
ALL = Window.since("all", "2100-01-01")


class Unsure:
    """Rejects every answer that says so."""

    def verify(self, request: Any, attempt: Any) -> Verdict:
        return Verdict("unsure", 0.0 if "not sure" in attempt.answer.text else 1.0)


def answer(ledger: Any, name: str, question: str, *, success: bool | None = None, policy: Any = None) -> None:
    model = ChatRouter(
        {"cheap": ScriptedModel("I am not sure, 41?"), "frontier": ScriptedModel("It is 42.")},
        prices={"cheap": {"input": 1, "output": 2}, "frontier": {"input": 5, "output": 25}},
        policy=policy or Cascade(["cheap", "frontier"], threshold=0.5),
        verifier=Unsure(),
        ledger=ledger,
    )
    with task(name):
        model.invoke(question)
    if success is not None:
        ledger.record_outcome(Outcome(success=success, task_id=name, at=1.0))


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Any]:
    with open_ledger(tmp_path / "full.db", level="full") as ledger:
        yield ledger


def test_a_rejected_answer_is_shown_beside_the_kept_one(full: Any) -> None:
    answer(full, "t1", "What is 6 * 7?")
    (found,) = candidates(full, ALL, seed=1)
    assert found.why == "disagreement"
    assert found.question == "human: What is 6 * 7?"
    assert {(one.text, one.kept) for one in found.answers} == {("I am not sure, 41?", False), ("It is 42.", True)}


def test_a_cheap_answer_in_a_failed_task_is_worth_a_look(full: Any) -> None:
    answer(full, "t1", "What is 6 * 7?", success=False, policy=Fixed("cheap"))
    answer(full, "t2", "What is 6 * 8?", success=True, policy=Fixed("cheap"))
    assert [(one.why, one.question) for one in candidates(full, ALL)] == [("cheap_failed", "human: What is 6 * 7?")]


def test_a_draw_can_be_repeated_and_has_an_order_that_says_nothing(full: Any) -> None:
    for number in range(12):
        answer(full, f"t{number}", f"What is 6 * {number}?")
    first = candidates(full, ALL, count=8, seed=3)
    assert [one.decision.id for one in first] == [one.decision.id for one in candidates(full, ALL, count=8, seed=3)]
    assert {one.answers[0].kept for one in first} == {True, False}


def test_ratings_become_outcomes_of_the_decision_and_leave_the_task_alone(full: Any) -> None:
    answer(full, "t1", "What is 6 * 7?", success=True)
    (found,) = candidates(full, ALL, seed=1)
    kept = next(place for place, one in enumerate(found.answers) if one.kept)
    assert rating(found, kept).score == 1.0
    assert rating(found, 1 - kept).score == 0.0
    assert tie(found).score == 0.5
    full.record_outcome(rating(found, None, reviewer="ada"))
    told = [one for one in full.outcomes_of("t1") if one.key == KEY]
    assert [(one.score, one.source, one.decision_id) for one in told] == [(0.0, "ada", found.decision.id)]
    assert full.task("t1").success is True


def test_nobody_rates_the_same_decision_twice(full: Any) -> None:
    answer(full, "t1", "What is 6 * 7?")
    (found,) = candidates(full, ALL)
    full.record_outcome(tie(found))
    assert candidates(full, ALL) == []


def test_a_ledger_without_text_says_what_to_do(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        answer(ledger, "t1", "What is 6 * 7?")
        with pytest.raises(InputError, match="level='full'"):
            candidates(ledger, ALL)


class TestCommand:
    def run(self, path: Path, said: str) -> Any:
        return CliRunner().invoke(
            command, ["--ledger", str(path), "--since", "all", "--seed", "1", "--reviewer", "ada"], input=said
        )

    def test_routes_are_shown_only_after_the_rating(self, full: Any, tmp_path: Path) -> None:
        answer(full, "t1", "What is 6 * 7?")
        full.close()
        done = self.run(tmp_path / "full.db", "a\n")
        assert done.exit_code == 0, done.output
        before, _, after = done.output.partition("Better: a, b")
        assert "It is 42." in before
        assert "What is 6 * 7?" in before
        assert not re.search(r"cheap|frontier", before)
        assert "frontier (kept)" in after
        assert "1 rated" in after
        with open_ledger(tmp_path / "full.db") as ledger:
            assert [one.source for one in ledger.outcomes_of("t1")] == ["ada"]

    def test_one_can_skip_and_stop(self, full: Any, tmp_path: Path) -> None:
        for number in range(3):
            answer(full, f"t{number}", f"What is 6 * {number}?")
        full.close()
        done = self.run(tmp_path / "full.db", "x\ns\nt\nq\n")
        assert "1 rated: the kept answer was better in 0, as good in 1, worse in 0." in done.output

    def test_a_single_answer_is_asked_for_alone(self, full: Any, tmp_path: Path) -> None:
        answer(full, "t1", "What is 6 * 7?", success=False, policy=Fixed("cheap"))
        full.close()
        done = self.run(tmp_path / "full.db", "n\n")
        assert "Will it do" in done.output
        assert "worse in 1" in done.output
