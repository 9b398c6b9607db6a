"""Never worse than no router: a wrong configuration raises when the router is built; whatever fails later costs no answer."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from recorder import Recorder

from langroute import ChatRouter, Route, Router
from langroute.core.errors import (
    ConfigurationError,
    DegradedWarning,
    DuplicateRouteError,
    InputError,
    LangrouteError,
    LedgerError,
    NoEligibleRouteError,
    RouteFailedError,
    UnknownPriceWarning,
    UnknownRouteError,
)
from langroute.core.records import Attempt, Decision, Request, Selection
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Cascade, Fallback, Fixed
from langroute.steps.inspector import Inspector
from langroute.testing import ScriptedModel

PRICE = {"input": 1.0, "output": 2.0}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def routes(**replies: Any) -> dict[str, Route]:
    """Priced routes, so that no test hears of a price it does not ask about."""
    given = replies or {"cheap": "small answer", "frontier": "large answer"}
    return {name: Route(ScriptedModel(reply), price=PRICE) for name, reply in given.items()}


class Policy:
    """A policy made of a function."""

    def __init__(self, select: Callable[[Request, Any], Any]) -> None:
        self._select = select

    def select(self, request: Request, attempts: Any) -> Any:
        return self._select(request, attempts)


class AsyncPolicy(Policy):
    async def aselect(self, request: Request, attempts: Any) -> Any:
        await asyncio.sleep(0)
        return self._select(request, attempts)


def fail(error: BaseException) -> Callable[..., Any]:
    def raising(*args: Any) -> Any:
        raise error

    return raising


# Wrong configurations --------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Callable[[], Any], type[LangrouteError], str]] = {
    "no route": (lambda: ChatRouter({}), ConfigurationError, "at least one route"),
    "no routes at all": (lambda: ChatRouter(), ConfigurationError, "at least one route"),
    "routes twice": (lambda: ChatRouter(routes(), routes=routes()), ConfigurationError, "once"),
    "not a model": (lambda: ChatRouter({"a": 5}), ConfigurationError, "'a' is a int"),
    "routes as text": (lambda: ChatRouter("openai:gpt-5-mini"), ConfigurationError, "mapping"),
    "a duplicate name": (
        lambda: ChatRouter([Route(ScriptedModel("x"), name="a"), Route(ScriptedModel("y"), name="a")]),
        DuplicateRouteError,
        "'a'",
    ),
    "a route without a name": (lambda: ChatRouter([Route(ScriptedModel("x"))]), ConfigurationError, "no name"),
    "an unknown default": (lambda: ChatRouter(routes(), default="big"), UnknownRouteError, "'big'.*cheap, frontier"),
    "an unknown baseline": (lambda: ChatRouter(routes(), baseline="big"), UnknownRouteError, "'big'"),
    "an unknown pin": (lambda: ChatRouter(routes(), route="big"), UnknownRouteError, "'big'"),
    "an unknown exclusion": (lambda: ChatRouter(routes(), exclude=["big"]), UnknownRouteError, "'big'"),
    "a policy's unknown route": (lambda: ChatRouter(routes(), policy=Fixed("big")), UnknownRouteError, "'big'"),
    "a cascade's unknown route": (lambda: ChatRouter(routes(), policy=Cascade(["cheap", "big"])), UnknownRouteError, "'big'"),
    "a nested unknown route": (lambda: ChatRouter(routes(), policy=Fallback(Fixed("big"))), UnknownRouteError, "'big'"),
    "an unknown tier": (lambda: ChatRouter(routes(), min_tier="huge"), LangrouteError, "'huge'"),
    "a price below zero": (
        lambda: ChatRouter({"a": Route(ScriptedModel("x"), price={"input": -1, "output": 2})}),
        ConfigurationError,
        "-1",
    ),
    "a price below zero in the table": (
        lambda: ChatRouter(routes(), prices={"cheap": {"input": 1, "output": -2}}),
        ConfigurationError,
        "-2",
    ),
    "half a price": (lambda: ChatRouter({"a": Route(ScriptedModel("x"), price={"input": 1})}), ConfigurationError, "output"),
    "a price that is no number": (
        lambda: ChatRouter({"a": Route(ScriptedModel("x"), price={"input": float("nan"), "output": 1})}),
        ConfigurationError,
        "nan",
    ),
    "a context window of nothing": (
        lambda: ChatRouter({"a": Route(ScriptedModel("x"), context_window=0)}),
        ConfigurationError,
        "above zero",
    ),
    "a context window in words": (
        lambda: ChatRouter({"a": Route(ScriptedModel("x"), context_window="8k")}),  # type: ignore[arg-type]
        ConfigurationError,
        "whole numbers",
    ),
    "prices that are no table": (lambda: ChatRouter(routes(), prices=5), ConfigurationError, "mapping"),
    "a model's class": (lambda: ChatRouter({"a": ScriptedModel}), ConfigurationError, "class ScriptedModel"),
    "an unknown capability": (
        lambda: ChatRouter({"a": Route(ScriptedModel("x"), capabilities={"tool": False})}),
        ConfigurationError,
        "'tool'.*tools",
    ),
    "capabilities as a list": (
        lambda: ChatRouter({"a": Route(ScriptedModel("x"), capabilities=["tools"])}),  # type: ignore[arg-type]
        ConfigurationError,
        "yes or no",
    ),
    "labels that are no words": (lambda: ChatRouter({"a": Route(ScriptedModel("x"), labels=5)}), ConfigurationError, "are words"),  # type: ignore[arg-type]
    "no policy": (lambda: ChatRouter(routes(), policy=lambda request: "cheap"), ConfigurationError, "select"),
    "a policy's class": (lambda: ChatRouter(routes(), policy=Fixed), ConfigurationError, "Fixed"),
    "an asynchronous select": (lambda: ChatRouter(routes(), policy=Awaited()), ConfigurationError, "aselect"),
    "a verifier's class": (lambda: ChatRouter(routes(), verifier=Policy), ConfigurationError, "class"),
    "a provider whose package is not there": (
        lambda: ChatRouter({"cheap": "deepseek:chat"}),
        ConfigurationError,
        "pip install langchain-deepseek",
    ),
    "no verifier": (lambda: ChatRouter(routes(), verifier=5), ConfigurationError, "verify"),
    "no ledger": (lambda: ChatRouter(routes(), ledger=5), ConfigurationError, "path or URL, such as 'ledger.db'"),
    "a ledger's folder that is not there": (lambda: ChatRouter(routes(), ledger="no/where/ledger.db"), LedgerError, "ledger"),
    "a policy's directory": (lambda: ChatRouter(routes(), policy="policy"), ConfigurationError, "load_policy"),
    "a ledger's class": (lambda: ChatRouter(routes(), ledger=MemoryLedger), ConfigurationError, "MemoryLedger"),
    "no hook": (lambda: ChatRouter(routes(), hooks=[5]), ConfigurationError, "hook"),
    "a hook outside a list": (lambda: ChatRouter(routes(), hooks=Hook()), ConfigurationError, "hooks"),
    "no inspector": (lambda: ChatRouter(routes(), inspector=5), ConfigurationError, "inspector"),
    "no attempt": (lambda: ChatRouter(routes(), max_attempts=0), ConfigurationError, "max_attempts"),
    "an unknown argument": (lambda: ChatRouter(routes(), polcy=Fixed("cheap")), ConfigurationError, "'policy'"),
    "an argument of the wrong type": (lambda: ChatRouter(routes(), temperature="hot"), ConfigurationError, "temperature"),
    "a model that does not exist": (lambda: ChatRouter({"a": "nobody:nothing"}), LangrouteError, "nobody:nothing"),
    "a threshold that is no share": (lambda: Cascade(threshold=2), ConfigurationError, "2"),
}


class Awaited:
    async def select(self, request: Request, attempts: Any) -> Any:
        return Selection("cheap")


class Hook:
    def on_decision(self, decision: Decision) -> None:
        """Hear."""

    def on_outcome(self, outcome: Any) -> None:
        """Hear."""


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_configuration_is_told_when_the_router_is_built(name: str) -> None:
    build, error, words = WRONG[name]
    with pytest.raises(error, match=f"(?s){words}"):
        build()


# Wrong calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [[], None, ()], ids=["list", "nothing", "tuple"])
def test_a_call_without_messages_is_told_and_nothing_is_recorded(empty: Any) -> None:
    router = ChatRouter(routes())
    for call in (router.invoke, lambda messages: list(router.stream(messages)), router.bind_tools([add]).invoke):
        with pytest.raises(InputError, match="no message"):
            call(empty)
    assert router.ledger.decisions == []


async def test_an_awaited_call_without_messages_is_told() -> None:
    router = ChatRouter(routes())
    with pytest.raises(InputError, match="no message"):
        await router.ainvoke([])
    with pytest.raises(InputError, match="no message"):
        async for _ in router.astream([]):
            pass


def test_what_is_no_input_fails_as_it_does_with_any_model() -> None:
    for value in (5, {"messages": []}):
        with pytest.raises(Exception) as direct:  # noqa: PT011
            ScriptedModel("x").invoke(value)  # type: ignore[arg-type]
        with pytest.raises(type(direct.value)):
            ChatRouter(routes()).invoke(value)  # type: ignore[arg-type]


def test_a_caller_who_names_an_unknown_route_is_told() -> None:
    router = ChatRouter(routes())
    with pytest.raises(UnknownRouteError, match="'big'"):
        router.invoke("Hi.", {"configurable": {"route": "big"}})
    with pytest.raises(InputError, match="huge"):
        router.invoke("Hi.", {"configurable": {"min_tier": "huge"}})
    assert router.ledger.decisions == []


def test_when_no_route_can_every_one_is_named_with_its_reason() -> None:
    given = {
        "blind": Route(ScriptedModel("x"), capabilities={"images": False}, price=PRICE),
        "mute": Route(ScriptedModel("x"), capabilities={"tools": False}, price=PRICE),
        "short": Route(ScriptedModel("x"), context_window=100, price=PRICE),
        "far": Route(ScriptedModel("x"), labels={"us"}, price=PRICE),
    }
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    message = HumanMessage([{"type": "text", "text": "word " * 400}, picture])

    with pytest.raises(NoEligibleRouteError) as raised:
        ChatRouter(given).bind_tools([add]).invoke([message], {"configurable": {"exclude": ["far"]}})

    assert set(raised.value.rejected) == set(given) or set(raised.value.rejected) == {"blind", "mute", "short", "far"}
    for reason in ("cannot read images", "cannot call tools", "exceed its window of 100", "excluded by the caller"):
        assert reason in str(raised.value)


def test_a_model_that_cannot_bind_tools_is_not_eligible_for_them() -> None:
    class Toolless(ScriptedModel):
        bind_tools = BaseChatModel.bind_tools

    router = ChatRouter({"cheap": Toolless("x"), "frontier": ScriptedModel("y")}, policy=Cascade(), prices={"scripted": PRICE})
    answer = router.bind_tools([add]).invoke("Add.")

    assert answer.content == "y"
    assert answer.response_metadata["langroute"]["rejected"] == {"cheap": "cannot call tools"}
    assert router.invoke("Hi.").content == "x"


# Policies that fail ----------------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (fail(KeyError("no such signal")), "KeyError"),
    "times out": (fail(TimeoutError("classifier")), "TimeoutError"),
    "selects nothing": (lambda request, attempts: None, "selected nothing"),
    "returns a name": (lambda request, attempts: "cheap", "returned a str"),
    "returns a number": (lambda request, attempts: 0.7, "returned a float"),
    "selects an unknown route": (lambda request, attempts: Selection("tiny"), "'tiny'.*no such route"),
    "selects a route that fell out": (lambda request, attempts: Selection("cheap"), "not eligible: excluded by the caller"),
}


@pytest.mark.parametrize("kind", [Policy, AsyncPolicy])
@pytest.mark.parametrize("name", list(BROKEN))
@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_broken_policy_degrades_to_the_default_route(how: str, name: str, kind: Any) -> None:
    select, words = BROKEN[name]
    router = ChatRouter(routes(cheap="small", other="middle", frontier="large"), policy=kind(select), default="other")
    config: Any = {"configurable": {"exclude": ["cheap"]}} if "fell out" in name else {}

    with pytest.warns(DegradedWarning, match=words):  # noqa: PT031 - one of four ways to call
        if how == "invoke":
            answer: Any = router.invoke("Hi.", config)
        elif how == "stream":
            answer = total(list(router.stream("Hi.", config)))
        elif how == "ainvoke":
            answer = await router.ainvoke("Hi.", config)
        else:
            answer = total([chunk async for chunk in router.astream("Hi.", config)])

    assert answer.content == "middle"
    mark = answer.response_metadata["langroute"]
    assert mark["route"] == "other"
    assert len(mark["problems"]) == 1
    assert mark["reason"].startswith("default route; policy")
    assert len(router.ledger.decisions) == 1


def total(chunks: list[Any]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def test_a_broken_policy_is_warned_of_once() -> None:
    numbers = iter(range(1000))
    router = ChatRouter(routes(), policy=Policy(lambda request, attempts: fail(ValueError(f"call {next(numbers)}"))()))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(20):
            router.invoke("Hi.")

    assert len([warning for warning in caught if issubclass(warning.category, DegradedWarning)]) == 1
    assert caught[0].filename == __file__


def test_a_policy_that_never_stops_is_stopped() -> None:
    policy = Policy(lambda request, attempts: Selection("cheap", provisional=True))
    router = ChatRouter(routes(), policy=policy, verifier=lambda message: 0.4, max_attempts=3)

    with pytest.warns(DegradedWarning, match="did not stop after 3 attempts"):
        answer = router.invoke("Hi.")

    assert answer.content == "small answer"
    assert len(answer.response_metadata["langroute"]["attempts"]) == 3


def test_a_policy_that_breaks_after_an_answer_keeps_the_answer() -> None:
    def select(request: Request, attempts: Any) -> Selection:
        if attempts:
            raise RuntimeError("second thoughts")
        return Selection("cheap")

    with pytest.warns(DegradedWarning, match="second thoughts"):
        answer = ChatRouter(routes(), policy=Policy(select)).invoke("Hi.")
    assert answer.content == "small answer"


def test_a_policy_that_breaks_after_an_error_falls_back_to_the_default() -> None:
    def select(request: Request, attempts: Any) -> Selection:
        if attempts:
            raise RuntimeError("second thoughts")
        return Selection("cheap")

    with pytest.warns(DegradedWarning):
        answer = ChatRouter(routes(cheap=ConnectionError("down"), frontier="large"), policy=Policy(select)).invoke("Hi.")
    assert answer.content == "large"


# Everything else that fails --------------------------------------------------------------------------------------------


class BrokenLedger(MemoryLedger):
    def record(self, decision: Decision) -> None:
        raise OSError("disk full")


class BrokenHook:
    def on_decision(self, decision: Decision) -> None:
        raise OSError("collector down")

    def on_outcome(self, outcome: Any) -> None:
        raise OSError("collector down")


def test_a_ledger_that_is_down_costs_no_answer_and_is_said() -> None:
    router = ChatRouter(routes(), ledger=BrokenLedger(), policy=Fixed("cheap"))

    with pytest.warns(DegradedWarning, match="disk full"):
        answer = router.invoke("Hi.")

    assert answer.content == "small answer"
    assert "disk full" in answer.response_metadata["langroute"]["problems"][0]


def test_a_hook_that_is_down_costs_no_answer_and_no_other_hook() -> None:
    heard: list[Decision] = []

    class Listening(Hook):
        def on_decision(self, decision: Decision) -> None:
            heard.append(decision)

    router = ChatRouter(routes(), hooks=[BrokenHook(), Listening()], policy=Fixed("cheap"))
    with pytest.warns(DegradedWarning, match="collector down"):
        assert router.invoke("Hi.").content == "small answer"

    assert [decision.route for decision in heard] == ["cheap"]
    assert len(router.ledger.decisions) == 1


class BrokenInspector(Inspector):
    def inspect(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("signals")


def test_an_inspection_that_fails_costs_no_answer() -> None:
    router = ChatRouter(routes(), inspector=BrokenInspector(), policy=Fixed("cheap"))
    with pytest.warns(DegradedWarning, match="signals"):
        answer = router.invoke("Hi.")
    assert answer.content == "small answer"
    assert "signals" in answer.response_metadata["langroute"]["problems"][0]


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None, "output_tokens": "many", "total_tokens": 3}, {"odd": 1}])
def test_usage_that_makes_no_sense_costs_no_answer(usage: Any) -> None:
    message = AIMessage("Hello.").model_copy(update={"usage_metadata": usage})
    router = ChatRouter({"only": Route(Verbatim(message=message), price=PRICE)})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = router.invoke("Hi.")
    assert answer.content == "Hello."
    assert answer.response_metadata["langroute"]["cost_usd"] is None


class Verbatim(BaseChatModel):
    """Says exactly one message."""

    message: Any

    @property
    def _llm_type(self) -> str:
        return "verbatim"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        from langchain_core.outputs import ChatGeneration, ChatResult

        return ChatResult(generations=[ChatGeneration(message=self.message)])


@pytest.mark.parametrize("metadata", [{"model_name": 5}, {"finish_reason": ["odd"]}, {"model_name": None}, {"logprobs": "x"}])
def test_metadata_that_makes_no_sense_costs_no_answer(metadata: dict[str, Any]) -> None:
    router = ChatRouter({"only": Verbatim(message=AIMessage("Hello.", response_metadata=metadata))}, prices={"only": PRICE})
    assert router.invoke("Hi.").content == "Hello."


# Verifiers -------------------------------------------------------------------------------------------------------------


class BrokenVerifier:
    def verify(self, request: Request, attempt: Attempt) -> Any:
        raise ValueError("judge down")


class Odd:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def verify(self, request: Request, attempt: Attempt) -> Any:
        return self.answer


class AsyncVerifier:
    async def verify(self, request: Request, attempt: Attempt) -> bool:
        await asyncio.sleep(0)
        return False


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "verifier",
    [BrokenVerifier(), Odd(None), Odd("good"), Odd(7), Odd(float("nan")), fail(ValueError("judge down")), Odd([])],
    ids=["raises", "nothing", "a word", "out of range", "nan", "a callable that raises", "a list"],
)
async def test_a_verifier_that_fails_rejects_nothing_and_is_reported(verifier: Any, asynchronous: bool) -> None:
    router = ChatRouter(routes(), policy=Cascade(), verifier=verifier)

    answer = await router.ainvoke("Hi.") if asynchronous else router.invoke("Hi.")

    assert answer.content == "small answer"
    mark = answer.response_metadata["langroute"]
    assert mark["attempts"][0]["verdict"] == "not checked"
    assert len(mark["problems"]) == 1
    assert "failed" in mark["problems"][0]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "verifier", [Odd(False), Odd(0), AsyncVerifier(), lambda message: False], ids=["no", "zero", "awaited", "a callable"]
)
async def test_a_verifier_that_says_no_in_any_form_is_heeded(verifier: Any, asynchronous: bool) -> None:
    router = ChatRouter(routes(), policy=Cascade(), verifier=verifier)
    answer = await router.ainvoke("Hi.") if asynchronous else router.invoke("Hi.")
    assert answer.content == "large answer"


def test_a_broken_check_does_not_silence_the_others() -> None:
    router = ChatRouter(routes(), policy=Cascade(), verifier=[BrokenVerifier(), lambda message: "large" in message.content])
    assert router.invoke("Hi.").content == "large answer"


# Failing routes --------------------------------------------------------------------------------------------------------


def test_one_failed_attempt_raises_what_the_model_raised() -> None:
    error = ConnectionError("down")
    with pytest.raises(ConnectionError) as raised:
        ChatRouter(routes(only=error), max_retries=0).invoke("Hi.")
    assert raised.value is error


def test_several_failed_routes_raise_one_error_with_all_of_them() -> None:
    router = ChatRouter(
        routes(cheap=ConnectionError("a is down"), frontier=TimeoutError("b is slow")),
        policy=Fallback(Fixed("cheap"), retries=0),
    )
    with pytest.raises(
        RouteFailedError, match=r"(?s)cheap: ConnectionError: a is down.*frontier: TimeoutError: b is slow"
    ) as raised:
        router.invoke("Hi.")

    assert isinstance(raised.value.__cause__, TimeoutError)
    decision = router.ledger.latest()
    assert decision.route is None
    assert [attempt.error_type for attempt in decision.attempts] == ["ConnectionError", "TimeoutError"]


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_that_breaks_after_its_first_token_raises_and_is_recorded(how: str) -> None:
    class Breaking(ScriptedModel):
        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            chunks = super()._stream(*args, **kwargs)
            yield next(chunks)
            raise ConnectionError("cut")

    given = {"cheap": Route(Breaking("one two three"), price=PRICE), **routes(frontier="large")}
    router = ChatRouter(given, policy=Fallback(Fixed("cheap"), retries=0))

    shown: list[str] = []
    with pytest.raises(ConnectionError, match="cut"):  # noqa: PT012 - one of two ways to stream
        if how == "stream":
            for chunk in router.stream("Hi."):
                shown.append(chunk.content)
        else:
            async for chunk in router.astream("Hi."):
                shown.append(chunk.content)

    assert "".join(shown) == "one "
    (decision,) = router.ledger.decisions
    assert decision.attempts[0].streamed
    assert decision.cost_usd is None


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_that_fails_before_its_first_token_falls_back_unseen(how: str) -> None:
    router = ChatRouter(routes(cheap=ConnectionError("down"), frontier="large"), policy=Fallback(Fixed("cheap"), retries=0))
    chunks = list(router.stream("Hi.")) if how == "stream" else [chunk async for chunk in router.astream("Hi.")]
    assert total(chunks).content == "large"


def test_an_empty_stream_is_no_failure() -> None:
    """Some answers are legitimately empty: a moderation that finds nothing, a turn that ends after its tools."""
    router = ChatRouter(routes(cheap="", frontier="large"), policy=Fallback(Fixed("cheap"), retries=0))
    assert total(list(router.stream("Hi."))).content == ""
    assert router.ledger.latest().route == "cheap"


# Interruptions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=["ctrl-c", "exit"])
def test_an_interrupt_goes_through_at_once_and_is_recorded(error: BaseException) -> None:
    router = ChatRouter(routes(cheap=error, frontier="large"), policy=Fallback(Fixed("cheap")))
    with pytest.raises(type(error)):
        router.invoke("Hi.")
    assert [attempt.error_type for attempt in router.ledger.latest().attempts] == [type(error).__name__]


async def test_a_cancelled_call_is_recorded_once() -> None:
    called = asyncio.Event()

    class Slow(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            called.set()
            await asyncio.sleep(60)

    router = ChatRouter({"cheap": Route(Slow("x"), price=PRICE), **routes(frontier="large")}, policy=Fallback(Fixed("cheap")))
    recorder = Recorder()
    task = asyncio.ensure_future(router.ainvoke("Hi.", {"callbacks": [recorder]}))
    await called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [attempt.error_type for attempt in router.ledger.latest().attempts] == ["CancelledError"]
    assert len(recorder.named("start")) == 1


async def test_what_was_spent_before_a_cancelled_wait_is_recorded() -> None:
    waits = asyncio.Event()

    def jitter() -> float:
        waits.set()
        return 1.0

    policy = Fallback(Fixed("cheap"), backoff_seconds=60, retries=1, max_wait_seconds=120, jitter=jitter)
    router = ChatRouter(routes(cheap=ConnectionError("down"), frontier="large"), policy=policy)
    task = asyncio.ensure_future(router.ainvoke("Hi."))
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [attempt.error_type for attempt in router.ledger.latest().attempts] == ["ConnectionError"]


async def test_what_was_spent_before_a_cancelled_check_is_recorded() -> None:
    asked = asyncio.Event()

    class Slow:
        def verify(self, request: Request, attempt: Attempt) -> Any:
            raise AssertionError("awaited instead")

        async def averify(self, request: Request, attempt: Attempt) -> Any:
            asked.set()
            await asyncio.sleep(60)

    router = ChatRouter(routes(), policy=Cascade(), verifier=Slow())
    task = asyncio.ensure_future(router.ainvoke("Hi."))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (attempt,) = router.ledger.latest().attempts
    assert (attempt.route, attempt.cost_usd is not None) == ("cheap", True)


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_a_stream_that_nobody_finishes_is_recorded_once_and_its_run_ends(how: str) -> None:
    router, recorder = ChatRouter(routes(cheap="one two three four"), policy=Fixed("cheap")), Recorder()
    config: Any = {"callbacks": [recorder]}

    if how == "stream":
        chunks = router.stream("Hi.", config)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]
    else:
        stream = router.astream("Hi.", config)
        await stream.__anext__()
        await stream.aclose()  # type: ignore[attr-defined]

    assert [event[0] for event in recorder.events if event[0] in ("start", "error", "end")] == ["start", "error"]
    assert [attempt.error_type for attempt in router.ledger.latest().attempts] == ["GeneratorExit"]
    assert len(router.ledger.decisions) == 1


def test_a_stream_that_nobody_begins_is_no_call() -> None:
    model = ScriptedModel("x")
    router = ChatRouter({"only": model})
    router.stream("Hi.")
    gc.collect()
    assert model.calls == []
    assert router.ledger.decisions == []


def test_a_callback_that_raises_after_the_last_chunk_raises_as_it_would_have() -> None:
    class Strict(Recorder):
        raise_error = True

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            raise RuntimeError("my own check")

    for model in (ScriptedModel("x"), ChatRouter(routes(only="x"))):
        with pytest.raises(RuntimeError, match="my own check"):
            list(model.stream("Hi.", {"callbacks": [Strict()]}))
        with pytest.raises(RuntimeError, match="my own check"):
            model.invoke("Hi.", {"callbacks": [Strict()]})


# Prices ----------------------------------------------------------------------------------------------------------------


def test_an_unknown_price_is_unknown_and_said_once() -> None:
    router = ChatRouter(
        {"cheap": ScriptedModel("x", model="nobody-knows-1"), "frontier": ScriptedModel("y")}, policy=Fixed("cheap")
    )

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        marks = [router.invoke("Hi.").response_metadata["langroute"] for _ in range(5)]

    assert {mark["cost_usd"] for mark in marks} == {None}
    assert {mark["saved_usd"] for mark in marks} == {None}
    (warning,) = [warning for warning in caught if issubclass(warning.category, UnknownPriceWarning)]
    assert "'cheap'" in str(warning.message)
    assert warning.filename == __file__, "the warning points at the caller's line"


def test_langchains_own_cache_costs_nothing_and_does_not_mix_routes() -> None:
    from langchain_core.caches import InMemoryCache

    small = Route(ScriptedModel("small", model="m1"), price=PRICE)
    large = Route(ScriptedModel("large", model="m2"), price=PRICE)
    router = ChatRouter({"small": small, "large": large}, policy=Fixed("small"), cache=InMemoryCache())

    first, again = router.invoke("Hi."), router.invoke("Hi.")
    other = router.invoke("Hi.", {"configurable": {"route": "large"}})

    assert (first.content, again.content, other.content) == ("small", "small", "large")
    assert again.response_metadata["langroute"]["cost_usd"] == 0
    assert again.response_metadata["langroute"]["cache"] == "hit"
    assert first.response_metadata["langroute"]["cost_usd"] > 0
    ids = [message.response_metadata["langroute"]["decision_id"] for message in (first, again)]
    assert len(set(ids)) == 2, "the cached message is not written on"


# Overrides -------------------------------------------------------------------------------------------------------------


def test_a_model_named_at_run_time_keeps_to_the_routers_limits() -> None:
    given = {"eu": Route(ScriptedModel("x"), labels={"eu"}, price=PRICE)}
    router = ChatRouter(given, labels={"eu"}, api_key="test")
    with pytest.raises(NoEligibleRouteError, match="eu"):
        router.invoke("Hi.", {"configurable": {"model": "openai:gpt-4.1"}})


def test_the_bare_router_answers_without_a_config() -> None:
    router = Router(routes(), policy=Fixed("cheap"))
    request = router.request([HumanMessage("Hi.")])
    assert request.route_names == ("cheap", "frontier")


def test_a_schema_on_a_route_that_cannot_write_it_falls_out() -> None:
    class Joke(BaseModel):
        setup: str

    given = {"mute": Route(ScriptedModel("x"), capabilities={"tools": False, "structured_output": False})}
    with pytest.raises(NoEligibleRouteError, match="structured output"):
        ChatRouter(given).with_structured_output(Joke).invoke("A joke.")


def test_a_tier_that_the_router_demands_is_not_lowered_by_a_call() -> None:
    router = ChatRouter(routes(cheap="small", balanced="middle", frontier="large"), min_tier="balanced", policy=Cascade())
    assert router.invoke("Hi.", {"configurable": {"min_tier": "cheap"}}).content == "middle"
    assert router.invoke("Hi.", {"configurable": {"min_tier": "frontier"}}).content == "large"


def test_a_model_in_the_config_that_means_something_else_is_said_and_passed_over() -> None:
    router = ChatRouter(routes(), policy=Fixed("cheap"))
    with pytest.warns(DegradedWarning, match="big-brain"):
        answer = router.invoke("Hi.", {"configurable": {"model": "big-brain"}})
    assert answer.content == "small answer"
    assert "big-brain" in answer.response_metadata["langroute"]["problems"][0]
    assert router.invoke("Hi.").response_metadata["langroute"]["problems"] == []


# Odd routes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_router_may_be_a_route_of_another(how: str) -> None:
    inner = ChatRouter(routes(), policy=Fixed("cheap"))
    outer = ChatRouter({"inner": inner, "other": Route(ScriptedModel("no"), price=PRICE)}, policy=Fixed("inner"))

    answer = outer.invoke("Hi.") if how == "invoke" else total(list(outer.stream("Hi.")))

    assert answer.content == "small answer"
    mark = answer.response_metadata["langroute"]
    assert (mark["route"], inner.ledger.latest().route) == ("inner", "cheap")
    assert mark["cost_usd"] == inner.ledger.latest().cost_usd > 0


def test_a_chain_may_be_a_route() -> None:
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.runnables import RunnableLambda

    chain = ChatRouter({"chain": Route(ScriptedModel("one two") | StrOutputParser(), price=PRICE)})
    assert chain.invoke("Hi.") == "one two"
    assert "".join(chain.stream("Hi.")) == "one two"

    function = ChatRouter({"function": Route(RunnableLambda(lambda messages: AIMessage("Hello.")), price=PRICE)})
    assert function.invoke("Hi.").response_metadata["langroute"]["route"] == "function"
    with pytest.raises(NoEligibleRouteError, match="cannot call tools"):
        function.bind_tools([add]).invoke("Hi.")


def test_a_bound_a_configured_and_a_guarded_model_may_be_routes() -> None:
    given = {
        "bound": ScriptedModel("Hello. Stop here.").bind(stop=["Stop"]),
        "configured": ScriptedModel("x").with_config(tags=["mine"]),
        "guarded": ScriptedModel(ValueError("odd")).with_fallbacks([ScriptedModel("safe")]),
    }
    recorder = Recorder()
    router = ChatRouter(given, prices={"scripted": PRICE})

    def ask(route: str) -> str:
        return router.invoke("Hi.", {"configurable": {"route": route}, "callbacks": [recorder]}).content

    assert [ask(route) for route in given] == ["Hello. ", "x", "safe"]
    assert "mine" in recorder.named("start")[1][4]
    assert router.bind_tools([add]).invoke("Hi.", {"configurable": {"route": "bound"}}).content == "Hello. "


# Version 3 event streams -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("policy", ["cascade", "fallback"])
async def test_what_is_rejected_or_failed_is_not_seen_in_content_blocks(policy: str, asynchronous: bool) -> None:
    if policy == "cascade":
        router = ChatRouter(routes(), policy=Cascade(), verifier=lambda message: "large" in message.text)
    else:
        router = ChatRouter(
            routes(cheap=ConnectionError("down"), frontier="large answer"), policy=Fallback(Fixed("cheap"), retries=0)
        )

    if asynchronous:
        stream = await router.astream_events("Hi.", version="v3")
        words, message = [word async for word in stream.text], await stream
    else:
        stream = router.stream_events("Hi.", version="v3")
        words, message = list(stream.text), stream.output

    assert "".join(words) == "large answer"
    assert message.response_metadata["langroute"]["route"] == "frontier"
    assert len(router.ledger.decisions) == 1
    assert len(router.ledger.latest().attempts) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_content_blocks_of_a_failed_call_raise_where_they_are_read(asynchronous: bool) -> None:
    router = ChatRouter(routes(only=ConnectionError("down")), max_retries=0)
    if asynchronous:
        stream = await router.astream_events("Hi.", version="v3")
        with pytest.raises(ConnectionError, match="down"):
            await stream
    else:
        with pytest.raises(ConnectionError, match="down"):
            _ = router.stream_events("Hi.", version="v3").output
    assert router.ledger.latest().route is None


async def test_content_blocks_that_nobody_finishes_stop_the_model() -> None:
    recorder, router = Recorder(), ChatRouter(routes(), policy=Fixed("cheap"))
    stream = await router.astream_events("Hi.", {"callbacks": [recorder]}, version="v3")
    async for _ in stream:
        break
    await stream.aclose()

    assert len(router.ledger.decisions) == 1
    assert recorder.events[0][0] == "start"
    assert len([event for event in recorder.events if event[0] in ("error", "end")]) == 1

    unread = await router.astream_events("Hi.", version="v3")
    await unread.aclose()
    assert len(router.ledger.decisions) == 1


async def test_several_readers_of_content_blocks_see_the_same() -> None:
    router = ChatRouter(routes(), policy=Fixed("cheap"))
    stream = await router.astream_events("Hi.", version="v3")

    async def words() -> str:
        return "".join([word async for word in stream.text])

    async def kinds() -> list[str]:
        return [event["event"] async for event in stream]

    text, events, message = await asyncio.gather(words(), kinds(), stream.output)

    assert text == message.text == "small answer"
    assert (events[0], events[-1]) == ("message-start", "message-finish")
    assert len(router.ledger.decisions) == 1


class Trap(dict):  # type: ignore[type-arg]
    """Metadata that cannot be looked into."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("hands off")


@pytest.mark.server
def test_a_history_that_cannot_be_adapted_goes_out_as_it_is(mock: Any) -> None:
    from servers import openai_chat

    mock.reply("Hello.", times=None)
    trapped = AIMessage("Before.").model_copy(update={"response_metadata": Trap()})
    router = ChatRouter({"openai": openai_chat()})

    with pytest.warns(DegradedWarning, match="hands off"):
        answer = router.invoke([HumanMessage("Hi."), trapped, HumanMessage("Hi again.")])

    assert answer.content == "Hello."
    assert any("could not be adapted" in problem for problem in answer.response_metadata["langroute"]["problems"])


def test_a_tier_that_is_nearly_one_of_ours_is_asked_about() -> None:
    with pytest.warns(UserWarning, match="Did you mean 'cheap'"):
        ChatRouter({"a": Route(ScriptedModel("x"), tier="cheep", price=PRICE)})


def test_a_setting_that_is_changed_later_is_heeded_and_a_wrong_one_changes_nothing() -> None:
    model = ScriptedModel("small answer")
    router = ChatRouter({"cheap": Route(model, price=PRICE), **routes(frontier="large answer")}, policy=Fixed("cheap"))

    router.temperature = 0.25
    assert router.invoke("Hi.").content == "small answer"
    assert model.calls[-1][1] == {"temperature": 0.25}

    router.policy = Fixed("frontier")
    assert router.invoke("Hi.").content == "large answer"
    assert len(router.ledger.decisions) == 2

    with pytest.raises(UnknownRouteError, match="'big'"):
        router.policy = Fixed("big")
    with pytest.raises(UnknownRouteError, match="'big'"):
        router.route = "big"
    assert router.route is None
    assert router.invoke("Hi.").content == "large answer"

    router.policy = Cascade()
    router.routes = {"only": Route(ScriptedModel("new"), price=PRICE)}
    assert router.invoke("Hi.").content == "new"


def test_the_default_policy_fits_settings_that_are_changed_later() -> None:
    """A user who chose no policy gets the one that the router would have had from the beginning."""
    model = ChatRouter({"only": Route(ScriptedModel("one"), price=PRICE)})
    model.routes = routes()
    assert model.invoke("Prove that the square root of 3 is irrational.").content == "large answer"

    model.verifier = lambda message: True
    assert model.invoke("Prove that the square root of 3 is irrational.").content == "small answer"
    copy = model.model_copy(update={"verifier": None})
    assert copy.invoke("Prove that the square root of 3 is irrational.").content == "large answer"

    kept = copy.policy
    copy.temperature = 0.5
    assert copy.policy is kept, "nothing that it was made for has changed, so it keeps what it learned"
    copy.policy = chosen = Fixed("cheap")
    copy.verifier = lambda message: True
    assert copy.policy is chosen
