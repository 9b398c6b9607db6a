"""What can a plan ask a driver to do, and what does it hear back?

A plan (`router.py`) does no I/O. It yields one of these and is sent the answer by a driver (`drivers.py`), which may be sync, async or
streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from langroute.records import Attempt, Request, Selection, Stored
from langroute.routes import BuiltRoute


@dataclass(slots=True)
class Call:
    """Ask a route. Answered with a `Reply`."""

    route: BuiltRoute
    selection: Selection
    request: Request
    decision_id: str
    index: int
    """0 for the first attempt."""

    patience: Any = None
    """A `Patience` where time is limited."""

    other: Any = None
    """Makes the call of the route that would come next, where a slow one may be raced."""

    gate: Any = None
    """Stands before everybody who sees the call's tokens, where somebody does."""

    problem: str | None = None
    """What failed in making the history fit, and was worked around."""


@dataclass(slots=True)
class Check:
    """Verify an attempt. Answered with the verdicts."""

    verifiers: Sequence[Any]
    request: Request
    attempt: Attempt
    earlier: Sequence[Attempt]
    """The attempts before it."""


@dataclass(slots=True)
class Consult:
    """Ask a policy that may have to call something. Answered with a `Selection` or `None`; its errors are thrown in."""

    policy: Any
    request: Request
    attempts: Sequence[Attempt]


@dataclass(slots=True)
class Wait:
    """Sleep. Answered with nothing."""

    seconds: float


@dataclass(slots=True)
class Settle:
    """Offer what was answered to the response cache. Answered with nothing."""

    session: Any


@dataclass(slots=True)
class Reply:
    """What came of a call."""

    message: Any = None
    error: BaseException | None = None
    latency_s: float = 0.0
    first_token_s: float | None = None
    streamed: bool = False
    """Something of it reached the caller already."""

    cache: str | None = None
    """What the response cache said, where there is one: `hit`, `semantic_hit`, `miss` or `bypass: why`."""

    parsed: Any = None
    output: Any = None
    """What the host returns, where that is more than the message."""

    stored: Stored | None = None
    """What is known of the stored answer, on a hit."""

    cache_key: str | None = None
    """Where the response cache keeps the answer, if it may."""

    problems: Sequence[str] = ()
    """What failed in the host and was worked around."""

    call: Call | None = None
    """Whose reply it is, where several routes were asked at once."""

    also: Sequence[tuple[Call, Reply]] = ()
    """The others that were asked with it, and what came of them."""


@dataclass(slots=True)
class Fund:
    """Ask the budgets' stores. Answered with what they say; their errors are thrown in."""

    ask: Callable[[], Any]
    local: bool
    """Nothing of it waits, so that an event loop may call it."""

    wait_s: float = 0.0
    """Seconds to wait before."""


Effect = Call | Check | Consult | Wait | Settle | Fund
