"""A task's tokens equal those counted by a real model server."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from local_models import directory_with

from langroute import ChatRouter
from langroute.ledger.memory import MemoryLedger
from langroute.policies.cascade import Cascade
from langroute.tracking.callbacks import track

pytestmark = [pytest.mark.server, pytest.mark.local_model]

SERVER = """
    import socket, sys, time
    import xllamacpp

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], port
    params.n_ctx, params.use_jinja, params.endpoint_metrics = 2048, True, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(f"PORT {port}", flush=True)
    # It ends with the test, however that ends.
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's server with its own counters."""
    from langroute.local.places import model_path

    path = model_path("smollm2-135m", directory_with("smollm2-135m", at=tmp_path_factory.mktemp("models")))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SERVER), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    port = next((line.split()[1] for line in process.stdout if line.startswith("PORT ")), None)
    if port is None:
        pytest.fail("the server did not start")
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait(20)


def counted(server: str) -> tuple[int, int, int]:
    """Tokens read, taken from its cache, and written, since it began."""
    with urllib.request.urlopen(f"{server}/metrics", timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.split() for line in lines if line.startswith("llamacpp:"))
    names = ("prompt_tokens_total", "prompt_tokens_cached_total", "tokens_predicted_total")
    return tuple(int(float(values[f"llamacpp:{name}"])) for name in names)  # type: ignore[return-value]


class State(TypedDict, total=False):
    text: str


def graph(model: Any) -> Any:
    async def title(state: State) -> State:
        return {"text": (await model.ainvoke("A title for a story about rain.")).text}

    built = StateGraph(State)
    built.add_node("plan", lambda state: {"text": model.invoke("Name a colour.").text})
    built.add_node("write", lambda state: {"text": "".join(chunk.text for chunk in model.stream("Name a colour, and a fruit."))})
    built.add_edge(START, "plan")
    built.add_edge("plan", "write")
    built.add_edge("write", END)
    return built.compile(), title


@pytest.mark.parametrize("routed", [False, True], ids=["plain", "routed"])
async def test_tokens_are_those_that_the_server_counted(server: str, routed: bool) -> None:
    """Streamed, awaited, batched, rejected: read, cached and written tokens each agree."""
    from langchain_openai import ChatOpenAI

    def chat(name: str) -> Any:
        return ChatOpenAI(
            model=name, base_url=f"{server}/v1", api_key="none", max_tokens=6, temperature=0, stream_usage=True, max_retries=0
        )

    ledger = MemoryLedger()
    model: Any = chat("small")
    if routed:
        # Every first answer is rejected, so that each step takes two calls.
        model = ChatRouter(
            {"small": chat("small"), "large": chat("large")},
            policy=Cascade(["small", "large"]),
            verifier=lambda message: False,
            ledger=ledger,
        )
    app, title = graph(model)
    before = counted(server)
    with track("t1", ledger=ledger) as tracked:
        app.invoke({"text": ""})
        for _ in app.stream({"text": ""}):
            pass
        app.batch([{"text": ""}, {"text": ""}])
        await title({})
    after = counted(server)
    read, cached, written = (now - then for now, then in zip(after, before, strict=True))
    totals = tracked.totals
    assert totals is not None
    assert totals.calls == (18 if routed else 9)
    assert totals.usage.input_tokens - totals.usage.cache_read == read
    assert totals.usage.cache_read == cached
    assert totals.usage.output_tokens == written
