"""Contract tests of all cache stores, and the guarantees specific to each."""

from __future__ import annotations

import os
import pickle
import stat
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_fleet import Cluster
from redis_server import RedisServer

from langroute.cache.codec import Codec
from langroute.cache.contract import StoreContract
from langroute.cache.stores import MemoryStore, Store, open_store
from langroute.cache.stores.redis import RedisStore
from langroute.cache.stores.sqlite import SqliteStore
from langroute.cache.stores.twolevel import TwoLevelStore
from langroute.core.errors import CacheError, ConfigurationError, DataError
from langroute.state import Change, RedisState


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


PATIENT = 60.0
"""Seconds that a write waits for its turn. The contract is about what is kept, not about how long a disk under load takes."""


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = SqliteStore(tmp_path / "cache.db", busy_timeout_seconds=PATIENT)
        yield store
        store.close()


class TestEncryptedSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        pytest.importorskip("cryptography")
        store = SqliteStore(tmp_path / "cache.db", codec=Codec(secret="s3cret", encrypt=True), busy_timeout_seconds=PATIENT)
        yield store
        store.close()


@pytest.mark.server
class TestRedisStore(StoreContract):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Iterator[Store]:
        store = RedisStore(redis_server.url, prefix=f"t{uuid.uuid4().hex[:8]}")
        yield store
        store.clear()
        store.close()


@pytest.mark.server
class TestRedisStoreWithoutAsyncClient(StoreContract):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Store:
        import redis

        return RedisStore(client=redis.Redis.from_url(redis_server.url), prefix=f"t{uuid.uuid4().hex[:8]}")


@pytest.mark.server
class TestRedisClusterStore(StoreContract):
    @pytest.fixture
    def store(self, redis_cluster: Cluster) -> Iterator[Store]:
        store = RedisStore(redis_cluster.url, prefix=f"t{uuid.uuid4().hex[:8]}")
        yield store
        store.clear()
        store.close()


@pytest.mark.server
class TestRedisClusterStoreWithAClientOfOnesOwn(StoreContract):
    @pytest.fixture
    def store(self, redis_cluster: Cluster) -> Iterator[Store]:
        import redis

        client = redis.RedisCluster(host="127.0.0.1", port=redis_cluster.nodes[0].port)
        store = RedisStore(client=client, prefix=f"t{uuid.uuid4().hex[:8]}")
        yield store
        store.clear()
        client.close()


class TestTwoLevelStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = TwoLevelStore(SqliteStore(tmp_path / "cache.db", busy_timeout_seconds=PATIENT))
        yield store
        store.close()


@pytest.mark.server
class TestTwoLevelStoreBeforeRedis(StoreContract):
    @pytest.fixture
    def store(self, redis_server: RedisServer) -> Iterator[Store]:
        store = TwoLevelStore(RedisStore(redis_server.url, prefix=f"t{uuid.uuid4().hex[:8]}"))
        yield store
        store.clear()
        store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_bounded_store_forgets_what_was_used_longest_ago(kind: str, tmp_path: Path) -> None:
    now = [1000.0]
    options: Any = {"max_entries": 10, "clock": lambda: now[0]}
    store = MemoryStore(**options) if kind == "memory" else SqliteStore(tmp_path / "c.db", **options)
    for number in range(10):
        now[0] += 1
        store.put(f"k{number}", b"x")
    now[0] += 1
    assert store.get("k0") == b"x"
    for number in range(10, 15):
        now[0] += 1
        store.put(f"k{number}", b"x")
    assert store.stats().entries == 10
    assert store.get("k0") == b"x"
    assert store.get("k1") is None


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_bytes_are_bounded_too(kind: str, tmp_path: Path) -> None:
    limit = 200_000
    store = MemoryStore(max_bytes=limit) if kind == "memory" else SqliteStore(tmp_path / "c.db", max_bytes=limit)
    for number in range(100):
        store.put(f"k{number}", os.urandom(10_000), tags=["t"])
        assert (store.stats().bytes or 0) <= limit
    assert 10 <= store.stats().entries <= 20
    assert len(store.tagged("t")) == store.stats().entries
    store.put("huge", os.urandom(limit + 1))
    assert store.get("huge") is None
    assert store.get("k99") is not None


def test_sqlite_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "deep" / "cache.db")
    store.put("a", b"1")
    files = sorted((tmp_path / "deep").iterdir())
    assert [file.name for file in files] == ["cache.db", "cache.db-shm", "cache.db-wal"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not say which files are open")
def test_a_thread_that_ends_leaves_no_connection_behind(tmp_path: Path) -> None:
    """Each has the file open for itself."""

    def opened() -> int:
        return sum(link.exists() and link.resolve() == file for link in Path("/proc/self/fd").iterdir())

    file = (tmp_path / "cache.db").resolve()
    store = SqliteStore(tmp_path / "cache.db")
    for number in range(50):
        thread = threading.Thread(target=store.put, args=(f"k{number}", b"x"))
        thread.start()
        thread.join()
    assert store.stats().entries == 50
    assert 1 <= opened() <= 2
    store.close()
    assert opened() == 0


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(CacheError, match="cannot be opened"):
        SqliteStore(tmp_path / "cache.db")


def test_stores_are_opened_by_path_and_url(tmp_path: Path) -> None:
    assert isinstance(open_store(), MemoryStore)
    assert open_store(tmp_path / "a.db").path == tmp_path / "a.db"
    assert open_store(f"sqlite:///{tmp_path}/b.db").path == tmp_path / "b.db"
    with pytest.raises(ConfigurationError, match="No store for mysql"):
        open_store("mysql://x")
    with pytest.raises(ConfigurationError, match="room for nothing"):
        MemoryStore(max_entries=0)
    with pytest.raises(ConfigurationError, match="either a URL or a client"):
        RedisStore()
    pytest.importorskip("redis")
    assert isinstance(open_store("valkey://127.0.0.1:1/0"), RedisStore)


def test_a_sealed_value_opens_under_its_own_key_and_secret_alone() -> None:
    codec = Codec(secret="one", compress_above=10)
    value = b"an answer that is long enough to be compressed" * 10
    sealed = codec.seal("k", value)
    assert len(sealed) < len(value)
    assert codec.open("k", sealed) == value
    for key, changed in [
        ("other", sealed),
        ("k", sealed[:-1]),
        ("k", sealed[:40]),
        ("k", b""),
        ("k", bytes([sealed[0] ^ 1]) + sealed[1:]),
    ]:
        with pytest.raises(DataError):
            codec.open(key, changed)
    with pytest.raises(DataError):
        Codec(secret="two").open("k", sealed)
    with pytest.raises(ConfigurationError, match="needs a secret"):
        Codec(encrypt=True)


def test_an_encrypted_value_cannot_be_read_in_the_store() -> None:
    pytest.importorskip("cryptography")
    codec = Codec(secret="one", encrypt=True)
    sealed = codec.seal("k", b"the launch is on Tuesday")
    assert b"Tuesday" not in sealed
    assert codec.open("k", sealed) == b"the launch is on Tuesday"
    assert sealed != codec.seal("k", b"the launch is on Tuesday")
    assert pickle.loads(pickle.dumps(codec)).open("k", sealed) == b"the launch is on Tuesday"


def test_a_memory_store_before_another_answers_after_that_one_is_gone(tmp_path: Path) -> None:
    far = MemoryStore()
    now = [1000.0]
    store = TwoLevelStore(far, MemoryStore(clock=lambda: now[0]), near_seconds=30, clock=lambda: now[0])
    store.put("a", b"1")
    far.clear()
    assert store.get("a") == b"1"
    now[0] += 31
    assert store.get("a") is None


def test_indexes_of_redis_expire_with_their_last_key_and_lists_are_trimmed(redis_server: Any) -> None:
    """A key without a time to live is never evicted by `volatile-lru`, and fills a server that evicts nothing."""
    import redis

    client = redis.Redis.from_url(redis_server.url)
    prefix = f"t{uuid.uuid4().hex[:8]}"
    store = RedisStore(redis_server.url, prefix=prefix)
    now = time.time()
    for number in range(50):
        store.put(f"k{number}", b"1", expires=now + 0.3, tags=[f"task:{number}", "shared"])
    store.tag("k1", ["task:late"], expires=now + 0.3)
    store.put("longer", b"1", expires=now + 60, tags=["shared"])
    assert all(client.ttl(name) != -1 for name in client.scan_iter(f"{prefix}:*"))
    assert 55 < client.ttl(f"{prefix}:t:shared") <= 60
    time.sleep(0.5)

    store.put("next", b"1", expires=time.time() + 60, tags=["shared"])

    assert list(client.scan_iter(f"{prefix}:t:task:*")) == []
    assert sorted(store.tagged("shared")) == ["longer", "next"]
    assert (client.zcard(f"{prefix}:created"), client.zcard(f"{prefix}:all")) == (2, 2)
    assert store.stats().entries == 2


def test_an_index_with_a_key_that_never_expires_stays(redis_server: Any) -> None:
    import redis

    client = redis.Redis.from_url(redis_server.url)
    prefix = f"t{uuid.uuid4().hex[:8]}"
    store = RedisStore(redis_server.url, prefix=prefix)
    store.put("forever", b"1", tags=["red"])
    store.put("short", b"1", expires=time.time() + 0.2, tags=["red"])
    time.sleep(0.4)

    assert store.get("forever") == b"1"
    assert store.tagged("red") == ["forever"]
    assert store.keys() == ["forever"]
    assert client.ttl(f"{prefix}:all") == -1


@pytest.mark.server
def test_clearing_leaves_what_others_keep_under_the_same_prefix(redis_server: RedisServer, redis_cluster: Cluster) -> None:
    """Shared state is `langroute:state:` as answers are `langroute:e:`."""
    for url in (redis_server.url, redis_cluster.url):
        prefix = f"t{uuid.uuid4().hex[:8]}"
        store, state = RedisStore(url, prefix=prefix), RedisState(url, prefix=f"{prefix}:state")
        assert state.commit("canary", [Change("arms", "{}")])
        store.put("a", b"1", tags=["red"], expires=time.time() + 60)
        assert store.acquire("a", "me", 60)
        store.clear()

        assert [entry.value for entry in state.read("canary", ["arms"])] == ["{}"]
        assert (store.get("a"), store.tagged("red"), store.keys(), store.older(time.time())) == (None, [], [], [])
        assert store.acquire("a", "you", 60)
        store.close()
        state.close()
