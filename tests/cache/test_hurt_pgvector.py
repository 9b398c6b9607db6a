"""PostgreSQL with pgvector is killed, stopped, full and slow: calls are answered all the same, and what was kept is found again.

All but the kill: `LANGROUTE_TEST_FAILOVERS=1 pytest tests/cache/test_hurt_pgvector.py`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from pgvector_server import pgvector_programs
from postgres_server import OwnServer
from small_disk import SmallDisk, mounted
from tcp_proxy import Proxy
from waiting import wait_until

from langroute import ChatRouter
from langroute.cache.pgvector import PgVectorStore
from langroute.cache.response import ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.testing import ScriptedModel

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::langroute.core.errors.DegradedWarning")]

SPARE = pytest.mark.skipif(
    not os.environ.get("LANGROUTE_TEST_FAILOVERS"), reason="takes some seconds; LANGROUTE_TEST_FAILOVERS=1 runs it"
)
Hurt = Callable[[OwnServer, Proxy, SmallDisk, Callable[[], None]], None]


def killed(server: OwnServer, wire: Proxy, disk: SmallDisk, call: Callable[[], None]) -> None:
    server.kill()
    call()
    server.start()


def stopped(server: OwnServer, wire: Proxy, disk: SmallDisk, call: Callable[[], None]) -> None:
    server.signal_all(signal.SIGSTOP)
    try:
        call()
    finally:
        server.signal_all(signal.SIGCONT)


def full(server: OwnServer, wire: Proxy, disk: SmallDisk, call: Callable[[], None]) -> None:
    disk.fill()
    call()
    disk.free()
    server.start_if_down()


def slow(server: OwnServer, wire: Proxy, disk: SmallDisk, call: Callable[[], None]) -> None:
    wire.delay_s = 0.05
    call()
    wire.delay_s = 0.0


def country(question: str) -> str:
    return question.rpartition(" ")[2].strip("?")


def answered(model: ChatRouter, question: str) -> str:
    """Ask, and return what the cache had to say; the answer is the question's own, whatever happens."""
    message = model.invoke(question)
    assert message.content == f"That of {country(question)}."
    return str(message.response_metadata["langroute"]["cache"])


@pytest.mark.parametrize("how", [killed, *(pytest.param(one, marks=SPARE) for one in (stopped, full, slow))])
def test_answers_go_on_and_are_found_again(how: Hurt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langroute.cache.pgvector.LOOK_S", 1.0)
    monkeypatch.setattr("langroute.cache.resilient_store.LONGEST_REST", 0.5)
    with ExitStack() as stack:
        disk = stack.enter_context(mounted(160))
        server = stack.enter_context(OwnServer(disk.folder, programs=pgvector_programs()))
        wire = stack.enter_context(Proxy(server.port))
        questions = PgVectorStore(server.url.replace(f":{server.port}/", f":{wire.port}/"), made_by="test")
        cache = ResponseCache(tmp_path / "c.db", semantic=SemanticCache(questions=questions, explore=0.0))
        scripted = ScriptedModel(lambda messages: f"That of {country(messages[-1].content)}.")
        model = ChatRouter({"cheap": scripted}, response_cache=cache, prices={"cheap": {"input": 1, "output": 1}})
        assert answered(model, "What is the capital of France?") == "miss"
        assert answered(model, "hi, what's the capital of France?") == "semantic_hit"

        def call() -> None:
            for country in ("Spain", "Chile", "Kenya"):
                for beginning in ("What is", "hello, what's"):
                    assert answered(model, f"{beginning} the capital of {country}?") in ("miss", "semantic_hit")

        how(server, wire, disk, call)
        # Other bytes each time: the same ones would be answered without asking for what is like them.
        marks = count(2)
        wait_until(lambda: answered(model, f"What is the capital of France{'?' * next(marks)}") == "semantic_hit")
        assert answered(model, "What is the capital of Norway?") == "miss"
        assert answered(model, "hi, what's the capital of Norway?") == "semantic_hit"
