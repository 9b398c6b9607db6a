"""Storing of answers: what may be stored, and handing the answer to the calls that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from langroute.cache.entries import CacheEntry, encode, storable
from langroute.cache.flights import GIVE_UP, NOTHING, FlightResult, Leases
from langroute.cache.looking import Looks
from langroute.cache.policy import CachePolicy
from langroute.cache.requests import Lookup
from langroute.cache.stores import Store
from langroute.core.errors import DataError
from langroute.core.records import Usage

PARENTS = 64
"""Most stored answers in a history that an entry is tied to; the latest are used."""


class Keeps(Looks):
    """The part of a `ResponseCache` that stores answers.

    Args:
        store: Where answers are kept.
        policy: What may be cached.
        semantic: The `SemanticCache`, if there is one.
        clock: Seconds since the epoch.
        lease_seconds: How long other processes wait for a leader that died.
    """

    def __init__(self, store: Store, policy: CachePolicy, semantic: Any, clock: Callable[[], float], lease_seconds: float) -> None:
        super().__init__(store, policy, semantic, clock)
        self._leases = Leases(store, lease_seconds)
        self._tasks_of_loops: set[asyncio.Task[None]] = set()

    def entry(
        self,
        ticket: Lookup,
        message: Any,
        *,
        finish_reason: str | None,
        usage: Usage | None = None,
        cost_usd: float | None = None,
        score: float | None = None,
        parsed: Any = None,
        sent: str | None = None,
    ) -> CacheEntry | None:
        """Return the entry to store of an answer; `None` if it may not be stored."""
        ask = ticket.ask
        reason = self.policy.rejects(message, finish_reason, may_be_silent=ask.may_be_silent, tools=ask.tools)
        if reason is None and score is not None and score < self.policy.min_score:
            reason = f"it scored {score:.2f}"
        if reason is None:
            try:
                kept = storable(message)
            except DataError as error:
                reason = str(error)
        if reason is not None:
            self._counts.add("not_stored", reason)
            return None
        served = kept.response_metadata.get("model_name") or kept.response_metadata.get("model")
        now = self._clock()
        if served:
            self._served.note(ask.model_digest.hex(), served, now)
        tags = (
            f"ns:{ticket.namespace}",
            f"route:{ask.route}",
            f"kind:{ask.kind}",
            *([f"model:{served}"] if served else ()),
            *([f"task:{ask.task}"] if ask.task else ()),
            *([f"decision:{ask.decision_id}"] if ask.decision_id else ()),
            *[f"from:{parent}" for parent in _parents(ask.messages)],
            *[f"tag:{tag}" for tag in ticket.tags],
        )
        return CacheEntry(
            message=kept,
            namespace=ticket.namespace,
            key=ticket.key,
            route=ask.route,
            model_digest=ask.model_digest.hex(),
            model=served,
            kind=ask.kind,
            created=now,
            expires=now + ticket.ttl,
            usage=usage,
            cost_usd=cost_usd,
            score=score,
            parsed=parsed,
            structured=ask.structured,
            decision_id=ask.decision_id,
            sent=sent,
            tags=tags,
        )

    def _sealed(self, entry: CacheEntry) -> bytes | None:
        try:
            data = encode(entry)
        except DataError as error:
            self._counts.add("not_stored", str(error))
            return None
        if len(data) > self.policy.max_bytes:
            self._counts.add("not_stored", "it is too large")
            return None
        return data

    def keep(self, ticket: Lookup, entry: CacheEntry | None) -> bool:
        """End a call with its entry, or `None` for an answer that may not be stored. Return whether it was stored."""
        data: bytes | None = None
        try:
            asked = self.semantic if entry is not None and entry.key == ticket.key and self._tended_semantic.up else None
            if asked is not None and entry is not None:
                embedded = self._tended_semantic.ask(asked.embed, ticket, otherwise=False)
                entry = asked.described(ticket, entry)
                asked = asked if embedded is None else None
            data = self._sealed(entry) if entry is not None else None
            if entry is not None and data is not None and self._room(data):
                self._store_calls.ask(
                    self.store.put, entry.key, data, expires=entry.expires, tags=entry.tags, otherwise=None, writes=True
                )
                if asked is not None:
                    self._tended_semantic.ask(asked.add, ticket, entry, otherwise=None)
                self._stored_one(ticket, entry)
        except Exception as error:  # noqa: BLE001 - the answer is there, kept or not
            self.note("errors", f"keeping it failed: {type(error).__name__}")
        ticket.resolve(FlightResult(data) if data is not None else GIVE_UP)
        self._let_go(ticket)
        return data is not None

    async def akeep(self, ticket: Lookup, entry: CacheEntry | None) -> bool:
        """Async version of `keep`."""
        data: bytes | None = None
        try:
            asked = self.semantic if entry is not None and entry.key == ticket.key and self._tended_semantic.up else None
            if asked is not None and entry is not None:
                embedded = await self._tended_semantic.aask(asked.aembed(ticket), otherwise=False)
                entry = asked.described(ticket, entry)
                asked = asked if embedded is None else None
            data = self._sealed(entry) if entry is not None else None
            if entry is not None and data is not None and self._room(data):
                work = self.store.aput(entry.key, data, expires=entry.expires, tags=entry.tags)
                await self._store_calls.aask(work, otherwise=None, writes=True)
                if asked is not None:
                    await self._tended_semantic.aask(asked.aadd(ticket, entry), otherwise=None)
                self._stored_one(ticket, entry)
        except Exception as error:  # noqa: BLE001
            self.note("errors", f"keeping it failed: {type(error).__name__}")
        ticket.resolve(FlightResult(data) if data is not None else GIVE_UP)
        await self._alet_go(ticket)
        return data is not None

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the running event loop without waiting for it."""
        # Where the loop was closed meanwhile, nobody waits any more.
        self._tasks_of_loops = {task for task in self._tasks_of_loops if not task.get_loop().is_closed()}
        task = asyncio.get_running_loop().create_task(work)
        self._tasks_of_loops.add(task)
        task.add_done_callback(lambda done: self._tasks_of_loops.discard(done))

    def _stored_one(self, ticket: Lookup, entry: CacheEntry) -> None:
        self._counts.add("stored")
        self._remember(ticket, entry.key, None)

    def fail(self, ticket: Lookup) -> None:
        """End a call that failed or was never answered, so that a waiting call may try."""
        ticket.resolve(NOTHING)
        self._let_go(ticket)

    async def afail(self, ticket: Lookup) -> None:
        """Async version of `fail`."""
        ticket.resolve(NOTHING)
        await self._alet_go(ticket)

    def _let_go(self, ticket: Lookup) -> None:
        if ticket.owner is not None:
            self._leases.let_go(ticket.key)
            owner, ticket.owner = ticket.owner, None
            # While the store is left alone after a failure, the lease expires by itself.
            if self._store_calls.writable:
                self._store_calls.ask(self.store.release, ticket.key, owner, otherwise=None, writes=True)

    async def _alet_go(self, ticket: Lookup) -> None:
        if ticket.owner is not None:
            self._leases.let_go(ticket.key)
            owner, ticket.owner = ticket.owner, None
            if self._store_calls.writable:
                await self._store_calls.aask(self.store.arelease(ticket.key, owner), otherwise=None, writes=True)


def _parents(messages: Sequence[Any]) -> list[str]:
    """Return the keys of stored answers in a history."""
    found: list[str] = []
    for message in reversed(messages):
        if message.type == "ai":
            mark = message.response_metadata.get("langroute")
            if isinstance(mark, Mapping) and isinstance(key := mark.get("cache_key"), str):
                found.append(key)
                if len(found) >= PARENTS:
                    break
    return found
