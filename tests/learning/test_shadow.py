"""A shadow asks in the background, costs the caller nothing, and counts what it saw."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

from langroute import ChatRouter
from langroute.errors import ConfigurationError
from langroute.policies import Fixed
from langroute.policies.shadow import Shadow
from langroute.records import Attempt, Request, Selection, Step
from langroute.testing import ScriptedModel


def call(place: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "go", "args": {"place": place, "fast": True}, "id": place}])


def ask(shadow: Shadow, answer: Any, kind: str | None = None) -> None:
    request = Request("Where to?", Step(task_kind=kind))
    first = shadow.select(request, [])
    assert shadow.select(request, [Attempt(first, answer=answer)]) is None


def test_the_caller_waits_for_nothing_and_counts_one_run() -> None:
    release, runs = threading.Event(), []

    class Count(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            runs.append(1)

    slow = ScriptedModel(lambda _: release.wait(10) and "42")
    shadow = Shadow(Fixed("large"), slow, share=1.0)
    model = ChatRouter({"large": ScriptedModel("42")}, policy=shadow)
    begun = time.perf_counter()
    message = model.invoke("6 * 7?", config={"callbacks": [Count()]})
    took = time.perf_counter() - begun
    release.set()
    shadow.close()

    assert message.content == "42"
    assert took < 5
    assert runs == [1]
    assert [attempt["route"] for attempt in message.response_metadata["langroute"]["attempts"]] == ["large"]
    assert shadow.verdict().compared == 1


def test_tool_calls_are_compared_by_what_they_do() -> None:
    shadow = Shadow(Fixed("large"), ScriptedModel(call("Rome"), call("Oslo")), share=1.0)
    ask(shadow, AIMessage("Sure.", tool_calls=[{"name": "go", "args": {"fast": True, "place": "Rome"}, "id": "other"}]))
    while shadow.verdict().compared < 1:
        time.sleep(0.01)
    ask(shadow, call("Rome"))
    shadow.close()

    assert (shadow.verdict().compared, shadow.verdict().agreed) == (2, 0.5)


def test_a_judge_fills_the_table_of_what_either_solves() -> None:
    def judge(_: Request, attempt: Attempt) -> float:
        return float("right" in str(getattr(attempt.answer, "content", attempt.answer)))

    shadow = Shadow(Fixed("large"), ScriptedModel("right"), share=1.0, judge=judge, max_waiting=8, price={"input": 1, "output": 1})
    for kind, answer in (("a", "right"), ("a", "wrong"), ("b", "right")):
        ask(shadow, answer, kind)
    shadow.close()

    assert shadow.verdict("a").cells == {"safe": 1, "rescue": 1, "loss": 0, "hard": 0}
    assert [(one.task_kind, one.compared) for one in shadow.verdicts()] == [("a", 2), ("b", 1)]
    assert shadow.verdict().cost_usd > 0
    assert shadow.verdict().low < shadow.verdict().agreed < 1


def test_share_and_cap_hold() -> None:
    never = Shadow(Fixed("large"), ScriptedModel("x"), share=0.0)
    capped = Shadow(Fixed("large"), ScriptedModel("x"), share=1.0, max_per_hour=2, max_waiting=8)
    for _ in range(5):
        ask(never, "x")
        ask(capped, "x")
    never.close()
    capped.close()

    assert never.verdict().compared == 0
    assert (capped.verdict().compared, capped.verdict().skipped) == (2, 3)


def test_a_broken_shadow_harms_nobody_and_is_counted() -> None:
    shadow = Shadow(Fixed("large"), ScriptedModel(RuntimeError("down")), share=1.0)
    ask(shadow, "x")
    shadow.close()

    assert (shadow.verdict().failed, shadow.verdict().compared) == (1, 0)


def test_the_shadow_sees_what_redaction_leaves() -> None:
    model = ScriptedModel("x")
    shadow = Shadow(Fixed("large"), model, share=1.0, redact=lambda messages: [AIMessage("redacted") for _ in messages])
    ask(shadow, "x")
    shadow.close()

    assert model.calls[0][0][0].content == "redacted"


def test_rejected_answers_are_not_what_is_compared_with() -> None:
    shadow = Shadow(Fixed("large"), ScriptedModel("good"), share=1.0)
    request = Request("Hm?")
    selection = Selection("large")
    shadow.select(request, [Attempt(selection, answer="bad", score=0.1), Attempt(selection, answer="good", score=0.9)])
    shadow.close()

    assert shadow.verdict().agreed == 1.0


def test_mistakes_are_said() -> None:
    with pytest.raises(ConfigurationError):
        Shadow(Fixed("large"), ScriptedModel("x"), share=2)
