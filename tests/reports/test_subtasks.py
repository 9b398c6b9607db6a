"""How good a subtask's check is stands beside what its pair of routes needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from by_hand import NOW
from click.testing import CliRunner

from langroute import ChatRouter, Route, RouteSubtask
from langroute.cli.report import report
from langroute.core.records import Outcome
from langroute.reports.build import build_report
from langroute.reports.formats import to_json
from langroute.reports.model import SubtaskCascadeLine
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.stats import Rate
from langroute.reports.window import Window
from langroute.reports.words import cascade_of
from langroute.testing import ScriptedModel

CHEAP, FRONTIER = {"input": 1.0, "output": 10.0}, {"input": 10.0, "output": 100.0}


def played(ledger: Any, cases: Any) -> None:
    """Run subtasks: what the cheap and the frontier model say, what the check sees in them, and what came of it."""
    for cheap, frontier, success, options in cases:
        routes = {
            "cheap": Route(ScriptedModel(cheap), price=CHEAP),
            "frontier": Route(ScriptedModel(frontier), price=FRONTIER),
        }
        model = ChatRouter(routes, ledger=ledger)
        node = RouteSubtask(
            lambda state, model=model: {"said": model.invoke("?").content},
            model,
            verify=lambda result: "looks good" in result["said"],
            record_key="routing",
            name="fix",
        )
        record = node.invoke({}, {"configurable": options})["routing"]
        if success is not None:
            ledger.record_outcome(Outcome(success=success, decision_id=record["decision_id"], source="user", at=NOW))


CASES = [
    # The check accepts six of ten; four of those are right.
    *[("looks good", "-", True, {})] * 4,
    *[("looks good", "-", False, {})] * 2,
    # Four are handed on; the frontier model solves half of them.
    *[("bad", "looks good", True, {})] * 2,
    *[("bad", "looks good", False, {})] * 2,
    # Alone it solves four of five.
    *[("-", "looks good", True, {"route": "frontier"})] * 4,
    ("-", "looks good", False, {"route": "frontier"}),
    # One has no outcome yet.
    ("looks good", "-", None, {}),
]


def test_a_line_has_the_accuracy_of_the_check_and_what_the_pair_needs(ledger: Any) -> None:
    played(ledger, CASES)
    ledger.flush()
    [line] = build_report(ledger, Window.since("7d")).subtasks

    assert (line.node, line.first, line.next, line.subtasks) == ("fix", "cheap", "frontier", 11)
    assert line.accepted == Rate(7, 11)
    assert line.accepted_right == Rate(4, 6)
    assert line.handed_on_right == Rate(2, 4)
    assert line.success == Rate(6, 10)
    assert line.alone == Rate(4, 5)
    # (0.8 - 4/11 * 0.5) / (7/11)
    assert line.break_even == pytest.approx((0.8 - 4 / 11 * 0.5) * 11 / 7)
    assert line.loses is True
    assert line.is_sure is False
    assert line.alone_usd is not None
    assert line.usd is not None
    assert line.usd < line.alone_usd


def test_a_rejected_result_that_was_kept_tells_of_the_check_too(ledger: Any) -> None:
    """Where both routes are rejected the better one is kept; an outcome says whether the rejection was right."""
    played(ledger, [("looks good", "-", True, {}), ("bad", "-", False, {"route": "cheap"}), ("bad", "looks good", True, {})])
    ledger.flush()
    [line] = build_report(ledger, Window.since("7d")).subtasks
    assert line.refused_wrong == Rate(1, 1)
    assert line.agreement == Rate(2, 2)


def test_the_report_says_that_a_cascade_loses(ledger: Any) -> None:
    """On the terminal, in JSON and on the page."""
    played(ledger, CASES)
    ledger.flush()
    made = build_report(ledger, Window.since("7d"))
    [line] = made.subtasks
    told = cascade_of(line)
    assert "67 % (30–90) of the accepted were right, break-even is 97 %: the cascade loses, by too few outcomes to be sure" in told

    [one] = json.loads(to_json(made))["subtasks"]
    assert one["loses"] is True
    assert one["told"] == told
    assert "the cascade loses" in write_page(page_data(ledger, Window.since("7d")))
    shown = CliRunner().invoke(report, ["--ledger", str(ledger.url.database), "--since", "7d"], catch_exceptions=False)
    assert told in shown.output


def line(**changed: Any) -> SubtaskCascadeLine:
    values: dict[str, Any] = {
        "node": "fix",
        "first": "cheap",
        "next": "frontier",
        "subtasks": 1000,
        "accepted": Rate(600, 1000),
        "accepted_right": Rate(580, 600),
        "refused_wrong": Rate(0, 0),
        "handed_on_right": Rate(200, 400),
        "success": Rate(780, 1000),
        "alone": Rate(700, 1000),
    }
    return SubtaskCascadeLine(**{**values, **changed})


def test_the_verdict_turns_at_break_even_and_says_when_it_is_sure() -> None:
    assert (line().loses, line().is_sure) == (False, True)
    assert line().break_even == pytest.approx((0.7 - 0.4 * 0.5) / 0.6)
    poor = line(accepted_right=Rate(400, 600), success=Rate(600, 1000))
    assert (poor.loses, poor.is_sure) == (True, True)
    # At break-even accuracy the cascade solves as much as the next route alone.
    even = line(accepted_right=Rate(500, 600), success=Rate(700, 1000))
    assert even.break_even == pytest.approx(even.accepted_right.share)


def test_without_the_next_route_alone_break_even_is_at_least_its_success_on_what_is_harder() -> None:
    unknown = line(alone=Rate(0, 0), accepted_right=Rate(200, 600))
    assert unknown.break_even == 0.5
    assert (unknown.loses, unknown.is_sure) == (True, True)
    assert "break-even is at least 50 %: the cascade loses;" in cascade_of(unknown)
    silent = line(accepted_right=Rate(0, 0), alone=Rate(0, 0), handed_on_right=Rate(0, 0))
    assert silent.loses is None
    assert "record one for each subtask" in cascade_of(silent)
