"""Drawing of requests to fit on: the same ones from the same traffic and seed, whoever reads it.

Every request has a number that the seed and its place say: which of the files it is in, the line and the id. Those with the lowest numbers are
drawn, so what was drawn of pieces of traffic can be added up. Ids alone would not do: other files may have the same ones, and would be
drawn with them or not at all.

Source: Cohen and Kaplan, Summarizing Data using Bottom-k Sketches (2007).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt
from pathlib import Path
from typing import ClassVar

import numpy as np

from langroute.learning.hashing import number_of
from langroute.learning.pieces import Engine, OneProcess, pieces_of
from langroute.learning.traffic import Exchange, shown_file
from langroute.learning.traffic_files import traffic_files

EVERYTHING = 1 << 64
"""Every number of a request is below it."""

SURE = 8.0
"""By how many standard deviations more requests are asked for than are wanted."""


@dataclass(slots=True)
class Drawn:
    """Requests that were drawn from some traffic, in its order.

    Example:
        >>> from langroute.learning.traffic import parse_exchange
        >>> one = {"messages": [{"role": "user", "content": "Hi."}], "outcomes": {"a": {"score": 1, "input_tokens": 3, "output_tokens": 5}}}
        >>> work, drawn = DrawingWork(0), Drawn()
        >>> for piece in ("abc", "def"):
        ...     drawn.merge(work(parse_exchange({**one, "id": name}) for name in piece), 4)
        >>> drawn.requests, [exchange.id for exchange in drawn.exchanges]
        (6, ['a', 'd', 'e', 'f'])
    """

    requests: int = 0
    """How many there are in the traffic."""

    numbers: list[int] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    def merge(self, more: Drawn, most: int) -> None:
        """Add what was drawn of the requests after these; `most` are kept, of equal numbers the earlier ones."""
        self.requests += more.requests
        self.numbers += more.numbers
        self.exchanges += more.exchanges
        if len(self.numbers) > most:
            kept = np.sort(np.argsort(np.array(self.numbers, np.uint64), kind="stable")[:most]).tolist()
            self.numbers, self.exchanges = ([values[at] for at in kept] for values in (self.numbers, self.exchanges))


@dataclass(frozen=True, slots=True)
class DrawingWork:
    """Draws from a piece of traffic the requests whose number is below a bound."""

    makes: ClassVar[type] = Drawn
    seed: int
    below: int = EVERYTHING
    files: Mapping[str, int] = field(default_factory=dict)
    """Index of each file, as `Exchange.where` names it: the same wherever the files are."""

    def __call__(self, exchanges: Iterable[Exchange]) -> Drawn:
        """Return what was drawn."""
        drawn = Drawn()
        for one in exchanges:
            drawn.requests += 1
            line = one.where.rpartition(":")[2]
            number = number_of(f"{self.seed}/{self.files.get(one.file, 0)}/{line}/{one.id}")
            if number < self.below:
                drawn.numbers.append(number)
                drawn.exchanges.append(one)
        return drawn

    @property
    def key(self) -> str:
        """What tells this work from other work, in words."""
        files = hashlib.blake2b(repr(sorted(self.files.items())).encode("utf-8", "replace"), digest_size=16).hexdigest()
        return repr(("draw", self.seed, self.below, files))


def drawn_from(paths: Sequence[str | Path], seed: int, most: int, engine: Engine | None = None) -> list[Exchange]:
    """Return all requests of some traffic, or `most` that are drawn by lot, in their order.

    Args:
        paths: Traffic files.
        seed: Seed of the lot.
        most: Most requests to return.
        engine: What reads the traffic; this process by default. Every engine draws the same requests, but that an id which is repeated in
            different pieces of a file is an error in this process alone.
    """
    files = {shown_file(file): place for place, file in enumerate(traffic_files(paths))}
    if engine is None:
        return _drawn(paths, DrawingWork(seed, files=files), most, OneProcess()).exchanges
    # Workers send no more than are likely to be needed. Lines may be empty, so there may be fewer requests than lines.
    share = (most + SURE * sqrt(most)) / max(sum(piece.end - piece.begin for piece in pieces_of(paths)), 1)
    while True:
        below = min(ceil(share * EVERYTHING), EVERYTHING)
        found = _drawn(paths, DrawingWork(seed, below, files), most, engine)
        if below == EVERYTHING or len(found.exchanges) >= min(most, found.requests):
            return found.exchanges
        share *= 2


def _drawn(paths: Sequence[str | Path], work: DrawingWork, most: int, engine: Engine) -> Drawn:
    drawn = Drawn()
    for more in engine.run(work, paths):
        drawn.merge(more, most)
    return drawn


__all__ = ["DrawingWork", "Drawn", "drawn_from"]
