"""Where a conversation stands, as its messages tell it to a process that did not answer."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langroute.core.records import Price, Request, RouteInfo, Step
from langroute.policies.conversation import MOST_ANSWERS, Standing, latest_of, recalled
from langroute.prompt_cache.state import PromptCacheState
from langroute.providers.profile import CacheRules

ROUTES = (RouteInfo("small", "cheap", 0, price=Price(1, 5)), RouteInfo("large", "frontier", 1, price=Price(5, 25)))


def answer(route: str, number: int, **step: Any) -> AIMessage:
    """An answer of a router: decision `d<number>`, a second after the one before, for 0.25 USD."""
    told = {
        "decision_id": f"d{number}",
        "task_id": "t1",
        "route": route,
        "started_at": 1000.0 + number,
        "cost_usd": 0.25,
        "step": {"kind": "act", **step},
    }
    usage: Any = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    call = {"name": "look", "args": {"n": number}, "id": f"c{number}", "type": "tool_call"}
    return AIMessage(f"a{number}", tool_calls=[call], usage_metadata=usage, response_metadata={"langroute": told})


def result(number: int) -> ToolMessage:
    return ToolMessage(f"r{number}", tool_call_id=f"c{number}")


def standing(messages: list[Any], **step: Any) -> Standing | None:
    cache = PromptCacheState(lambda _: CacheRules(1, automatic=True), clock=lambda: 1010.0)
    request = Request(messages, Step("act", **step), ROUTES)
    return recalled(request, cache.prompt(messages, (), 400), cache)


def test_turn_and_steps_are_counted_from_the_last_question() -> None:
    first = [HumanMessage("One."), answer("small", 1), result(1), answer("small", 2), result(2)]
    second = [*first, HumanMessage("Two."), answer("large", 3), result(3)]

    one, two = standing(first), standing(second)

    assert one is not None
    assert (one.route, one.turn, one.steps, one.task, one.decision, one.at) == ("small", 1, 2, "t1", "d2", 1002.0)
    assert two is not None
    assert (two.route, two.turn, two.steps, two.decision) == ("large", 2, 1, "d3")
    # What the answers cost, and the prompt that the last one answered: the question and all before it.
    assert (one.tab.spent, two.tab.spent, two.messages) == (0.5, 0.75, 6)
    assert 0 < one.tokens < two.tokens < 400


def test_a_route_that_was_left_may_be_come_back_to_in_the_same_turn() -> None:
    left = [HumanMessage("One."), answer("large", 1), result(1), answer("small", 2), result(2)]
    for messages, expected in (
        (left[:3], (None, 0)),
        (left, ("large", 1)),
        ([*left, answer("small", 3), result(3)], ("large", 2)),
        ([*left, answer("small", 3), result(3), answer("large", 4), result(4)], ("small", 1)),
        ([*left, HumanMessage("Two."), answer("small", 3)], (None, 0)),
    ):
        found = standing(messages)
        assert found is not None
        assert (found.left, found.away) == expected


def test_only_the_conversations_own_answers_count() -> None:
    """Not those of another agent or node, titles and summaries, nor what no router answered."""
    others = [
        answer("large", 2, agent="other"),
        answer("large", 3, node="plan"),
        answer("large", 4, kind="title"),
        AIMessage("Hm."),
    ]
    messages = [HumanMessage("One."), answer("small", 1), *others]

    found = standing(messages)

    assert found is not None
    assert (found.decision, found.steps, found.tab.spent) == ("d1", 1, 0.25)
    latest = latest_of(Request(messages, Step("act"), ROUTES))
    assert latest is not None
    assert latest.id == "d1"
    assert standing([HumanMessage("One."), *others]) is None
    assert standing(messages, agent="other").decision == "d2"  # type: ignore[union-attr]


@pytest.mark.parametrize("without", ["started_at", "cost_usd"])
def test_an_answer_that_does_not_say_when_or_how_dear_it_was_is_old_and_free(without: str) -> None:
    message = answer("small", 1)
    del message.response_metadata["langroute"][without]

    found = standing([HumanMessage("One."), message])

    assert found is not None
    assert (found.at, found.tab.spent) == ((0.0, 0.25) if without == "started_at" else (1001.0, 0.0))


def test_what_the_providers_hold_is_known_from_the_answers() -> None:
    """Each route's provider keeps the prompts that it was sent, as long as it keeps any, and no other."""
    messages = [HumanMessage("One."), answer("small", 1), result(1), answer("large", 2), result(2), answer("small", 3), result(3)]

    def warm(at: float, without: str = "") -> list[int]:
        told = [message for message in messages if message.content != without]
        cache = PromptCacheState(lambda _: CacheRules(1, ttl_seconds=300, automatic=True), clock=lambda: at)
        prompt = cache.prompt(told, (), 400)
        recalled(Request(told, Step("act"), ROUTES), prompt, cache)
        return [terms.warm for route in ROUTES if (terms := cache.terms(route, prompt)) is not None]

    assert warm(1010.0) == [100, 100]
    assert warm(1302.5) == [100, 0]
    assert warm(1400.0) == [0, 0]
    assert warm(1010.0, without="a2") == [100, 0]


def test_an_answer_without_usage_has_no_output() -> None:
    """What the route alone would have cost is then its input."""
    alone = {}
    for usage in (False, True):
        message = answer("small", 1)
        if not usage:
            message.usage_metadata = None
        found = standing([HumanMessage("One."), message])
        assert found is not None
        cache = PromptCacheState(lambda _: CacheRules(1, automatic=True), clock=lambda: 1010.0)
        now = cache.terms(ROUTES[0], cache.prompt([HumanMessage("One.")], (), 0))
        assert now is not None
        alone[usage] = found.tab.alone("small", now, 0, at=1010.0)
    assert alone[True] - alone[False] == pytest.approx(20 * 5e-6)


def test_of_a_long_conversation_the_latest_answers_are_read() -> None:
    messages: list[Any] = [HumanMessage("One.")]
    for number in range(MOST_ANSWERS + 10):
        messages += [answer("small", number), result(number)]

    found = standing(messages)

    assert found is not None
    assert (found.steps, found.tab.spent) == (MOST_ANSWERS + 10, 0.25 * MOST_ANSWERS)
