"""Routing inside LangGraph graphs: a node, a conditional edge, and the chat model in anybody's own node."""

from __future__ import annotations

import asyncio
import operator
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from recorder import Recorder

from langroute import ChatRouter, RouterNode, route_edge
from langroute.core.errors import ConfigurationError, InputError, UnknownRouteError
from langroute.core.records import Selection, Verdict
from langroute.policies import Cascade, Fixed
from langroute.testing import ScriptedModel

QUESTION = {"messages": [HumanMessage("What is 6 * 7?")]}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def call_of(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{name}", "type": "tool_call"}])


class Number(BaseModel):
    """A number."""

    value: int


class RoutedState(MessagesState):
    route: str


def graph_of(node: Any, state: Any = RoutedState, **compiled: Any) -> Any:
    graph = StateGraph(state)
    graph.add_node("think", node)
    graph.add_edge(START, "think")
    graph.add_edge("think", END)
    return graph.compile(**compiled)


def two(**kwargs: Any) -> dict[str, Any]:
    return {"cheap": ScriptedModel("42", **kwargs), "frontier": ScriptedModel("It is 42.", **kwargs)}


# RouterNode ------------------------------------------------------------------------------------------------------------


def test_a_node_answers_the_messages_and_names_the_route() -> None:
    graph = graph_of(RouterNode(two(), policy=Fixed("cheap"), route_key="route"))

    state = graph.invoke(QUESTION)

    assert state["messages"][-1].content == "42"
    assert state["route"] == "cheap"
    mark = state["messages"][-1].response_metadata["langroute"]
    assert mark["step"]["node"] == "think"


async def test_a_node_answers_in_an_awaited_graph() -> None:
    graph = graph_of(RouterNode(two(), policy=Fixed("cheap"), route_key="route"))
    assert (await graph.ainvoke(QUESTION))["route"] == "cheap"


def test_a_node_goes_on_by_the_route_that_answered() -> None:
    graph = StateGraph(MessagesState)
    node = RouterNode(two(), policy=Fixed("cheap"), goto={"cheap": "check"})
    graph.add_node("think", node, destinations=("check",))
    graph.add_node("check", lambda state: {"messages": [AIMessage("checked")]})
    graph.add_edge(START, "think")

    state = graph.compile().invoke(QUESTION)

    assert [message.content for message in state["messages"]] == ["What is 6 * 7?", "42", "checked"]


def test_a_node_reads_and_writes_the_keys_it_is_told() -> None:
    class Own(TypedDict):
        talk: Annotated[list[AnyMessage], add_messages]
        verdict: AIMessage

    graph = graph_of(RouterNode(two(), policy=Fixed("cheap"), messages_key="talk", output_key="verdict"), Own)
    state = graph.invoke({"talk": [("user", "Hello?")]})

    assert state["verdict"].content == "42"
    assert len(state["talk"]) == 1


def test_a_node_reads_a_dataclass_and_a_pydantic_state() -> None:
    @dataclass
    class Plain:
        messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)

    class Checked(BaseModel):
        messages: Annotated[list[AnyMessage], add_messages]

    for state in (Plain, Checked):
        answered = graph_of(RouterNode(two(), policy=Fixed("cheap")), state).invoke(QUESTION)
        assert answered["messages"][-1].content == "42"


def test_a_node_reads_messages_in_every_form_a_model_takes() -> None:
    class Raw(TypedDict):
        messages: Annotated[list[Any], operator.add]

    graph = graph_of(RouterNode(two(), policy=Fixed("cheap")), Raw)
    for message in ({"role": "user", "content": "Hi?"}, ("user", "Hi?"), HumanMessage("Hi?")):
        assert graph.invoke({"messages": [message]})["messages"][-1].content == "42"


def test_a_node_answers_in_a_schema() -> None:
    class Answered(MessagesState):
        number: Number

    models = {"cheap": ScriptedModel(call_of("Number", value=42))}
    graph = graph_of(RouterNode(models, schema=Number, output_key="number"), Answered)

    assert graph.invoke(QUESTION)["number"] == Number(value=42)


def test_a_node_calls_tools_in_a_loop() -> None:
    def think(messages: list[Any]) -> Any:
        return AIMessage("It is 3.") if messages[-1].type == "tool" else call_of("add", a=1, b=2)

    graph = StateGraph(MessagesState)
    graph.add_node("think", RouterNode({"cheap": ScriptedModel(think), "frontier": ScriptedModel(think)}, tools=[add]))
    graph.add_node("tools", ToolNode([add]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")

    state = graph.compile().invoke({"messages": [("user", "What is 1 + 2?")]})

    assert state["messages"][-1].content == "It is 3."
    marks = [m.response_metadata["langroute"] for m in state["messages"] if isinstance(m, AIMessage)]
    assert [mark["step"]["index"] for mark in marks] == [0, 1]


def test_a_nodes_mistakes_are_told_when_it_is_built() -> None:
    with pytest.raises(ConfigurationError, match="output_key"):
        RouterNode(two(), schema=dict)
    with pytest.raises(UnknownRouteError, match="'tiny'"):
        RouterNode(two(), goto={"tiny": "check"})
    with pytest.raises(ConfigurationError, match="'policy'"):
        RouterNode(ChatRouter(two()), policy=Fixed("cheap"))
    with pytest.raises(ConfigurationError, match="bind_tools"):
        RouterNode(ChatRouter(two()) | (lambda message: message), tools=[add])


def test_a_state_without_the_key_is_told() -> None:
    with pytest.raises(InputError, match=r"'chat'.*'messages'"):
        RouterNode(two(), messages_key="chat").invoke(QUESTION)
    with pytest.raises(InputError, match="no message"):
        RouterNode(two()).invoke({"messages": []})


# route_edge ------------------------------------------------------------------------------------------------------------


class ByLength:
    """Long subtasks go to the strong branch."""

    def select(self, request: Any, attempts: Any) -> Selection | None:
        long = len(str(request.messages[-1].content)) > 20
        return None if attempts else Selection("deep" if long else "quick", "by length")


def edge_graph(edge: Any, state: Any = MessagesState) -> Any:
    graph = StateGraph(state)
    for name in ("short", "long"):
        graph.add_node(name, lambda state, name=name: {"messages": [AIMessage(name)]})
    graph.add_conditional_edges(START, edge, ["short", "long"])
    return graph.compile()


def test_an_edge_sends_a_subtask_to_a_branch_and_records_it() -> None:
    edge = route_edge({"quick": "short", "deep": "long"}, policy=ByLength())
    graph = edge_graph(edge)

    assert graph.invoke({"messages": [("user", "Hi.")]})["messages"][-1].content == "short"
    assert graph.invoke({"messages": [("user", "Prove that P is not NP, in detail.")]})["messages"][-1].content == "long"
    assert [decision.route for decision in edge.router.ledger.decisions] == ["quick", "deep"]
    assert edge.router.ledger.latest().reason == "by length"


async def test_an_edge_routes_in_an_awaited_graph() -> None:
    graph = edge_graph(route_edge({"quick": "short", "deep": "long"}, policy=ByLength()))
    assert (await graph.ainvoke({"messages": [("user", "Hi.")]}))["messages"][-1].content == "short"


async def test_an_edge_awaits_a_policy_that_has_to_call_something() -> None:
    class Awaited(ByLength):
        async def aselect(self, request: Any, attempts: Any) -> Selection | None:
            await asyncio.sleep(0)
            return Selection("deep", "awaited")

    edge = route_edge({"quick": "short", "deep": "long"}, policy=Awaited())
    graph = edge_graph(edge)

    assert (await graph.ainvoke({"messages": [("user", "Hi.")]}))["messages"][-1].content == "long"
    assert graph.invoke({"messages": [("user", "Hi.")]})["messages"][-1].content == "short"
    assert [decision.reason for decision in edge.router.ledger.decisions] == ["awaited", "by length"]


def test_an_edge_reads_a_text_and_messages_that_are_no_objects_yet() -> None:
    edge = route_edge({"quick": "short", "deep": "long"}, policy=ByLength(), messages_key="subtask")

    assert edge({"subtask": "Hi."}, {}) == "short"
    assert edge({"subtask": [{"role": "user", "content": "Hi."}]}, {}) == "short"
    assert edge({"subtask": [("user", "Prove that P is not NP, in detail.")]}, {}) == "long"
    with pytest.raises(InputError, match="no message"):
        edge({"subtask": []}, {})
    with pytest.raises(InputError, match="subtask"):
        edge({"messages": []}, {})


def test_an_edge_makes_sends() -> None:
    edge = route_edge({"quick": lambda state: Send("short", state), "deep": "long"}, policy=ByLength())
    assert edge_graph(edge).invoke({"messages": [("user", "Hi.")]})["messages"][-1].content == "short"


def test_an_edge_with_a_broken_policy_takes_its_default() -> None:
    class Broken:
        def select(self, request: Any, attempts: Any) -> Selection | None:
            raise RuntimeError("no idea")

    edge = route_edge({"quick": "short", "deep": "long"}, policy=Broken(), default="quick")

    with pytest.warns(UserWarning, match="no idea"):
        assert edge({"messages": [HumanMessage("Hi.")]}, {}) == "short"
    assert "no idea" in edge.router.ledger.latest().problems[0]


def test_an_edge_prices_nothing_and_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    edge = route_edge({"quick": "short", "deep": "long"}, policy=ByLength())
    edge({"messages": [HumanMessage("Hi.")]}, {})

    assert not [warning for warning in recwarn if "price" in str(warning.message)]


# The chat model in somebody's own node ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["invoke", "stream", "bound", "chain"])
def test_the_node_is_known_in_every_way_of_calling(how: str) -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"))

    def node(state: Any) -> Any:
        if how == "invoke":
            return {"messages": [router.invoke(state["messages"])]}
        if how == "stream":
            return {"messages": [sum_of(router.stream(state["messages"]))]}
        if how == "bound":
            return {"messages": [router.bind_tools([add]).invoke(state["messages"])]}
        return {"messages": [(router | (lambda message: message)).invoke(state["messages"])]}

    graph_of(node, MessagesState, checkpointer=InMemorySaver()).invoke(QUESTION, {"configurable": {"thread_id": "t1"}})

    step = router.ledger.latest().step
    assert (step.node, step.thread) == ("think", "t1")


def sum_of(chunks: Any) -> Any:
    first, *rest = chunks
    for chunk in rest:
        first = first + chunk
    return first


def messages_mode(graph: Any, **config: Any) -> list[tuple[str, str]]:
    """Return what is shown, beside the chunk that carries the record of a decision."""
    return [
        (part.content, metadata["langgraph_node"])
        for part, metadata in graph.stream(QUESTION, config or None, stream_mode="messages")
        if part.content or "langroute" not in part.response_metadata
    ]


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_graph_streams_the_same_messages_as_with_the_model_itself(how: str) -> None:
    def node_of(model: Any) -> Any:
        def node(state: Any) -> Any:
            if how == "invoke":
                return {"messages": [model.invoke(state["messages"])]}
            return {"messages": [sum_of(model.stream(state["messages"]))]}

        return node

    direct = messages_mode(graph_of(node_of(ScriptedModel("one two three")), MessagesState))
    model = ChatRouter({"only": ScriptedModel("one two three")}, policy=Fixed("only"))
    routed = messages_mode(graph_of(node_of(model), MessagesState))

    assert routed == direct
    assert "".join(text for text, _ in routed) == "one two three"


async def test_an_awaited_graph_streams_the_same_messages_as_with_the_model_itself() -> None:
    async def parts(model: Any) -> list[str]:
        async def node(state: Any) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = graph_of(node, MessagesState)
        shown = [part async for part, _ in graph.astream(QUESTION, stream_mode="messages")]
        return [part.content for part in shown if "langroute" not in part.response_metadata]

    router = ChatRouter({"only": ScriptedModel("one two three")}, policy=Fixed("only"))
    assert await parts(router) == await parts(ScriptedModel("one two three"))


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_rejected_answer_is_never_shown(how: str) -> None:
    """The tokens of a provisional attempt are held back; the accepted answer appears once, whole or in parts."""
    router = ChatRouter(
        {"cheap": ScriptedModel("I am not sure"), "frontier": ScriptedModel("It is 42")},
        policy=Cascade(),
        verifier=lambda message: "42" in message.content,
    )

    def node(state: Any) -> Any:
        if how == "invoke":
            return {"messages": [router.invoke(state["messages"])]}
        return {"messages": [sum_of(router.stream(state["messages"]))]}

    graph = graph_of(node, MessagesState)

    assert "".join(text for text, _ in messages_mode(graph)) == "It is 42"
    assert [message.content for message in graph.invoke(QUESTION)["messages"]][1:] == ["It is 42"]
    first, second = router.ledger.latest().attempts
    assert (first.route, first.score, second.route) == ("cheap", 0.0, "frontier")


async def test_events_of_an_attempt_that_may_be_rejected_say_so() -> None:
    router = ChatRouter(two(), policy=Cascade(), verifier=lambda message: "It is" in message.content)
    graph = graph_of(RouterNode(router), MessagesState)

    parts: dict[bool, str] = {True: "", False: ""}
    async for event in graph.astream_events(QUESTION, version="v2"):
        if event["event"] == "on_chat_model_stream":
            parts["nostream" in event["tags"]] += event["data"]["chunk"].content

    assert parts == {True: "42", False: "It is 42."}


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_an_accepted_tentative_answer_is_shown_once(how: str) -> None:
    router = ChatRouter(two(), policy=Cascade(), verifier=lambda message: True)

    def node(state: Any) -> Any:
        if how == "invoke":
            return {"messages": [router.invoke(state["messages"])]}
        return {"messages": [sum_of(router.stream(state["messages"]))]}

    assert "".join(text for text, _ in messages_mode(graph_of(node, MessagesState))) == "42"


def test_both_attempts_are_counted_once() -> None:
    from langchain_core.callbacks import UsageMetadataCallbackHandler

    router = ChatRouter(
        {"cheap": ScriptedModel("Hm", model="tiny"), "frontier": ScriptedModel("It is 42", model="huge")},
        policy=Cascade(),
        verifier=lambda message: "42" in message.content,
    )
    usage, recorder = UsageMetadataCallbackHandler(), Recorder()

    router.invoke("6 * 7?", {"callbacks": [usage, recorder]})

    assert set(usage.usage_metadata) == {"tiny", "huge"}
    assert [event[0] for event in recorder.events if event[0] in ("start", "end")] == ["start", "end", "start", "end"]
    assert [metadata["langroute_attempt"] for metadata in recorder.metadata] == [0, 1]


def test_a_rejected_attempt_leaves_no_message_and_ids_do_not_collide() -> None:
    """`add_messages` replaces a message by one with the same id: every answer needs its own."""
    router = ChatRouter(two(), policy=Cascade(), verifier=lambda message: "It" in message.content)
    graph = StateGraph(MessagesState)
    for name in ("one", "two"):
        graph.add_node(name, lambda state: {"messages": [router.invoke(state["messages"])]})
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")

    state = graph.compile().invoke(QUESTION)

    assert [message.content for message in state["messages"]][1:] == ["It is 42."] * 2
    assert len({message.id for message in state["messages"]}) == 3


async def test_decisions_are_events_of_the_graph() -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"))
    node = RouterNode(router)

    events = [event async for event in graph_of(node, MessagesState).astream_events(QUESTION, version="v2")]

    (decision,) = [event for event in events if event["event"] == "on_custom_event"]
    assert decision["name"] == "langroute_decision"
    assert decision["data"]["route"] == "cheap"
    assert decision["data"]["decision_id"] == router.ledger.latest().id
    assert len([event for event in events if event["event"] == "on_chat_model_start"]) == 1


@pytest.mark.parametrize("how", ["invoke", "stream", "structured", "structured stream", "generate"])
def test_every_way_of_calling_announces_its_decision_once(how: str) -> None:
    router = ChatRouter({"only": ScriptedModel(call_of("Number", value=1))})

    def node(state: Any, config: RunnableConfig) -> Any:
        messages = state["messages"]
        if how == "invoke":
            router.invoke(messages)
        elif how == "stream":
            list(router.stream(messages))
        elif how == "structured":
            router.with_structured_output(Number).invoke(messages)
        elif how == "structured stream":
            list(router.with_structured_output(Number).stream(messages))
        else:
            router.generate([messages], callbacks=config["callbacks"])
        return {}

    heard: list[Any] = []

    class Listener(Recorder):
        def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
            heard.append((name, data["decision_id"]))

    graph_of(node, MessagesState).invoke(QUESTION, {"callbacks": [Listener()]})
    assert heard == [("langroute_decision", router.ledger.latest().id)]


# Branches, interrupts, checkpoints -------------------------------------------------------------------------------------


def test_parallel_branches_share_nothing() -> None:
    class Many(TypedDict):
        numbers: list[int]
        answers: Annotated[list[Any], operator.add]

    echo, no = ScriptedModel(lambda messages: messages[-1].content), ScriptedModel("no")
    router = ChatRouter({"cheap": echo, "frontier": no}, policy=Fixed("cheap"))

    def branch(state: Any) -> Any:
        message = router.invoke(f"Number {state['number']}?", {"metadata": {"number": state["number"]}})
        return {"answers": [(state["number"], message)]}

    graph = StateGraph(Many)
    graph.add_node("branch", branch)
    graph.add_conditional_edges(START, lambda state: [Send("branch", {"number": n}) for n in state["numbers"]], ["branch"])

    answers = graph.compile().invoke({"numbers": list(range(20)), "answers": []})["answers"]

    assert len(answers) == 20
    for number, message in answers:
        assert message.content == f"Number {number}?"
        decision = router.ledger.get(message.response_metadata["langroute"]["decision_id"])
        assert decision.metadata["number"] == number
        assert decision.step.namespace.startswith("branch:")
    assert len({decision.step.namespace for decision in router.ledger.decisions}) == 20


def test_an_interrupt_and_its_resumption_are_two_decisions() -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"))

    def node(state: Any) -> Any:
        answer = router.invoke(state["messages"])
        kept = interrupt(answer.content)
        return {"messages": [AIMessage(kept)]}

    graph = graph_of(node, MessagesState, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}

    paused = graph.invoke(QUESTION, config)
    assert paused["__interrupt__"][0].value == "42"
    state = graph.invoke(Command(resume="approved"), config)

    assert state["messages"][-1].content == "approved"
    assert [decision.step.thread for decision in router.ledger.decisions] == ["t1", "t1"]


def test_a_policy_may_ask_a_person() -> None:
    class CacheRequest:
        def select(self, request: Any, attempts: Any) -> Selection | None:
            return None if attempts else Selection(interrupt("Which model?"), "a person chose")

    router = ChatRouter(two(), policy=CacheRequest())
    graph = graph_of(RouterNode(router), MessagesState, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}

    assert graph.invoke(QUESTION, config)["__interrupt__"][0].value == "Which model?"
    assert graph.invoke(Command(resume="frontier"), config)["messages"][-1].content == "It is 42."
    assert [decision.reason for decision in router.ledger.decisions] == ["a person chose"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_verifier_may_ask_a_person(asynchronous: bool) -> None:
    if asynchronous and sys.version_info < (3, 11):
        pytest.skip("LangGraph's interrupt needs Python 3.11 in awaited nodes")

    class Person:
        def verify(self, request: Any, attempt: Any) -> Verdict:
            return Verdict("person", 1.0 if interrupt(attempt.answer.content) == "good" else 0.0)

    router = ChatRouter(two(), policy=Cascade(), verifier=Person())
    graph = graph_of(RouterNode(router), MessagesState, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t1"}}

    async def go(value: Any) -> Any:
        return await graph.ainvoke(value, config) if asynchronous else graph.invoke(value, config)

    assert (await go(QUESTION))["__interrupt__"][0].value == "42"
    assert router.ledger.latest().attempts[0].route == "cheap", "what was spent before the interrupt is recorded"
    assert (await go(Command(resume="bad")))["messages"][-1].content == "It is 42."


def test_a_checkpointed_history_carries_its_decisions() -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"))
    graph = graph_of(RouterNode(router), MessagesState, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t1"}}

    graph.invoke(QUESTION, config)
    state = graph.invoke({"messages": [("user", "Thanks.")]}, config)

    marks = [m.response_metadata["langroute"]["decision_id"] for m in state["messages"] if isinstance(m, AIMessage)]
    assert marks == [decision.id for decision in router.ledger.decisions]
    assert len(graph.get_state(config).values["messages"]) == 4


def test_a_subgraph_is_known_by_its_namespace() -> None:
    router = ChatRouter(two(), policy=Fixed("cheap"))
    inner = graph_of(RouterNode(router), MessagesState)
    outer = StateGraph(MessagesState)
    outer.add_node("helper", inner)
    outer.add_edge(START, "helper")

    outer.compile().invoke(QUESTION)

    step = router.ledger.latest().step
    assert step.node == "think"
    assert step.namespace.startswith("helper:")
    assert step.depth >= 1


def test_a_graph_streams_content_blocks_version_3() -> None:
    def parts(model: Any) -> list[str]:
        graph = graph_of(lambda state: {"messages": [model.invoke(state["messages"])]}, MessagesState)
        stream = graph.stream_events(QUESTION, version="v3")
        return [str(message.text) for message in stream.messages]

    router = ChatRouter({"only": ScriptedModel("one two three")}, policy=Fixed("only"))
    assert parts(router) == parts(ScriptedModel("one two three")) == ["one two three"]
