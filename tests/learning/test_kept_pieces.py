"""Damaged, hostile and other users' results of pieces give an error that says what to do."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langroute.core.errors import DataError
from langroute.learning import kept_pieces
from langroute.learning.drawing import Drawn
from langroute.learning.kept_pieces import KeptPieces
from langroute.learning.outcome_table import OutcomeTable
from langroute.learning.pieces import Piece

PIECE = Piece("s3://bucket/traffic.parquet", 0, 10)
NOBODY = 65534
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the superuser gives files away")


def zipped(value: Any) -> bytes:
    return gzip.compress(value if isinstance(value, bytes) else json.dumps(value).encode())


def flipped(good: bytes) -> bytes:
    return good[:10] + b"\x55" * 30 + good[40:]


def kept_in(folder: Path) -> tuple[KeptPieces, Path]:
    kept = KeptPieces(folder)
    kept.get("advise", PIECE, OutcomeTable, OutcomeTable)
    (file,) = folder.iterdir()
    return kept, file


def again(kept: KeptPieces) -> Any:
    return kept.get("advise", PIECE, lambda: pytest.fail("made again"), OutcomeTable)


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    kept, _ = kept_in(tmp_path)
    assert type(again(kept)) is OutcomeTable


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "other bytes": flipped,
    "cut off": lambda good: good[:30],
    "empty": lambda _: b"",
    "nested deeply": lambda _: zipped(b'{"list":[' * 3000 + b"]}" * 3000),
    "brackets": lambda _: zipped(b"[" * 200_000 + b"]" * 200_000),
    "no fields": lambda _: zipped({"OutcomeTable": []}),
    "too few fields": lambda _: zipped({"OutcomeTable": [["requests", 1]]}),
    "another's field": lambda _: zipped({"OutcomeTable": [["__class__", 1]]}),
    "another kind": lambda _: zipped({"Drawn": [["requests", 0], ["numbers", {"list": []}], ["exchanges", {"list": []}]]}),
    "no result": lambda _: zipped(7),
    "a huge shape": lambda _: zipped({"array": ["<f8", [1 << 70, 0], ""]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_said(damage: str, tmp_path: Path) -> None:
    kept, file = kept_in(tmp_path)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(DataError, match="damaged; remove it"):
        again(kept)


def test_a_small_file_does_not_unpack_to_more_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, file = kept_in(tmp_path)
    file.write_bytes(zipped(b" " * 3_000_000 + b"7"))
    assert kept.get("advise", PIECE, OutcomeTable) == 7
    monkeypatch.setattr(kept_pieces, "BOMB", (1 << 20, 200))
    with pytest.raises(DataError, match="damaged; remove it"):
        kept.get("advise", PIECE, OutcomeTable)


def test_what_would_not_be_read_again_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_pieces, "BOMB", (1000, 2))
    kept = KeptPieces(tmp_path)
    assert kept.get("draw", PIECE, lambda: Drawn(requests=5, numbers=[0] * 10_000)).requests == 5
    assert not list(tmp_path.iterdir())


@as_root
def test_the_result_of_another_user_is_refused(tmp_path: Path) -> None:
    kept, file = kept_in(tmp_path)
    os.chown(file, NOBODY, NOBODY)
    with pytest.raises(DataError, match="belongs to another user"):
        again(kept)


@as_root
def test_a_link_of_another_user_is_refused(tmp_path: Path) -> None:
    kept, file = kept_in(tmp_path / "kept")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    again(kept)
    os.chown(file, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(DataError, match="belongs to another user"):
        again(kept)
