r"""Calibration of the semantic cache: learns where its hits are right often enough to be served.

For each neighbourhood of questions (kind of step, judgement, similarity) a bet is kept against the claim "at least `max_error` of
these are wrong": every right answer wins a little, every wrong one loses a lot. If the claim were true, the bet would ever grow a
hundredfold with probability 1 % at most, however often it is checked. Answers are served only where it has grown that much.

Source: the test by betting of Ville's inequality (Shafer, 2021; Waudby-Smith and Ramdas, 2023); to learn online, for each neighbourhood, and
from asking the model anyway, is the idea of vCache (Schroeder et al., 2025).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass

from langroute.core.errors import ConfigurationError
from langroute.core.locks import new_lock

HEADSTART = 100.0
"""Factor above the needed bet at which the guard's judgement `same` starts: the trust earned on its own test set."""

RESERVE = 1e4
"""Factor to which a bet may grow beyond what is needed; the limit lets trust be lost soon when things change."""


@dataclass(slots=True)
class _Cell:
    capital: float
    """Logarithm of the bet."""

    right: int = 0
    wrong: int = 0


class Calibration:
    """Learns in which neighbourhoods a share of at most `max_error` of the served answers is wrong.

    Args:
        max_error: The share of served answers that may be wrong.
        confidence: Required confidence in that, for each neighbourhood.

    Raises:
        ConfigurationError: An argument is not between 0 and 1.

    Example:
        >>> calibration = Calibration(max_error=0.05)
        >>> calibration.trusts("near")
        False
        >>> for _ in range(200):
        ...     calibration.learn("near", right=True)
        >>> calibration.trusts("near")
        True
    """

    def __init__(self, max_error: float = 0.01, confidence: float = 0.99) -> None:
        for name, value in (("max_error", max_error), ("confidence", confidence)):
            if not 0 < value < 1:
                raise ConfigurationError(f"{name} is a share between 0 and 1, not {value}.")
        self.max_error, self.confidence = max_error, confidence
        self._needed = math.log(1 / (1 - confidence))
        # The stake: larger stakes are convinced sooner by right answers, and ruined sooner by a wrong one.
        self._win = math.log(1 + 0.9 * max_error / (1 - max_error))
        self._loss = math.log(1 - 0.9)
        self._cells: dict[Hashable, _Cell] = {}
        self._lock = new_lock()

    def _cell(self, where: Hashable, trusted: bool) -> _Cell:
        cell = self._cells.get(where)
        if cell is None:
            cell = self._cells[where] = _Cell(self._needed + math.log(HEADSTART) if trusted else 0.0)
        return cell

    def trusts(self, where: Hashable, *, trusted: bool = False) -> bool:
        """Return whether answers may be served in this neighbourhood.

        Args:
            where: The neighbourhood.
            trusted: Start with the trust that the guard has earned on its test set.
        """
        with self._lock:
            return self._cell(where, trusted).capital >= self._needed

    def learn(self, where: Hashable, *, right: bool, trusted: bool = False) -> None:
        """Record that an answer of this neighbourhood was right or wrong."""
        with self._lock:
            cell = self._cell(where, trusted)
            cell.capital = min(self._needed + math.log(RESERVE), cell.capital + (self._win if right else self._loss))
            if right:
                cell.right += 1
            else:
                cell.wrong += 1

    def seen(self, where: Hashable) -> tuple[int, int]:
        """Return how many answers were right and wrong in a neighbourhood."""
        with self._lock:
            cell = self._cells.get(where)
            return (cell.right, cell.wrong) if cell is not None else (0, 0)
