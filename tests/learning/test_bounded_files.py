"""Policy directories and traffic files that are made to fill a machine are refused before they are unpacked, with what is wrong."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import langroute
from langroute.core.errors import DataError, PolicyFormatError
from langroute.estimators.store import load_policy_file
from langroute.learning import traffic
from langroute.learning.prices import read_prices
from langroute.learning.traffic import read_traffic

SHIPPED = Path(langroute.__file__).parent / "data" / "estimator"
"""A policy directory that is always there."""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "policy"))


def repacked(folder: Path, packed: bytes, edit: Callable[[dict[str, Any]], Any] | None = None) -> Path:
    """The directory with other arrays, and a description that says so: who makes a bomb can make a checksum."""
    (folder / "arrays.npz").write_bytes(packed)
    whole = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
    whole["arrays_sha256"] = hashlib.sha256(packed).hexdigest()
    if edit is not None:
        edit(whole)
    (folder / "policy.json").write_text(json.dumps(whole), encoding="utf-8")
    return folder


def archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return packed.getvalue()


def array_that_says(shape: tuple[int, ...], content: bytes) -> bytes:
    """An array whose header is no match for what follows."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return written.getvalue() + content


def test_the_directory_that_is_shipped_is_read(policy: Path) -> None:
    assert load_policy_file(policy).groups


def test_arrays_that_unpack_to_gigabytes_are_not_unpacked(policy: Path) -> None:
    repacked(policy, archive(dict.fromkeys((f"0.{number}.npy" for number in range(5)), bytes(1 << 28))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PolicyFormatError, match=r"would unpack to more than 1024 MB; it is not unpacked\."):
        load_policy_file(policy)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("shape", [(10**12,), (1 << 40, 1 << 40), (3,)])
def test_an_array_that_says_another_size_than_it_has_is_not_read(policy: Path, shape: tuple[int, ...]) -> None:
    repacked(policy, archive({"0.bits.npy": array_that_says(shape, bytes(16))}))
    with pytest.raises(PolicyFormatError, match=r"0\.bits says that it has [\d,]+ bytes of numbers, and has 16"):
        load_policy_file(policy)


def test_an_archive_of_a_great_many_arrays_is_not_opened(policy: Path) -> None:
    repacked(policy, b"PK\x01\x02" * 60_000)
    with pytest.raises(PolicyFormatError, match="holds more than 50,000 arrays"):
        load_policy_file(policy)


def test_a_vocabulary_cannot_ask_for_a_table_of_gigabytes(policy: Path) -> None:
    with np.load(policy / "arrays.npz") as opened:
        arrays = {name: opened[name] for name in opened.files}
    arrays["0.bits"] = np.array(28)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    with pytest.raises(PolicyFormatError, match="bits are 28, too many for"):
        load_policy_file(repacked(policy, packed.getvalue()))


@pytest.mark.parametrize(("name", "size"), [("policy.json", 17 << 20), ("arrays.npz", 257 << 20)])
def test_a_file_of_more_than_a_policy_has_is_not_read(policy: Path, name: str, size: int) -> None:
    # Sparse: it takes no room on the disk.
    os.truncate(policy / name, size)
    with pytest.raises(PolicyFormatError, match=rf"{name}: larger than \d+ MB"):
        load_policy_file(policy)


@pytest.mark.parametrize("name", ["policy.json", "arrays.npz"])
def test_a_pipe_or_a_device_is_no_file_of_a_policy(policy: Path, name: str) -> None:
    """Reading a pipe waits for ever, and a device never ends."""
    (policy / name).unlink()
    os.mkfifo(policy / name)
    with pytest.raises(PolicyFormatError):
        load_policy_file(policy)
    (policy / name).unlink()
    (policy / name).symlink_to("/dev/zero")
    with pytest.raises(PolicyFormatError):
        load_policy_file(policy)


def test_a_directory_of_links_is_read(policy: Path, tmp_path: Path) -> None:
    """Mounted configuration is made of links."""
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for path in policy.iterdir():
        (mounted / path.name).symlink_to(path)
    assert load_policy_file(mounted).version == load_policy_file(policy).version


def _deep(whole: dict[str, Any]) -> None:
    price: dict[str, Any] = {"input": 1.0, "output": 1.0}
    for start in range(300):
        price = {"input": 1.0, "output": 1.0, "above": [[start, price]]}
    whole["groups"][0]["prices"] = dict.fromkeys(whole["groups"][0]["routes"], price)


def _many(whole: dict[str, Any]) -> None:
    whole["groups"] = whole["groups"] * 2000


@pytest.mark.parametrize(("edit", "said"), [(_deep, "nested more than 64 deep"), (_many, "at most 1,000")])
def test_a_description_without_end_is_refused(policy: Path, edit: Callable[[dict[str, Any]], None], said: str) -> None:
    with pytest.raises(PolicyFormatError, match=said):
        load_policy_file(repacked(policy, (policy / "arrays.npz").read_bytes(), edit))


def test_a_description_with_one_key_a_great_many_times_is_refused(policy: Path) -> None:
    many = ", ".join(f'"k{number}": 1' for number in range(200_000))
    (policy / "policy.json").write_text("{" + many + ', "k199999": 1}', encoding="utf-8")
    with pytest.raises(PolicyFormatError, match="the key 'k199999' is there twice"):
        load_policy_file(policy)


# Traffic --------------------------------------------------------------------------------------------------------------

OUTCOMES = {"a": {"score": 1, "input_tokens": 1, "output_tokens": 1}}


def line(**fields: Any) -> bytes:
    return (
        json.dumps({"id": "1", "messages": [{"role": "user", "content": "Hi."}], "outcomes": OUTCOMES, **fields}).encode() + b"\n"
    )


def read(path: Path) -> list[Any]:
    return list(read_traffic([path]))


@pytest.mark.parametrize("what", [b"\n", b" \n"], ids=["empty lines", "spaces"])
def test_a_gzip_that_unpacks_to_nothing_but_more_is_given_up(tmp_path: Path, what: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "BOMB", (1 << 20, 200))
    path = tmp_path / "bomb.jsonl.gz"
    path.write_bytes(gzip.compress(what * (4 << 20)))
    with pytest.raises(
        DataError, match=r"bomb.jsonl.gz:\d+: unpacks to more than 200 times its size. If that is meant, unpack it first"
    ):
        read(path)


def test_traffic_that_is_packed_well_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "BOMB", (1 << 10, 200))
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(line(id=str(number)) for number in range(5000))))
    assert len(read(path)) == 5000


def test_a_gzip_of_one_endless_line_takes_no_more_memory_than_a_line(tmp_path: Path) -> None:
    path = tmp_path / "endless.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(300):
            file.write(b"x" * (1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="longer than 64 MB"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250 << 10


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (line(tools=[json.loads("[" * 300 + "]" * 300)]), "nested too deeply"),
        (b'{"id": "1", "tools": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "nested too deeply"),
        (line(outcomes={f"r{number}": OUTCOMES["a"] for number in range(1500)}), "at most 1,000"),
        (line(outcomes={"r" * 5000: OUTCOMES["a"]}), "name that can be printed"),
        (line(id=["x" * (1 << 20)]), "`id` is"),
        (line(outcomes={"a": {"score": "x" * (1 << 20), "input_tokens": 1, "output_tokens": 1}}), "score is"),
        (b'{"id": "1", "n": ' + b"9" * 5000 + b"}\n", "not a JSON object"),
    ],
    ids=["deep", "deeper", "routes", "name", "id", "score", "digits"],
)
def test_a_line_beyond_the_bounds_is_named_in_a_short_error(tmp_path: Path, written: bytes, said: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(written)
    with pytest.raises(DataError, match=said) as error:
        read(path)
    assert len(str(error.value)) < 1000


def test_a_small_parquet_file_of_one_huge_value_a_thousand_times_takes_bounded_memory(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    count, path = 3000, tmp_path / "bomb.parquet"
    huge = arrow.DictionaryArray.from_arrays(arrow.array([0] * count, arrow.int32()), arrow.array(["x" * (70 << 20)]))
    ids = [str(number) for number in range(count)]
    parquet.write_table(
        arrow.table({"id": ids, "messages": huge, "outcomes": [json.dumps(OUTCOMES)] * count}), path, compression="zstd"
    )
    assert path.stat().st_size < 1 << 20

    with pytest.raises(DataError, match="has a row of more than 64 MB"):
        read(path)


def test_nested_json_in_parquet_is_no_list_of_messages(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    deep = "[" * 500 + "]" * 500
    parquet.write_table(arrow.table({"id": ["1"], "messages": [deep], "outcomes": [json.dumps(OUTCOMES)]}), path)
    with pytest.raises(DataError, match="`messages` is a list"):
        read(path)


def test_a_table_of_prices_is_no_gigabyte_and_no_device(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.touch()
    os.truncate(path, 1 << 30)
    with pytest.raises(DataError, match="larger than 1 MB"):
        read_prices(path)
    with pytest.raises(DataError, match="no file on a disk"):
        read_prices("/dev/zero")
    path.write_text("a = " + "[" * 5000, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as TOML"):
        read_prices(path)
