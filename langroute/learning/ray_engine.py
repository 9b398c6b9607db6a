"""`RayEngine`: works through traffic on a Ray cluster, a piece a task, with the results in the order of the pieces."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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


def _do(key: str, held: list[Any], piece: Piece) -> Any:
    """Work on a piece, in a worker. The work is unpacked once for each worker: a policy takes longer than a piece."""
    import ray

    if key not in _works:
        while len(_works) >= MOST_WORKS:
            _works.pop(next(iter(_works)))
        _works[key] = ray.get(held[0])
    return _works[key](piece.exchanges())


class RayEngine:
    """Work through traffic on a Ray cluster. Every worker reads the files itself: they are on a disk that all see, or at a URL.

    A piece whose worker was lost is given to another one; its result is the same, and counts once. Ids that are repeated are noticed within a
    piece. A policy of your own must choose by the request alone, since each worker has its own copy.

    Args:
        address: Address of the cluster, as `ray.init` takes it; by default what Ray finds (`RAY_ADDRESS`), else a cluster of this machine's
            processors that ends with the program.
        progress: Called after each piece with how many are done and wanted.
        kept: Keeps the results of the pieces of a replay, so that one that was stopped goes on.

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
        ray = self._ray
        pieces = list(pieces_of(paths))
        key, held = secrets.token_hex(8), [ray.put(work)]
        task = ray.remote(max_retries=RETRIES)(_do)
        ahead = max(AHEAD * int(ray.cluster_resources().get("CPU", 1)), 1)
        waiting: deque[tuple[Piece, Any]] = deque()
        given = iter(pieces)
        # Work that cannot be told from other work by words is not kept.
        named = getattr(work, "key", None)
        kept = self._kept if named is not None else None
        for done in range(1, len(pieces) + 1):
            while len(waiting) < ahead and (piece := next(given, None)) is not None:
                there = kept is not None and kept.has(str(named), piece)
                waiting.append((piece, None if there else task.remote(key, held, piece)))
            piece, promised = waiting.popleft()
            if kept is None:
                yield self._result(promised)
            else:
                yield kept.get(str(named), piece, partial(self._result, promised))
            self._progress(done, len(pieces))

    def _result(self, promised: Any) -> Any:
        try:
            return self._ray.get(promised)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LangrouteError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise DataError(f"A piece was lost {RETRIES + 1} times with its worker: {error}") from error


__all__ = ["RayEngine"]
