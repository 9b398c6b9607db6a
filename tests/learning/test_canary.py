"""A canary stops by itself at harm or success, keeps tasks together, and is seldom wrong."""

from __future__ import annotations

import math
import pickle
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langroute import ChatRouter
from langroute.core import task_context
from langroute.core.errors import ConfigurationError, DegradedWarning, StateError
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection, Step
from langroute.ledger import open_ledger
from langroute.policies import Fixed
from langroute.policies.canary import Canary, CanaryVerdict
from langroute.policies.canary_arms import HARM, RUNNING, SUCCESS, Arm, CanaryFold, radius
from langroute.testing import ScriptedModel

ROUTES = (RouteInfo("old"), RouteInfo("new"))


def run(canary: Canary, chances: dict[str, float], tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    for number in range(tasks):
        step = Step(task=f"{seed}/{number}", task_kind="support")
        routes = {canary.select(Request((HumanMessage("Hi."),), step, ROUTES), ()).route for _ in range(3)}
        assert len(routes) == 1, "a task stays on its side"
        route = routes.pop()
        canary.on_decision(Decision(f"{seed}/{number}", step, route, (Attempt(Selection(route)),)))
        canary.on_outcome(Outcome(success=bool(random.random() < chances[route]), task_id=step.task))


def made(**more: Any) -> Canary:
    return Canary(Fixed("old"), Fixed("new"), **{"share": 0.5, "margin": 0.05, **more})


def test_harm_is_found_and_everything_goes_back() -> None:
    canary = made()
    run(canary, {"old": 0.9, "new": 0.6}, 1500, 1)

    assert canary.state == HARM
    assert canary.select(Request((HumanMessage("Hi."),), Step(task="later"), ROUTES), ()).route == "old"


def test_a_policy_that_is_as_good_is_a_success() -> None:
    canary = made(margin=0.15)
    run(canary, {"old": 0.9, "new": 0.9}, 4000, 2)

    assert canary.state == SUCCESS
    assert canary.select(Request((HumanMessage("Hi."),), Step(task="later"), ROUTES), ()).route == "new"


def verdicts(chances: dict[str, float], share: float, canaries: int, tasks: int) -> Counter[str]:
    """What many canaries come to that are looked at after every outcome."""
    found: Counter[str] = Counter()
    for seed in range(canaries):
        random, canary = np.random.default_rng(seed), made(share=share, margin=0.02)
        for number, luck in enumerate(random.random(tasks)):
            step = Step(task=f"{seed}/{number}")
            route = "new" if canary.takes_part(step.task) else "old"
            canary.on_decision(Decision(step.task, step, route, ()))
            canary.on_outcome(Outcome(success=bool(luck < chances[route]), task_id=step.task))
            if canary.state != RUNNING:
                break
        found[canary.state] += 1
    return found


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_looking_after_every_outcome_does_not_make_it_wrong(share: float) -> None:
    """Harm where both policies are the same, or success where the new one is worse by the margin, would be a false alarm."""
    assert verdicts({"old": 0.8, "new": 0.8}, share, 100, 800)[HARM] <= 5
    assert verdicts({"old": 0.8, "new": 0.78}, share, 100, 800)[SUCCESS] <= 5


@pytest.mark.parametrize(("share", "tasks"), [(0.1, 1500), (0.5, 500)])
def test_a_fifth_worse_is_found_before_many_tasks_are_lost(share: float, tasks: int) -> None:
    assert verdicts({"old": 0.8, "new": 0.6}, share, 30, tasks)[HARM] >= 27


def test_without_outcomes_it_keeps_running_and_says_how_little_it_knows() -> None:
    canary = made()
    run(canary, {"old": 0.9, "new": 0.9}, 10, 3)

    verdict = canary.verdict("support")
    assert verdict.state == RUNNING
    assert verdict.old + verdict.new == 10
    assert verdict.high - verdict.low > 0.5


def test_before_any_outcome_nothing_is_said() -> None:
    assert made().verdict() == CanaryVerdict(RUNNING, 0.0, -math.inf, math.inf, 0, 0)


@pytest.mark.parametrize(("share", "difference"), [(0.0, -1.0), (1.0, 1.0)])
def test_while_one_side_has_no_outcome_nothing_is_decided(share: float, difference: float) -> None:
    """Its mean counts as zero, and the interval has no ends."""
    canary = made(share=share)
    for number in range(50):
        told(canary, f"t{number}")
        canary.on_outcome(Outcome(success=True, task_id=f"t{number}"))

    old, new = (50, 0) if share == 0 else (0, 50)
    assert canary.verdict() == CanaryVerdict(RUNNING, difference, -math.inf, math.inf, old, new)


def test_the_share_is_a_share_of_tasks() -> None:
    canary = made(share=0.2)

    assert sum(canary.takes_part(str(task)) for task in range(5000)) / 5000 == pytest.approx(0.2, abs=0.02)


def told(canary: Canary, task: str, **step: Any) -> str:
    """A task's step is decided; which side it is on."""
    step_ = Step(task=task, **step)
    selection = canary.select(Request((HumanMessage("Hi."),), step_, ROUTES), ())
    assert selection is not None
    canary.on_decision(Decision(f"d-{task}", step_, selection.route, (Attempt(selection),)))
    return selection.route


def counted(canary: Canary, task_kind: str = "") -> int:
    verdict = canary.verdict(task_kind)
    return verdict.old + verdict.new


def test_the_oldest_tasks_are_forgotten_and_no_others() -> None:
    """50,000 tasks are remembered; an outcome that comes later than that counts for nobody."""
    canary, step, attempts = made(), Step(task="x"), (Attempt(Selection("old")),)
    for number in range(50_001):
        canary.on_decision(Decision(f"d{number}", replace(step, task=str(number)), "old", attempts))
    assert counted(canary) == 0
    canary.on_outcome(Outcome(success=True, task_id="0"))
    canary.on_outcome(Outcome(success=True, decision_id="d0"))
    assert counted(canary) == 0
    canary.on_outcome(Outcome(success=True, task_id="5"))
    canary.on_outcome(Outcome(success=True, decision_id="d50000"))

    assert counted(canary) == 2


def test_the_sides_of_the_latest_tasks_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the share changes, tasks that are under way stay on their side; of very many, the oldest are forgotten."""
    monkeypatch.setattr("langroute.policies.canary.MOST_SIDES", 3)
    canary = made(share=1.0)
    assert [told(canary, task) for task in "abcde"] == ["new"] * 5
    canary.share = 0.0

    requests = [Request((HumanMessage("Hi."),), Step(task=task), ROUTES) for task in "abcde"]
    assert [canary.select(request, ()).route for request in requests] == ["old", "old", "new", "new", "new"]  # type: ignore[union-attr]


def test_a_tasks_outcome_counts_once_on_its_side_for_its_kind_and_for_all() -> None:
    canary = made()
    sides = {one: told(canary, one, task_kind="support") for one in "abcdefgh"}
    told(canary, "other", task_kind="code")
    for one in sides:
        canary.on_outcome(Outcome(success=one != "a", task_id=one))
        canary.on_outcome(Outcome(success=False, task_id=one))
    canary.on_outcome(Outcome(score=0.5, decision_id="d-other"))
    canary.on_outcome(Outcome(success=True, task_id="never seen"))
    canary.on_outcome(Outcome("seconds", score=0.9, task_id="other"))

    assert {"old", "new"} == set(sides.values()), "both sides have tasks"
    verdict = canary.verdict("support")
    assert (verdict.old, verdict.new) == tuple(list(sides.values()).count(side) for side in ("old", "new"))
    assert counted(canary) == 9
    assert counted(canary, "code") == 1
    assert counted(canary, "chat") == 0
    bad = 1 / list(sides.values()).count(sides["a"])
    assert verdict.difference == pytest.approx(bad if sides["a"] == "old" else -bad)
    assert verdict.low < verdict.difference < verdict.high
    assert verdict.high - verdict.difference == pytest.approx(verdict.difference - verdict.low)


def test_a_verdict_in_the_middle_of_a_task_does_not_move_it() -> None:
    canary = made(margin=0.15)
    sides = {task: told(canary, f"begun-{task}") for task in range(20)}
    run(canary, {"old": 0.9, "new": 0.9}, 4000, 2)
    assert canary.state == SUCCESS

    assert {task: told(canary, f"begun-{task}") for task in sides} == sides
    assert told(canary, "begun later") == "new"
    # What was counted before the verdict stays, and nothing is added.
    before = counted(canary)
    canary.on_outcome(Outcome(success=False, task_id="begun-1"))
    assert counted(canary) == before


@pytest.mark.parametrize(("here", "there", "route"), [(1.0, 0.0, "new"), (0.0, 1.0, "old")])
@pytest.mark.parametrize("task", ["k1", None])
def test_a_task_stays_on_its_side_in_a_process_that_knows_only_its_messages(
    here: float, there: float, route: str, task: str | None
) -> None:
    """Even where a process was started with another share meanwhile; another task of the thread has a side of its own."""
    step = Step(task=task, thread="t")
    first = made(share=here, id="trial").select(Request((HumanMessage("Hi."),), step, ROUTES), ())
    assert first is not None
    assert first.route == route
    told = {"route": route, "step": {"kind": "chat"}, "task_id": task, "thread": {"memory": list(first.memory)}}
    thread = (HumanMessage("Hi."), AIMessage("Yes.", response_metadata={"langroute": told}), HumanMessage("And?"))

    def chosen(step: Step) -> str:
        selection = made(share=there, id="trial").select(Request(thread, step, ROUTES), ())
        assert selection is not None
        return selection.route

    assert chosen(step) == route
    if task is not None:
        assert chosen(replace(step, task="k2")) == ("new" if there else "old")


def test_scores_between_good_and_bad_are_summed_with_their_squares() -> None:
    """From which their spread is told."""
    fold, document, sides = CanaryFold(0.02, 0.05), {}, {"t1": {}, "d1": {}, "t2": {}, "d2": {}}  # type: ignore[var-annotated]
    for number, score in ((1, 0.5), (2, 0.25)):
        fold.add(document, sides, ("decided", f"t{number}", f"d{number}", False, "support"))
        fold.add(document, sides, ("task", f"t{number}", score))

    assert document["arms"] == {kind: [[2, 0.75, 0.3125], [0, 0.0, 0.0]] for kind in ("", "support")}


def test_a_thread_stands_for_a_task_where_there_is_none_and_what_has_neither_is_old() -> None:
    canary = made(share=1.0)
    request = Request((HumanMessage("Hi."),), Step(thread="t"), ROUTES)

    assert canary.select(request, ()).route == "new"
    assert canary.select(Request((HumanMessage("Hi."),), Step(), ROUTES), ()).route == "old"
    canary.on_decision(Decision("d", request.step, "new", (Attempt(Selection("new")),)))
    canary.on_decision(Decision("e", Step(), "old", (Attempt(Selection("old")),)))
    canary.on_outcome(Outcome(success=True, decision_id="d"))
    canary.on_outcome(Outcome(success=True, decision_id="e"))
    assert (canary.verdict().old, canary.verdict().new) == (0, 1)


def test_both_policies_hear_and_name_their_routes() -> None:
    class Listener:
        def __init__(self, route: str) -> None:
            self.route, self.heard = route, []

        def select(self, request: Request, attempts: Any) -> Selection:
            return Selection(self.route)

        def routes_named(self) -> list[str]:
            return [self.route]

        def on_decision(self, decision: Decision) -> None:
            self.heard.append(decision)

        def on_outcome(self, outcome: Outcome) -> None:
            self.heard.append(outcome)

    old, new = Listener("old"), Listener("new")
    canary, decision, outcome = Canary(old, new), Decision("d", Step(), "old", ()), Outcome(success=True)
    canary.on_decision(decision)
    canary.on_outcome(outcome)

    assert old.heard == new.heard == [decision, outcome]
    assert list(canary.routes_named()) == ["old", "new"]
    assert (canary.name, canary.version) == ("Canary(Listener, Listener)", "")


def test_the_width_of_the_interval_is_the_sources() -> None:
    """Worked out by hand from theorem 2.2 with rho squared 0.01, for 10 outcomes of one side and 10 of the other."""
    old, new = Arm(), Arm()
    for number in range(10):
        old.add(float(number < 8))
        new.add(float(number < 5))
    # Two made-up outcomes of each kind: means 10/14 and 7/14.
    variance = (10 / 14 * 4 / 14 + 0.25) / 10
    expected = math.sqrt(variance * 2 * 1.2 / 0.2 * math.log(math.sqrt(1.2) / 0.05))

    assert (old.mean, new.mean) == (0.8, 0.5)
    assert radius(old, new, 0.05) == pytest.approx(expected)
    for too_few in (Arm(), Arm(1, 1.0, 1.0)):
        assert radius(too_few, new, 0.05) == radius(old, too_few, 0.05) == math.inf
    assert radius(Arm(2, 1.0, 1.0), Arm(2, 1.0, 1.0), 0.05) < math.inf


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_however_many_outcomes_are_equal_the_next_may_be_another(score: float) -> None:
    """The spread of one outcome is never nothing."""
    spreads = [Arm(count, count * score, count * score).variance for count in (10, 10**4, 10**8, 10**12)]

    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] == pytest.approx(2 / 14 * 12 / 14)
    assert spreads[-1] == 1e-6


def test_it_can_be_carried_to_another_process_with_what_it_counted() -> None:
    canary = made()
    told(canary, "a")
    told(canary, "b")
    canary.on_outcome(Outcome(success=True, task_id="a"))
    copied = pickle.loads(pickle.dumps(canary))
    copied.on_outcome(Outcome(success=True, task_id="b"))

    assert (counted(canary), counted(copied)) == (1, 2)
    assert copied.verdict().state == RUNNING


@pytest.mark.parametrize(
    "wrong", [{"share": -0.1}, {"share": 1.1}, {"margin": 1.0}, {"margin": -0.1}, {"alpha": 0.0}, {"alpha": 1.0}]
)
def test_numbers_that_cannot_be_meant_are_said(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        made(**wrong)


@pytest.mark.parametrize("right", [{"share": 0.0}, {"share": 1.0}, {"margin": 0.0}])
def test_the_ends_of_what_is_allowed_are_allowed(right: dict[str, float]) -> None:
    assert made(**right).state == RUNNING


def test_mistakes_are_said() -> None:
    with pytest.raises(ConfigurationError):
        made(share=2)
    with pytest.raises(ConfigurationError, match=r"old is .*`select`"):
        Canary("old", Fixed("new"))
    with pytest.raises(ConfigurationError, match=r"new is .*`select`"):
        Canary(Fixed("old"), ScriptedModel("new"))


def outcomes_at_another(canaries: list[Canary], tasks: int, by: str) -> None:
    """Each task is decided by one worker, and its outcome is told at the next; the new policy always fails."""
    for number in range(tasks):
        here, there = canaries[number % len(canaries)], canaries[(number + 1) % len(canaries)]
        route = told(here, f"t{number}")
        about = {"task_id": f"t{number}"} if by == "task" else {"decision_id": f"d-t{number}"}
        there.on_outcome(Outcome(success=route == "old", **about))


@pytest.mark.parametrize("by", ["task", "decision"])
def test_workers_judge_together_and_a_verdict_outlives_them(tmp_path: Path, by: str) -> None:
    workers = [made(share=0.5, store=tmp_path / "state.db") for _ in range(4)]
    outcomes_at_another(workers, 60, by)
    for worker in workers:
        worker.verdict()
    verdicts = {worker.verdict() for worker in workers}

    assert len(verdicts) == 1
    assert next(iter(verdicts)).state == HARM
    later = made(share=0.5, store=tmp_path / "state.db")
    assert later.state == HARM
    assert {told(later, f"later{number}") for number in range(50)} == {"old"}
    later.restart()
    assert workers[0].state == RUNNING


def test_an_event_is_about_its_task_and_its_decision_and_nothing_else() -> None:
    """Which is what a store reads and locks for it."""
    fold = CanaryFold(0.02, 0.05)

    assert tuple(fold.keys(("decided", "t1", "d1", True, "support"))) == ("t1", "d1")
    assert tuple(fold.keys(("task", "t1", 1.0))) == ("t1",)
    assert tuple(fold.keys(("decision", "d1", 1.0))) == ("d1",)


def test_an_outcome_that_comes_before_its_decision_waits_for_it() -> None:
    canary = made()
    canary.on_outcome(Outcome(success=True, task_id="t"))
    canary.on_outcome(Outcome(success=True, decision_id="d-other"))
    assert counted(canary) == 0
    told(canary, "t")
    told(canary, "other")

    assert counted(canary) == 2


def test_canaries_of_other_policies_or_another_name_are_other_trials(tmp_path: Path) -> None:
    first = made(store=tmp_path / "state.db")
    others = [made(store=tmp_path / "state.db", **more) for more in ({"id": "second"}, {"share": 0.3}, {"margin": 0.1})]
    told(first, "t")
    first.on_outcome(Outcome(success=True, task_id="t"))

    assert counted(first) == 1
    assert [counted(one) for one in others] == [0, 0, 0]


def test_a_ledger_that_is_told_tells_the_canary(tmp_path: Path) -> None:
    """Whoever records to the ledger itself knows no router; a second router of that ledger starts from the same counts."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        models = {name: ScriptedModel("x") for name in ("old", "new")}
        canaries = [made(), made()]
        routers = [ChatRouter(models, policy=canary, ledger=ledger) for canary in canaries]
        for number in range(6):
            with task_context.task(f"t{number}"):
                routers[number % 2].invoke("Hi.")
            ledger.record_outcome(Outcome(success=True, task_id=f"t{number}"))

        for canary in canaries:
            canary.verdict()
        assert [counted(canary) for canary in canaries] == [6, 6]


def test_a_store_that_is_away_costs_no_answer_and_says_so_once() -> None:
    class Away:
        local = False

        def read(self, space: str, keys: object) -> list[object]:
            raise StateError("The shared state is away")

        commit = read

        def close(self) -> None:
            pass

    canary = made(share=0.5, store=Away())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        routes = {told(canary, f"t{number}") for number in range(50)}
        assert canary.state == RUNNING
        assert canary.verdict().state == RUNNING

    assert routes == {"old", "new"}
    assert [str(one.message).startswith("The shared state is away") for one in caught if one.category is DegradedWarning] == [True]
