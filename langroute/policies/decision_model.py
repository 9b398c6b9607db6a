"""Which route next when a decision model is asked? Its answer where it is sure, something stronger where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.errors import ConfigurationError
from langroute.pricing import cost, price_from, price_of, usage_from_metadata
from langroute.records import TIERS, Attempt, Request, RouteInfo, Selection

INSTRUCTIONS = "Which model is the weakest that will surely do the next step of this conversation well?"
_CONFIG = {"tags": ["nostream", "langroute:decision"]}


class DecisionModel:
    """Ask any of LangChain's decision models (`BaseDecisionModel`, langchain-core 1.8) at every step.

    A sure answer is taken. An unsure one goes up, never down: to the weakest route of which the model's probabilities say that it or a
    weaker one will do with enough certainty. A model that fails, or names no route, leaves the step to the router's default. What
    the question costs is part of the step's cost.

    Args:
        model: The decision model.
        routes: Route or tier → what it is good for, weakest first.
        instructions: What is asked.
        min_confidence: An answer below this goes up, 0 to 1.
        max_messages: How many of the latest messages the model is shown.
        price: USD per million tokens of the decision model; by default the list price.

    Raises:
        ConfigurationError: langchain-core is older than 1.8, or something of this is wrong.

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
        """The routes that are named and are no tiers."""
        return [name for name in self.routes if name not in TIERS]

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Ask, once a step."""
        known, found = self._without_asking(request, attempts)
        return found if known else self._selection(request, self.model.invoke(self._question(request), _CONFIG))

    async def aselect(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Ask, awaited."""
        known, found = self._without_asking(request, attempts)
        return found if known else self._selection(request, await self.model.ainvoke(self._question(request), _CONFIG))

    def _offered(self, request: Request) -> dict[str, RouteInfo]:
        """The names that can be answered with, and the route each stands for, weakest first."""
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
        """The weakest stronger name of which it is sure enough that it, or a weaker one, will do; else the strongest."""
        place, total = names.index(answer.choice), 0.0
        for index, name in enumerate(names):
            total += (answer.probabilities or {}).get(name, 0.0)
            if index > place and total >= self.min_confidence:
                return name
        return names[-1]
