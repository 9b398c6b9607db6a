"""The inspector determines the kind of a step."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from langroute.core.errors import ConfigurationError
from langroute.core.task_context import Task
from langroute.steps.history_reader import Messages
from langroute.steps.inspector import Inspector, StepFacts, salvaged, tool_tokens

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


MAIL: list[BaseMessage] = [HumanMessage("Dear sir, you have won a prize. Yours, a prince.")]
CHOICE: dict[str, Any] = {"enum": ["a", "b"]}


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"one": CHOICE}, "classify"),
        ({"one": {"type": "boolean"}}, "classify"),
        ({"one": {"const": "a"}}, "classify"),
        ({"one": {"$ref": "#/$defs/Label"}}, "classify"),
        ({"one": CHOICE, "why": {"type": "string"}}, "classify"),
        ({"one": CHOICE, "why": {"type": "string"}, "how": {"type": "string"}}, "extract"),
        ({"one": CHOICE, "other": CHOICE, "third": CHOICE}, "extract"),
        ({"one": {"type": "string"}}, "extract"),
        ({"one": {"type": "string"}, "other": {"type": "number"}}, "extract"),
        ({"one": True}, "extract"),
        ({}, "extract"),
        (None, "extract"),
        (["one"], "extract"),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        lambda schema: schema,
        lambda schema: {"name": "Answer", "schema": schema},
        lambda schema: {"type": "function", "function": {"name": "Answer", "parameters": schema}},
        lambda schema: {"name": "Answer", "parameters": schema},
    ],
)
def test_a_choice_has_one_or_two_fields_and_a_few_values(properties: Any, told: str, form: Any) -> None:
    """In every form in which a schema may be given."""
    schema = {"type": "object", **({} if properties is None else {"properties": properties})}

    assert kind(MAIL, response_schema=form(schema)) == told


@pytest.mark.parametrize("schema", [dict, StepFacts, "Label", ["spam", "ham"]])
def test_a_schema_that_says_no_fields_is_an_extraction(schema: Any) -> None:
    assert kind(MAIL, response_schema=schema) == "extract"


@pytest.mark.parametrize(
    "text, told", [("Summarize the mail.", "summarize"), ("Review this contract.", "review"), ("Classify it.", "classify")]
)
def test_words_that_name_a_job_stand_above_the_schema(text: str, told: str) -> None:
    """A plan in a schema is a plan; where the words say nothing of the kind, the schema does."""
    assert kind([HumanMessage(text)], response_schema=Invoice) == told
    assert kind([HumanMessage("Write a function that reverses a list.")], response_schema=Invoice) == "extract"


@pytest.mark.parametrize("prompt, told", [
    ("You classify mails by their topic.", "classify"),
    ("Extract the names from the text.", "extract"),
    ("Summarize what you are given.", "summarize"),
    ("You plan journeys.", "chat"),
    ("You help.", "chat"),
])  # fmt: skip
def test_only_a_narrow_job_is_told_by_the_system_prompt(prompt: str, told: str) -> None:
    assert kind([SystemMessage(prompt), HumanMessage("hi!")]) == told
    assert kind([SystemMessage(prompt), HumanMessage("hi!")], tools=TOOLS) == "act"


def test_a_long_text_is_not_told_by_the_system_prompt() -> None:
    """From 4,000 tokens on the user's own message is what it is about; three of them are the message's own."""
    prompt = SystemMessage("You classify mails by their topic.")

    assert kind([prompt, HumanMessage("x " * (2 * 3_996))]) == "classify"
    assert kind([prompt, HumanMessage("x " * (2 * 3_997))]) == "answer"


def test_what_users_kinds_are_told_by_is_all_there_is_to_see() -> None:
    seen: list[StepFacts] = []

    def look(it: StepFacts) -> bool:
        seen.append(it)
        return False

    metadata = {"langgraph_node": "billing", "a": 1}
    inspector = Inspector(kinds={"first": look, "second": lambda _: True, "third": lambda _: True})
    step = inspector.inspect(ASKED, tools=TOOLS, tools_tokens=7, metadata=metadata, tags=["x"])

    assert step.kind == "second"
    assert seen == [StepFacts(ASKED, step.signals, TOOLS, "billing", metadata, ["x"])]
    assert inspector.inspect(ASKED, metadata={"langroute_step_kind": "title"}).kind == "title"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"thread_id": 7, "langroute_task": 8, "langroute_task_kind": 9}, ("7", "8", "9", 0, None)),
        ({"langgraph_checkpoint_ns": "a:1"}, (None, None, None, 0, "a:1")),
        ({"checkpoint_ns": "a:1|b:2|c:3"}, (None, None, None, 2, "a:1|b:2|c:3")),
        ({"langgraph_checkpoint_ns": "a|b", "checkpoint_ns": "a"}, (None, None, None, 1, "a|b")),
        ({"langgraph_checkpoint_ns": "", "thread_id": ""}, (None, None, None, 0, None)),
    ],
)
def test_names_are_text_and_depth_is_what_lies_around(metadata: dict[str, Any], expected: tuple[Any, ...]) -> None:
    step = Inspector().inspect(ASKED, metadata=metadata)
    thread = None if step.thread == Inspector().inspect(ASKED).thread else step.thread

    assert (thread, step.task, step.task_kind, step.depth, step.namespace) == expected


def test_the_task_around_the_call_stands_above_the_metadata() -> None:
    metadata = {"langroute_task": "m", "langroute_task_kind": "mk"}
    whole = Inspector().inspect(ASKED, metadata=metadata, task=Task("t", "tk"))
    nameless = Inspector().inspect(ASKED, metadata=metadata, task=Task("t", None))

    assert (whole.task, whole.task_kind) == ("t", "tk")
    assert (nameless.task, nameless.task_kind) == ("t", "mk")


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


def test_a_request_in_blocks_is_told_by_the_words_in_them() -> None:
    """Whatever is shown beside them."""
    blocks: list[Any] = [{"type": "text", "text": "Summarize the report."}, {"type": "image", "url": "u"}]

    assert kind([HumanMessage(blocks)]) == kind([HumanMessage(["Summarize the report."])]) == "summarize"
    assert kind([HumanMessage([{"type": "image", "url": "u"}])]) == kind([HumanMessage("")])


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


def test_a_conversation_that_nobody_opened_with_a_question_has_the_name_of_its_first_message() -> None:
    """A greeting of the assistant's, until a user says something: then it is the question's."""
    inspector = Inspector()
    greeting, other = AIMessage("Hello, how can I help?"), AIMessage("Hello, who is it?")
    first = inspector.inspect([SystemMessage("Be kind."), greeting])
    same = inspector.inspect([SystemMessage("Be kind."), AIMessage("Hello, how can I help?"), AIMessage("Anybody?")])
    asked = [inspector.inspect([one, HumanMessage("Where is my parcel?")]).thread for one in (greeting, other)]

    assert first.thread == same.thread != inspector.inspect([SystemMessage("Be kind."), other]).thread
    assert asked[0] == asked[1] != inspector.inspect([greeting]).thread


@pytest.mark.parametrize("key", ["langgraph_checkpoint_ns", "checkpoint_ns"])
def test_what_is_known_of_a_step_that_cannot_be_inspected_is_where_it_stands(key: str) -> None:
    """As an inspection would say: node, sub-graph and thread."""
    metadata = {"thread_id": "t1", "langgraph_node": "answer", key: "research:1|answer:2"}
    salvage, whole = salvaged(ASKED, metadata=metadata), Inspector().inspect(ASKED, metadata=metadata)

    assert (salvage.thread, salvage.node, salvage.depth) == (whole.thread, whole.node, whole.depth) == ("t1", "answer", 1)
    assert salvage.agent == whole.agent
    assert salvaged(ASKED, metadata={"thread_id": "t1"}).depth == 0


def test_a_step_is_read_where_its_history_grew() -> None:
    """What was said before is not read again; a history that begins otherwise is."""
    inspector, before = Inspector(), Messages(CALLED[:-1])
    inspector.inspect(before)
    grown, other = Messages(CALLED), Messages([HumanMessage("Which trains leave?"), *CALLED[1:]])
    steps = [inspector.inspect(messages) for messages in (grown, other)]

    assert grown.history is before.history is not other.history
    assert steps == [Inspector().inspect(messages) for messages in (CALLED, list(other))]


def test_a_node_that_is_no_text_is_named_by_its_text() -> None:
    """Whatever a program puts into the metadata, a record says it as text."""
    step = Inspector().inspect(ASKED, metadata={"langgraph_node": 7})

    assert (step.node, step.kind) == ("7", kind(ASKED))


def test_what_cannot_be_read_counts_by_its_length() -> None:
    """Or a step that is far too long would be sent to a route with a small window."""
    broken = HumanMessage("Hi.")
    object.__setattr__(broken, "content", {"text": "x" * 40_000})

    step = salvaged([HumanMessage("Which flights leave?"), broken])

    assert 10_000 <= step.signals.tokens < 10_500
    assert step.thread == Inspector().inspect([HumanMessage("Which flights leave?")]).thread


def test_signals_read_as_if_they_were_the_steps_own() -> None:
    """`step.tokens` and `step.signals.tokens` are one."""
    step = Inspector().inspect(CALLED, tools=TOOLS, tools_tokens=tool_tokens(TOOLS))

    assert step.tokens == step.signals.tokens > tool_tokens(TOOLS)
