"""One voice for every route, applied to what is sent and to nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool

from langroute import ChatRouter, RouterMiddleware
from langroute.core.errors import ConfigurationError
from langroute.core.records import Request, RouteInfo, Step
from langroute.hosts.style import SystemStyle
from langroute.policies import Fixed, PlanExecute
from langroute.testing import ScriptedModel

VOICE = SystemStyle("Be brief.", per_route={"cheap": "Do not greet.", "large": "Do not lecture."})


def sent(model: ScriptedModel) -> list[Any]:
    return model.calls[-1][0]


@pytest.mark.parametrize("route, told", [("cheap", "Be brief.\nDo not greet."), ("frontier", "Be brief.")])
def test_every_route_is_told_the_same_and_what_it_needs_beside(route: str, told: str) -> None:
    models = {"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}
    history = [SystemMessage("You sell shoes."), HumanMessage("Hi.")]
    ChatRouter(models, policy=Fixed(route), style=VOICE).invoke(history)

    assert [message.content for message in sent(models[route])] == [f"You sell shoes.\n\n{told}", "Hi."]
    assert history[0].content == "You sell shoes."


def test_a_conversation_without_a_system_prompt_gets_one() -> None:
    model = ScriptedModel("a")
    ChatRouter({"frontier": model}, style=VOICE).invoke("Hi.")

    assert [message.type for message in sent(model)] == ["system", "human"]


def test_a_cache_mark_on_the_programs_prompt_keeps_its_place() -> None:
    block = {"type": "text", "text": "You sell shoes.", "cache_control": {"type": "ephemeral"}}
    messages = VOICE.applied([SystemMessage([block]), HumanMessage("Hi.")], RouteInfo("large"), Step())

    assert messages[0].content == [block, {"type": "text", "text": "Be brief.\nDo not lecture."}]


@pytest.mark.parametrize("kind", ["title", "summarize", "classify", "extract"])
def test_steps_that_nobody_reads_are_told_nothing(kind: str) -> None:
    history = [HumanMessage("Hi.")]

    assert VOICE.applied(history, RouteInfo("cheap"), Step(kind)) is history


def test_streams_and_awaited_calls_speak_with_the_same_voice() -> None:
    model = ScriptedModel("a")
    list(ChatRouter({"frontier": model}, style=VOICE).stream("Hi."))

    assert sent(model)[0].content == "Be brief."


def test_an_agents_models_speak_with_the_same_voice() -> None:
    @tool
    def look() -> str:
        """Look."""
        return "seen"

    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c1"}])
    model = ScriptedModel(call, "done")
    for prompt, expected in (("You look.", "You look.\n\nBe brief."), (None, "Be brief.")):
        middleware = RouterMiddleware({"frontier": model}, style=VOICE)
        agent = create_agent(model, tools=[look], system_prompt=prompt, middleware=[middleware])
        result = agent.invoke({"messages": [HumanMessage("Go.")]})

        assert all(messages[0].content == expected for messages, _ in model.calls)
        assert result["messages"][0].type == "human"
        model.calls.clear()


def test_a_pinned_thread_keeps_its_voice_and_its_planner() -> None:
    models = {"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}
    router = ChatRouter(models, policy=PlanExecute(plan_first=False), style=SystemStyle("Be brief.", pin="thread"))

    def route(thread: str, **metadata: Any) -> str:
        config = {"configurable": {"thread_id": thread}, "metadata": metadata}
        return str(router.invoke("Hi.", config).response_metadata["langroute"]["route"])

    assert route("t1") == "cheap"
    assert route("t1", langroute_step_kind="plan") == "frontier"
    assert route("t1") == "cheap"
    assert route("t2", langroute_step_kind="plan") == "frontier"
    assert route("t2") == "cheap"


def test_a_copy_of_the_router_is_pinned_once() -> None:
    router = ChatRouter({"frontier": ScriptedModel("a")}, style=SystemStyle("Be brief.", pin="thread"))
    copy = router.model_copy(update={"temperature": 0.1})

    assert copy.router.policy is router.router.policy


@pytest.mark.parametrize("wrong", [{"prompt": ""}, {"prompt": "x", "pin": "forever"}, {"prompt": 5}])
def test_a_wrong_style_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        SystemStyle(**wrong)


def test_different_styles_do_not_share_stored_answers() -> None:
    from langroute.cache import ResponseCache

    cache, models = ResponseCache(), {"frontier": ScriptedModel("a", "b")}
    first = ChatRouter(models, style=SystemStyle("Be brief."), response_cache=cache)
    second = ChatRouter(models, style=SystemStyle("Be long-winded."), response_cache=cache)

    assert first.invoke("What is the capital of France?").content == "a"
    assert first.invoke("What is the capital of France?").content == "a"
    assert second.invoke("What is the capital of France?").content == "b"


# Overrides -----------------------------------------------------------------------------------------------------------------


def two() -> dict[str, ScriptedModel]:
    return {"cheap": ScriptedModel("cheap"), "balanced": ScriptedModel("balanced"), "frontier": ScriptedModel("frontier")}


@pytest.mark.parametrize(
    "config, route",
    [
        ({"configurable": {"route": "balanced"}}, "balanced"),
        ({"configurable": {"min_tier": "balanced"}}, "balanced"),
        ({"metadata": {"langroute_route": "frontier"}}, "frontier"),
        ({"metadata": {"langroute_min_tier": "frontier"}}, "frontier"),
        ({"metadata": {"langroute_exclude": ["cheap", "balanced"]}}, "frontier"),
        ({"metadata": {"route": "/checkout"}}, "cheap"),
    ],
)
def test_a_caller_overrides_by_configurable_or_metadata(config: dict[str, Any], route: str) -> None:
    """Metadata of the user's own that happen to be called `route` are no override."""

    class Cheapest:
        def select(self, request: Request, attempts: Any) -> Any:
            return None if attempts else Fixed(request.routes[0].name).select(request, [])

    assert ChatRouter(two(), policy=Cheapest()).invoke("Hi.", config).content == route


def test_a_deterministic_router_decides_the_same_again_whatever_happened_in_between() -> None:
    """The default policy lets a failing route rest and keeps a turn on its route; here it does not remember."""
    flaky = ScriptedModel(ConnectionError("down"), ConnectionError("down"), "up again")
    routes = {"cheap": ScriptedModel("cheap"), "frontier": flaky}
    asked: list[tuple[bool, str]] = []

    class Watching:
        def on_decision(self, decision: Any) -> None:
            asked.append((decision.attempts[0].route == "frontier", decision.route))

        def on_outcome(self, outcome: Any) -> None: ...

    router = ChatRouter(routes, deterministic=True, max_retries=0, hooks=[Watching()])
    for _ in range(3):
        router.invoke("Prove that there are infinitely many primes, and plan the proof first.")

    assert [first for first, _ in asked] == [True, True, True]
    assert asked[-1] == (True, "frontier")


def test_policies_are_told_that_they_shall_not_explore() -> None:
    seen: list[bool] = []

    class Exploring:
        def select(self, request: Request, attempts: Any) -> Any:
            seen.append(request.deterministic)
            return Fixed("cheap").select(request, attempts)

    ChatRouter(two(), policy=Exploring()).invoke("Hi.")
    ChatRouter(two(), policy=Exploring(), deterministic=True).invoke("Hi.")

    assert seen[0] is False
    assert seen[-1] is True
