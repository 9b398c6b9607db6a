"""What every policy that ships has to do, whatever it goes by."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from langroute.core.errors import ConfigurationError
from langroute.core.records import KINDS, TIERS, Attempt, Decision, Outcome, Price, Request, RouteInfo, Selection, Signals, Step
from langroute.ledger.memory import MemoryLedger
from langroute.policies import (
    Autopilot,
    CacheAware,
    Canary,
    Cascade,
    ConfidenceFloor,
    Escalate,
    Fallback,
    Fixed,
    LossPerDollar,
    PinThread,
    PlanExecute,
    Shadow,
    Sticky,
    SubagentCap,
)
from langroute.policies.default import default_policy
from langroute.testing import ScriptedModel

POLICIES: dict[str, Callable[[], Any]] = {
    "Fixed": lambda: Fixed("cheap"),
    "Cascade": lambda: Cascade(),
    "Sticky": lambda: Sticky(Cascade()),
    "Fallback": lambda: Fallback(Fixed("balanced")),
    "CacheAware": lambda: CacheAware(PlanExecute()),
    "Escalate": lambda: Escalate(),
    "Escalate, checked": lambda: Escalate(verify=True),
    "Escalate.for_coding_agents": Escalate.for_coding_agents,
    "Escalate.for_support_agents": Escalate.for_support_agents,
    "PlanExecute": lambda: PlanExecute(review_every=3),
    "PlanExecute.for_coding_agents": PlanExecute.for_coding_agents,
    "PlanExecute.for_support_agents": PlanExecute.for_support_agents,
    "SubagentCap": lambda: SubagentCap(PlanExecute()),
    "ConfidenceFloor": lambda: ConfidenceFloor(Fixed("cheap")),
    "LossPerDollar": lambda: LossPerDollar(Fixed("frontier"), tolerance=0.5),
    "Autopilot": lambda: Autopilot(["cheap", ["balanced", "frontier"]], baseline="frontier", value_usd=1.0),
    "PinThread": lambda: PinThread(PlanExecute()),
    "default": lambda: default_policy([RouteInfo(tier, tier, rank) for rank, tier in enumerate(TIERS)]),
}
ROUTES = tuple(
    RouteInfo(tier, tier, rank, provider="openai", price=Price(1 + 2 * rank, 5 + 10 * rank, 0.1 + 0.2 * rank))
    for rank, tier in enumerate(TIERS)
)

steps = st.builds(
    lambda kind, thread, task, depth, turn, turn_steps, errors, repeats, tokens: Step(
        kind,
        thread=thread,
        task=task,
        index=turn_steps,
        signals=Signals(tokens, depth=depth, turn=turn, turn_steps=turn_steps, errors_in_row=errors, repeats=repeats),
    ),
    st.sampled_from(KINDS),
    st.sampled_from(["t1", "t2"]),
    st.sampled_from([None, "k1"]),
    st.integers(0, 1),
    st.integers(1, 3),
    st.integers(0, 12),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 200_000),
)
moments = st.tuples(
    steps,
    st.lists(st.sampled_from(range(len(ROUTES))), min_size=1, unique=True),
    st.sampled_from(["ok", "weak", "failed"]),
    st.integers(0, 9),
)


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=40, deadline=None)
@given(trajectory=st.lists(moments, max_size=12))
def test_a_policy_selects_eligible_routes_only_and_comes_to_an_end(name: str, trajectory: list[Any]) -> None:
    policy = POLICIES[name]()
    for step, ranks, fate, words in trajectory:
        routes = tuple(ROUTES[rank] for rank in sorted(ranks))
        request = Request([HumanMessage(f"word {words}")], step, routes, routes[-1].name)
        attempts: list[Attempt] = []
        while (selection := policy.select(request, attempts)) is not None:
            assert selection.route in request.route_names
            assert selection.reason
            failed = fate == "failed"
            attempts.append(
                Attempt(
                    selection,
                    answer=None if failed else "x",
                    score=0.1 if selection.provisional and fate == "weak" else 1.0 if selection.provisional else None,
                    error=ConnectionError("down") if failed else None,
                    error_type="ConnectionError" if failed else None,
                )
            )
            assert len(attempts) <= 2 * len(routes) + 4
        assert attempts
        kept = next((attempt.route for attempt in reversed(attempts) if attempt.ok), None)
        if hasattr(policy, "on_decision"):
            policy.on_decision(Decision("d", step, kept, tuple(attempt.without_text() for attempt in attempts)))


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_can_be_carried_to_another_process(name: str) -> None:
    policy = pickle.loads(pickle.dumps(POLICIES[name]()))

    assert policy.select(Request("Hi.", Step("act", thread="t"), ROUTES, "frontier"), []).route in TIERS


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_input_makes_the_same_decision_where_nothing_was_heard_in_between(name: str) -> None:
    policy = POLICIES[name]()
    request = Request(
        [HumanMessage("Fix it.")], Step("observe", thread="t", signals=Signals(turn=1, turn_steps=2)), ROUTES, "frontier"
    )

    assert len({policy.select(request, []) for _ in range(5)}) == 1


# Policies around others -------------------------------------------------------------------------------------------------


class Inner:
    """A policy that notes what it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection("cheap")

    def use_ledger(self, ledger: Any) -> None:
        self.heard.append(ledger)

    def on_decision(self, decision: Decision) -> None:
        self.heard.append(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        self.heard.append(outcome)


AROUND: dict[str, Callable[[Any], Any]] = {
    "Sticky": Sticky,
    "Fallback": Fallback,
    "CacheAware": CacheAware,
    "SubagentCap": SubagentCap,
    "ConfidenceFloor": ConfidenceFloor,
    "LossPerDollar": lambda policy: LossPerDollar(policy, tolerance=0.5),
    "PinThread": PinThread,
    "Shadow": lambda policy: Shadow(policy, ScriptedModel("x"), share=0.0),
    "Canary, old": lambda policy: Canary(policy, Fixed("cheap")),
    "Canary, new": lambda policy: Canary(Fixed("cheap"), policy),
}


@pytest.mark.parametrize("name", AROUND)
def test_a_policy_inside_hears_all_that_it_would_hear_alone(name: str) -> None:
    """The ledger of its router, decisions and outcomes; each of them once."""
    inner, ledger = Inner(), MemoryLedger()
    policy = AROUND[name](inner)
    decision = Decision("d", Step("act", thread="t"), "cheap", (Attempt(Selection("cheap"), answer="x"),))
    outcome = Outcome(success=True, decision_id="d")

    policy.use_ledger(ledger)
    policy.on_decision(decision)
    policy.on_outcome(outcome)

    assert inner.heard == [ledger, decision, outcome]


@pytest.mark.parametrize("name", AROUND)
@pytest.mark.parametrize("wrong", ["cheap", None, object()])
def test_what_is_no_policy_is_refused_where_it_is_given(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        AROUND[name](wrong)
