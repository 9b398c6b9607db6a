"""How do an agent's conversations usually go? Steps in a turn, tokens in a step, seconds between them; learned from its decisions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from langroute.switching import Pace

PRIOR_STEPS = 4.0
"""Steps that a turn is expected to have left before any were seen."""

MOST_TURNS = 64
"""Turns of a conversation that are told apart."""

PRIOR_BACK = 0.5
"""How likely a conversation comes back to the route it leaves, before that was seen."""


def learned(old: float, new: float) -> float:
    """A running value that follows what was seen last.

    Example:
        >>> learned(10.0, 20.0)
        12.0
    """
    return old + 0.2 * (new - old)


@dataclass(slots=True)
class Habits:
    """How the conversations of one agent go.

    Example:
        >>> habits = Habits()
        >>> habits.turn_ended(3)
        >>> 1 <= habits.left(1) < 4
        True
    """

    lengths: deque[int] = field(default_factory=lambda: deque(maxlen=64))
    """Steps of the latest turns."""

    input_tokens: float = 1500.0
    output_tokens: float = 300.0
    step_seconds: float = 10.0
    pause_seconds: float = 60.0
    """Between a turn's last answer and the next turn."""

    back: float = PRIOR_BACK
    """How often a conversation that left a route came back to it, in the same turn or with the next."""

    away: float = PRIOR_STEPS
    """Steps it was away then."""

    reached: list[int] = field(default_factory=lambda: [0] * MOST_TURNS)
    """How many conversations came to their first, second, third … turn."""

    def left(self, done: int) -> float:
        """Expected steps on one route, the next one included, when so many of the turn are done."""
        # Copied, because another thread may add to them meanwhile: even within `tuple`, which makes room after it began to read.
        lengths = self.lengths.copy()
        longer = [length - done for length in lengths if length > done]
        # One imagined turn beside those seen, so that nothing is expected for sure.
        imagined = min(PRIOR_STEPS, sum(lengths) / len(lengths)) if lengths else PRIOR_STEPS
        turn = max(1.0, (sum(longer) + imagined) / (len(longer) + 1))
        return (1 - self.back) * turn + self.back * min(turn, self.away)

    def pace(self, done: int) -> Pace:
        """How the turn is expected to go on."""
        return Pace(self.left(done), int(self.input_tokens), int(self.output_tokens))

    def turn_began(self, turn: int) -> None:
        """A conversation came to a turn."""
        if 0 <= turn < MOST_TURNS:
            self.reached[turn] += 1

    def turns_left(self, turn: int) -> float:
        """Expected turns after this one.

        Example:
            >>> habits = Habits()
            >>> for turn in (1, 2, 3, 1, 2, 3):
            ...     habits.turn_began(turn)
            >>> habits.turns_left(1)
            1.0
        """
        if not 0 <= turn < MOST_TURNS - 1:
            return 0.0
        # Two imagined conversations that end here, so that a few long ones do not promise too much.
        return sum(self.reached[turn + 1 :]) / (self.reached[turn] + 2)

    def turn_ended(self, steps: int) -> None:
        """A turn had so many steps."""
        self.lengths.append(steps)

    def came_back(self, away: int | None) -> None:
        """A conversation came back to a route it had left, after so many steps; or it did not (`None`)."""
        self.back = learned(self.back, float(away is not None))
        if away is not None:
            self.away = learned(self.away, away)
