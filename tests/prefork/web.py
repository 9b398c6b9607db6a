"""A web application as gunicorn loads it before it forks its workers (`--preload`). Run by the tests, in processes of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from shared import busy, model

MODEL = model(Path(os.environ["LANGROUTE_TEST_FOLDER"]))
MODEL.invoke("The first question of all.")
STOP, DONE, THREADS = busy(MODEL, "master")


def application(environment: Any, start_response: Any) -> list[bytes]:
    """Answer one question."""
    number = parse_qs(environment["QUERY_STRING"])["n"][0]
    answered = MODEL.invoke(f"Web {number}: what is it?", {"configurable": {"thread_id": f"web{number}"}})
    told = {"pid": os.getpid(), "decision": answered.response_metadata["langroute"]["decision_id"]}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def on_exit(_: Any) -> None:
    """The master ends: gunicorn calls this of its configuration."""
    STOP.set()
    for thread in THREADS:
        thread.join()
    Path(os.environ["LANGROUTE_TEST_FOLDER"], "master.txt").write_text(str(1 + sum(DONE)))


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """`application`, awaited."""
    if scope["type"] == "lifespan":
        # uvicorn ends by the signal that it was sent, and so without a word to anybody else.
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        MODEL.router.ledger.flush()
        await send({"type": "lifespan.shutdown.complete"})
        return
    number = parse_qs(scope["query_string"].decode())["n"][0]
    answered = await MODEL.ainvoke(f"Web {number}: what is it?", {"configurable": {"thread_id": f"web{number}"}})
    told = {"pid": os.getpid(), "decision": answered.response_metadata["langroute"]["decision_id"]}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
