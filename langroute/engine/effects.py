"""Effects that a plan yields to its driver, and the reply to a call.

A plan (`step_execution.py`) does no I/O. It yields effects and is sent their results by a driver (`drivers.py`), which may be sync,
async or streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Attempt, Request, Selection, Stored
from langroute.routes.route import BuiltRoute

if TYPE_CHECKING:
    from langroute.budgets.queries import Queries


@dataclass(slots=True)
class RouteCall:
    """Call a route. Answered with a `Reply`."""

    route: BuiltRoute
    selection: Selection
    request: Request
    decision_id: str
    index: int
    """0 for the first attempt."""

    timeouts: Any = None
    """A `Timeouts`, if time is limited."""

    other: Any = None
    """Function that makes the call of the next route, if a slow call may be hedged."""

    gate: Any = None
    """A `TokenGate` in front of the listeners that see the call's tokens, if there are any."""

    heard: Any = None
    """The `AttemptStream` of a call that is streamed."""

    told: Any = None
    """The `HeardUsage` of a plain call that LangChain streams."""

    problem: str | None = None
    """Failure in adapting the history that was worked around."""

    left_out: str | None = None
    """What was left out of the call, since the route cannot take it."""


@fast_dataclass
class AnswerCheck:
    """Verify an attempt. Answered with the verdicts."""

    verifiers: Sequence[Any]
    request: Request
    attempt: Attempt
    earlier: Sequence[Attempt]
    """The earlier attempts of the step."""


@fast_dataclass
class Consult:
    """Call a policy that may do I/O. Answered with a `Selection` or `None`; its errors are thrown into the plan."""

    policy: Any
    request: Request
    attempts: Sequence[Attempt]


@fast_dataclass
class Wait:
    """Sleep. Answered with nothing."""

    seconds: float


@fast_dataclass
class Settle:
    """Offer the answers to the response cache. Answered with nothing."""

    session: Any


@dataclass(slots=True)
class Reply:
    """Result of a call."""

    message: Any = None
    error: BaseException | None = None
    latency_s: float = 0.0
    first_token_s: float | None = None
    streamed: bool = False
    """Part of the answer reached the caller already."""

    cache: str | None = None
    """Result of the response cache, if there is one: `hit`, `semantic_hit`, `miss` or `bypass: why`."""

    parsed: Any = None
    output: Any = None
    """Return value of the host, where it is more than the message."""

    stored: Stored | None = None
    """The stored answer's record, on a hit."""

    cache_key: str | None = None
    """Key of the answer in the response cache, if it may be stored."""

    problems: Sequence[str] = ()
    """Failures in the host that were worked around."""

    edits: Sequence[str] = ()
    """What the host changed in the request for this route; see `Attempt.edits`."""

    call: RouteCall | None = None
    """The call that was answered, where several routes were called at once."""

    also: Sequence[tuple[RouteCall, Reply]] = ()
    """Other calls that ran at the same time, each with its reply."""


class Raced(Exception):  # noqa: N818 - carries an error to the driver, is never seen outside
    """Two hedged calls both failed."""

    def __init__(self, error: BaseException, call: RouteCall, also: list[tuple[RouteCall, Reply]]) -> None:
        super().__init__(str(error))
        self.error, self.call, self.also = error, call, also


@fast_dataclass
class Fund:
    """Query the budgets' stores. Answered with the result; its errors are thrown into the plan."""

    ask: Callable[[], Queries[Any]]
    local: bool
    """The queries do not block, so an event loop may carry them out directly."""

    awaited: bool = False
    """The queries can be awaited; otherwise an event loop has a thread carry them out."""

    wait_s: float = 0.0
    """Seconds to wait before the query."""


Effect = RouteCall | AnswerCheck | Consult | Wait | Settle | Fund
