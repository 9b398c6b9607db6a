"""Success rates of everything that the page's filters can select."""

from __future__ import annotations

from random import Random

import pytest

from langroute.reports.selections import MOST_POINTS, OUTCOMES_A_POINT, selections_of, spans_of
from langroute.reports.stats import wilson


def rows(count: int, points: int, teams: int = 3, kinds: int = 4, most: int = 5) -> list[tuple[int, ...]]:
    drawn = Random(7)
    return [
        (
            drawn.randrange(points),
            drawn.randrange(teams),
            drawn.randrange(kinds),
            most,
            drawn.randrange(most),
            drawn.randrange(most),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("team, kind, span", [("", "", ""), (1, "", ""), ("", 2, 7), (0, 3, 30)])
def test_a_rate_is_that_of_the_tasks_selected(team: object, kind: object, span: object) -> None:
    tasks = rows(300, 60)
    found = selections_of(tasks, 60, [7, 30])["rates"][f"{team}|{kind}|{span}"]
    chosen = [
        row
        for row in tasks
        if (team == "" or row[1] == team) and (kind == "" or row[2] == kind) and (span == "" or row[0] >= 60 - int(str(span)))
    ]
    won = sum(row[4] for row in chosen)
    of = won + sum(row[5] for row in chosen)
    interval = wilson(won, of)
    assert found == [won, of, pytest.approx(interval.low, abs=1e-4), pytest.approx(interval.high, abs=1e-4)]


@pytest.mark.parametrize("key", ["||", "1||7", "|2|30", "0|3|"])
def test_a_series_has_all_outcomes_and_enough_in_a_point(key: str) -> None:
    found = selections_of(rows(300, 60), 60, [7, 30])
    together, points = found["series"][key]
    assert [sum(row[place] for row in points) for place in (1, 2)] == found["rates"][key][:2]
    span = key.rpartition("|")[2]
    begin = 60 - int(span) if span else 0
    assert all((row[0] - begin) % together == 0 and row[0] >= begin for row in points)
    assert points == sorted(points)


def test_a_point_has_outcomes_enough_to_say_something() -> None:
    """Ten outcomes a day: three days are one point, so that it has 25 and more on average."""
    together, points = selections_of([(day, 0, 0, 10, 5, 5) for day in range(60)], 60, [])["series"]["||"]
    assert together == 3
    assert [row[0] for row in points] == list(range(0, 60, 3))
    assert all(row[2] >= OUTCOMES_A_POINT for row in points)


def test_what_has_no_outcome_is_no_selection() -> None:
    found = selections_of([(0, 0, 0, 5, 0, 0), (1, 1, 0, 1, 1, 0)], 2, [1])
    assert "0||" not in found["rates"]
    assert found["rates"]["||"][:2] == [1, 1]
    assert selections_of([], 1, []) == {"rates": {}, "series": {}}


def test_many_selections_do_not_fill_the_page() -> None:
    """15 teams, 15 kinds, 120 points, thousands of outcomes a day: points are merged further."""
    tasks = [(point, team, kind, 40, 30, 5) for point in range(120) for team in range(15) for kind in range(15)]
    found = selections_of(tasks, 120, [7, 30, 90])
    assert sum(len(points) for _, points in found["series"].values()) <= MOST_POINTS
    assert found["rates"]["||"][:2] == [120 * 225 * 30, 120 * 225 * 35]


def test_times_are_offered_only_where_they_select_less() -> None:
    assert spans_of(7, 1) == []
    assert spans_of(91, 1) == [7, 30, 90]
    assert spans_of(30, 28) == [1, 3]
