"""What is printed at a prompt: short, without a model twice, and without addresses in memory."""

from __future__ import annotations

from typing import Any

import pytest

from langroute import ChatRouter, Route, Router
from langroute.core.short_repr import MOST_CHARS, ShortRepr, short_form
from langroute.policies import (
    Bandit,
    CacheAware,
    Canary,
    Cascade,
    ConfidenceFloor,
    DecisionModel,
    Escalate,
    Fallback,
    Fixed,
    PinThread,
    PlanExecute,
    Rule,
    Rules,
    Shadow,
    Sticky,
    SubagentCap,
)
from langroute.testing import ScriptedModel

POLICIES: dict[Any, str | None] = {
    Fixed("a"): "Fixed('a')",
    Cascade(): "Cascade()",
    Cascade(["a", "b"], threshold=0.7, max_attempts=2): "Cascade(['a', 'b'], threshold=0.7, max_attempts=2)",
    Fallback(Fixed("a"), retries=3): "Fallback(Fixed('a'), retries=3)",
    Sticky(Cascade(), per="thread"): "Sticky(Cascade(), per='thread')",
    PinThread(Fixed("a")): "PinThread(Fixed('a'))",
    SubagentCap(Fixed("a")): "SubagentCap(Fixed('a'))",
    ConfidenceFloor(Fixed("a"), min_confidence=0.8): "ConfidenceFloor(Fixed('a'), min_confidence=0.8)",
    Canary(Fixed("a"), Fixed("b"), share=0.2): "Canary(Fixed('a'), Fixed('b'), share=0.2)",
    Shadow(Fixed("a"), ScriptedModel("b")): "Shadow(Fixed('a'), ScriptedModel(…))",
    Bandit(["a", "b"], cost_weight=1.0): "Bandit(['a', 'b'], cost_weight=1.0)",
    Rules([Rule("cheap", kind="title")], default="frontier"): "Rules([Rule('cheap', 'title')], default='frontier')",
    DecisionModel(ScriptedModel("x"), {"a": "easy", "b": "hard"}): "DecisionModel(ScriptedModel(…), {'a': 'easy', 'b': 'hard'})",
    CacheAware(Cascade()): None,
    Escalate(): None,
    PlanExecute(): None,
    Rules([Rule(f"route-{number}", kind=("title", "plan"), tag="x" * 50) for number in range(50)]): None,
}


@pytest.mark.parametrize("policy, said", POLICIES.items(), ids=lambda value: type(value).__name__)
def test_a_policy_is_shown_as_the_call_that_makes_it(policy: Any, said: str | None) -> None:
    shown = repr(policy)
    assert said is None or shown == said
    assert shown.startswith(f"{type(policy).__name__}(")
    assert len(shown) <= MOST_CHARS
    assert "object at 0x" not in shown


@pytest.mark.parametrize("kind", [ChatRouter, Router])
def test_a_router_shows_its_routes_and_policy(kind: Any) -> None:
    """However long its models are shown, each is left out."""
    routes = {"cheap": ScriptedModel("c" * 10_000), "frontier": Route(ScriptedModel("f" * 10_000))}
    shown = repr(kind(routes, policy=Cascade(threshold=0.7)))
    assert shown.startswith(
        f"{kind.__name__}(['cheap', 'frontier'], policy={'Fallback(' if kind is Router else ''}Cascade(threshold=0.7)"
    )
    assert len(shown) < 2 * MOST_CHARS
    default = kind(routes)
    assert len(repr(default)) < 2 * MOST_CHARS
    assert "WholeTurns(" in repr(default)
    assert str(default) == repr(default)


def test_what_is_derived_from_a_router_is_short_too() -> None:
    model = ChatRouter({f"route-{number}": ScriptedModel("x" * 1000) for number in range(100)}, route="route-7")
    assert "route='route-7'" in repr(model)
    assert len(repr(model.bind(stop=["."]).with_config(tags=["a"]))) < 1000
    assert "route-50" not in repr(model)


def test_a_policy_of_ones_own_is_shown_by_its_type() -> None:
    class Mine:
        def select(self, request: Any, attempts: Any) -> None:
            return None

    assert repr(Sticky(Mine())) == "Sticky(Mine(…))"


class Odd(ShortRepr):
    def __init__(self, value: Any, other: Any = None) -> None:
        self.value, self.other = value, other


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value, said",
    [
        ("a" * 1000, None),
        (list(range(1000)), "Odd([0, 1, 2, 3, 4, 5, 6, 7, …])"),
        ({"k": object()}, "Odd({'k': object(…)})"),
        (Odd(Odd(Odd("a" * 100))), None),
        ({3, 1}, "Odd({1, 3})"),
        (float("nan"), "Odd(nan)"),
        (10**5000, None),
        (circle(), "Odd([[[list(…)]]])"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_any_kind_are_shown_shortly(value: Any, said: str | None) -> None:
    shown = repr(Odd(value))
    assert said is None or shown == said
    assert len(shown) <= MOST_CHARS
    assert len(short_form(value)) <= 5 * MOST_CHARS
