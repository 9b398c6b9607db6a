"""Benchmark of cache hits, paired with LangChain's own caches in one run, in shuffled order.

    python benchmarks/cache.py [--rounds 1000] [--entries 1000000] [--lookups 1000000]

`through ChatRouter, beyond the lookup` is the median over rounds of (a whole `invoke` that hits - the lookup alone), both timed in the same
round. The lookup alone is the key of the messages, the store's value, the decoded entry and a new message. It is reported
three times: with nothing else in the round, beside a bare model and a router without a cache, and beside LangChain's caches, whose
milliseconds of work push everything else out of the processor's caches. `SQLiteCache` is langchain-community's and is left out where that
is not installed. Everything is bounded and runs in this process and a Redis of its own, in a temporary folder.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parent))
from overhead import history
from redis_server import RedisServer

from langroute.cache import MemoryStore, ResponseCache
from langroute.cache.entries import encode, fresh
from langroute.cache.reading import Readings
from langroute.cache.response import CacheRequest
from langroute.cache.semantic import SemanticCache
from langroute.cache.stores.redis import RedisStore
from langroute.cache.stores.sqlite import SqliteStore
from langroute.embeddings import HashedEmbeddings
from langroute.hosts.chat_model import ChatRouter


def paired(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of each kind of work in every round; all kinds run in each round, in shuffled order."""
    for work in works.values():
        for _ in range(20):
            work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name in random.sample(list(works), len(works)):
            begun = perf_counter()
            works[name]()
            taken[name].append((perf_counter() - begun) * 1e6)
    return taken


def difference(taken: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a - b for a, b in zip(taken[one], taken[other], strict=True))


def lookup_alone(model: ChatRouter, messages: list[Any]) -> Callable[[], Any]:
    """Return a function that does the lookup without a router: key, stored value, decoded entry and a new message."""
    cache, key = model.response_cache, model.response_cache.store.keys()[0]
    keys, space, readings = cache.keys, cache.base, Readings()
    parts = (b"x" * 32, b"", b"")

    def work() -> Any:
        keys.of(messages, namespace=space, parts=parts)
        return fresh(readings.read(key, cache.store.get(key)).message)

    return work


def hits(rounds: int, folder: Path) -> None:
    for length in (1, 80):
        messages = [HumanMessage("Say hello.")] if length == 1 else history(length)
        answer = ["A short answer."]
        memory = ChatRouter({"cheap": FakeListChatModel(responses=answer)}, response_cache=ResponseCache())
        plain = ChatRouter({"cheap": FakeListChatModel(responses=answer)})
        bare = FakeListChatModel(responses=answer)
        memory.invoke(messages)
        near: dict[str, Callable[[], Any]] = {
            "ours, memory": lambda m=messages, r=memory: r.invoke(m),
            "lookup alone": lookup_alone(memory, messages),
        }
        both = paired(near, rounds)
        near["ChatRouter without a cache"] = lambda m=messages, r=plain: r.invoke(m)
        near["bare model"] = lambda m=messages, r=bare: r.invoke(m)
        taken = paired(near, rounds)
        print(f"\nA hit, {length} message{'s' if length > 1 else ''}: median microseconds")
        for name, times in taken.items():
            print(f"  {name:48}{statistics.median(times):10.1f}")
        beyond = difference(both, "ours, memory", "lookup alone")
        print(f"  {'through ChatRouter, beyond the lookup':48}{beyond:10.1f}   (target: at most 80)")
        beyond = difference(taken, "ours, memory", "lookup alone")
        print(f"  {'  the same with the two models in the round':48}{beyond:10.1f}")
        own = difference(taken, "ChatRouter without a cache", "bare model")
        print(f"  {'  of it what every routed call takes':48}{own:10.1f}")
        print(f"  {'through ChatRouter, beyond a bare model':48}{difference(taken, 'ours, memory', 'bare model'):10.1f}")
        works = {"ours, memory": near["ours, memory"], "lookup alone": near["lookup alone"]}
        sqlite = ChatRouter({"cheap": FakeListChatModel(responses=answer)}, response_cache=folder / f"ours-{length}.db")
        sqlite.invoke(messages)
        works["ours, SQLite"] = lambda m=messages, r=sqlite: r.invoke(m)
        langchain = FakeListChatModel(responses=answer, cache=InMemoryCache())
        langchain.invoke(messages)
        works["LangChain InMemoryCache"] = lambda m=messages, r=langchain: r.invoke(m)
        try:
            from langchain_community.cache import SQLiteCache

            community = FakeListChatModel(responses=answer, cache=SQLiteCache(str(folder / f"theirs-{length}.db")))
            community.invoke(messages)
            works["LangChain SQLiteCache"] = lambda m=messages, r=community: r.invoke(m)
        except ImportError:
            print("langchain-community is not installed: no SQLiteCache")
        taken = paired(works, rounds)
        assert memory.response_cache.stats().misses == sqlite.response_cache.stats().misses == 1
        print("  beside LangChain's caches, which leave nothing in the processor's own caches:")
        for name, times in taken.items():
            print(f"  {name:48}{statistics.median(times):10.1f}")
        print(f"  {'through ChatRouter, beyond the lookup':48}{difference(taken, 'ours, memory', 'lookup alone'):10.1f}")
        ratio = statistics.median(taken["LangChain InMemoryCache"]) / statistics.median(taken["ours, memory"])
        print(f"  {'times faster than InMemoryCache':48}{ratio:10.2f}   (target at 80 messages: at least 2)")
        if "LangChain SQLiteCache" in taken:
            ratio = statistics.median(taken["LangChain SQLiteCache"]) / statistics.median(taken["ours, SQLite"])
            print(f"  {'SQLite, times faster than SQLiteCache':48}{ratio:10.2f}   (target: at least 1)")


def filled(store: Any, entries: int) -> list[Any]:
    """Return tickets for some of the stored entries."""
    cache = ResponseCache(store)
    message = AIMessage("A short answer.", response_metadata={"finish_reason": "stop"})

    def asked(number: int) -> Any:
        return cache.open(CacheRequest([HumanMessage(f"Question {number}?")], "answer", "cheap", "cheap", b"m" * 16, (), {}, None))

    rows = []
    for number in range(entries):
        ticket = asked(number)
        entry = cache.entry(ticket, message, finish_reason="stop")
        if isinstance(store, SqliteStore):
            rows.append((ticket.key, sealed := store.codec.seal(ticket.key, encode(entry)), len(sealed), 0.0, entry.expires, 0.0))
        else:
            store.put(ticket.key, encode(entry), expires=entry.expires, tags=("kind:answer",))
    if rows:
        # In one transaction: filling it one by one is no part of what is measured.
        connection = store._connection()
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
    # Asked anew, as a call does: one that was made among a million others lies far from everything else in memory.
    return [(cache, asked(number)) for number in random.sample(range(entries), min(1000, entries))]


def scale(entries: int, folder: Path, value: bytes) -> None:
    print(f"\nLookup (store, decoding, checks) at 1,000 and {entries:,} entries: median microseconds")
    for name, make in (
        ("memory", lambda _: MemoryStore(max_entries=10_000_000, max_bytes=64 * 1024**3)),
        ("SQLite", lambda count: SqliteStore(folder / f"scale-{count}.db", max_entries=10_000_000, max_bytes=64 * 1024**3)),
    ):
        small, large = make(1000), make(entries)
        few, many = filled(small, 1000), filled(large, entries)
        taken: dict[str, list[float]] = {"small": [], "large": [], "small, store": [], "large, store": []}
        for _ in range(5):
            for one, other in zip(few, many, strict=True):
                for which, (cache, ticket) in random.sample([("small", one), ("large", other)], 2):
                    begun = perf_counter()
                    hit = cache.recall(ticket)
                    taken[which].append((perf_counter() - begun) * 1e6)
                    assert hit is not None
                    begun = perf_counter()
                    cache.store.get(ticket.key)
                    taken[f"{which}, store"].append((perf_counter() - begun) * 1e6)
        at = {which: statistics.median(times) for which, times in taken.items()}
        ratio = at["large"] / at["small"]
        print(f"  {name:10}{at['small']:8.2f}{at['large']:10.2f}   ratio {ratio:5.2f} (target: at most 1.5)")
        alone = (at["small, store"], at["large, store"])
        print(f"  {'':10}{alone[0]:8.2f}{alone[1]:10.2f}   of it the store, asked again at once")
        small.close()
        large.close()
    bounded = MemoryStore(max_entries=5000, max_bytes=4 * 1024 * 1024)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(200_000):
        bounded.put(f"{number:040x}", value, tags=("kind:answer", f"n:{number}"))
    stats = bounded.stats()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"  bounded memory: {stats.entries} entries, {stats.bytes:,} of {stats.max_bytes:,} bytes after 200,000 puts; the process grew {grown:.0f} MB"
    )


def isolation(lookups: int) -> None:
    """Count wrong answers in random lookups of 1,000 tenants who all ask the same few questions."""
    cache = ResponseCache(MemoryStore(max_entries=100_000), isolate=["tenant_id"])
    chance, texts = random.Random(1), [[HumanMessage(f"Question {number}?")] for number in range(20)]

    def ask(tenant: int, text: int) -> Any:
        metadata = {"tenant_id": str(tenant)}
        return cache.open(CacheRequest(texts[text], "answer", "r", "cheap", b"m", (), {}, None, metadata))

    crossed = answered = 0
    for _ in range(lookups):
        tenant, text = chance.randrange(1000), chance.randrange(20)
        ticket = ask(tenant, text)
        hit = cache.recall(ticket)
        if hit is None:
            message = AIMessage(f"for {tenant} on {text}", response_metadata={"finish_reason": "stop"})
            cache.keep(ticket, cache.entry(ticket, message, finish_reason="stop"))
        else:
            answered += 1
            crossed += hit.entry.message.content != f"for {tenant} on {text}"
    print(
        f"\nIsolation: {lookups:,} lookups over 1,000 tenants with colliding texts: {answered:,} hits, {crossed} of another tenant (target: 0)"
    )


class Learned(HashedEmbeddings):
    """The embeddings that ship, each text embedded once: a million lookups ask the same few texts."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__()
        self._known = dict(zip(texts, self.embed_documents(texts), strict=True)) if texts else {}

    def embed_query(self, text: str) -> list[float]:
        return self.__dict__.get("_known", {}).get(text) or super().embed_query(text)


PLANS = [
    f"plan {name}"
    for name in ("Nordwind", "Ostwind", "Suedwind", "Westwind", "Foehn", "Mistral", "Bora", "Monsun", "Passat", "Zephyr")
]
ASKED = ("What is the price of the {}?", "Who may change the {}?")
IN_OTHER_WORDS = ("hello, {}", "could you please tell me {}")
NEARLY = {"price of the": "price of the big", "change the": "change the old"}
"""What the guard judges close rather than the same: only vectors find it, and only a calibration that trusts it answers."""


def semantic_isolation(lookups: int, stores: dict[str, tuple[Any, int]]) -> None:
    """Count wrong answers in lookups of 1,000 tenants who ask the same in many wordings. Every stored answer names its tenant."""
    questions = [form.format(plan) for plan in PLANS for form in ASKED]
    asked: list[tuple[int, HumanMessage]] = []
    for number, question in enumerate(questions):
        near = next(question.replace(old, new) for old, new in NEARLY.items() if old in question)
        same = [form.format(question[0].lower() + question[1:]) for form in IN_OTHER_WORDS]
        asked += [(number, HumanMessage(text)) for text in (question, *same, near)]
    embeddings = Learned([" ".join(message.content.split()).casefold() for _, message in asked])
    print("\nIsolation in other words: 1,000 tenants, 20 questions in 4 wordings each, the same for all")
    for name, (store, count) in {"memory": (MemoryStore(max_entries=100_000), lookups), **stores}.items():
        semantic = SemanticCache(embeddings, explore=0, max_error=0.01)
        for likeness in range(21):
            # As if close questions had long proved right, so that they are answered too: more ways to be wrong.
            for _ in range(600):
                semantic.calibration.learn(("answer", "close", likeness), right=True)
        cache = ResponseCache(store, isolate=["tenant_id"], semantic=semantic)
        chance = random.Random(2)
        exact = other = crossed = 0
        begun = perf_counter()
        for _ in range(count):
            tenant = chance.randrange(1000)
            number, message = asked[chance.randrange(len(asked))]
            ticket = cache.open(CacheRequest([message], "answer", "r", "cheap", b"m", (), {}, None, {"tenant_id": str(tenant)}))
            hit = cache.recall(ticket)
            if hit is None:
                answer = AIMessage(f"{tenant}: {number}", response_metadata={"finish_reason": "stop"})
                cache.keep(ticket, cache.entry(ticket, answer, finish_reason="stop"))
                continue
            exact += hit.how == "hit"
            other += hit.how == "semantic_hit"
            crossed += not hit.entry.message.content.startswith(f"{tenant}: ")
        took = perf_counter() - begun
        print(
            f"  {name:8}{count:10,} lookups in {took:6.1f} s: {exact:,} exact and {other:,} semantic hits, "
            f"{crossed} of another tenant (target: 0)"
        )


@contextmanager
def redis_store() -> Iterator[RedisStore | None]:
    """Yield a store in a Redis server of its own, where one is installed."""
    try:
        server = RedisServer()
    except (ImportError, pytest.skip.Exception) as error:
        print(f"no Redis: {error}")
        yield None
        return
    try:
        yield RedisStore(server.url)
    finally:
        server.stop()


def versions() -> None:
    """Compare the key of one request in every Python that is named on the command line."""
    program = (
        "from langchain_core.messages import *; from langroute.cache.keys import Keys, settings_digest\n"
        "m=[HumanMessage('Hi é'),AIMessage('',tool_calls=[{'name':'t','args':{'b':[1,2.5,None],'a':'x'},'id':'1'}]),ToolMessage('r',tool_call_id='1')]\n"
        "print(Keys().of(m,namespace=(('tenant','a'),),parts=[settings_digest({'temperature':0,'stop':['x']})]))"
    )
    found = {}
    for python in (sys.executable, *PYTHONS):
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
        found[python] = done.stdout.strip() or done.stderr.strip().splitlines()[-1]
    print("\nKeys in other Pythons:", *set(found.values()))


PYTHONS: list[str] = []


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("hits", "scale", "isolation"), help="Measure this and nothing else.")
    parser.add_argument("--python", action="append", default=[], help="Another Python that has langchain-core; may be repeated.")
    given = parser.parse_args()
    PYTHONS.extend(given.python)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        if given.only in (None, "hits"):
            hits(given.rounds, Path(folder))
        if given.only in (None, "scale"):
            model = ChatRouter({"cheap": FakeListChatModel(responses=["A short answer."])}, response_cache=True)
            model.invoke("Say hello.")
            value = model.response_cache.store.get(model.response_cache.store.keys()[0])
            scale(given.entries, Path(folder), value)
        if given.only in (None, "isolation"):
            isolation(given.lookups)
            with closing(SqliteStore(Path(folder) / "tenants.db")) as file, redis_store() as server:
                far = {"SQLite": file, **({} if server is None else {"Redis": server})}
                semantic_isolation(given.lookups, {name: (store, min(20_000, given.lookups)) for name, store in far.items()})
    if given.only is None:
        versions()


if __name__ == "__main__":
    main()
