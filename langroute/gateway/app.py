"""The gateway as an ASGI application: its endpoints, and the life of one request."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from langroute.core.errors import LangrouteError, LedgerError, MissingExtraError
from langroute.gateway.clients import Caller
from langroute.gateway.gateway_state import GatewayState
from langroute.gateway.guard import Receive, Rejected, RejectedError, read_body
from langroute.gateway.outcome_endpoint import recorded_outcome
from langroute.gateway.outlet import ClientLeftError, Outlet, Send
from langroute.gateway.serving_state import Serving
from langroute.gateway.token_counts import counted_tokens
from langroute.gateway.wire_step import AskedOptions, WireStep
from langroute.wire.memo import HistoryMemo
from langroute.wire.protocol import WireProtocol, models_list
from langroute.wire.protocols import PROTOCOLS
from langroute.wire.spans import encoded

try:
    from starlette.routing import Route, Router
except ImportError as error:
    raise MissingExtraError("starlette", "serve", "The gateway") from error

LOG = logging.getLogger("langroute.gateway")

Scope = Mapping[str, Any]


class Endpoint:
    """One path of the gateway: checks the request's head, then answers.

    Args:
        gateway: The application's state.
        answer: Coroutine function of the request's parts.
        protocol: In whose words errors are told.
    """

    def __init__(self, gateway: GatewayState, answer: Callable[..., Any], protocol: WireProtocol) -> None:
        self.gateway, self.answer, self.protocol = gateway, answer, protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = _headers(scope)
        with self.gateway.using() as serving:
            checked = self.gateway.guard.check(scope, headers, serving.callers)
            if isinstance(checked, Rejected):
                await _reject(send, checked, self.protocol)
                return
            try:
                await self.answer(scope, receive, send, headers, serving, checked)
            except RejectedError as error:
                await _reject(send, error.rejected, self.protocol)
            except ClientLeftError:
                return


def _headers(scope: Scope) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1")
        text = value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found


async def _reject(send: Send, rejected: Rejected, protocol: WireProtocol) -> None:
    body = protocol.error_body(rejected.status, rejected.kind, rejected.message)
    # What is left of the body is not read.
    await _say(send, rejected.status, body, {"connection": "close"} if rejected.status in (408, 413) else {})


async def _say(send: Send, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    told = {
        "content-type": "application/json",
        **(headers or {}),
        "content-length": str(len(body)),
        "x-content-type-options": "nosniff",
    }
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class Answers:
    """What the gateway's endpoints answer.

    Args:
        gateway: The application's state.
    """

    def __init__(self, gateway: GatewayState) -> None:
        self.gateway = gateway
        self.asked = AskedOptions()
        self.histories = HistoryMemo()
        self._telling = asyncio.Semaphore(2)
        """Outcomes wait for the ledger; where it hangs they leave threads for the work of everybody else."""

    def step(self, protocol: WireProtocol) -> Callable[..., Any]:
        """Return the endpoint of a protocol's requests."""

        async def answer(
            scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
        ) -> None:
            body = await self._body(receive, headers, serving)
            query = scope["query_string"].decode("latin-1")
            request = protocol.read_request(body, headers, scope["path_params"].get("address", ""), query)
            if request.problem is not None:
                raise RejectedError(Rejected(400, "invalid_request_error", request.problem))
            if protocol.counts_only(request):
                await _say(send, 200, protocol.count_tokens(request))
                return
            if protocol.name not in serving.routes:
                raise RejectedError(
                    Rejected(404, "model_not_found", f"No route of this gateway speaks the {protocol.name} protocol.")
                )
            request.memo = self.histories
            serve = serving.config.serve
            outlet = Outlet(
                send,
                ping=protocol.ping() if request.stream else None,
                ping_seconds=serve.ping_seconds,
                send_seconds=serve.send_seconds,
            )
            step = WireStep(
                serving,
                request,
                caller,
                self.gateway.upstreams,
                self.gateway.resends,
                self.asked,
                self.gateway.threads,
                self.gateway.record_outcome,
            )
            await self._run(step, outlet, receive, query)

        return answer

    async def _run(self, step: WireStep, outlet: Outlet, receive: Receive, query: str) -> None:
        """Answer a step, and stop when the client leaves."""
        watch = _ClientWatch(receive, step)
        watching = asyncio.ensure_future(watch.run(asyncio.current_task()))
        try:
            await step.answer(outlet, query)
        except asyncio.CancelledError:
            if not (watch.left or outlet.stuck):
                # The gateway ends: the client is told, so that it does not take half an answer for a whole one.
                with suppress(Exception):
                    await step.broke(
                        outlet, ConnectionError("The gateway is shutting down.")
                    ) if outlet.sent else await step.refuse(outlet, ConnectionError("The gateway is shutting down."))
            elif sys.version_info >= (3, 11) and (task := asyncio.current_task()) is not None:
                task.uncancel()
        except ClientLeftError:
            pass
        except Exception as error:
            LOG.exception("A request failed inside the gateway.")
            with suppress(Exception):
                await (step.broke(outlet, error) if outlet.sent else step.refuse(outlet, error))
        finally:
            watching.cancel()
            await outlet.close()

    async def _body(self, receive: Receive, headers: Mapping[str, str], serving: Serving) -> bytes:
        serve = serving.config.serve
        return await read_body(receive, headers, serve.body_limit_mb * 2**20, serve.body_seconds)

    async def count_tokens(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Answer Anthropic's `count_tokens`: by the provider of the route that would be asked, else by an estimate."""
        body = await self._body(receive, headers, serving)
        request = PROTOCOLS["messages"].read_request(body, headers)
        if request.problem is not None:
            raise RejectedError(Rejected(400, "invalid_request_error", request.problem))
        status, told, more = await counted_tokens(serving, request, self.gateway.upstreams, scope["query_string"].decode("latin-1"))
        await _say(send, status, told, more)

    async def models(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """List the names that a client may ask for."""
        await _say(send, 200, models_list(serving.model_names()))

    async def outcomes(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Record what came of a session or a decision."""
        body = await read_body(receive, headers, 2**16, serving.config.serve.body_seconds)
        try:
            async with self._telling:
                told = await asyncio.to_thread(recorded_outcome, body, self.gateway.record_outcome, caller, self.gateway.ledger)
        except LedgerError as error:
            raise RejectedError(Rejected(503, "ledger_unavailable", f"{error}. Tell it again later.")) from error
        except LangrouteError as error:
            raise RejectedError(Rejected(400, "invalid_request_error", str(error))) from error
        await _say(send, 200, encoded(told))

    async def root(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Say that there is a gateway: Claude Code asks before anything else."""
        await _say(send, 200, b"" if scope["method"] == "HEAD" else encoded({"gateway": "langroute"}))

    async def health(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Say that the process answers."""
        await _say(send, 200, encoded({"ok": True}))

    async def ready(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Say whether requests can be taken: not while the gateway ends, and not while the ledger has no room."""
        ready = self.gateway.ready()
        await _say(send, 200 if ready else 503, encoded({"ready": ready}))

    async def metrics(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Answer Prometheus."""
        kind, text = self.gateway.metrics()
        await _say(send, 200, text, {"content-type": kind})

    async def no_websocket(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], serving: Serving, caller: Caller
    ) -> None:
        """Send Codex, which asks for a websocket first, to plain HTTP."""
        if "websocket" in headers.get("upgrade", "").lower():
            body = PROTOCOLS["responses"].error_body(426, "upgrade_required", "This gateway has no websockets. Use POST.")
            await _say(send, 426, body, {"upgrade": "HTTP/1.1", "connection": "close"})
            return
        body = PROTOCOLS["responses"].error_body(405, "method_not_allowed", "Use POST.")
        await _say(send, 405, body, {"allow": "POST"})


class _ClientWatch:
    """Cancels a step when its client leaves, unless the answer is whole."""

    def __init__(self, receive: Receive, step: WireStep) -> None:
        self._receive, self._step = receive, step
        self.left = False

    async def run(self, task: asyncio.Task[Any] | None) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        while self._step.complete:
            # What is there is whole; another route may yet be asked where it is rejected.
            await asyncio.sleep(0.05)
        if task is not None:
            self.left = True
            task.cancel()


def gateway_app(gateway: GatewayState) -> Router:
    """Return the ASGI application of a gateway.

    Args:
        gateway: Its state.
    """
    answers = Answers(gateway)
    chat = PROTOCOLS["chat"]

    def at(path: str, answer: Callable[..., Any], protocol: WireProtocol = chat) -> list[Route]:
        paths = [path, path.removeprefix("/v1")] if path.startswith("/v1/") else [path]
        # An application rather than a function: Starlette then reads nothing of the request, and leaves the method to us.
        return [Route(one, _Methods(Endpoint(gateway, answer, protocol), path, protocol)) for one in paths]

    routes = [
        *at("/v1/messages/count_tokens", answers.count_tokens, PROTOCOLS["messages"]),
        *(
            route
            for one in PROTOCOLS.values()
            for route in at(f"{one.path}/{{address:path}}" if one.addressed else one.path, answers.step(one), one)
        ),
        *at("/v1/models", answers.models),
        *at("/v1/outcomes", answers.outcomes),
        *at("/", answers.root),
        *at("/healthz", answers.health),
        *at("/readyz", answers.ready),
        *at("/metrics", answers.metrics),
    ]
    probe = Endpoint(gateway, answers.no_websocket, PROTOCOLS["responses"])
    for route in routes:
        if isinstance(route.endpoint, _Methods) and route.path.endswith("/responses"):
            route.endpoint.other = probe

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        await gateway.open()
        try:
            yield
        finally:
            await gateway.close()

    # Without Starlette's application around it, through which each part of an answer would pass twice: there is nothing that it would catch.
    # A path with a slash too much is none of ours: Starlette would redirect it before the checks, to whatever host the sender names.
    return Router(routes, redirect_slashes=False, lifespan=lifespan)


_READ = frozenset({"/", "/healthz", "/readyz", "/metrics", "/v1/models"})


class _Methods:
    """Lets only the methods through that a path has."""

    def __init__(self, endpoint: Endpoint, path: str, protocol: WireProtocol) -> None:
        self._endpoint, self._protocol = endpoint, protocol
        self._methods = ("GET", "HEAD") if path in _READ else ("POST",)
        self.other: Endpoint | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in self._methods:
            await self._endpoint(scope, receive, send)
        elif self.other is not None and scope["method"] == "GET":
            await self.other(scope, receive, send)
        else:
            body = self._protocol.error_body(405, "method_not_allowed", f"Use {self._methods[0]}.")
            await _say(send, 405, body, {"allow": ", ".join(self._methods)})


__all__ = ["Answers", "Endpoint", "gateway_app"]
