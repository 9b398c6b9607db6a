"""Policy that moves families of tasks to cheaper routes when outcomes have proven that they will do."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langroute.core.degradation import Degradations
from langroute.core.errors import ConfigurationError, DegradedWarning, DuplicateRouteError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.locks import new_lock
from langroute.core.number_checks import check_able, check_number
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection, Step
from langroute.ledger.listening import listen
from langroute.policies.autopilot_arms import ALL, PilotSetup, shares_of
from langroute.policies.autopilot_fold import AutopilotFold
from langroute.policies.autopilot_names import arm_of, families_of, named_by, pilots_of, policies_of, price_ratios, routes_of
from langroute.policies.autopilot_status import INDEX, FamilyStatus, IndexFold, Undoable, hold_in, status_of, undo_in
from langroute.policies.base import MayAwait, ask, awaits, handles_errors, reward_of, use_ledger
from langroute.policies.outcome_keys import decision_key, task_key, task_of_step
from langroute.state.memory import MemoryState
from langroute.state.resolve import open_state, state_of
from langroute.state.shared import SharedState, digest

MEMORY = "autopilot"
"""First word of what a thread's messages remember of its arm."""

MOST_TASKS = 50_000
"""Most tasks whose arm this process remembers."""

PATIENCE = 50
"""Tasks without any outcome after which a warning says what to tell."""


@fast_dataclass
class Assignment:
    """The arm of a task, and with which probability it got it."""

    arm: str
    families: tuple[str, ...]
    """The families that its task counts in, the widest first."""

    share: float = 1.0


class Autopilot(MayAwait):
    """Start on a baseline, try cheaper routes or chains on whole tasks, and move each family of tasks down when that is proven.

    A family is the tasks of one task kind, agent and node, as the task's first step has them. Every task also counts in the wider families
    (its kind and agent, its kind, all), a finer one is drawn towards the wider ones until it has outcomes of its own. All steps of a task
    have the same arm, which is drawn at random; the selection records the probability. Outcomes may be told anywhere in the service.

    What counts is said in one of two ways. With `margin`, an arm is adopted when it is proven not to solve less than the baseline by more
    than that. With `value_usd`, tasks go where solved tasks times their value less their cost is likeliest to be highest, within what
    trials may lose (`risk`); an arm is adopted when it is proven to be worth more than the baseline. Proofs hold at any time one looks. An
    adopted arm that does harm is dropped. A share stays on the baseline for comparison. Without outcomes, everything does.

    What is learned is shared by all workers and outlives them: it is in the database of the router's ledger, or in `store`. Autopilots with
    the same arms and numbers are the same one; name those apart that are not (`id`). `langroute autopilot` shows it, and undoes changes.

    Args:
        arms: What may be cheaper: names of routes; lists of names, which are chains (`Cascade`); or a mapping of names to either or to
            policies.
        baseline: The route in use, or a policy.
        value_usd: What a solved task is worth, in USD.
        margin: By how much less an arm may solve, from 0 to 1; 0.02 where neither is given.
        share: Largest share of tasks on trial; by default 0.3 with a margin, and up to all with a value.
        hold_out: Share of tasks that stays on the baseline after a change; with a value, less where it costs more than `risk`.
        alpha: Probability that an arm is adopted in a family though it is worse than tolerated.
        risk: With a value: what trials may lose, as a share of what all solved tasks are worth.
        family: Returns the parts of a step's family, the widest first; by default its task kind, agent and node.
        store: Where its state is: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file).
        id: Name of the autopilot. A new one begins anew.

    Raises:
        ConfigurationError: An argument is not as described.

    Example:
        >>> from langroute.core.records import Step
        >>> pilot = Autopilot(["small"], baseline="large", value_usd=5.0)
        >>> pilot.select(Request("Hi.", Step(task="t1")), ()).route
        'large'
        >>> pilot.status()[0].waits_for
        'outcomes: record_outcome(router, True, task_id=...) after each task'
    """

    def __init__(
        self,
        arms: Any,
        *,
        baseline: Any,
        value_usd: float | None = None,
        margin: float | None = None,
        share: float | None = None,
        hold_out: float = 0.05,
        alpha: float = 0.05,
        risk: float = 0.01,
        family: Callable[[Step], Sequence[str]] | None = None,
        store: Any = None,
        id: str | None = None,
    ) -> None:
        if value_usd is not None and margin is not None:
            raise ConfigurationError("Say what counts in one way: value_usd or margin.")
        if value_usd is None and margin is None:
            margin = 0.02
        share = (0.3 if value_usd is None else 1.0) if share is None else share
        if value_usd is not None:
            check_number("value_usd", value_usd, above=0)
        check_number("alpha", alpha, above=0, below=1)
        check_number("risk", risk, above=0, below=1)
        if margin is not None:
            check_number("margin", margin, least=0, below=1)
        check_number("share", share, above=0, most=1)
        check_number("hold_out", hold_out, least=0, below=1)
        if family is not None:
            check_able("family", family)
        self.arms, self.baseline, self.family = arms, baseline, family
        self._base, self._policies = arm_of(baseline), policies_of(arms)
        if self._base[0] in self._policies:
            raise DuplicateRouteError(self._base[0])
        self._policies = {self._base[0]: self._base[1], **self._policies}
        self._routes = {name: routes_of(policy) for name, policy in self._policies.items()}
        pilots = pilots_of(self._routes, self._base[0])
        self.setup = PilotSetup(self._base[0], pilots, value_usd, margin, share, hold_out, alpha, risk)
        self.id = id or digest(repr(self.setup))
        self.name = f"Autopilot({', '.join(arm.name for arm in pilots)})"
        self.version = ""
        self._tasks: OrderedDict[str, Assignment] = OrderedDict()
        self._shares: dict[tuple[str, ...], tuple[Any, dict[str, float]]] = {}
        self._ratios: dict[str, float] = {}
        self._heard: Outcome | None = None
        self._ledger: Any = None
        self._index: SharedState | None = None
        self._lock, self._notices = new_lock(), Degradations()
        self._own = store is None
        self._shared = self._in(MemoryState() if store is None else open_state(store))

    def _in(self, store: Any) -> SharedState:
        return SharedState(store, f"autopilot:{self.id}", AutopilotFold(self.setup))

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            gone = ("_lock", "_shared", "_heard", "_notices", "_shares", "_index")
            kept = {key: value for key, value in self.__dict__.items() if key not in gone}
            return kept | {"_tasks": self._tasks.copy(), "store": self._shared.store, "_ledger": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        store = state.pop("store")
        self.__dict__.update(state, _lock=new_lock(), _heard=None, _notices=Degradations(), _shares={})
        self._index = None
        self._shared = self._in(store)

    def use_ledger(self, ledger: Any) -> None:
        """Keep the state in the ledger's database, unless it is elsewhere already, and hear the outcomes that it is told."""
        for policy in self._policies.values():
            use_ledger(policy, ledger)
        listen(ledger, self.on_outcome)
        self._ledger = ledger
        if self._own:
            self._own, self._index = False, None
            before = self._shared.now()
            self._shared = self._in(state_of(ledger))
            if before and not self._shared.now():
                self._shared.replace(before)

    def _must_await(self) -> bool:
        return any(awaits(policy) for policy in self._policies.values())

    @property
    def handles_errors(self) -> bool:
        """Whether the baseline and all arms handle errors themselves."""
        return all(handles_errors(policy) for policy in self._policies.values())

    def routes_named(self) -> Iterable[str]:
        """Return the names of the routes of the baseline and of the arms."""
        return [name for policy in self._policies.values() for name in named_by(policy, "routes_named")]

    def kinds_named(self) -> Iterable[str]:
        """Return the step kinds that the baseline and the arms distinguish."""
        return [kind for policy in self._policies.values() for kind in named_by(policy, "kinds_named")]

    # Choosing --------------------------------------------------------------------------------------------------------

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the selection of the arm that the task has."""
        given = self._assigned(request)
        return self._marked(given, self._policy_of(given, request).select(request, attempts))

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        given = self._assigned(request)
        return self._marked(given, await ask(self._policy_of(given, request), request, attempts))

    def _policy_of(self, given: Assignment, request: Request) -> Any:
        """Return an arm's policy; the baseline's for a step that none of the arm's routes may take."""
        routes = self._routes[given.arm]
        able = not routes or not request.routes or any(request.route(name) is not None for name in routes)
        return self._policies[given.arm if able else self._base[0]]

    def _marked(self, given: Assignment, found: Selection | None) -> Selection | None:
        if found is None or not given.families:
            return found
        # A policy that remembers something itself keeps its place; which arm a task has is then known by its hash.
        memory = found.memory or (MEMORY, self.id, given.arm, given.share, *given.families)
        reason = f"autopilot, {given.arm}: {found.reason}"
        return replace(found, reason=reason, propensity=given.share * found.propensity, memory=memory)

    def _assigned(self, request: Request) -> Assignment:
        """Return the arm of a request's task: as this process or the thread's messages remember it, else a new one."""
        task = _task_of(request.step)
        if task is None or request.limited or request.uninspected:
            return Assignment(self._base[0], ())
        known = self._tasks.get(task) or self._past(request, task)
        if known is None:
            if not self._ratios:
                self._ratios = price_ratios(self.setup, request.routes)
            if request.deterministic:
                best = self.shares_in(self._families(request.step), held=True)
                return Assignment(next(iter(best)), ())
            known = self._drawn(task, request.step, request.routes)
        if self._tasks.get(task) is not known:
            self._remember(task, known)
        return known

    def _past(self, request: Request, task: str) -> Assignment | None:
        for _, past in request.thread.latest():
            memory = past.memory
            if len(memory) < 5 or memory[:2] != (MEMORY, self.id):
                continue
            arm, share = memory[2:4]
            mine = past.task is None or past.task.removeprefix("thread:") == task
            if mine and isinstance(arm, str) and arm in self._policies:
                # Messages come from outside: they may name no family that there is not.
                known = self._shared.document().get("families", {})
                families = tuple(one for one in memory[4:] if isinstance(one, str) and one in known)
                sure = isinstance(share, float) and 0 < share <= 1
                return Assignment(arm, families or self._families(request.step), share if sure else 1.0)
        return None

    def _drawn(self, task: str, step: Step, routes: Sequence[RouteInfo] = ()) -> Assignment:
        """Draw a task's arm: by its hash, so that every worker draws the same."""
        families = self._families(step)
        shares = self.shares_in(families)
        if routes:
            there = {route.name for route in routes}
            may = {arm.name for arm in self.setup.arms if not arm.routes or there.issuperset(arm.routes)}
            shares = {name: share for name, share in shares.items() if name in may or name == self._base[0]}
            shares[self._base[0]] = 1 - sum(share for name, share in shares.items() if name != self._base[0])
        # Not a checksum: those of names that differ by a number are not spread evenly.
        place = int(digest(f"{MEMORY}:{self.id}:{task}")[:13], 16) / 16**13
        for name, share in shares.items():
            place -= share
            if place < 0:
                return Assignment(name, families, share)
        return Assignment(self._base[0], families, shares.get(self._base[0], 1.0))

    def shares_in(self, families: tuple[str, ...], *, held: bool = False) -> dict[str, float]:
        """Return the share of tasks that each arm gets now.

        Args:
            families: Names of the task's families, the finest first.
            held: Shares of tasks that must keep to what is proven.
        """
        document = self._shared.document()
        key = (*families, "held") if held else families
        seen = document.get("seen"), len(document.get("changes", ()))
        cached = self._shares.get(key)
        if cached is None or cached[0] != seen:
            known = document.get("families", {})
            levels = [known[name] for name in families if name in known]
            found = shares_of(self.setup, levels, self._ratios or document.get("ratios", {}), held)
            if len(self._shares) > 1000:
                self._shares = {}
            cached = self._shares[key] = (seen, found)
        return dict(cached[1])

    def _families(self, step: Step) -> tuple[str, ...]:
        if self.family is None:
            return families_of((("kind", step.task_kind), ("agent", step.agent), ("node", step.node)))
        return families_of(("", str(part)) for part in self.family(step))

    def _remember(self, task: str, known: Assignment) -> None:
        with self._lock:
            self._tasks[task] = known
            while len(self._tasks) > MOST_TASKS:
                self._tasks.popitem(last=False)

    # Hearing ---------------------------------------------------------------------------------------------------------

    def on_decision(self, decision: Decision) -> None:
        """Count what a step of a task has cost."""
        for policy in self._policies.values():
            if callable(hear := getattr(policy, "on_decision", None)):
                hear(decision)
        task = _task_of(decision.step)
        if task is None or decision.limited:
            return
        known = self._tasks.get(task)
        if known is None:
            known = self._drawn(task, decision.step)
            self._remember(task, known)
        decided = (
            "decided",
            task_key(self._ledger, task_of_step(self._ledger, decision.step) or task),
            decision_key(decision.id),
            known.arm,
            list(known.families),
            decision.cost_usd,
            self._ratios,
        )
        self._shared.tell(decided, urgent=False)
        if self._index is None:
            self._index = SharedState(self._shared.store, INDEX, IndexFold())
            self._index.tell((self.id,))
        self._remind()

    def on_outcome(self, outcome: Outcome) -> None:
        """Count a task's outcome for its arm; of several, the one that was told last."""
        if outcome is self._heard:
            # Told by the ledger and by the router.
            return
        self._heard = outcome
        for policy in self._policies.values():
            if callable(hear := getattr(policy, "on_outcome", None)):
                hear(outcome)
        score, at = reward_of(outcome), outcome.at or time.time()
        if score is None:
            return
        if outcome.task_id is not None:
            self._shared.tell(("task", task_key(self._ledger, outcome.task_id), score, at))
        elif outcome.decision_id is not None:
            self._shared.tell(("decision", decision_key(outcome.decision_id), score, at))

    def add_pair(
        self,
        arm: str,
        new: float,
        old: float,
        *,
        new_cost_usd: float | None = None,
        old_cost_usd: float | None = None,
        agreement: float | None = None,
        step: Step | None = None,
    ) -> None:
        """Count a task that an arm and the baseline both did, such as a shadowed one; such pairs prove sooner.

        Args:
            arm: The arm.
            new: Its score, from 0 to 1.
            old: The baseline's score for the same task, which is told in no other way.
            new_cost_usd: What it cost.
            old_cost_usd: What the baseline cost.
            agreement: Where a judge gave the scores: the share of tasks, above a half, for which it agrees with explicit outcomes. It has to
                be as often right about the arm as about the baseline.
            step: A step of the task, for its family.

        Raises:
            ConfigurationError: There is no such arm, or a number is out of range.

        Example:
            >>> pilot = Autopilot(["small"], baseline="large", margin=0.2)
            >>> for _ in range(50):
            ...     pilot.add_pair("small", 1.0, 1.0)
            >>> [change["change"] for change in pilot.changes()]
            ['adopted']
        """
        if arm not in self._policies or arm == self._base[0]:
            raise ConfigurationError(f"There is no arm {arm!r}. Arms: {', '.join(one.name for one in self.setup.arms)}.")
        for name, value in (("new", new), ("old", old)):
            check_number(name, value, least=0, most=1)
        for name, cost in (("new_cost_usd", new_cost_usd), ("old_cost_usd", old_cost_usd)):
            if cost is not None:
                check_number(name, cost, least=0)
        if agreement is not None:
            check_number("agreement", agreement, above=0.5, most=1)
        told = {"new": float(new), "old": float(old), "new_cost": new_cost_usd, "old_cost": old_cost_usd, "agreement": agreement}
        self._shared.tell(("pair", list(self._families(step or Step())), arm, told, time.time()))

    def _remind(self) -> None:
        whole = self._shared.document().get("families", {}).get(ALL, {})
        if not whole.get("sums") and sum(whole.get("given", {}).values()) >= PATIENCE:
            self._notices.warn(
                "no outcomes",
                DegradedWarning,
                f"Autopilot has heard no outcome of {PATIENCE} tasks, so all stay on {self._base[0]!r}. Tell it what came of each: "
                "record_outcome(router, True, task_id=...), from langroute.tracking.outcomes.",
            )

    # Looking and undoing ---------------------------------------------------------------------------------------------

    def status(self) -> list[FamilyStatus]:
        """Return how each family stands, by what all workers know by now; the widest first."""
        return status_of(self._shared.now(), self.setup, self._ratios)

    def changes(self) -> list[Mapping[str, Any]]:
        """Return the changes of mind so far, each with its numbers; the earliest first."""
        return list(self._shared.now().get("changes", ()))

    def undo(self, family: str | None = None, *, number: int | None = None) -> Mapping[str, Any]:
        """Take back the latest change of mind of a family, or the one of a number, for all workers.

        An arm that was adopted is held until that is undone, too; one that was dropped or held is tried again from the beginning.

        Raises:
            ConfigurationError: There is no such change.
            StateError: The store is away.
        """
        self._shared.now()
        found = undo_in(Undoable(self._shared.store, self._shared.space), family=family, number=number)
        self._shared.now()
        return found

    def hold(self, arm: str, family: str | None = None) -> Mapping[str, Any]:
        """Take an arm off in a family (all tasks where none is given), for all workers, until that is undone.

        Raises:
            ConfigurationError: There is no such arm or family yet.
            StateError: The store is away.
        """
        self._shared.now()
        found = hold_in(Undoable(self._shared.store, self._shared.space), arm, family=family)
        self._shared.now()
        return found

    def restart(self) -> None:
        """Forget everything, for all workers: the autopilot begins anew."""
        self._shared.now()
        self._shared.replace({})
        self._tasks.clear()


def _task_of(step: Step) -> str | None:
    task = step.task or step.thread
    # The ledger calls the task that a thread is by the thread's name.
    return task.removeprefix("thread:") if task is not None else None


__all__ = ["Assignment", "Autopilot"]
