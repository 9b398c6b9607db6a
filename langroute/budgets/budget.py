"""`Budget`: a spending limit, who shares it, how long it lasts, and what happens when it is used up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from hashlib import blake2b
from inspect import iscoroutinefunction
from math import ceil
from typing import Any

from langroute.budgets.memory import MemoryBudgets
from langroute.budgets.store import BudgetStore
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.records import Request
from langroute.core.resolve_task import label_of
from langroute.core.task_context import Task

UNIT = 1_000_000_000
"""Units per USD: amounts are whole billionths, so that sums are exact."""

SHARED_BY = ("call", "task", "thread", "user", "team", "all")
WINDOWS = {"hour": ("%Y-%m-%dT%H", 3600), "day": ("%Y-%m-%d", 86_400), "month": ("%Y-%m", 31 * 86_400)}
_KEPT = {"call": 3600.0, "task": 7 * 86_400.0, "thread": 30 * 86_400.0}

MESSAGE = "I have to stop here: the budget for this {per} is used up."


@dataclass(frozen=True)
class Budget:
    """A limit on what may be spent. Give it to a `ChatRouter`, `Router` or `RouterMiddleware` as `budget=`.

    Before each call the most it can cost is reserved, afterwards the real cost is settled; so concurrent calls cannot overshoot
    together. Retries, escalations, judges, sub-graphs and sub-agents all count.

    Args:
        usd: Most to spend, in USD; a mapping gives each user, team or tag its own limit, such as `{"care": 1, "search": 5}`, and `"*"` that
            of all others. Who is not in it has none and is refused.
        tokens: Most tokens to use, input and output together; likewise. Give one of the two.
        per: Who shares it: `call` (one step with its retries and checks), `task`, `thread`, `user`, `team`, `tag:NAME` or `all`. A user, team
            or tag is read from the tags of the task around the call, else from the run's metadata (`langroute_user`, `user_id`,
            `langroute_team`, `NAME`), as for the ledger; calls that say nothing share one budget.
        every: `hour`, `day` or `month`: begins anew with each, in UTC. For ever where nothing is given.
        soft: Share that leaves only the cheapest tier once it is spent; 1 for none.
        at_limit: `error` raises `BudgetExceededError`; `finish` answers with `message` instead of calling a model; a function of the request
            and the error returns the closing text (or message), or raises.
        message: The closing text; `{per}` becomes who shares the budget (`application` where all do).
        store: Where it is kept; in memory where nothing is given.
        if_unavailable: What happens when the store cannot be reached: `stop` raises `BudgetStoreError`, because a budget that
            cannot be read cannot bind; `go_on` calls without it and reports it in the decision's `problems`.
        wait_seconds: How long a call waits for others to settle when only their reservations stand in its way.
        name: Tells apart budgets that have the same owners and period.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        >>> Budget(usd=5, per="user", every="day").label
        "the user's budget"
    """

    usd: float | Mapping[str, float] | None = field(default=None, hash=False)
    tokens: int | Mapping[str, int] | None = field(default=None, hash=False)
    per: str = "task"
    every: str | None = None
    soft: float = 0.8
    at_limit: str | Callable[[Request, Exception], Any] = "error"
    message: str = MESSAGE
    store: BudgetStore = field(default_factory=MemoryBudgets)
    if_unavailable: str = "stop"
    wait_seconds: float = 10.0
    name: str = ""

    def __post_init__(self) -> None:
        self._check_limits()
        self._check_types()
        if self.per not in SHARED_BY and not (self.per.startswith("tag:") and self.per[4:]):
            raise ConfigurationError(f"per is one of {', '.join(SHARED_BY)} or 'tag:NAME', not {self.per!r}.")
        if self.every is not None and self.every not in WINDOWS:
            raise ConfigurationError(f"every is 'hour', 'day' or 'month', not {self.every!r}.")
        if not 0 < self.soft <= 1:
            raise ConfigurationError(f"soft is a share above 0 and up to 1, not {self.soft}.")
        if self.at_limit not in ("error", "finish") and not callable(self.at_limit):
            raise ConfigurationError(f"at_limit is 'error', 'finish' or a function, not {self.at_limit!r}.")
        if iscoroutinefunction(self.at_limit):
            raise ConfigurationError(
                "at_limit is a plain function: it is called between two steps of a plan, where nothing can be awaited."
            )
        if self.if_unavailable not in ("stop", "go_on"):
            raise ConfigurationError(f"if_unavailable is 'stop' or 'go_on', not {self.if_unavailable!r}.")

    @property
    def label(self) -> str:
        """Description of the budget in reasons and errors."""
        if self.name:
            return f"the budget {self.name!r}"
        return "the budget" if self.per == "all" else f"the {self.per.removeprefix('tag:')}'s budget"

    def _check_types(self) -> None:
        for name in ("per", "message", "name"):
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(f"A budget's {name} is a text, not {getattr(self, name)!r}.")
        if self.every is not None and not isinstance(self.every, str):
            raise ConfigurationError(f"every is 'hour', 'day' or 'month', not {self.every!r}.")
        for name in ("soft", "wait_seconds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise ConfigurationError(f"A budget's {name} is a number from 0 up, not {value!r}.")

    def _check_limits(self) -> None:
        if (self.usd is None) == (self.tokens is None):
            raise ConfigurationError("Give a budget one limit, `usd` or `tokens`.")
        for limit in self._limits().values():
            if isinstance(limit, bool) or not isinstance(limit, (int, float)):
                raise ConfigurationError(
                    "Give a budget one limit, `usd` or `tokens`, as a number or a mapping of names to numbers."
                )
            if not 0 <= limit < float("inf"):
                raise ConfigurationError(f"A budget's limit is a number from 0 up, not {limit}.")
        if self.has_names and self.per in ("call", "task", "thread", "all"):
            raise ConfigurationError(f"Limits by name need per='user', 'team' or 'tag:NAME', not {self.per!r}.")

    def _limits(self) -> dict[str, Any]:
        """Return the limit of each name; a limit for all is that of `*`."""
        limit = self.tokens if self.usd is None else self.usd
        if isinstance(limit, Mapping):
            if not limit:
                raise ConfigurationError("A budget's limits by name are empty; give at least one, or '*' for all.")
            return {str(name): value for name, value in limit.items()}
        return {"*": limit}

    @property
    def has_names(self) -> bool:
        """Whether users, teams or tags have limits of their own."""
        return isinstance(self.usd, Mapping) or isinstance(self.tokens, Mapping)

    @property
    def limit(self) -> int:
        """The limit in whole units, billionths of a USD or tokens; of limits by name the largest."""
        most = max(self._limits().values())
        return int(most) if self.tokens is not None else round(most * UNIT)

    def for_owner(self, request: Request, task: Task | None) -> Budget | None:
        """Return the budget with the one limit that holds for a call; `None` where its owner has none.

        Example:
            >>> budget = Budget(usd={"care": 1, "search": 5}, per="team")
            >>> budget.for_owner(Request("Hi.", metadata={"langroute_team": "care"}), None).usd
            1
            >>> budget.for_owner(Request("Hi.", metadata={"langroute_team": "sales"}), None) is None
            True
        """
        limits = self._limits()
        limit = limits.get(self._shared_by(request, task, ""), limits.get("*"))
        if limit is None:
            return None
        return replace(self, usd=limit) if self.tokens is None else replace(self, tokens=limit)

    @property
    def keep_seconds(self) -> float | None:
        """Seconds that the amount spent is kept after the last call; `None` for ever."""
        if self.every is not None:
            return WINDOWS[self.every][1] + 3600.0
        return _KEPT.get(self.per)

    def told(self, amount: int) -> str:
        """Return an amount as text with its unit.

        Example:
            >>> Budget(usd=1).told(250_000_000), Budget(tokens=9).told(7)
            ('0.25 USD', '7 tokens')
        """
        return f"{amount} tokens" if self.tokens is not None else f"{amount / UNIT:.6f}".rstrip("0").rstrip(".") + " USD"

    def key(self, request: Request, task: Task | None, decision_id: str, now: datetime | None = None) -> str:
        """Return the store's key of this budget for a call. Owners are hashed, so that no user's name is stored."""
        window = ""
        if self.every is not None:
            window = (now or datetime.now(timezone.utc)).strftime(WINDOWS[self.every][0])
        unit = "tokens" if self.tokens is not None else "usd"
        shared = blake2b(self._shared_by(request, task, decision_id).encode("utf-8", "replace"), digest_size=10).hexdigest()
        return "|".join((self.name, unit, self.per, self.every or "", window, shared))

    def knows_owner(self, request: Request) -> bool:
        """Return whether the owner of the budget is known; a step that could not be inspected may not name its task or thread.

        Example:
            >>> Budget(usd=1).knows_owner(Request("Hi.")), Budget(usd=1).knows_owner(Request("Hi.", uninspected=True))
            (True, False)
        """
        return not request.uninspected or self.per not in ("task", "thread") or bool(request.step.task or request.step.thread)

    def _shared_by(self, request: Request, task: Task | None, decision_id: str) -> str:
        step, metadata = request.step, request.metadata
        if self.per == "all":
            return ""
        if self.per == "call":
            return decision_id
        if self.per == "task":
            return step.task or step.thread or decision_id
        if self.per == "thread":
            return step.thread or step.task or decision_id
        return label_of(self.per.removeprefix("tag:"), metadata, task) or ""


def units(usd: float) -> int:
    """Return USD as whole units, rounded up.

    Example:
        >>> units(0.1), units(1e-12)
        (100000000, 1)
    """
    return ceil(round(usd * UNIT, 3))


def budgets_from(given: Any) -> tuple[Budget, ...]:
    """Return budgets from what a user gave: one, several, or nothing.

    Raises:
        ConfigurationError: An element is not a `Budget`.

    Example:
        >>> budgets_from(None)
        ()
    """
    if given is None:
        return ()
    several = [one for one in (given if isinstance(given, (list, tuple)) else (given,)) if not isinstance(one, BudgetStore)]
    for one in several:
        if not isinstance(one, Budget):
            raise ConfigurationError(f"A budget is made as Budget(usd=...), not from a {type(one).__name__}.")
    return tuple(several)


def budget_of_call(given: Any, store: BudgetStore) -> Budget:
    """Return the budget that a call's config asks for: a number of USD for its task, or a mapping of `Budget` arguments.

    Raises:
        InputError: It is neither.

    Example:
        >>> budget_of_call(0.5, MemoryBudgets()).usd
        0.5
    """
    try:
        if isinstance(given, Budget):
            return given
        if isinstance(given, Mapping):
            return Budget(**{"name": "of the caller", "store": store, **given})
        if isinstance(given, bool) or not isinstance(given, (int, float)):
            raise InputError(f"'budget' is a number of USD or a mapping such as {{'usd': 1, 'per': 'thread'}}, not {given!r}.")
        return Budget(usd=float(given), store=store, name="of the caller")
    except (ConfigurationError, TypeError) as error:
        raise InputError(f"'budget': {error}") from error
