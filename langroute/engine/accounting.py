"""Conversion of replies to attempts and of attempts to a recorded decision, with costs.

The only place where a reply becomes an attempt, and attempts a decision. A step ends with one call of `record_decision`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.degradation import Degradations
from langroute.core.errors import AnswerCutOffError, DegradedWarning, UnknownPriceWarning
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Attempt, Decision, Request, Selection, Usage, best_attempt
from langroute.core.subtask_pin import SubtaskPin, current_pin
from langroute.engine.billed_usage import billed_usage, usage_so_far
from langroute.engine.call_config import Run
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.route_health import RouteHealth
from langroute.providers.ends import broke_off, finish_reason
from langroute.providers.failures import classify, maybe_billed
from langroute.routes.current_prices import CurrentPrices
from langroute.routes.media_rates import hides_media
from langroute.routes.pricing import cost, seconds_of
from langroute.routes.route import BuiltRoute, is_router

NOTHING = Selection("")
"""What stands in the record of a step for which no route was selected."""

LAST_MESSAGES = 4
"""Number of last request messages that a decision carries for a ledger that keeps text."""


@fast_dataclass
class SubtaskCosts:
    """What the baseline route would have billed for the steps inside a subtask."""

    kept_usd: float | None
    """Those of the attempt that was kept."""

    every_usd: float | None
    """Those of all attempts."""


class Accounting:
    """Calculates the costs of a router's calls and records its decisions.

    Args:
        routes: The router's routes.
        baseline: The route that savings are stated against.
        policy: Name and version of the policy, for the record.
        ledger: Keeps the decisions.
        listeners: Each is called with every decision.
        learner: Called with every decision whose step was inspected; nothing can be learned from others.
        notices: Issues warnings about prices, the ledger and the listeners.
        prices: The routes' prices as they are now.
        checks: The router's verifiers.
    """

    def __init__(
        self,
        routes: Mapping[str, BuiltRoute],
        *,
        baseline: str,
        policy: tuple[str, str],
        ledger: Any,
        listeners: Sequence[Any],
        notices: Degradations,
        prices: CurrentPrices,
        learner: Any = None,
        checks: Sequence[Any] = (),
    ) -> None:
        self.routes, self.baseline, self.ledger = routes, baseline, ledger
        self._inside = frozenset(name for name, route in routes.items() if is_router(route.model))
        # Routers that are routes or judges here and keep their decisions in the same ledger.
        self._told_inside = frozenset(name for name, route in routes.items() if _records_in(route.model, ledger))
        self._checked_inside = frozenset(
            str(getattr(check, "name", None)) for check in checks if _records_in(getattr(check, "model", None), ledger)
        )
        self.policy_name, self.policy_version = policy
        # Text is dropped here, before the decision reaches any listener, unless the ledger keeps it.
        self._keeps_text = bool(getattr(ledger, "keeps_text", False))
        self._listeners, self._notices, self._prices = tuple(listeners), notices, prices
        self._health = RouteHealth(notices)
        self._learners = self._listeners if learner is None else (learner, *self._listeners)

    def attempt(self, route: BuiltRoute, selection: Selection, reply: Reply, request: Request) -> Attempt:
        """Return the attempt that a reply of a route amounts to, with usage, cost and failure."""
        message, error = reply.message, reply.error
        try:
            usage = billed_usage(message, route, request) if message is not None else None
        except Exception:  # noqa: BLE001 - whatever an integration reports, its answer counts; its cost is then unknown
            usage = None
        told = getattr(message, "usage_metadata", None)
        # LangChain's own cache repeats the tokens of the first call with a total cost of 0.
        cached = told is not None and told.get("total_cost") == 0
        metadata = getattr(message, "response_metadata", None)
        served = (metadata.get("model_name") or metadata.get("model")) if metadata else None
        stored = reply.stored
        why = finish_reason(metadata) if metadata else None
        if error is None and message is not None and stored is None and not cached and broke_off(why, route.info.provider):
            error = AnswerCutOffError(route.name, why)
        if stored is not None and stored.route != selection.route:
            selection = replace(selection, route=stored.route, reason=f"stored answer of {stored.route} for {selection.route}")
        return Attempt(
            selection,
            message,
            None if stored is None else stored.score,
            (),
            error,
            type(error).__name__ if error is not None else None,
            usage,
            0.0 if cached else self._cost(route, usage, reply, served, error, request),
            reply.latency_s,
            reply.first_token_s,
            served,
            why,
            "hit" if cached else reply.cache,
            reply.parsed,
            reply.streamed,
            classify(error, route.info.provider) if error is not None else None,
            stored,
            reply.cache_key,
            route.info.provider,
            route.info.tier,
            None if served == route.info.model else route.info.model,
            tuple(reply.edits),
        )

    def left(self, call: RouteCall, error: BaseException) -> Attempt:
        """Return the attempt that a call amounts to that was cancelled, or whose stream was left: it is billed for what was handed on."""
        usage = usage_so_far(call.heard, call.request)
        price = call.route.info.price
        if usage is not None and call.route.terms and not usage.terms:
            usage = replace(usage, terms=call.route.terms)
        return Attempt(
            call.selection,
            error=error,
            error_type=type(error).__name__,
            usage=usage,
            cost_usd=None if usage is None or (price is not None and price.per_second) else cost(price, usage),
            streamed=usage is not None,
            provider=call.route.info.provider,
            tier=call.route.info.tier,
            edits=tuple(getattr(call.heard, "edits", ())),
        )

    def _cost(
        self,
        route: BuiltRoute,
        usage: Usage | None,
        reply: Reply,
        served: str | None,
        error: BaseException | None,
        request: Request,
    ) -> float | None:
        if reply.stored is not None:
            return 0.0
        if route.info.name in self._inside and reply.error is None:
            # A router as a route has worked out itself what its models cost.
            spent: float | None = (getattr(reply.message, "response_metadata", None) or {}).get(METADATA_KEY, {}).get("cost_usd")
            return spent
        price = self._prices.of(route, served)
        if error is not None and usage is None:
            refused = not reply.streamed and not maybe_billed(classify(error, route.info.provider).kind, route.info.provider)
            return 0.0 if refused else cost(price, None, reply.latency_s)
        if price is None and (usage is None or usage.stated_usd is None):
            name = route.info.model or route.name
            self._notices.warn(
                f"price:{route.name}",
                UnknownPriceWarning,
                f"No price is known for route {route.name!r} ({name}): its cost is reported as unknown. "
                "Give it with Route(..., price={'input': ..., 'output': ...}) or prices={...}, in USD per million tokens.",
            )
        if price is not None and price.per_second:
            return cost(price, usage, seconds_of(reply.message, reply.latency_s))
        if price is not None and usage is not None and hides_media(price, usage, reply.message, request.step.signals):
            return None
        return cost(price, usage)

    def _baseline_cost(self, kept: Attempt | None) -> float | None:
        if kept is None:
            return None
        if kept.selection.route == self.baseline and kept.stored is None:
            return kept.cost_usd
        price = self.routes[self.baseline].info.price
        if price is None or price.per_second:
            # Nobody knows how long the baseline would have taken.
            return None
        usage = kept.usage if kept.stored is None else kept.stored.usage
        return None if usage is None else cost(price, usage.elsewhere)

    def record_decision(
        self,
        request: Request,
        run: Run | None,
        decision_id: str,
        attempts: Sequence[Attempt],
        problems: Sequence[str],
        started_at: float,
        elapsed: float,
        waited: float,
        *,
        subtask: SubtaskCosts | None = None,
    ) -> Decision:
        """Combine a step's attempts into a decision, record it and pass it to the listeners.

        Args:
            request: The step.
            run: What its config says.
            decision_id: Id of the decision.
            attempts: All attempts, in order.
            problems: Failures that were worked around.
            started_at: Seconds since the epoch.
            elapsed: Seconds since then.
            waited: Seconds of `elapsed` that were spent on calls, checks and waits.
            subtask: What the baseline would have billed, where the attempts are runs of a whole subtask, whose steps are recorded as
                decisions of their own.
        """
        kept = best_attempt(attempts)
        last = kept or (attempts[-1] if attempts else None)
        if len(attempts) > 1 or kept is None or self._health.failing:
            self._health.note(attempts, answered=kept is not None)
        selection = NOTHING if last is None else last.selection
        route = tier = None
        if kept is not None:
            route = selection.route
            tier = self.routes[route].info.tier if route in self.routes else None
        # By place, in the order of the record's fields: thirty names would take longer to match than the fields to write.
        decision = Decision(
            decision_id,
            request.step,
            route,
            tuple(attempts) if self._keeps_text else tuple([attempt.without_text() for attempt in attempts]),
            selection.reason,
            self.policy_name,
            self.policy_version,
            request.rejected,
            (kept.cache if kept is not None else None) or "miss",
            tier,
            kept.model if kept is not None else None,
            _spent(attempts),
            self._baseline_cost(kept) if subtask is None else subtask.kept_usd,
            self.baseline,
            max(0.0, elapsed - waited),
            tuple(problems),
            started_at,
            _run_id(kept),
            None,
            run.parent_run_id if run is not None else None,
            request.tags,
            request.metadata,
            selection.switch_cost_usd,
            # Keeping a whole history with each of its steps would store the same messages many times.
            tuple(request.messages[-LAST_MESSAGES:]) if self._keeps_text else (),
            request.limited,
            kept is not None and selection.instead,
            _memory(attempts) if len(attempts) > 1 else selection.memory,
            subtask is not None,
            None if subtask is None else subtask.every_usd,
        )
        counted = self._counted_once(decision) if self._told_inside or self._checked_inside else decision
        if (pin := current_pin()) is not None:
            _tell(pin, counted, attempts, kept, request)
        try:
            self.ledger.record(counted)
        except Exception as error:  # noqa: BLE001 - a ledger that is down costs no answer
            failed: list[str] = []
            self._notices.warn_once(f"ledger failed: {type(error).__name__}: {error}", failed, f"ledger:{type(error).__name__}")
            decision = replace(decision, problems=(*decision.problems, *failed))
        for hear in self._listeners if request.uninspected else self._learners:
            try:
                hear(decision)
            except Exception as error:  # noqa: BLE001, PERF203
                self._notices.warn(f"hook:{hear!r}", DegradedWarning, f"A hook failed: {type(error).__name__}: {error}")
        return decision

    def _counted_once(self, decision: Decision) -> Decision:
        """Return the decision without the costs of inner routers, which have recorded those in the same ledger already."""
        attempts = []
        for attempt in decision.attempts:
            verdicts = tuple([replace(v, cost_usd=0.0) if v.verifier in self._checked_inside else v for v in attempt.verdicts])
            if attempt.route in self._told_inside:
                attempt = replace(attempt, usage=None, cost_usd=0.0)
            attempts.append(replace(attempt, verdicts=verdicts))
        # The inner router records the saving as well.
        outside = self._told_inside.isdisjoint([attempt.route for attempt in attempts])
        baseline = decision.baseline_cost_usd if outside else None
        return replace(decision, attempts=tuple(attempts), cost_usd=_spent(attempts), baseline_cost_usd=baseline)


def _tell(pin: SubtaskPin, decision: Decision, attempts: Sequence[Attempt], kept: Attempt | None, request: Request) -> None:
    """Tell the subtask around a step what the step cost and which tools its answer calls."""
    if decision.subtask:
        # Its steps have told their costs themselves.
        checks = [verdict.cost_usd for attempt in attempts for verdict in attempt.verdicts]
        spent = None if None in checks else sum(checks)  # type: ignore[arg-type]
        pin.hear(decision.id, spent, decision.own_baseline_usd, kept is not None)
        return
    calls = getattr(kept.answer, "tool_calls", None) or () if kept is not None else ()
    schemas = _names_of(request.response_schema)
    tools = {str(call.get("name")) for call in calls} - schemas
    usage = kept.usage if kept is not None else None
    pin.hear(decision.id, decision.cost_usd, decision.baseline_cost_usd, kept is not None, usage, tools, schemas)


def _names_of(schema: Any) -> set[str]:
    """Return the names under which an answer in a schema may look like the call of a tool."""
    several = () if schema is None else get_args(schema) or (schema,)
    return {str(one.get("title")) if isinstance(one, Mapping) else str(getattr(one, "__name__", "")) for one in several}


def _memory(attempts: Sequence[Attempt]) -> tuple[Any, ...]:
    return next((attempt.selection.memory for attempt in reversed(attempts) if attempt.selection.memory), ())


def _spent(attempts: Sequence[Attempt]) -> float | None:
    """Return the USD of calls, selections and checks; `None` where one of them is unknown."""
    if len(attempts) == 1 and not attempts[0].verdicts:
        # Nearly every step.
        call, choice = attempts[0].cost_usd, attempts[0].selection.cost_usd
        return None if call is None or choice is None else call + choice
    costs: list[float | None] = []
    for attempt in attempts:
        costs += (attempt.cost_usd, attempt.selection.cost_usd)
        if attempt.verdicts:
            costs += [verdict.cost_usd for verdict in attempt.verdicts]
    return None if None in costs else sum(costs)  # type: ignore[arg-type]


def _records_in(model: Any, ledger: Any) -> bool:
    return is_router(model) and getattr(model, "ledger", None) is ledger


def _run_id(kept: Attempt | None) -> str | None:
    """Return the chat-model run id of an attempt, which LangChain writes into the message's id unless the provider set one."""
    found = getattr(kept.answer, "id", None) if kept is not None else None
    if not isinstance(found, str):
        return None
    if found.startswith("lc_run--"):
        return found[8:44]
    return found[5:41] if found.startswith("run--") else None


__all__ = ["Accounting"]
