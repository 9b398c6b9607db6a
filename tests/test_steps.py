"""What kind of step is this?"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from langroute.context import Task
from langroute.errors import ConfigurationError
from langroute.steps import Inspector, tool_tokens

TOOLS = ({"type": "function", "function": {"name": "search", "parameters": {}}},)
ASKED: list[BaseMessage] = [HumanMessage("Which flights leave on Friday?")]
CALLED: list[BaseMessage] = [
    *ASKED,
    AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "1", "type": "tool_call"}]),
    ToolMessage("LH 400", tool_call_id="1"),
]


class Label(BaseModel):
    """A choice among a few."""

    label: Literal["spam", "ham"]


class Invoice(BaseModel):
    """Several values of several kinds."""

    number: str
    total: float
    due: str


def kind(messages: list[BaseMessage], **more: Any) -> str:
    """The kind a fresh inspector tells."""
    return Inspector().inspect(messages, **more).kind


def test_an_agent_acts_first_and_observes_after_a_tool() -> None:
    """Where the tool loop stands, not what the messages say."""
    assert kind(ASKED, tools=TOOLS) == "act"
    assert kind(CALLED, tools=TOOLS) == "observe"


def test_a_tool_loop_that_ends_without_tools_is_the_answer() -> None:
    """The one thing the person reads is no side step."""
    assert kind(CALLED) == "answer"


@pytest.mark.parametrize(
    "node, told",
    [
        ("planner", "plan"),
        ("critique_answer", "review"),
        ("SummarizeHistory", "summarize"),
        ("writeCode", "edit"),
        ("classify_intent", "classify"),
        ("final_answer", "answer"),
        ("extract_slots", "extract"),
    ],
)
def test_the_node_tells_the_kind(node: str, told: str) -> None:
    """LangGraph says where a call is made; nobody has to change code."""
    assert kind(ASKED, tools=TOOLS, metadata={"langgraph_node": node}) == told


@pytest.mark.parametrize("node", ["agent", "model", "call_model", "airplane", "preview", "encoder_stats", "untitled"])
def test_words_inside_words_tell_nothing(node: str) -> None:
    """`airplane` does not plan."""
    assert kind(ASKED, tools=TOOLS, metadata={"langgraph_node": node}) == "act"


def test_the_callers_word_stands_above_everything() -> None:
    """Metadata wins over the node."""
    metadata = {"langgraph_node": "planner", "langroute_step_kind": "title"}

    assert kind(ASKED, metadata=metadata) == "title"


def test_structured_output_is_told_by_its_schema() -> None:
    """A choice among a few values is a classification; many fields are an extraction."""
    mail: list[BaseMessage] = [HumanMessage("Dear sir, you have won a prize. Yours, a prince.")]

    assert kind(mail, response_schema=Label) == "classify"
    assert kind(mail, response_schema=Label.model_json_schema()) == "classify"
    assert kind(mail, response_schema=Invoice) == "extract"


@pytest.mark.parametrize(
    "text, told",
    [
        ("Prove that there are infinitely many primes.", "answer"),
        ("Prove P != NP", "answer"),
        ("请证明素数有无穷多个。", "answer"),
        ("Write a function that reverses a list.", "edit"),
        ("Summarize the following article: ...", "summarize"),
        ("Generate a short title for this conversation.", "title"),
        ("Make a plan for moving the database.", "plan"),
        ("Review this pull request.", "review"),
        ("hi!", "chat"),
        ("Thanks a lot!", "chat"),
        ("谢谢!", "chat"),
    ],
)
def test_a_plain_request_is_told_by_its_words(text: str, told: str) -> None:
    """Short is not easy, and another language is not small talk."""
    assert kind([HumanMessage(text)]) == told


def test_a_narrow_system_prompt_tells_the_job() -> None:
    """A model that writes titles does nothing else."""
    messages = [
        SystemMessage("You write a title for this conversation in five words."),
        HumanMessage("My router drops packets at night."),
    ]

    assert kind(messages) == "title"


def test_go_on_keeps_what_the_turn_is_about() -> None:
    """Continuing asks for more of the same."""
    messages = [HumanMessage("Summarize the report."), AIMessage("Part one ..."), HumanMessage("continue")]

    assert kind(messages) == "summarize"


def test_user_kinds_come_before_the_built_in_ones() -> None:
    """Users know their own steps best."""
    inspector = Inspector(kinds={"refund": lambda seen: "refund" in seen.messages[-1].content})

    assert inspector.inspect([HumanMessage("I want a refund.")], tools=TOOLS).kind == "refund"
    assert inspector.inspect(ASKED, tools=TOOLS).kind == "act"


def test_users_name_their_own_nodes() -> None:
    """A node whose name tells nothing."""
    assert Inspector(nodes={"n7": "plan"}).inspect(ASKED, metadata={"langgraph_node": "n7"}).kind == "plan"


def test_a_kind_needs_a_function() -> None:
    """Said when it is registered."""
    with pytest.raises(ConfigurationError, match="needs a function"):
        Inspector(kinds={"refund": "yes"})  # type: ignore[dict-item]


def test_the_surroundings_are_read() -> None:
    """Thread, node, agent, depth and task."""
    metadata = {
        "thread_id": "t1",
        "langgraph_node": "agent",
        "langgraph_checkpoint_ns": "outer:1|inner:2",
        "lc_agent_name": "researcher",
    }
    step = Inspector().inspect(CALLED, metadata=metadata, task=Task("ticket-1", "support"))

    assert (step.thread, step.node, step.agent, step.depth) == ("t1", "agent", "researcher", 1)
    assert (step.task, step.task_kind, step.index) == ("ticket-1", "support", 1)


def test_without_a_thread_the_beginning_names_the_conversation() -> None:
    """The same beginning is the same conversation, whatever was said since; another one is another."""
    inspector = Inspector()
    first = inspector.inspect([SystemMessage("Be kind."), HumanMessage("Hello?")])
    later = inspector.inspect([SystemMessage("Be kind."), HumanMessage("Hello?"), AIMessage("Yes."), HumanMessage("Who are you?")])
    other = inspector.inspect([SystemMessage("Be kind."), HumanMessage("Goodbye.")])

    assert first.thread == later.thread != other.thread
    assert "Hello" not in str(first.thread)


def test_signals_read_as_if_they_were_the_steps_own() -> None:
    """`step.tokens` and `step.signals.tokens` are one."""
    step = Inspector().inspect(CALLED, tools=TOOLS, tools_tokens=tool_tokens(TOOLS))

    assert step.tokens == step.signals.tokens > tool_tokens(TOOLS)
