"""Histories put together from any providers' turns, in any order: what holds for all of them."""

from __future__ import annotations

import copy
import gzip
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from histories import APIS, FEATURES, MODELS, OTHER_MODELS, said
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, convert_to_messages
from packages import adapted_payload, payload, target
from rules import violations

from langroute.adapt import Target, adapt
from langroute.steps.history_reader import HistoryReader, Messages

TITLES = sorted(FEATURES)
pieces = st.lists(st.tuples(st.sampled_from(APIS), st.sampled_from(TITLES)), min_size=1, max_size=6)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def joined(parts: list[tuple[str, str]]) -> list[Any]:
    """One history from several, ids and all as they come."""
    return [message for api, title in parts for message in FEATURES[title](api)]


@pytest.mark.parametrize("to", APIS)
@given(parts=pieces)
@example(
    parts=[("openai-chat", "tool ids that count from 0 in every answer"), ("gemini", "tool ids that count from 0 in every answer")]
)
@example(parts=[("anthropic", "the beginning of the answer"), ("mistral", "a beginning that was cut off")])
@SETTINGS
def test_any_mixture_is_readable(to: str, parts: list[tuple[str, str]]) -> None:
    """Threads that went through several providers, with everything in them."""
    history = joined(parts)
    before = copy.deepcopy(history)

    adapted, sent = adapted_payload(to, history)

    assert violations(to, sent, MODELS[to]) == []
    assert history == before
    assert adapt(history, target(to)).messages == adapted.messages, "twice is not the same as once"


@pytest.mark.parametrize(("model", "thinking"), [("claude-haiku-4-5", True), ("claude-opus-5", False)])
@given(parts=pieces)
@SETTINGS
def test_any_mixture_is_readable_by_every_kind_of_claude(model: str, thinking: bool, parts: list[tuple[str, str]]) -> None:
    """One that thinks in the older way, and one that takes system messages in the middle."""
    if not thinking and not target("anthropic", model).systems_anywhere:
        pytest.skip("this package knows of no such model")
    _, sent = adapted_payload("anthropic", joined(parts), model, thinking)

    assert violations("anthropic", sent, model, thinking="thinking" in sent, systems=not thinking) == []


@pytest.mark.parametrize("to", APIS)
@given(parts=pieces)
@SETTINGS
def test_a_growing_history_is_adapted_as_if_it_were_new(to: str, parts: list[tuple[str, str]]) -> None:
    """The memory of what was read changes nothing but the time it takes."""
    history = joined(parts)
    grown = target(to)
    for length in range(1, len(history) + 1):
        step = adapt(history[:length], grown)

    new = adapt(history, Target(**{name: getattr(grown, name) for name in Target.__match_args__ if name != "memo"}))

    assert step.messages == new.messages
    assert step.disable_thinking == new.disable_thinking


@pytest.mark.parametrize("to", [*APIS, None])
@given(
    parts=pieces,
    edits=st.lists(st.tuples(st.sampled_from(["grow", "shrink", "swap", "copy", "branch"]), st.integers(0, 30)), max_size=8),
)
@SETTINGS
def test_what_was_read_as_one_conversation_is_adapted_as_if_it_were_new(
    to: str | None, parts: list[tuple[str, str]], edits: list[tuple[str, int]]
) -> None:
    """A router tells once which conversation a request continues, and the memory of what was adapted believes it."""
    remembering, reader = Target(None, "somebody") if to is None else target(to), HistoryReader()
    whole = joined(parts)
    history, other = whole[: len(whole) // 2 + 1], joined(list(reversed(parts)))

    def check(messages: list[Any]) -> None:
        asked = Messages(messages)
        reader.keep(reader.read(asked), asked)
        forgetful = Target(**{name: getattr(remembering, name) for name in Target.__match_args__ if name != "memo"})
        old, new = adapt(asked, remembering), adapt(list(messages), forgetful)
        assert list(old.messages) == list(new.messages)
        assert old.disable_thinking == new.disable_thinking

    check(history)
    for edit, number in edits:
        place = number % len(history)
        if edit == "grow":
            history = [*history, *whole[len(history) : len(history) + 1 + number % 4]]
        elif edit == "shrink" and place:
            history = history[:place]
        elif edit == "swap":
            history = [*history[:place], HumanMessage(f"Something else: {number}."), *history[place + 1 :]]
        elif edit == "copy":
            history = [*history[:place], history[place].model_copy(deep=True), *history[place + 1 :]]
        elif edit == "branch":
            check([*history[: place + 1], *other[:2]])
        check(history)


@pytest.mark.parametrize("home", APIS)
@given(parts=st.lists(st.sampled_from(TITLES), min_size=1, max_size=3, unique=True), away=st.sampled_from(APIS))
@SETTINGS
def test_back_home_a_models_own_answers_are_the_very_same(home: str, parts: list[str], away: str) -> None:
    """What another provider said in between changes nothing of what the first one wrote."""
    strange = {
        "tool ids that count from 0 in every answer",
        "tool ids with odd signs, or too long",
        "a call that could not be read",
    }
    # Always among them: an answer that is nothing but the provider's own words.
    plain = said(home, "Hello to you.")
    own = [*(message for title in parts if title not in strange for message in FEATURES[title](home)), HumanMessage("Well?"), plain]
    history = [HumanMessage("Hello."), *own, *FEATURES["parallel tool calls"](away), HumanMessage("Back again.")]

    sent = adapt(history, target(home)).messages

    seen = {id(message) for message in sent}
    native = [
        message
        for message in own
        if isinstance(message, AIMessage)
        and message.response_metadata.get("model_name") == MODELS[home]
        and _is_native(message, home)
    ]
    assert native[-1] is plain
    for message in native:
        assert id(message) in seen, message


def _is_native(message: AIMessage, api: str) -> bool:
    """The provider takes this answer of its own back as it is: it says something, and in the provider's own way."""
    says = bool(str(message.text).strip() or message.tool_calls)
    if api in ("openai-chat", "openai-compatible"):
        return says and isinstance(message.content, str) and message.name is None
    return says


def test_thinking_is_whole_again_when_the_thread_comes_home() -> None:
    """Claude's signed thinking, GPT's steps in between, and Claude again in a new turn."""
    first = FEATURES["thinking in an open tool loop"]("anthropic")
    between = FEATURES["parallel tool calls"]("openai-responses")
    history = [*first, *between, HumanMessage("Back again.")]

    _, sent = adapted_payload("anthropic", history)

    blocks = [block for message in sent["messages"] for block in message["content"] if isinstance(block, dict)]
    assert [block["signature"] for block in blocks if block["type"] == "thinking"] == [first[1].content[0]["signature"]]
    assert violations("anthropic", sent, MODELS["anthropic"]) == []


@pytest.mark.parametrize("to", APIS)
def test_a_native_history_is_the_same_object(to: str) -> None:
    """Nothing is copied where nothing changes, list included."""
    history = [SystemMessage("Be kind."), *FEATURES["tool call and result"](to), *FEATURES["text"](to)[2:]]

    assert adapt(history, target(to)).messages is history


def test_a_message_rewritten_in_place_is_read_again() -> None:
    """The memory holds what was changed only as long as it was changed from the same content."""
    history: list[Any] = [*FEATURES["a file that one provider keeps"]("anthropic"), AIMessage("Ok."), HumanMessage("And?")]
    adapt(history, target("openai-chat"))

    history[0].content = [{"type": "text", "text": "Never mind.", "cache_control": {"type": "ephemeral"}}]

    assert adapt(history, target("openai-chat")).messages[0].content == [{"type": "text", "text": "Never mind."}]


def test_an_id_that_lives_again_in_another_message_is_not_taken_for_the_first() -> None:
    """Python gives addresses again; a part whose messages are gone is worth nothing."""
    reader = Target("openai-chat", "openai")
    for turn in range(50):
        history: list[Any] = []
        for place in range(6):
            text = [{"type": "text", "text": f"{turn} {place}", "cache_control": {}}]
            history += [HumanMessage(text), AIMessage(f"{turn} {place}")]
        adapted = adapt([*history, HumanMessage("?")], reader).messages
        assert [message.text for message in adapted[:-1]] == [f"{turn} {place}" for place in range(6) for _ in range(2)]
        del history, adapted


def test_a_target_can_be_pickled_and_forgets_what_it_read() -> None:
    """Routers are sent to other processes."""
    reader = target("anthropic")
    adapt(FEATURES["parallel tool calls"]("gemini"), reader)

    again = pickle.loads(pickle.dumps(reader))

    assert again == reader
    assert adapt(FEATURES["text"]("gemini"), again).messages


def test_a_route_of_unknown_form_gets_text_and_calls_of_others_and_keeps_the_rest() -> None:
    """Bedrock, scripted models, a user's own: the portable form is all that can be hoped for."""
    stranger = Target(None, "somebody")
    foreign = FEATURES["thinking in an open tool loop"]("anthropic")
    own = [
        HumanMessage("Hello."),
        AIMessage([{"type": "odd"}], response_metadata={"model_provider": "somebody"}),
        HumanMessage("?"),
    ]

    adapted = adapt(foreign, stranger).messages

    assert adapted[1].content == ""
    assert adapted[1].tool_calls == foreign[1].tool_calls
    assert adapted[2] is foreign[2]
    assert adapt(own, stranger).messages is own


SHARED = Path(os.environ.get("LANGROUTE_SHARED") or Path(__file__).parents[3] / "shared")


@pytest.mark.parametrize("to", APIS)
def test_recorded_agent_threads_are_readable_at_every_step(to: str) -> None:
    """140 threads of a GPT-4o agent, sent on to every other provider."""
    path = SHARED / "traces" / "tau_airline_gpt4o.jsonl.gz"
    if not path.exists():
        pytest.skip("the recorded threads are not here")
    with gzip.open(path, "rt") as lines:
        threads = [json.loads(line)["traj"] for line in lines]
    for thread in threads[:: 10 if to == "gemini" else 4]:
        history = convert_to_messages(thread)
        for message in history:
            if isinstance(message, AIMessage):
                message.response_metadata = {"model_provider": "openai", "model_name": "gpt-4o-2024-05-13"}
        places = [place for place, message in enumerate(history) if place and isinstance(message, AIMessage)]
        for place in places[-3:]:
            adapted, sent = adapted_payload(to, history[:place])
            assert violations(to, sent, MODELS[to]) == []
            # Two results come back unasked in these threads; else nothing has to change but Mistral's ids.
            assert to == "mistral" or len(adapted.messages) == place


def test_two_models_of_one_provider_read_each_other() -> None:
    """Signed thinking of one is not sent to the other, and the payload is still right."""
    history = [*FEATURES["thinking in an open tool loop"]("gemini"), *FEATURES["thinking"]("gemini")]

    _, sent = adapted_payload("gemini", history, OTHER_MODELS["gemini"])

    assert violations("gemini", sent, OTHER_MODELS["gemini"]) == []


def test_results_of_openais_own_tools_stay_beside_their_calls() -> None:
    """A computer call stands among the blocks, not among the tool calls."""
    item = {"type": "computer_call", "id": "cu_1", "call_id": "call_c", "action": {"type": "screenshot"}, "status": "completed"}
    answer = AIMessage([item], response_metadata={"model_provider": "openai", "model_name": MODELS["openai-responses"]})
    shot = ToolMessage(
        [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}],
        tool_call_id="call_c",
        additional_kwargs={"type": "computer_call_output"},
    )
    history = [HumanMessage("Look."), answer, shot]

    adapted = adapt(history, target("openai-responses")).messages

    assert adapted is history
    kinds = [item.get("type") for item in payload("openai-responses", adapted)["input"]]
    assert kinds == ["message", "computer_call", "computer_call_output"]
