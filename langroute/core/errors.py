"""Exceptions and warnings of langroute.

```text
LangrouteError (Exception)
├── ConfigurationError (ValueError)      the router was built wrongly; raised when it is built
│   ├── UnknownRouteError (LookupError)  a name that is no route of this router
│   └── DuplicateRouteError              two routes share a name
├── InputError (ValueError)              this call was made wrongly
├── NoEligibleRouteError (LookupError)   every route was excluded; each with its reason
├── RouteFailedError (RuntimeError)      every route that was tried failed; each with its error
├── RouteTimeoutError (TimeoutError)     a route gave no token, or no answer, in time
├── AnswerCutOffError (ConnectionError)  an answer ended without a finish reason, or with the provider's error: it is incomplete
├── RaceLostError (RuntimeError)         a call was given up because another route answered first
├── AnswerRejectedError (RuntimeError)   no answer was accepted, and the policy forbids the best of them
├── SubtaskUndoError (RuntimeError)      what a rejected attempt at a subtask did could not be undone
├── BudgetExceededError (RuntimeError)   a hard limit was reached
├── BudgetStoreError (RuntimeError)      what was spent cannot be looked up, so no budget can bind
├── MissingExtraError (ImportError)      an optional package is not installed; says which
├── DataError (ValueError)               a file, row or stored value is broken; says where
├── PolicyFormatError (DataError)        a policy directory cannot be read
├── LedgerError (RuntimeError)           the ledger cannot be opened or read
├── CacheError (RuntimeError)            the cache cannot be opened
└── LocalModelError (RuntimeError)       a local model cannot be fetched, started or found

LangrouteWarning (UserWarning)
├── UnknownPriceWarning                  a route has no price; its cost is None
├── DegradedWarning                      something inside langroute failed; the default route answered
└── ConfigurationWarning                 it works, but probably not as meant
```
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class LangrouteError(Exception):
    """Base of every error that langroute raises itself."""


class ConfigurationError(LangrouteError, ValueError):
    """The router was built wrongly. Raised when it is built, never in the middle of a call."""


class UnknownRouteError(ConfigurationError, LookupError):
    """A name that is no route of this router."""

    def __init__(self, route: str, known: Iterable[str], where: str = "") -> None:
        self.route = route
        self.known = tuple(known)
        place = f" in {where}" if where else ""
        super().__init__(f"Unknown route {route!r}{place}. Known routes: {', '.join(self.known)}.")


class DuplicateRouteError(ConfigurationError):
    """Two routes share a name."""

    def __init__(self, route: str) -> None:
        self.route = route
        super().__init__(f"Two routes are named {route!r}. Give each route its own name.")


class InputError(LangrouteError, ValueError):
    """A call has invalid arguments, independently of the route."""


class NoEligibleRouteError(LangrouteError, LookupError):
    """The hard limits excluded every route before the policy was asked."""

    def __init__(self, rejected: Mapping[str, str]) -> None:
        self.rejected = dict(rejected)
        lines = "".join(f"\n  {name}: {reason}" for name, reason in self.rejected.items())
        super().__init__(f"No route can take this step:{lines}\nAdd a route that can, or relax the limit named above.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rejected,)


class RouteFailedError(LangrouteError, RuntimeError):
    """Every route that was tried failed. The last failure is the cause (`__cause__`).

    Where all routes failed by the same kind of error, the error is an instance of that kind too (`langroute.core.typed_errors`).
    """

    is_retryable: bool = False
    """Whether the same request may succeed later on any of the routes."""

    def __init__(self, failures: Iterable[tuple[str, BaseException]]) -> None:
        self.failures = tuple(failures)
        lines = "".join(f"\n  {name}: {type(error).__name__}: {error}" for name, error in self.failures)
        # Not by `super()`: a typed subclass has classes behind this one that want other arguments.
        Exception.__init__(self, f"Every route that was tried failed:{lines}")

    def __str__(self) -> str:
        return str(self.args[0])

    def __repr__(self) -> str:
        return f"RouteFailedError({self.args[0]!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        from langroute.core.typed_errors import reduced

        return reduced(self)


class RouteTimeoutError(LangrouteError, TimeoutError):
    """A route gave no token, or no answer, in the time that `Timeouts` allows."""

    def __init__(self, route: str, seconds: float, what: str) -> None:
        self.route, self.seconds = route, seconds
        super().__init__(f"Route {route!r} gave no {what} within {seconds:g} s.")


class AnswerCutOffError(LangrouteError, ConnectionError):
    """An answer is incomplete: it ended without a finish reason, or its provider ended it with an error of its own."""

    def __init__(self, route: str, reason: str | None = None) -> None:
        self.route, self.reason = route, reason
        ended = "it ended without a finish reason" if reason is None else f"its provider ended it with {reason[:100]!r}"
        super().__init__(f"The answer of route {route!r} broke off: {ended}. Try again.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.route, self.reason)


class RaceLostError(LangrouteError, RuntimeError):
    """A call was given up because another route answered first. Occurs in records only."""

    def __init__(self, route: str) -> None:
        self.route = route
        super().__init__(f"The call of route {route!r} was given up: it took too long, or another route answered first.")


class AnswerRejectedError(LangrouteError, RuntimeError):
    """No answer was accepted, and the policy forbids to return the best of them."""


class SubtaskUndoError(LangrouteError, RuntimeError):
    """The user's `undo` failed, so what a rejected attempt did is still there, or a part of it. Its cause is the error (`__cause__`).

    In a graph with a checkpointer, put things right and resume: `undo` is called again, and no attempt is repeated.
    """

    def __init__(self, subtask: str, route: str) -> None:
        self.subtask, self.route = subtask, route
        super().__init__(
            f"The subtask {subtask!r} was rejected on route {route!r}, and what it did could not be undone, so it was not run again. "
            "Put things right; a graph with a checkpointer can then be resumed."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subtask, self.route)


class BudgetExceededError(LangrouteError, RuntimeError):
    """A hard limit was reached, so no call was made."""


class BudgetStoreError(LangrouteError, RuntimeError):
    """Spending cannot be looked up, so budgets cannot be enforced. `Budget(if_unavailable="go_on")` calls without them."""


class StateError(LangrouteError, RuntimeError):
    """Shared state cannot be read or changed. Calls go on with what was read last."""


class MissingExtraError(LangrouteError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{purpose} needs {package!r}. Install it with: pip install 'langroute[{extra}]'")


class DataError(LangrouteError, ValueError):
    """A file, row or stored value is broken. The message says where."""


class PolicyFormatError(DataError):
    """A policy directory is truncated, damaged or made by a newer version."""


class LedgerError(LangrouteError, RuntimeError):
    """The ledger cannot be opened or read."""


class CacheError(LangrouteError, RuntimeError):
    """The cache cannot be opened."""


class LocalModelError(LangrouteError, RuntimeError):
    """A local model cannot be fetched, started or found."""


class LangrouteWarning(UserWarning):
    """Base of every warning that langroute gives."""


class UnknownPriceWarning(LangrouteWarning):
    """A route has no known price; its cost is `None`, never 0. Given once for each route."""


class DegradedWarning(LangrouteWarning):
    """Something inside langroute failed and the default route answered. Given once for each cause."""


class ConfigurationWarning(LangrouteWarning):
    """The configuration works, but probably not as it was meant."""
