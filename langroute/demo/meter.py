"""Meter of the calls and costs of a run, fed by LangChain's callbacks and the router's decisions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from langroute.core.records import Decision, Outcome
from langroute.providers.usage import usage_of
from langroute.routes.pricing import seconds_of


@dataclass(frozen=True, slots=True)
class MeteredCall:
    """One model call, as it is billed and timed."""

    step: str
    """The graph's node."""

    route: str
    input_tokens: int
    output_tokens: int
    seconds: float
    """Duration of the call, or what it would have been for a replayed answer."""

    waited: float
    """Time that the run actually waited for it."""


class Meter(BaseCallbackHandler):
    """Count the calls of a run and their cost.

    Pass it to the graph as a callback and to the router as a hook.
    """

    raise_error = True
    run_inline = True

    def __init__(self) -> None:
        self.calls: list[MeteredCall] = []
        self.decisions: list[Decision] = []
        self._open: dict[UUID, tuple[float, Mapping[str, Any]]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: Sequence[Any],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Note the start of a call."""
        self._open[run_id] = (time.perf_counter(), metadata or {})

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        """Note the end of a call."""
        self._close(run_id, response.generations[0][0].message)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Note the failure of a call, with the time it took."""
        self._close(run_id, None)

    def _close(self, run_id: UUID, message: Any) -> None:
        begun, metadata = self._open.pop(run_id)
        waited = time.perf_counter() - begun
        usage = usage_of(message)
        self.calls.append(
            MeteredCall(
                step=str(metadata.get("langgraph_node")),
                route=str(metadata.get("langroute_route")),
                input_tokens=usage.input_tokens if usage is not None else 0,
                output_tokens=usage.output_tokens if usage is not None else 0,
                seconds=seconds_of(message, waited),
                waited=waited,
            )
        )

    def on_decision(self, decision: Decision) -> None:
        """Note a decision."""
        self.decisions.append(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Do nothing: outcomes are not counted here."""

    @property
    def cost_usd(self) -> float | None:
        """Cost of all decisions; `None` where that of one is unknown."""
        costs = [decision.cost_usd for decision in self.decisions]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def cost_by_step(self) -> dict[str, dict[str, float | None]]:
        """Return `{node: {route: USD}}`, with every attempt under its own route."""
        found: dict[str, dict[str, float | None]] = {}
        for decision in self.decisions:
            of_step = found.setdefault(decision.step.node or decision.step.kind, {})
            for attempt in decision.attempts:
                before = of_step.get(attempt.route, 0.0)
                of_step[attempt.route] = None if before is None or attempt.cost_usd is None else before + attempt.cost_usd
        return found

    def went(self) -> dict[str, dict[str, int]]:
        """Return which routes the steps of each node used: `{node: {"cheap": 4, "cheap, then frontier": 2}}`."""
        found: dict[str, Counter[str]] = {}
        for decision in self.decisions:
            way = ", then ".join(attempt.route for attempt in decision.attempts)
            found.setdefault(decision.step.node or decision.step.kind, Counter())[way] += 1
        return {step: dict(ways) for step, ways in found.items()}
