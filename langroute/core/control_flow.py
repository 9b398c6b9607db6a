"""Exceptions that are control flow and not failures: cancellation, interrupts, and LangGraph's own signals."""

from __future__ import annotations

import asyncio

_PASSING = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


def passes_through(error: BaseException) -> bool:
    """Return whether an error is control flow and not a model's failure: cancellation, keyboard interrupt, `GraphBubbleUp`.

    Example:
        >>> passes_through(KeyboardInterrupt()), passes_through(ValueError())
        (True, False)
    """
    if isinstance(error, _PASSING) or not isinstance(error, Exception):
        return True
    return is_interrupt(error)


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error is one of LangGraph's own signals (`GraphBubbleUp`): an interrupt, after which the graph may be resumed.

    Example:
        >>> is_interrupt(KeyboardInterrupt())
        False
    """
    return any(base.__name__ == "GraphBubbleUp" for base in type(error).__mro__)
