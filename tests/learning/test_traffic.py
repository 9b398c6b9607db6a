"""The traffic format: what is read, and what is refused with its file and line."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from made_traffic import made_traffic, write

from langroute.core.errors import DataError, MissingExtraError
from langroute.learning import traffic
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
        (broken(tools=[{"function": 5}]), "`tools`"),
        (broken(messages=[{"role": "user"}]), "`messages`"),
        (broken(messages=[{"role": "user", "content": 5}]), "`messages`"),
        (broken(outcomes=outcome(input_tokens=12.5)), "outcomes.small.input_tokens is 12.5"),
        (broken(outcomes=outcome(input_tokens=10**30)), "give whole tokens"),
        (broken(outcomes=outcome(cost_usd=-1)), "outcomes.small.cost_usd is -1"),
        (broken(outcomes=outcome(cost_usd=float("inf"))), "outcomes.small.cost_usd is inf"),
        (broken(outcomes=outcome(propensity=0)), "a propensity is above 0"),
        (broken(outcomes=outcome(propensity=1e-300)), "a propensity is above 0 (at least 1e-09)"),
        (broken(outcomes=outcome(latency_s=float("inf"))), "give seconds from 0 up"),
        (broken(id=1.5), "`id` is 1.5"),
        (broken(step="answer"), "`step`"),
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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(made_traffic(1)[0], indent=2).encode(), ":1: not a JSON object: .*each line holds one whole object"),
        (b'{"id": "\xc4"}', ":1: not a JSON object: the text is no UTF-8"),
        (b'{"id": "1", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ":1: not a JSON object: it is nested too deeply"),
        (b"[{}]", ":1: a line holds one JSON object, not a list"),
    ],
)
def test_what_is_no_line_of_json_is_said_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_bytes(content)

    with pytest.raises(DataError, match=said):
        list(read_traffic([path]))


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    rows = made_traffic(3)
    plain = list(read_traffic([write(tmp_path / "plain.jsonl", rows)]))
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "".join(json.dumps(row) + "\r\n" for row in rows).encode())

    assert [(one.id, one.outcomes) for one in read_traffic([path])] == [(one.id, one.outcomes) for one in plain]


def test_a_line_without_end_is_said_and_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "LONGEST", 1 << 20)
    path = tmp_path / "traffic.jsonl"
    path.write_bytes(json.dumps(made_traffic(1)[0]).encode() + b"\n" + b"a" * (3 << 20))

    with pytest.raises(DataError, match=r":2: longer than 1 MB"):
        list(read_traffic([path]))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="this is a folder"):
        list(read_traffic([tmp_path]))


def test_parquet_without_the_columns_or_cut_off_is_said(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "wrong.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{"id": "1", "prompt": "Hi."}]), path)
    with pytest.raises(DataError, match="no column messages and no column outcomes. There are: id, prompt"):
        list(read_traffic([path]))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="cut off or damaged"):
        list(read_traffic([path]))


def test_parquet_may_hold_json_as_text_and_other_text_stays_as_it_is(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    path = tmp_path / "text.parquet"
    row = {**made_traffic(1)[0], "id": "[1]", "task": "[2]"}
    nested = {name: json.dumps(row[name]) for name in ("messages", "outcomes")}
    parquet.write_table(pyarrow.Table.from_pylist([{**row, **nested}]), path)
    (one,) = read_traffic([path])
    assert (one.id, one.task, list(one.messages)) == ("[1]", "[2]", row["messages"])

    parquet.write_table(pyarrow.Table.from_pylist([{**row, **nested, "messages": "[" * 100_000}]), path)
    with pytest.raises(DataError, match=r"text\.parquet:1: `messages`"):
        list(read_traffic([path]))


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").touch()

    with pytest.raises(MissingExtraError, match=r"pip install 'langroute\[learn\]'"):
        list(read_traffic([tmp_path / "a.parquet"]))


def test_the_quick_reader_and_the_standard_one_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every machine has the quick one."""
    path = write(tmp_path / "traffic.jsonl", made_traffic(20))
    quick = list(read_traffic([path]))
    monkeypatch.setattr(traffic, "quick_loads", json.loads)

    assert list(read_traffic([path])) == quick


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


@pytest.mark.parametrize("reader", ["quick", "standard"])
def test_half_a_surrogate_pair_is_read_as_a_question_mark(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models write it, JSON can say it, and no file that is written from it could."""
    if reader == "standard":
        monkeypatch.setattr(traffic, "quick_loads", json.loads)
    half = "half \ud83d"
    row = broken(task=half, source=half, step={"kind": half, "node": half, "team": half})
    row["messages"] = [{"role": "user", "content": f"{half} and a whole \U0001f4a5"}, {"role": "assistant", "content": [half]}]
    row["tools"] = [{"name": half, "parameters": {half: [half]}}]
    (read,) = read_traffic([write(tmp_path / "t.jsonl", [row])])
    assert (read.task, read.source, read.labels) == ("half ?", "half ?", ("task=half ?", "kind=half ?", "node=half ?"))
    assert [message["content"] for message in read.messages] == ["half ? and a whole \U0001f4a5", ["half ?"]]
    assert read.tools[0] == {"name": "half ?", "parameters": {"half ?": ["half ?"]}}


def test_a_line_that_is_nested_too_deeply_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the standard reader, too, which raises another error for it."""
    monkeypatch.setattr(traffic, "quick_loads", json.loads)
    (tmp_path / "t.jsonl").write_text('{"id": ' + "[" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        list(read_traffic([tmp_path / "t.jsonl"]))
