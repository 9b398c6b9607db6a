"""What was this call, told from what a callback handler saw of it? Its kind of step, its tokens and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config

from langroute.evaluators import Evaluator
from langroute.ledger.facts import CallRecord
from langroute.pricing import cost, price_from, price_of, usage_from_provider, usage_of
from langroute.records import Price, Usage
from langroute.steps import Inspector

INTERRUPTS = ("GraphInterrupt", "NodeInterrupt")
CONTROL = (*INTERRUPTS, "GraphBubbleUp", "ParentCommand")
"""LangGraph's own signals: raised through runs, and no errors."""

CANCELLED = ("CancelledError", "KeyboardInterrupt", "SystemExit")

_SAYS_WHY = ("openai", "azure", "anthropic", "google_genai")
"""Providers (`ls_provider`) that always say why an answer ended."""

LABELS = {name: key for key in ("team", "project", "environment", "user", "user_id") for name in (key, f"langroute_{key}")}
"""Metadata → the label that it says."""


@dataclass(slots=True)
class Root:
    """A run without a parent, and all that runs under it."""

    id: Any
    task_id: str
    at: float
    kind: str | None
    tags: Mapping[str, str]
    runs: dict[Any, Seen] = field(default_factory=dict)
    held: list[CallRecord] = field(default_factory=list)
    """Routed calls: dropped when their decision is in the ledger, kept when the router writes elsewhere."""

    claimed: set[str] = field(default_factory=set)
    interrupted: bool = False
    is_call: bool = False
    """The root is itself a model call: it ends before its decision is written."""

    judged_by: tuple[Evaluator, ...] = ()
    inputs: Any = None
    output: Any = None
    last: Seen | None = None
    answer: Any = None


@dataclass(slots=True)
class Seen:
    """A run that has begun and not ended."""

    root: Root
    what: str = "chain"
    task_id: str = ""
    begun: float = 0.0
    at: float = 0.0
    first: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    retry: bool = False
    judge: bool = False
    messages: Sequence[Any] = ()
    prompts: Sequence[str] = ()
    tools: Sequence[Any] = ()


class Teller:
    """Makes a record of a call that was seen. Called off the path of whoever made the call.

    Args:
        inspector: Tells what kind of step a call is.
        prices: USD per million tokens by `provider:model` or model name, over the list prices.
        keeps_text: What was said is part of the record.

    Raises:
        ConfigurationError: A price is none.
    """

    def __init__(self, inspector: Inspector, prices: Mapping[str, Any], *, keeps_text: bool) -> None:
        self.inspector, self.keeps_text = inspector, keeps_text
        self.prices: dict[str, Price] = {
            name: price for name, value in prices.items() if (price := price_from(value, f"prices[{name!r}]")) is not None
        }

    def tell(
        self,
        seen: Seen,
        run_id: Any,
        latency: float,
        retry: bool,
        response: Any,
        error_type: str | None,
        cost_usd: float | None,
        basis: str | None,
    ) -> CallRecord:
        """A call as it is written down.

        Args:
            seen: What was seen when it began.
            run_id: Its run.
            latency: Seconds it took.
            retry: It had been tried before.
            response: What came back, if anything.
            error_type: Class of the error, if it failed.
            cost_usd: What it cost, where that is known without a price.
            basis: By what that is known.
        """
        known = seen.metadata
        generation = generation_of(response)
        message = getattr(generation, "message", None)
        usage = usage_of(message) if message is not None else None
        if usage is None and response is not None and (given := (response.llm_output or {}).get("token_usage")):
            usage = usage_from_provider(given)
        metadata = getattr(message, "response_metadata", None) or {}
        served = metadata.get("model_name") or metadata.get("model")
        provider, asked = known.get("ls_provider"), known.get("ls_model_name")
        # LangChain's own cache marks what it brings back: nothing was billed.
        cached = ((getattr(message, "usage_metadata", None) or {}).get("total_cost")) == 0
        if cached:
            cost_usd, basis = 0.0, "cache"
        elif seen.what == "model" and cost_usd is None and usage is not None:
            cost_usd, basis = self._priced(usage, latency, provider, served, asked)
        elif cost_usd is None:
            basis = None
        if error_type is None and message is not None and not cached and _broke_off(provider, metadata):
            error_type = "AnswerCutOffError"
        kind = known.get("langroute_step_kind")
        if kind is None and seen.messages:
            kind = self.inspector.inspect(seen.messages, tools=_openai_form(seen.tools), metadata=known).kind
        return CallRecord(
            seen.task_id,
            what="judge" if seen.judge else seen.what,
            at=seen.at,
            run_id=str(run_id) if run_id is not None else None,
            decision_id=known.get("langroute_decision_id"),
            attempt=known.get("langroute_attempt") or 0,
            route=known.get("langroute_route"),
            model=served or asked,
            provider=provider,
            node=known.get("langgraph_node"),
            step_kind=kind,
            agent=known.get("lc_agent_name"),
            tool=seen.name,
            usage=usage,
            cost_usd=cost_usd,
            cost_basis=basis,
            latency_s=latency,
            first_token_s=seen.first,
            error_type=error_type,
            cache="hit" if cached else None,
            retry=retry,
            messages=(seen.messages or seen.prompts) if self.keeps_text else (),
            answer=(message if message is not None else getattr(generation, "text", None)) if self.keeps_text else None,
        )

    def _priced(
        self, usage: Usage, latency: float, provider: str | None, served: str | None, asked: str | None
    ) -> tuple[float | None, str | None]:
        """What a call cost, and by which price."""
        for name in (served, asked):
            own = (self.prices.get(f"{provider}:{name}") or self.prices.get(name)) if name else None
            if own is not None:
                return cost(own, usage, latency), "own"
        for name in (served, asked):
            price = price_of(name, provider)
            if price is not None:
                return cost(price, usage, latency), "list"
        return None, None


def state_of(root: Root, error: BaseException | None) -> str:
    """How a root run ended."""
    if error is None:
        return "interrupted" if root.interrupted else "ok"
    name = type(error).__name__
    if name in INTERRUPTS:
        return "interrupted"
    if name == "GeneratorExit":
        return "abandoned"
    return "cancelled" if name in CANCELLED else "error"


def _broke_off(provider: str | None, metadata: Mapping[str, Any]) -> bool:
    """The answer ended without a reason, though its provider always gives one: a stream that broke off raises nothing."""
    if metadata.get("status") == "in_progress":
        return True
    return provider in _SAYS_WHY and not any(metadata.get(name) for name in ("finish_reason", "stop_reason", "status"))


def generation_of(response: Any) -> Any:
    """The first answer of a result, where there is one."""
    generations = getattr(response, "generations", None)
    return generations[0][0] if generations and generations[0] else None


def refused_cost(error_type: str) -> float | None:
    """A provider bills no request that it refused; of one that timed out nobody knows."""
    return None if "timeout" in error_type.lower() else 0.0


def tried_before(metadata: Mapping[str, Any]) -> bool:
    """LangGraph runs this node again under its retry policy."""
    if "langgraph_node" not in metadata:
        return False
    config = var_child_runnable_config.get()
    runtime = ((config or {}).get("configurable") or {}).get("__pregel_runtime")
    return bool((getattr(getattr(runtime, "execution_info", None), "node_attempt", None) or 1) > 1)


def _openai_form(tools: Any) -> tuple[Mapping[str, Any], ...]:
    """Tools as the inspector reads them; what is in another provider's form tells by its name only."""
    return tuple(
        tool if "function" in tool else {"type": "function", "function": {"name": str(tool.get("name", "")), "parameters": {}}}
        for tool in tools
        if isinstance(tool, Mapping)
    )
