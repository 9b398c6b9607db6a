"""May this step still be paid for, by which routes, and what is left of the budgets when it is done?

One account for each step. What the stores say is read through `Fund` effects, so that the plan itself waits for nothing; what was spent
is settled afterwards, off the caller's path where the store is not in memory, because a reservation covers it until then.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langroute.budgets.budget import Budget, units
from langroute.budgets.store import Balance, BudgetStore, Hold
from langroute.budgets.worst import WorstCase, answer_limit
from langroute.context import current_task
from langroute.errors import BudgetExceededError
from langroute.records import Attempt, Request, Verdict

_CALL_SECONDS = 120.0
"""How long a call may take on a route that is priced by the second."""


class Settling:
    """Settles what was spent, in order, without keeping the caller waiting for a disk or a network."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._pools: weakref.WeakKeyDictionary[Any, ThreadPoolExecutor] = weakref.WeakKeyDictionary()
        self._latest: weakref.WeakKeyDictionary[Any, Future[None]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def _here(self) -> threading.Lock:
        if self._pid != os.getpid():
            # A forked child has its parent's pools, but not their threads.
            self._begin()
        return self._lock

    def settle(self, store: BudgetStore, id: str | None, spent: Sequence[Hold]) -> None:
        """Settle now, or as soon as the store has time."""
        if store.local:
            store.settle(id, spent)
            return
        with self._here():
            pool = self._pools.get(store)
            if pool is None:
                pool = self._pools[store] = ThreadPoolExecutor(1, "langroute-budget")
            self._latest[store] = pool.submit(self._try, store, id, spent)

    @staticmethod
    def _try(store: BudgetStore, id: str | None, spent: Sequence[Hold]) -> None:
        for _ in range(3):
            try:
                return store.settle(id, spent)
            except Exception:  # noqa: BLE001, PERF203 - a store that is away for a moment
                threading.Event().wait(0.2)
        # The reservation stays until its lease ends: for that long the budget counts the worst case instead.
        return None

    def wait(self, store: BudgetStore | None = None) -> None:
        """Return when all is settled that was asked for so far, at one store or at all of them."""
        with self._here():
            latest = list(self._latest.values()) if store is None else [self._latest.get(store)]
        for future in latest:
            if future is not None:
                future.result()


SETTLING = Settling()


class Account:
    """The budgets of one step."""

    def __init__(self, budgets: Sequence[Budget], request: Request, decision_id: str, worst: WorstCase) -> None:
        task = current_task()
        self.budgets = tuple(budgets)
        self.every = request
        self.keys = [budget.key(request, task, decision_id) for budget in budgets]
        self.worst = worst
        self.local = all(budget.store.local for budget in budgets)
        self.patience = min(budget.wait_seconds for budget in budgets)
        self.refused: dict[str, str] = {}
        """Routes that did not fit when they were tried, each with its reason."""

        self.tried: set[str] = set()
        """Routes that were called; what they cost now is no reason why they were not chosen."""

        self.binding: Budget | None = None
        """The budget that took the last route away."""

        self.passing = False
        """The latest refusal was for reservations of others only."""

        self._reserved: tuple[list[tuple[BudgetStore, str]], list[int]] | None = None

    # Before a call ---------------------------------------------------------------------------------------------------

    def affordable(self, request: Request, routes: Mapping[str, Any]) -> Request:
        """The request with the routes that can still be paid for; the others are rejected, each with its reason.

        Args:
            request: The call with every route that may take it.
            routes: The router's built routes.
        """
        balances = self._balances()
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

    def _balances(self) -> list[Balance]:
        found: list[Balance | None] = [None] * len(self.budgets)
        for store, places in self._by_store():
            # What this process spent last shall count, and it may still be on its way.
            SETTLING.wait(store)
            for place, balance in zip(places, store.balances([self.keys[place] for place in places]), strict=True):
                found[place] = balance
        return [balance or Balance() for balance in found]

    def _too_dear(self, request: Request, route: Any, balances: Sequence[Balance]) -> str | None:
        for budget, balance in zip(self.budgets, balances, strict=True):
            amount = self._most(budget, request, route)
            if amount is None:
                return f"its price is unknown, so {budget.label} could not bind"
            if balance.spent + amount > budget.limit:
                self.binding = self.binding or budget
                left = budget.told(max(0, budget.limit - balance.spent))
                return f"may cost {budget.told(amount)}; {budget.label} has {left} left"
        return None

    def _softly_spent(self, balances: Sequence[Balance]) -> str | None:
        for budget, balance in zip(self.budgets, balances, strict=True):
            if budget.soft < 1 and balance.spent >= budget.soft * budget.limit:
                return f"{budget.label} is {balance.spent / max(1, budget.limit):.0%} spent: cheapest tier only"
        return None

    def _most(self, budget: Budget, request: Request, route: Any) -> int | None:
        answer = answer_limit(route, request)
        if budget.tokens is not None:
            return self.worst.input_tokens(route.info, request) + answer
        usd = self.worst.usd(route.info, request, answer, _CALL_SECONDS)
        return None if usd is None else units(usd)

    def reserve(self, request: Request, route: Any) -> str | None:
        """Reserve the most that a call can cost: `None` when granted, else what stands in the way."""
        amounts = [self._most(budget, request, route) or 0 for budget in self.budgets]
        return self._reserve(amounts)

    def reserve_usd(self, usd: float) -> str | None:
        """Reserve for a paid check."""
        return self._reserve([0 if budget.usd is None else units(usd) for budget in self.budgets])

    def _reserve(self, amounts: list[int]) -> str | None:
        granted: list[tuple[BudgetStore, str]] = []
        for store, places in self._by_store():
            hold_id = uuid4().hex
            refused = store.reserve(hold_id, [self._hold(place, amounts[place]) for place in places])
            if refused is None:
                granted.append((store, hold_id))
                continue
            for other, other_id in granted:
                self._settle(other, other_id, [0] * len(amounts))
            place = places[refused]
            budget, balance = self.budgets[place], store.balances([self.keys[place]])[0]
            self.passing = balance.spent + amounts[place] <= budget.limit
            self.binding = budget
            taken = f"{budget.told(balance.spent)} spent, {budget.told(balance.held)} reserved of {budget.told(budget.limit)}"
            return f"may cost {budget.told(amounts[place])}; {budget.label}: {taken}"
        self._reserved = (granted, amounts)
        return None

    # After a call ----------------------------------------------------------------------------------------------------

    def settle(self, attempt: Attempt, request: Request) -> None:
        """Charge what a call cost; the whole reservation where nobody knows."""
        usage, cost = attempt.usage, attempt.cost_usd
        self.tried.add(attempt.route)
        stored = attempt.stored is not None or attempt.cache in ("hit", "semantic_hit")
        if usage is not None and not stored:
            self.worst.learn(attempt.route, request, usage)
        amounts = []
        for place, budget in enumerate(self.budgets):
            if stored or (cost == 0.0 and usage is None):
                amounts.append(0)
            elif budget.tokens is not None:
                amounts.append(self._held(place) if usage is None else usage.total_tokens)
            else:
                amounts.append(self._held(place) if cost is None else units(cost))
        self._charge(amounts)

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

    def cancel(self, request: Request, route: Any) -> None:
        """A step was broken off and nobody says what it was billed: charge the prompt of the open call, release the rest.

        Args:
            request: The step.
            route: The route that was being called; `None` where it was none.
        """
        if self._reserved is None:
            return
        tokens = request.step.signals.tokens if route is not None else 0
        price = route.info.price if route is not None else None
        usd = tokens * price.input / 1e6 + price.per_call if price is not None else 0.0
        self._charge([tokens if budget.tokens is not None else units(usd) for budget in self.budgets])

    def _charge(self, amounts: Sequence[int]) -> None:
        reserved, self._reserved = self._reserved, None
        if reserved is None:
            for store, places in self._by_store():
                SETTLING.settle(store, None, [self._hold(place, amounts[place]) for place in places])
            return
        for store, hold_id in reserved[0]:
            self._settle(store, hold_id, amounts)

    def _settle(self, store: BudgetStore, id: str, amounts: Sequence[int]) -> None:
        places = next(places for other, places in self._by_store() if other is store)
        SETTLING.settle(store, id, [self._hold(place, amounts[place]) for place in places])

    def _held(self, place: int) -> int:
        return self._reserved[1][place] if self._reserved is not None else 0

    def _hold(self, place: int, amount: int) -> Hold:
        budget = self.budgets[place]
        return Hold(self.keys[place], amount, budget.limit, budget.keep_seconds)

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
        """Why the last routes fell out."""
        return [f"{name} {reason}" for name, reason in request.rejected.items() if name not in self.every.rejected]

    def closing(self, request: Request) -> str | Exception:
        """What becomes of a step that no budget pays for: a closing text, or the error to raise."""
        budget = self.binding or self.budgets[0]
        lines = "".join(f"\n  {name}: {reason}" for name, reason in request.rejected.items())
        error = BudgetExceededError(f"No route can be paid for from {budget.label}:{lines}\nRaise the limit{_or(budget)}.")
        if budget.at_limit == "error" or request.response_schema is not None:
            # A closing text is no answer in a schema.
            return error
        if budget.at_limit == "finish":
            return budget.message.replace("{per}", "application" if budget.per == "all" else budget.per.removeprefix("tag:"))
        try:
            said = budget.at_limit(request, error)  # type: ignore[operator]
        except Exception as raised:  # noqa: BLE001 - the user's own error
            return raised
        return error if said is None else str(getattr(said, "content", said))


def _or(budget: Budget) -> str:
    """What there is to do beside raising the limit: nobody can begin a new user."""
    if budget.every is not None:
        return f", or wait for the next {budget.every}"
    return f", or begin a new {budget.per}" if budget.per in ("call", "task", "thread") else ""
