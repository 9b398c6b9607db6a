"""When does the plan ask the budgets, and what does it do with what they say?

The plan stays free of I/O: what a store has to be asked is yielded as a `Fund` effect, which the drivers carry out, off the event loop
where the store waits for a disk or a network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from langroute.budgets.account import Account
from langroute.budgets.budget import Budget
from langroute.budgets.worst import WorstCase
from langroute.effects import Fund
from langroute.errors import BudgetStoreError
from langroute.failures import passes_through
from langroute.records import Attempt, Request, Verdict

_PAUSE = 0.02


Asking = Generator[Fund, Any, Any]


class Funding:
    """The budgets of one step, as its plan uses them.

    Args:
        budgets: At least one.
        routes: The router's built routes.
        request: The step with every route that may take it.
        decision_id: The decision that will come of it.
        worst: What is known of the most that calls can cost.
    """

    def __init__(
        self, budgets: Sequence[Budget], routes: Mapping[str, Any], request: Request, decision_id: str, worst: WorstCase
    ) -> None:
        self.account = Account(budgets, request, decision_id, worst)
        self.every, self.routes = request, routes
        self.waited_s = 0.0
        """Seconds spent waiting for other calls to settle."""

        self._called: Any = None
        self._off = False

    def afford(self, problems: list[str]) -> Asking:
        """The request with the routes that can still be paid for; perhaps none."""
        if self._off:
            return self.every
        ask = partial(self.account.affordable, self.every, self.routes)
        return (yield from self._asked(ask, self.every, problems))

    def reserve(self, request: Request, route: Any, problems: list[str]) -> Asking:
        """Reserve what a call may cost at most; `False` where that cannot be had, and the policy has to choose again."""
        if self._off:
            return True
        ask = partial(self.account.reserve, request, route)
        refusal = yield from self._asked(ask, None, problems)
        while refusal is not None and self.account.passing and self.waited_s < self.account.patience:
            # Only others' reservations stand in the way, and most calls cost far less than was reserved for them.
            pause = min(_PAUSE * 2 ** min(self.waited_s * 4, 4), self.account.patience)
            self.waited_s += pause
            refusal = yield from self._asked(ask, None, problems, pause)
        if refusal is not None:
            self.account.refused[route.name] = refusal
            return False
        self._called = route
        return True

    def reserve_checks(self, verifiers: Sequence[Any], request: Request, attempt: Attempt, problems: list[str]) -> Asking:
        """Reserve what checking an answer may cost; `False` where that cannot be had, and the answer stays unchecked."""
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
        """Charge what a call cost."""
        self._called = None
        if not self._off:
            self.account.settle(attempt, request)

    def settle_checks(self, verdicts: Sequence[Verdict]) -> None:
        """Charge what checks cost."""
        if not self._off:
            self.account.settle_checks(verdicts)

    def cancel(self) -> None:
        """The step was broken off: charge what is known, release the rest."""
        if not self._off:
            self.account.cancel(self.every, self._called)

    def _asked(self, ask: Callable[[], Any], otherwise: Any, problems: list[str], wait_s: float = 0.0) -> Asking:
        try:
            return (yield Fund(ask, self.account.local, wait_s))
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
    """Most USD that a check can cost, where the verifier says."""
    worst = getattr(verifier, "worst_cost_usd", None)
    found = worst(request, attempt) if callable(worst) else None
    return float(found) if found else None
