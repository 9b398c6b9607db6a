"""Queries of budget stores as steps of a generator, and the two ways to carry them out: at once, or awaited.

An account says what it asks and in which order; whether a thread waits for the answer or an event loop is not its business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from langroute.budgets.store import BudgetStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """A method of a store to call."""

    store: BudgetStore
    method: str
    """`balances` or `reserve`; awaited, that of the same name with an `a` before it."""

    arguments: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Settled:
    """Jobs to wait for: what this process spent last must count."""

    jobs: Sequence[Future[Any]]


Queries: TypeAlias = Generator[Query | Settled, Any, T]


def is_awaited(store: BudgetStore) -> bool:
    """Return whether a store can be awaited."""
    return bool(getattr(store, "awaited", False))


def carry_out(queries: Queries[T]) -> T:
    """Carry out queries; errors of the stores are thrown into the generator."""
    answer: Any = None
    try:
        query = next(queries)
        while True:
            try:
                answer = _answer(query)
            except BaseException as error:  # noqa: BLE001, PERF203 - the generator decides what follows
                query = queries.throw(error)
            else:
                query = queries.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _answer(query: Query | Settled) -> Any:
    if isinstance(query, Settled):
        for job in query.jobs:
            with suppress(Exception):
                job.result()
        return None
    return getattr(query.store, query.method)(*query.arguments)


async def acarry_out(queries: Queries[T]) -> T:
    """Async version of `carry_out`, for stores that can be awaited."""
    answer: Any = None
    try:
        query = next(queries)
        while True:
            try:
                answer = await _aanswer(query)
            except BaseException as error:  # noqa: BLE001, PERF203 - the generator decides what follows
                query = queries.throw(error)
            else:
                query = queries.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def _aanswer(query: Query | Settled) -> Any:
    if isinstance(query, Settled):
        if waiting := [asyncio.wrap_future(job) for job in query.jobs if not job.done()]:
            # Unlike `gather` this cancels none of them.
            await asyncio.wait(waiting)
        return None
    if query.store.local:
        return _answer(query)
    asked = asyncio.ensure_future(getattr(query.store, f"a{query.method}")(*query.arguments))
    try:
        return await asyncio.shield(asked)
    except asyncio.CancelledError:
        # What is reserved meanwhile is released after it was granted, not before.
        with suppress(BaseException):
            await asyncio.wait((asked,))
        raise


__all__ = ["Queries", "Query", "Settled", "acarry_out", "carry_out", "is_awaited"]
