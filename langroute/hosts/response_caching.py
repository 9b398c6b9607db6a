"""`ResponseCaching`: the response cache of one chat router, and the requests that its calls are to the cache."""

from __future__ import annotations

from collections.abc import Container, Generator, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from langroute.cache.keys import model_digest, settings_digest, tools_digest
from langroute.cache.replay import Replay
from langroute.cache.requests import CacheRequest
from langroute.cache.response import ResponseCache
from langroute.core.records import Request
from langroute.engine.effects import Effect, RouteCall
from langroute.engine.router import Router
from langroute.engine.step_execution import StepResult
from langroute.hosts.binding import BoundTools
from langroute.hosts.cache_session import CacheSession
from langroute.hosts.caching_host import CachingHost, RacingHost
from langroute.hosts.calling import GenerateHost, ModelHost, Models
from langroute.hosts.structured import StructuredHost
from langroute.providers.registry import profile_of
from langroute.routes.route import BuiltRoute
from langroute.steps.tools import tool_name


class ResponseCaching:
    """The response cache of one chat router, with what it derives from the routes.

    Args:
        cache: The cache.
        models: The routes' models as the router calls them.
    """

    def __init__(self, cache: ResponseCache, models: Models) -> None:
        self.cache, self.models = cache, models
        self._digests: dict[str, bytes] = {}
        self._tools: WeakKeyDictionary[Any, bytes] = WeakKeyDictionary()
        self._replays: dict[str, Replay] = {}

    def around(
        self, plan: Generator[Effect, Any, StepResult], host: Any, request: Request, router: Router
    ) -> tuple[Generator[Effect, Any, StepResult], Any]:
        """Return the plan and the host with the cache between them."""
        races = type(host) in (ModelHost, GenerateHost)
        session = CacheSession(self, host, request, router, races=races)
        caching = (RacingHost if races else CachingHost)(session)
        return caching.keeping(plan), caching

    def replay(self, route: BuiltRoute) -> Replay:
        """Return the model that returns stored answers under the route's name."""
        found = self._replays.get(route.name)
        if found is None:
            found = self._replays[route.name] = Replay(stands_for=self.models.of(route), stored=None)
        return found

    # Requests ----------------------------------------------------------------------------------------------------------

    def request(self, session: CacheSession, call: RouteCall) -> CacheRequest:
        """Return the request that a call is to the cache: everything that can change its answer."""
        request, route, host = session.request, call.route, session.host
        info, bound, structured = route.info, getattr(host, "bound", None), isinstance(host, StructuredHost)
        settings, parts = self._from_model(session, call) if isinstance(host, ModelHost) else self._from_agent(session, call)
        if (style := self.models.style) is not None:
            # The style prompt of a route changes its answers.
            parts.append(b"style" + style.told(info).encode("utf-8", "replace"))
        if structured:
            method = {key: value for key, value in host.structured.so_kwargs.items() if key != "include_raw"}
            parts.append(b"structured" + settings_digest(method))
        if style is not None:
            # The style prompt depends on the kind of step, such as a title or a reply.
            parts.append(request.step.kind.encode())
        return CacheRequest(
            messages=request.messages,
            kind=request.step.kind,
            route=info.name,
            tier=info.tier,
            model_digest=self.model_digest(route),
            parts=parts,
            settings=settings,
            model=route.model,
            metadata=request.metadata,
            configurable=host.config.get("configurable") or {},
            eligible=partial(self._eligible, session.router.routes, request.route_names),
            decision_id=call.decision_id,
            task=request.step.task,
            tools_bound=bool(request.tools) or bound is not None,
            structured=structured,
            tools=None if request.response_schema is None else frozenset(map(tool_name, request.tools)),
            may_be_silent=not profile_of(info.provider).always_gives_reason,
        )

    def _from_model(self, session: CacheSession, call: RouteCall) -> tuple[dict[str, Any], list[bytes]]:
        """Return the settings of a model's call, and the digests of its tools and settings."""
        settings: dict[str, Any] = {**call.route.kwargs, **session.host.kwargs}
        parts = [self.tools(session.host.bound, session.request), settings_digest(settings)]
        if session.streams == "events":
            # Answers of event streams consist of LangChain's standard blocks; others need not.
            parts.append(b"events")
        return settings, parts

    def _from_agent(self, session: CacheSession, call: RouteCall) -> tuple[dict[str, Any], list[bytes]]:
        """Version of `_from_model` for a call of an agent's middleware."""
        asked = session.host.request
        settings = {**session.host.built.settings, **call.route.kwargs, **asked.model_settings}
        own = [tool for tool in asked.tools if isinstance(tool, dict)]
        form = type(asked.response_format).__name__.encode()
        return settings, [self.tools(None, session.request), settings_digest(settings), tools_digest(own), form]

    def _eligible(self, routes: Mapping[str, BuiltRoute], names: Container[str], name: str) -> bytes | None:
        """Return the digest of another route's model, if that route may take the step."""
        # It knows nothing of the session, which holds it: sessions are freed without the garbage collector.
        return self.model_digest(routes[name]) if name in names else None

    def model_digest(self, route: BuiltRoute) -> bytes:
        """Return a digest of everything in the route that can change an answer."""
        found = self._digests.get(route.name)
        if found is None:
            digest = model_digest(self.models.of(route), route.info.provider, route.info.model)
            found = self._digests[route.name] = digest + settings_digest({**route.kwargs, "\0style": self.models.style})
        return found

    def tools(self, bound: BoundTools | None, request: Request) -> bytes:
        """Return a digest of the tools, tool choice and schema of a call."""
        if bound is None:
            return tools_digest(request.tools, request.tool_choice, request.response_schema)
        found = self._tools.get(bound)
        if found is None:
            kwargs = {key: value for key, value in bound.kwargs.items() if key != "tool_choice"}
            found = self._tools[bound] = tools_digest(bound.shown, bound.kwargs.get("tool_choice")) + settings_digest(kwargs)
        schema = request.response_schema
        return found if schema is None else found + tools_digest((), None, schema)
