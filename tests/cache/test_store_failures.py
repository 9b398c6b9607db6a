"""A failing cache store never fails a call; the cache recovers, and warns once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import uuid
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from waiting import wait_until

from langroute.cache import ResponseCache
from langroute.cache.stores.redis import RedisStore
from langroute.cache.stores.sqlite import SqliteStore
from langroute.core.errors import DegradedWarning
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel


def numbered() -> ScriptedModel:
    model = ScriptedModel()
    model.replies = [lambda messages: f"Answer {len(model.calls)}."]
    return model


def router(cache: ResponseCache) -> tuple[ChatRouter, ScriptedModel]:
    scripted = numbered()
    return ChatRouter({"cheap": scripted}, response_cache=cache, prices={"cheap": {"input": 1, "output": 1}}), scripted


def said(message: Any) -> str:
    return str(message.response_metadata["langroute"]["cache"])


WRITER = """
import sys, os
from langroute.cache.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
number = 0
while True:
    store.put(f"k{number}", os.urandom(3000), tags=["t"])
    print(number, flush=True)
    number += 1
"""


def test_a_writer_that_is_killed_leaves_a_sound_file(tmp_path: Path) -> None:
    """Whatever was said to be kept is there; nothing is half there."""
    file = tmp_path / "cache.db"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True)
        said_kept = [int(writer.stdout.readline()) for _ in range(150)]
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        store = SqliteStore(file)
        assert sqlite3.connect(file).execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert all(len(store.get(f"k{number}") or b"") == 3000 for number in said_kept)
        keys = store.tagged("t")
        assert len(keys) == store.stats().entries
        assert all(store.get(key) is not None for key in keys)
        store.close()


def test_a_locked_database_costs_no_answer(tmp_path: Path) -> None:
    cache = ResponseCache(SqliteStore(tmp_path / "c.db", busy_timeout_seconds=0.05))
    model, _ = router(cache)
    model.invoke("Kept?")
    lock = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert said(model.invoke("Kept?")) == "hit"
        for number in range(5):
            assert said(model.invoke(f"New {number}?")) == "miss"
    assert [one.category for one in warned if one.category is not ResourceWarning] == [DegradedWarning]
    assert any("response cache failed" in str(one.message) for one in warned)
    lock.execute("ROLLBACK")
    # It is left alone for a while, and then asked again.
    assert said(model.invoke("New again?")) == "miss"
    wait_until(lambda: said(model.invoke("New again?")) == "hit")


FULL = """
import resource, sys, warnings
from langroute.cache import ResponseCache, resilient_store
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel
import signal
# A store that failed is asked again at once.
resilient_store.FIRST_REST = resilient_store.LONGEST_REST = 0.0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
cache = ResponseCache(sys.argv[1])
scripted = ScriptedModel("x" * 20000)
model = ChatRouter({"cheap": scripted}, response_cache=cache, prices={"cheap": {"input": 1, "output": 1}})
model.invoke("Kept?")
import os
limit = max(os.path.getsize(sys.argv[1] + end) for end in ("", "-wal")) + 8192
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    for number in range(60):
        assert model.invoke(f"New {number} {'y' * 4000}?").content
    full = [str(one.message) for one in warned if "response cache failed" in str(one.message)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    model.invoke("Healed?")
    before = len(scripted.calls)
    model.invoke("Healed?")
    print(len(full), len(scripted.calls) - before, model.invoke("Kept?").response_metadata["langroute"]["cache"])
"""


def test_a_full_disk_costs_no_answer(tmp_path: Path) -> None:
    """The process may not write larger files: what SQLite sees is a disk that is full."""
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "c.db")], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["1", "0", "hit"], done.stderr


def spoil(file: Path, statement: str, *values: Any) -> None:
    """Another program has its way with the file."""
    with closing(sqlite3.connect(file)) as other, other:
        other.execute(statement, values)


def test_a_file_that_was_spoiled_costs_no_answer(tmp_path: Path) -> None:
    cache = ResponseCache(tmp_path / "c.db")
    model, _ = router(cache)
    model.invoke("Why?")
    spoil(tmp_path / "c.db", "UPDATE entries SET value = substr(value, 1, 40)")
    assert said(model.invoke("Why?")) == "miss"
    assert said(model.invoke("Why?")) == "hit"
    spoil(tmp_path / "c.db", "DROP TABLE entries")
    with pytest.warns(DegradedWarning):
        assert said(model.invoke("Why?")) == "miss"


@pytest.mark.server
async def test_redis_goes_and_comes_back() -> None:
    server = RedisServer()
    try:
        cache = ResponseCache(RedisStore(server.url, prefix=uuid.uuid4().hex[:8], timeout_seconds=5))
        model, _ = router(cache)
        model.invoke("Why?")
        assert said(model.invoke("Why?")) == "hit"
        assert said(await model.ainvoke("Why?")) == "hit"
        server.stop()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for number in range(5):
                assert model.invoke(f"Gone {number}?").content
                assert (await model.ainvoke(f"Gone too {number}?")).content
        assert sum("response cache failed" in str(one.message) for one in warned) == 1
        server.start()
        wait_until(lambda: said(model.invoke("Back?")) == "hit")
        assert said(await model.ainvoke("Back?")) == "hit"
        cache.close()
    finally:
        server.stop()


@pytest.mark.server
def test_redis_that_was_never_there_is_asked_seldom() -> None:
    pytest.importorskip("redis")
    cache = ResponseCache("redis://127.0.0.1:1/0")
    model, _ = router(cache)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for number in range(200):
            model.invoke(f"Why {number}?")
    assert [one.category for one in warned if one.category is not ResourceWarning] == [DegradedWarning]
    assert cache.stats().errors < 40


def test_spoiled_sqlite_rows_of_every_kind_are_misses(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db")
    for number, value in enumerate([b"", b"x" * 16, b"x" * 17, os.urandom(500), None, "text", 7]):
        store.put(f"k{number}", b"good")
        if value is None:
            spoil(tmp_path / "c.db", "UPDATE entries SET value = zeroblob(10) WHERE key = ?", f"k{number}")
        else:
            spoil(tmp_path / "c.db", "UPDATE entries SET value = ? WHERE key = ?", value, f"k{number}")
        assert store.get(f"k{number}") is None
        store.put(f"k{number}", b"again")
        assert store.get(f"k{number}") == b"again"
