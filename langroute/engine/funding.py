"""Budget steps of a plan: affordability, reservation and settlement.

The plan stays free of I/O: queries of a budget store are yielded as `Fund` effects, which the drivers carry out, off the event loop if
the store waits for a disk or a network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

from langroute.budgets.account import Account
from langroute.budgets.budget import Budget
from langroute.budgets.max_cost import MaxCost
from langroute.budgets.queries import Queries
from langroute.core.control_flow import passes_through
from langroute.core.errors import BudgetStoreError
from langroute.core.records import Attempt, Request, Verdict
from langroute.engine.effects import Fund
from langroute.engine.resting import is_resting, watched

_PAUSE = 0.02

Asking = Generator[Fund, Any, Any]


class Funding:
    """Budgets of one step as its plan uses them.

    Args:
        budgets: At least one budget.
        routes: The router's built routes.
        request: The step with all its eligible routes.
        decision_id: Id of the step's decision.
        worst: Upper bounds of the costs of calls.
    """

    def __init__(
        self, budgets: Sequence[Budget], routes: Mapping[str, Any], request: Request, decision_id: str, worst: MaxCost
    ) -> None:
        self.account = Account(budgets, request, decision_id, worst)
        self.every, self.routes = request, routes
        self.waited_s = 0.0
        """Seconds spent waiting for other calls to settle."""

        self._called: Any = None
        self._since = 0.0
        self._off = False
        """Whether a store was away and calls go on without asking it."""

    def afford(self, problems: list[str]) -> Asking:
        """Return the request with only the routes that can still be paid for; there may be none."""
        if self._off:
            return self.every
        ask = partial(self.account.affordable, self.every, self.routes)
        return (yield from self._asked(ask, self.every, problems))

    def reserve(self, request: Request, route: Any, problems: list[str]) -> Asking:
        """Reserve the most that a call may cost. Return `False` if the budget does not cover it; the policy then selects again."""
        if self._off:
            return True
        ask = partial(self.account.reserve, request, route)
        refusal = yield from self._asked(ask, None, problems)
        while refusal is not None and self.account.passing and self.waited_s < self.account.wait_seconds:
            # Only other calls' reservations exceed the budget, and most calls cost far less than their reservation.
            pause = min(_PAUSE * 2 ** min(self.waited_s * 4, 4), self.account.wait_seconds)
            self.waited_s += pause
            refusal = yield from self._asked(ask, None, problems, pause)
        if refusal is not None:
            self.account.refused[route.name] = refusal
            return False
        return True

    def calling(self, route: Any) -> None:
        """Note that the reserved call is being made; if it is broken off from here on, it may be billed."""
        self._called, self._since = route, perf_counter()

    def reserve_checks(self, verifiers: Sequence[Any], request: Request, attempt: Attempt, problems: list[str]) -> Asking:
        """Reserve the most that checking an answer may cost. Return `False` if the budget does not cover it."""
        if self._off:
            return True
        usd = sum(cost for verifier in verifiers if (cost := _worst_check(verifier, request, attempt)))
        if not usd:
            return True
        refusal = yield from self._asked(partial(self.account.reserve_usd, usd), None, problems)
        if refusal is not None:
            problems.append(f"the answer was not checked: the check {refusal}")
            return False
        return True

    def settle(self, attempt: Attempt, request: Request, problems: list[str]) -> None:
        """Charge the cost of a call, and say where its bill is higher than what was reserved."""
        self._called = None
        with self._as_far_as_there_is_a_store():
            above = self.account.settle(attempt, request, self.routes.get(attempt.route))
            if above is not None:
                problems.append(above)

    def settle_checks(self, verdicts: Sequence[Verdict]) -> None:
        """Charge the cost of checks."""
        with self._as_far_as_there_is_a_store():
            self.account.settle_checks(verdicts)

    @contextmanager
    def _as_far_as_there_is_a_store(self) -> Iterator[None]:
        """Where calls go on without budgets, what they cost is charged when the store is back; one in this process may fail at once."""
        try:
            yield
        except Exception as error:
            if not self._off or passes_through(error):
                raise

    def cancel(self, left: Attempt | None = None) -> None:
        """Settle an aborted step: charge what the open call can have cost and release the rest.

        Args:
            left: The attempt of the open call, if there is one.
        """
        if not self._off:
            self.account.cancel(self.every, self._called, left, perf_counter() - self._since)

    def _asked(self, ask: Callable[[], Queries[Any]], otherwise: Any, problems: list[str], wait_s: float = 0.0) -> Asking:
        told = ask
        if self._goes_on and not self.account.local:
            if any(is_resting(store) for store in self._distant):
                self._off = True
                problems.append("budgets were not looked at: their store has just failed")
                return otherwise
            told = partial(watched, ask)
        try:
            return (yield Fund(told, self.account.local, self.account.awaited, wait_s))
        except Exception as error:
            if passes_through(error):
                raise
            if not self._goes_on:
                if isinstance(error, BudgetStoreError):
                    raise
                raise BudgetStoreError(f"The budgets' store failed: {type(error).__name__}: {error}") from error
            self._off = True
            problems.append(f"budgets were not looked at: {type(error).__name__}: {error}")
            return otherwise

    @property
    def _distant(self) -> Iterator[Any]:
        """The stores that somebody has to wait for."""
        return (budget.store for budget in self.account.budgets if not budget.store.local)

    @property
    def _goes_on(self) -> bool:
        """Whether calls go on without budgets that cannot be looked at."""
        return all(budget.if_unavailable == "go_on" for budget in self.account.budgets)


def _worst_check(verifier: Any, request: Request, attempt: Attempt) -> float | None:
    """Return the most USD that a check can cost, or `None` where the verifier does not say."""
    worst = getattr(verifier, "worst_cost_usd", None)
    found = worst(request, attempt) if callable(worst) else None
    return float(found) if found else None
