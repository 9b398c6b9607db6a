"""Bounds on what verifiers read of an answer and on what they report.

An answer is untrusted input: its size, its nesting and the time that checks may take are bounded here. A value beyond a bound is not
checked, and the verdict says so.
"""

from __future__ import annotations

import json
from typing import Any

MOST_CHARS = 1_000_000
"""Longest text that is read as JSON, in characters."""

MOST_DEPTH = 100
"""Deepest nesting of lists and objects."""

MOST_VALUES = 200_000
"""Most values in a structured answer or in the arguments of a tool call."""

MOST_REASON = 300
"""Most characters of a verdict's reason."""


class NotCheckedError(ValueError):
    """A value exceeds a bound and was not checked; the message says which bound."""


def short(text: str, most: int = MOST_REASON) -> str:
    """Return a text cut to at most `most` characters; for texts that may quote an answer.

    Example:
        >>> short("x" * 500)[-3:], short("brief")
        ('xx…', 'brief')
    """
    return text if len(text) <= most else text[: most - 1] + "…"


def size_of(value: Any) -> int:
    """Return the number of characters in a value made of lists and objects, keys included.

    Raises:
        NotCheckedError: The value has more than `MOST_VALUES` values, or is nested more than `MOST_DEPTH` deep.

    Example:
        >>> size_of({"city": ["Oslo", "Rome"]})
        12
    """
    chars = count = depth = 0
    level = [value]
    while level:
        depth, count = depth + 1, count + len(level)
        below: list[Any] = []
        if depth > MOST_DEPTH:
            raise NotCheckedError(f"nested more than {MOST_DEPTH} deep")
        if count > MOST_VALUES:
            raise NotCheckedError(f"more than {MOST_VALUES:,} values")
        for one in level:
            if isinstance(one, str):
                chars += len(one)
            elif isinstance(one, dict):
                below += one.values()
                chars += sum(len(key) for key in one if isinstance(key, str))
            elif isinstance(one, (list, tuple)):
                below += one
        level = below
    return chars


def read_json(text: str) -> Any:
    """Parse a text as JSON.

    Raises:
        NotCheckedError: The text is longer than `MOST_CHARS`.
        ValueError: The text is not JSON, is nested too deeply, or has a number of too many digits.

    Example:
        >>> read_json('{"n": 1}')
        {'n': 1}
    """
    if len(text) > MOST_CHARS:
        raise NotCheckedError(f"more than {MOST_CHARS:,} characters")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
