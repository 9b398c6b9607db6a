"""Requests are drawn evenly from many files, also where these number their requests alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from made_traffic import made_traffic, write

from langroute.learning.drawing import drawn_from

SESSIONS, STEPS, DRAWN = 200, 20, 400


@pytest.fixture
def sessions(tmp_path: Path) -> list[Path]:
    """A file for each session, of the same name in a folder of its own; the ids are the numbers of the steps."""
    rows = [{**row, "id": str(number)} for number, row in enumerate(made_traffic(STEPS))]
    files = [tmp_path / f"{number:03}" / "session.jsonl" for number in range(SESSIONS)]
    for file in files:
        file.parent.mkdir()
        write(file, rows)
    return files


@pytest.mark.parametrize("seed", range(3))
def test_other_files_with_the_same_ids_have_other_requests_drawn(sessions: list[Path], seed: int) -> None:
    drawn = drawn_from(sessions, seed, DRAWN)
    assert len(drawn) == DRAWN
    # 20 of each step in the mean, with a standard deviation of 4.2; of a session 2, with one of 1.3.
    steps = Counter(one.id for one in drawn)
    assert len(steps) == STEPS
    assert max(steps.values()) < 45
    assert max(Counter(Path(one.where).parent.name for one in drawn).values()) < 12


def test_a_file_of_one_request_each_is_drawn_wherever_it_is_listed(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{number:03}.jsonl", made_traffic(1)) for number in range(SESSIONS)]
    places = [int(Path(one.where.rpartition(":")[0]).stem) for one in drawn_from(files, 0, 20)]
    assert len(places) == 20
    assert places[-1] > SESSIONS // 2, "the first ones only"


def test_the_same_requests_are_drawn_wherever_the_files_are(
    sessions: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [(Path(one.where).parts[-2:], one.id) for one in drawn_from(sessions, 0, DRAWN)]
    monkeypatch.chdir(tmp_path)
    beside = [f"./{file.relative_to(tmp_path)}" for file in sessions]
    assert [(Path(one.where).parts[-2:], one.id) for one in drawn_from(beside, 0, DRAWN)] == expected
    assert [(Path(one.where).parts[-2:], one.id) for one in drawn_from([str(tmp_path / "*" / "*.jsonl")], 0, DRAWN)] == expected
