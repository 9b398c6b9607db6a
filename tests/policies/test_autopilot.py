"""An autopilot stays, tries, adopts, drops, and says why."""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage

import langroute
from langroute import ChatRouter, Route
from langroute.core.errors import ConfigurationError, DegradedWarning, DuplicateRouteError
from langroute.core.records import Attempt, Decision, Outcome, Price, Request, RouteInfo, Selection, Step
from langroute.ledger import open_ledger
from langroute.policies import Autopilot, Cascade, Fixed
from langroute.state import MemoryState
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome

ROUTES = (RouteInfo("small", price=Price(1, 4)), RouteInfo("large", rank=1, price=Price(10, 40)))
RATES = {"small": 0.9, "large": 0.9}
COSTS = {"small": 0.1, "large": 1.0}


class Service:
    """A program whose tasks are solved at some rate by each route."""

    def __init__(self, pilot: Autopilot, seed: int = 0, routes: tuple[RouteInfo, ...] = ROUTES) -> None:
        self.pilot, self.random, self.routes, self.count = pilot, np.random.default_rng(seed), routes, 0
        self.used: Counter[str] = Counter()

    def task(self, rates: Any = None, costs: Any = None, told: bool = True, **step: Any) -> str:
        """Do one task, and return its route."""
        self.count += 1
        name = f"t{self.count}"
        asked = Step(task=name, **step)
        selection = self.pilot.select(Request("Hi.", asked, self.routes), ())
        assert selection is not None
        route = selection.route
        cost = (costs or COSTS).get(route)
        attempt = Attempt(selection, answer="Hm.", cost_usd=cost)
        self.pilot.on_decision(Decision(f"d{self.count}", asked, route, (attempt,), cost_usd=cost))
        if told:
            self.pilot.on_outcome(Outcome(success=bool(self.random.random() < (rates or RATES)[route]), task_id=name))
        self.used[route] += 1
        return route

    def tasks(self, count: int, **how: Any) -> Counter[str]:
        """Do some tasks, and return how many each route had."""
        return Counter(self.task(**how) for _ in range(count))


def kinds(pilot: Autopilot) -> list[tuple[str, str]]:
    return [(change["family"], change["change"]) for change in pilot.changes()]


# Moving --------------------------------------------------------------------------------------------------------------


def test_without_outcomes_everything_stays_and_it_says_what_to_tell() -> None:
    """A hundred tasks without a word go to the baseline; one warning, and the status, say the line of code."""
    pilot = Autopilot(["small"], baseline="large", value_usd=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert Service(pilot).tasks(150, told=False) == {"large": 150}
    (said,) = [one for one in caught if one.category is DegradedWarning]
    assert "record_outcome(router, True, task_id=...)" in str(said.message)
    assert "record_outcome(router, True, task_id=...)" in pilot.status()[0].waits_for


def test_an_equal_route_is_adopted_at_a_margin_that_can_be_proven() -> None:
    """Ten points are proven within a thousand tasks; then all but the hold-out go down, and the change has its numbers."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1)
    service = Service(pilot)
    first = service.tasks(100)
    service.tasks(1200)
    last = service.tasks(400)
    assert 0 < first["small"] < 60
    assert last["small"] > 350
    assert 2 < last["large"] < 45
    (change,) = [one for one in pilot.changes() if one["family"] == "all"]
    assert change["change"] == "adopted"
    assert change["low"] > -0.15
    assert change["costs"] == [pytest.approx(1.0), pytest.approx(0.1)]
    status = pilot.status()[0]
    assert [arm.state for arm in status.arms] == ["baseline", "adopted"]
    assert status.saved_usd == pytest.approx(0.9 * service.used["small"], rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_a_worse_route_is_dropped(seed: int) -> None:
    """A route that solves far less than tolerated ends on the baseline alone."""
    pilot = Autopilot(["small"], baseline="large", margin=0.02)
    service = Service(pilot, seed)
    service.tasks(400, rates={"small": 0.5, "large": 0.9})
    assert ("all", "dropped") in kinds(pilot)
    assert service.tasks(50) == {"large": 50}


def test_an_adopted_route_that_breaks_is_dropped_again() -> None:
    """Harm after the adoption is seen in what came since, however good the past was."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1)
    service = Service(pilot)
    service.tasks(2000)
    assert kinds(pilot)[0] == ("all", "adopted")
    service.tasks(400, rates={"small": 0.4, "large": 0.9})
    assert kinds(pilot)[-1] == ("all", "dropped")
    assert "since it was adopted" in pilot.changes()[-1]["why"]
    assert service.tasks(50) == {"large": 50}


def test_tasks_go_where_they_are_worth_most() -> None:
    """With a value, what is saved is weighed against what is lost: the same routes, two values, two answers."""
    rates = {"small": 0.7, "large": 0.9}
    cheap, dear = (Service(Autopilot(["small"], baseline="large", value_usd=value)) for value in (1.0, 100.0))
    for service in (cheap, dear):
        service.tasks(400, rates=rates)
    assert cheap.tasks(200, rates=rates)["small"] > 180
    assert dear.tasks(200, rates=rates)["small"] < 20
    assert ("all", "adopted") in kinds(cheap.pilot)


def test_trials_risk_little() -> None:
    """A route that never solves anything costs little more than the risk that was allowed."""
    pilot = Autopilot(["small"], baseline="large", value_usd=20, risk=0.01)
    service = Service(pilot)
    service.tasks(1000, rates={"small": 0.0, "large": 0.9})
    assert 0 < service.used["small"] < 30


def test_a_chain_is_an_arm() -> None:
    """A list of names is a cascade: its first answer is provisional, and what is rejected goes to the next route."""
    pilot = Autopilot([["small", "large"]], baseline="large", margin=0.5)
    for _ in range(50):
        pilot.add_pair("small > large", 1.0, 1.0)
    request = Request("Hi.", Step(task="a"), ROUTES)
    first = pilot.select(request, ())
    assert first is not None
    assert (first.route, first.provisional) == ("small", True)
    rejected = Attempt(first, answer="?", score=0.0)
    second = pilot.select(request, (rejected,))
    assert second is not None
    assert second.route == "large"
    assert pilot.select(request, (rejected, Attempt(second, answer="!"))) is None


# Families ------------------------------------------------------------------------------------------------------------


def test_a_family_that_loses_stays_while_another_saves() -> None:
    """What holds for all does not hold for each: harm in one family takes it back, and the other keeps what it has."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1)
    service = Service(pilot)
    for _ in range(2500):
        service.task(task_kind="easy")
        service.task(task_kind="hard", rates={"small": 0.5, "large": 0.9})
    states = {status.family: status.arms[1].state for status in pilot.status()}
    assert states["kind=easy"] == "adopted"
    assert states["kind=hard"] == "out"


def test_a_new_family_starts_from_what_is_known_of_the_wider_one() -> None:
    """Partial pooling: a family without a single outcome goes where the others went."""
    pilot = Autopilot(["small"], baseline="large", value_usd=1.0)
    service = Service(pilot)
    service.tasks(300, task_kind="old")
    assert service.tasks(50, task_kind="new", told=False)["small"] > 40


def test_families_are_of_the_users_own_making_where_he_likes() -> None:
    """A function of the step says what belongs together."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1, family=lambda step: ("team A", step.node or "none"))
    Service(pilot).tasks(3, node="plan")
    assert [status.family for status in pilot.status()] == ["all", "team A", "team A, plan"]


def test_a_flood_of_names_is_bounded() -> None:
    """Hostile task kinds make no endless document: a hundred families, short names without control characters."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1)
    service = Service(pilot)
    for number in range(150):
        service.task(task_kind=f"\x1b[2J{number}," + "x" * 5000)
    families = [status.family for status in pilot.status()]
    assert len(families) <= 100
    assert max(map(len, families)) < 100
    assert not any("\x1b" in family for family in families)


# Tasks ---------------------------------------------------------------------------------------------------------------


def adopted(**how: Any) -> Autopilot:
    """An autopilot that gives nearly all to the small route."""
    pilot = Autopilot(["small"], baseline="large", margin=0.2, **how)
    for _ in range(60):
        pilot.add_pair("small", 1.0, 1.0, new_cost_usd=0.1, old_cost_usd=1.0)
    assert kinds(pilot) == [("all", "adopted")]
    return pilot


def test_a_task_keeps_its_arm_when_the_mind_changes() -> None:
    """Steps of a task that was begun on the baseline go on there."""
    pilot = Autopilot(["small"], baseline="large", margin=0.2)
    begun = Request("Hi.", Step(task="begun"), ROUTES)
    assert pilot.select(begun, ()).route == "large"  # type: ignore[union-attr]
    for _ in range(60):
        pilot.add_pair("small", 1.0, 1.0)
    assert pilot.select(begun, ()).route == "large"  # type: ignore[union-attr]
    assert Counter(pilot.select(Request("Hi.", Step(task=f"n{n}"), ROUTES), ()).route for n in range(50))["small"] > 40  # type: ignore[union-attr]


def test_another_worker_reads_the_arm_of_a_task_from_its_messages() -> None:
    """A thread that goes on in a process that knows nothing of it keeps its route."""
    routes = {"small": Route(ScriptedModel("a"), price=Price(1, 4)), "large": Route(ScriptedModel("b"), price=Price(10, 40))}
    here = ChatRouter(routes, policy=adopted(id="same"))
    there = ChatRouter(routes, policy=Autopilot(["small"], baseline="large", margin=0.2, id="same", store=MemoryState()))
    for number in range(20):
        config: Any = {"metadata": {"thread_id": f"thread {number}"}}
        answer = here.invoke([HumanMessage("Hi.")], config)
        again = there.invoke([HumanMessage("Hi."), answer, HumanMessage("And?")], config)
        assert again.response_metadata["langroute"]["route"] == answer.response_metadata["langroute"]["route"]


def test_what_messages_claim_is_checked() -> None:
    """An arm that does not exist, or nonsense in its place, is drawn anew and harms nothing."""
    pilot = adopted()
    for memory in (
        ["autopilot", pilot.id, "evil", 1.0, "all"],
        ["autopilot", pilot.id],
        ["autopilot", 7, None, "x", {}],
        ["autopilot", pilot.id, {}, [], []],
        "autopilot",
    ):
        told = {"route": "large", "task_id": "t", "thread": {"memory": memory}}
        answer = AIMessage("Hm.", response_metadata={"langroute": told})
        found = pilot.select(Request([HumanMessage("Hi."), answer, HumanMessage("?")], Step(task="t"), ROUTES), ())
        assert found is not None
        assert found.route in ("small", "large")


def test_propensities_are_the_frequencies() -> None:
    """What a selection says of its probability is what happens."""
    pilot = Autopilot(["small"], baseline="large", margin=0.02, share=0.4)
    for number in range(2):
        pilot.on_decision(Decision(f"d{number}", Step(task=f"b{number}"), "large", (Attempt(Selection("large"), answer="x"),)))
        pilot.on_outcome(Outcome(success=True, task_id=f"b{number}"))
    found = [pilot.select(Request("Hi.", Step(task=f"n{number}"), ROUTES), ()) for number in range(3000)]
    small = [one for one in found if one is not None and one.route == "small"]
    assert {round(one.propensity, 6) for one in small} == {0.4}
    assert abs(len(small) / 3000 - 0.4) < 0.03


def test_calls_without_a_task_and_calls_with_limits_stay_on_the_baseline_and_teach_nothing() -> None:
    """Nothing can be told of them, or a caller chose their route."""
    pilot = adopted()
    assert pilot.select(Request("Hi.", Step(), ROUTES), ()).route == "large"  # type: ignore[union-attr]
    assert pilot.select(Request("Hi.", Step(task="l"), ROUTES, limited=True), ()).route == "large"  # type: ignore[union-attr]
    before = pilot.status()[0].arms
    pilot.on_decision(Decision("d", Step(task="l"), "small", (), limited=True))
    pilot.on_outcome(Outcome(success=True, task_id="l"))
    assert pilot.status()[0].arms == before


def test_an_arm_whose_route_may_not_take_the_step_is_not_drawn() -> None:
    """A task whose first step only the baseline may take is the baseline's."""
    pilot = adopted()
    only = ROUTES[1:]
    assert {pilot.select(Request("Hi.", Step(task=f"o{n}"), only), ()).route for n in range(30)} == {"large"}  # type: ignore[union-attr]


def test_a_later_step_that_the_arm_may_not_take_goes_to_the_baseline() -> None:
    """The task keeps its arm; only this step is another's."""
    pilot = adopted()
    task = next(n for n in range(50) if pilot.select(Request("Hi.", Step(task=f"v{n}"), ROUTES), ()).route == "small")  # type: ignore[union-attr]
    step = Step(task=f"v{task}")
    assert pilot.select(Request("See?", step, ROUTES[1:]), ()).route == "large"  # type: ignore[union-attr]
    assert pilot.select(Request("Go on.", step, ROUTES), ()).route == "small"  # type: ignore[union-attr]


def test_messages_make_no_families() -> None:
    """What a message says of a task's families counts only where there are such families."""
    pilot = adopted()
    told = {"route": "small", "task_id": "f", "thread": {"memory": ["autopilot", pilot.id, "small", 0.5, "all", "evil"]}}
    history = [HumanMessage("Hi."), AIMessage("Hm.", response_metadata={"langroute": told}), HumanMessage("?")]
    step = Step(task="f")
    selection = pilot.select(Request(history, step, ROUTES), ())
    assert selection is not None
    assert selection.route == "small"
    pilot.on_decision(Decision("df", step, "small", (Attempt(selection, answer="x"),)))
    assert [family.family for family in pilot.status()] == ["all"]


def test_nothing_is_explored_where_the_same_input_must_give_the_same_decision() -> None:
    """A deterministic request goes to the best proven arm."""
    fresh, proven = Autopilot(["small"], baseline="large", margin=0.2), adopted()
    for pilot, route in ((fresh, "large"), (proven, "small")):
        found = {pilot.select(Request("Hi.", Step(task=f"x{n}"), ROUTES, deterministic=True), ()).route for n in range(40)}  # type: ignore[union-attr]
        assert found == {route}


# Outcomes ------------------------------------------------------------------------------------------------------------


def one_decision(pilot: Autopilot, task: str, decision: str, cost: float | None = 1.0) -> None:
    step = Step(task=task)
    selection = pilot.select(Request("Hi.", step, ROUTES), ())
    assert selection is not None
    pilot.on_decision(Decision(decision, step, selection.route, (Attempt(selection, answer="x"),), cost_usd=cost))


@pytest.mark.parametrize(
    "order",
    [
        lambda pilot: (one_decision(pilot, "t", "d"), pilot.on_outcome(Outcome(success=True, task_id="t"))),
        lambda pilot: (one_decision(pilot, "t", "d"), pilot.on_outcome(Outcome(success=True, decision_id="d"))),
        lambda pilot: (pilot.on_outcome(Outcome(success=True, task_id="t")), one_decision(pilot, "t", "d")),
        lambda pilot: (pilot.on_outcome(Outcome(success=True, decision_id="d")), one_decision(pilot, "t", "d")),
        lambda pilot: (pilot.on_outcome(Outcome(success=True, task_id="thread:t")), one_decision(pilot, "t", "d")),
        lambda pilot: (
            one_decision(pilot, "t", "d"),
            pilot.on_outcome(Outcome(success=False, task_id="t")),
            pilot.on_outcome(Outcome(success=True, task_id="t")),
        ),
        lambda pilot: (
            one_decision(pilot, "t", "d"),
            pilot.on_outcome(Outcome(success=True, task_id="t", at=1e9 + 1)),
            pilot.on_outcome(Outcome(success=False, task_id="t", at=1e9)),
        ),
    ],
)
def test_an_outcome_counts_once_in_whatever_order_and_by_whatever_name(order: Callable[[Autopilot], Any]) -> None:
    """Told by task or decision, before or after; told again, the last word counts, also where another worker heard of it first."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1)
    order(pilot)
    base = pilot.status()[0].arms[0]
    assert (base.given, base.told, base.success, base.cost_usd) == (1, 1, 1.0, 1.0)


def test_what_a_task_costs_after_its_outcome_counts() -> None:
    """Costs of late steps are added; a task with an unknown cost is left out of the mean."""
    pilot = Autopilot(["small"], baseline="large", margin=0.1)
    one_decision(pilot, "t", "d1")
    pilot.on_outcome(Outcome(success=True, task_id="t"))
    one_decision(pilot, "t", "d2", cost=2.0)
    one_decision(pilot, "u", "d3", cost=None)
    pilot.on_outcome(Outcome(success=False, task_id="u"))
    base = pilot.status()[0].arms[0]
    assert (base.told, base.success, base.cost_usd) == (2, 0.5, 3.0)


def test_outcomes_told_to_the_ledger_are_heard(tmp_path: Any) -> None:
    """A router's ledger object is enough to tell it; the state lies in its database and outlives the process's objects."""
    routes = {"small": Route(ScriptedModel("a"), price=Price(1, 4)), "large": Route(ScriptedModel("b"), price=Price(10, 40))}
    for begin in (0, 30):
        with open_ledger(tmp_path / "ledger.db") as ledger:
            model = ChatRouter(routes, policy=Autopilot(["small"], baseline="large", margin=0.4), ledger=ledger)
            for number in range(begin, begin + 30):
                with langroute.task(f"t{number}"):
                    model.invoke("Hi.")
                record_outcome(ledger, True, task_id=f"t{number}")
            pilot: Any = model.router.policy if hasattr(model, "router") else None
            pilot = getattr(pilot, "policy", pilot)
            if pilot is not None:
                arms = pilot.status()[0].arms
                assert sum(arm.told for arm in arms) == begin + 30
    with open_ledger(tmp_path / "ledger.db") as ledger:
        again = Autopilot(["small"], baseline="large", margin=0.4)
        again.use_ledger(ledger)
        assert sum(arm.told for arm in again.status()[0].arms) == 60


# Undoing -------------------------------------------------------------------------------------------------------------


def test_a_change_is_undone_and_so_is_the_undoing() -> None:
    """An adopted arm is held; undone again, it is tried from the beginning."""
    pilot = adopted()
    assert pilot.undo()["change"] == "adopted"
    assert pilot.status()[0].arms[1].state == "out"
    assert Service(pilot).tasks(50) == {"large": 50}
    assert pilot.undo()["change"] == "held"
    status = pilot.status()[0].arms[1]
    assert (status.state, status.told, status.pairs) == ("on trial", 0, 0)
    assert [kind for _, kind in kinds(pilot)] == ["adopted", "held", "resumed"]


def test_a_change_that_is_not_there_cannot_be_undone() -> None:
    """The error says where to look."""
    with pytest.raises(ConfigurationError, match="langroute autopilot"):
        adopted().undo("kind=unknown")
    with pytest.raises(ConfigurationError, match="no change 7"):
        adopted().undo(number=7)


def test_a_restart_forgets_everything() -> None:
    """It begins anew, for whoever shares the state."""
    store = MemoryState()
    pilot = adopted(store=store)
    pilot.restart()
    twin = Autopilot(["small"], baseline="large", margin=0.2, store=store)
    assert twin.changes() == []
    assert Service(twin).tasks(20, told=False) == {"large": 20}


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"arms": "small"}, "as a list"),
        ({"arms": []}, "at least one"),
        ({"arms": [7]}, "route's name"),
        ({"value_usd": 1, "margin": 0.1}, "one way"),
        ({"value_usd": 0}, "value_usd"),
        ({"margin": -0.1}, "margin"),
        ({"share": 0}, "share"),
        ({"hold_out": 1}, "hold_out"),
        ({"risk": float("nan")}, "risk"),
        ({"family": 3}, "family"),
    ],
)
def test_arguments_are_checked_when_it_is_made(how: dict[str, Any], said: str) -> None:
    """An error names the argument."""
    with pytest.raises(ConfigurationError, match=said):
        Autopilot(**{"arms": ["small"], "baseline": "large", **how})


def test_an_arm_is_named_once() -> None:
    """Neither twice nor as the baseline."""
    for arms in (["small", "small"], ["large"]):
        with pytest.raises(DuplicateRouteError):
            Autopilot(arms, baseline="large")


def test_arms_may_be_policies_by_name() -> None:
    """A mapping names them; their routes are known to the router."""
    pilot = Autopilot({"down": Fixed("small"), "chain": Cascade(["small", "large"])}, baseline=Fixed("large"), margin=0.1)
    assert pilot.setup.names == ("Fixed(large)", "down", "chain")
    assert set(pilot.routes_named()) == {"small", "large"}
    assert [arm.ends_on_baseline for arm in pilot.setup.arms] == [False, True]


def test_it_survives_pickling() -> None:
    """What it knows goes along."""
    again = pickle.loads(pickle.dumps(adopted()))
    assert [arm.state for arm in again.status()[0].arms] == ["baseline", "adopted"]


def test_by_name_it_tries_every_cheaper_route() -> None:
    """`policy="autopilot"` starts on the strongest route, with a fallback around it."""
    routes = {"small": Route(ScriptedModel("a"), price=Price(1, 4)), "large": Route(ScriptedModel("b"), price=Price(10, 40))}
    model = ChatRouter(routes, policy="autopilot")
    answer = model.invoke("Hi.")
    assert answer.response_metadata["langroute"]["route"] == "large"
    assert "Autopilot(small)" in answer.response_metadata["langroute"]["policy"]
