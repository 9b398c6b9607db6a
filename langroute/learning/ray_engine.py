"""`RayEngine`: works on a Ray cluster, a piece of traffic or another part a task, with the results in the order of the pieces."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from langroute.core.errors import DataError, LangrouteError, MissingExtraError
from langroute.learning.kept_pieces import KeptPieces
from langroute.learning.pieces import Piece, PieceWork, pieces_of

RETRIES = 5
"""How often a piece is given to another worker whose worker, or machine, was lost."""

AHEAD = 4
"""Pieces for each processor that are given out before the first of them is needed."""

MOST_WORKS = 4
"""Most kinds of work that a worker keeps unpacked."""

_works: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class _Reading:
    """Work on a piece that the worker reads itself."""

    work: PieceWork[Any]

    def __call__(self, piece: Piece) -> Any:
        return self.work(piece.exchanges())


@dataclass(frozen=True, slots=True)
class _Refused:
    """What a part raised, as a result: Ray prints the errors of tasks that nobody asks about any more, with their traces."""

    error: LangrouteError


def _do(key: str, held: list[Any], part: Any) -> Any:
    """Work on a part, in a worker. The work is unpacked once for each worker: a policy takes longer than a piece."""
    import ray

    if key not in _works:
        while len(_works) >= MOST_WORKS:
            _works.pop(next(iter(_works)))
        _works[key] = ray.get(held[0])
    try:
        return _works[key](part)
    except LangrouteError as error:
        return _Refused(error)


class RayEngine:
    """Work through traffic on a Ray cluster. Every worker reads the files itself: they are on a disk that all see, or at a URL.

    A piece whose worker was lost is given to another one; its result is the same, and counts once. Ids that are repeated are noticed within a
    piece. A policy of your own must choose by the request alone, since each worker has its own copy.

    Args:
        address: Address of the cluster, as `ray.init` takes it; by default what Ray finds (`RAY_ADDRESS`), else a cluster of this machine's
            processors that ends with the program.
        progress: Called after each piece with how many are done and wanted.
        kept: Keeps the results of pieces of traffic, so that work that was stopped goes on.

    Raises:
        MissingExtraError: Ray is not installed.
        DataError: The cluster does not answer.
    """

    def __init__(
        self, address: str | None = None, progress: Callable[[int, int], None] | None = None, kept: KeptPieces | None = None
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError("ray", "ray", "The engine `ray`") from error
        self._ray, self._progress, self._kept = ray, progress or (lambda *_: None), kept
        if not ray.is_initialized():
            try:
                ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None if address else False
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise DataError(f"The Ray cluster does not answer: {error}") from error

    def run(self, work: PieceWork[Any], paths: Sequence[str | Path]) -> Iterator[Any]:
        """Yield the result of each piece, in order.

        Raises:
            LangrouteError: What a piece raised, such as a `DataError` that names its line.
        """
        pieces = list(pieces_of(paths))
        # Work that cannot be told from other work by words is not kept.
        named, kept = getattr(work, "key", None), self._kept
        if kept is None or named is None:
            yield from self.map(_Reading(work), pieces)
            return
        there = {place for place, piece in enumerate(pieces) if kept.has(str(named), piece)}
        for piece, promised in zip(pieces, self._promises(_Reading(work), pieces, there), strict=True):
            yield kept.get(str(named), piece, partial(self._result, promised), getattr(work, "makes", object))

    def map(self, work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each part, in order.

        Raises:
            LangrouteError: What a part raised.
        """
        for promised in self._promises(work, list(parts)):
            yield self._result(promised)

    def _promises(self, work: Callable[[Any], Any], parts: Sequence[Any], there: Collection[int] = ()) -> Iterator[Any]:
        """Yield what the result of each part can be had for, in order; `None` for those that are there already, by their index."""
        ray = self._ray
        key, held = secrets.token_hex(8), [ray.put(work)]
        task = ray.remote(max_retries=RETRIES)(_do)
        ahead = max(AHEAD * int(ray.cluster_resources().get("CPU", 1)), 1)
        waiting: deque[Any] = deque()
        given = enumerate(parts)
        for done in range(1, len(parts) + 1):
            for place, part in islice(given, ahead - len(waiting)):
                waiting.append(None if place in there else task.remote(key, held, part))
            yield waiting.popleft()
            self._progress(done, len(parts))

    def _result(self, promised: Any) -> Any:
        try:
            result = self._ray.get(promised)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            raise DataError(f"A piece was lost {RETRIES + 1} times with its worker: {error}") from error
        if isinstance(result, _Refused):
            raise result.error
        return result


__all__ = ["RayEngine"]
