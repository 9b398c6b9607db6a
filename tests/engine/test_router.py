"""The router's calls to its routes, independent of the host."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from langroute import Budget, ChatRouter, Route
from langroute.core.errors import NoEligibleRouteError
from langroute.core.records import Decision, Outcome, Request, Selection, Step
from langroute.core.subtask_pin import SubtaskPin, pinned
from langroute.engine.call_config import Run, read_config
from langroute.engine.drivers import drive
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.router import Router, call_options
from langroute.policies import Cascade, Fallback, Fixed
from langroute.steps.inspector import Inspector
from langroute.testing import ScriptedModel

PRICE = {"input": 1.0, "output": 2.0}


def routes(**answers: Any) -> dict[str, Route]:
    return {name: Route(ScriptedModel(answer), price=PRICE) for name, answer in answers.items()}


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize(
    ("choice", "forced"),
    [
        (None, False),
        ("auto", False),
        ("none", False),
        (False, False),
        (True, True),
        ("any", True),
        ("required", True),
        ("add", True),
        ({"type": "function", "function": {"name": "add"}}, True),
    ],
)
def test_a_tool_call_is_demanded_by_whatever_is_no_free_choice(choice: Any, forced: bool) -> None:
    assert call_options(tool_choice=choice).forced is forced


@pytest.mark.parametrize("choice", [True, "any", "add"])
def test_a_route_that_cannot_be_made_to_call_a_tool_is_not_asked_to(choice: Any) -> None:
    """LangChain's `tool_choice=True` is such a demand, too."""
    stubborn = Route(ScriptedModel("No."), price=PRICE, capabilities={"tool_choice": False})
    model = ChatRouter({"stubborn": stubborn, **routes(able="Yes.")}, policy=Fixed("stubborn"))

    with pytest.warns(UserWarning, match="cannot be made to call a tool"):
        answer = model.bind_tools([add], tool_choice=choice).invoke("1 + 1?")
    assert answer.content == "Yes."
    assert model.bind_tools([add]).invoke("1 + 1?").content == "No."


def test_what_a_call_asks_for_is_worked_out_from_its_tools() -> None:
    definition = {"type": "function", "function": {"name": "add", "parameters": {}}}
    asked = call_options([definition], "auto", {"title": "Sum"}, 100)

    assert (asked.tools, asked.tool_choice, asked.schema, asked.max_tokens) == ((definition,), "auto", {"title": "Sum"}, 100)
    assert asked.tools_tokens > 10
    assert call_options().tools_tokens == 0


class Noting:
    """Sends everything to one route, and notes what it is told and asked."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.deterministic: list[bool] = []

    def select(self, request: Request, attempts: Any) -> Selection | None:
        self.deterministic.append(request.deterministic)
        return None if attempts else Selection("small", "noted")

    def on_decision(self, decision: Decision) -> None:
        self.heard.append(decision.id)

    def on_outcome(self, outcome: Outcome) -> None:
        self.heard.append(outcome)


@pytest.mark.parametrize("given", [{}, {"deterministic": False}, {"deterministic": True}])
def test_a_policy_hears_of_decisions_and_outcomes_unless_the_router_is_deterministic(given: dict[str, bool]) -> None:
    """By default it does. Hooks always hear, and the ledger keeps."""
    policy, hook, outcome = Noting(), Noting(), Outcome(success=True, task_id="k")
    router = Router(routes(small="s", large="l"), policy=policy, hooks=[hook], **given)
    result = drive(router.plan(router.request([HumanMessage("Hi.")])), Host())
    router.record_outcome(outcome)

    assert hook.heard == [result.decision.id, outcome]
    assert policy.heard == ([] if given.get("deterministic") else hook.heard)
    assert set(policy.deterministic) == {bool(given.get("deterministic"))}
    assert router.ledger.get(result.decision.id).route == "small"


class Watching(Noting):
    """A policy and hook that is told which ledger the router has."""

    def __init__(self) -> None:
        super().__init__()
        self.ledgers: list[Any] = []

    def use_ledger(self, ledger: Any) -> None:
        self.ledgers.append(ledger)


@pytest.mark.parametrize("deterministic", [False, True])
def test_what_learns_is_told_the_ledger_unless_the_router_is_deterministic(deterministic: bool) -> None:
    """What a policy finds in a ledger would change what the same input gives."""
    policy, hook = Watching(), Watching()
    router = Router(routes(small="s"), policy=policy, hooks=[hook], deterministic=deterministic)

    assert policy.ledgers == hook.ledgers == ([] if deterministic else [router.ledger])


def test_a_file_describes_a_router_and_routes_given_beside_it_stand_in_the_place_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("langchain_openai")
    monkeypatch.setenv("KEY_OF_THE_TEST", "none")
    file = tmp_path / "langroute.toml"
    file.write_text('[routes.small]\nprovider = "openai"\nmodel = "gpt-5-nano"\nkey_env = "KEY_OF_THE_TEST"\n', encoding="utf-8")

    assert list(Router.from_config(file).routes) == ["small"]
    assert list(Router.from_config(file, routes=routes(mine="s")).routes) == ["mine"]


class Late(ScriptedModel):
    """Answers after a moment."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0.2)
        return self._generate(*args, **kwargs)


async def test_an_awaited_call_waits_for_what_another_has_reserved() -> None:
    """It may cost half of the budget and costs next to nothing: both calls are answered, one after the other."""
    used: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    late = Route(Late(AIMessage("Yes.", usage_metadata=used), max_tokens=1000), price={"input": 0, "output": 10})
    model = ChatRouter({"late": late}, budget=Budget(usd=0.015, per="all", wait_seconds=20))

    answers = await asyncio.gather(model.ainvoke("One?"), model.ainvoke("Two?"))

    assert [answer.content for answer in answers] == ["Yes.", "Yes."]


class Host:
    """Answers every call as the test says, after a while."""

    def __init__(self, *replies: Reply | Exception, seconds: float = 0.0) -> None:
        self.replies, self.seconds, self.calls = list(replies), seconds, []

    def call(self, call: RouteCall) -> Reply:
        self.calls.append(call.route.name)
        sleep(self.seconds)
        reply = self.replies.pop(0) if self.replies else Reply(AIMessage("x"))
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def acall(self, call: RouteCall) -> Reply:
        return self.call(call)


def test_what_a_host_worked_around_is_said_in_the_decision() -> None:
    router = Router(routes(small="s"))
    result = drive(router.plan(router.request([HumanMessage("Hi.")])), Host(Reply(AIMessage("x"), problems=("the cache is away",))))

    assert result.decision.problems == ("the cache is away",)


def test_waiting_for_a_model_or_for_another_try_is_no_overhead() -> None:
    """Only what deciding took; the rest stands in the attempts."""
    policy = Fallback(Fixed("small"), retries=1, backoff_seconds=0.5, jitter=lambda: 1.0)
    router = Router(routes(small="s"), policy=policy)
    begun = perf_counter()
    result = drive(router.plan(router.request([HumanMessage("Hi.")])), Host(ConnectionError(), seconds=0.5))
    took = perf_counter() - begun

    assert [attempt.ok for attempt in result.decision.attempts] == [False, True]
    assert all(attempt.latency_s >= 0.5 for attempt in result.decision.attempts)
    # Two calls of half a second, and half a second between them.
    assert 0 <= result.decision.overhead_s < took - 1.49


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_route_may_be_chosen_without_a_call(asynchronous: bool) -> None:
    """For hosts that do the work themselves; the decision is recorded, and nothing was billed."""
    policy = Noting()
    router = Router(routes(small="s", large="l"), policy=policy)
    request = router.request([HumanMessage("Hi.")])
    result = await router.achoose(request) if asynchronous else router.choose(request)

    assert result.decision.route == "small"
    assert result.decision.attempts[0].usage is None
    assert policy.heard == [result.decision.id]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("selected", [None, "small", Selection("gone"), ValueError("no")])
async def test_a_policy_that_chooses_nothing_that_can_be_used_gets_the_default_route(asynchronous: bool, selected: Any) -> None:
    """And the decision says why."""

    class Odd:
        def select(self, request: Request, attempts: Any) -> Any:
            if isinstance(selected, Exception):
                raise selected
            return selected

    router = Router(routes(small="s", middle="m", large="l"), policy=Odd(), default="middle")
    request = router.request([HumanMessage("Hi.")])
    with pytest.warns(UserWarning, match="policy Odd"):
        result = await router.achoose(request) if asynchronous else router.choose(request)

    assert result.decision.route == "middle"
    assert len(result.decision.problems) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("awaited", [False, True])
async def test_a_step_that_nobody_could_inspect_is_not_shown_to_the_policy(asynchronous: bool, awaited: bool) -> None:
    """It would take unknown signals for known ones. The decision says what failed."""
    asked: list[Request] = []

    class Asked:
        def select(self, request: Request, attempts: Any) -> Selection:
            asked.append(request)
            return Selection("small")

    class Awaited(Asked):
        async def aselect(self, request: Request, attempts: Any) -> Selection:
            return self.select(request, attempts)

    class Blind(Inspector):
        def inspect(self, *args: Any, **kwargs: Any) -> Step:
            raise ValueError("no light")

    router = Router(routes(small="s", large="l"), policy=Awaited() if awaited else Asked(), inspector=Blind(), default="large")
    with pytest.warns(UserWarning, match="no light"):
        request = router.request([HumanMessage("Hi.")])
    result = await router.achoose(request) if asynchronous else router.choose(request)

    assert asked == []
    assert (result.decision.route, result.decision.problems) == ("large", ("step inspection failed: ValueError: no light",))
    assert result.decision.reason == "default route; step inspection failed: ValueError: no light"


def test_a_subtasks_route_is_the_limit_of_the_calls_that_name_no_other() -> None:
    """Where the router has it: a router inside may have others."""
    router = Router(routes(small="s", large="l"), policy=Fixed("large"))

    def kept(run: Run | None = None) -> list[str]:
        return [route.name for route in router.request([HumanMessage("Hi.")], run=run).routes]

    with pinned(SubtaskPin("small")):
        assert kept() == kept(read_config({}, router.limits)) == ["small"]
        assert kept(read_config({"metadata": {"langroute_route": "large"}}, router.limits)) == ["large"]
    with pinned(SubtaskPin("elsewhere")):
        assert kept() == ["small", "large"]
    assert kept() == ["small", "large"]


MEDIA = {
    "image": {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
    "audio": {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"},
    "video": {"type": "video", "base64": "AAAA", "mime_type": "video/mp4"},
    "file": {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"},
}
BLIND = {"images": False, "audio": False, "video": False, "pdf": False}


@pytest.mark.parametrize("kind", MEDIA)
def test_media_that_no_route_reads_are_no_hindrance_where_the_agent_may_take_them_out(kind: str) -> None:
    """Everything else that the call wants is one as before."""
    able = {**BLIND, "structured_output": False, "tools": False}
    router = Router(
        {
            "blind": Route(ScriptedModel("b"), price=PRICE, capabilities=able, context_window=20_000),
            "schemas": Route(ScriptedModel("s"), price=PRICE, capabilities=BLIND, context_window=10_000),
        }
    )
    messages = [HumanMessage([{"type": "text", "text": "What is it?"}, MEDIA[kind]])]

    def kept(**asked: Any) -> list[str]:
        return [route.name for route in router.request(messages, call_options(changes_inside=True, **asked)).routes]

    assert kept() == ["blind", "schemas"]
    assert kept(schema={"title": "It", "type": "object", "properties": {}}) == ["schemas"]
    assert kept(max_tokens=15_000) == ["blind"]
    with pytest.raises(NoEligibleRouteError, match="cannot (read images|hear audio|watch video|read files)"):
        router.request(messages, call_options())
    with pytest.raises(NoEligibleRouteError, match="cannot call tools"):
        Router({"blind": router.routes["blind"]}).request(
            messages, call_options([{"name": "look", "parameters": {}}], changes_inside=True)
        )


def test_the_kept_answer_is_the_one_that_the_decision_names() -> None:
    """The best of three checked answers, wherever it stands."""
    scores = {"a": 0.2, "b": 0.4, "c": 0.3}

    class Strict(Cascade):
        """Checks the last answer, too."""

        def select(self, request: Request, attempts: Any) -> Selection | None:
            selection = super().select(request, attempts)
            return None if selection is None else replace(selection, provisional=True)

    policy = Strict(["small", "middle", "large"], threshold=0.9)
    model = Router(routes(small="a", middle="b", large="c"), policy=policy, verifier=lambda message: scores[message.content])
    result = drive(model.plan(model.request([HumanMessage("Hi.")])), Host(*[Reply(AIMessage(text)) for text in "abc"]))

    assert (result.decision.route, result.message.content, result.index, result.answer) == ("middle", "b", 1, "b")


def test_an_attempt_that_was_cancelled_is_recorded_and_the_cancellation_goes_on() -> None:
    router = Router(routes(small="s"))

    class Cancelled(Host):
        def call(self, call: RouteCall) -> Reply:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(router.plan(router.request([HumanMessage("Hi.")])), Cancelled())
    (decision,) = router.ledger.decisions
    assert (decision.route, [attempt.error_type for attempt in decision.attempts]) == (None, ["KeyboardInterrupt"])
