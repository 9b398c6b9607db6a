"""What went wrong inside langroute and was worked around: who is told, and how often?"""

from __future__ import annotations

import sys
import warnings

from langroute.errors import DegradedWarning

OURS = ("langroute", "langchain_core", "langchain", "langgraph", "contextlib", "concurrent", "asyncio", "threading")
"""Packages whose frames a warning does not point at."""

MOST = 1000
"""Causes that are warned about; in a program with more of them, nobody reads the next."""


class Notices:
    """Warns once about each cause, in the name of the code that called.

    Example:
        >>> notices, problems = Notices(), []
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     for _ in range(3):
        ...         notices.degraded("ledger failed: disk full", problems)
        >>> len(caught), len(problems)
        (1, 3)
    """

    def __init__(self) -> None:
        self._told: set[str] = set()

    def degraded(self, cause: str, problems: list[str], kind: str | None = None) -> None:
        """Note that something inside langroute failed, and warn once about it: once for each kind, since messages may differ each time."""
        problems.append(cause)
        self.warn(kind or cause, DegradedWarning, f"{cause}. The call went on without it.")

    def warn(self, key: str, category: type[Warning], text: str) -> None:
        """Warn, unless the key was warned about before."""
        if key not in self._told and len(self._told) < MOST:
            self._told.add(key)
            warnings.warn(text, category, stacklevel=_callers_level())


def _callers_level() -> int:
    """How many frames up the code stands that called LangChain or us."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in OURS:
        level, frame = level + 1, frame.f_back
    return level


__all__ = ["Notices"]
