"""Execution of one step as generators: selections, calls and checks, without I/O."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from langroute.core.open_decisions import note_made, note_open
from langroute.core.records import CLOSING, Attempt, Decision, Request, Selection, Stored, Verdict, best_attempt
from langroute.core.task_context import current_task, within
from langroute.engine.call_config import Run
from langroute.engine.effects import AnswerCheck, Consult, Effect, Reply, RouteCall, Wait
from langroute.engine.route_failure import route_failure
from langroute.verifiers import score_of

if TYPE_CHECKING:
    # `router` imports this module; `funding` is needed only with a budget.
    from langroute.engine.funding import Funding
    from langroute.engine.router import Router

Steps = Generator[Effect, Any, Any]


@dataclass(slots=True)
class StepResult:
    """Result of a finished plan."""

    decision: Decision
    message: Any = None
    parsed: Any = None
    output: Any = None
    index: int = -1
    """Index of the attempt that was kept."""

    error: BaseException | None = None
    """Error for the driver to raise, if there is no message."""

    @property
    def answer(self) -> str:
        """Text of the message."""
        text = getattr(self.message, "text", self.message)
        return str(text() if callable(text) and not isinstance(text, str) else text)


class StepExecution:
    """State of one step, and its transitions.

    A plan asks for a selection, makes the call, verifies the answer where it may be rejected, and asks again until there is no
    selection. The decision is recorded exactly once: `result` or `abort` ends an execution.

    Args:
        router: The router whose routes, policy, verifiers and budgets are used.
        request: The step.
        run: What its config says.
    """

    __slots__ = (
        "_calling", "_is_open", "_policy_failed", "_selected", "_unpaid", "attempts", "begun", "decision_id", "funding", "outputs", "problems", "refusal", "request",
        "router", "run", "started_at", "task", "waited_s",
    )  # fmt: skip

    def __init__(self, router: Router, request: Request, run: Run | None) -> None:
        self.begun, self.started_at, self.waited_s = perf_counter(), time(), 0.0
        self.router, self.request, self.run = router, request, run
        self.task = current_task()
        """The task around the step, also where its end is reached in another context: a stream may be read by several threads."""

        self.decision_id = new_id()
        self.attempts: list[Attempt] = []
        self.outputs: list[Reply] = []
        """Reply of each attempt."""

        self.problems = list(request.problems)
        self._calling: RouteCall | None = None
        """The call that is open."""

        self.refusal: BaseException | None = None
        """Reason why no route may be called any more."""

        self.funding: Funding | None = None
        if router.budgets or (run is not None and run.budget is not None):
            self.funding = router.funding(request, run, self.decision_id)
        self._policy_failed = self._unpaid = self._is_open = False

    # Selecting -------------------------------------------------------------------------------------------------------

    def select(self) -> Selection | None:
        """Return the next selection of a policy that does no I/O; `None` when the step is over."""
        if self.attempts:
            if self.is_over():
                return None
        elif self.request.uninspected and (unseen := self._unseen()) is not None:
            return unseen
        known, guard = len(self.problems), self.router.guard
        selection = guard.select(self.request, self.attempts, self.problems)
        self._policy_failed = len(self.problems) > known
        return selection

    def select_with_effects(self) -> Steps:
        """Return the next selection where budgets limit the step or the policy does I/O; `None` when the step is over."""
        if self.is_over() or (self.funding is not None and not (yield from self._afford(self.funding))):
            return None
        if not self.router.guard.asynchronous or (not self.attempts and self._unseen() is not None):
            return self.select()
        known = len(self.problems)
        selection = yield from self._consult()
        self._policy_failed = len(self.problems) > known
        return selection

    def is_over(self) -> bool:
        """Return whether the step ends here: tokens were shown and may not be restarted, or the policy stops after an answer."""
        if not self.attempts:
            return False
        attempt, router = self.attempts[-1], self.router
        if not attempt.ok:
            return attempt.streamed and not router.restarts_streams
        # A policy that failed does not judge the answer that the default route gave instead.
        return attempt.streamed or self._policy_failed or (router.guard.ends_with_answer and not attempt.selection.provisional)

    def _unseen(self) -> Selection | None:
        """Return the default route's selection for a step that the policy must not see, because it could not be inspected."""
        guard, request = self.router.guard, self.request
        if not guard.may_not_see(request):
            return None
        self._policy_failed = True
        return guard.instead(request, (), request.problems[0])

    def _afford(self, funding: Funding) -> Steps:
        """Return whether any route can be paid for."""
        # A policy stops after an answer that cannot be rejected, so the budget store need not be queried.
        if not (self._unpaid or _goes_on(self.attempts)):
            return True
        self._unpaid = False
        self.request = yield from funding.afford(self.problems)
        if self.request.routes:
            return True
        if best_attempt(self.attempts) is None:
            self.refusal = yield from self._close(funding)
        return False

    def _close(self, funding: Funding) -> Steps:
        """End with the budget's closing message, or return its error."""
        from langroute.budgets.closing import closing_route

        request = self.request
        said = funding.account.closing(request)
        if not isinstance(said, str):
            return said
        selection = Selection(CLOSING, next(iter(funding.account.reasons(request)), "the budget is used up"))
        reply = yield RouteCall(closing_route(said), selection, request, self.decision_id, len(self.attempts))
        self.attempts.append(Attempt(selection, reply.message, cost_usd=0.0, finish_reason=CLOSING, streamed=reply.streamed))
        self.outputs.append(reply)
        return None

    def _consult(self) -> Steps:
        """Call a policy that may do I/O."""
        guard, request, attempts = self.router.guard, self.request, self.attempts
        asking = perf_counter()
        try:
            selection = yield Consult(guard.policy, request, tuple(attempts))
        except Exception as error:  # noqa: BLE001 - whatever a policy raises, the call goes on
            selection = guard.rescue(request, attempts, error, self.problems)
        else:
            selection = guard.allow(request, attempts, selection, self.problems)
        self.waited_s += perf_counter() - asking
        return selection

    # Calling ---------------------------------------------------------------------------------------------------------

    def prepare(self, selection: Selection) -> Steps:
        """Wait before a retry and reserve the cost; return whether a budget pays for the call, else the policy has to select again."""
        if selection.wait_s > 0:
            yield Wait(selection.wait_s)
            self.waited_s += selection.wait_s
        if self.funding is None:
            return True
        route = self.router.routes[selection.route]
        self._unpaid = not (yield from self.funding.reserve(self.request, route, self.problems))
        if not self._unpaid:
            self.funding.calling(route)
        return not self._unpaid

    def call(self, selection: Selection) -> RouteCall:
        """Return the call of the selected route."""
        router = self.router
        call = RouteCall(
            router.routes[selection.route], selection, self.request, self.decision_id, len(self.attempts), router.timeouts
        )
        if router.hedges and self.funding is None:
            call.other = partial(self._other, call, tuple(self.attempts))
        self._calling = call
        return call

    def take(self, call: RouteCall, reply: Reply) -> Attempt:
        """Append the attempts of a reply, hedged calls that lost first; return the attempt of the answer."""
        accounts, self._calling = self.router.accounts, None
        self.waited_s += reply.latency_s
        self.problems.extend(reply.problems)
        if call.problem is not None:
            self.router.notices.warn_once(call.problem, self.problems, "adapt")
        if call.left_out is not None:
            self.router.notices.warn_once(call.left_out, self.problems)
        for other, lost in reply.also:
            self.attempts.append(accounts.attempt(other.route, other.selection, lost, other.request))
            self.outputs.append(lost)
        answered = reply.call or call
        if answered.told is not None:
            answered.told.correct(reply.message)
        self._selected = answered.selection
        attempt = accounts.attempt(answered.route, answered.selection, reply, answered.request)
        self.attempts.append(attempt)
        self.outputs.append(reply)
        if self.funding is not None:
            self.funding.settle(attempt, self.request, self.problems)
        if not attempt.ok or attempt.selection.provisional:
            # Other attempts may follow, or a check: whoever saw this one end has to wait for the decision.
            note_open(self.decision_id)
            self._is_open = True
        return attempt

    def _other(self, call: RouteCall, attempts: tuple[Attempt, ...]) -> RouteCall | None:
        """Return the call of the next route, for hedging; `None` if there is no other route."""
        selection = self.router.guard.after_timeout(call.request, attempts, call.selection)
        if selection is None:
            return None
        route = self.router.routes[selection.route]
        return RouteCall(route, selection, call.request, call.decision_id, call.index + 1, self.router.timeouts)

    # Verifying -------------------------------------------------------------------------------------------------------

    def must_verify(self, attempt: Attempt) -> bool:
        """Return whether the answer may still be rejected and must be verified."""
        if not (attempt.selection.provisional and attempt.ok and self.router.verifiers):
            return False
        return not _was_accepted(self.outputs[-1].stored, self._selected)

    def verify(self, attempt: Attempt) -> Steps:
        """Verify the latest attempt; it stays unchecked if no budget covers the checks."""
        verifiers, funding = self.router.verifiers, self.funding
        if funding is not None and not (yield from funding.reserve_checks(verifiers, self.request, attempt, self.problems)):
            return
        checking = perf_counter()
        verdicts: Sequence[Verdict] = yield AnswerCheck(verifiers, self.request, attempt, tuple(self.attempts[:-1]))
        self.waited_s += perf_counter() - checking
        if funding is not None:
            funding.settle_checks(verdicts)
        self.problems.extend(f"verifier {verdict.verifier} failed: {verdict.error}" for verdict in verdicts if verdict.error)
        self.attempts[-1] = replace(attempt, verdicts=tuple(verdicts), score=score_of(verdicts))

    # Ending ----------------------------------------------------------------------------------------------------------

    def refuse(self, error: BaseException) -> None:
        """Note that no route may be called any more."""
        self._end_call(error)
        self.refusal = error
        if self.funding is not None:
            # The error may come from an inner router that is a route here, whose call was reserved already.
            self.funding.cancel()

    def abort(self, error: BaseException) -> None:
        """Record what was spent when the step is cancelled or interrupted."""
        left = self._end_call(error)
        if self.funding is not None:
            self.funding.cancel(left)
        if self.attempts:
            self._record()

    def _end_call(self, error: BaseException) -> Attempt | None:
        """Append the attempt of the open call, if there is one, which the error ended, and return it."""
        if self._calling is None:
            return None
        self.attempts.append(self.router.accounts.left(self._calling, error))
        return self.attempts[-1]

    def result(self) -> StepResult:
        """Record the decision and return the result of the step."""
        if self.funding is not None:
            self.waited_s += self.funding.waited_s
        decision, attempts = self._record(), self.attempts
        if len(attempts) == 1 and decision.route is not None:
            # Nearly every step.
            reply = self.outputs[0]
            return StepResult(decision, reply.message, reply.parsed, reply.output, 0)
        kept = best_attempt(attempts)
        if kept is None:
            return StepResult(decision, error=self.refusal or route_failure(attempts))
        index = len(attempts) - 1
        while attempts[index] is not kept:
            index -= 1
        reply = self.outputs[index]
        return StepResult(decision, reply.message, reply.parsed, reply.output, index)

    def _record(self) -> Decision:
        if current_task() is not self.task:
            with within(self.task):
                return self._record()
        elapsed = perf_counter() - self.begun
        decision = self.router.accounts.record_decision(
            self.request, self.run, self.decision_id, self.attempts, self.problems, self.started_at, elapsed, self.waited_s
        )
        if self._is_open:
            note_made(self.decision_id)
        return decision


_IDS: list[str] = []
"""Decision ids drawn in advance: one system call for many."""

if hasattr(os, "register_at_fork"):
    # A child must not give out the ids that its parent gives out.
    os.register_at_fork(after_in_child=_IDS.clear)


def new_id() -> str:
    """Return a new decision id: 32 random hexadecimal digits."""
    try:
        return _IDS.pop()
    except IndexError:
        drawn = os.urandom(16 * 64).hex()
        _IDS.extend([drawn[place : place + 32] for place in range(32, len(drawn), 32)])
        return drawn[:32]


def _goes_on(attempts: Sequence[Attempt]) -> bool:
    """Return whether another attempt may follow."""
    return not attempts or not attempts[-1].ok or attempts[-1].selection.provisional


def _was_accepted(stored: Stored | None, selection: Selection) -> bool:
    """Return whether a stored answer needs no check: it was verified before it was stored, or ended an earlier escalation."""
    return stored is not None and (stored.score is not None or stored.route != selection.route)
