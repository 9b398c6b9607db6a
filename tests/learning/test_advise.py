"""Advice from traffic: numbers that can be worked out by hand, planted truths that are found, and what cannot be told is said."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from langroute.cli import cli
from langroute.core.errors import DataError, UnknownRouteError
from langroute.core.records import Attempt, Decision, Outcome, Price, Selection, Step, Usage
from langroute.learning.advise import advise, advise_files
from langroute.learning.break_even import pair_of
from langroute.learning.families import TrialTerms
from langroute.learning.luck import luck_of, oracle_of
from langroute.learning.mix_line import mix_line
from langroute.learning.outcome_reader import OutcomeReader
from langroute.learning.outcome_table import OutcomeTable
from langroute.learning.sample_size import tasks_for_arms, tasks_for_pairs
from langroute.learning.traffic import parse_exchange
from langroute.ledger import open_ledger
from langroute.ledger.export import export_traffic


def row(number: int, outcomes: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "task": "support",
        "messages": [{"role": "user", "content": f"Question {number}"}],
        "outcomes": {name: {"input_tokens": 100, "output_tokens": 20, **one} for name, one in outcomes.items()},
        **more,
    }


def exchanges(rows: list[dict[str, Any]]) -> Iterator[Any]:
    return (parse_exchange(one) for one in rows)


def table_of(rows: list[dict[str, Any]], **options: Any) -> tuple[OutcomeTable, list[str]]:
    reader = OutcomeReader(**options)
    for one in exchanges(rows):
        reader.add(one)
    return reader.table, list(reader.table.routes)


FOUR = [(1, 1)] * 50 + [(1, 0)] * 10 + [(0, 1)] * 30 + [(0, 0)] * 10
"""Small and large: both solve it, only small, only large, neither."""


@pytest.fixture
def four() -> list[dict[str, Any]]:
    return [
        row(number, {"small": {"score": small, "cost_usd": 1.0}, "large": {"score": large, "cost_usd": 10.0}})
        for number, (small, large) in enumerate(FOUR)
    ]


def test_break_even_is_the_strong_routes_share_of_the_requests_on_which_two_differ(four: list[dict[str, Any]]) -> None:
    """By hand: 30 of 40. Right in all: 90 solved for 1 + 0.4 * 10 USD. Right in none of two: 50 + 0.5 * 40 solved, half sent on."""
    (pair,) = advise(exchanges(four))["pairs"]

    assert (pair["cheap"], pair["strong"], pair["break_even"]) == ("small", "large", pytest.approx(0.75))
    assert pair["break_even_low"] < 0.75 < pair["break_even_high"]
    right = pair["at"][0]
    assert [right[name] for name in ("quality", "cost_usd", "sent_on")] == pytest.approx([0.9, 5.0, 0.4])
    # Accepting all right answers, it may let a third of the wrong ones through: 10 gained, 30 to lose.
    assert pair["rejects_if_accepts_all"] == pytest.approx(2 / 3)
    # 90 % right: 0.1 of 60 right answers and 0.9 of 40 wrong ones are sent on.
    assert pair["verifier_usd"] == pytest.approx(10 - (1 + 10 * 0.42))


@pytest.mark.parametrize("accuracy", [1.0, 0.9, 0.75, 0.6])
def test_a_simulated_verifier_reaches_what_the_formula_says(accuracy: float) -> None:
    """The formula is checked by doing it: 200,000 requests, a verifier that errs by lot, costs that hang on the request."""
    random_ = np.random.default_rng(7)
    hard = random_.random(200_000)
    scores = np.stack([random_.random(200_000) > hard, random_.random(200_000) > hard * 0.6], axis=1).astype(float)
    costs = np.stack([0.1 + hard, 2 + 5 * hard], axis=1)
    pair = pair_of("small", "large", scores, costs)
    assert pair is not None

    accepted = np.where(random_.random(200_000) < accuracy, scores[:, 0] == 1, scores[:, 0] == 0)
    solved = np.where(accepted, scores[:, 0], scores[:, 1]).mean()
    paid = (costs[:, 0] + np.where(accepted, 0, costs[:, 1])).mean()

    point = pair.at(accuracy)
    assert point.quality == pytest.approx(solved, abs=0.004)
    assert point.cost_usd == pytest.approx(paid, rel=0.01)
    assert point.sent_on == pytest.approx(1 - accepted.mean(), abs=0.004)
    assert pair.at(pair.break_even or 0).quality == pytest.approx(pair.strong_quality)


def test_a_route_below_a_mix_of_others_is_dominated(four: list[dict[str, Any]]) -> None:
    """`middle` costs what a mix of half and half costs, and solves less than it: certainly, with 100 requests."""
    for number, one in enumerate(four):
        one["outcomes"]["middle"] = {"score": float(number < 20), "cost_usd": 5.5, "input_tokens": 1, "output_tokens": 1}
    found = advise(exchanges(four))
    routes = {one["route"]: one for one in found["routes"]}

    assert [corner["route"] for corner in found["line"]] == ["small", "large"]
    assert routes["small"]["against_line"] == {"on_line": True}
    middle = routes["middle"]["against_line"]
    assert middle["instead"] == pytest.approx({"small": 0.5, "large": 0.5})
    assert middle["gain"] == pytest.approx(0.7 - 0.2)
    assert middle["gain_low"] > 0
    assert (middle["same_quality"], middle["same_quality_usd"]) == ({"small": 1.0}, 1.0)


def test_two_routes_that_are_alike_are_not_said_to_be_dominated_for_certain() -> None:
    random_ = random.Random(3)
    rows = [
        row(number, {name: {"score": float(random_.random() < 0.7), "cost_usd": cost} for name, cost in (("a", 1.0), ("b", 1.1))})
        for number in range(60)
    ]
    against = [one["against_line"] for one in advise(exchanges(rows))["routes"]]

    assert all(one["on_line"] or one["gain_low"] < 0 for one in against)


def test_the_line_says_what_a_quality_costs() -> None:
    line = mix_line({"a": (1.0, 0.5), "b": (2.0, 0.55), "c": (3.0, 0.9)})

    assert [corner.route for corner in line.corners] == ["a", "c"]
    assert line.at_cost(0.5) is None
    assert line.reaching(0.95) is None
    assert line.reaching(0.3) == line.at_cost(1.0)
    best = line.at_cost(100.0)
    assert best is not None
    assert (best.shares, best.cost_usd) == ({"c": 1.0}, 3.0)


def repeated(chances: dict[str, list[float]], runs: int, seed: int) -> list[dict[str, Any]]:
    """Requests whose routes succeed by chance: one probability for each route and request."""
    random_ = random.Random(seed)
    count = len(next(iter(chances.values())))
    return [
        row(number, {name: {"trials": [int(random_.random() < own[number]) for _ in range(runs)]} for name, own in chances.items()})
        for number in range(count)
    ]


def test_luck_alone_is_told_from_skill_alone() -> None:
    """Every request a fair coin: half of the pairs of runs agree. Every request certain: all agree."""
    rows = repeated({"coin": [0.5] * 2000, "sure": [1.0, 0.0] * 1000}, 4, 1)
    table, names = table_of(rows)
    coin, sure = sorted(luck_of(table.sample(), names), key=lambda one: one.route)

    assert coin.agreement == pytest.approx(0.5, abs=0.02)
    assert coin.luck > 0.97
    assert coin.twice == pytest.approx(0.75, abs=0.02)
    assert (sure.agreement, sure.luck, sure.twice) == (1.0, 0.0, 0.5)


def test_an_oracle_of_luck_is_no_headroom() -> None:
    """Two coins: the one-run oracle has 0.75, and nobody can choose better than 0.5. So has one coin in two runs."""
    table, names = table_of(repeated({"a": [0.5] * 3000, "b": [0.5] * 3000}, 5, 2))
    found = oracle_of(table.sample(), names, names)
    assert found is not None

    assert found.one_run == pytest.approx(0.75, abs=0.02)
    assert found.best_twice == pytest.approx(0.75, abs=0.02)
    assert found.known == pytest.approx(0.5, abs=0.02)


def test_an_oracle_of_skill_is_headroom() -> None:
    """Each route is sure of its own half: runs of the past tell which."""
    table, names = table_of(repeated({"a": [0.9, 0.1] * 1500, "b": [0.1, 0.9] * 1500}, 5, 2))
    found = oracle_of(table.sample(), names, names)
    assert found is not None

    assert found.best_alone == pytest.approx(0.5, abs=0.02)
    assert found.known == pytest.approx(0.9, abs=0.02)
    assert found.one_run == pytest.approx(1 - 0.1 * 0.9, abs=0.02)
    assert found.known <= found.flattered


def test_the_same_request_on_several_lines_is_a_repeat() -> None:
    """A ledger has no trials, but people ask the same again."""
    rows = [
        row(number, {"a": {"score": number % 2}}, messages=[{"role": "user", "content": f"Question {number // 2}"}])
        for number in range(40)
    ]
    table, names = table_of(rows)
    (luck,) = luck_of(table.sample(), names)

    assert (luck.requests, luck.runs, luck.agreement) == (20, 2.0, 0.0)
    for one in rows:
        one["messages"] = [{"role": "user", "content": ""}]
    table, names = table_of(rows)
    assert luck_of(table.sample(), names) == [], "texts that were not kept are not equal"


def test_equal_ids_of_different_files_are_different_requests(tmp_path: Path) -> None:
    """An id is unique in its file alone; where messages are not kept there is nothing else to tell requests apart by."""
    silent = [{"role": "user", "content": ""}]
    for name, score in (("a", 0), ("b", 1)):
        rows = [row(number, {"a": {"score": score}}, messages=silent) for number in range(20)]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rows))
    found = advise_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert found["requests"] == 40
    assert found["luck"]["routes"] == [], "no request was run twice"


def power_of(count: int, rate: float, effect: float, margin: float, paired: float | None = None) -> float:
    """Share of 4,000 simulated trials that show the new route to be within the margin."""
    random_ = np.random.default_rng(5)
    if paired is None:
        old, new = random_.binomial(count, rate, 4000) / count, random_.binomial(count, rate + effect, 4000) / count
        change, error = new - old, np.sqrt((old * (1 - old) + new * (1 - new)) / count)
    else:
        lost, won = random_.multinomial(count, [(paired - effect) / 2, (paired + effect) / 2, 1 - paired], 4000).T[:2]
        change = (won - lost) / count
        error = np.sqrt(((won + lost) / count - change**2) / count)
    return float((change - 1.645 * error > -margin).mean())


@pytest.mark.parametrize("rate, margin, effect", [(0.8, 0.05, 0.0), (0.9, 0.03, 0.0), (0.6, 0.05, -0.02)])
def test_a_trial_of_the_stated_size_has_the_stated_power(rate: float, margin: float, effect: float) -> None:
    count = tasks_for_arms(rate, margin, effect=effect)
    assert count is not None

    assert power_of(count, rate, effect, margin) == pytest.approx(0.8, abs=0.03)
    assert power_of(count, rate, -margin, margin) == pytest.approx(0.05, abs=0.015)
    pairs = tasks_for_pairs(0.2, margin, effect=effect)
    assert pairs is not None
    assert power_of(pairs, rate, effect, margin, paired=0.2) == pytest.approx(0.8, abs=0.03)


def test_what_cannot_be_shown_has_no_number() -> None:
    assert tasks_for_arms(0.8, 0.05, effect=-0.05) is None
    assert tasks_for_pairs(0.1, 0.02, effect=-0.05) is None
    assert (tasks_for_arms(1.0, 0.05) or 0) >= 20


def drawn_ledger(count: int, chances: dict[str, float], share: float) -> list[dict[str, Any]]:
    """One route a request, drawn by lot with a known probability."""
    random_ = random.Random(11)
    rows = []
    for number in range(count):
        route = "small" if random_.random() < share else "large"
        propensity = share if route == "small" else 1 - share
        outcome = {
            "score": float(random_.random() < chances[route]),
            "cost_usd": 0.1 if route == "small" else 1.0,
            "propensity": propensity,
        }
        rows.append(row(number, {route: outcome}, step={"served": route, "task_id": f"t{number}"}))
    return rows


@pytest.mark.parametrize("small, state", [(0.9, "proven"), (0.6, "worse")])
def test_a_family_whose_routes_were_drawn_is_judged(small: float, state: str) -> None:
    found = advise(
        exchanges(drawn_ledger(6000, {"small": small, "large": 0.88}, 0.3)),
        prices={"small": Price(0.5, 1), "large": Price(5, 10)},
        terms=TrialTerms(margin=0.05),
    )
    (family,) = found["families"]
    routes = {one["route"]: one["drawn"] for one in found["routes"]}

    assert (family["route"], family["candidate"], family["state"]) == ("large", "small", state)
    assert family["evidence"] == "routes drawn with known probabilities"
    assert routes["small"]["quality_low"] < small < routes["small"]["quality_high"]
    assert any("scored outcomes of two routes" in note for note in found["notes"])


def test_a_ledger_of_one_route_gets_candidates_from_prices_and_sizes_of_trials() -> None:
    rows = [
        row(
            number,
            {"large": {"score": float(number % 10 > 0), "cost_usd": 0.0012}},
            step={"served": "large", "task_id": f"t{number // 2}"},
        )
        for number in range(400)
    ]
    found = advise(exchanges(rows), prices={"large": Price(10, 10), "small": Price(1, 1)}, terms=TrialTerms(margin=0.05))
    (family,) = found["families"]

    assert (family["tasks"], family["candidate"], family["state"], family["worth_a_trial"]) == (200, "small", "open", True)
    assert family["task_usd"] == pytest.approx(0.0024)
    assert family["cost_ratio"] == pytest.approx(0.1)
    assert family["cost_ratio_from"] == "list prices at the same tokens"
    assert family["tasks_to_assign"] == tasks_for_arms(family["success"], 0.05)
    assert found["pairs"] == []


def test_a_route_that_was_tried_is_a_candidate_before_those_of_a_price_list(four: list[dict[str, Any]]) -> None:
    prices = {"cheapest": Price(0.001, 0.001), "small": Price(1, 1), "large": Price(10, 10)}
    (family,) = advise(exchanges(four), prices=prices)["families"]

    assert (family["candidate"], family["state"], family["worth_a_trial"]) == ("small", "worse", False)


@pytest.mark.parametrize("marked", [True, False], ids=["as exported", "by an older version"])
def test_a_request_that_was_escalated_compares_nobody(tmp_path: Path, marked: bool) -> None:
    """Of what `small` failed at `large` solves half: on these requests alone it would look better than it is."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for number in range(60):
            first = Attempt(Selection("small"), usage=Usage(100, 10), cost_usd=0.01, score=0.1)
            second = Attempt(Selection("large"), usage=Usage(100, 10), cost_usd=0.1)
            step = Step("answer", task=f"t{number}")
            ledger.record(Decision(f"d{number}", step, "large", (first, second), started_at=1.0 + number))
            ledger.record_outcome(Outcome(success=number % 2 > 0, task_id=f"t{number}", source="tests", at=2.0))
        rows = list(export_traffic(ledger))
    assert {one["step"].pop("attempts") if not marked else one["step"]["attempts"] for one in rows} == {2}
    found = advise(exchanges(rows))

    assert (found["compared"], found["pairs"]) == (0, [])
    assert any("60 requests went to several routes in turn" in note for note in found["notes"])
    assert {one["route"]: one["asked"] for one in found["routes"]} == {"small": 60, "large": 60}


def test_what_a_solved_task_is_worth_sets_the_margin() -> None:
    """A saving of 0.9 USD a task pays for a loss of 9 points at 10 USD a solved task."""
    found = advise(
        exchanges(drawn_ledger(3000, {"small": 0.86, "large": 0.9}, 0.5)),
        prices={"small": Price(0.5, 1), "large": Price(5, 10)},
        frontier="large",
        terms=TrialTerms(value_usd=10.0),
    )
    (family,) = found["families"]

    assert family["task_saving_usd"] == pytest.approx(1.0 * (1 - family["cost_ratio"]))
    assert family["margin"] == pytest.approx(family["task_saving_usd"] / 10)
    assert family["state"] == "proven"


def test_unknown_costs_are_unknown_and_no_tokens_are_no_free_call() -> None:
    rows = [row(number, {"a": {"score": 1, "input_tokens": 0, "output_tokens": 0}}) for number in range(3)]
    found = advise(exchanges(rows), prices={"a": Price(1, 1)})

    assert found["cost_usd"] is None
    assert (found["routes"][0]["cost_usd"], found["routes"][0]["unpriced"]) == (None, 3)
    assert any("The cost of a is not known" in note for note in found["notes"])


def test_a_long_file_is_compared_on_a_sample_and_counted_in_full() -> None:
    rows = [
        row(number, {"a": {"score": number % 2, "cost_usd": 0.5}, "b": {"score": 1, "cost_usd": 2.0}}) for number in range(4000)
    ]
    table, names = table_of(rows, most=1000)
    sample = table.sample()

    assert table.routes["a"].asked == 4000
    assert table.routes["a"].usd == pytest.approx(2000)
    assert len(sample.score) <= 1000
    assert sample.share in (0.125, 0.0625)
    assert len(sample.request) == pytest.approx(4000 * sample.share, rel=0.35)
    scores = sample.means(sample.score, [names.index("a"), names.index("b")])
    assert scores[:, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert (scores[:, 1] == 1).all()


def test_columns_stay_together_when_half_is_let_go() -> None:
    rows = [row(number, {"a": {"score": 0.25, "cost_usd": 1.0}, "b": {"score": 0.75, "cost_usd": 3.0}}) for number in range(50)]
    table, _ = table_of(rows, most=40)
    sample = table.sample()

    assert set(zip(sample.route.tolist(), sample.score.tolist(), sample.cost.tolist(), strict=True)) == {
        (0, 0.25, 1.0),
        (1, 0.75, 3.0),
    }
    assert sorted(sample.line.tolist()) == sorted([*range(len(sample.request))] * 2)


def test_a_ledger_is_advised_on_as_it_is(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        for number in range(60):
            attempt = Attempt(Selection("large"), usage=Usage(1000, 100), cost_usd=0.01, latency_s=0.5)
            step = Step("answer", task=f"t{number}", task_kind="support")
            ledger.record(Decision(f"d{number}", step, "large", (attempt,), started_at=1.0 + number))
            ledger.record_outcome(Outcome(success=number % 6 > 0, task_id=f"t{number}", source="tests", at=2.0))
    prices = tmp_path / "prices.toml"
    prices.write_text('[prices]\n"small" = { input = 0.5, output = 2 }\n')
    result = CliRunner().invoke(
        cli, ["advise", "--ledger", str(tmp_path / "ledger.db"), "--prices", str(prices), "--format", "json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (family,) = found["families"]

    assert (found["requests"], found["frontier"], found["cost_usd"]) == (60, "large", pytest.approx(0.6))
    assert (family["name"], family["candidate"], family["success"]) == ("support", "small", pytest.approx(5 / 6))
    said = CliRunner().invoke(cli, ["advise", "--ledger", str(tmp_path / "ledger.db"), "--prices", str(prices)]).output
    assert "worth a trial" in said
    assert "langroute collect" in said


def test_a_cost_beyond_all_numbers_is_not_known() -> None:
    """A number of tokens from hostile traffic times a price; the route's other costs, and the other route's, are as they are."""
    rows = [row(number, {"huge": {"score": 1}, "small": {"score": 0, "cost_usd": 0.25}}) for number in range(10)]
    rows[3]["outcomes"]["huge"]["input_tokens"] = 10**12
    found = advise(exchanges(rows), prices={"huge": Price(1e306, 1)})
    huge, small = ({one["route"]: one for one in found["routes"]}[name] for name in ("huge", "small"))
    assert (huge["asked"], huge["unpriced"], small["unpriced"]) == (10, 1, 0)
    assert huge["spend_usd"] == pytest.approx(9 * 1e302)
    assert small["spend_usd"] == 2.5


def test_it_says_what_is_wrong(four: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no requests"):
        advise(iter(()))
    with pytest.raises(DataError, match="colour"):
        advise(exchanges(four), by=["colour"])
    with pytest.raises(UnknownRouteError, match="tiny"):
        advise(exchanges(four), frontier="tiny")
    broken = row(1, {"a": {"trials": [0, 2]}})
    with pytest.raises(DataError, match=r"outcomes\.a\.trials"):
        parse_exchange(broken)
    file = tmp_path / "none.jsonl"
    file.write_text("")
    assert "no requests" in str(CliRunner().invoke(cli, ["advise", str(file)]).exception)


def test_the_terminal_has_every_table(four: list[dict[str, Any]], tmp_path: Path) -> None:
    for one in four:
        one["outcomes"]["large"]["trials"] = [one["outcomes"]["large"].pop("score"), 1]
        one["outcomes"]["small"]["trials"] = [one["outcomes"]["small"].pop("score"), 0]
    file = tmp_path / "traffic.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in four))
    result = CliRunner().invoke(cli, ["advise", str(file)], catch_exceptions=False)

    for title in (
        "Routes",
        "The line to beat",
        "Cheap first with a verifier",
        "Families",
        "Luck and skill",
        "the oracle of one run",
    ):
        assert title in result.output


def agents(shared: Path, name: str) -> Iterator[Any]:
    """Recorded agent tasks as traffic."""
    with gzip.open(shared / "agents" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            outcomes = {
                model: {
                    "input_tokens": 0,
                    "output_tokens": 0,
                    **({"trials": told["trials"]} if "trials" in told else {"score": told["success"]}),
                    **({"cost_usd": told["cost_usd"]} if told.get("cost_usd") is not None else {}),
                }
                for model, told in one["outcomes"].items()
            }
            text = one["text"] or one["id"]
            yield parse_exchange(
                {"id": one["id"], "task": one["group"], "messages": [{"role": "user", "content": text}], "outcomes": outcomes}
            )


def test_recorded_agents_need_the_verifiers_that_were_found_before(shared: Path) -> None:
    """300 of the 500 tasks of SWE-bench Verified that `agents/README.md` states its accuracies for."""
    found = advise(agents(shared, "swebench_verified"), frontier="claude-opus-4-5")
    pairs = {(one["cheap"], one["strong"]): one for one in found["pairs"]}

    for cheap, strong, stated in [
        ("gpt-5-mini", "claude-opus-4-5", 0.87),
        ("gpt-5-mini", "gemini-3-pro", 0.89),
        ("gpt-5-mini", "gpt-5", 0.66),
        ("deepseek-v3.2-reasoner", "gemini-3-pro", 0.86),
    ]:
        assert pairs[cheap, strong]["break_even"] == pytest.approx(stated, abs=0.03)
    mini = pairs["gpt-5-mini", "claude-opus-4-5"]
    assert mini["break_even_saving"] == pytest.approx(0.42, abs=0.03)
    assert [corner["route"] for corner in found["line"]] == ["deepseek-v3.2-reasoner", "gemini-3-pro"]
    assert {one["route"] for one in found["routes"] if one["against_line"]["on_line"]} == {"deepseek-v3.2-reasoner", "gemini-3-pro"}


def test_the_oracle_of_recorded_agents_is_mostly_luck(shared: Path) -> None:
    found = advise(agents(shared, "terminal_bench"))["luck"]
    reader = OutcomeReader()
    for one in agents(shared, "terminal_bench"):
        reader.add(one)
    table = reader.table
    pair = oracle_of(table.sample(), list(table.routes), ["droid/claude-opus-4-1", "droid/claude-sonnet-4"])
    assert pair is not None

    assert all(0.75 < one["agreement"] < 1 for one in found["routes"])
    # Two runs of one model beat the one-run oracle of two.
    assert pair.best_twice > pair.one_run > pair.known >= pair.best_alone
