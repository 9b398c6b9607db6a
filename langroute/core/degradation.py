"""Warnings about internal failures that were worked around, each cause warned about once."""

from __future__ import annotations

import sys
import warnings

from langroute.core.errors import DegradedWarning

OURS = ("langroute", "langchain_core", "langchain", "langgraph", "contextlib", "concurrent", "asyncio", "threading")
"""Packages whose frames a warning skips, so that it points at the user's code."""

MOST = 1000
"""Most causes that are warned about by one object."""


class Degradations:
    """Issues each warning once, attributed to the user's calling code.

    Example:
        >>> notices, problems = Degradations(), []
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     for _ in range(3):
        ...         notices.warn_once("ledger failed: disk full", problems)
        >>> len(caught), len(problems)
        (1, 3)
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def warn_once(self, cause: str, problems: list[str], kind: str | None = None) -> None:
        """Append an internal failure to `problems` and warn about it: once per kind, since messages may differ each time."""
        problems.append(cause)
        self.warn(kind or cause, DegradedWarning, f"{cause}. The call went on without it.")

    def warn(self, key: str, category: type[Warning], text: str) -> None:
        """Warn, unless this key was warned about before."""
        if key not in self._told and len(self._told) < MOST:
            self._told.add(key)
            warnings.warn(text, category, stacklevel=callers_level())


def callers_level() -> int:
    """Return the `stacklevel` of the code that called LangChain or langroute."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        level, frame = level + 1, frame.f_back
    return level


__all__ = ["Degradations"]
