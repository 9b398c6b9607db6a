"""Look-up of stored answers: stored values are validated and judged again, and a failing store is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from struct import Struct
from typing import Any

from langroute.cache.entries import CacheEntry
from langroute.cache.flights import FlightResult
from langroute.cache.invalidation import Invalidation
from langroute.cache.keys import Keys
from langroute.cache.policy import CachePolicy
from langroute.cache.requests import Hit, Lookup
from langroute.cache.resilient_store import ResilientStore
from langroute.cache.served_models import ServedModels
from langroute.cache.stores import Store
from langroute.cache.validation import EntryValidator
from langroute.core.errors import DataError

_TIME = Struct(">d")
"""Expiry time, stored in front of plain bytes."""


class Looks(Invalidation):
    """The part of a `ResponseCache` that looks up answers.

    Args:
        store: Where answers are kept.
        policy: What may be cached.
        semantic: The `SemanticCache`, if there is one.
        clock: Seconds since the epoch.
    """

    def __init__(self, store: Store, policy: CachePolicy, semantic: Any, clock: Callable[[], float]) -> None:
        super().__init__(store, semantic, clock)
        self.policy = policy
        self.keys = Keys()
        self._served = ServedModels()
        self.validator = EntryValidator(policy, self._served)
        self._tended_semantic = ResilientStore(self._counts, "semantic cache")

    def note(self, name: str, reason: str) -> None:
        """Count an event, such as `errors` or `not_stored`, and its reason."""
        self._counts.add(name, reason[:200])

    # The very same question --------------------------------------------------------------------------------------------

    def _stored(self, ticket: Lookup) -> CacheEntry | None:
        if not ticket.may_read or not self._store_calls.up:
            return None
        return self._fitting(ticket, self._store_calls.ask(self.store.get, ticket.key, otherwise=None))

    async def _astored(self, ticket: Lookup) -> CacheEntry | None:
        if not ticket.may_read or not self._store_calls.up:
            return None
        return self._fitting(ticket, await self._store_calls.aask(self.store.aget(ticket.key), otherwise=None))

    def value(self, key: str) -> CacheEntry | None:
        """Return the entry of a key in any namespace; `None` where there is none or it cannot be read."""
        return self._decoded(key, self._store_calls.ask(self.store.get, key, otherwise=None)) if self._store_calls.up else None

    async def avalue(self, key: str) -> CacheEntry | None:
        """Async version of `value`."""
        return (
            self._decoded(key, await self._store_calls.aask(self.store.aget(key), otherwise=None)) if self._store_calls.up else None
        )

    def _landed(self, ticket: Lookup, landed: FlightResult) -> Hit | None:
        """Return the result of another call's flight as a hit of this request; `None` where there is none."""
        if landed.value is None:
            return None
        entry = self._readings.read(ticket.key, landed.value)
        if not self._good(ticket, entry, exact=landed.how == "hit"):
            return None
        self._counts.add("shared")
        return Hit(entry, landed.how)

    def _fitting(self, ticket: Lookup, data: bytes | None) -> CacheEntry | None:
        if data is None:
            return None
        entry = self._decoded(ticket.key, data)
        return entry if entry is not None and self._good(ticket, entry) else None

    def _decoded(self, key: str, data: bytes | None) -> CacheEntry | None:
        if data is None:
            return None
        if len(data) > self.policy.max_bytes:
            self._counts.add("refused", "a stored answer is too large")
            return None
        try:
            entry = self._readings.read(key, data)
        except DataError as error:
            self._counts.add("errors", f"a stored answer could not be read: {error}"[:200])
            return None
        if entry.key != key:
            self._counts.add("refused", "a stored answer is somebody else's")
            return None
        return entry

    def _good(self, ticket: Lookup, entry: CacheEntry, *, exact: bool = True) -> bool:
        """Return whether the entry may be given to this request."""
        reason = self.validator.refuses(ticket, entry, self._clock(), exact=exact)
        if reason is not None:
            self._counts.add("refused", reason[:200])
        return reason is None

    # The same in other words -------------------------------------------------------------------------------------------

    @property
    def _asks_semantic(self) -> bool:
        return self.semantic is not None and self._store_calls.up and self._tended_semantic.up

    def _semantic(self, ticket: Lookup) -> Hit | None:
        try:
            found = self.semantic.find(ticket, self.value, self.store, self.keys, self._clock())
            self._answered(ticket)
            return self._meant(ticket, found)
        except Exception as error:  # noqa: BLE001 - an embedding service that is down costs no answer, and no exact hit either
            self._tended_semantic.failed(error)
            return None

    async def _asemantic(self, ticket: Lookup) -> Hit | None:
        try:
            found = await self.semantic.afind(ticket, self.avalue, self.value, self.store, self.keys, self._clock())
            self._answered(ticket)
            return self._meant(ticket, found)
        except Exception as error:  # noqa: BLE001
            self._tended_semantic.failed(error)
            return None

    def _answered(self, ticket: Lookup) -> None:
        """Ask the semantic cache as ever from now on, where it was asked: not every request is a question for it."""
        if ticket.question is not None and ticket.question.vector is not None:
            self._tended_semantic.worked()

    def _meant(self, ticket: Lookup, found: CacheEntry | None) -> Hit | None:
        return Hit(found, "semantic_hit") if found is not None and self._good(ticket, found, exact=False) else None

    # Plain bytes, for caches of other kinds on the same store ----------------------------------------------------------

    def raw(self, key: str) -> bytes | None:
        """Return the bytes stored under a key; `None` where there are none, they are too large or the store is down."""
        return self._small(self._store_calls.ask(self.store.get, key, otherwise=None)) if self._store_calls.up else None

    async def araw(self, key: str) -> bytes | None:
        """Async version of `raw`."""
        return self._small(await self._store_calls.aask(self.store.aget(key), otherwise=None)) if self._store_calls.up else None

    def _small(self, data: bytes | None) -> bytes | None:
        """Return the stored bytes, unless they are too large or expired; the expiry time is sealed with them."""
        if data is None or not _TIME.size <= len(data) <= self.policy.max_bytes + _TIME.size:
            return None
        (expires,) = _TIME.unpack_from(data)
        return data[_TIME.size :] if expires > self._clock() else None

    def put_raw(self, key: str, data: bytes, *, expires: float | None, tags: Sequence[str] = ()) -> None:
        """Store bytes under a key, if the store is up and they are not too large."""
        if self._room(data):
            data = _TIME.pack(inf if expires is None else expires) + data
            self._store_calls.ask(self.store.put, key, data, expires=expires, tags=tags, otherwise=None, writes=True)

    async def aput_raw(self, key: str, data: bytes, *, expires: float | None, tags: Sequence[str] = ()) -> None:
        """Async version of `put_raw`."""
        if self._room(data):
            data = _TIME.pack(inf if expires is None else expires) + data
            await self._store_calls.aask(self.store.aput(key, data, expires=expires, tags=tags), otherwise=None, writes=True)

    def _room(self, data: bytes) -> bool:
        """Return whether these bytes can be stored now; count the reason where not."""
        if len(data) > self.policy.max_bytes:
            self._counts.add("not_stored", "it is too large")
        elif not self._store_calls.writable:
            self._counts.add("not_stored", "the store rests")
        else:
            return True
        return False
