"""A router as a route or a judge of another router: money and tokens are counted once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langroute import ChatRouter, Route, task
from langroute.ledger import open_ledger
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Cascade, Fixed
from langroute.testing import ScriptedModel
from langroute.verifiers import Judge

LEDGERS: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryLedger(),
    "sqlite": lambda where: open_ledger(where / "ledger.db"),
}


def route(*replies: str) -> Route:
    """A model with a price."""
    return Route(ScriptedModel(*replies), price={"input": 1, "output": 2})


@pytest.fixture(params=LEDGERS.values(), ids=LEDGERS.keys())
def ledger(request: Any, tmp_path: Path) -> Any:
    """One ledger for all routers of a program."""
    made = request.param(tmp_path)
    yield made
    made.close()


def test_a_router_as_a_route_is_counted_once_in_a_shared_ledger(ledger: Any) -> None:
    """The inner decision says what each model cost; the outer one says what the answer cost, and is recorded without it."""
    inner = ChatRouter({"a": route("Hm."), "b": route("Right.")}, verifier=lambda m: "Right" in m.content, ledger=ledger)
    outer = ChatRouter({"inside": inner, "top": route("Top.")}, policy=Fixed("inside"), ledger=ledger)
    with task("t1"):
        answer = outer.invoke("Why?")
    ledger.flush()
    spent = answer.response_metadata["langroute"]["cost_usd"]
    totals = ledger.task("t1")
    assert totals.cost_usd == pytest.approx(spent)
    assert totals.cost_usd == pytest.approx(sum(totals.by_route[name].cost_usd for name in "ab"))
    tokens = [one.model.invoke("Why?").usage_metadata["output_tokens"] for one in (route("Hm."), route("Right."))]
    assert totals.usage.output_tokens == sum(tokens)
    assert ledger.get(answer.response_metadata["langroute"]["decision_id"]).baseline_cost_usd is None


def test_a_router_as_a_judge_is_counted_once_in_a_shared_ledger(ledger: Any) -> None:
    """Its verdict costs something in the answer's own account, and in the ledger where it was recorded."""
    judge = Judge(ChatRouter({"judge": route("SCORE: 9")}, ledger=ledger))
    model = ChatRouter({"a": route("42"), "b": route("43")}, policy=Cascade(), verifier=judge, ledger=ledger)
    with task("t1"):
        answer = model.invoke("6 * 7?")
    ledger.flush()
    assert ledger.task("t1").cost_usd == pytest.approx(answer.response_metadata["langroute"]["cost_usd"])


def test_a_ledger_of_its_own_gets_the_whole_cost() -> None:
    """Nobody else has recorded it there."""
    inner = ChatRouter({"a": route("Hm.")})
    outer = ChatRouter({"inside": inner, "top": route("Top.")}, policy=Fixed("inside"))
    outer.invoke("Why?")
    assert outer.ledger.latest().cost_usd == inner.ledger.latest().cost_usd > 0
