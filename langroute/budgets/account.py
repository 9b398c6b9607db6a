"""Budget account of one step: which routes can still be paid for, reservations before calls and settlement after them.

Each step has its own account. Balances are read through `Fund` effects, so that the plan itself does no I/O; what was spent
is settled afterwards, off the caller's path where the store is not in memory, because a reservation covers it until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langroute.budgets.budget import Budget, units
from langroute.budgets.max_cost import MaxCost, answer_limit
from langroute.budgets.queries import Queries, Query, Settled, is_awaited
from langroute.budgets.settling import SETTLING
from langroute.budgets.store import Balance, BudgetStore, Hold
from langroute.core.errors import BudgetExceededError
from langroute.core.records import Attempt, Request, Usage, Verdict
from langroute.core.task_context import current_task
from langroute.routes.pricing import cost

_CALL_SECONDS = 120.0
"""Seconds that are reserved for a call on a route that is priced by the second."""

_ROUND_TRIP = 0.05
"""Seconds before which no provider has answered."""

_FASTEST = 3000.0
"""Most tokens that a hosted model writes in a second."""


class Account:
    """The budgets of one step."""

    def __init__(self, budgets: Sequence[Budget], request: Request, decision_id: str, worst: MaxCost) -> None:
        task = current_task()
        named = [budget.for_owner(request, task) if budget.has_names else budget for budget in budgets]
        self.budgets = tuple(found or budget for found, budget in zip(named, budgets, strict=True))
        self._nameless = next((budget for found, budget in zip(named, budgets, strict=True) if found is None), None)
        """A budget with limits by name that has none for the owner of the call."""

        self.every = request
        self.keys = [budget.key(request, task, decision_id) for budget in budgets]
        self._ownerless = next((budget for budget in budgets if not budget.knows_owner(request)), None)
        """A budget of unknown owner. Counted for this call alone it would never bind, so it rejects every route."""

        self.worst = worst
        self._limits = [budget.limit for budget in self.budgets]
        self._worsts: dict[tuple[str, int, int], int | None] = {}
        """Route, the answers that its bounds were learned from and place of a budget → the most that a call may cost: reckoned when routes are
        looked at, used to reserve unless another call has shown more meanwhile."""

        self.local = all(budget.store.local for budget in budgets)
        self.awaited = all(budget.store.local or is_awaited(budget.store) for budget in budgets)
        self.wait_seconds = min(budget.wait_seconds for budget in budgets)
        self.refused: dict[str, str] = {}
        """Routes whose reservation was refused, each with its reason."""

        self.tried: set[str] = set()
        """Routes that were called already; they are not listed as rejected for their cost."""

        self.binding: Budget | None = None
        """The budget that rejected the last route."""

        self.passing = False
        """Whether the latest refusal was caused by reservations of other calls only, so that waiting may help."""

        self._reserved: tuple[list[tuple[BudgetStore, str]], list[int]] | None = None
        self._over = False
        """Whether the step was cancelled; a reservation that a thread is granted after that is released."""

    # Before a call ---------------------------------------------------------------------------------------------------

    def affordable(self, request: Request, routes: Mapping[str, Any]) -> Queries[Request]:
        """Return the request with the routes that can still be paid for; the others are rejected, each with its reason.

        Args:
            request: The call with every route that may take it.
            routes: The router's built routes.
        """
        balances = yield from self._balances()
        rejected = dict(request.rejected)
        kept = []
        for info in request.routes:
            reason = self.refused.get(info.name) or self._too_dear(request, routes[info.name], balances)
            if reason is None:
                kept.append(info)
            elif info.name not in self.tried:
                rejected[info.name] = reason
        if len(kept) > 1 and (soft := self._softly_spent(balances)) is not None:
            for info in [info for info in kept if info.tier != kept[0].tier]:
                kept.remove(info)
                if info.name not in self.tried:
                    rejected[info.name] = soft
        if len(kept) == len(request.routes):
            return request
        default = request.default if any(info.name == request.default for info in kept) else kept[-1].name if kept else None
        return replace(request, routes=tuple(kept), rejected=rejected, default=default)

    def _balances(self) -> Queries[list[Balance]]:
        found: list[Balance | None] = [None] * len(self.budgets)
        for store, places in self._by_store():
            # What this process spent last must count, and it may not be settled yet.
            if pending := SETTLING.pending(store):
                yield Settled(pending)
            balances = yield Query(store, "balances", ([self.keys[place] for place in places],))
            for place, balance in zip(places, balances, strict=True):
                found[place] = balance
        return [balance or Balance() for balance in found]

    def _too_dear(self, request: Request, route: Any, balances: Sequence[Balance]) -> str | None:
        if self._ownerless is not None:
            self.binding = self._ownerless
            return f"the step could not be inspected, so {self._ownerless.label} could not bind: nobody knows which {self._ownerless.per} this is"
        if self._nameless is not None:
            self.binding = self._nameless
            unit = "usd" if self._nameless.tokens is None else "tokens"
            return f"{self._nameless.label} has no limit for this one: add it to `{unit}`, or '*' for all others"
        for place, (budget, balance) in enumerate(zip(self.budgets, balances, strict=True)):
            amount = self._most(place, request, route)
            if amount is None:
                return f"its price is unknown, so {budget.label} could not bind"
            if balance.spent + amount > self._limits[place]:
                self.binding = self.binding or budget
                left = budget.told(max(0, self._limits[place] - balance.spent))
                return f"may cost {budget.told(amount)}; {budget.label} has {left} left"
        return None

    def _softly_spent(self, balances: Sequence[Balance]) -> str | None:
        for budget, balance in zip(self.budgets, balances, strict=True):
            if budget.soft < 1 and balance.spent >= budget.soft * budget.limit:
                return f"{budget.label} is {balance.spent / max(1, budget.limit):.0%} spent: cheapest tier only"
        return None

    def _most(self, place: int, request: Request, route: Any) -> int | None:
        every, key = self.every, (route.name, self.worst.answers(route.name), place)
        if request.step is not every.step or request.tools is not every.tools or request.max_tokens != every.max_tokens:
            return self._reckoned(self.budgets[place], request, route)
        if key not in self._worsts:
            self._worsts[key] = self._reckoned(self.budgets[place], request, route)
        return self._worsts[key]

    def _reckoned(self, budget: Budget, request: Request, route: Any) -> int | None:
        answer = answer_limit(route, request)
        if budget.tokens is not None:
            return self.worst.input_tokens(route.info, request) + self.worst.output_tokens(route.info, answer)
        tools = route.kwargs.get("tools")
        usd = self.worst.usd(
            route.info, request, answer, _CALL_SECONDS, route.terms, tools if isinstance(tools, (list, tuple)) else ()
        )
        return None if usd is None else units(usd)

    def reserve(self, request: Request, route: Any) -> Queries[str | None]:
        """Reserve the most that a call can cost. Return `None` when granted, else the reason for the refusal."""
        amounts = [self._most(place, request, route) or 0 for place in range(len(self.budgets))]
        return (yield from self._reserve(amounts))

    def reserve_usd(self, usd: float) -> Queries[str | None]:
        """Reserve an amount in USD for a paid check. Return `None` when granted, else the reason for the refusal."""
        return (yield from self._reserve([0 if budget.usd is None else units(usd) for budget in self.budgets]))

    def _reserve(self, amounts: list[int]) -> Queries[str | None]:
        asked: list[tuple[BudgetStore, str]] = []
        try:
            for store, places in self._by_store():
                # Noted before it is granted: an interrupt or a failing store may come at any time from here on.
                asked.append((store, uuid4().hex))
                refused = yield Query(store, "reserve", (asked[-1][1], [self._hold(place, amounts[place]) for place in places]))
                if refused is not None:
                    self._release(asked[:-1])
                    return (yield from self._refusal(store, places[refused], amounts))
            self._reserved = (asked, amounts)
        except BaseException:
            self._release(asked)
            raise
        if self._over:
            self._reserved = None
            self._release(asked)
        return None

    def _refusal(self, store: BudgetStore, place: int, amounts: Sequence[int]) -> Queries[str]:
        """Return the reason why a reservation was refused."""
        budget, (balance,) = self.budgets[place], (yield Query(store, "balances", ([self.keys[place]],)))
        self.passing = balance.spent + amounts[place] <= budget.limit
        self.binding = budget
        taken = f"{budget.told(balance.spent)} spent, {budget.told(balance.held)} reserved of {budget.told(budget.limit)}"
        return f"may cost {budget.told(amounts[place])}; {budget.label}: {taken}"

    def _release(self, asked: Sequence[tuple[BudgetStore, str]]) -> None:
        """Release reservations, whether they were granted or not; where a store fails, they lapse with their lease."""
        for store, hold_id in asked:
            with suppress(Exception):
                self._settle(store, hold_id, [0] * len(self.budgets))

    # After a call ----------------------------------------------------------------------------------------------------

    def settle(self, attempt: Attempt, request: Request, route: Any) -> str | None:
        """Charge what a call cost; the whole reservation where the cost is unknown.

        A bill that is higher than what was reserved passes the limit by the difference where nothing else is left. It is charged all the same,
        so that the budget holds for what follows, and the route's next reservations are that much higher.

        Args:
            attempt: The call.
            request: The step.
            route: The built route that was called; `None` for a stored answer of another router.

        Returns:
            What a bill was above its reservation, in words; `None` for any other.
        """
        usage, cost = attempt.usage, attempt.cost_usd
        self.tried.add(attempt.route)
        stored = attempt.stored is not None or attempt.cache in ("hit", "semantic_hit")
        if usage is not None and not stored and route is not None:
            self.worst.learn(attempt.route, request, usage, price=route.info.price, answer_tokens=answer_limit(route, request))
        amounts = []
        for place, budget in enumerate(self.budgets):
            if stored or (cost == 0.0 and usage is None):
                amounts.append(0)
            elif budget.tokens is not None:
                amounts.append(self._held(place) if usage is None else usage.total_tokens)
            else:
                amounts.append(self._held(place) if cost is None else units(cost))
        said = self._above_reservation(attempt, amounts)
        self._charge(amounts)
        return said

    def _above_reservation(self, attempt: Attempt, amounts: Sequence[int]) -> str | None:
        if self._reserved is None:
            return None
        for place, budget in enumerate(self.budgets):
            held, amount = self._held(place), amounts[place]
            if amount > held:
                return f"{attempt.route} was billed {budget.told(amount)}, and {budget.told(held)} was reserved from {budget.label}"
        return None

    def settle_checks(self, verdicts: Sequence[Verdict]) -> None:
        """Charge what checks cost."""
        costs = [verdict.cost_usd for verdict in verdicts]
        if self._reserved is None and not any(costs):
            return
        usd = sum(cost for cost in costs if cost)
        amounts = []
        for place, budget in enumerate(self.budgets):
            unknown = None in costs and self._reserved is not None
            amounts.append(0 if budget.usd is None else max(units(usd), self._held(place) if unknown else 0))
        self._charge(amounts)

    def cancel(self, request: Request, route: Any, left: Attempt | None = None, seconds: float = 0.0) -> None:
        """Close the account of a cancelled step whose bill is unknown: charge what the open call can have cost, release the rest.

        That is the prompt with what was handed on of a stream; where nothing was, with what a fast model can have written meanwhile. A
        reservation that a thread is still making is released when it is granted.

        Args:
            request: The step.
            route: The route that was being called; `None` between calls.
            left: The attempt of that call.
            seconds: How long the call ran.
        """
        self._over = True
        if self._reserved is None:
            return
        if route is None:
            self._charge([0] * len(self.budgets))
            return
        usage = left.usage if left is not None else None
        if usage is None:
            written = min(answer_limit(route, request), int(max(0.0, seconds - _ROUND_TRIP) * _FASTEST))
            usage = Usage(request.step.signals.tokens, written, terms=route.terms)
        else:
            usage = self.worst.with_thinking(route.name, usage)
        usd = cost(route.info.price, usage, seconds)
        amounts = []
        for place, budget in enumerate(self.budgets):
            amount = usage.total_tokens if budget.tokens is not None else self._held(place) if usd is None else units(usd)
            amounts.append(amount if left is not None and left.usage is not None else min(amount, self._held(place)))
        self._charge(amounts)

    def _charge(self, amounts: Sequence[int]) -> None:
        reserved = self._reserved
        if reserved is None:
            for store, places in self._by_store():
                SETTLING.settle(store, None, [self._hold(place, amounts[place]) for place in places])
            return
        asked = reserved[0]
        while asked:
            # Removed only when it is settled: after an interrupt in between, the rest is still known to be reserved.
            try:
                self._settle(*asked[-1], amounts)
            except Exception:
                asked.pop()
                raise
            asked.pop()
        self._reserved = None

    def _settle(self, store: BudgetStore, id: str, amounts: Sequence[int]) -> None:
        places = next(places for other, places in self._by_store() if other is store)
        SETTLING.settle(store, id, [self._hold(place, amounts[place]) for place in places])

    def _held(self, place: int) -> int:
        return self._reserved[1][place] if self._reserved is not None else 0

    def _hold(self, place: int, amount: int) -> Hold:
        budget = self.budgets[place]
        return Hold(self.keys[place], amount, self._limits[place], budget.keep_seconds)

    def _by_store(self) -> list[tuple[BudgetStore, list[int]]]:
        found: list[tuple[BudgetStore, list[int]]] = []
        for place, budget in enumerate(self.budgets):
            places = next((places for store, places in found if store is budget.store), None)
            if places is None:
                found.append((budget.store, [place]))
            else:
                places.append(place)
        return found

    # At the limit ----------------------------------------------------------------------------------------------------

    def reasons(self, request: Request) -> list[str]:
        """Return why the last routes were rejected, as `route reason` strings."""
        return [f"{name} {reason}" for name, reason in request.rejected.items() if name not in self.every.rejected]

    def closing(self, request: Request) -> str | Exception:
        """Return the closing text of a step that no budget pays for, or the error to raise."""
        budget = self.binding or self.budgets[0]
        lines = "".join(f"\n  {name}: {reason}" for name, reason in request.rejected.items())
        ways = f"Raise the limit{_or(budget)}"
        if self._ownerless is not None:
            ways = "Give the call a `thread_id` in its config, or `langroute_task` in its metadata"
        error = BudgetExceededError(f"No route can be paid for from {budget.label}:{lines}\n{ways}.")
        if budget.at_limit == "error" or request.response_schema is not None:
            # A closing text cannot satisfy a response schema.
            return error
        if budget.at_limit == "finish":
            return budget.message.replace("{per}", "application" if budget.per == "all" else budget.per.removeprefix("tag:"))
        try:
            said = budget.at_limit(request, error)  # type: ignore[operator]
        except Exception as raised:  # noqa: BLE001 - the user's own error
            return raised
        return error if said is None else str(getattr(said, "content", said))


def _or(budget: Budget) -> str:
    """Return what can be done beside raising the limit, for the error message; a new user or team cannot be begun."""
    if budget.every is not None:
        return f", or wait for the next {budget.every}"
    return f", or begin a new {budget.per}" if budget.per in ("call", "task", "thread") else ""
