"""Types of the errors that a router raises: handlers by type work as they do around a plain model."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core import exceptions
from langchain_core.exceptions import ContextOverflowError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from langroute import ChatRouter, Route
from langroute.core.errors import NoEligibleRouteError, RouteFailedError, RouteTimeoutError
from langroute.core.records import Attempt, Selection
from langroute.core.typed_errors import typed_class
from langroute.engine.route_failure import route_failure
from langroute.testing import ScriptedModel

pytestmark = pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")

ModelError: Any = getattr(exceptions, "ModelError", None)
needs_model_errors = pytest.mark.skipif(ModelError is None, reason="LangChain's typed errors came with a newer langchain-core")


class Fails(BaseChatModel):
    """Raises what `error` makes for its first `times` calls, then answers "fine"."""

    error: Callable[[], BaseException]
    times: int = 10**9
    calls: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "fails"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self._count()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("fine"))])

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self._count()
        yield ChatGenerationChunk(message=AIMessageChunk("fine"))

    def _count(self) -> None:
        self.calls.append(1)
        if len(self.calls) <= self.times:
            raise self.error()


class SdkError(Exception):
    """Root of a package's errors, as most have one."""


class SdkStatusError(SdkError):
    def __init__(self, message: str, *, response: str, status_code: int) -> None:
        super().__init__(message)
        self.response, self.status_code = response, status_code


class SdkThrottled(SdkStatusError):
    pass


class SdkUnauthorized(SdkStatusError):
    pass


def throttled() -> SdkThrottled:
    return SdkThrottled("slow down", response="r1", status_code=429)


def unauthorized() -> SdkUnauthorized:
    return SdkUnauthorized("who are you?", response="r2", status_code=401)


def pair(cheap: Callable[[], BaseException], frontier: Callable[[], BaseException] | None = None) -> ChatRouter:
    return ChatRouter({"cheap": Fails(error=cheap), "frontier": Fails(error=frontier or cheap)}, max_retries=0)


def attempts(*errors: tuple[str, BaseException]) -> list[Attempt]:
    return [Attempt(Selection(route, "test"), error=error, error_type=type(error).__name__) for route, error in errors]


def common(*errors: BaseException) -> BaseException:
    return route_failure(attempts(*((f"route {index}", error) for index, error in enumerate(errors))))


# Every way of calling --------------------------------------------------------------------------------------------------


async def _all(chunks: Any) -> list[Any]:
    return [chunk async for chunk in chunks]


WAYS: dict[str, Callable[[ChatRouter], Any]] = {
    "invoke": lambda model: model.invoke("Hi."),
    "ainvoke": lambda model: asyncio.run(model.ainvoke("Hi.")),
    "stream": lambda model: list(model.stream("Hi.")),
    "astream": lambda model: asyncio.run(_all(model.astream("Hi."))),
    "batch": lambda model: model.batch(["Hi."]),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_overflow_of_all_routes_is_caught_as_an_overflow(way: str) -> None:
    router = pair(lambda: ContextOverflowError("prompt is too long"))

    with pytest.raises(ContextOverflowError) as caught:
        WAYS[way](router)

    error = caught.value
    assert isinstance(error, RouteFailedError)
    assert [route for route, _ in error.failures] == ["cheap", "frontier"]
    assert str(error).startswith("Every route that was tried failed:\n  cheap: ContextOverflowError: prompt is too long")
    assert error.__cause__ is error.failures[-1][1]


@pytest.mark.parametrize("way", WAYS)
def test_a_packages_own_type_is_caught_with_its_attributes(way: str) -> None:
    """The package's `__init__` wants a response, which nobody has for several routes: those of the last failure are copied."""
    with pytest.raises(SdkThrottled) as caught:
        WAYS[way](pair(throttled))

    assert isinstance(caught.value, RouteFailedError)
    assert (caught.value.response, caught.value.status_code, caught.value.is_retryable) == ("r1", 429, True)


# Code that acts by type ------------------------------------------------------------------------------------------------


def test_with_retry_tries_again_on_the_type_it_was_given() -> None:
    model = Fails(error=throttled, times=2)
    router = ChatRouter({"cheap": model, "frontier": model}, max_retries=0)

    answer = router.with_retry(retry_if_exception_type=(SdkThrottled,), wait_exponential_jitter=False).invoke("Hi.")

    assert answer.content == "fine"


def test_with_fallbacks_takes_over_on_the_type_it_was_given() -> None:
    spare = ScriptedModel("spare")

    assert pair(throttled).with_fallbacks([spare], exceptions_to_handle=(SdkThrottled,)).invoke("Hi.").content == "spare"
    with pytest.raises(SdkUnauthorized):
        pair(unauthorized).with_fallbacks([spare], exceptions_to_handle=(SdkThrottled,)).invoke("Hi.")


def test_middleware_that_cuts_the_history_after_an_overflow_does_so() -> None:
    """As LangChain's summaries and deep agents do."""
    agents = pytest.importorskip("langchain.agents")
    middleware = pytest.importorskip("langchain.agents.middleware")

    def short(request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except ContextOverflowError:
            return handler(request.override(messages=request.messages[-1:]))

    model = Fails(error=lambda: ContextOverflowError("prompt is too long"), times=2)
    router = ChatRouter({"cheap": model, "frontier": model}, max_retries=0)
    agent = agents.create_agent(router, middleware=[middleware.wrap_model_call(short)])

    assert agent.invoke({"messages": ["One.", "Two."]})["messages"][-1].content == "fine"


@needs_model_errors
@pytest.mark.parametrize(("name", "calls"), [("ModelAuthenticationError", 2), ("ModelRateLimitError", 6)])
def test_retry_middleware_repeats_only_what_may_pass(name: str, calls: int) -> None:
    middleware = pytest.importorskip("langchain.agents.middleware")
    from langchain.agents import create_agent

    model = Fails(error=lambda: getattr(exceptions, name)("no"))
    router = ChatRouter({"cheap": model, "frontier": model}, max_retries=0)
    retries = middleware.ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False, on_failure="error")

    with pytest.raises(getattr(exceptions, name)):
        create_agent(router, middleware=[retries]).invoke({"messages": "Hi."})
    assert len(model.calls) == calls


# What is in common -----------------------------------------------------------------------------------------------------


def test_failures_of_several_kinds_stay_a_plain_error() -> None:
    """Their base is the package's root, or LangChain's: caught as that, the error would say less than it does."""
    error = common(throttled(), unauthorized())

    assert type(error) is RouteFailedError
    assert error.is_retryable
    assert type(common(ContextOverflowError("long"), ConnectionError("down"))) is RouteFailedError


@needs_model_errors
def test_typed_errors_of_several_kinds_stay_a_plain_error() -> None:
    error = common(exceptions.ModelAuthenticationError("key"), exceptions.ModelNotFoundError("name"))

    assert type(error) is RouteFailedError
    assert not error.is_retryable


@needs_model_errors
def test_errors_of_two_packages_share_the_type_that_langchain_gives_both() -> None:
    one = type("OneRateLimit", (SdkThrottled, exceptions.ModelRateLimitError), {})
    other = type("OtherRateLimit", (exceptions.ModelRateLimitError,), {})

    error = common(other("slow"), one("slow", response="", status_code=429))

    assert isinstance(error, exceptions.ModelRateLimitError)
    assert not isinstance(error, SdkThrottled)
    assert error.is_retryable


@needs_model_errors
def test_a_type_of_one_failure_counts_where_the_others_say_the_same_in_words() -> None:
    assert isinstance(common(throttled(), exceptions.ModelRateLimitError("slow")), exceptions.ModelRateLimitError)
    error = common(exceptions.ModelPermissionDeniedError("not yours"), exceptions.ModelAuthenticationError("key"))
    assert isinstance(error, exceptions.ModelAuthenticationError)


def test_an_overflow_in_words_alone_is_an_overflow() -> None:
    said = SdkStatusError("This model's maximum context length is 8192 tokens.", response="", status_code=400)

    assert isinstance(common(said, ContextOverflowError("prompt is too long")), ContextOverflowError)
    both = common(said, said)
    assert isinstance(both, ContextOverflowError)
    assert isinstance(both, SdkStatusError)
    assert both.status_code == 400


def test_what_a_route_came_to_is_its_last_failure() -> None:
    first, second = ConnectionError("down"), ContextOverflowError("long")

    error = route_failure(attempts(("cheap", first), ("cheap", second), ("frontier", second)))

    assert isinstance(error, ContextOverflowError)
    assert len(error.failures) == 3


def test_time_outs_of_the_router_and_of_a_model_are_time_outs() -> None:
    error = common(RouteTimeoutError("cheap", 1.0, "answer"), TimeoutError("slow"))

    assert isinstance(error, TimeoutError)
    assert not isinstance(error, RouteTimeoutError)


def test_a_router_within_a_route_keeps_the_type() -> None:
    outer = ChatRouter({"teams": pair(throttled), "spare": Fails(error=throttled)}, max_retries=0)

    with pytest.raises(SdkThrottled):
        outer.invoke("Hi.")


# Refused before any route was asked ------------------------------------------------------------------------------------


def test_a_prompt_that_is_certainly_too_long_is_an_overflow() -> None:
    model = ScriptedModel("fine")
    router = ChatRouter({"small": Route(model, context_window=100), "blind": Route(model, capabilities={"tools": False})})

    with pytest.raises(ContextOverflowError) as caught:
        router.bind_tools([{"name": "f", "description": "Do.", "parameters": {"type": "object", "properties": {}}}]).invoke(
            "word " * 2000
        )

    assert isinstance(caught.value, NoEligibleRouteError)
    assert set(caught.value.rejected) == {"small", "blind"}
    assert pickle.loads(pickle.dumps(caught.value)).rejected == caught.value.rejected
    assert model.calls == []


def test_a_step_that_no_shorter_history_would_help_is_no_overflow() -> None:
    router = ChatRouter({"small": Route(ScriptedModel("fine"), context_window=100, labels={"us"})})

    with pytest.raises(NoEligibleRouteError) as caught:
        router.invoke("word " * 2000, {"metadata": {"langroute_labels": ["eu"]}})

    assert not isinstance(caught.value, ContextOverflowError)


def test_a_prompt_that_is_too_long_by_the_estimate_alone_is_sent() -> None:
    router = ChatRouter(
        {"small": Route(ScriptedModel("small"), context_window=100), "large": Route(ScriptedModel("large"), context_window=2000)}
    )

    assert router.invoke("word " * 1900).content == "large"


# Classes that cannot be inherited from ---------------------------------------------------------------------------------


class Final(LookupError):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        raise TypeError("final")


class Demanding(ValueError):
    def __new__(cls, first: str, second: str) -> Demanding:
        return super().__new__(cls)


class Slotted(Exception):
    __slots__ = ("code",)


def test_a_type_that_cannot_be_inherited_from_gives_way_to_its_base() -> None:
    assert isinstance(common(Final("a"), Final("b")), LookupError)
    assert isinstance(common(Demanding("a", "b"), Demanding("a", "b")), ValueError)
    assert type(common(StopIteration(), StopIteration())) is RouteFailedError


def test_attributes_without_a_dictionary_are_kept() -> None:
    slotted = Slotted("x")
    slotted.code = "E1"

    assert common(slotted, slotted).code == "E1"  # type: ignore[attr-defined]
    assert common(OSError(13, "denied"), OSError(13, "denied")).errno == 13  # type: ignore[attr-defined]
    assert str(common(KeyError("a"), KeyError("b"))).endswith("KeyError: 'b'")


def test_the_class_of_a_type_is_made_once() -> None:
    assert type(common(throttled(), throttled())) is type(common(throttled(), throttled())) is typed_class((SdkThrottled,))


# Copies and processes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickling_and_copying(again: Callable[[Any], Any]) -> None:
    error: Any = common(throttled(), throttled())

    twin = again(error)

    assert type(twin) is type(error)
    assert (str(twin), twin.is_retryable, twin.status_code) == (str(error), True, 429)
    assert [(route, type(failure)) for route, failure in twin.failures] == [("route 0", SdkThrottled), ("route 1", SdkThrottled)]


def test_what_cannot_be_pickled_stays_behind() -> None:
    class Local(SdkError):
        pass

    local: Any = Local("here only")
    local.handle = lambda: None
    twin = pickle.loads(pickle.dumps(common(local, local)))

    assert type(twin) is RouteFailedError
    assert "Local: here only" in str(twin)
    assert [type(failure) for _, failure in twin.failures] == [SdkError, SdkError]
