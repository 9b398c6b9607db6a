"""What did a call come to, and what do a step's calls add up to?

The only place where a reply becomes an attempt, and attempts a decision. What is asked of it last is to record the decision: once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langroute.answers import finish_reason
from langroute.effects import Reply
from langroute.errors import AnswerCutOffError, DegradedWarning, UnknownPriceWarning
from langroute.failures import classify
from langroute.marks import KEY
from langroute.notices import Notices
from langroute.pricing import cost, price_of, seconds_of, usage_of
from langroute.records import Attempt, Decision, Request, Selection, best_attempt
from langroute.routes import BuiltRoute, is_router
from langroute.runs import Run

LAST_MESSAGES = 4
"""How much of what was asked a decision carries, for a ledger that keeps text."""

ALWAYS_SAY_WHY = frozenset({"anthropic", "openai-chat", "openai-responses", "gemini", "openai-compatible"})
"""Wire formats whose every whole answer says why it ended."""


class Accounts:
    """Keeps a router's accounts.

    Args:
        routes: The router's routes.
        baseline: The route that savings are stated against.
        policy: Name and version of the policy, for the record.
        ledger: Keeps the decisions.
        listeners: Each is called with every decision.
        notices: Says what is wrong with prices, the ledger and the listeners.
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
        notices: Notices,
        checks: Sequence[Any] = (),
    ) -> None:
        self.routes, self.baseline, self.ledger = routes, baseline, ledger
        # Routers that are routes or judges here and keep their decisions in the same ledger.
        self._told_inside = frozenset(name for name, route in routes.items() if _records_in(route.model, ledger))
        self._checked_inside = frozenset(
            str(getattr(check, "name", None)) for check in checks if _records_in(getattr(check, "model", None), ledger)
        )
        self.policy_name, self.policy_version = policy
        # What nobody asked to keep is let go here, before anybody hears of the decision.
        self._keeps_text = bool(getattr(ledger, "keeps_text", False))
        self._listeners, self._notices = tuple(listeners), notices

    def attempt(self, route: BuiltRoute, selection: Selection, reply: Reply) -> Attempt:
        """What a call of a route came to."""
        message, error = reply.message, reply.error
        try:
            usage = usage_of(message) if message is not None else None
        except Exception:  # noqa: BLE001 - whatever an integration reports, its answer counts; its cost is then unknown
            usage = None
        cached = _cached_by_langchain(message)
        metadata = getattr(message, "response_metadata", None) or {}
        served = metadata.get("model_name") or metadata.get("model")
        stored = reply.stored
        why = finish_reason(metadata)
        if error is None and message is not None and stored is None and not cached and _cut_off(route, why):
            error = AnswerCutOffError(route.name)
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
            0.0 if cached else self._cost(route, usage, reply, served, error),
            reply.latency_s,
            reply.first_token_s,
            served,
            why,
            "hit" if cached else reply.cache,
            reply.parsed,
            reply.streamed,
            classify(error) if error is not None else None,
            stored,
            reply.cache_key,
            route.info.provider,
            route.info.tier,
        )

    def _cost(self, route: BuiltRoute, usage: Any, reply: Reply, served: str | None, error: BaseException | None) -> float | None:
        if reply.stored is not None:
            return 0.0
        if is_router(route.model) and reply.error is None:
            # A router as a route has worked out itself what its models cost.
            spent: float | None = (getattr(reply.message, "response_metadata", None) or {}).get(KEY, {}).get("cost_usd")
            return spent
        price = route.info.price
        if price is None and served:
            # The name that was asked for is unknown; the one that was served may not be.
            price = price_of(served, route.info.provider)
        if error is not None and usage is None:
            # A provider bills no request that it refused; of one that was given up, broke off half-way or could not be parsed nobody knows.
            refused = not reply.streamed and classify(error).kind not in ("timeout", "broken_stream", "given_up", "parsing")
            return 0.0 if refused else cost(price, None, reply.latency_s)
        if price is None:
            name = route.info.model or route.name
            self._notices.warn(
                f"price:{route.name}",
                UnknownPriceWarning,
                f"No price is known for route {route.name!r} ({name}): its cost is reported as unknown. "
                "Give it with Route(..., price={'input': ..., 'output': ...}) or prices={...}, in USD per million tokens.",
            )
        if price is not None and price.per_second:
            return cost(price, usage, seconds_of(reply.message, reply.latency_s))
        return cost(price, usage)

    def _baseline_cost(self, kept: Attempt | None) -> float | None:
        if kept is None:
            return None
        if kept.route == self.baseline and kept.stored is None:
            return kept.cost_usd
        price = self.routes[self.baseline].info.price
        if price is None or price.per_second:
            # Nobody knows how long the baseline would have taken.
            return None
        return cost(price, kept.usage if kept.stored is None else kept.stored.usage)

    def decided(
        self,
        request: Request,
        run: Run | None,
        decision_id: str,
        attempts: Sequence[Attempt],
        problems: Sequence[str],
        started_at: float,
        elapsed: float,
        waited: float,
    ) -> Decision:
        """All of a step together, recorded and told to whoever listens.

        Args:
            request: The step.
            run: What its config says.
            decision_id: Id of the decision.
            attempts: What was tried.
            problems: What failed and was worked around.
            started_at: Seconds since the epoch.
            elapsed: Seconds since then.
            waited: Seconds of them that were spent on calls, checks and waits.
        """
        kept = best_attempt(attempts)
        last = kept or (attempts[-1] if attempts else None)
        decision = Decision(
            id=decision_id,
            step=request.step,
            route=kept.route if kept is not None else None,
            attempts=tuple(attempts) if self._keeps_text else tuple([attempt.without_text() for attempt in attempts]),
            reason=last.selection.reason if last is not None else "",
            policy=self.policy_name,
            policy_version=self.policy_version,
            rejected=request.rejected,
            cache=(kept.cache if kept is not None else None) or "miss",
            tier=self.routes[kept.route].info.tier if kept is not None and kept.route in self.routes else None,
            model=kept.model if kept is not None else None,
            cost_usd=_spent(attempts),
            baseline_cost_usd=self._baseline_cost(kept),
            baseline_route=self.baseline,
            overhead_s=max(0.0, elapsed - waited),
            problems=tuple(problems),
            started_at=started_at,
            run_id=_run_id(kept),
            parent_run_id=run.parent_run_id if run is not None else None,
            tags=request.tags,
            metadata=request.metadata,
            switch_cost_usd=last.selection.switch_cost_usd if last is not None else None,
            # The whole of a long history in every one of its steps would be kept many times over.
            messages=tuple(request.messages[-LAST_MESSAGES:]) if self._keeps_text else (),
        )
        try:
            self.ledger.record(self._counted_once(decision) if self._told_inside or self._checked_inside else decision)
        except Exception as error:  # noqa: BLE001 - a ledger that is down costs no answer
            failed: list[str] = []
            self._notices.degraded(f"ledger failed: {type(error).__name__}: {error}", failed, f"ledger:{type(error).__name__}")
            decision = replace(decision, problems=(*decision.problems, *failed))
        for hear in self._listeners:
            try:
                hear(decision)
            except Exception as error:  # noqa: BLE001, PERF203
                self._notices.warn(f"hook:{hear!r}", DegradedWarning, f"A hook failed: {type(error).__name__}: {error}")
        return decision

    def _counted_once(self, decision: Decision) -> Decision:
        """As it is recorded where routers inside this one recorded theirs already: what their models took is counted there."""
        attempts = []
        for attempt in decision.attempts:
            verdicts = tuple([replace(v, cost_usd=0.0) if v.verifier in self._checked_inside else v for v in attempt.verdicts])
            if attempt.route in self._told_inside:
                attempt = replace(attempt, usage=None, cost_usd=0.0)
            attempts.append(replace(attempt, verdicts=verdicts))
        # Nor is anything saved here that is saved there.
        outside = self._told_inside.isdisjoint([attempt.route for attempt in attempts])
        baseline = decision.baseline_cost_usd if outside else None
        return replace(decision, attempts=tuple(attempts), cost_usd=_spent(attempts), baseline_cost_usd=baseline)


def _spent(attempts: Sequence[Attempt]) -> float | None:
    """USD for calls, for selecting them and for checks; `None` where one of these is unknown."""
    costs: list[float | None] = []
    for attempt in attempts:
        costs += (attempt.cost_usd, attempt.selection.cost_usd)
        if attempt.verdicts:
            costs += [verdict.cost_usd for verdict in attempt.verdicts]
    return None if None in costs else sum(costs)  # type: ignore[arg-type]


def _records_in(model: Any, ledger: Any) -> bool:
    return is_router(model) and getattr(model, "ledger", None) is ledger


def _cached_by_langchain(message: Any) -> bool:
    """LangChain's own cache answered: it hands on the tokens of the first call, and says that they cost nothing."""
    return (getattr(message, "usage_metadata", None) or {}).get("total_cost") == 0


def _cut_off(route: BuiltRoute, why: str | None) -> bool:
    """The answer ended without a reason, though its provider always gives one: a stream that broke off raises nothing."""
    return route.info.api in ALWAYS_SAY_WHY if why is None else why == "in_progress"


def _run_id(kept: Attempt | None) -> str | None:
    """The chat-model run of an attempt; LangChain writes it into the message's id unless the provider gave one."""
    found = getattr(kept.answer, "id", None) if kept is not None else None
    if isinstance(found, str):
        for prefix in ("lc_run--", "run--"):
            if found.startswith(prefix):
                return found[len(prefix) :][:36]
    return None


__all__ = ["Accounts"]
