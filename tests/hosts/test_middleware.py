"""Every model call of an agent made by `create_agent` is routed, whatever other middleware it has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent, middleware
from langchain.agents.middleware import (
    AgentMiddleware,
    ExtendedModelResponse,
    HumanInTheLoopMiddleware,
    ModelRequest,
    SummarizationMiddleware,
    ToolRetryMiddleware,
    wrap_model_call,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel
from recorder import Recorder
from servers import anthropic_chat, openai_chat

from langroute import ChatRouter, RouterMiddleware
from langroute.core.errors import InputError, NoEligibleRouteError, RouteFailedError
from langroute.core.records import Selection
from langroute.policies import Cascade, Fallback, Fixed, Sticky
from langroute.testing import ScriptedModel


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Answer(BaseModel):
    """The final answer."""

    value: int


def call_of(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{name}", "type": "tool_call"}])


def adding(name: str = "") -> ScriptedModel:
    """Adds one and two with the tool, then says so."""

    def say(messages: list[Any]) -> AIMessage:
        return AIMessage(f"{name}It is 3.") if messages[-1].type == "tool" else call_of("add", a=1, b=2)

    return ScriptedModel(say, model=name or "scripted")


class ByStep:
    """Plans and answers on the strong route, acts on the cheap one."""

    def select(self, request: Any, attempts: Any) -> Selection | None:
        if attempts:
            return None
        last = request.messages[-1]
        return Selection("frontier" if last.type == "tool" else "cheap", f"after a {last.type} message")


ASKED = {"messages": [("user", "What is 1 + 2?")]}


def marks(state: Any) -> list[dict[str, Any]]:
    return [m.response_metadata["langroute"] for m in state["messages"] if isinstance(m, AIMessage)]


def unused() -> ScriptedModel:
    return ScriptedModel(AssertionError("the agent's own model is never called"))


def test_every_step_is_decided_on_its_own() -> None:
    middleware = RouterMiddleware({"cheap": adding(), "frontier": adding()}, policy=ByStep())
    agent = create_agent(unused(), [add], middleware=[middleware])

    state = agent.invoke(ASKED)

    assert state["messages"][-1].content == "It is 3."
    assert [mark["route"] for mark in marks(state)] == ["cheap", "frontier"]
    assert [mark["step"]["index"] for mark in marks(state)] == [0, 1]


async def test_every_step_of_an_awaited_agent_is_decided_on_its_own() -> None:
    middleware = RouterMiddleware({"cheap": adding(), "frontier": adding()}, policy=ByStep())
    state = await create_agent(unused(), [add], middleware=[middleware]).ainvoke(ASKED)
    assert [mark["route"] for mark in marks(state)] == ["cheap", "frontier"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_thread_and_node_are_known(asynchronous: bool) -> None:
    middleware = RouterMiddleware({"cheap": adding()}, policy=Fixed("cheap"))
    agent = create_agent(unused(), [add], middleware=[middleware], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t1"}}

    await agent.ainvoke(ASKED, config) if asynchronous else agent.invoke(ASKED, config)

    assert [(decision.step.node, decision.step.thread) for decision in middleware.model.ledger.decisions] == [("model", "t1")] * 2


@pytest.mark.parametrize("host", ["middleware", "model"])
def test_an_agent_is_the_same_as_with_the_chosen_model(host: str) -> None:
    def run(model: Any, *middleware: Any) -> tuple[list[Any], list[Any], list[Any]]:
        recorder = Recorder()
        agent = create_agent(model, [add], middleware=middleware, system_prompt="Be brief.")
        state = agent.invoke(ASKED, {"callbacks": [recorder]})
        # Beside the chunk that carries the record of a decision.
        shown = agent.stream(ASKED, stream_mode="messages")
        tokens = [part.content for part, _ in shown if "langroute" not in part.response_metadata]
        said = [(m.type, m.content, getattr(m, "tool_calls", None), getattr(m, "usage_metadata", None)) for m in state["messages"]]
        starts = [(event[1], event[2], event[4], event[5]) for event in recorder.named("start")]
        kinds = [event[0] for event in recorder.events]
        return said, starts, [kinds, tokens]

    routes = {"cheap": adding(), "frontier": adding()}
    if host == "middleware":
        routed = run(unused(), RouterMiddleware(routes, policy=Fixed("cheap")))
    else:
        routed = run(ChatRouter(routes, policy=Fixed("cheap")))

    assert routed == run(adding())


def test_tools_reach_the_chosen_model_and_a_route_without_tools_falls_out() -> None:
    class Toolless(ScriptedModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    from langroute import Route

    middleware = RouterMiddleware({"cheap": Route(Toolless("no"), capabilities={"tools": False}), "frontier": adding()})
    state = create_agent(unused(), [add], middleware=[middleware]).invoke(ASKED)

    assert [mark["rejected"] for mark in marks(state)] == [{"cheap": "cannot call tools"}] * 2
    assert state["messages"][-1].content == "It is 3."

    alone = RouterMiddleware({"cheap": Route(ScriptedModel("no"), capabilities={"tools": False})})
    with pytest.raises(NoEligibleRouteError, match="cannot call tools"):
        create_agent(unused(), [add], middleware=[alone]).invoke(ASKED)


# Structured output -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["middleware", "model"])
@pytest.mark.parametrize("policy", [Fixed("cheap"), Cascade()], ids=["fixed", "cascade"])
@pytest.mark.parametrize("strategy", [ToolStrategy(Answer), Answer], ids=["tool", "auto"])
def test_an_agent_answers_in_a_schema(strategy: Any, policy: Any, host: str) -> None:
    """The schema's own tool is no stranger to the verifiers: the cheap route's right answer is kept."""

    def say(messages: list[Any]) -> AIMessage:
        return call_of("Answer", value=3) if messages[-1].type == "tool" else call_of("add", a=1, b=2)

    routes = {"cheap": ScriptedModel(say), "frontier": ScriptedModel(say)}
    if host == "middleware":
        agent = create_agent(unused(), [add], middleware=[RouterMiddleware(routes, policy=policy)], response_format=strategy)
    else:
        agent = create_agent(ChatRouter(routes, policy=policy), [add], response_format=strategy)

    state = agent.invoke(ASKED)

    assert state["structured_response"] == Answer(value=3)
    assert [mark["route"] for mark in marks(state)] == ["cheap", "cheap"]


def test_a_schema_that_was_not_kept_goes_to_the_next_route() -> None:
    routes = {"cheap": ScriptedModel(call_of("Answer", value="three")), "frontier": ScriptedModel(call_of("Answer", value=3))}
    middleware = RouterMiddleware(routes, policy=Cascade())

    state = create_agent(unused(), middleware=[middleware], response_format=ToolStrategy(Answer)).invoke(ASKED)

    assert state["structured_response"] == Answer(value=3)
    assert [attempt["route"] for attempt in marks(state)[-1]["attempts"]] == ["cheap", "frontier"]


@pytest.mark.server
@pytest.mark.parametrize("maker", [openai_chat, anthropic_chat], ids=["openai", "anthropic"])
def test_real_integrations_answer_in_a_schema_by_their_own_strategy(maker: Callable[..., Any], mock: Any) -> None:
    mock.reply('{"value": 3}', times=None) if maker is openai_chat else mock.call_tool("Answer", {"value": 3}, times=None)
    form = ProviderStrategy(Answer) if maker is openai_chat else ToolStrategy(Answer)
    middleware = RouterMiddleware({"cheap": maker(), "frontier": maker()}, policy=Cascade())

    state = create_agent(unused(), middleware=[middleware], response_format=form).invoke(ASKED)

    assert state["structured_response"] == Answer(value=3)
    assert marks(state)[0]["route"] == "cheap"


# Other middleware ------------------------------------------------------------------------------------------------------


class Seen(AgentMiddleware):
    """Writes down which model each call goes to, and what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Any] = []
        self.requests: list[ModelRequest] = []

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        self.models.append(request.model)
        self.requests.append(request)
        return handler(request)


def test_middleware_after_it_sees_the_chosen_model() -> None:
    cheap, frontier, seen = adding(), adding(), Seen()
    middleware = RouterMiddleware({"cheap": cheap, "frontier": frontier}, policy=ByStep())

    create_agent(unused(), [add], middleware=[middleware, seen]).invoke(ASKED)

    assert seen.models == [cheap, frontier]


def test_middleware_before_it_changes_what_is_decided_on() -> None:
    @wrap_model_call
    def shout(request: Any, handler: Any) -> Any:
        return handler(request.override(system_message=SystemMessage("SHOUT."), messages=[HumanMessage("changed")]))

    cheap = ScriptedModel("Hello.")
    middleware = RouterMiddleware({"cheap": cheap})

    create_agent(unused(), middleware=[shout, middleware]).invoke(ASKED)

    assert [message.content for message in cheap.calls[0][0]] == ["SHOUT.", "changed"]


@pytest.mark.server
def test_prompt_caching_after_it_marks_for_anthropic_and_never_for_openai(mock: Any) -> None:
    """The markers of one provider are an error at the other: they are made after the route is known."""
    from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware

    class Turns:
        def select(self, request: Any, attempts: Any) -> Selection | None:
            name = "openai" if request.messages[-1].type == "tool" else "anthropic"
            return None if attempts else Selection(name, "in turn")

    mock.call_tool("add", {"a": 1, "b": 2}).reply("It is 3.")
    middleware = [
        RouterMiddleware({"openai": openai_chat(), "anthropic": anthropic_chat()}, policy=Turns()),
        AnthropicPromptCachingMiddleware(unsupported_model_behavior="ignore"),
    ]

    state = create_agent(unused(), [add], middleware=middleware, system_prompt="Be brief.").invoke(ASKED)

    assert [mark["route"] for mark in marks(state)] == ["anthropic", "openai"]
    assert state["messages"][-1].content == "It is 3."
    assert "cache_control" in str(mock.requests[0].body)
    assert "cache_control" not in str(mock.requests[1].body)


@pytest.mark.server
def test_prompt_caching_before_it_does_no_harm(mock: Any) -> None:
    from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware

    mock.reply("Hello.", times=None)
    middleware = [
        AnthropicPromptCachingMiddleware(),
        RouterMiddleware({"openai": openai_chat(), "anthropic": anthropic_chat()}, policy=Fixed("openai")),
    ]

    state = create_agent(anthropic_chat(), middleware=middleware, system_prompt="Be brief.").invoke(ASKED)

    assert state["messages"][-1].content == "Hello."
    assert "cache_control" not in str(mock.requests[-1].body)


def test_a_conversation_is_summarized_by_a_router_too() -> None:
    router = ChatRouter({"cheap": ScriptedModel("A summary."), "frontier": ScriptedModel("A long summary.")})
    middleware = [
        RouterMiddleware({"cheap": ScriptedModel("Fine."), "frontier": ScriptedModel("Good.")}, policy=Fixed("cheap")),
        SummarizationMiddleware(model=router, trigger=("messages", 4), keep=("messages", 2)),
    ]
    history = [HumanMessage("One?"), AIMessage("1"), HumanMessage("Two?"), AIMessage("2"), HumanMessage("Three?")]

    state = create_agent(unused(), middleware=middleware).invoke({"messages": history})

    assert state["messages"][-1].content == "Fine."
    assert router.ledger.latest().step.kind == "summarize"
    assert "summary" in str(state["messages"][0].content).lower()


def test_tools_may_fail_and_be_retried() -> None:
    tries: list[int] = []

    @tool
    def flaky(word: str) -> str:
        """Look a word up."""
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("down")
        return "found"

    def say(messages: list[Any]) -> AIMessage:
        return AIMessage("Done.") if messages[-1].type == "tool" else call_of("flaky", word="x")

    middleware = [
        RouterMiddleware({"cheap": ScriptedModel(say), "frontier": ScriptedModel(say)}),
        ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False),
    ]
    state = create_agent(unused(), [flaky], middleware=middleware).invoke(ASKED)
    assert (len(tries), state["messages"][-1].content) == (2, "Done.")


def test_an_agent_is_interrupted_for_a_person_and_goes_on() -> None:
    middleware = [
        RouterMiddleware({"cheap": adding(), "frontier": adding()}, policy=ByStep()),
        HumanInTheLoopMiddleware(interrupt_on={"add": True}),
    ]
    agent = create_agent(unused(), [add], middleware=middleware, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}

    paused = agent.invoke(ASKED, config)
    assert paused["__interrupt__"]
    state = agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)

    assert state["messages"][-1].content == "It is 3."
    assert [mark["route"] for mark in marks(state)] == ["cheap", "frontier"]
    assert [decision.step.thread for decision in middleware[0].model.ledger.decisions] == ["t1", "t1"]


# Failing over, verifying -----------------------------------------------------------------------------------------------


def test_a_failing_route_is_replaced_inside_the_agent() -> None:
    routes = {"cheap": ScriptedModel(ConnectionError("down")), "frontier": adding()}
    middleware = RouterMiddleware(routes, policy=Fallback(Fixed("cheap"), retries=0))

    state = create_agent(unused(), [add], middleware=[middleware]).invoke(ASKED)

    assert state["messages"][-1].content == "It is 3."
    assert marks(state)[0]["attempts"][0]["verdict"] == "failed: ConnectionError"


def test_when_all_fail_the_error_names_them_all() -> None:
    routes = {"cheap": ScriptedModel(ConnectionError("down")), "frontier": ScriptedModel(ConnectionError("down too"))}
    middleware = RouterMiddleware(routes, policy=Fallback(Fixed("cheap"), retries=0))

    with pytest.raises(RouteFailedError, match=r"cheap.*\n.*frontier"):
        create_agent(unused(), [add], middleware=[middleware]).invoke(ASKED)
    assert middleware.model.ledger.latest().route is None


def test_rejected_tokens_are_not_shown_in_messages_mode() -> None:
    routes = {"cheap": ScriptedModel("not sure"), "frontier": ScriptedModel("It is 3")}
    middleware = RouterMiddleware(routes, policy=Cascade(), verifier=lambda message: "3" in message.content)
    agent = create_agent(unused(), middleware=[middleware])

    parts = [part.content for part, _ in agent.stream(ASKED, stream_mode="messages")]
    state = agent.invoke(ASKED)

    assert "".join(parts) == "It is 3"
    assert [message.content for message in state["messages"]] == ["What is 1 + 2?", "It is 3"]


def test_a_call_of_an_unknown_tool_goes_to_the_next_route() -> None:
    routes = {"cheap": ScriptedModel(call_of("subtract", a=1, b=2)), "frontier": adding()}
    state = create_agent(unused(), [add], middleware=[RouterMiddleware(routes, policy=Cascade())]).invoke(ASKED)

    assert [attempt["verdict"] for attempt in marks(state)[0]["attempts"]] == [
        "score 0.00: tool_calls, no tool is called 'subtract'",
        "not checked",
    ]
    assert state["messages"][-1].content == "It is 3."


def test_a_providers_own_tool_is_no_unknown_tool() -> None:
    """Anthropic's `bash` is given as a plain dictionary and comes back as an ordinary tool call."""
    bash = {"type": "bash_20250124", "name": "bash"}
    routes = {"cheap": ScriptedModel(call_of("bash", command="ls")), "frontier": ScriptedModel("no")}

    class Raw(ScriptedModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=tools)

    router = ChatRouter({name: Raw(*model.replies) for name, model in routes.items()}, policy=Cascade())
    answer = router.bind_tools([bash, add]).invoke("List the files.")

    assert answer.response_metadata["langroute"]["route"] == "cheap"


# Agents in agents ------------------------------------------------------------------------------------------------------


def test_an_agent_called_as_a_tool_is_known_as_its_own() -> None:
    inner_middleware = RouterMiddleware({"cheap": ScriptedModel("inner says 3")}, policy=Fixed("cheap"))
    inner = create_agent(unused(), middleware=[inner_middleware], name="calculator")

    @tool
    def calculate(question: str) -> str:
        """CacheRequest the calculator."""
        return inner.invoke({"messages": [("user", question)]})["messages"][-1].content

    def say(messages: list[Any]) -> AIMessage:
        return AIMessage(messages[-1].content) if messages[-1].type == "tool" else call_of("calculate", question="1 + 2?")

    outer_middleware = RouterMiddleware({"cheap": ScriptedModel(say)}, policy=Fixed("cheap"))
    outer = create_agent(unused(), [calculate], middleware=[outer_middleware], name="boss", checkpointer=InMemorySaver())

    state = outer.invoke(ASKED, {"configurable": {"thread_id": "t1"}})

    assert state["messages"][-1].content == "inner says 3"
    (inside,) = inner_middleware.model.ledger.decisions
    assert inside.step.agent == "calculator"
    assert outer_middleware.model.ledger.latest().step.agent == "boss"
    assert inside.step.depth > outer_middleware.model.ledger.latest().step.depth


def test_a_deep_agent_and_its_subagents_are_routed() -> None:
    deepagents = pytest.importorskip("deepagents")
    ledger_of = []

    def boss(messages: list[Any]) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage("All done.")
        return call_of("task", description="Look it up.", subagent_type="helper")

    def router(say: Any) -> RouterMiddleware:
        middleware = RouterMiddleware({"cheap": ScriptedModel(say), "frontier": ScriptedModel(say)}, policy=Sticky(Fixed("cheap")))
        ledger_of.append(middleware.model.ledger)
        return middleware

    agent = deepagents.create_deep_agent(
        model=unused(),
        middleware=[router(boss)],
        subagents=[
            {
                "name": "helper",
                "description": "Looks things up.",
                "system_prompt": "You look things up.",
                "model": unused(),
                "middleware": [router("Found it.")],
            }
        ],
    )

    state = agent.invoke(ASKED)

    assert state["messages"][-1].content == "All done."
    assert any("Found it." in str(message.content) for message in state["messages"])
    outer, inner = ledger_of
    assert [decision.route for decision in outer.decisions] == ["cheap", "cheap"]
    assert [decision.step.agent for decision in inner.decisions] == ["helper"]


def test_a_deep_agent_takes_a_router_for_its_model() -> None:
    deepagents = pytest.importorskip("deepagents")
    router = ChatRouter({"cheap": ScriptedModel("Hello."), "frontier": ScriptedModel("Good day.")}, policy=Fixed("cheap"))

    state = deepagents.create_deep_agent(model=router).invoke(ASKED)

    assert state["messages"][-1].content == "Hello."
    assert marks(state)[0]["route"] == "cheap"


# Bad input -------------------------------------------------------------------------------------------------------------


def test_an_agent_without_messages_is_told() -> None:
    with pytest.raises(InputError, match="no message"):
        create_agent(unused(), middleware=[RouterMiddleware({"cheap": ScriptedModel("x")})]).invoke({"messages": []})


def test_a_middleware_takes_a_router_that_exists() -> None:
    router = ChatRouter({"cheap": adding()})
    assert RouterMiddleware(router).model is router


@pytest.mark.skipif(sys.version_info < (3, 11), reason="LangGraph hands no config to awaited nodes before Python 3.11")
async def test_parallel_agents_share_no_decision() -> None:
    middleware = RouterMiddleware({"cheap": adding("a "), "frontier": adding("b ")}, policy=ByStep())
    agent = create_agent(unused(), [add], middleware=[middleware])

    states = await asyncio.gather(
        *(agent.ainvoke({"messages": [("user", f"Number {n}?")]}, {"metadata": {"n": n}}) for n in range(12))
    )

    assert len(middleware.model.ledger.decisions) == 24
    for n, state in enumerate(states):
        decisions = [middleware.model.ledger.get(mark["decision_id"]) for mark in marks(state)]
        assert [decision.metadata["n"] for decision in decisions] == [n, n]


def test_settings_tags_and_callbacks_of_the_router_reach_the_agents_calls() -> None:
    model, recorder = ScriptedModel("Hello."), Recorder()
    router = ChatRouter(
        {"cheap": model.with_config(metadata={"region": "eu"})},
        temperature=0.25,
        callbacks=[recorder],
        tags=["own"],
        metadata={"owner": "me"},
    )

    create_agent(unused(), middleware=[RouterMiddleware(router)]).invoke(ASKED)

    assert model.calls[0][1]["temperature"] == 0.25
    (start,) = recorder.named("start")
    assert "own" in start[4]
    assert {"owner": "me", "region": "eu"}.items() <= recorder.metadata[0].items()


class Extended(AgentMiddleware):
    """Changes the state beside the answer."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return ExtendedModelResponse(handler(request), Command(update={}))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return ExtendedModelResponse(await handler(request), Command(update={}))


def choosing_tools() -> ScriptedModel:
    return ScriptedModel(call_of("ToolSelectionResponse", tools=["add"]))


OTHERS: dict[str, Callable[[], Any]] = {
    "retries": lambda: middleware.ModelRetryMiddleware(max_retries=1),
    "fallbacks": lambda: middleware.ModelFallbackMiddleware(adding()),
    "a limit of model calls": lambda: middleware.ModelCallLimitMiddleware(run_limit=5),
    "a limit of tool calls": lambda: middleware.ToolCallLimitMiddleware(run_limit=5),
    "personal data": lambda: middleware.PIIMiddleware("email"),
    "a to-do list": lambda: middleware.TodoListMiddleware(),
    "context editing": lambda: middleware.ContextEditingMiddleware(),
    "tool selection": lambda: middleware.LLMToolSelectorMiddleware(model=choosing_tools()),
    "a dynamic prompt": lambda: middleware.dynamic_prompt(lambda request: "Be brief."),
    "an extended response": Extended,
}


@pytest.mark.parametrize("order", ["first", "last"])
@pytest.mark.parametrize("name", list(OTHERS))
async def test_it_gets_on_with_langchains_other_middleware(name: str, order: str) -> None:
    for asynchronous in (False, True):
        router, other = RouterMiddleware({"cheap": adding(), "frontier": adding()}, policy=Cascade()), OTHERS[name]()
        agent = create_agent(unused(), [add], middleware=[router, other] if order == "first" else [other, router])

        state = await agent.ainvoke(ASKED) if asynchronous else agent.invoke(ASKED)

        assert state["messages"][-1].content == "It is 3."
        assert [mark["route"] for mark in marks(state)] == ["cheap", "cheap"]
        assert len(router.model.ledger.decisions) == 2


class InTurn:
    """Every step goes to the other provider than the one before."""

    def select(self, request: Any, attempts: Any) -> Selection | None:
        answers = sum(message.type == "ai" for message in request.messages)
        return None if attempts else Selection(request.routes[answers % 2].name, "in turn")


@pytest.mark.server
@pytest.mark.parametrize("host", ["middleware", "model"])
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_an_agent_changes_providers_in_the_middle_of_its_tool_loop(how: str, host: str, mock: Any) -> None:
    """A thread that one provider began is read and gone on with by the other, tool ids and all."""
    for number in range(3):
        mock.call_tool("add", {"a": number, "b": 1}, text="Let me see.")
    mock.reply("The sums are in.")
    routes = {"openai": openai_chat(), "anthropic": anthropic_chat()}
    if host == "middleware":
        agent = create_agent(unused(), [add], middleware=[RouterMiddleware(routes, policy=InTurn())], system_prompt="Add.")
    else:
        agent = create_agent(ChatRouter(routes, policy=InTurn()), [add], system_prompt="Add.")

    if how == "invoke":
        state: Any = agent.invoke(ASKED)
    elif how == "ainvoke":
        state = await agent.ainvoke(ASKED)
    elif how == "stream":
        state = list(agent.stream(ASKED, stream_mode=["messages", "values"]))[-1][1]
    else:
        state = [part async for part in agent.astream(ASKED, stream_mode=["messages", "values"])][-1][1]

    assert state["messages"][-1].text == "The sums are in."
    assert [mark["route"] for mark in marks(state)] == ["openai", "anthropic", "openai", "anthropic"]
    assert [message.content for message in state["messages"] if message.type == "tool"] == ["1", "2", "3"]
    assert [request.provider for request in mock.requests] == ["openai", "anthropic", "openai", "anthropic"]
    assert [request.status for request in mock.requests] == [200] * 4


# Middleware that changes the list of messages itself --------------------------------------------------------------------


@wrap_model_call
def reminding(request: ModelRequest, handler: Any) -> Any:
    """Adds to the request's list in place."""
    request.messages.append(HumanMessage("Be kind."))
    return handler(request)


@wrap_model_call
async def areminding(request: ModelRequest, handler: Any) -> Any:
    request.messages.append(HumanMessage("Be kind."))
    return await handler(request)


def said(state: dict[str, Any]) -> list[str]:
    return [message.text for message in state["messages"]]


def agents_with(inner: Any, first: Any, *, routed: bool) -> Any:
    around = [RouterMiddleware({"cheap": first, "frontier": ScriptedModel("Hello.")}, policy=Fallback(Fixed("cheap"), retries=0))]
    return create_agent(first, middleware=[*(around if routed else ()), inner], system_prompt="You are an assistant.")


def test_what_is_added_in_place_is_in_the_state_as_without_a_router() -> None:
    plain, routed = (agents_with(reminding, ScriptedModel("Hello."), routed=routed) for routed in (False, True))
    asked = {"messages": [HumanMessage("Hi.")]}
    assert said(routed.invoke(asked)) == said(plain.invoke(asked)) == ["Hi.", "Be kind.", "Hello."]


async def test_what_is_added_in_place_by_async_middleware_is_in_the_state() -> None:
    state = await agents_with(areminding, ScriptedModel("Hello."), routed=True).ainvoke({"messages": [HumanMessage("Hi.")]})
    assert said(state) == ["Hi.", "Be kind.", "Hello."]


def test_what_is_added_in_place_is_added_once_when_a_route_fails() -> None:
    failing = ScriptedModel(ConnectionError("down"))
    strong = ScriptedModel("Hello.")
    router = RouterMiddleware({"cheap": failing, "frontier": strong}, policy=Fallback(Fixed("cheap"), retries=0))
    state = create_agent(failing, middleware=[router, reminding]).invoke({"messages": [HumanMessage("Hi.")]})
    assert said(state) == ["Hi.", "Be kind.", "Hello."]
    assert [message.text for message in strong.calls[0][0]] == ["Hi.", "Be kind."]


# Media that no route can read -------------------------------------------------------------------------------------------


@wrap_model_call
def scrubbing(request: ModelRequest, handler: Any) -> Any:
    """Says in words what the model cannot read, as deep agents' file system does."""
    texts = [HumanMessage(message.text or "[an image]") for message in request.messages]
    return handler(request.override(messages=texts))


def blind(answer: Any = "Fine.") -> ScriptedModel:
    model = ScriptedModel(answer)
    model.profile = {"image_inputs": False, "pdf_inputs": False, "audio_inputs": False, "video_inputs": False}
    return model


MEDIA = [
    {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
    {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"},
    {"type": "audio", "base64": "SUQz", "mime_type": "audio/mpeg"},
]


@pytest.mark.parametrize("block", MEDIA, ids=[block["type"] for block in MEDIA])
def test_media_that_inner_middleware_takes_out_are_no_reason_to_refuse(block: dict[str, Any]) -> None:
    router = RouterMiddleware({"cheap": blind(), "frontier": blind()})
    agent = create_agent(blind(), middleware=[router, scrubbing])
    assert agent.invoke({"messages": [HumanMessage([block])]})["messages"][-1].text == "Fine."


def test_a_route_that_can_read_media_is_still_preferred() -> None:
    sees = ScriptedModel("A cat.")
    router = RouterMiddleware({"cheap": blind(), "frontier": sees}, policy=Fixed("cheap"))
    agent = create_agent(sees, middleware=[router, scrubbing])
    assert agent.invoke({"messages": [HumanMessage([MEDIA[0]])]})["messages"][-1].text == "A cat."


def test_other_limits_hold_for_media_that_no_route_can_read() -> None:
    router = RouterMiddleware({"cheap": blind(), "frontier": blind()}, labels=("eu",))
    with pytest.raises(NoEligibleRouteError, match="lacks the label eu"):
        create_agent(blind(), middleware=[router, scrubbing]).invoke({"messages": [HumanMessage([MEDIA[0]])]})


def test_a_chat_router_says_itself_that_no_route_can_read_an_image() -> None:
    with pytest.raises(NoEligibleRouteError, match="cannot read images"):
        ChatRouter({"cheap": blind(), "frontier": blind()}).invoke([HumanMessage([MEDIA[0]])])
