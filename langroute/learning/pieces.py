"""Traffic in pieces: the unit in which it is worked through, in one process or many, so that both add up the same numbers in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from langroute.learning.traffic import Exchange, count_lines, read_numbered
from langroute.learning.traffic_files import traffic_files

LINES = 8192
"""Lines of a piece; the last one of a file has fewer."""

T_co = TypeVar("T_co", covariant=True)


class Piece(NamedTuple):
    """Some lines of a file."""

    file: str
    begin: int
    """Number of lines before the first one."""

    end: int
    """Number of the last line."""

    def exchanges(self) -> Iterator[Exchange]:
        """Read the piece."""
        for _, exchange in read_numbered(self.file, self.begin, self.end):
            yield exchange


class PieceWork(Protocol[T_co]):
    """What is done with a piece; it can be sent to another process, and keeps nothing from one piece to the next."""

    def __call__(self, exchanges: Iterable[Exchange]) -> T_co:
        """Return what came of the requests of a piece."""


class Engine(Protocol):
    """Does work on all pieces of traffic, or on parts of anything else. Results come in the order of the pieces."""

    def run(self, work: PieceWork[Any], paths: Sequence[str | Path]) -> Iterator[Any]:
        """Yield the result of each piece."""

    def map(self, work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each part; work and parts can be sent to another process."""


class OneProcess:
    r"""Reads the traffic once, and works in this process.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "traffic.jsonl"
        >>> line = '{"id": "%d", "messages": [{"role": "user", "content": "Hi."}], "outcomes": {"small": {"score": 1, "input_tokens": 3, "output_tokens": 5}}}'
        >>> _ = file.write_text("\n".join(line % number for number in range(3)))
        >>> list(OneProcess().run(lambda exchanges: len(list(exchanges)), [file])), list(pieces_of([file]))[0][1:]
        ([3], (0, 3))
    """

    def run(self, work: Callable[[Iterable[Exchange]], Any], paths: Sequence[str | Path]) -> Iterator[Any]:
        """Yield the result of each piece."""
        for file in traffic_files(paths):
            yield from in_pieces(work, read_numbered(file))

    def map(self, work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each part."""
        yield from map(work, parts)


def in_pieces(work: Callable[[Iterable[Exchange]], Any], numbered: Iterable[tuple[int, Exchange]]) -> Iterator[Any]:
    """Yield the result of each piece of traffic that is read already, its requests numbered from 1 on."""
    for _, piece in groupby(numbered, key=lambda pair: (pair[0] - 1) // LINES):
        yield work(exchange for _, exchange in piece)


def pieces_of(paths: Iterable[str | Path]) -> Iterator[Piece]:
    """Yield the pieces of some traffic, in order."""
    for file in traffic_files(paths):
        lines = count_lines(file)
        for begin in range(0, lines, LINES):
            yield Piece(file, begin, min(begin + LINES, lines))


__all__ = ["LINES", "Engine", "OneProcess", "Piece", "PieceWork", "in_pieces", "pieces_of"]
