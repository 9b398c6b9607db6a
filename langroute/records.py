"""What are the facts that pass between the parts?

Everything here is frozen and plain: no I/O, no behaviour beyond what can be derived. Costs are USD, `None` where unknown and
never 0 instead; times are seconds; token counts are whole tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langroute.quick import quick

TIERS = ("cheap", "balanced", "frontier")
"""The roles a route can have, weakest first."""

KINDS = ("plan", "act", "observe", "edit", "extract", "classify", "summarize", "title", "review", "answer", "chat")
"""What an agent can ask one model call to do. Users can add more."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a route charges, in USD per million tokens.

    Example:
        >>> Price(input=3.0, output=15.0, cache_read=0.3).input
        3.0
    """

    input: float
    """Uncached input."""

    output: float
    """Output, reasoning included."""

    cache_read: float | None = None
    """Input read from the provider's prompt cache; `None` bills it as `input`."""

    cache_write: float | None = None
    """Input written to a prompt cache that lives 5 minutes; `None` bills it as `input`."""

    cache_write_1h: float | None = None
    """Input written to a prompt cache that lives an hour; `None` bills it as `cache_write`."""

    per_call: float = 0.0
    """USD for each call."""

    per_second: float = 0.0
    """USD for each second the call took: for models on one's own machine."""

    above: tuple[tuple[int, Price], ...] = ()
    """Other rates for calls with more input tokens than the number, smallest number first."""


@quick
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, by what they are billed as. The cached ones are part of `input_tokens`."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    """Part of `output_tokens`."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """What policies may know of a route: everything but the model itself."""

    name: str
    tier: str = "balanced"
    rank: int = 0
    """Place in the router's order, 0 for the cheapest."""

    model: str | None = None
    """The model's name, as asked for."""

    provider: str | None = None
    """LangChain's `ls_provider`: `openai`, `anthropic`, `google_genai`, …"""

    api: str | None = None
    """The wire format: `anthropic`, `openai-chat`, `openai-responses`, `gemini`, `openai-compatible`; `None` if unknown."""

    price: Price | None = None
    context_window: int | None = None
    """Most input tokens, answer not included; `None` if unknown."""

    max_output_tokens: int | None = None
    abilities: Mapping[str, bool] = field(default_factory=dict)
    """`tools`, `tool_choice`, `structured_output`, `images`, `audio`, `video`, `pdf`, `reasoning`; a missing one is unknown."""

    labels: frozenset[str] = frozenset()
    """Regions and sensitivities the route may serve: `eu`, `pii`, …"""


@quick
@dataclass(frozen=True, slots=True)
class Signals:
    """What can be seen in a step's history. All of it is counted, none of it is text."""

    tokens: int = 0
    """Estimated input tokens, tools included."""

    messages: int = 0
    images: int = 0
    audio: int = 0
    files: int = 0
    code_share: float = 0.0
    """Share of the current turn's characters that stand in code, 0 to 1."""

    language: str | None = None
    """ISO 639-1 code of the current user turn where it can be told, else `None`."""

    depth: int = 0
    """Sub-agents and sub-graphs around this step."""

    turn: int = 0
    """Number of user turns so far."""

    turn_tokens: int = 0
    """Estimated tokens of the current user turn's own message."""

    turn_steps: int = 0
    """Model answers since the current user turn began."""

    tool_results: int = 0
    """Tool results since the current user turn began."""

    error: float = 0.0
    """How bad the latest tool results are: 0 fine, 1 failed."""

    errors_in_row: int = 0
    """Rounds of tool calls in a row, up to now, in which something failed; rounds that only read or edit do not end the row."""

    repeats: int = 0
    """How often the latest tool call was already made, with the same arguments, in this turn."""

    edits: int = 0
    """Edits made in this turn."""

    steps_since_edit: int | None = None
    """Model answers since the last edit of this turn; `None` when there was none."""

    has_system: bool = False


@quick
@dataclass(frozen=True, slots=True)
class Step:
    """What an agent asks one model call to do."""

    kind: str = "chat"
    node: str | None = None
    """LangGraph node."""

    index: int = 0
    """Place of this model call in the run: model answers since the last user turn."""

    thread: str | None = None
    """The conversation: `thread_id`, else a hash of its beginning."""

    task: str | None = None
    """What a person wanted done; the root run that the steps belong to."""

    task_kind: str | None = None
    """The user's own label for a family of tasks."""

    namespace: str | None = None
    """LangGraph checkpoint namespace: tells sub-graphs and parallel branches apart."""

    agent: str | None = None
    signals: Signals = Signals()
    asked: int | None = field(default=None, repr=False, compare=False)
    """Tells what the user's turn asks for from what another turn asked for. Means nothing outside this process; no ledger keeps it."""

    def __getattr__(self, name: str) -> Any:
        # Only reached for names that are no field: `step.tokens` reads as well as `step.signals.tokens`.
        if name in Signals.__dataclass_fields__:
            return getattr(self.signals, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """One model call as a policy sees it.

    Example:
        >>> Request("Define entropy.").messages[0].content
        'Define entropy.'
    """

    messages: Sequence[Any]
    """LangChain messages; a plain string becomes one human message."""

    step: Step = Step()
    routes: tuple[RouteInfo, ...] = ()
    """The eligible routes, cheapest first. A policy may select no other."""

    default: str | None = None
    """The route that answers when a policy fails: the strongest unless the router was told otherwise."""

    tools: tuple[Mapping[str, Any], ...] = ()
    """Bound tools, in OpenAI's form."""

    tool_choice: Any = None
    response_schema: Any = None
    """The schema of `with_structured_output` or `response_format`, as the user gave it."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Metadata of the run, LangGraph's keys included."""

    rejected: Mapping[str, str] = field(default_factory=dict)
    """Routes that fell out before the policy was asked, each with its reason."""

    max_tokens: int | None = None
    """Longest answer the caller asked for."""

    problems: tuple[str, ...] = ()
    """What failed inside langroute before the policy was asked, and was worked around."""

    deterministic: bool = False
    """The same input shall make the same decision: a policy that explores does not, here."""

    def __post_init__(self) -> None:
        if isinstance(self.messages, str):
            from langchain_core.messages import HumanMessage

            object.__setattr__(self, "messages", (HumanMessage(self.messages),))

    @property
    def route_names(self) -> tuple[str, ...]:
        """Names of the eligible routes, cheapest first."""
        return tuple(route.name for route in self.routes)

    def route(self, name: str) -> RouteInfo | None:
        """The eligible route of that name, if there is one."""
        for route in self.routes:
            if route.name == name:
                return route
        return None


@quick
@dataclass(frozen=True, slots=True)
class Selection:
    """A policy's answer: which route to try next, and why."""

    route: str
    """Name of the route to try."""

    reason: str = ""
    """A few words for whoever reads the trace."""

    propensity: float = 1.0
    """Probability the policy gave this route; 1.0 when nothing was random."""

    tentative: bool = False
    """The policy may still reject the answer: it is verified, and its tokens are held back until it is accepted."""

    confidence: float | None = None
    """The policy's own estimate that the answer will do, 0 to 1, where it has one."""

    wait_s: float = 0.0
    """Seconds to wait before the call (a retry's back-off)."""

    switch_cost_usd: float | None = None
    """What leaving the warm prompt cache costs, where a policy worked it out."""

    firm: bool = field(default=False, repr=False)
    """Quality asks for this route here and now: a wrapping policy does not trade it for a cheaper or warmer one."""

    cost_usd: float | None = field(default=0.0, repr=False)
    """What selecting itself cost (a classifier's call); `None` if unknown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of an answer."""

    verifier: str
    score: float
    """0 to reject, 1 to accept, or anything between."""

    reason: str = ""
    cost_usd: float | None = 0.0
    """What the check itself cost (a judge's call); `None` if unknown."""

    error: str | None = None
    """Set when the verifier itself failed; its score then counts for nothing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error means for what to do next."""

    kind: str
    """`rate_limited`, `overloaded`, `server_error`, `timeout`, `connection`, `broken_stream`, `context_overflow`, `auth`,
    `quota`, `content_filter`, `unsupported`, `bad_request`, `parsing`, `given_up` (another route answered first) or `unknown`."""

    retry_same: bool = False
    """The same call may work a little later."""

    retry_elsewhere: bool = True
    """Another route may answer."""

    cool_down: bool = False
    """The route should rest for a while."""

    retry_after_s: float | None = None
    """How long the provider asked to wait."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored answer that took the place of a call, and what that call took."""

    route: str
    """The route that gave it."""

    usage: Usage | None = None
    cost_usd: float | None = None
    score: float | None = None


@quick
@dataclass(frozen=True, slots=True)
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
    """Name of the error's class; stays when the error itself is let go."""

    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float = 0.0
    first_token_s: float | None = None
    model: str | None = None
    """Model id as served."""

    finish_reason: str | None = None
    cache: str | None = None
    """What the response cache said, where there is one: `hit`, `semantic_hit`, `miss` or `bypass: why`."""

    parsed: Any = None
    """What structured output was parsed to."""

    streamed: bool = False
    """Tokens of this attempt reached the caller before it ended."""

    failure: Failure | None = None
    """What the error means for what to do next."""

    stored: Stored | None = None
    """The stored answer that took the place of a call."""

    cache_key: str | None = None
    """Where the response cache keeps the answer, if it may."""

    provider: str | None = None
    """LangChain's `ls_provider` of the route's model."""

    tier: str | None = None
    """The route's."""

    @property
    def route(self) -> str:
        """Name of the route that was tried."""
        return self.selection.route

    @property
    def ok(self) -> bool:
        """An answer came back."""
        return self.error_type is None and self.error is None

    def without_text(self) -> Attempt:
        """The same attempt with nothing in it that anybody wrote: safe to keep."""
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
        )


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """All that was considered, tried and answered for one step."""

    id: str
    step: Step
    route: str | None
    """The route whose answer was kept; `None` when every one failed."""

    attempts: tuple[Attempt, ...]
    reason: str = ""
    policy: str = ""
    policy_version: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)
    cache: str = "miss"
    """`hit`, `semantic_hit`, `miss` or `bypass: why`."""

    tier: str | None = None
    model: str | None = None
    """Model id as served."""

    cost_usd: float | None = None
    """All attempts and paid checks together; `None` when one of them is unknown."""

    baseline_cost_usd: float | None = None
    """What the baseline route would have been billed for the same tokens."""

    baseline_route: str | None = None
    overhead_s: float = 0.0
    """Time spent deciding, not calling."""

    problems: tuple[str, ...] = ()
    """What failed inside langroute and was worked around, in a few words each."""

    started_at: float = 0.0
    """Seconds since the epoch."""

    run_id: str | None = None
    root_run_id: str | None = None
    parent_run_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    switch_cost_usd: float | None = None
    messages: tuple[Any, ...] = ()
    """The end of what was asked; only in the hands of a ledger that keeps text."""

    @property
    def kept(self) -> Attempt | None:
        """The attempt whose answer was returned."""
        if self.route is None:
            return None
        return best_attempt(self.attempts)

    @property
    def saved_usd(self) -> float | None:
        """Baseline minus cost; negative when routing cost more."""
        if self.cost_usd is None or self.baseline_cost_usd is None:
            return None
        return self.baseline_cost_usd - self.cost_usd

    def without_text(self) -> Decision:
        """The same decision with nothing in it that anybody wrote."""
        return replace(self, attempts=tuple(attempt.without_text() for attempt in self.attempts), messages=())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task or a decision, told later."""

    key: str = "success"
    score: float | None = None
    """0 to 1 for a share or a truth, any number for a declared metric."""

    success: bool | None = None
    task_id: str | None = None
    decision_id: str | None = None
    run_id: str | None = None
    source: str = "user"
    human_minutes: float | None = None
    baseline_minutes: float | None = None
    value_usd: float | None = None
    comment: str | None = None
    at: float = 0.0
    """Seconds since the epoch."""


def best_attempt(attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt to keep: the last good one if it was not scored, else the good one with the best score.

    Example:
        >>> weak = Attempt(Selection("small"), answer="a", score=0.2)
        >>> last = Attempt(Selection("large"), answer="b")
        >>> best_attempt([weak, last]).route
        'large'
    """
    if len(attempts) == 1:
        return attempts[0] if attempts[0].ok else None
    good = [attempt for attempt in attempts if attempt.ok]
    if not good:
        return None
    if good[-1].score is None:
        return good[-1]
    scored = [attempt for attempt in good if attempt.score is not None]
    return max(reversed(scored), key=lambda attempt: attempt.score or 0.0)
