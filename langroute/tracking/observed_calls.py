"""Call records from what a callback handler saw: the kind of step, tokens and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.core.bounded import as_text
from langroute.core.records import Price, Usage
from langroute.core.resolve_task import resolve_task
from langroute.ledger.facts import CallRecord
from langroute.providers.ends import broke_off, finish_reason
from langroute.providers.failures import classify, maybe_billed
from langroute.providers.usage import usage_from_provider, usage_of
from langroute.routes.media_rates import hides_media
from langroute.routes.pricing import cost, price_from, price_of
from langroute.steps.inspector import Inspector
from langroute.tracking.run_tree import ObservedRun


class CallReader:
    """Make records of observed calls. It runs off the caller's path.

    Args:
        inspector: Determines what kind of step a call is.
        prices: USD per million tokens by `provider:model` or model name, over the list prices.
        keeps_text: Whether prompts and answers are part of the record.

    Raises:
        ConfigurationError: A price is invalid.
    """

    def __init__(self, inspector: Inspector, prices: Mapping[str, Any], *, keeps_text: bool) -> None:
        self.inspector, self.keeps_text = inspector, keeps_text
        self.prices: dict[str, Price] = {
            name: price for name, value in prices.items() if (price := price_from(value, f"prices[{name!r}]")) is not None
        }

    def read(
        self,
        seen: ObservedRun,
        run_id: Any,
        latency: float,
        retry: bool,
        response: Any,
        error_type: str | None,
        cost_usd: float | None,
        basis: str | None,
    ) -> CallRecord:
        """Return the record of a call.

        Args:
            seen: What was seen when it began.
            run_id: Its run.
            latency: Seconds it took.
            retry: Whether it is a retry.
            response: What came back, if anything.
            error_type: Class of the error, if it failed.
            cost_usd: Its cost, where that is known without a price.
            basis: Where that cost comes from.
        """
        known = seen.metadata
        generation = generation_of(response)
        message = getattr(generation, "message", None)
        if message is not None and seen.told is not None and (once := seen.told.told_once(message)) is not None:
            message = message.model_copy(update={"usage_metadata": once})
        usage = _usage(message, response)
        metadata = getattr(message, "response_metadata", None) or {}
        served = as_text(metadata.get("model_name") or metadata.get("model"))
        provider, asked = known.get("ls_provider"), known.get("ls_model_name")
        # LangChain's own cache marks its answers: nothing was billed.
        cached = ((getattr(message, "usage_metadata", None) or {}).get("total_cost")) == 0
        if cached:
            cost_usd, basis = 0.0, "cache"
        elif seen.what == "model" and cost_usd is None and usage is not None:
            cost_usd, basis = self._priced(usage, latency, provider, served, asked, message)
        elif cost_usd is None:
            basis = None
        if error_type is None and message is not None and not cached and broke_off(finish_reason(metadata), provider):
            error_type = "AnswerCutOffError"
        kind = known.get("langroute_step_kind")
        if kind is None and seen.messages:
            kind = self._kind(seen)
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
            agent=resolve_task(known).agent,
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

    def _kind(self, seen: ObservedRun) -> str | None:
        """Return the kind of step; `None` where it cannot be determined, since the call was made and billed all the same."""
        try:
            return self.inspector.inspect(seen.messages, tools=_openai_form(seen.tools), metadata=seen.metadata).kind
        except Exception:  # noqa: BLE001 - a kind of the user's own, or a message of no known form
            return None

    def _priced(
        self, usage: Usage, latency: float, provider: str | None, served: str | None, asked: str | None, message: Any
    ) -> tuple[float | None, str | None]:
        """Return what a call cost in USD, and the basis of its price."""
        if usage.stated_usd is not None:
            return usage.stated_usd, "stated"
        for name in (served, asked):
            own = (self.prices.get(f"{provider}:{name}") or self.prices.get(name)) if name else None
            if own is not None:
                return cost(own, usage, latency), "own"
        for name in (served, asked):
            price = price_of(name, provider)
            if price is not None:
                return None if hides_media(price, usage, message, None) else cost(price, usage, latency), "list"
        return None, None


def _usage(message: Any, response: Any) -> Usage | None:
    """Return the tokens of a call; `None` where they are not reported in a valid form."""
    try:
        usage = usage_of(message) if message is not None else None
        if usage is None and response is not None and (given := (response.llm_output or {}).get("token_usage")):
            usage = usage_from_provider(given)
    except Exception:  # noqa: BLE001 - whatever an integration reports, the call is counted
        return None
    return usage


def generation_of(response: Any) -> Any:
    """Return the first generation of a result, or `None`."""
    generations = getattr(response, "generations", None)
    return generations[0][0] if generations and generations[0] else None


def refused_cost(error: BaseException, provider: str | None = None) -> float | None:
    """Return the cost of a failed call, by the rule that a router's calls are billed by.

    Args:
        error: What the call raised.
        provider: LangChain's `ls_provider`.

    Returns:
        0 where the provider refused it; `None` where it may have been billed, as after a timeout or a broken stream.

    Example:
        >>> refused_cost(ConnectionRefusedError()), refused_cost(TimeoutError())
        (0.0, None)
    """
    return None if maybe_billed(classify(error, provider).kind, provider) else 0.0


def _openai_form(tools: Any) -> tuple[Mapping[str, Any], ...]:
    """Return tools in OpenAI's format for the inspector; of tools in another format only the name is used."""
    return tuple(
        tool if "function" in tool else {"type": "function", "function": {"name": str(tool.get("name", "")), "parameters": {}}}
        for tool in tools
        if isinstance(tool, Mapping)
    )
