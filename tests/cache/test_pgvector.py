"""Questions in PostgreSQL with pgvector: a real server, several processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from langroute import ChatRouter
from langroute.cache import cache_namespace
from langroute.cache.pgvector import TABLE, PgVectorStore
from langroute.cache.question_index import Question
from langroute.cache.response import ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.cache.vectors import unit
from langroute.core.errors import CacheError, ConfigurationError, DegradedWarning
from langroute.testing import ScriptedModel


def router(store: Any, questions: Any, isolate: tuple[str, ...] = ()) -> tuple[ChatRouter, ScriptedModel]:
    scripted = ScriptedModel(lambda messages: f"Answer to: {messages[-1].content}")
    cache = ResponseCache(store, semantic=SemanticCache(questions=questions, explore=0.0), isolate=isolate)
    return ChatRouter({"cheap": scripted}, response_cache=cache, prices={"cheap": {"input": 1, "output": 1}}), scripted


def said(message: Any) -> str:
    return str(message.response_metadata["langroute"]["cache"])


def question(text: str, vector: Any, scope: str = "scope") -> Question:
    return Question(scope, text, tuple(text.split()), unit(vector), tenant="t")


def ask_in_child(store: str, url: str, text: str, pipe: Any) -> None:
    model, scripted = router(store, url)
    pipe.send((said(model.invoke(text)), len(scripted.calls)))


async def test_other_words_in_another_process_get_the_stored_answer(tmp_path: Path, pgvector: str) -> None:
    model, _ = router(tmp_path / "c.db", pgvector)
    model.invoke("What is the capital of France?")
    assert said(await model.ainvoke("hi, what's the capital of France?")) == "semantic_hit"
    await model.ainvoke("Which river runs through Rome?")
    parent, child = multiprocessing.Pipe()
    spawned = multiprocessing.get_context("spawn").Process(
        target=ask_in_child, args=(str(tmp_path / "c.db"), pgvector, "which river runs through Rome", child)
    )
    spawned.start()
    assert parent.poll(60)
    assert parent.recv() == ("semantic_hit", 0)
    spawned.join(20)
    assert said(model.invoke("What is the capital of Spain?")) == "miss"
    model.response_cache.purge(everything=True)
    assert said(model.invoke("hello, what's the capital of France?")) == "miss"


def test_tenants_never_meet_in_other_words(tmp_path: Path, pgvector: str) -> None:
    model, _ = router(tmp_path / "c.db", pgvector, isolate=("tenant_id",))
    with cache_namespace(tenant_id="a"):
        model.invoke("What is the price of the blue lamp?")
        assert said(model.invoke("what's the price of the blue lamp?")) == "semantic_hit"
    with cache_namespace(tenant_id="b"):
        assert said(model.invoke("hi, what's the price of the blue lamp?")) == "miss"


def test_a_database_without_pgvector_costs_no_answer(tmp_path: Path, postgres: str) -> None:
    import psycopg

    with psycopg.connect(postgres) as connection:
        if connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone():
            pytest.skip("this PostgreSQL has pgvector")
    model, _ = router(tmp_path / "c.db", postgres)
    with pytest.warns(DegradedWarning, match="CREATE EXTENSION vector"):
        assert model.invoke("What is the capital of France?").content == "Answer to: What is the capital of France?"
    assert said(model.invoke("What is the capital of France?")) == "hit"


def test_the_nearest_of_a_small_scope_are_found_among_many_others(pgvector: str) -> None:
    chance = np.random.default_rng(7)
    store = PgVectorStore(pgvector)
    many = chance.normal(size=(300, 16))
    for number, vector in enumerate(many):
        store.add(question(f"other {number}", vector, "large"), f"large{number}")
    few = chance.normal(size=(20, 16))
    for number, vector in enumerate(few):
        store.add(question(f"few {number}", vector, "small"), f"small{number}")
    for number, vector in enumerate(few):
        key, likeness = store.near(question("never asked", vector + 0.01, "small"), 0.5)[0]
        assert (key, likeness > 0.99) == (f"small{number}", True)
    found = sum(
        store.near(question("never asked", vector, "large"), 0.5)[0][0] == f"large{number}"
        for number, vector in enumerate(many[:50])
    )
    assert found >= 49
    assert store.near(question("never asked", few[0], "none"), 0.5) == []


def test_the_same_words_come_first_and_what_expired_is_not_found(pgvector: str) -> None:
    now = [time.time()]
    store = PgVectorStore(pgvector, clock=lambda: now[0])
    store.add(question("same words", [1, 0]), "worded", now[0] + 10)
    store.add(question("near it", [0, 1]), "near", now[0] + 100)
    assert [key for key, _ in store.near(question("same words", [0, 1]), 0.5)] == ["worded", "near"]
    now[0] += 50
    assert [key for key, _ in store.near(question("same words", [0, 1]), 0.5)] == ["near"]
    now[0] += 1000
    store.add(question("new", [1, 1]), "new")
    store.forget(["new", "never there"])
    assert store.near(question("same words", [0, 1]), -1) == []


def test_questions_of_other_embeddings_are_not_found(pgvector: str) -> None:
    one, other = PgVectorStore(pgvector, made_by="one"), PgVectorStore(pgvector, made_by="other")
    one.add(question("a b", [1, 0]), "k")
    assert [key for key, _ in one.near(question("a b", [1, 0]), 0)] == ["k", "k"]
    assert other.near(question("a b", [1, 0]), 0) == []
    assert one.near(question("a b", [1, 0, 0]), 0) == []


def test_many_open_an_empty_database_at_once(pgvector: str) -> None:
    def work(number: int) -> list[str]:
        store = PgVectorStore(pgvector)
        store.add(question(f"q {number}", [1, number]), f"k{number}")
        return [key for key, _ in store.near(question(f"q {number}", [1, number]), 0.5)]

    with ThreadPoolExecutor(8) as pool:
        assert all(f"k{number}" in keys for number, keys in enumerate(pool.map(work, range(24))))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_opens_its_own_connections(pgvector: str) -> None:
    store = PgVectorStore(pgvector)
    store.add(question("a b", [1, 0]), "k")
    child = os.fork()
    if child == 0:
        found = [key for key, _ in store.near(question("a b", [1, 0]), 0)]
        os._exit(0 if found[:1] == ["k"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [key for key, _ in store.near(question("a b", [1, 0]), 0)][:1] == ["k"]


@pytest.mark.parametrize("what", ["near", "add", "forget", "clear"])
def test_a_database_that_hangs_is_waited_for_no_longer_than_a_limit(
    what: str, pgvector: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    store, asked = PgVectorStore(pgvector), question("how high is it", [1.0, 0.0])
    store.add(asked, "k1")
    calls = {
        "near": lambda: store.near(asked, 0.5),
        "add": lambda: store.add(asked, "k2"),
        "forget": lambda: store.forget(["k1"]),
        "clear": store.clear,
    }
    monkeypatch.setattr("langroute.cache.pgvector.LOOK_S", 0.5)
    with psycopg.connect(pgvector) as other:
        # Until this transaction ends, every other one waits.
        other.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(CacheError, match=r"no answer within 0\.5 s"):
            calls[what]()


def test_what_is_no_database_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="pgvector"):
        SemanticCache(questions="redis://localhost")
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        PgVectorStore("questions.db")
    store = PgVectorStore("postgresql://nobody:secret@127.0.0.1:1/none")
    with pytest.raises(CacheError) as raised:
        store.near(question("a b", [1, 0]), 0)
    assert "secret" not in str(raised.value)
    with pytest.raises(ConfigurationError, match="4000"):
        store.near(question("a b", np.ones(5000)), 0)
