"""The web service of the test of four workers: an ASGI application that gunicorn loads before it forks. Run in processes of its own."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from langchain_openai import ChatOpenAI

from langroute import Budget, ChatRouter, Route
from langroute.budgets.redis import RedisBudgets
from langroute.hooks import OTelHook, PrometheusHook
from langroute.serving import WebWorker, while_connected

logging.basicConfig(level=logging.WARNING)
FOLDER = Path(os.environ["FLEET_FOLDER"])
PROMETHEUS = PrometheusHook()
"""Made before the fork, as it may be: its values are files of each worker."""


class OTelDump:
    """Keeps what OpenTelemetry measured in one worker, and writes the sums to a file when the worker ends."""

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def close(self) -> None:
        found: dict[str, float] = {}
        data = self.reader.get_metrics_data()
        for scope in data.resource_metrics if data is not None else ():
            for metric in (one for of in scope.scope_metrics for one in of.metrics):
                for point in metric.data.data_points:
                    name = f"{metric.name}:{point.attributes.get('gen_ai.token.type', '')}"
                    found[name] = found.get(name, 0) + (point.sum if hasattr(point, "sum") else point.value)
                    found[f"{name}:count"] = found.get(f"{name}:count", 0) + getattr(point, "count", 0)
        (FOLDER / f"otel-{os.getpid()}.json").write_text(json.dumps(found))


def build(worker: WebWorker) -> ChatRouter:
    otel = worker.own(OTelDump())
    # A pool that nobody inherits: made in the worker.
    store = RedisBudgets(os.environ["FLEET_REDIS"])
    model = ChatOpenAI(
        model="scripted-1", base_url=os.environ["FLEET_PROVIDER"], api_key="test", max_retries=0, stream_usage=True, max_tokens=50
    )
    return ChatRouter(
        {"only": Route(model, price={"input": 1, "output": 10}, context_window=10_000)},
        ledger=worker.ledger,
        budget=Budget(usd=5, per="team", every="month", store=store),
        hooks=[PROMETHEUS, OTelHook(meter_provider=otel.provider)],
        max_retries=2,
    )


worker = WebWorker(build, ledger=os.environ["FLEET_LEDGER"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        async with worker.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    asked = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    if scope["path"] == "/feedback":
        worker.outcomes.record(asked["ok"] == "1", decision_id=asked["decision"])
        await answer(send, {"pid": os.getpid()})
    elif scope["path"] == "/health":
        await answer(send, worker.status())
    else:
        await while_connected(receive, ask(asked, send))


async def ask(asked: dict[str, str], send: Any) -> None:
    config = worker.config(thread=asked["thread"], user="Ada", team=asked["team"], kind="chat")
    model: ChatRouter = worker.built
    if not asked["q"].startswith(("stream", "leave")):
        message = await model.ainvoke(asked["q"], config)
        await answer(send, told(message.response_metadata["langroute"]))
        return
    await start(send, "text/event-stream")
    async for chunk in model.astream(asked["q"], config):
        record = chunk.response_metadata.get("langroute")
        line = json.dumps(told(record) if record else {"text": chunk.text})
        await send({"type": "http.response.body", "body": f"{line}\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def told(record: Any) -> dict[str, Any]:
    return {"pid": os.getpid(), "decision": record["decision_id"], "cost_usd": record["cost_usd"]}


async def start(send: Any, kind: str = "application/json") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})


async def answer(send: Any, value: Any) -> None:
    await start(send)
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
