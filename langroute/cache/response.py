"""`ResponseCache`: answers repeated requests from a store instead of calling a model.

It combines a key and a namespace for the request, a policy, a store, and single flight for identical requests that come at
once. It never fails a call: after any error in it, the model is called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from langroute.cache.entries import encode
from langroute.cache.flights import FlightResult, Flights, Follower, InFlight, Turn
from langroute.cache.keeping import Keeps
from langroute.cache.keys import UnkeyableError
from langroute.cache.namespaces import Namespace, NoNamespaceError, namespace_of
from langroute.cache.policy import CachePolicy
from langroute.cache.requests import CacheRequest, Hit, Lookup
from langroute.cache.stats import CacheStats
from langroute.cache.stores import StoreStats, open_store
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.records import Usage

if TYPE_CHECKING:
    from langroute.cache.live import Live

SCOPES = ("route", "tier")
MODES = ("off", "no_store", "refresh")
MODE_KEY, MAX_AGE_KEY, TAGS_KEY = "langroute_cache", "langroute_cache_max_age", "langroute_cache_tags"
"""Keys of a call's config that control the cache, under `configurable` or `metadata`."""

SAID = (MODE_KEY, MAX_AGE_KEY, TAGS_KEY)


class ResponseCache(Keeps):
    """Cache that answers repeated requests without calling a model.

    Args:
        store: Where answers are kept: a `Store`, a path, a URL; in memory where none is given.
        policy: What may be cached, and for how long.
        namespace: The application's name; caches of different names never share an answer.
        isolate: Parts of a call's metadata without which nothing is looked up or stored, such as `["tenant_id", "user_id"]`; answers
            never cross them.
        scope: `route` gives an answer only for the same route and model settings, `tier` for any route of the same tier.
        single_flight: Compute identical concurrent requests once.
        lease_seconds: How long other processes wait for a leader that died.
        wait_seconds: Longest wait for the computation of another call.
        semantic: A `SemanticCache` for questions in other words.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: An argument is invalid.
        CacheError: The store cannot be opened.

    Example:
        >>> from langroute.hosts.chat_model import ChatRouter
        >>> from langroute.testing import ScriptedModel
        >>> scripted = ScriptedModel("Paris.", "Called again.")
        >>> model = ChatRouter({"cheap": scripted}, response_cache=ResponseCache())
        >>> model.invoke("Capital of France?").content, model.invoke("Capital of France?").content
        ('Paris.', 'Paris.')
        >>> model.invoke("Capital of France?").response_metadata["langroute"]["cache"]
        'hit'
    """

    def __init__(
        self,
        store: Any = None,
        *,
        policy: CachePolicy | None = None,
        namespace: str = "default",
        isolate: Iterable[str] = (),
        scope: str = "route",
        single_flight: bool = True,
        lease_seconds: float = 5.0,
        wait_seconds: float = 120.0,
        semantic: Any = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if scope not in SCOPES:
            raise ConfigurationError(f"A cache's scope is one of {', '.join(SCOPES)}, not {scope!r}.")
        if isinstance(isolate, str):
            raise ConfigurationError(f"Give isolate as a list of names: [{isolate!r}].")
        if lease_seconds <= 0 or wait_seconds <= 0:
            raise ConfigurationError("lease_seconds and wait_seconds are above zero.")
        super().__init__(open_store(store, clock=clock), policy or CachePolicy(), semantic, clock, lease_seconds)
        self.base: Namespace = (("app", namespace),)
        self.isolate = tuple(isolate)
        self.scope = scope
        self.single_flight = single_flight
        self.wait_seconds = wait_seconds
        self._flights = Flights()

    def __getstate__(self) -> dict[str, Any]:
        # Counts and flights belong to this process; answers are in the store.
        return {
            "store": self.store,
            "policy": self.policy,
            "namespace": dict(self.base)["app"],
            "isolate": self.isolate,
            "scope": self.scope,
            "single_flight": self.single_flight,
            "lease_seconds": self._leases.seconds,
            "wait_seconds": self.wait_seconds,
            "semantic": self.semantic,
            "clock": self._clock,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # Asking ----------------------------------------------------------------------------------------------------------

    def open(self, ask: CacheRequest) -> Lookup | str:
        """Return a ticket for a request, or the reason why it is not answered from the cache."""
        try:
            return self._opened(ask)
        except Exception as error:  # noqa: BLE001 - a request may hold any object, and an object may raise anything
            return self.bypass(error)

    def bypass(self, why: str | Exception) -> str:
        """Count a request that is answered without the cache; return the reason as text for its decision."""
        if isinstance(why, RecursionError):
            why = "it is nested too deeply, or holds itself"
        elif isinstance(why, Exception):
            # The text of another error may contain a part of the request.
            why = (
                str(why)
                if isinstance(why, (UnkeyableError, NoNamespaceError, InputError))
                else f"it has no key ({type(why).__name__})"
            )
        self._counts.add("bypasses", why)
        return why

    def _opened(self, ask: CacheRequest) -> Lookup | str:
        metadata, configurable = ask.metadata, ask.configurable
        mode, max_age, tags = _wishes(metadata, configurable)
        reason = self._refused(ask, mode)
        if reason is not None:
            return self.bypass(reason)
        space = namespace_of(self.base, self.isolate, metadata, configurable)
        decides = ask.model_digest if self.scope == "route" else b"tier:" + ask.tier.encode()
        key = self.keys.of(ask.messages, namespace=space, parts=(decides, *ask.parts))
        return Lookup(
            ask,
            key,
            space,
            self._space_id(space),
            self.policy.ttl_of(ask.kind),
            mode != "refresh",
            _seconds(max_age),
            (tags,) if isinstance(tags, str) else tuple(map(str, tags or ())),
        )

    def _refused(self, ask: CacheRequest, mode: Any) -> str | None:
        if mode in ("off", "no_store"):
            return f"the call says {mode}"
        if mode is not None and mode not in MODES:
            return f"the call says {str(mode)[:40]!r}, which is none of {', '.join(MODES)}"
        return self.policy.refuses(ask.kind, ask.settings, ask.model)

    # Looking it up ---------------------------------------------------------------------------------------------------

    def recall(self, ticket: Lookup) -> Hit | None:
        """Return a stored answer. On `None` the caller has to make the call, and to end it with `keep` or `fail`."""
        return self.listen(ticket, live=False)  # type: ignore[return-value]

    def listen(self, ticket: Lookup, *, live: bool = True) -> Hit | Follower | None:
        """Version of `recall` for callers that can also listen to a running stream."""
        try:
            return self._listened(ticket, live=live)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a cache, the model is asked
            self.note("errors", f"looking it up failed: {type(error).__name__}")
            self.fail(ticket)
            return self._missed()

    def _listened(self, ticket: Lookup, *, live: bool) -> Hit | Follower | None:
        while True:
            if (entry := self._stored(ticket)) is not None:
                return self._hit(ticket, Hit(entry))
            if not self.single_flight or ticket.failures > 1 or ticket.flight is not None:
                return self._missed()
            flight, leads = self._flights.join(ticket.key)
            if not leads:
                try:
                    landed = flight.wait(self.wait_seconds, live=live)
                except BaseException:
                    flight.leave()
                    raise
                if (found := self._followed(ticket, flight, landed)) is not None:
                    return found
                continue
            ticket.flight = flight
            try:
                hit = self._lead(ticket)
            except BaseException:
                self.fail(ticket)
                raise
            return self._led(ticket, hit)

    async def arecall(self, ticket: Lookup) -> Hit | None:
        """Async version of `recall`."""
        return await self.alisten(ticket, live=False)  # type: ignore[return-value]

    async def alisten(self, ticket: Lookup, *, live: bool = True) -> Hit | Follower | None:
        """Async version of `listen`."""
        try:
            return await self._alistened(ticket, live=live)
        except Exception as error:  # noqa: BLE001
            self.note("errors", f"looking it up failed: {type(error).__name__}")
            await self.afail(ticket)
            return self._missed()

    async def _alistened(self, ticket: Lookup, *, live: bool) -> Hit | Follower | None:
        while True:
            if (entry := await self._astored(ticket)) is not None:
                return self._hit(ticket, Hit(entry))
            if not self.single_flight or ticket.failures > 1 or ticket.flight is not None:
                return self._missed()
            flight, leads = self._flights.join(ticket.key)
            if not leads:
                try:
                    landed = await flight.await_(self.wait_seconds, live=live)
                except BaseException:
                    flight.leave()
                    raise
                if (found := self._followed(ticket, flight, landed)) is not None:
                    return found
                continue
            ticket.flight = flight
            try:
                hit = await self._alead(ticket)
            except BaseException:
                await self.afail(ticket)
                raise
            return self._led(ticket, hit)

    def _followed(self, ticket: Lookup, flight: InFlight, came: FlightResult | Live) -> Hit | Follower | None:
        """Return the result of another call: an answer or a stream to listen to; on `None` the look-up is repeated."""
        if not isinstance(came, FlightResult):
            return Follower(flight, came)
        flight.leave()
        if (shared := self._landed(ticket, came)) is not None:
            return self._hit(ticket, shared)
        ticket.failures += 2 if came.give_up else 1
        return None

    def _led(self, ticket: Lookup, hit: Hit | None) -> Hit | None:
        """Share an answer that the leader found with its followers and return it; `None` where the leader has to make the call."""
        if hit is None:
            return self._missed()
        ticket.resolve(FlightResult(encode(hit.entry), how=hit.how))
        return self._hit(ticket, hit)

    def _lead(self, ticket: Lookup) -> Hit | None:
        """As leader in this process, wait for the lease among processes, and look up again what came meanwhile."""
        if self.store.shared and self._store_calls.writable:
            turn = Turn(self.wait_seconds)
            owner, seconds, ask = self._leases.owner(), self._leases.seconds, self._store_calls.ask
            while turn.waits(
                ask(self.store.acquire, ticket.key, owner, seconds, otherwise=None, writes=True), is_up=not self._store_calls.rests
            ):
                if (entry := self._stored(ticket)) is not None:
                    self._counts.add("shared")
                    return Hit(entry)
                time.sleep(turn.pause)
            self._turned(ticket, turn, owner)
        if (entry := self._stored(ticket)) is not None:
            self._let_go(ticket)
            return Hit(entry)
        if self._asks_semantic and (found := self._semantic(ticket)) is not None:
            self._let_go(ticket)
            return found
        return None

    async def _alead(self, ticket: Lookup) -> Hit | None:
        if self.store.shared and self._store_calls.writable:
            turn = Turn(self.wait_seconds)
            owner, seconds, ask = self._leases.owner(), self._leases.seconds, self._store_calls.aask
            while turn.waits(
                await ask(self.store.aacquire(ticket.key, owner, seconds), otherwise=None, writes=True),
                is_up=not self._store_calls.rests,
            ):
                if (entry := await self._astored(ticket)) is not None:
                    self._counts.add("shared")
                    return Hit(entry)
                await asyncio.sleep(turn.pause)
            self._turned(ticket, turn, owner)
        if (entry := await self._astored(ticket)) is not None:
            await self._alet_go(ticket)
            return Hit(entry)
        if self._asks_semantic and (found := await self._asemantic(ticket)) is not None:
            await self._alet_go(ticket)
            return found
        return None

    def _turned(self, ticket: Lookup, turn: Turn, owner: str) -> None:
        """Keep the lease of this call, if it was acquired."""
        if turn.won:
            ticket.owner = owner
            self._leases.hold(ticket.key, owner)

    def _missed(self) -> Hit | None:
        self._counts.add("misses")
        return None

    def _hit(self, ticket: Lookup, hit: Hit) -> Hit:
        usage = hit.entry.usage
        self._counts.hit(hit.how, usage.total_tokens if usage is not None else 0, hit.entry.cost_usd)
        self._remember(ticket, hit.entry.key, hit)
        return hit

    def shared(self, ticket: Lookup, usage: Usage | None, cost_usd: float | None) -> None:
        """Count a stream of another call that was read to its end."""
        self._counts.add("shared")
        self._counts.hit("hit", usage.total_tokens if usage is not None else 0, cost_usd)
        self._remember(ticket, ticket.key, None)

    def refuse(self, ticket: Lookup, hit: Hit) -> None:
        """Count a hit as a miss: the caller could not use it and makes the call."""
        usage = hit.entry.usage
        self._counts.hit(hit.how, usage.total_tokens if usage is not None else 0, hit.entry.cost_usd, count=-1)
        self._counts.add("misses")

    # About it ---------------------------------------------------------------------------------------------------------

    def namespace_id(self, **parts: Any) -> str:
        """Return the digest of a namespace as it is used in the store, as in `namespace_id(tenant_id="acme")`."""
        space = tuple(sorted({**dict(self.base), **{name: str(value) for name, value in parts.items()}}.items()))
        return self._space_id(space)

    def _space_id(self, space: Namespace) -> str:
        return self.keys.namespace(space).hex()[:32]

    def stats(self) -> CacheStats:
        """Return the counts of what the cache did in this process."""
        return self._counts.taken()

    def size(self) -> StoreStats:
        """Return how full the store is."""
        return self.store.stats()

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def _wishes(metadata: Mapping[str, Any], configurable: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the cache settings in a call's config: mode, maximum age and tags."""
    if not metadata and not configurable:
        return None, None, None
    return tuple([metadata.get(name) if (said := configurable.get(name)) is None else said for name in SAID])


def _seconds(max_age: Any) -> float | None:
    if max_age is None:
        return None
    try:
        return float(max_age)
    except (TypeError, ValueError):
        raise InputError(f"the call's {MAX_AGE_KEY} is no number") from None
