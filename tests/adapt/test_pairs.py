"""Every feature of a history, from every provider to every other: the payload that the provider's package builds keeps its rules."""

from __future__ import annotations

import copy

import pytest
from histories import APIS, FEATURES, MARK, MODELS, OTHER_MODELS
from packages import adapted_payload, chat_model, everything, payload, target
from rules import violations


@pytest.mark.parametrize("to", APIS)
@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("title", FEATURES)
def test_what_one_provider_wrote_another_can_read(title: str, source: str, to: str) -> None:
    """The pair and the feature name the case."""
    history = FEATURES[title](source)
    before = copy.deepcopy(history)

    _, sent = adapted_payload(to, history)

    assert violations(to, sent, MODELS[to]) == []
    assert history == before, "the stored history was changed"


@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("title", FEATURES)
def test_another_model_of_the_same_provider_can_read_it(title: str, source: str) -> None:
    """Thinking belongs to the model that thought."""
    _, sent = adapted_payload(source, FEATURES[title](source), OTHER_MODELS[source])

    assert violations(source, sent, OTHER_MODELS[source], prefill=OTHER_MODELS[source] == "claude-haiku-4-5") == []


@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("title", FEATURES)
def test_claude_with_thinking_on_can_read_it(title: str, source: str) -> None:
    """An open tool loop that began without thinking goes on without it."""
    model = OTHER_MODELS["anthropic"]
    adapted, sent = adapted_payload("anthropic", FEATURES[title](source), model, thinking=True)

    assert violations("anthropic", sent, model, thinking="thinking" in sent) == []
    if adapted.disable_thinking:
        assert "thinking" not in sent


@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("title", FEATURES)
def test_a_claude_that_takes_system_messages_in_the_middle_can_read_it(title: str, source: str) -> None:
    """After a user's turn and before the model's, or last; elsewhere they are the user's."""
    model = "claude-opus-5"
    if not target("anthropic", model).systems_anywhere:
        pytest.skip("this package knows of no such model")

    _, sent = adapted_payload("anthropic", FEATURES[title](source), model)

    assert violations("anthropic", sent, model, systems=True) == []


@pytest.mark.parametrize("source", [api for api in APIS if api != "anthropic"])
def test_without_adapting_some_payloads_break_the_rules(source: str) -> None:
    """The checker can fail: it finds faults in what goes out without `adapt`."""
    chat_model("openai-chat")
    broken = 0
    for build in FEATURES.values():
        try:
            broken += bool(violations("openai-chat", payload("openai-chat", build("anthropic")), MODELS["openai-chat"]))
            broken += bool(violations("anthropic", payload("anthropic", build(source)), MODELS["anthropic"]))
        except (ValueError, TypeError, KeyError):
            broken += 1
    assert broken > 10


KEPT_EVERYWHERE = [
    "text", "tool call and result", "parallel tool calls", "a result that failed", "a call without result", "a result without call",
    "a person speaks before the result is there", "tool ids that count from 0 in every answer", "tool ids with odd signs, or too long",
    "a call that could not be read", "server tools in standard blocks", "code that a server ran", "citations", "a refusal", "an image",
    "an image in standard blocks, new and old", "an image in a tool's result", "an image that a model made", "a PDF file", "a recording",
    "a plain text document", "marks of a prompt cache", "several system messages", "a system message in the middle", "instructions alone",
    "empty contents", "the beginning of the answer", "a beginning that was cut off", "names", "text in strings between blocks",
    "unknown blocks",
]  # fmt: skip


@pytest.mark.parametrize("to", APIS)
@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("title", KEPT_EVERYWHERE)
def test_nothing_is_lost_that_the_next_model_could_use(title: str, source: str, to: str) -> None:
    """What was said, called, shown and found arrives, in one form or another."""
    history = FEATURES[title](source)
    if title == "citations" and not isinstance(history[1].content, list):
        pytest.skip("this provider has none")

    _, sent = adapted_payload(to, history)

    assert MARK in everything(sent)


@pytest.mark.parametrize("to", APIS)
@pytest.mark.parametrize("source", APIS)
@pytest.mark.parametrize("title", ["thinking", "redacted thinking", "thinking of another model of the provider"])
def test_thinking_reaches_only_the_model_that_thought(title: str, source: str, to: str) -> None:
    """Neither signed nor as text."""
    own = source == to and title != "thinking of another model of the provider"

    _, sent = adapted_payload(to, FEATURES[title](source))

    if not own:
        assert MARK not in everything(sent)
