"""A shadow asks in the background, costs the caller nothing, and counts what it saw."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from waiting import wait_until

from langroute import ChatRouter, Route, task
from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Request, Selection, Step
from langroute.ledger import open_ledger
from langroute.ledger.export import export_traffic
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Fixed
from langroute.policies.shadow import Shadow
from langroute.reports import Window, build_report
from langroute.testing import ScriptedModel


def call(place: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "go", "args": {"place": place, "fast": True}, "id": place}])


def ask(shadow: Shadow, answer: Any, kind: str | None = None) -> None:
    request = Request("Where to?", Step(task_kind=kind))
    first = shadow.select(request, [])
    assert shadow.select(request, [Attempt(first, answer=answer)]) is None


def test_the_caller_waits_for_nothing_and_counts_one_run() -> None:
    release, runs, waited = threading.Event(), [], []

    class Count(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            runs.append(1)

    slow = ScriptedModel(lambda _: waited.append(release.wait(60)) or "42")
    shadow = Shadow(Fixed("large"), slow, share=1.0)
    model = ChatRouter({"large": ScriptedModel("42")}, policy=shadow)
    try:
        message = model.invoke("6 * 7?", config={"callbacks": [Count()]})
        # The caller has its answer, and the shadow has none yet.
        assert (message.content, waited) == ("42", [])
    finally:
        release.set()
        shadow.close()

    assert waited == [True]
    assert runs == [1]
    assert [attempt["route"] for attempt in message.response_metadata["langroute"]["attempts"]] == ["large"]
    assert shadow.verdict().compared == 1


def test_tool_calls_are_compared_by_what_they_do() -> None:
    shadow = Shadow(Fixed("large"), ScriptedModel(call("Rome"), call("Oslo")), share=1.0)
    ask(shadow, AIMessage("Sure.", tool_calls=[{"name": "go", "args": {"fast": True, "place": "Rome"}, "id": "other"}]))
    wait_until(lambda: shadow.verdict().compared == 1)
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


def shadowed(ledger: Any, model: Any, **more: Any) -> Shadow:
    """Three tasks of a team are answered by `large`, and shadowed."""
    shadow = Shadow(Fixed("large"), model, share=1.0, price={"input": 1000, "output": 1000}, max_waiting=9, **more)
    router = ChatRouter({"large": Route(ScriptedModel("Paris."), price={"input": 10, "output": 10})}, policy=shadow, ledger=ledger)
    for number in range(3):
        with task(f"t{number}", team="care"):
            router.invoke("Capital of France?")
    shadow.close()
    return shadow


@pytest.mark.parametrize("level", ["metadata", "full"])
def test_what_a_shadow_answered_is_in_the_export_beside_the_route_in_use(tmp_path: Path, level: str) -> None:
    with open_ledger(tmp_path / "ledger.db", level=level) as ledger:
        shadow = shadowed(
            ledger, ScriptedModel("Rome."), judge=lambda _, attempt: attempt.answer.content == "Paris.", route="small"
        )
        lines = list(export_traffic(ledger))
        spent = build_report(ledger, Window.since("all")).total.spend.usd

        assert [sorted(line["outcomes"]) for line in lines] == [["large", "small"]] * 3
        assert {(line["outcomes"]["large"]["score"], line["outcomes"]["small"]["score"]) for line in lines} == {(1.0, 0.0)}
        assert [line["outcomes"]["small"].get("output") for line in lines] == [None if level == "metadata" else "Rome."] * 3
        assert all("propensity" not in line["outcomes"]["small"] for line in lines)
        routed = sum(line["outcomes"]["large"]["cost_usd"] for line in lines)
        assert spent == pytest.approx(routed + shadow.verdict().cost_usd)
        assert ledger.task("t0").by_route["small"].calls == 1
        assert ledger.task("t0").success is None, "a shadow's judge decides nothing"


def test_a_teams_bill_has_what_was_spent_on_shadows(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        shadow = shadowed(ledger, ScriptedModel("Paris."))
        report = build_report(ledger, Window.since("all"), by="team")

        (line,) = [one for one in report.lines if "care" in str(one)]
        assert line.spend.usd >= shadow.verdict().cost_usd > 0


@pytest.mark.parametrize("error, cost", [(ValueError("no"), None), (TimeoutError("slow"), None)])
def test_a_shadow_that_fails_is_recorded_as_a_failure(error: Exception, cost: float | None) -> None:
    ledger = MemoryLedger()
    shadowed(ledger, ScriptedModel(error))

    totals = ledger.task("t0")
    assert (totals.errors, totals.by_route["shadow"].errors) == (1, 1)
    assert totals.success is None
