"""Canary release of a policy: a share of the tasks goes to the new one until a sequential test decides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any
from zlib import crc32

from langroute.core.locks import new_lock
from langroute.core.number_checks import check_able, check_number
from langroute.core.records import Attempt, Decision, Outcome, Request, Selection, Step
from langroute.core.thread import note_in, with_note
from langroute.ledger.listening import listen
from langroute.policies.base import MayAwait, ask, awaits, handles_errors, reward_of, use_ledger
from langroute.policies.canary_arms import RUNNING, SUCCESS, CanaryFold, compared, state_of_arms
from langroute.policies.outcome_keys import decision_key, task_key, task_of_step
from langroute.state.memory import MemoryState
from langroute.state.resolve import open_state, state_of
from langroute.state.shared import SharedState, digest

MOST_SIDES = 50_000
"""Most tasks whose policy is remembered in a process, for programs that keep only texts."""


@dataclass(frozen=True, slots=True)
class CanaryVerdict:
    """Comparison of the new policy with the old one, for all tasks or for one task kind."""

    state: str
    """`running`, `harm` or `success`."""

    difference: float
    """Mean score of the new policy's tasks minus that of the old one's."""

    low: float
    high: float
    """Ends of the anytime-valid interval of the difference, at confidence `1 - alpha` (95 % by default)."""

    old: int
    new: int
    """Number of tasks with an outcome, for the old and for the new policy."""


class Canary(MayAwait):
    """Give a share of the tasks to a new policy, whole tasks at a time, until a sequential test says harm or success.

    A task keeps its policy for all its steps: its answers carry which one it has (`Request.thread`). At harm all new tasks go back to the
    old policy; at success all go to the new one. The verdict rests on explicit outcomes alone, and is valid after every outcome.

    All workers of a service judge together, and a verdict outlives them: what they count is in the database of the router's ledger, or
    in `store`. Workers without a ledger that lasts share it within their process. Canaries are the same trial where their policies, share,
    margin and alpha are; name those apart that are not (`id`).

    Args:
        old: The policy in use.
        new: The policy on trial.
        share: Share of tasks that the new policy gets.
        margin: Difference in mean score by which the new policy may be worse and still be a success.
        alpha: Probability of a wrong verdict.
        store: Where its counts are: a `StateStore`, or the address of one (`redis://…`, `postgresql://…`, a file); the database of the
            router's ledger where nothing is given.
        id: Name of the trial. A new one begins anew.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> canary = Canary(Fixed("large"), Fixed("small"), share=0.0)
        >>> canary.select(Request("Hi."), ()).route, canary.verdict().state
        ('large', 'running')
    """

    def __init__(
        self,
        old: Any,
        new: Any,
        *,
        share: float = 0.1,
        margin: float = 0.02,
        alpha: float = 0.05,
        store: Any = None,
        id: str | None = None,
    ) -> None:
        check_able("old", old, "select")
        check_able("new", new, "select")
        check_number("share", share, least=0, most=1)
        check_number("margin", margin, least=0, below=1)
        check_number("alpha", alpha, above=0, below=1)
        self.old, self.new, self.share, self.margin, self.alpha = old, new, share, margin, alpha
        names = [getattr(policy, "name", None) or type(policy).__name__ for policy in (old, new)]
        self.name = f"Canary({names[0]}, {names[1]})"
        self.version = str(getattr(new, "version", "") or "")
        self.id = id
        self._name = id or self._made_id(names)
        self._note = f"canary:{self._name}"
        self._sides: OrderedDict[str, bool] = OrderedDict()
        self._heard: Outcome | None = None
        self._ledger: Any = None
        self._lock = new_lock()
        self._own = store is None
        self._shared = self._in(MemoryState() if store is None else open_state(store))

    def _made_id(self, names: Sequence[str]) -> str:
        versions = [str(getattr(policy, "version", "") or "") for policy in (self.old, self.new)]
        routes = [sorted(map(str, getattr(policy, "routes_named", tuple)())) for policy in (self.old, self.new)]
        return digest(repr((*names, versions, routes, self.share, self.margin, self.alpha)))

    def _in(self, store: Any) -> SharedState:
        return SharedState(store, f"canary:{self._name}", CanaryFold(self.margin, self.alpha))

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            kept = {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_shared", "_heard")}
            return kept | {"_sides": self._sides.copy(), "store": self._shared.store, "_ledger": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        store = state.pop("store")
        self.__dict__.update(state, _lock=new_lock(), _heard=None)
        self._shared = self._in(store)

    def use_ledger(self, ledger: Any) -> None:
        """Keep the counts in the ledger's database, unless they are elsewhere already, and hear the outcomes that it is told."""
        for policy in (self.old, self.new):
            use_ledger(policy, ledger)
        listen(ledger, self.on_outcome)
        self._ledger = ledger
        if self._own:
            self._own = False
            before = self._shared.now()
            self._shared = self._in(state_of(ledger))
            if before and not self._shared.now():
                self._shared.replace(before)

    @property
    def state(self) -> str:
        """`running`, `harm` or `success`, as all workers know it by now."""
        return str(self._shared.now().get("state", RUNNING))

    def restart(self) -> None:
        """Forget the counts and the verdict, for all workers: the trial begins anew."""
        self._shared.now()
        self._shared.replace({})

    def _must_await(self) -> bool:
        return awaits(self.old) or awaits(self.new)

    @property
    def handles_errors(self) -> bool:
        """Whether both policies handle errors themselves."""
        return handles_errors(self.old) and handles_errors(self.new)

    def routes_named(self) -> Iterable[str]:
        """Return the names of the routes of both policies."""
        return [name for policy in (self.old, self.new) for name in getattr(policy, "routes_named", tuple)()]

    def kinds_named(self) -> Iterable[str]:
        """Return the step kinds that both policies distinguish."""
        return [kind for policy in (self.old, self.new) for kind in getattr(policy, "kinds_named", tuple)()]

    def takes_part(self, task: str) -> bool:
        """Return whether a task belongs to the new policy's share; by a hash, so every process agrees."""
        return crc32(f"canary:{task}".encode("utf-8", "replace")) / 2**32 < self.share

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the selection of the policy that the task belongs to."""
        task, new = self._side_of(request, attempts)
        return self._noted((self.new if new else self.old).select(request, attempts), task, new)

    async def _aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        task, new = self._side_of(request, attempts)
        return self._noted(await ask(self.new if new else self.old, request, attempts), task, new)

    def _noted(self, selection: Selection | None, task: str | None, new: bool) -> Selection | None:
        if selection is None or task is None:
            return selection
        return replace(selection, memory=with_note(selection.memory, self._note, task, new))

    def _side_of(self, request: Request, attempts: Sequence[Attempt]) -> tuple[str | None, bool]:
        """Return the task of a step and whether it belongs to the new policy: as its answers say, else as this process knows it."""
        step = request.step
        told = _task_of(step)
        for memory in (*(attempt.selection.memory for attempt in attempts), *_memories(request)):
            noted = self._noted_in(memory)
            # A verdict in the middle of a task does not move the task to the other policy.
            if noted is not None and (told is None or noted[0] == digest(told)):
                return noted
        if told is not None:
            return digest(told), self._is_new(told)
        if step.thread is None:
            return None, self._is_new(None)
        # A conversation without an id is a task of its own, even where another one begins with the same words.
        own = digest(step.thread) if request.deterministic else token_hex(12)
        return own, self._is_new(own)

    def _noted_in(self, memory: tuple[Any, ...]) -> tuple[str, bool] | None:
        """Return the task and whether it belongs to the new policy, as an answer carries it."""
        noted = note_in(memory, self._note)
        return (noted[0], noted[1] is True) if noted is not None and len(noted) == 2 and isinstance(noted[0], str) else None

    def _is_new(self, task: str | None) -> bool:
        if task is not None and (side := self._sides.get(task)) is not None:
            return side
        state = self._shared.document().get("state", RUNNING)
        if state != RUNNING:
            return bool(state == SUCCESS)
        return task is not None and self.takes_part(task)

    def on_decision(self, decision: Decision) -> None:
        """Remember which policy the task belongs to."""
        for policy in (self.old, self.new):
            if callable(hear := getattr(policy, "on_decision", None)):
                hear(decision)
        mine = self._noted_in(decision.memory)
        told = _task_of(decision.step)
        task = told if told is not None else mine[0] if mine is not None else None
        if task is None:
            return
        with self._lock:
            new = mine[1] if mine is not None else self._is_new(task)
            if told is not None:
                self._sides[told] = new
                while len(self._sides) > MOST_SIDES:
                    self._sides.popitem(last=False)
        if self._shared.document().get("state", RUNNING) == RUNNING:
            kind = (decision.step.task_kind or "")[:100]
            known = task_of_step(self._ledger, decision.step) or task
            self._shared.tell(("decided", task_key(self._ledger, known), decision_key(decision.id), new, kind), urgent=False)

    def on_outcome(self, outcome: Outcome) -> None:
        """Count a task's outcome for its policy, once."""
        if outcome is self._heard:
            # Told by the ledger and by the router.
            return
        self._heard = outcome
        for policy in (self.old, self.new):
            if callable(hear := getattr(policy, "on_outcome", None)):
                hear(outcome)
        score = reward_of(outcome)
        if score is None or self._shared.document().get("state", RUNNING) != RUNNING:
            return
        if outcome.task_id is not None:
            self._shared.tell(("task", task_key(self._ledger, outcome.task_id), score))
        elif outcome.decision_id is not None:
            self._shared.tell(("decision", decision_key(outcome.decision_id), score))

    def verdict(self, task_kind: str = "") -> CanaryVerdict:
        """Return the comparison for one task kind, or for all tasks where none is given, by what all workers know by now."""
        document = self._shared.now()
        old, new, wide = compared(document, task_kind, self.alpha)
        one = {"arms": {"": document.get("arms", {}).get(task_kind, ((), ()))}}
        difference = new.mean - old.mean
        return CanaryVerdict(
            state_of_arms(one, self.margin, self.alpha), difference, difference - wide, difference + wide, old.count, new.count
        )


def _task_of(step: Step) -> str | None:
    """Return what a task is called by the program; a thread without an id is none."""
    return task_of_step(None, step)


def _memories(request: Request) -> Iterable[tuple[Any, ...]]:
    task = request.step.task
    return (past.memory for _, past in request.thread.latest() if task is None or past.task == task)
