r"""How often are answers wrong that were given for other words, and may more be given?

For each neighbourhood of questions (kind of step, judgement, likeness) a bet is kept against the claim "at least `max_error` of these are
wrong": every right answer wins a little, every wrong one loses a lot. If the claim were true, the bet would ever grow a hundredfold with
probability 1 % at most, however often one looks. Only where it has, are answers given.

Source: the test by betting of Ville's inequality (Shafer, 2021; Waudby-Smith and Ramdas, 2023); to learn online, for each neighbourhood, and
from asking the model anyway, is the idea of vCache (Schroeder et al., 2025).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

from langroute.errors import ConfigurationError

HEADSTART = 100.0
"""How many times over the guard's judgement `same` is trusted before anything was seen, from its own test set."""

RESERVE = 1e4
"""A bet grows no further than this beyond what is needed, so that trust is lost soon when things change."""


@dataclass(slots=True)
class _Cell:
    capital: float
    """Logarithm of the bet."""

    right: int = 0
    wrong: int = 0


class Calibration:
    """Learns where a share of at most `max_error` is wrong.

    Args:
        max_error: The share of given answers that may be wrong.
        confidence: How sure to be of that, for each neighbourhood.

    Raises:
        ConfigurationError: One of them is no share.

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
        # The stake: larger ones are sooner convinced by right answers, and sooner ruined by one wrong one.
        self._win = math.log(1 + 0.9 * max_error / (1 - max_error))
        self._loss = math.log(1 - 0.9)
        self._cells: dict[Hashable, _Cell] = {}
        self._lock = Lock()

    def _cell(self, where: Hashable, trusted: bool) -> _Cell:
        cell = self._cells.get(where)
        if cell is None:
            cell = self._cells[where] = _Cell(self._needed + math.log(HEADSTART) if trusted else 0.0)
        return cell

    def trusts(self, where: Hashable, *, trusted: bool = False) -> bool:
        """Answers may be given in this neighbourhood.

        Args:
            where: The neighbourhood.
            trusted: It starts with the trust that the guard has earned elsewhere.
        """
        with self._lock:
            return self._cell(where, trusted).capital >= self._needed

    def learn(self, where: Hashable, *, right: bool, trusted: bool = False) -> None:
        """An answer of this neighbourhood was seen to be right or wrong."""
        with self._lock:
            cell = self._cell(where, trusted)
            cell.capital = min(self._needed + math.log(RESERVE), cell.capital + (self._win if right else self._loss))
            if right:
                cell.right += 1
            else:
                cell.wrong += 1

    def seen(self, where: Hashable) -> tuple[int, int]:
        """How many were right and wrong in a neighbourhood."""
        with self._lock:
            cell = self._cells.get(where)
            return (cell.right, cell.wrong) if cell is not None else (0, 0)
