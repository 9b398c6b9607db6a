"""Policy that asks a LangChain decision model for the route of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import TIERS, Attempt, Request, RouteInfo, Selection
from langroute.core.short_repr import ShortRepr
from langroute.providers.usage import usage_from_metadata
from langroute.routes.pricing import cost, price_from, price_of

INSTRUCTIONS = "Which model is the weakest that will surely do the next step of this conversation well?"
_CONFIG = {"tags": ["nostream", "langroute:decision"]}


class DecisionModel(ShortRepr):
    """Select by asking a LangChain decision model (`BaseDecisionModel`, langchain-core 1.8) at every step.

    An answer of sufficient confidence is taken. Below that, the selection goes up to the weakest stronger route at which the model's
    cumulative probability, from the weakest route on, reaches `min_confidence`. Where the model fails or names no route, the router's
    default takes the step. The cost of asking is part of the step's cost.

    Args:
        model: The decision model.
        routes: Route or tier → description of what it is good for, weakest first.
        instructions: The question that is put to the model.
        min_confidence: Confidence below which a stronger route is selected, from 0 to 1.
        max_messages: Number of latest messages that the model is shown.
        price: USD per million tokens of the decision model; by default the list price.

    Raises:
        ConfigurationError: langchain-core is older than 1.8, or an argument is invalid.

    Example:
        >>> from langroute.testing import ScriptedModel  # doctest: +SKIP
        >>> policy = DecisionModel(classifier, {"cheap": "Short, plain questions.", "frontier": "Proofs and long plans."})  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Any,
        routes: Mapping[str, Any],
        *,
        instructions: str = INSTRUCTIONS,
        min_confidence: float = 0.6,
        max_messages: int = 8,
        price: Any = None,
    ) -> None:
        try:
            from langchain_core.decisions import Choice
        except ImportError as error:
            raise ConfigurationError("DecisionModel needs langchain-core 1.8 or newer: pip install -U langchain-core") from error
        if not callable(getattr(model, "invoke", None)):
            raise ConfigurationError(f"DecisionModel asks a BaseDecisionModel; {type(model).__name__} has no `invoke`.")
        if len(routes) < 2:
            raise ConfigurationError("Give DecisionModel at least two routes to choose between, each with what it is good for.")
        if not 0 <= min_confidence <= 1:
            raise ConfigurationError(f"min_confidence is from 0 to 1, not {min_confidence}.")
        if max_messages < 1:
            raise ConfigurationError(f"max_messages is at least 1, not {max_messages}.")
        self.model, self.routes, self.instructions = model, dict(routes), instructions
        self.min_confidence, self.max_messages = min_confidence, max_messages
        self.name = f"DecisionModel({getattr(model, 'model', type(model).__name__)})"
        self.price = price_from(price, "DecisionModel: price") or price_of(
            getattr(model, "model", None), getattr(model, "_provider", None)
        )
        self._choice = Choice

    def routes_named(self) -> Sequence[str]:
        """Return the given names that are routes rather than tiers."""
        return [name for name in self.routes if name not in TIERS]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Ask the decision model for a route, once a step.

        Raises:
            ValueError: The model chose a name that was not offered.
        """
        known, found = self._without_asking(request, attempts)
        return found if known else self._selection(request, self.model.invoke(self._question(request), _CONFIG))

    async def aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Async version of `select`."""
        known, found = self._without_asking(request, attempts)
        return found if known else self._selection(request, await self.model.ainvoke(self._question(request), _CONFIG))

    def _offered(self, request: Request) -> dict[str, RouteInfo]:
        """Return the names that the model may choose, with the eligible route that each stands for, weakest first."""
        offered: dict[str, RouteInfo] = {}
        for name in self.routes:
            route = request.route(name) or next((route for route in request.routes if route.tier == name), None)
            if route is not None and route not in offered.values():
                offered[name] = route
        return offered

    def _without_asking(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        if attempts:
            return True, None
        offered = list(self._offered(request).values())
        if not offered:
            return True, None
        return len(offered) == 1, Selection(offered[0].name, "the only one of its routes that is eligible")

    def _question(self, request: Request) -> Any:
        offered = self._offered(request)
        state = {
            "conversation": list(request.messages[-self.max_messages :]),
            "step": request.step.kind,
            "tools": [(tool.get("function") or tool).get("name") for tool in request.tools],
        }
        criteria = {name: self.routes[name] for name in offered}
        return {"state": state, "questions": {"route": self._choice(instructions=self.instructions, criteria=criteria)}}

    def _selection(self, request: Request, response: Any) -> Selection:
        answer, offered = response.answers["route"], self._offered(request)
        if answer.choice not in offered:
            raise ValueError(f"the decision model chose {answer.choice!r}, which is none of {', '.join(offered)}")
        chosen, sure = answer.choice, answer.confidence
        reason = f"chosen with confidence {sure:.2f}"
        if not sure >= self.min_confidence:
            chosen = self._up(list(offered), answer)
            reason = f"{answer.choice} with confidence {sure:.2f}, below {self.min_confidence:.2f}: went up"
        usage = usage_from_metadata(response.usage) if response.usage else None
        return Selection(offered[chosen].name, reason, confidence=sure, cost_usd=cost(self.price, usage))

    def _up(self, names: list[str], answer: Any) -> str:
        """Return the weakest stronger name at which the cumulative probability reaches `min_confidence`, else the strongest."""
        place, total = names.index(answer.choice), 0.0
        for index, name in enumerate(names):
            total += (answer.probabilities or {}).get(name, 0.0)
            if index > place and total >= self.min_confidence:
                return name
        return names[-1]
