"""Results of pieces on a disk, so that work which was stopped goes on where it was. They are JSON: nothing that is read can run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from langroute._version import __version__
from langroute.core.errors import DataError
from langroute.core.files import checked, make_folder
from langroute.core.writing import write_together
from langroute.learning.analyze import Described
from langroute.learning.baselines import Baselines, Sums
from langroute.learning.beside_mix import BesideSums
from langroute.learning.drawing import Drawn
from langroute.learning.neighbours import Neighbours
from langroute.learning.outcome_table import OutcomeColumns, OutcomeTable, RouteCounts
from langroute.learning.parts import Read
from langroute.learning.pieces import Piece
from langroute.learning.recorded import Recorded
from langroute.learning.replay_totals import ReplaySums, ReplayTotals
from langroute.learning.traffic import BOMB, Exchange
from langroute.learning.traffic_files import is_url
from langroute.learning.verdict_counts import VerdictCounts

KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        *(Baselines, BesideSums, Neighbours, Read, ReplaySums, ReplayTotals, Sums),
        *(OutcomeColumns, OutcomeTable, RouteCounts, VerdictCounts),
        *(Described, Drawn, Exchange, Recorded),
    )
}
"""Objects that results consist of."""

_SIMPLE = (type(None), bool, int, float, str)
_DTYPES = frozenset({"<f4", "<f8", "<i8", "<u8"})
_DAMAGES = (
    *(OSError, EOFError, zlib.error, MemoryError, RecursionError),
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError),
)


class KeptPieces:
    """Results of work on pieces, a file each.

    Args:
        folder: Where they are; made if it is missing. Only its own results are found: those of the same langroute, work, files and lines.

    Example:
        >>> import tempfile
        >>> kept = KeptPieces(Path(tempfile.mkdtemp()))
        >>> piece = Piece("s3://bucket/traffic.parquet", 0, 100)
        >>> kept.get("count", piece, lambda: Read(requests=100)).requests, kept.get("count", piece, lambda: None).requests
        (100, 100)
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self._folder = folder

    def get(self, work: str, piece: Piece, make: Callable[[], Any], kind: type = object) -> Any:
        """Return the result of a piece; it is made, and kept, where it is not there.

        Args:
            work: What is done, in words that differ for different results.
            piece: The piece.
            make: Does the work.
            kind: What the result is.

        Raises:
            DataError: It cannot be written; or what is there is damaged, no result of this kind, or another user's.
        """
        path = self._path(work, piece)
        if path.exists():
            return self._read(path, kind)
        made = make()
        try:
            plain = _plain(made)
        except TypeError:
            # Requests in Parquet may have values that are no JSON, such as dates; this piece is made again.
            return made
        text = json.dumps(plain).encode()
        packed = gzip.compress(text, 1)
        if len(text) <= _most(len(packed)):
            write_together({path: packed})
        return made

    def has(self, work: str, piece: Piece) -> bool:
        """Return whether the result of a piece is there."""
        return self._path(work, piece).exists()

    def _path(self, work: str, piece: Piece) -> Path:
        found = None if is_url(piece.file) else Path(piece.file).stat()
        stamp = None if found is None else (found.st_size, found.st_mtime_ns)
        said = repr((__version__, work, str(piece.file), stamp, piece.begin, piece.end))
        return self._folder / f"{hashlib.blake2b(said.encode(), digest_size=16).hexdigest()}.json.gz"

    def _read(self, path: Path, kind: type) -> Any:
        try:
            file, status = checked(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}.") from error
        try:
            found = _value(json.loads(_unpacked(file, _most(status.st_size))))
            if not isinstance(found, kind):
                raise TypeError(type(found).__name__)
            return found
        except _DAMAGES as error:
            raise DataError(f"{path}: this result is damaged; remove it, and it is made again.") from error


def _unpacked(path: Path, most: int) -> bytes:
    with gzip.open(path) as packed:
        text = packed.read(most + 1)
    if len(text) > most:
        raise ValueError(f"more than {most} bytes")
    return text


def _most(packed: int) -> int:
    """Return how many bytes a result of a size may unpack to."""
    return max(BOMB[0], BOMB[1] * packed)


def _plain(value: Any) -> Any:
    if isinstance(value, array):
        value = np.array(value, value.typecode)
    if isinstance(value, np.ndarray):
        return {"array": [value.dtype.str, value.shape, base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Counter):
        return {"counter": [[_plain(key), count] for key, count in value.items()]}
    if isinstance(value, dict):
        return {"dict": [[_plain(key), _plain(one)] for key, one in value.items()]}
    if isinstance(value, _SIMPLE):
        return value
    if isinstance(value, (list, tuple, set)) and not hasattr(value, "_fields"):
        return {type(value).__name__: [_plain(one) for one in value]}
    if type(value).__name__ not in KINDS:
        raise TypeError(type(value).__name__)
    return {type(value).__name__: [[name, _plain(getattr(value, name))] for name in _names(type(value))]}


def _names(kind: Any) -> list[str]:
    if is_dataclass(kind):
        return [field.name for field in fields(kind)]
    return list(getattr(kind, "_fields", ()) or kind.__slots__)


def _array(given: Any) -> Any:
    dtype, shape, text = given
    if dtype not in _DTYPES:
        raise ValueError(dtype)
    return np.frombuffer(bytearray(base64.b64decode(text)), dtype).reshape(shape)


_MADE: Mapping[str, Callable[[Any], Any]] = {
    "array": _array,
    "counter": lambda given: Counter({_value(key): count for key, count in given}),
    "dict": lambda given: {_value(key): _value(one) for key, one in given},
    "list": lambda given: [_value(one) for one in given],
    "set": lambda given: {_value(one) for one in given},
    "tuple": lambda given: tuple([_value(one) for one in given]),
}


def _value(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((name, given),) = plain.items()
    if name in _MADE:
        return _MADE[name](given)
    kind = KINDS[name]
    if [field for field, _ in given] != _names(kind):
        raise ValueError(f"{name} has other fields")
    if issubclass(kind, tuple):
        return kind(*[_value(one) for _, one in given])
    made: Any = object.__new__(kind)
    for field, one in given:
        object.__setattr__(made, field, _value(one))
    return made


__all__ = ["KINDS", "KeptPieces"]
