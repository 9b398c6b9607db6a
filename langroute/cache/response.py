"""Was this asked before, and may the answer be given again?

`ResponseCache` puts the parts together: a key and a namespace for the request, a policy, a store, and one computation for many who ask at
once. It never fails a call: whatever goes wrong in it, the model is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langroute.cache.asks import Ask, Hit, Ticket
from langroute.cache.entries import Entry, encode, storable
from langroute.cache.flights import GIVE_UP, NOTHING, Flight, Flights, Landed, Leases, Seat
from langroute.cache.keys import Keys, UnkeyableError
from langroute.cache.namespaces import Namespace, NoNamespaceError, namespace_of
from langroute.cache.policy import CachePolicy
from langroute.cache.served import Served
from langroute.cache.stats import CacheStats
from langroute.cache.stores import StoreStats, open_store
from langroute.cache.taking_back import TakesBack
from langroute.errors import ConfigurationError, DataError
from langroute.records import Usage

if TYPE_CHECKING:
    from langroute.cache.live import Live

SCOPES = ("route", "tier")
MODES = ("off", "no_store", "refresh")
MODE_KEY, MAX_AGE_KEY, TAGS_KEY = "langroute_cache", "langroute_cache_max_age", "langroute_cache_tags"
"""Where a call's config speaks to the cache, under `configurable` or `metadata`."""

SAID = (MODE_KEY, MAX_AGE_KEY, TAGS_KEY)

PARENTS = 64
"""Answers in a history that an entry is tied to, the latest ones."""


class ResponseCache(TakesBack):
    """Answers a request again without calling a model.

    Args:
        store: Where answers are kept: a `Store`, a path, a URL; in memory where none is given.
        policy: What may be cached, and for how long.
        namespace: The application's name; caches of different names never share an answer.
        isolate: Parts of a call's metadata without which nothing is looked up or stored, such as `["tenant_id", "user_id"]`; answers
            never cross them.
        scope: `route` gives an answer only for the same route and model settings, `tier` for any route of the same tier.
        single_flight: What is asked many times at once is computed once.
        lease_seconds: How long other processes wait for a leader that died.
        wait_seconds: Longest wait for another's computation.
        semantic: A `SemanticCache` for questions in other words.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: An argument makes no sense.
        CacheError: The store cannot be opened.

    Example:
        >>> from langroute.chat_model import ChatRouter
        >>> from langroute.testing import ScriptedModel
        >>> scripted = ScriptedModel("Paris.", "Asked again.")
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
        super().__init__(open_store(store, clock=clock), semantic, clock)
        self.policy = policy or CachePolicy()
        self.base: Namespace = (("app", namespace),)
        self.isolate = tuple(isolate)
        self.scope = scope
        self.single_flight = single_flight
        self.wait_seconds = wait_seconds
        self.keys = Keys()
        self._flights = Flights()
        self._leases = Leases(self.store, lease_seconds)
        self._served = Served()
        self._tasks_of_loops: set[asyncio.Task[None]] = set()

    def __getstate__(self) -> dict[str, Any]:
        # What was counted and who waits belong to this process; what is kept, to the store.
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

    def open(self, ask: Ask) -> Ticket | str:
        """A ticket for a request, or why it is not answered from the cache."""
        metadata, configurable = ask.metadata, ask.configurable
        mode, max_age, tags = _wishes(metadata, configurable)
        reason = self._refused(ask, mode)
        if reason is not None:
            self._counts.add("bypasses", reason)
            return reason
        try:
            space = namespace_of(self.base, self.isolate, metadata, configurable)
            decides = ask.made_by if self.scope == "route" else b"tier:" + ask.tier.encode()
            key = self.keys.of(ask.messages, namespace=space, parts=(decides, *ask.parts))
        except (UnkeyableError, NoNamespaceError) as error:
            self._counts.add("bypasses", str(error))
            return str(error)
        return Ticket(
            ask,
            key,
            space,
            self._space_id(space),
            self.policy.ttl_of(ask.kind),
            mode != "refresh",
            float(max_age) if max_age is not None else None,
            (tags,) if isinstance(tags, str) else tuple(map(str, tags or ())),
        )

    def _refused(self, ask: Ask, mode: Any) -> str | None:
        if mode in ("off", "no_store"):
            return f"the call says {mode}"
        if mode is not None and mode not in MODES:
            return f"the call says {mode!r}, which is none of {', '.join(MODES)}"
        return self.policy.refuses(ask.kind, ask.settings, ask.model)

    def recall(self, ticket: Ticket) -> Hit | None:
        """A stored answer; `None` asks the caller to make the call, and to end it with `keep` or `fail`."""
        return self.listen(ticket, live=False)  # type: ignore[return-value]

    def listen(self, ticket: Ticket, *, live: bool = True) -> Hit | Seat | None:
        """`recall` for who can also listen to a stream that is under way."""
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

    async def arecall(self, ticket: Ticket) -> Hit | None:
        """`recall`, awaited."""
        return await self.alisten(ticket, live=False)  # type: ignore[return-value]

    async def alisten(self, ticket: Ticket, *, live: bool = True) -> Hit | Seat | None:
        """`listen`, awaited."""
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

    def _followed(self, ticket: Ticket, flight: Flight, came: Landed | Live) -> Hit | Seat | None:
        """What somebody else's call came to: an answer, a stream to listen to, or nothing, and then it is asked for again."""
        if not isinstance(came, Landed):
            return Seat(flight, came)
        flight.leave()
        if (shared := self._landed(ticket, came)) is not None:
            return self._hit(ticket, shared)
        ticket.failures += 2 if came.give_up else 1
        return None

    def _led(self, ticket: Ticket, hit: Hit | None) -> Hit | None:
        """Who leads found an answer, which is everybody's; or has to make the call."""
        if hit is None:
            return self._missed()
        ticket.land(Landed(encode(hit.entry), how=hit.how))
        return self._hit(ticket, hit)

    def _lead(self, ticket: Ticket) -> Hit | None:
        """The first to ask in this process: take the lease among processes, and look again at what came meanwhile."""
        if self.store.shared and self._tended.up:
            owner, begun, pause = self._leases.owner(), time.monotonic(), 0.01
            while not self._tended.ask(self.store.acquire, ticket.key, owner, self._leases.seconds, otherwise=True):
                if (entry := self._stored(ticket)) is not None:
                    self._counts.add("shared")
                    return Hit(entry)
                if time.monotonic() - begun > self.wait_seconds:
                    return None
                time.sleep(pause)
                pause = min(0.2, pause * 1.5)
            ticket.owner = owner
            self._leases.hold(ticket.key, owner)
        if (entry := self._stored(ticket)) is not None:
            self._let_go(ticket)
            return Hit(entry)
        if self.semantic is not None and (found := self._semantic(ticket)) is not None:
            self._let_go(ticket)
            return found
        return None

    async def _alead(self, ticket: Ticket) -> Hit | None:
        if self.store.shared and self._tended.up:
            owner, begun, pause = self._leases.owner(), time.monotonic(), 0.01
            while not await self._tended.aask(self.store.aacquire(ticket.key, owner, self._leases.seconds), otherwise=True):
                if (entry := await self._astored(ticket)) is not None:
                    self._counts.add("shared")
                    return Hit(entry)
                if time.monotonic() - begun > self.wait_seconds:
                    return None
                await asyncio.sleep(pause)
                pause = min(0.2, pause * 1.5)
            ticket.owner = owner
            self._leases.hold(ticket.key, owner)
        if (entry := await self._astored(ticket)) is not None:
            await self._alet_go(ticket)
            return Hit(entry)
        if self.semantic is not None and (found := await self._asemantic(ticket)) is not None:
            await self._alet_go(ticket)
            return found
        return None

    def _missed(self) -> Hit | None:
        self._counts.add("misses")
        return None

    # Meaning ---------------------------------------------------------------------------------------------------------

    def _semantic(self, ticket: Ticket) -> Hit | None:
        try:
            found = self.semantic.find(ticket, self.value, self.store, self.keys, self._clock())
        except Exception as error:  # noqa: BLE001 - an embedding service that is down costs no answer
            self._tended.failed(error)
            return None
        return Hit(found, "semantic_hit") if found is not None and self._good(ticket, found, exact=False) else None

    async def _asemantic(self, ticket: Ticket) -> Hit | None:
        try:
            found = await self.semantic.afind(ticket, self.avalue, self.value, self.store, self.keys, self._clock())
        except Exception as error:  # noqa: BLE001
            self._tended.failed(error)
            return None
        return Hit(found, "semantic_hit") if found is not None and self._good(ticket, found, exact=False) else None

    def value(self, key: str) -> Entry | None:
        """The entry of a key, whoever's it is; `None` where there is none or it cannot be read."""
        return self._decoded(key, self._tended.ask(self.store.get, key, otherwise=None))

    async def avalue(self, key: str) -> Entry | None:
        """`value`, awaited."""
        return self._decoded(key, await self._tended.aask(self.store.aget(key), otherwise=None))

    # Looking ---------------------------------------------------------------------------------------------------------

    def _stored(self, ticket: Ticket) -> Entry | None:
        if not ticket.may_read or not self._tended.up:
            return None
        return self._fitting(ticket, self._tended.ask(self.store.get, ticket.key, otherwise=None))

    async def _astored(self, ticket: Ticket) -> Entry | None:
        if not ticket.may_read or not self._tended.up:
            return None
        return self._fitting(ticket, await self._tended.aask(self.store.aget(ticket.key), otherwise=None))

    def _landed(self, ticket: Ticket, landed: Landed) -> Hit | None:
        """What somebody else's call came to, as a message of one's own."""
        if landed.value is None:
            return None
        entry = self._readings.read(ticket.key, landed.value)
        if not self._good(ticket, entry, exact=landed.how == "hit"):
            return None
        self._counts.add("shared")
        return Hit(entry, landed.how)

    def _fitting(self, ticket: Ticket, data: bytes | None) -> Entry | None:
        if data is None:
            return None
        entry = self._decoded(ticket.key, data)
        return entry if entry is not None and self._good(ticket, entry) else None

    def _decoded(self, key: str, data: bytes | None) -> Entry | None:
        if data is None:
            return None
        try:
            entry = self._readings.read(key, data)
        except DataError:
            self._counts.add("errors", "a stored answer could not be read")
            self._tended.ask(self.store.delete, key, otherwise=0)
            return None
        return entry if entry.key == key else None

    def _good(self, ticket: Ticket, entry: Entry, *, exact: bool = True) -> bool:
        """The entry is this namespace's, from a route that may answer, not too old, and its model is still the one that is served."""
        if entry.namespace != ticket.namespace or (exact and entry.key != ticket.key):
            return False
        now = self._clock()
        if entry.expires is not None and entry.expires <= now:
            return False
        if ticket.max_age is not None and now - entry.created > ticket.max_age:
            return False
        ask = ticket.ask
        if entry.structured != ask.structured:
            return False
        if entry.route != ask.route:
            made_by = ask.eligible(entry.route)
            if made_by is None or made_by.hex() != entry.made_by:
                return False
        return self._served.still(entry)

    def _hit(self, ticket: Ticket, hit: Hit) -> Hit:
        usage = hit.entry.usage
        self._counts.hit(hit.how, usage.total_tokens if usage is not None else 0, hit.entry.cost_usd)
        self._remember(ticket, hit.entry.key, hit)
        return hit

    def shared(self, ticket: Ticket, usage: Usage | None, cost_usd: float | None) -> None:
        """Somebody else's stream was listened to until its end."""
        self._counts.add("shared")
        self._counts.hit("hit", usage.total_tokens if usage is not None else 0, cost_usd)
        self._remember(ticket, ticket.key, None)

    def refuse(self, ticket: Ticket, hit: Hit) -> None:
        """The caller could not use a hit after all and makes the call."""
        usage = hit.entry.usage
        self._counts.hit(hit.how, usage.total_tokens if usage is not None else 0, hit.entry.cost_usd, count=-1)
        self._counts.add("misses")

    # Keeping ---------------------------------------------------------------------------------------------------------

    def entry(
        self,
        ticket: Ticket,
        message: Any,
        *,
        finish_reason: str | None,
        usage: Usage | None = None,
        cost_usd: float | None = None,
        score: float | None = None,
        parsed: Any = None,
        sent: str | None = None,
    ) -> Entry | None:
        """What would be kept of an answer; `None` if nothing may be."""
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
            self._served.note(ask.made_by.hex(), served, now)
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
        return Entry(
            message=kept,
            namespace=ticket.namespace,
            key=ticket.key,
            route=ask.route,
            made_by=ask.made_by.hex(),
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

    def _sealed(self, entry: Entry) -> bytes | None:
        try:
            data = encode(entry)
        except DataError as error:
            self._counts.add("not_stored", str(error))
            return None
        if len(data) > self.policy.max_bytes:
            self._counts.add("not_stored", "it is too large")
            return None
        return data

    def keep(self, ticket: Ticket, entry: Entry | None) -> bool:
        """End a call that was made with an answer; `None` where the answer may not be kept. Whether it is kept."""
        asked = self.semantic if entry is not None and entry.key == ticket.key else None
        if asked is not None and entry is not None:
            self._taught(lambda: asked.embed(ticket))
            entry = asked.described(ticket, entry)
        data = self._sealed(entry) if entry is not None else None
        if entry is not None and data is not None and self._tended.up:
            self._tended.ask(self.store.put, entry.key, data, expires=entry.expires, tags=entry.tags, otherwise=None)
            if asked is not None:
                self._taught(lambda: asked.add(ticket, entry))
            self._stored_one(ticket, entry)
        ticket.land(Landed(data) if data is not None else GIVE_UP)
        self._let_go(ticket)
        return data is not None

    async def akeep(self, ticket: Ticket, entry: Entry | None) -> bool:
        """`keep`, awaited."""
        asked = self.semantic if entry is not None and entry.key == ticket.key else None
        if asked is not None and entry is not None:
            try:
                await asked.aembed(ticket)
            except Exception as error:  # noqa: BLE001
                self._tended.failed(error)
            entry = asked.described(ticket, entry)
        data = self._sealed(entry) if entry is not None else None
        if entry is not None and data is not None and self._tended.up:
            await self._tended.aask(self.store.aput(entry.key, data, expires=entry.expires, tags=entry.tags), otherwise=None)
            if asked is not None:
                self._taught(lambda: asked.add(ticket, entry))
            self._stored_one(ticket, entry)
        ticket.land(Landed(data) if data is not None else GIVE_UP)
        await self._alet_go(ticket)
        return data is not None

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the running event loop without waiting for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks_of_loops.add(task)
        task.add_done_callback(self._tasks_of_loops.discard)

    def _taught(self, learn: Callable[[], Any]) -> None:
        try:
            learn()
        except Exception as error:  # noqa: BLE001
            self._tended.failed(error)

    def _stored_one(self, ticket: Ticket, entry: Entry) -> None:
        self._counts.add("stored")
        self._remember(ticket, entry.key, None)

    def fail(self, ticket: Ticket) -> None:
        """End a call that failed or was never answered: somebody else may try."""
        ticket.land(NOTHING)
        self._let_go(ticket)

    async def afail(self, ticket: Ticket) -> None:
        """`fail`, awaited."""
        ticket.land(NOTHING)
        await self._alet_go(ticket)

    def _let_go(self, ticket: Ticket) -> None:
        if ticket.owner is not None:
            self._leases.let_go(ticket.key)
            self._tended.ask(self.store.release, ticket.key, ticket.owner, otherwise=None)
            ticket.owner = None

    async def _alet_go(self, ticket: Ticket) -> None:
        if ticket.owner is not None:
            self._leases.let_go(ticket.key)
            owner, ticket.owner = ticket.owner, None
            await self._tended.aask(self.store.arelease(ticket.key, owner), otherwise=None)

    # Plain bytes, for caches of other kinds on the same store ----------------------------------------------------------

    def raw(self, key: str) -> bytes | None:
        """What is stored under a key; `None` where there is nothing or the store is down."""
        return self._tended.ask(self.store.get, key, otherwise=None) if self._tended.up else None

    async def araw(self, key: str) -> bytes | None:
        """`raw`, awaited."""
        return await self._tended.aask(self.store.aget(key), otherwise=None) if self._tended.up else None

    def put_raw(self, key: str, data: bytes, *, expires: float | None, tags: Sequence[str] = ()) -> None:
        """Store something under a key, if the store is up and it is not too large."""
        if self._tended.up and len(data) <= self.policy.max_bytes:
            self._tended.ask(self.store.put, key, data, expires=expires, tags=tags, otherwise=None)

    async def aput_raw(self, key: str, data: bytes, *, expires: float | None, tags: Sequence[str] = ()) -> None:
        """`put_raw`, awaited."""
        if self._tended.up and len(data) <= self.policy.max_bytes:
            await self._tended.aask(self.store.aput(key, data, expires=expires, tags=tags), otherwise=None)

    # About it ---------------------------------------------------------------------------------------------------------

    def namespace_id(self, **parts: Any) -> str:
        """What a namespace is called in the store: `namespace_id(tenant_id="acme")`."""
        space = tuple(sorted({**dict(self.base), **{name: str(value) for name, value in parts.items()}}.items()))
        return self._space_id(space)

    def _space_id(self, space: Namespace) -> str:
        return self.keys.namespace(space).hex()[:32]

    def stats(self) -> CacheStats:
        """What the cache did in this process."""
        return self._counts.taken()

    def size(self) -> StoreStats:
        """How full the store is."""
        return self.store.stats()

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()


def _wishes(metadata: Mapping[str, Any], configurable: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a call says to the cache in its config: whether, how old, and under which tags."""
    if not metadata and not configurable:
        return None, None, None
    return tuple([metadata.get(name) if (said := configurable.get(name)) is None else said for name in SAID])


def _parents(messages: Sequence[Any]) -> list[str]:
    """Keys of the stored answers that stand in a history."""
    found: list[str] = []
    for message in reversed(messages):
        if message.type == "ai":
            mark = message.response_metadata.get("langroute")
            if isinstance(mark, Mapping) and isinstance(key := mark.get("cache_key"), str):
                found.append(key)
                if len(found) >= PARENTS:
                    break
    return found
