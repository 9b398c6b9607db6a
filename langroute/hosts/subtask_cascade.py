"""Cascade over whole subtasks: what `RouteSubtask` and an agent's middleware share, without running anything.

What must be called is yielded, as `sync_async` wants it: checks, policies, budget stores and the user's own functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.config import ensure_config

from langroute.core.control_flow import passes_through
from langroute.core.errors import (
    BudgetExceededError,
    BudgetStoreError,
    ConfigurationError,
    ConfigurationWarning,
    DegradedWarning,
    InputError,
    NoEligibleRouteError,
)
from langroute.core.records import Attempt, Decision, Request, Selection, Verdict
from langroute.core.subtask_pin import SubtaskPin, sum_of
from langroute.engine.accounting import SubtaskCosts
from langroute.engine.call_config import Run, read_config
from langroute.engine.drivers import aperform, perform
from langroute.engine.events import heard
from langroute.engine.release import may_be_rejected
from langroute.engine.router import Router
from langroute.engine.step_execution import new_id
from langroute.hosts.subtask_attempts import (
    ACCEPTED,
    StateCheck,
    SubtaskAttempts,
    acall,
    answer_of,
    as_checks,
    call,
    checks_of,
    costs_in,
    messages_in,
    new_messages,
    schemas_in,
    tools_in,
)
from langroute.hosts.sync_async import Calls
from langroute.policies.cascade import Cascade
from langroute.providers.failures import classify
from langroute.routes.route import Route
from langroute.verifiers import arun, run, score_of
from langroute.verifiers.bounds import short

SUBTASK = "subtask"
"""Kind of the step that a whole subtask is."""

EVENT = "langroute_subtask"
"""Name of the event that says how an attempt at a subtask began or ended."""

MOST_REASON = 2_000
"""Most characters of a verdict's reason, which the next attempt may be told."""

_CANNOT_FINISH = ("GraphRecursionError", "OutputParserException", "StructuredOutputError")
"""Errors, by class, of a subtask whose model leads nowhere, though each of its calls was answered."""


class _SubtaskModel(Runnable[Any, Any]):
    """Placeholder model of a route, so that a policy can choose among routes for a whole subtask."""

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError("a subtask is run by its host")


class SubtaskCascade:
    """Routes, policy and checks of a subtask.

    Args:
        routed: The router that the steps inside go through: a `ChatRouter`, `Router`, `RouterNode` or `RouterMiddleware`.
        verify: Check of the result, or several.
        routes: Names of routes or tiers, cheapest first; all of the router's where none are given.
        policy: Selects the route of each attempt, instead of a cascade over `routes`.
        restart: Whether each attempt begins with the state that the subtask began with.
        handover: Returns what the next attempt is told.
        undo: Undoes what a rejected attempt did.
        repeatable: Whether the subtask may be repeated as it is, or the names of its tools that may.
        messages_key: Key of the messages in the state.
        name: Name of the subtask.
    """

    def __init__(
        self,
        routed: Any,
        *,
        verify: Any,
        routes: Sequence[str] | None,
        policy: Any,
        restart: bool,
        handover: Callable[..., Any] | None,
        undo: Callable[..., Any] | None,
        repeatable: bool | Collection[str],
        messages_key: str,
        name: str,
    ) -> None:
        self.inner = router_inside(routed)
        self.checks = as_checks(verify)
        for role, given in (("undo", undo), ("handover", handover)):
            if given is not None and not callable(given):
                raise ConfigurationError(f"{role} is a function, not {given!r}.")
        if routes is not None and policy is not None:
            raise ConfigurationError("Give a subtask its routes or a policy, not both.")
        self.restart, self.handover, self.undo, self.messages_key, self.name = restart, handover, undo, messages_key, name
        self.repeatable = (
            repeatable if isinstance(repeatable, bool) else frozenset([repeatable] if isinstance(repeatable, str) else repeatable)
        )
        inner = self.inner
        order = {info.name: info for info in inner.infos}
        self.router = Router(
            {
                name: Route(
                    _SubtaskModel(),
                    tier=info.tier,
                    price=info.price,
                    labels=info.labels,
                    capabilities=info.capabilities,
                    context_window=info.context_window,
                )
                for name, info in order.items()
            },
            policy=policy or Cascade(routes, threshold=ACCEPTED),
            verifier=tuple([check for check in self.checks if not isinstance(check, StateCheck)]),
            default=inner.default,
            baseline=inner.baseline,
            ledger=inner.ledger,
            limits=inner.limits,
            fallback=False,
            deterministic=inner.deterministic,
        )
        self.notices = self.router.notices

    # Choosing --------------------------------------------------------------------------------------------------------

    def open(self, start: Any, config: Any, node: str | None = None) -> tuple[Request, Run]:
        """Return the subtask as a policy sees it, and what the config says."""
        run = read_config(ensure_config(config), self.router.limits)
        request = self.router.request(messages_in(start, self.messages_key) or [HumanMessage(self.name)], run=run)
        return replace(request, step=replace(request.step, kind=SUBTASK, node=node or request.step.node)), run

    def choose(self, subtask: SubtaskAttempts, request: Request, run: Run) -> Calls[None]:
        """Select the next attempt; no selection ends the subtask."""
        selection = yield from self._selected(subtask, request)
        if selection is not None and subtask.attempts and (reason := (yield from self._refused(subtask, selection, request, run))):
            subtask.problems.append(f"not run again on {selection.route}: {reason}")
            selection = None
        subtask.selection = selection

    def _selected(self, subtask: SubtaskAttempts, request: Request) -> Calls[Selection | None]:
        guard, seen = self.router.guard, subtask.seen()
        if seen and seen[-1].ok and not may_be_rejected(seen[-1].selection) and guard.ends_with_answer:
            return None
        if not guard.asynchronous:
            return guard.select(request, seen, subtask.problems)
        try:
            selected = yield guard.policy.select, guard.policy.aselect, (request, seen)
        except Exception as error:  # noqa: BLE001 - as `PolicyGuard.select`
            return guard.rescue(request, seen, error, subtask.problems)
        return guard.allow(request, seen, selected, subtask.problems)

    def _refused(self, subtask: SubtaskAttempts, selection: Selection, request: Request, run: Run) -> Calls[str | None]:
        """Return why no further attempt may be made, if so."""
        if not subtask.steps[-1] and subtask.attempts[-1].ok:
            self.notices.warn(
                "unrouted",
                ConfigurationWarning,
                f"No model call of the subtask {self.name!r} went through a router that has the route {subtask.attempts[-1].route!r}, so its "
                "steps cannot be sent to another one. Give its agents the router that RouteSubtask was given.",
            )
            return "none of its steps goes through the router"
        if self.undo is None and self.restart and (tools := self._unsafe(subtask.tools[-1])):
            return f"it called {', '.join(tools)}, and there is no undo"
        if self.inner.budgets or run.budget is not None:
            payable = yield from self._payable(subtask, request, run)
            if payable.route(selection.route) is None:
                return "its budget is used up"
        return None

    def _unsafe(self, tools: Sequence[str]) -> list[str]:
        if isinstance(self.repeatable, bool):
            return [] if self.repeatable else list(tools)
        return [name for name in tools if name not in self.repeatable]

    def _payable(self, subtask: SubtaskAttempts, request: Request, run: Run) -> Calls[Request]:
        """Return the request with the routes that the budgets of the steps inside still pay for."""
        try:
            asking = self.inner.funding(request, run, subtask.decision_id).afford(subtask.problems)
            effect = next(asking)
            while True:
                found = yield perform, aperform, (effect,)
                error = getattr(found, "error", None)
                effect = asking.throw(error) if isinstance(error, BaseException) else asking.send(found)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except BudgetStoreError:
            return replace(request, routes=())

    # Taking what an attempt came to -------------------------------------------------------------------------------------

    def take(
        self,
        subtask: SubtaskAttempts,
        pin: SubtaskPin,
        latency_s: float,
        *,
        given: Any = None,
        result: Any = None,
        error: BaseException | None = None,
    ) -> None:
        """Append the attempt that was made: its error, if it failed, and what its steps cost.

        Args:
            subtask: The attempts so far.
            pin: What was heard of its steps.
            latency_s: Seconds it took.
            given: What it began with.
            result: What it ended with. Its messages carry the costs of the steps that another process made before an interrupt.
            error: What ended it.
        """
        selection = subtask.selection or Selection(pin.route)
        added = new_messages(given, result, self.messages_key)
        costs = {**costs_in(added), **pin.costs}
        info = request_route(self.router, selection.route)
        subtask.attempts.append(
            Attempt(
                selection,
                error_type=type(error).__name__ if error is not None else None,
                failure=classify(error, getattr(info, "provider", None)) if error is not None else None,
                usage=pin.usage,
                cost_usd=sum_of(cost for cost, _ in costs.values()),
                latency_s=latency_s,
                tier=getattr(info, "tier", None),
            )
        )
        subtask.tools.append(sorted({*pin.tools, *tools_in(added)} - pin.schemas - schemas_in(result)))
        subtask.baselines.append(sum_of(baseline for _, baseline in costs.values()))
        subtask.steps.append(len(costs))

    def ends_after(self, subtask: SubtaskAttempts, error: BaseException) -> bool:
        """Return whether an error only ends the attempts: a budget is used up, and an earlier result stands."""
        return isinstance(error, (BudgetExceededError, BudgetStoreError)) and subtask.best is not None

    def goes_on_after(self, error: BaseException, pin: SubtaskPin) -> bool:
        """Return whether an error is the route's, so that another route may do without it."""
        if passes_through(error) or isinstance(error, (BudgetExceededError, BudgetStoreError, ConfigurationError, InputError)):
            return False
        if isinstance(error, NoEligibleRouteError) or any(base.__name__ in _CANNOT_FINISH for base in type(error).__mro__):
            return True
        return pin.failed and classify(error).retry_elsewhere

    def judge(self, subtask: SubtaskAttempts, request: Request, start: Any, result: Any) -> Calls[None]:
        """Check the latest result. A check that fails accepts nothing; the record says so."""
        attempt = subtask.attempts[-1]
        given = replace(attempt, answer=answer_of(result, self.messages_key))
        checks = checks_of(self.checks, start, result)
        verdicts: Sequence[Verdict] = yield run, arun, (checks, request, given, tuple(subtask.attempts[:-1]))
        told = tuple([replace(one, reason=short(one.reason, MOST_REASON)) for one in verdicts])
        subtask.attempts[-1] = replace(attempt, verdicts=told, score=score_of(told))
        for verdict in told:
            if verdict.error is not None:
                self.notices.warn_once(f"verifier {verdict.verifier} failed: {verdict.error}", subtask.problems, "verifier")

    def handed_over(self, subtask: SubtaskAttempts, start: Any, result: Any) -> Calls[Any]:
        """Return what the next attempt begins with."""
        goes_on = not self.restart and result is not None
        begin = result if goes_on else start
        verdicts = subtask.attempts[-1].verdicts
        if self.handover is not None:
            told = yield call, acall, (self.handover, result, verdicts)
        else:
            told = (
                {self.messages_key: [HumanMessage(what_was_wrong(verdicts))]}
                if goes_on and messages_in(begin, self.messages_key)
                else None
            )
        return begin if told is None else merged(begin, told, self.messages_key)

    # Ending ----------------------------------------------------------------------------------------------------------

    def finish(self, subtask: SubtaskAttempts, request: Request, run: Run) -> Decision:
        """Record the decision of the subtask."""
        return self._record(subtask, subtask.decision_id, request, run)

    def abort(self, subtask: SubtaskAttempts, request: Request, run: Run) -> None:
        """Record what was tried so far of a subtask that an error ends; if it is resumed, it ends with a decision of its own."""
        if subtask.attempts:
            self._record(subtask, new_id(), request, run)

    def _record(self, subtask: SubtaskAttempts, decision_id: str, request: Request, run: Run) -> Decision:
        best = subtask.best
        told = SubtaskCosts(None if best is None else subtask.baselines[best], sum_of(subtask.baselines))
        decision = self.router.accounts.record_decision(
            request, run, decision_id, subtask.to_record(), subtask.problems, subtask.started_at, 0.0, 0.0, subtask=told
        )
        # Hooks have heard of every step inside; what they add up counts once.
        once = replace(
            decision,
            cost_usd=_checks_usd(decision),
            baseline_cost_usd=decision.own_baseline_usd,
            attempts=tuple([replace(one, cost_usd=0.0, usage=None) for one in decision.attempts]),
        )
        for hook in self.inner.hooks:
            if not callable(hear := getattr(hook, "on_decision", None)):
                continue
            try:
                hear(once)
            except Exception as error:  # noqa: BLE001
                self.notices.warn(f"hook:{hook!r}", DegradedWarning, f"A hook failed: {type(error).__name__}: {error}")
        return decision

    def announce(self, subtask: SubtaskAttempts, what: str, config: Any, reason: str = "") -> Calls[None]:
        """Tell the caller's event stream that an attempt began (`started`), was `rejected`, `accepted`, `kept` or `failed`."""
        if not heard(config):
            return
        route = subtask.selection.route if what == "started" and subtask.selection is not None else subtask.attempts[-1].route
        number = len(subtask.attempts) - (what != "started")
        data = {
            "subtask": self.name,
            "decision_id": subtask.decision_id,
            "attempt": number,
            "route": route,
            "what": what,
            "reason": reason,
        }
        yield _dispatch, _adispatch, (data, config)


def _dispatch(data: Mapping[str, Any], config: Any) -> None:
    dispatch_custom_event(EVENT, data, config=config)


async def _adispatch(data: Mapping[str, Any], config: Any) -> None:
    await adispatch_custom_event(EVENT, data, config=config)


def _checks_usd(decision: Decision) -> float | None:
    costs = [verdict.cost_usd for attempt in decision.attempts for verdict in attempt.verdicts]
    return None if None in costs else sum(costs)  # type: ignore[arg-type]


def request_route(router: Router, name: str) -> Any:
    """Return what a router knows of a route, or `None`."""
    built = router.routes.get(name)
    return None if built is None else built.info


def what_was_wrong(verdicts: Sequence[Verdict]) -> str:
    """Return the message that hands a rejected result over to the next route.

    Example:
        >>> print(what_was_wrong([Verdict("tests_pass", 0.0, "add(2, 3) returns -1")]))
        This result was checked and not accepted.
        tests_pass: add(2, 3) returns -1
        Go on from here and put it right.
    """
    said = [f"{one.verifier}: {one.reason or 'not passed'}" for one in verdicts if one.error is None and one.score < ACCEPTED]
    return "\n".join(["This result was checked and not accepted.", *said, "Go on from here and put it right."])


def merged(begin: Any, told: Any, messages_key: str) -> Any:
    """Return a state with an update; messages are added to those it has. An update that is no mapping takes the state's place.

    Example:
        >>> merged({"n": 1, "messages": ["a"]}, {"messages": ["b"]}, "messages")
        {'n': 1, 'messages': ['a', 'b']}
    """
    if not (isinstance(begin, Mapping) and isinstance(told, Mapping)):
        return told
    made = {**begin, **told}
    if messages_key in told and messages_key in begin:
        added = told[messages_key]
        made[messages_key] = [*begin[messages_key], *(added if isinstance(added, (list, tuple)) else [added])]
    return made


def router_inside(routed: Any) -> Router:
    """Return the `Router` of a host.

    Raises:
        ConfigurationError: It has none.
    """
    for _ in range(4):
        if isinstance(routed, Router):
            return routed
        name = next(
            (
                name
                for name in ("router", "model", "bound")
                if not inspect.isroutine(getattr(routed, name, None)) and hasattr(routed, name)
            ),
            None,
        )
        if name is None:
            break
        routed = getattr(routed, name)
    raise ConfigurationError(
        f"A subtask is given the router that its steps go through (a ChatRouter, RouterNode or RouterMiddleware); {type(routed).__name__} is none."
    )


__all__ = ["EVENT", "SUBTASK", "SubtaskCascade", "merged", "router_inside", "what_was_wrong"]
