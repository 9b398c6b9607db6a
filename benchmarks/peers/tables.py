"""What all sections of the page share."""

from __future__ import annotations

import statistics

COMMAND = "python benchmarks/peers/run.py"


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """Return a table; its first columns are aligned to the left."""
    line = "|" + "".join("---|" if place < left else "--:|" for place in range(len(head)))
    return "\n".join(["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)])


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def spread(values: list[float]) -> str:
    """Return the median of turns, and their range where there are several."""
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def points(value: float) -> str:
    """Return a difference with its sign; what rounds to nothing has a plus."""
    return f"{round(value, 1) + 0.0:+.1f}"
