"""A chat behind FastAPI: one worker object, streamed answers with their record, feedback by decision id, a clean end.

The module may be loaded before the server forks (`gunicorn --preload`): nothing is opened before a worker's lifespan begins. Run it with
`gunicorn -w 4 -k uvicorn.workers.UvicornWorker web_service:app`, a ledger in PostgreSQL and budgets in Redis; here the application is called
in this process, with SQLite and budgets in memory.

Output:
    healthy: True
    cheap streamed: Port 8080.
    feedback: told
    the worker is closed: True
    in the ledger: 1 call, team care, success True
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

try:
    import httpx
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse, StreamingResponse
except ImportError:
    print("needs FastAPI: pip install fastapi httpx")
    raise SystemExit(77) from None

from langroute import Budget, ChatRouter, Route
from langroute.ledger import open_ledger
from langroute.policies import Fixed
from langroute.serving import WebWorker, while_connected
from langroute.testing import ScriptedModel

LEDGER = os.environ.get("SERVICE_LEDGER") or str(Path(tempfile.mkdtemp()) / "ledger.db")


def build(worker: WebWorker) -> ChatRouter:
    """Make what the handlers use; called once in each worker, after the fork."""
    # With real models:
    #   routes = {"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
    routes = {
        "cheap": Route(ScriptedModel("Port 8080."), price={"input": 0.5, "output": 2}),
        "frontier": Route(ScriptedModel("It listens on 8080."), price={"input": 5, "output": 25}),
    }
    # Several workers share a budget in Redis: store=RedisBudgets("redis://...").
    budget = Budget(usd={"care": 5, "*": 1}, per="team", every="day")
    return ChatRouter(routes, policy=Fixed("cheap"), ledger=worker.ledger, budget=budget)


worker = WebWorker(build, ledger=LEDGER)
app = FastAPI(lifespan=worker.lifespan)


@app.post("/chat/{thread}")
async def chat(thread: str, request: Request) -> StreamingResponse:
    """Stream an answer. The last line has the decision's id, which the front end sends back with a thumb."""
    config = worker.config(thread=thread, user=request.headers["x-user"], team=request.headers["x-team"])
    said = (await request.json())["text"]

    async def lines():
        # Starlette closes this generator when the client leaves, and with it the request to the provider.
        async for chunk in worker.built.astream(said, config):
            record = chunk.response_metadata.get("langroute")
            found = {"text": chunk.text} if record is None else {"decision": record["decision_id"], "route": record["route"]}
            yield json.dumps(found) + "\n"

    return StreamingResponse(lines())


@app.post("/title/{thread}")
async def title(thread: str, request: Request) -> JSONResponse:
    """Answer at once. Without `while_connected` the model would write on for a client that has left."""
    config = worker.config(thread=thread)
    answer = await while_connected(request.receive, worker.built.ainvoke("Give this chat a title.", config))
    return JSONResponse({"title": answer.text if answer is not None else None})


@app.post("/feedback/{decision}/{thumb}")
async def feedback(decision: str, thumb: str) -> dict[str, str]:
    """Whichever worker answered: the ledger brings feedback and decision together."""
    worker.outcomes.record(thumb == "up", decision_id=decision, source="user")
    return {"feedback": "told"}


@app.get("/healthy")
async def healthy() -> JSONResponse:
    """Say whether this worker can take requests."""
    return JSONResponse(worker.status(), status_code=200 if worker.healthy() else 503)


async def use() -> None:
    """Use the application as a server and a client would."""
    async with worker.lifespan(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        print("healthy:", (await client.get("/healthy")).json()["open"])
        asked = await client.post("/chat/t-1", json={"text": "Which port?"}, headers={"x-user": "Ada", "x-team": "care"})
        told = [json.loads(line) for line in asked.text.splitlines()]
        print(told[-1]["route"], "streamed:", "".join(line.get("text", "") for line in told))
        thumb = await client.post(f"/feedback/{told[-1]['decision']}/up")
        print("feedback:", thumb.json()["feedback"])
    print("the worker is closed:", not worker.is_open)


asyncio.run(use())
with open_ledger(LEDGER) as ledger:
    totals = ledger.task("t-1")
    with ledger.reading() as connection:
        team = connection.exec_driver_sql("SELECT team FROM labels WHERE team IS NOT NULL").scalar()
    print(f"in the ledger: {totals.calls} call, team {team}, success {totals.success}")
