"""Attempts, one call of one route each, with verdicts and failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records.request import Selection
from langroute.core.records.usage import Usage


@fast_dataclass
class Verdict:
    """A verifier's judgement of an answer."""

    verifier: str
    score: float
    """0 to reject, 1 to accept, or anything between."""

    reason: str = ""
    cost_usd: float | None = 0.0
    """Cost in USD of the check itself (a judge's call); `None` if unknown."""

    error: str | None = None
    """Error of the verifier, if it failed; the score is then ignored."""


@fast_dataclass
class Failure:
    """Classification of an error: its kind, and whether retry, fallback or cool-down may help."""

    kind: str
    """`rate_limited`, `overloaded`, `server_error`, `timeout`, `connection`, `broken_stream`, `context_overflow`, `auth`,
    `quota`, `content_filter`, `model_unavailable` (it does not exist, or not for this account), `unsupported`, `bad_request`, `parsing`, `given_up` (another route answered first) or `unknown`."""

    retry_same: bool = False
    """A retry of the same call may succeed."""

    retry_elsewhere: bool = True
    """Another route may answer."""

    cool_down: bool = False
    """The route should not be used for a while."""

    retry_after_s: float | None = None
    """Seconds the provider asked to wait."""


@fast_dataclass
class Stored:
    """A stored answer that was returned instead of a call, with the tokens, cost and score of the original call."""

    route: str
    """The route that produced the answer."""

    usage: Usage | None = None
    cost_usd: float | None = None
    score: float | None = None


CLOSING = "budget"
"""Name of the route, and the reason of the end, of a closing text that is given when a budget is used up."""


@fast_dataclass
class Attempt:
    """One call of one route.

    Example:
        >>> Attempt(Selection("small", "cheapest"), answer="Hm.", score=0.2).route
        'small'
    """

    selection: Selection
    answer: Any = None
    """The message that came back; `None` after an error."""

    score: float | None = None
    """Lowest of the verifiers' scores, 0 to 1; `None` where nothing was verified."""

    verdicts: tuple[Verdict, ...] = ()
    error: BaseException | None = None
    error_type: str | None = None
    """Name of the error's class; kept when the error object itself is dropped."""

    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float = 0.0
    first_token_s: float | None = None
    model: str | None = None
    """Model id as served."""

    finish_reason: str | None = None
    cache: str | None = None
    """Result of the response cache, if there is one: `hit`, `semantic_hit`, `miss` or `bypass: why`."""

    parsed: Any = None
    """Parsed structured output."""

    streamed: bool = False
    """Tokens of this attempt reached the caller before it ended."""

    failure: Failure | None = None
    """Classification of the error."""

    stored: Stored | None = None
    """The stored answer that was returned instead of a call."""

    cache_key: str | None = None
    """Key of the answer in the response cache, if it may be stored."""

    provider: str | None = None
    """LangChain's `ls_provider` of the route's model."""

    tier: str | None = None
    """Tier of the route."""

    asked_model: str | None = None
    """Model id as asked for, where it is not the one that served."""

    edits: tuple[str, ...] = ()
    """What a gateway changed in the request for this route or lost in translation, in the words of its response header."""

    @property
    def is_closing(self) -> bool:
        """Whether it is the closing text of a used-up budget, for which no model was called."""
        return self.finish_reason == CLOSING and self.selection.route == CLOSING and self.tier is None

    @property
    def route(self) -> str:
        """Name of the route that was tried."""
        return self.selection.route

    @property
    def ok(self) -> bool:
        """Whether the attempt has an answer."""
        return self.error_type is None and self.error is None

    def without_text(self) -> Attempt:
        """Return a copy of the attempt without any text."""
        return Attempt(
            self.selection,
            None,
            self.score,
            self.verdicts,
            None,
            self.error_type,
            self.usage,
            self.cost_usd,
            self.latency_s,
            self.first_token_s,
            self.model,
            self.finish_reason,
            self.cache,
            None,
            self.streamed,
            self.failure,
            self.stored,
            self.cache_key,
            self.provider,
            self.tier,
            self.asked_model,
            self.edits,
        )


def best_attempt(attempts: Sequence[Attempt]) -> Attempt | None:
    """Return the attempt to keep: the last successful one if it was not scored, else the successful one with the best score.

    Example:
        >>> weak = Attempt(Selection("small"), answer="a", score=0.2)
        >>> last = Attempt(Selection("large"), answer="b")
        >>> best_attempt([weak, last]).route
        'large'
    """
    if len(attempts) == 1:
        # Asked three times in nearly every step.
        only = attempts[0]
        return only if only.error_type is None and only.error is None else None
    good = [attempt for attempt in attempts if attempt.ok]
    if not good:
        return None
    if good[-1].score is None:
        return good[-1]
    scored = [attempt for attempt in good if attempt.score is not None]
    return max(reversed(scored), key=lambda attempt: attempt.score or 0.0)
