"""Budget steps of a plan: affordability, reservation and settlement.

The plan stays free of I/O: queries of a budget store are yielded as `Fund` effects, which the drivers carry out, off the event loop if
the store waits for a disk or a network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
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

    def settle(self, attempt: Attempt, request: Request) -> None:
        """Charge the cost of a call."""
        self._called = None
        if not self._off:
            self.account.settle(attempt, request, self.routes.get(attempt.route))

    def settle_checks(self, verdicts: Sequence[Verdict]) -> None:
        """Charge the cost of checks."""
        if not self._off:
            self.account.settle_checks(verdicts)

    def cancel(self, left: Attempt | None = None) -> None:
        """Settle an aborted step: charge what the open call can have cost and release the rest.

        Args:
            left: The attempt of the open call, if there is one.
        """
        if not self._off:
            self.account.cancel(self.every, self._called, left, perf_counter() - self._since)

    def _asked(self, ask: Callable[[], Queries[Any]], otherwise: Any, problems: list[str], wait_s: float = 0.0) -> Asking:
        try:
            return (yield Fund(ask, self.account.local, self.account.awaited, wait_s))
        except Exception as error:
            if passes_through(error):
                raise
            if any(budget.if_unavailable == "stop" for budget in self.account.budgets):
                if isinstance(error, BudgetStoreError):
                    raise
                raise BudgetStoreError(f"The budgets' store failed: {type(error).__name__}: {error}") from error
            self._off = True
            problems.append(f"budgets were not looked at: {type(error).__name__}: {error}")
            return otherwise


def _worst_check(verifier: Any, request: Request, attempt: Attempt) -> float | None:
    """Return the most USD that a check can cost, or `None` where the verifier does not say."""
    worst = getattr(verifier, "worst_cost_usd", None)
    found = worst(request, attempt) if callable(worst) else None
    return float(found) if found else None
