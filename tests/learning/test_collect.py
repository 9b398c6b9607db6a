"""Collection: other routes are asked about recorded requests within a limit of spend, once each, and all answers are scored alike."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.messages import AIMessage, HumanMessage

from langroute import ChatRouter, Route, task
from langroute.cli import cli
from langroute.core.errors import ConfigurationError, DataError
from langroute.core.records import Verdict
from langroute.learning.advise import advise
from langroute.learning.collect import Collected, Collector, CollectTerms
from langroute.learning.journal import Journal
from langroute.learning.traffic import parse_exchange, read_traffic
from langroute.ledger import open_ledger
from langroute.ledger.export import export_traffic
from langroute.policies import Fixed
from langroute.reports import Window, build_report
from langroute.routes.route import build_routes
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome
from langroute.verifiers import as_verifiers

PRICE = {"input": 100.0, "output": 100.0}


def says(text: str, tokens: int = 100) -> ScriptedModel:
    usage = {"input_tokens": tokens, "output_tokens": tokens, "total_tokens": 2 * tokens}
    return ScriptedModel(AIMessage(text, usage_metadata=usage), model="scripted", max_tokens=tokens)


def rows(count: int, **outcome: Any) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for number in range(count):
        large = {"score": float(number % 4 > 0), "input_tokens": 50, "output_tokens": 50, "cost_usd": 0.5, **outcome}
        found.append(
            (
                f"line {number}",
                {
                    "id": str(number),
                    "task": "sums",
                    "messages": [{"role": "user", "content": f"Question {number} of Ada Lovelace"}],
                    "step": {"served": "large"},
                    "outcomes": {"large": large},
                },
            )
        )
    return found


def right(message: Any) -> bool:
    return "42" in message.content


def collector(tmp_path: Path, routes: dict[str, Any], verifier: Any = right, progress: Any = None, **terms: Any) -> Collector:
    built = build_routes({name: Route(model, price=PRICE) for name, model in routes.items()})
    journal = Journal(tmp_path / "journal")
    return Collector(built, as_verifiers(verifier), CollectTerms(**{"max_usd": 100.0, **terms}), journal, progress=progress)


def collected(one: Collector, given: list[tuple[str, dict[str, Any]]]) -> tuple[Collected, list[dict[str, Any]]]:
    drawn = one.draw(given)
    result = one.ask(given, drawn)
    return result, list(one.rows(given, drawn))


def test_every_route_answers_the_sample_and_is_scored(tmp_path: Path) -> None:
    one = collector(tmp_path, {"small": says("It is 42."), "tiny": says("No idea.")}, sample=10)
    result, found = collected(one, rows(30))

    assert (result.requests, result.asked, result.missing, len(found)) == (10, 20, 0, 10)
    # 200 tokens at 100 USD a million.
    assert result.spent_usd == pytest.approx(20 * 0.02)
    outcomes = found[0]["outcomes"]
    assert {name: outcomes[name]["score"] for name in outcomes} == {"large": outcomes["large"]["score"], "small": 1.0, "tiny": 0.0}
    assert outcomes["small"]["cost_usd"] == pytest.approx(0.02)
    assert [parse_exchange(row).outcomes["small"].answer for row in found] == [outcomes["small"]["answer"]] * 10
    # What it makes is what `advise` reads.
    assert advise(map(parse_exchange, found))["compared"] == 10


def test_the_same_sample_is_drawn_again_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    model = says("42")
    first, found = collected(collector(tmp_path, {"small": model}, sample=6), rows(40))
    calls = len(model.calls)
    again, same = collected(collector(tmp_path, {"small": model}, sample=6), list(reversed(rows(40))))

    assert (calls, len(model.calls)) == (6, 6)
    assert again.spent_usd == first.spent_usd
    assert sorted(row["id"] for row in found) == sorted(row["id"] for row in same)


def test_the_limit_holds_and_a_later_run_goes_on(tmp_path: Path) -> None:
    """A call can cost 0.02 USD at least; 0.1 pays for a few, and never for more."""
    model = says("42")
    result, found = collected(collector(tmp_path, {"small": model}, sample=20, max_usd=0.1), rows(20))

    assert result.stopped
    assert 0 < len(found) < 6
    assert result.spent_usd == pytest.approx(0.02 * len(model.calls))
    assert result.spent_usd <= 0.1
    more, whole = collected(collector(tmp_path, {"small": model}, sample=20, max_usd=1.0), rows(20))
    assert (more.stopped, len(whole), len(model.calls)) == (False, 20, 20)


def test_an_interrupted_run_keeps_what_was_paid(tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(done: int, total: int, spent: float) -> None:
        seen.append(done)
        if done == 3:
            raise KeyboardInterrupt

    model = says("42")
    one = collector(tmp_path, {"small": model}, progress=stop, sample=9, workers=1)
    given = rows(9)
    with pytest.raises(KeyboardInterrupt):
        one.ask(given, one.draw(given))
    paid = len(model.calls)
    again, found = collected(collector(tmp_path, {"small": model}, sample=9), given)

    assert 3 <= paid < 9
    assert (len(model.calls), again.asked, len(found)) == (9, 9, 9)


def test_a_journal_that_was_cut_off_goes_on_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        journal.add("1", "small", {"score": 1.0}, 0.5)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as file:
        file.write(b'{"id": "2", "rou')
    with Journal(path) as journal:
        assert (journal.has("1", "small"), journal.has("2", "small"), journal.spent_usd) == (True, False, 0.5)
        journal.add("2", "small", {"score": 0.0}, 0.25)
    with Journal(path) as journal:
        assert (sorted(journal.answers), journal.spent_usd) == (["1", "2"], 0.75)
    path.write_text('["no journal"]\n')
    with pytest.raises(DataError, match="no journal"):
        Journal(path)


def test_a_route_that_always_fails_is_given_up_and_asked_again_by_another_run(tmp_path: Path) -> None:
    broken = ScriptedModel(*[ValueError("no such model")] * 50)
    result, found = collected(collector(tmp_path, {"small": says("42"), "typo": broken}, sample=30, workers=1), rows(30))

    assert (result.asked, result.missing, len(found)) == (30, 30, 30)
    assert result.failed["typo"] == len(broken.calls) == 5
    assert "no such model" in result.given_up["typo"]
    assert "typo" not in found[0]["outcomes"], "a failed call is no wrong answer"
    mended, _ = collected(collector(tmp_path, {"small": says("42"), "typo": says("41")}, sample=30), rows(30))
    assert mended.asked == 60


def test_recorded_answers_are_scored_by_the_same_verifiers_and_agreement_is_counted(tmp_path: Path) -> None:
    """The verifier takes every recorded answer for wrong; the outcomes say that three quarters were right."""
    result, found = collected(collector(tmp_path, {"small": says("42")}, sample=40), rows(40, output="The answer is 7."))

    assert {row["outcomes"]["large"]["score"] for row in found} == {0.0}
    assert (result.told, result.agreed) == (40, 10)
    assert result.agreement is not None
    assert result.agreement[0] == 0.25
    assert all("output" not in row["outcomes"]["large"] for row in found)


def test_of_an_escalated_request_only_fresh_answers_are_written(tmp_path: Path) -> None:
    given = rows(4, output="42")
    for _, row in given[:2]:
        row["outcomes"]["small"] = {"score": 0.1, "input_tokens": 5, "output_tokens": 5, "propensity": 1.0}
        row["step"]["attempts"] = 2
    _, found = collected(collector(tmp_path, {"small": says("42"), "tiny": says("41")}, sample=4), given)
    by_id = {row["id"]: row for row in found}

    assert [set(by_id[name]["outcomes"]) for name in "0123"] == [{"small", "tiny"}] * 2 + [{"large", "small", "tiny"}] * 2
    assert by_id["0"]["outcomes"]["small"]["score"] == 1.0
    assert [by_id[name]["step"] for name in "03"] == [{}, {"served": "large"}]
    assert advise(map(parse_exchange, found))["compared"] == 4


def test_what_is_redacted_reaches_neither_route_nor_judge_nor_file(tmp_path: Path) -> None:
    judged: list[str] = []

    def judge(request: Any, attempt: Any) -> float:
        judged.append(str(request.messages))
        return 1.0

    def redact(messages: Any) -> list[Any]:
        return [HumanMessage(message.content.replace("Ada Lovelace", "[name]")) for message in messages]

    model = says("42")
    given = rows(5, answer="Ada Lovelace", output="I am Ada Lovelace.")
    for _, row in given:
        row["reference"] = "Ada Lovelace"
    _, found = collected(collector(tmp_path, {"small": model}, judge, redact=redact, sample=5), given)

    assert "[name]" in str(model.calls)
    assert "of Ada Lovelace" not in str(judged), "the request that a judge sees"
    for text in (str(model.calls), json.dumps(found), (tmp_path / "journal").read_text()):
        assert "Lovelace" not in text


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="small"):
        Collector(build_routes({"small": says("42")}), (), CollectTerms(1.0), Journal(tmp_path / "journal"))
    blank = rows(3)
    for _, row in blank:
        row["messages"] = [{"role": "user", "content": ""}]
    with pytest.raises(DataError, match="level"):
        collector(tmp_path, {"small": says("42")}).draw(blank)


def test_answers_of_another_model_or_judge_are_not_taken_for_these(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, {"route small": "m1", "verifiers": "right"}) as journal:
        journal.add("1", "small", {"score": 1.0}, 0.5)
    with Journal(path, {"route small": "m1", "route tiny": "m2", "verifiers": "right"}) as journal:
        assert journal.has("1", "small")
    for other in ({"route small": "m9"}, {"route tiny": "m1"}, {"verifiers": "judge gpt"}):
        with pytest.raises(DataError, match="Name another --output"):
            Journal(path, other)


def test_a_check_of_unknown_cost_counts_as_all_that_was_reserved(tmp_path: Path) -> None:
    class Paid:
        name = "paid"

        def worst_cost_usd(self, request: Any, attempt: Any) -> float:
            return 1.0

        def verify(self, request: Any, attempt: Any) -> Verdict:
            return Verdict("paid", 1.0, cost_usd=None)

    result, _ = collected(collector(tmp_path, {"small": says("42")}, Paid(), sample=3, max_usd=2.5, workers=1), rows(3))

    assert (result.stopped, result.asked) == (True, 2)
    assert 2.0 < result.spent_usd <= 2.5


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user's module with routes and a check."""
    module = types.ModuleType("my_collecting_app")
    module.routes = {"small": Route(says("42"), price=PRICE)}  # type: ignore[attr-defined]
    module.several = {**module.routes, "tiny": Route(says("41"), price=PRICE)}  # type: ignore[attr-defined]
    module.right = right  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_collecting_app", module)
    return module


def test_a_ledger_gets_the_answers_and_their_spend_and_exports_both_routes(app: Any, tmp_path: Path) -> None:
    where = tmp_path / "ledger.db"
    with open_ledger(where, level="full") as ledger:
        model = ChatRouter({"large": Route(says("It is 42."), price=PRICE)}, policy=Fixed("large"), ledger=ledger)
        for number in range(6):
            with task(f"t{number}", team="care"):
                model.invoke(f"Question {number}?")
            record_outcome(ledger, number > 0, task_id=f"t{number}", source="tests")
    arguments = ["--ledger", str(where), "-o", str(tmp_path / "both.jsonl"), "--routes", "my_collecting_app:routes"]
    result = CliRunner().invoke(
        cli, ["collect", *arguments, "--verify", "my_collecting_app:right", "--max-usd", "5"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output

    assert "6 answers to 6 requests, 0.1200 USD" in result.output
    assert "agree with 83.3%" in result.output
    with open_ledger(where) as ledger:
        assert build_report(ledger, Window.since("all"), by="team").lines[0].spend.usd == pytest.approx(12 * 0.02)
        assert all(set(line["outcomes"]) == {"large", "small"} for line in export_traffic(ledger))
    both = list(read_traffic([tmp_path / "both.jsonl"]))
    assert [set(one.outcomes) for one in both] == [{"large", "small"}] * 6
    assert (tmp_path / "both.jsonl").stat().st_mode & 0o777 == 0o600
    CliRunner().invoke(
        cli, ["collect", *arguments, "--verify", "my_collecting_app:right", "--max-usd", "5"], catch_exceptions=False
    )
    with open_ledger(where) as ledger:
        assert build_report(ledger, Window.since("all")).total.spend.usd == pytest.approx(12 * 0.02), "nothing is counted twice"


def test_several_routes_of_one_decision_are_all_in_the_ledger(app: Any, tmp_path: Path) -> None:
    where = tmp_path / "ledger.db"
    with open_ledger(where, level="full") as ledger:
        model = ChatRouter({"large": Route(says("It is 42."), price=PRICE)}, policy=Fixed("large"), ledger=ledger)
        for number in range(4):
            model.invoke(f"Question {number}?")
    arguments = ["--ledger", str(where), "-o", str(tmp_path / "all.jsonl"), "--routes", "my_collecting_app:several"]
    result = CliRunner().invoke(
        cli, ["collect", *arguments, "--verify", "my_collecting_app:right", "--max-usd", "5"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output

    with open_ledger(where) as ledger:
        assert build_report(ledger, Window.since("all")).total.spend.usd == pytest.approx(12 * 0.02)
        lines = list(export_traffic(ledger))
    assert [{name: outcome["score"] for name, outcome in line["outcomes"].items()} for line in lines] == [
        {"large": 1.0, "small": 1.0, "tiny": 0.0}
    ] * 4


@pytest.mark.parametrize(
    "more, said",
    [
        ([], "Name the routes"),
        (["--routes", "my_collecting_app:routes"], "what scores"),
        (["--routes", "my_collecting_app:missing", "--verify", "my_collecting_app:right"], "cannot be had"),
    ],
)
def test_the_command_says_what_is_missing(app: Any, tmp_path: Path, more: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, ["collect", "--max-usd", "1", "-o", str(tmp_path / "out.jsonl"), *more])
    assert said in str(result.exception)
