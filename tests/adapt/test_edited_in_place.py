"""Messages edited in place: what a program removed from them is not sent."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute import ChatRouter
from langroute.adapt import Target, adapt
from langroute.policies import Fixed
from langroute.steps.history_reader import HistoryReader, Messages
from langroute.testing import ScriptedModel

CLAUDE = {"model_provider": "anthropic", "model_name": "claude-opus-4-6"}
TARGETS = (
    ("anthropic", "anthropic", "claude-haiku-4-5"),
    ("openai-chat", "openai", "gpt-5-mini"),
    ("openai-responses", "openai", "gpt-5-mini"),
    ("gemini", "google_genai", "gemini-2.5-flash"),
    ("mistral", "mistralai", "mistral-large"),
    ("openai-compatible", "own", "own"),
    (None, None, None),
)


def thread() -> list[Any]:
    """A thread of Claude's, whose blocks every other model reads in another form."""
    call = {"name": "look_up", "args": {"who": {"name": "Ann"}}, "id": "toolu_1", "type": "tool_call"}
    block = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"who": {"name": "Ann"}}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    return [
        SystemMessage("You help."),
        HumanMessage("Who is 078-05-1120?"),
        AIMessage(
            [thought, {"type": "text", "text": "I look up 078-05-1120."}, block], tool_calls=[call], response_metadata=CLAUDE
        ),
        ToolMessage([{"type": "text", "text": "078-05-1120 is Ann."}], tool_call_id="toolu_1"),
        AIMessage([{"type": "text", "text": "It is Ann."}], response_metadata=CLAUDE),
        HumanMessage("Thanks."),
        AIMessage([{"type": "text", "text": "Gladly."}], response_metadata=CLAUDE),
        HumanMessage("And Bob?"),
    ]


EDITS = {
    "a block's text": lambda m: m[2].content[1].update(text="I look up [number]."),
    "a block less": lambda m: m[2].content.pop(1),
    "a call's argument": lambda m: m[2].tool_calls[0]["args"]["who"].update(name="[name]"),
    "other tool calls": lambda m: setattr(m[2], "tool_calls", [{**m[2].tool_calls[0], "args": {"who": "[name]"}}]),
    "a result's text": lambda m: m[3].content[0].update(text="[number] is [name]."),
    "another result": lambda m: setattr(m[3], "content", "[cleared]"),
    "a user's words as blocks": lambda m: setattr(m[1], "content", [{"type": "text", "text": "Who?", "cache_control": {}}]),
    "thoughts in a plain answer": lambda m: setattr(m[4], "content", [{"type": "thinking", "thinking": "Hm.", "signature": "x"}]),
}


def shown(messages: Any) -> list[Any]:
    """All that a model is sent of a history."""
    return [(type(m), m.content, getattr(m, "tool_calls", None), getattr(m, "tool_call_id", None)) for m in messages]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: str(target[0]))
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_what_was_edited_in_place_is_read_again(edit: Any, target: Any) -> None:
    """Whatever was edited, the history is the one that it would be had it never been read before."""
    reader, remembering, messages = HistoryReader(), Target(*target), thread()
    for step in (lambda _: None, edit):
        step(messages)
        asked = Messages(messages)
        reader.keep(reader.read(asked), asked)
        sent = adapt(asked, remembering).messages
    assert shown(sent) == shown(adapt(messages, Target(*target)).messages)


def test_a_router_does_not_send_what_was_redacted_in_place() -> None:
    """As a program for personal data does it: in the blocks, between two calls."""
    mini = ScriptedModel("Bob is new.", provider="openai", model="gpt-5-mini")
    model, messages = ChatRouter({"mini": mini}, policy=Fixed("mini")), thread()
    model.invoke(messages)
    for message in messages:
        blocks = message.content if isinstance(message.content, list) else []
        for block in blocks:
            if "text" in block:
                block["text"] = block["text"].replace("078-05-1120", "[number]")
    messages[1].content = "Who is [number]?"
    model.invoke(messages)
    assert "078-05-1120" not in str(mini.calls[-1])
    assert "078-05-1120" in str(mini.calls[0])


def test_a_turn_whose_answer_was_taken_back_goes_on() -> None:
    """A person takes the answer back and asks something else: the results before it have no answer any more."""
    calls = [{"name": "look", "args": {}, "id": "c1"}, {"name": "look", "args": {}, "id": "c2"}]
    loop = [AIMessage("", tool_calls=calls), ToolMessage("1", tool_call_id="c1"), ToolMessage("2", tool_call_id="c2")]
    begun = [HumanMessage("Look."), *loop]
    remembering = Target("mistral", "mistralai", "mistral-large")
    adapt([*begun, AIMessage("I see."), HumanMessage("Thanks.")], remembering)
    now = [*begun, HumanMessage("Look again.")]
    sent = adapt(now, remembering).messages
    assert shown(sent) == shown(adapt(now, Target("mistral", "mistralai", "mistral-large")).messages)
    assert [message.type for message in sent][-3:] == ["tool", "ai", "human"]
