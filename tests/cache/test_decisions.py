"""The decision cache asks a costly policy only about steps that it has not seen."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langroute.cache.decisions import CachedDecisions
from langroute.core.records import Outcome, Selection
from langroute.hosts.chat_model import ChatRouter
from langroute.policies.cascade import Cascade
from langroute.testing import ScriptedModel


class Judge:
    """A policy that counts how often it is asked."""

    def __init__(self, route: str = "large") -> None:
        self.asked = 0
        self.route = route

    def select(self, request: Any, attempts: Any) -> Selection | None:
        if attempts:
            return None
        self.asked += 1
        return Selection(self.route if self.route in request.route_names else request.route_names[0], "judged")

    async def aselect(self, request: Any, attempts: Any) -> Selection | None:
        return self.select(request, attempts)


def router(policy: Any, **kwargs: Any) -> ChatRouter:
    models = {"small": ScriptedModel("s"), "large": ScriptedModel("l")}
    return ChatRouter(
        models, policy=policy, prices={"small": {"input": 1, "output": 1}, "large": {"input": 2, "output": 2}}, **kwargs
    )


async def test_near_identical_steps_are_decided_once() -> None:
    judge = Judge()
    model = router(CachedDecisions(judge))
    first = await model.ainvoke([SystemMessage("Be brief."), HumanMessage("How do I sort a list?")])
    second = await model.ainvoke([SystemMessage("Be brief."), HumanMessage("Hi, how can I sort a list?")])
    assert judge.asked == 1
    assert first.response_metadata["langroute"]["reason"] == "judged"
    assert second.response_metadata["langroute"]["reason"] == "as before: judged"
    assert second.response_metadata["langroute"]["route"] == "large"
    await model.ainvoke("How do I delete a list?")
    assert judge.asked == 2


async def test_a_remembered_route_that_fell_out_is_not_given() -> None:
    judge = Judge()
    model = router(CachedDecisions(judge))
    await model.ainvoke("How do I sort a list?")
    answer = await model.ainvoke("How do I sort a list?", {"configurable": {"exclude": ["large"]}})
    assert answer.content == "s"
    assert judge.asked == 2


def test_an_escalation_ends_what_was_remembered() -> None:
    policy = CachedDecisions(Cascade(["small", "large"], threshold=0.5))
    model = router(policy, verifier=lambda message: message.content == "l")
    assert [model.invoke("Why is the sky blue?").content for _ in range(2)] == ["l", "l"]
    assert policy.hits == 0


async def test_decisions_run_out_and_bad_outcomes_end_them() -> None:
    now, judge = [0.0], Judge()
    policy = CachedDecisions(judge, ttl=10, clock=lambda: now[0])
    model = router(policy)
    await model.ainvoke("Why?")
    now[0] = 11
    await model.ainvoke("Why?")
    assert judge.asked == 2
    model.router.record_outcome(Outcome(task_id="t", success=False))
    await model.ainvoke("Why?")
    assert judge.asked == 3


async def test_chance_is_never_remembered() -> None:
    class Random(Judge):
        def select(self, request: Any, attempts: Any) -> Selection | None:
            found = super().select(request, attempts)
            return found and Selection(found.route, "drawn", propensity=0.5)

    judge = Random()
    model = router(CachedDecisions(judge))
    for _ in range(3):
        await model.ainvoke("Why?")
    assert judge.asked == 3


async def test_a_longer_history_or_a_failure_is_another_sort_of_step() -> None:
    judge = Judge()
    model = router(CachedDecisions(judge))
    await model.ainvoke("Go on.")
    await model.ainvoke([HumanMessage("x" * 9000), AIMessage("ok"), HumanMessage("Go on.")])
    assert judge.asked == 2
