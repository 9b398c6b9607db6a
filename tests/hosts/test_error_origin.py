"""Errors inside an agent: those of the model fail over, those of what stands around it pass as they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langroute import ChatRouter
from langroute.core.errors import RouteFailedError
from langroute.hosts.error_origin import is_of_model
from langroute.hosts.middleware import RouterMiddleware
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")

ASKED = {"messages": "Hi."}


class Blocked(Exception):
    pass


@tool
def unknown() -> str:
    """Do something."""
    return ""


def invoked(agent: Any) -> Any:
    return agent.invoke(ASKED)


def awaited(agent: Any) -> Any:
    return asyncio.run(agent.ainvoke(ASKED))


def agent_with(routes: dict[str, Any], *inner: Any, **router: Any) -> Any:
    router.setdefault("policy", Fallback(Fixed("cheap"), retries=0))
    return create_agent(ScriptedModel("unused"), middleware=[RouterMiddleware(routes, **router), *inner])


class Guard:
    """Middleware that calls the model and then does what it is told."""

    def __init__(self, then: Any) -> None:
        self.then, self.calls = then, 0

    def sync(self) -> Any:
        def guard(request: Any, handler: Any) -> Any:
            self.calls += 1
            handler(request)
            raise self.then

        return wrap_model_call(guard)

    def awaited(self) -> Any:
        async def guard(request: Any, handler: Any) -> Any:
            self.calls += 1
            await handler(request)
            raise self.then

        return wrap_model_call(guard)


@pytest.mark.parametrize(
    "error", [Blocked("a customer's name"), ConnectionError("the guard's own service is down"), TimeoutError()]
)
@pytest.mark.parametrize("way", ["sync", "awaited"])
def test_a_guards_error_passes_after_one_call(way: str, error: Exception) -> None:
    """Whatever its type: a guard's service may be down as a model may be."""
    guard = Guard(error)
    agent = agent_with({"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}, getattr(guard, way)())

    with pytest.raises(type(error)) as caught:
        (invoked if way == "sync" else awaited)(agent)

    assert caught.value is error
    assert guard.calls == 1


def test_what_a_guard_stopped_is_recorded_and_rests_no_route() -> None:
    middleware = RouterMiddleware({"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}, route="cheap")
    agent = create_agent(ScriptedModel("unused"), middleware=[middleware, Guard(ConnectionError("down")).sync()])

    for _ in range(3):
        with pytest.raises(ConnectionError):
            agent.invoke(ASKED)

    assert [[attempt.route for attempt in decision.attempts] for decision in middleware.model.ledger.decisions] == [["cheap"]] * 3


@pytest.mark.parametrize("call", [invoked, awaited])
def test_the_models_error_fails_over_through_middleware(call: Any) -> None:
    async def passing_awaited(request: Any, handler: Any) -> Any:
        return await handler(request)

    inner = wrap_model_call(passing_awaited) if call is awaited else wrap_model_call(lambda request, handler: handler(request))
    agent = agent_with({"cheap": ScriptedModel(ConnectionError("down")), "frontier": ScriptedModel("b")}, inner)

    assert call(agent)["messages"][-1].content == "b"


def test_the_error_of_another_model_passes_after_one_call() -> None:
    """A model that selects tools, say, of the same class as the routes' models."""
    selector, calls = ScriptedModel(ConnectionError("the selector is down")), []

    @wrap_model_call
    def select(request: Any, handler: Any) -> Any:
        calls.append(1)
        selector.invoke("Which tools?")
        return handler(request)

    with pytest.raises(ConnectionError, match="selector"):
        invoked(agent_with({"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}, select))
    assert calls == [1]


def test_a_models_error_in_the_words_of_middleware_is_the_models() -> None:
    @wrap_model_call
    def renamed(request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except ConnectionError as error:
            raise Blocked("no answer") from error

    down = {"cheap": ScriptedModel(ConnectionError("down")), "frontier": ScriptedModel("b")}
    assert invoked(agent_with(down, renamed))["messages"][-1].content == "b"

    all_down = {"cheap": ScriptedModel(ConnectionError("down")), "frontier": ScriptedModel(ConnectionError("down"))}
    with pytest.raises(Blocked) as caught:
        invoked(agent_with(all_down, renamed))
    assert isinstance(caught.value, RouteFailedError)


def test_wrapped_models_and_routers_are_known() -> None:
    bound = ScriptedModel(ConnectionError("down")).bind(stop=["x"])
    retrying = ScriptedModel(ConnectionError("down")).with_retry(stop_after_attempt=1)
    router = ChatRouter({"only": ScriptedModel(ConnectionError("down"))}, max_retries=0)

    for model in (bound, retrying, router):
        with pytest.raises(ConnectionError) as caught:
            model.invoke("Hi.")
        assert is_of_model(caught.value, model)
        assert not is_of_model(caught.value, ScriptedModel("other"))


def test_langchains_own_checks_pass_as_they_are() -> None:
    """Tools that the agent does not have are middleware's fault, whatever model is asked."""
    calls: list[int] = []

    @wrap_model_call
    def wrong(request: Any, handler: Any) -> Any:
        calls.append(1)
        return handler(request.override(tools=[unknown]))

    routes = {"cheap": ScriptedModel(AIMessage("a")), "frontier": ScriptedModel(AIMessage("b"))}
    with pytest.raises(ValueError, match="unknown") as plain:
        create_agent(ScriptedModel("a"), middleware=[wrong]).invoke(ASKED)
    calls.clear()
    with pytest.raises(ValueError, match="unknown") as routed:
        invoked(agent_with(routes, wrong))

    assert type(routed.value) is type(plain.value)
    assert calls == [1]
