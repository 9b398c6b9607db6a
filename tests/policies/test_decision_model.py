"""A decision model of LangChain's is a policy's signal: a sure answer is taken, an unsure one goes up."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import Field

from langroute import ChatRouter, Route
from langroute.core.errors import ConfigurationError, DegradedWarning, UnknownRouteError
from langroute.policies import Fallback, Sticky
from langroute.policies.decision_model import DecisionModel
from langroute.testing import ScriptedModel

decisions = pytest.importorskip("langchain_core.decisions", reason="decision models came with langchain-core 1.8")

PRICE = {"input": 1.0, "output": 2.0}
ROUTES = {"cheap": "Small talk.", "balanced": "Ordinary work.", "frontier": "Proofs and long plans."}


class Classifier(decisions.BaseDecisionModel):
    """Answers what it was told to."""

    model: str = "judge-1"
    choice: Any = "cheap"
    confidence: float = 0.9
    probabilities: dict[str, float] = Field(default_factory=dict)
    asked: list[Any] = Field(default_factory=list)

    @property
    def _provider(self) -> str:
        return "nobody"

    def _classify(self, state: Any, questions: Any) -> Any:
        self.asked.append((state, questions))
        if isinstance(self.choice, Exception):
            raise self.choice
        answer = {"type": "choice", "choice": self.choice, "probabilities": self.probabilities, "confidence": self.confidence}
        usage = {"input_tokens": 1000, "output_tokens": 10}
        return decisions.ClassifierResponse.model_validate({"model": self.model, "answers": {"route": answer}, "usage": usage})


def classifier(**kwargs: Any) -> Classifier:
    return Classifier(**kwargs)


def router(model: Classifier, **kwargs: Any) -> ChatRouter:
    routes = {name: Route(ScriptedModel(f"{name} answer"), price=PRICE) for name in ROUTES}
    return ChatRouter(routes, policy=DecisionModel(model, ROUTES, price=PRICE, **kwargs))


def test_a_sure_answer_is_taken() -> None:
    answer = router(classifier()).invoke("Hi.")
    assert answer.content == "cheap answer"
    assert answer.response_metadata["langroute"]["reason"] == "chosen with confidence 0.90"


async def test_a_sure_answer_is_taken_when_awaited() -> None:
    model = router(classifier(choice="frontier"))
    assert (await model.ainvoke("Prove it.")).content == "frontier answer"
    assert "".join([chunk.content async for chunk in model.astream("Prove it.")]) == "frontier answer"


@pytest.mark.parametrize(
    ("probabilities", "route"),
    [
        ({}, "frontier"),
        ({"cheap": 0.5, "balanced": 0.3, "frontier": 0.2}, "balanced"),
        ({"cheap": 0.3, "balanced": 0.2, "frontier": 0.5}, "frontier"),
        ({"cheap": 0.9, "balanced": 0.1, "frontier": 0.0}, "balanced"),
    ],
)
def test_an_unsure_answer_goes_up_as_far_as_it_must(probabilities: dict[str, float], route: str) -> None:
    """A confidence of 0.01 never goes to the cheap model."""
    answer = router(classifier(confidence=0.01, probabilities=probabilities)).invoke("Hi.")
    assert answer.content == f"{route} answer"
    assert "went up" in answer.response_metadata["langroute"]["reason"]


def test_an_unsure_answer_for_the_strongest_stays_there() -> None:
    assert router(classifier(choice="frontier", confidence=0.1)).invoke("Hi.").content == "frontier answer"


@pytest.mark.parametrize("choice", ["none_of_the_above", TimeoutError("slow"), ConnectionError("down")], ids=str)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_decision_model_that_fails_leaves_the_default(choice: Any, asynchronous: bool) -> None:
    model = router(classifier(choice=choice))
    with pytest.warns(DegradedWarning):
        answer = await model.ainvoke("Hi.") if asynchronous else model.invoke("Hi.")
    assert answer.content == "frontier answer"
    assert answer.response_metadata["langroute"]["problems"]


def test_the_question_costs_and_is_part_of_the_step() -> None:
    mark = router(classifier()).invoke("Hi.").response_metadata["langroute"]
    assert mark["cost_usd"] == pytest.approx(mark["attempts"][0]["cost_usd"] + 0.00102)

    routes = {name: Route(ScriptedModel("x"), price=PRICE) for name in ROUTES}
    unpriced = ChatRouter(routes, policy=DecisionModel(classifier(), ROUTES))
    assert unpriced.invoke("Hi.").response_metadata["langroute"]["cost_usd"] is None


def test_only_eligible_routes_are_offered_and_a_single_one_is_not_asked_about() -> None:
    model = classifier(choice="balanced")
    answer = router(model).invoke("Hi.", {"configurable": {"exclude": ["cheap"]}})
    assert answer.content == "balanced answer"
    assert set(model.asked[0][1]["route"].criteria) == {"balanced", "frontier"}

    router(model).invoke("Hi.", {"configurable": {"route": "cheap"}})
    assert len(model.asked) == 1


def test_it_sees_the_latest_messages_and_is_asked_once_a_step() -> None:
    model = classifier()
    history = [HumanMessage(f"Question {n}") if n % 2 == 0 else AIMessage(f"Answer {n}") for n in range(21)]

    router(model, max_messages=3).invoke(history)

    (state, _), *more = model.asked
    assert [message.content for message in state["conversation"]] == ["Question 18", "Answer 19", "Question 20"]
    assert more == []


def test_it_works_inside_other_policies() -> None:
    model = classifier()
    routes = {name: Route(ScriptedModel(f"{name} answer"), price=PRICE) for name in ROUTES}
    sticky = ChatRouter(routes, policy=Fallback(Sticky(DecisionModel(model, ROUTES), per="thread"), retries=0))

    answers = [sticky.invoke("Hi.", {"configurable": {"thread_id": "t1"}}).content for _ in range(2)]

    assert answers == ["cheap answer"] * 2
    assert len(model.asked) == 1

    routes["cheap"] = Route(ScriptedModel(ConnectionError("down")), price=PRICE)
    failing = ChatRouter(routes, policy=Fallback(DecisionModel(model, ROUTES), retries=0))
    assert failing.invoke("Hi.").content == "balanced answer"


def test_tiers_and_names_both_do() -> None:
    routes = {
        "small": Route(ScriptedModel("small answer"), tier="cheap"),
        "large": Route(ScriptedModel("large answer"), tier="frontier"),
    }
    answer = ChatRouter(routes, policy=DecisionModel(classifier(), {"cheap": "Talk.", "frontier": "Work."})).invoke("Hi.")
    assert answer.content == "small answer"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: DecisionModel(5, ROUTES), "no `invoke`"),
        (lambda: DecisionModel(classifier(), {"cheap": "x"}), "at least two"),
        (lambda: DecisionModel(classifier(), ROUTES, min_confidence=2), "min_confidence"),
        (lambda: DecisionModel(classifier(), ROUTES, max_messages=0), "max_messages"),
        (lambda: DecisionModel(classifier(), ROUTES, price={"input": -1, "output": 1}), "-1"),
    ],
)
def test_mistakes_are_told(build: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build()


def test_an_unknown_route_is_told_when_the_router_is_built() -> None:
    with pytest.raises(UnknownRouteError, match="'tiny'"):
        ChatRouter({"cheap": ScriptedModel("x")}, policy=DecisionModel(classifier(), {"tiny": "x", "cheap": "y"}))
