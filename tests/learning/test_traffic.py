"""The traffic format: what is read, and what is refused with its file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from made_traffic import made_traffic, write

from langroute.errors import DataError
from langroute.learning.traffic import read_traffic


def broken(**changes: Any) -> dict[str, Any]:
    return {**made_traffic(1)[0], **changes}


def outcome(**changes: Any) -> dict[str, Any]:
    return {"small": {"score": 1.0, "input_tokens": 3, "output_tokens": 4, **changes}}


def test_plain_gzip_and_parquet_read_the_same(tmp_path: Path) -> None:
    rows = made_traffic(5)
    plain = write(tmp_path / "a.jsonl", rows)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert [one.outcomes for one in read_traffic([plain])] == [one.outcomes for one in read_traffic([packed])]

    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    columns = list(read_traffic([tmp_path / "c.parquet"]))
    assert [(one.id, one.messages, one.outcomes) for one in columns] == [
        (one.id, one.messages, one.outcomes) for one in read_traffic([plain])
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "one JSON object"),
        (broken(id=""), "`id` is missing"),
        (broken(messages=[]), "`messages`"),
        (broken(messages=["Hi."]), "`messages`"),
        (broken(outcomes={}), "`outcomes`"),
        (broken(outcomes=outcome(score=1.5)), "outcomes.small.score is 1.5"),
        (broken(outcomes=outcome(score="good")), "outcomes.small.score is 'good'"),
        (broken(outcomes=outcome(score=float("nan"))), "outcomes.small.score is nan"),
        (broken(outcomes=outcome(input_tokens=-1)), "outcomes.small.input_tokens is -1"),
        (broken(outcomes=outcome(output_tokens=None)), "outcomes.small.output_tokens is None"),
        (broken(outcomes=outcome(latency_s=-2)), "outcomes.small.latency_s is -2"),
        (broken(tools="add"), "`tools`"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong(tmp_path: Path, row: Any, said: str) -> None:
    path = write(tmp_path / "traffic.jsonl", [made_traffic(1, seed=9)[0], row])

    with pytest.raises(DataError) as error:
        list(read_traffic([path]))

    assert str(error.value).startswith(f"{path}:2: ")
    assert said in str(error.value)


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text(json.dumps(made_traffic(1)[0]) + '\n{"id": "cut', encoding="utf-8")

    with pytest.raises(DataError, match=r":2: not a JSON object"):
        list(read_traffic([path]))


def test_an_id_that_comes_twice_is_named(tmp_path: Path) -> None:
    row = made_traffic(1)[0]

    with pytest.raises(DataError, match=r":2: the id '0/0' was there before"):
        list(read_traffic([write(tmp_path / "traffic.jsonl", [row, row])]))


def test_a_gzip_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", made_traffic(200))
    path = tmp_path / "b.jsonl.gz"
    path.write_bytes(gzip.compress(plain.read_bytes())[:-200])

    with pytest.raises(DataError, match="cut off or damaged"):
        list(read_traffic([path]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(read_traffic([tmp_path / "none.jsonl"]))
