"""What did the calls of a run come to? Heard from LangChain's callbacks and from the router's decisions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from langroute.pricing import seconds_of, usage_of
from langroute.records import Decision, Outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model, as it is billed and timed."""

    step: str
    """The graph's node."""

    route: str
    input_tokens: int
    output_tokens: int
    seconds: float
    """What the call took, or would have taken had its answer not been there already."""

    waited: float
    """What the run waited for it."""


class Meter(BaseCallbackHandler):
    """Counts the calls of a run and what they cost.

    Give it to the graph among the callbacks and to the router among the hooks.
    """

    raise_error = True
    run_inline = True

    def __init__(self) -> None:
        self.calls: list[Call] = []
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
        """A call begins."""
        self._open[run_id] = (time.perf_counter(), metadata or {})

    def on_llm_end(self, response: Any, *, run_id: UUID, **_: Any) -> None:
        """A call has been answered."""
        self._close(run_id, response.generations[0][0].message)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A call has failed; it took its time all the same."""
        self._close(run_id, None)

    def _close(self, run_id: UUID, message: Any) -> None:
        begun, metadata = self._open.pop(run_id)
        waited = time.perf_counter() - begun
        usage = usage_of(message)
        self.calls.append(
            Call(
                step=str(metadata.get("langgraph_node")),
                route=str(metadata.get("langroute_route")),
                input_tokens=usage.input_tokens if usage is not None else 0,
                output_tokens=usage.output_tokens if usage is not None else 0,
                seconds=seconds_of(message, waited),
                waited=waited,
            )
        )

    def on_decision(self, decision: Decision) -> None:
        """A step was answered."""
        self.decisions.append(decision)

    def on_outcome(self, outcome: Outcome) -> None:
        """Nothing that is counted here."""

    @property
    def cost_usd(self) -> float | None:
        """What all decisions cost; `None` where that of one is unknown."""
        costs = [decision.cost_usd for decision in self.decisions]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def cost_by_step(self) -> dict[str, dict[str, float | None]]:
        """`{node: {route: USD}}`, every attempt under its own route."""
        found: dict[str, dict[str, float | None]] = {}
        for decision in self.decisions:
            of_step = found.setdefault(decision.step.node or decision.step.kind, {})
            for attempt in decision.attempts:
                before = of_step.get(attempt.route, 0.0)
                of_step[attempt.route] = None if before is None or attempt.cost_usd is None else before + attempt.cost_usd
        return found

    def went(self) -> dict[str, dict[str, int]]:
        """`{node: {"cheap": 4, "cheap, then frontier": 2}}`: where the steps of each node went."""
        found: dict[str, Counter[str]] = {}
        for decision in self.decisions:
            way = ", then ".join(attempt.route for attempt in decision.attempts)
            found.setdefault(decision.step.node or decision.step.kind, Counter())[way] += 1
        return {step: dict(ways) for step, ways in found.items()}
