"""Running statistics of an agent's conversations: steps per turn, tokens per step, pauses and returns to a route."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from langroute.prompt_cache.switch_cost import Pace

PRIOR_STEPS = 4.0
"""Expected remaining steps of a turn before any turn was observed."""

MOST_TURNS = 64
"""Number of turns of a conversation that are counted separately."""

PRIOR_BACK = 0.5
"""Probability that a conversation returns to a route it leaves, before any was observed."""


def learned(old: float, new: float) -> float:
    """Return an exponentially weighted average, updated by a new value.

    Example:
        >>> learned(10.0, 20.0)
        12.0
    """
    return old + 0.2 * (new - old)


@dataclass(slots=True)
class TurnStatistics:
    """Statistics of one agent's conversations.

    Example:
        >>> habits = TurnStatistics()
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
    """Seconds between a turn's last answer and the next turn."""

    back: float = PRIOR_BACK
    """Share of conversations that returned to a route they had left, in the same turn or with the next."""

    away: float = PRIOR_STEPS
    """Number of steps until the return."""

    reached: list[int] = field(default_factory=lambda: [0] * MOST_TURNS)
    """Number of conversations that reached their first, second, third … turn."""

    def left(self, done: int) -> float:
        """Return the expected number of steps on one route, the next one included, after `done` steps of the turn."""
        # Copied, because another thread may add to them meanwhile: even within `tuple`, which makes room after it began to read.
        lengths = self.lengths.copy()
        longer = [length - done for length in lengths if length > done]
        # One imagined turn beside those seen, so that nothing is expected for sure.
        imagined = min(PRIOR_STEPS, sum(lengths) / len(lengths)) if lengths else PRIOR_STEPS
        turn = max(1.0, (sum(longer) + imagined) / (len(longer) + 1))
        return (1 - self.back) * turn + self.back * min(turn, self.away)

    def pace(self, done: int) -> Pace:
        """Return the expected course of the rest of the turn."""
        return Pace(self.left(done), int(self.input_tokens), int(self.output_tokens))

    def turn_began(self, turn: int) -> None:
        """Count a turn that began."""
        if 0 <= turn < MOST_TURNS:
            self.reached[turn] += 1

    def turns_left(self, turn: int) -> float:
        """Return the expected number of turns after this one.

        Example:
            >>> habits = TurnStatistics()
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
        """Record the number of steps of a finished turn."""
        self.lengths.append(steps)

    def came_back(self, away: int | None) -> None:
        """Record after how many steps a conversation returned to a route it had left; `None` if it did not return."""
        self.back = learned(self.back, float(away is not None))
        if away is not None:
            self.away = learned(self.away, away)
