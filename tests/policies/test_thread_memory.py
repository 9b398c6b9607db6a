"""State travels with the thread: another worker goes on alike, another caller's thread is not touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, messages_from_dict, messages_to_dict

from langroute import ChatRouter, Route, SystemStyle
from langroute.policies import Escalate, PinThread, Rule, Rules, Sticky
from langroute.policies.thread_memory import ThreadMemory
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 2}
TOOL = {"type": "function", "function": {"name": "run_tests", "parameters": {"type": "object", "properties": {}}}}
WITH_ID: Any = {"configurable": {"thread_id": "t1"}}
RESULTS = ["2 failed", "3 failed", "12 passed, 0 failed", "12 passed, 0 failed", "12 passed, 0 failed"]


def complex_first() -> Rules:
    def is_complex(request: Any) -> bool:
        return "complex" in next(message.text for message in reversed(request.messages) if message.type == "human")

    return Rules([Rule("frontier", when=is_complex)], default="cheap")


def worker(policy: Any, **kwargs: Any) -> ChatRouter:
    routes = {name: Route(ScriptedModel(name), price=PRICE) for name in ("cheap", "balanced", "frontier")}
    return ChatRouter(routes, policy=policy, **kwargs)


def route_of(answer: Any) -> str:
    return str(answer.response_metadata["langroute"]["route"])


def reloaded(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Messages as another process reads them from a checkpoint: plain JSON in between."""
    return messages_from_dict(json.loads(json.dumps(messages_to_dict(messages))))


def by_langchain(messages: list[BaseMessage]) -> list[BaseMessage]:
    found: list[BaseMessage] = loads(dumps(messages), allowed_objects="messages")
    return found


def agent_loop(workers: list[ChatRouter], config: Any, stored: Callable[[Any], Any] = reloaded) -> list[str]:
    """The routes of an agent's steps, which the workers take in turns."""
    history: list[BaseMessage] = [HumanMessage("Mend the parser and make its tests pass.")]
    found = []
    for number, result in enumerate(RESULTS):
        answer = workers[number % len(workers)].bind_tools([TOOL]).invoke(stored(history), config)
        found.append(route_of(answer))
        call = {"name": "run_tests", "args": {"n": number}, "id": f"c{number}", "type": "tool_call"}
        history += [
            AIMessage("", tool_calls=[call], response_metadata=answer.response_metadata),
            ToolMessage(result, tool_call_id=f"c{number}"),
        ]
    return found


def talk(workers: list[ChatRouter], texts: list[str], config: Any) -> list[str]:
    """The routes of a conversation's turns."""
    history: list[BaseMessage] = []
    found = []
    for number, text in enumerate(texts):
        history.append(HumanMessage(text))
        answer = workers[number % len(workers)].invoke(reloaded(history), config)
        history.append(answer)
        found.append(route_of(answer))
    return found


@pytest.mark.parametrize("config", [WITH_ID, {}], ids=["id", "no id"])
@pytest.mark.parametrize("stored", [reloaded, by_langchain])
def test_an_escalation_holds_in_every_worker(config: Any, stored: Any) -> None:
    for make in (Escalate, Escalate.for_coding_agents, lambda: Sticky(Escalate(), per="agent")):
        one = agent_loop([worker(make())], config, stored)
        assert agent_loop([worker(make()) for _ in range(4)], config, stored) == one
        assert one == ["cheap", "cheap", "balanced", "balanced", "balanced"]


@pytest.mark.parametrize("config", [WITH_ID, {}], ids=["id", "no id"])
def test_a_threads_route_holds_in_every_worker(config: Any) -> None:
    texts = ["a complex question", "go on", "and then?", "thanks, and the rest?"]
    for make in (lambda: Sticky(complex_first(), per="thread"), lambda: PinThread(complex_first())):
        assert talk([worker(make()) for _ in range(2)], texts, config) == ["frontier"] * 4
        assert talk([worker(make())], texts, config) == ["frontier"] * 4


def test_a_turns_route_holds_in_every_worker_and_no_longer() -> None:
    """The agent's loop stays; the next question is decided anew."""
    history: list[BaseMessage] = [HumanMessage("a complex question")]
    first, second = (
        worker(Sticky(Rules([Rule("frontier", maximum={"turn_steps": 0}, minimum={"turn": 1})], default="cheap"))) for _ in "ab"
    )
    answer = first.bind_tools([TOOL]).invoke(history, WITH_ID)
    call = {"name": "run_tests", "args": {}, "id": "c", "type": "tool_call"}
    history += [AIMessage("", tool_calls=[call], response_metadata=answer.response_metadata), ToolMessage("ok", tool_call_id="c")]

    assert route_of(second.bind_tools([TOOL]).invoke(reloaded(history), WITH_ID)) == "frontier"


def test_time_travel_goes_on_from_where_the_messages_are() -> None:
    """What was decided on the branch that was left does not count."""
    model = worker(Sticky(complex_first(), per="thread"))
    earlier = [
        HumanMessage("Hello there."),
        worker(complex_first()).invoke("Hello there.", WITH_ID),
        HumanMessage("Go on, please."),
    ]
    assert route_of(model.invoke("a complex question", WITH_ID)) == "frontier"
    assert route_of(model.invoke(reloaded(earlier), WITH_ID)) == "cheap"


# Where the answers do not carry their decisions ------------------------------------------------------------------------


def bare(answer: Any) -> AIMessage:
    return AIMessage(answer.text)


@pytest.mark.parametrize("config", [WITH_ID, {}], ids=["id", "no id"])
@pytest.mark.parametrize("make", [lambda: Sticky(complex_first(), per="thread"), lambda: PinThread(complex_first())])
def test_a_program_that_keeps_only_texts_is_remembered_by_the_process(make: Any, config: Any) -> None:
    """By its id, or by all that was said."""
    model, history, routes = worker(make()), [], []
    for text in ("a complex question", "go on, please do", "and then?"):
        history.append(HumanMessage(text))
        answer = model.invoke([*history], config)
        history.append(bare(answer))
        routes.append(route_of(answer))
    assert routes == ["frontier"] * 3


def test_threads_without_an_id_that_begin_alike_share_nothing() -> None:
    """Suggested questions and nightly jobs begin alike."""
    for make in (
        lambda: Sticky(complex_first(), per="thread"),
        lambda: PinThread(complex_first()),
        lambda: Sticky(complex_first()),
        lambda: None,
    ):
        alone = route_of(worker(make()).invoke("What can you do?"))
        model = worker(make())
        for override in ("cheap", "balanced", "frontier"):
            model.invoke("What can you do?", {"configurable": {"route": override}})
            assert route_of(model.invoke("What can you do?")) == alone


def test_a_second_run_of_an_agent_starts_where_the_first_one_did() -> None:
    model = worker(Escalate())
    first = agent_loop([model], {})
    assert agent_loop([model], {}) == first
    assert first[0] == "cheap"


# What is not remembered ---------------------------------------------------------------------------------------------------


def after(config: Any, policy: Any, second: Any = WITH_ID, **kwargs: Any) -> str:
    """The route of the second answer of a thread whose first call had this config."""
    model = worker(policy, **kwargs)
    first = model.invoke("What can you do?", config)
    return route_of(model.invoke(reloaded([HumanMessage("What can you do?"), first, HumanMessage("And what else?")]), second))


@pytest.mark.parametrize("limit", [{"route": "frontier"}, {"model": "frontier"}, {"exclude": ["cheap"]}, {"min_tier": "balanced"}])
@pytest.mark.parametrize("make", [lambda: Sticky(complex_first(), per="thread"), lambda: PinThread(complex_first())])
def test_limits_of_one_call_choose_for_that_call_only(limit: dict[str, Any], make: Any) -> None:
    limited = {"configurable": {"thread_id": "t1", **limit}}
    assert after(limited, make()) == "cheap"


def test_limits_of_every_call_keep_the_route_that_they_led_to() -> None:
    """A thread whose calls all need a label is sticky, too."""
    limited = {"configurable": {"thread_id": "t1", "exclude": ["cheap"]}}
    policy = Sticky(Rules([Rule("frontier", maximum={"turn": 1})], default="balanced"), per="thread")
    assert after(limited, policy, second=limited) == "frontier"


@pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")
def test_a_hiccup_of_a_route_is_not_remembered() -> None:
    for make in (lambda: Sticky(complex_first(), per="thread"), lambda: PinThread(complex_first())):
        routes = {
            "cheap": Route(ScriptedModel(ValueError("a hiccup"), "cheap"), price=PRICE),
            "frontier": Route(ScriptedModel("frontier"), price=PRICE),
        }
        model = ChatRouter(routes, policy=make(), max_retries=0)
        first = model.invoke("What can you do?", WITH_ID)
        assert route_of(first) == "frontier"
        assert route_of(model.invoke([HumanMessage("What can you do?"), first, HumanMessage("And what else?")], WITH_ID)) == "cheap"


def test_the_callers_word_for_a_step_counts_before_the_turns_route() -> None:
    model = worker(Sticky(Rules([Rule("frontier", kind="plan")], default="cheap")))
    answer = model.invoke("What can you do?", WITH_ID)
    history = [HumanMessage("What can you do?"), answer]
    told = {**WITH_ID, "metadata": {"langroute_step_kind": "plan"}}
    assert route_of(model.invoke(history, told)) == "frontier"
    assert route_of(model.invoke(history, {**WITH_ID, "metadata": {"langroute_step_kind": "observe"}})) == "cheap"


@pytest.mark.parametrize(
    "memory",
    [
        ["escalate", 99, 0, True, ""],
        ["escalate", -1, 0, True, ""],
        ["escalate", 1, -1, True, ""],
        ["escalate", 1, "0", True, ""],
        ["escalate", 1, 0, True, None],
        ["escalate", True, 0, 0, ""],
        ["escalate"],
        ["x"] * 9,
    ],
)
def test_a_memory_that_does_not_fit_starts_anew(memory: list[Any]) -> None:
    told = {"langroute": {"route": "frontier", "step": {"kind": "act"}, "thread": {"memory": memory}}}
    history = [HumanMessage("Mend it."), AIMessage("x", response_metadata=told), HumanMessage("Go on with the parser.")]
    assert route_of(worker(Escalate()).invoke(history, {"configurable": {"thread_id": "new"}})) == "cheap"


# One voice -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_small_talk_does_not_choose_the_voice(workers: int) -> None:
    """The pin counts from the first answer to something."""
    style = SystemStyle("Be plain.", pin="thread")
    texts = ["Hello!", "May my landlord evict me in winter?", "And what does the court need from me?"]
    assert talk([worker(None, style=style) for _ in range(workers)], texts, WITH_ID) == ["cheap", "frontier", "frontier"]


def test_a_stuck_step_is_released_from_its_pin() -> None:
    policy = PinThread(Rules([Rule("frontier", minimum={"failures_in_row": 2})], default="cheap"))
    results = RESULTS[:2]
    history: list[BaseMessage] = [HumanMessage("Mend the parser and make its tests pass.")]
    model, found = worker(policy).bind_tools([TOOL]), []
    for number in range(3):
        answer = model.invoke(history, WITH_ID)
        found.append(route_of(answer))
        if number < 2:
            call = {"name": "run_tests", "args": {"n": number}, "id": f"c{number}", "type": "tool_call"}
            history += [
                AIMessage("", tool_calls=[call], response_metadata=answer.response_metadata),
                ToolMessage(results[number], tool_call_id=f"c{number}"),
            ]
    assert found == ["cheap", "cheap", "frontier"]


def test_the_memory_is_bounded_and_forgets() -> None:
    memory: ThreadMemory[int] = ThreadMemory(3, 0.0)
    memory.put("a", 1)
    assert memory.get("a") is None
    memory = ThreadMemory(3, 60.0)
    for number in range(10):
        memory.put(("t", number), number)
    assert [memory.get(("t", number)) for number in range(10)] == [None] * 7 + [7, 8, 9]
    memory.forget_where("t")
    assert memory.get(("t", 9)) is None
