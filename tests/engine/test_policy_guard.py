"""A policy that selects a route which has answered already keeps that answer; no further call is billed."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest

from langroute import ChatRouter, Route, Selection
from langroute.core.errors import DegradedWarning
from langroute.core.records import Request
from langroute.policies import Fixed, Sticky
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 1}


class Always:
    def __init__(self, *names: str, provisional: bool = False) -> None:
        self.names, self.provisional = cycle(names), provisional

    def select(self, request: Request, attempts: Any) -> Selection:
        return Selection(next(self.names), provisional=self.provisional)


class AlwaysAwaited(Always):
    async def aselect(self, request: Request, attempts: Any) -> Selection:
        return self.select(request, attempts)


def router(policy: Any, cheap: ScriptedModel, **kwargs: Any) -> ChatRouter:
    return ChatRouter(
        {"cheap": Route(cheap, price=PRICE), "frontier": Route(ScriptedModel("large"), price=PRICE)}, policy=policy, **kwargs
    )


@pytest.mark.parametrize("kind", [Always, AlwaysAwaited])
async def test_the_same_route_again_is_the_end(kind: Any) -> None:
    for fallback in (True, False):
        model = ScriptedModel("ok")
        answer = await router(kind("cheap"), model, fallback=fallback).ainvoke("hi")
        carried = answer.response_metadata["langroute"]
        assert (answer.content, len(model.calls), carried["problems"]) == ("ok", 1, [])


def test_a_policy_that_goes_round_bills_each_route_once() -> None:
    model = ScriptedModel("ok")
    answer = router(Always("cheap", "frontier"), model).invoke("hi")
    assert [one["route"] for one in answer.response_metadata["langroute"]["attempts"]] == ["cheap", "frontier"]


def test_an_answer_that_its_checks_accepted_is_not_asked_for_again() -> None:
    model = ScriptedModel("ok")
    assert router(Always("cheap", provisional=True), model).invoke("hi").content == "ok"
    assert len(model.calls) == 1


def test_a_rejected_answer_may_be_asked_for_again() -> None:
    """Sampling one model twice is a policy, too."""
    model = ScriptedModel("", "better")
    assert router(Always("cheap", provisional=True), model).invoke("hi").content == "better"
    assert len(model.calls) == 2


@pytest.mark.filterwarnings("ignore::langroute.core.errors.LangrouteWarning")
def test_a_failed_call_may_be_made_again() -> None:
    model = ScriptedModel(ConnectionError("down"), "ok")
    assert router(Always("cheap"), model, fallback=False).invoke("hi").content == "ok"
    assert len(model.calls) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("policy", ["quality", Fixed("frontier"), Fixed("cheap"), Always("frontier"), Sticky(Fixed("frontier"))])
@pytest.mark.parametrize("pinned", ["cheap", "frontier"])
def test_a_pinned_step_has_the_callers_reason(policy: Any, pinned: str) -> None:
    """Its policy has nothing to choose: it neither chose the route nor failed."""
    model = ScriptedModel("ok")
    record = router(policy, model).invoke("hi", {"configurable": {"route": pinned}}).response_metadata["langroute"]
    assert (record["route"], record["reason"], record["problems"]) == (pinned, f"the caller asked for {pinned!r}", [])
    assert len(record["attempts"]) == 1


async def test_a_pinned_step_of_a_policy_that_is_awaited_has_the_callers_reason() -> None:
    record = (
        await router(AlwaysAwaited("frontier"), ScriptedModel("ok")).ainvoke("hi", {"configurable": {"route": "cheap"}})
    ).response_metadata["langroute"]
    assert (record["route"], record["reason"], record["problems"]) == ("cheap", "the caller asked for 'cheap'", [])


def test_a_policy_that_selects_what_there_is_not_has_failed_in_a_pinned_step_too() -> None:
    with pytest.warns(DegradedWarning, match="no such route"):
        record = router(Always("cheep"), ScriptedModel("ok")).invoke("hi", {"configurable": {"route": "cheap"}})
    assert record.response_metadata["langroute"]["route"] == "cheap"


@pytest.mark.filterwarnings("error")
def test_a_retry_in_a_pinned_step_keeps_its_own_reason() -> None:
    model = ScriptedModel(ConnectionError("down"), "ok")
    record = router(Fixed("frontier"), model).invoke("hi", {"configurable": {"route": "cheap"}}).response_metadata["langroute"]
    first, second = record["attempts"]
    assert (first["reason"], second["route"]) == ("the caller asked for 'cheap'", "cheap")
    assert second["reason"] not in ("", first["reason"])
