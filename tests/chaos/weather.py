"""A failing provider: `llmock` from PyPI, told for each call what goes wrong, and response bodies broken in transit."""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

BROKEN_BODIES = {
    "empty body": (b"application/json", b""),
    "malformed JSON": (b"application/json", b'{"id": "x", "choices": [{"mess'),
    "wrong content type": (b"text/html", b"<html><body>Bad gateway</body></html>"),
}
"""What a gateway between us and the provider may make of an answer; the mock itself always answers well-formed."""

ERRORS = ("429", "429 with Retry-After", "500", "529", "503")
SLOW = ("no answer in time",)
STREAMED = ("slow first token", "cut in the middle", "ends early", "broken chunk", "stalls")
FATAL = ("400",)
SECONDS = 1.6
"""How long what is slow takes. The routers under test wait less."""


class Broken:
    """An ASGI application around another one: sometimes its answer's body is not what it should be."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.state = inner.state
        self.queues: dict[str, list[str]] = defaultdict(list)
        self.lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.inner(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            model = json.loads(body or b"{}").get("model")
        except ValueError:
            model = None
        with self.lock:
            queue = self.queues.get(model) or []
            what = queue.pop(0) if queue else None
        if what is not None:
            kind, content = BROKEN_BODIES[what]
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            await send({"type": "http.response.body", "body": content})
            return
        sent = False

        async def again() -> Any:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self.inner(scope, again, send)


class Weather:
    """The server, and what is going wrong with it."""

    def __init__(self) -> None:
        from llmock.simulation import MockResponseSettings
        from llmock.testing import LLMockServer

        self.server = LLMockServer(responses=MockResponseSettings(response_style="static"))
        self.app = self.server.app = Broken(self.server.app)  # type: ignore[assignment]
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def send(self, model: str, what: str | None) -> None:
        """The next request for a model meets this."""
        from llmock.scenarios import Delay, Fail, Match, SlowFirstToken, StreamFault

        if what is None:
            return
        if what in BROKEN_BODIES:
            with self.app.lock:
                self.app.queues[model].append(what)
            return
        match = Match(model=model)
        faults = {
            "429": Fail(429, match=match),
            "429 with Retry-After": Fail(429, retry_after=0.05, match=match),
            "429, come back much later": Fail(429, retry_after=60, match=match),
            "400": Fail(400, match=match),
            "401": Fail(401, match=match),
            "500": Fail(500, match=match),
            "503": Fail(503, match=match),
            "529": Fail(529, match=match),
            "context overflow": Fail(400, code="context_length_exceeded", message="maximum context length", match=match),
            "no answer in time": Delay(SECONDS, match=match),
            "slow first token": SlowFirstToken(SECONDS, match=match),
            "cut in the middle": StreamFault("disconnect", after_chunks=4, match=match),
            "ends early": StreamFault("truncate", after_chunks=4, match=match),
            "broken chunk": StreamFault("malformed", after_chunks=4, match=match),
            "stalls": StreamFault("stall", after_chunks=4, stall_seconds=SECONDS, match=match),
        }
        self.server.state.scenarios.add(faults[what])

    def clear(self) -> None:
        """What was not met is forgotten."""
        self.server.state.scenarios.clear()
        with self.app.lock:
            self.app.queues.clear()

    def forecast(self, rng: random.Random, models: list[str], *, stream: bool) -> list[str | None]:
        """What goes wrong next: for the first model mostly, for several sometimes, for the request itself seldom."""
        told: list[str | None] = []
        chances = (0.6, 0.3, 0.15)
        for model, chance in zip(models, chances, strict=True):
            what: str | None = None
            if rng.random() < chance:
                pool = [
                    *ERRORS,
                    *ERRORS,
                    *BROKEN_BODIES,
                    *(STREAMED if stream else ()),
                    *SLOW,
                    *(FATAL if rng.random() < 0.2 else ()),
                ]
                what = rng.choice(pool)
            self.send(model, what)
            if what in ERRORS and rng.random() < 0.5:
                # The second try of the same route fails too.
                self.send(model, rng.choice(ERRORS))
            told.append(what)
        return told


def routes(weather: Weather, name: str) -> dict[str, Any]:
    """Three routes over three protocols, each with models of their own, so that callers at once do not meet each other's faults."""
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    from langroute.routes.route import Route

    chat = ChatOpenAI(
        model=f"{name}-chat", base_url=weather.server.base_url("openai"), api_key="x", max_retries=0, stream_usage=True
    )
    claude = ChatAnthropic(
        model=f"{name}-claude", base_url=weather.server.base_url("anthropic"), api_key="x", max_retries=0, max_tokens=256
    )
    responses = ChatOpenAI(
        model=f"{name}-responses",
        base_url=weather.server.base_url("openai"),
        api_key="x",
        max_retries=0,
        use_responses_api=True,
    )
    price = {"input": 1.0, "output": 4.0}
    return {"chat": Route(chat, price=price), "claude": Route(claude, price=price), "responses": Route(responses, price=price)}
