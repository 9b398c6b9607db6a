"""Policy that sends a plain question down where the answers expected to be lost are worth the dollars saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.core.number_checks import check_number
from langroute.core.records import Attempt, Price, Request, RouteInfo, Selection, Usage
from langroute.policies.base import Wrapper
from langroute.policies.difficulty import Difficulty, difficulty_of
from langroute.policies.judged import HARD
from langroute.policies.judgement import judgement_of
from langroute.routes.pricing import cost

TOLERANCE = 0.03
"""Default of `LossPerDollar(tolerance=)`."""

NEAR_BELOW = 25.0
"""Ratio of the expected costs of two routes below which the cheaper one is expected to be nearly as good. Of the recorded pairs of models,
those within 12 points of each other cost 6 to 20 times, the others 40 times and more."""

USUAL = Usage(139, 49)
"""Mean tokens of the questions that the estimator was fitted on, whose cost the tolerance is relative to."""


class LossPerDollar(Wrapper):
    """Send a plain question to the cheapest route where what it is expected to lose is worth what it saves; another policy has the rest.

    What looks easy is often short, and saves little: a question is judged by the success it is expected to lose, divided by the dollars it
    is expected to save, from the estimator that ships with langroute and the routes' prices. It is asked about English questions alone, not
    about steps of agents. Nothing goes down where the price of a route is not known, or where a mistake looks costly.

    Source: Ong et al., RouteLLM (2024), for the estimated gap; Hu et al., RouterBench (2024), section 4, for its weight against cost.

    Args:
        policy: The policy for all other requests, and after an attempt.
        tolerance: Probability of success that saving the cost of a usual call of the strongest route is worth; a higher one sends more down.

    Raises:
        ConfigurationError: The tolerance is no number from 0 up, or `policy` is no policy.

    Example:
        >>> from langroute.policies.fixed import Fixed
        >>> policy = LossPerDollar(Fixed("large"), tolerance=0.2)
        >>> routes = (RouteInfo("small", price=Price(0.15, 0.6)), RouteInfo("large", price=Price(2.5, 10)))
        >>> policy.select(Request("Fix it.", routes=routes), []).route
        'large'
    """

    def __init__(self, policy: Any, *, tolerance: float = TOLERANCE) -> None:
        check_number("tolerance", tolerance, least=0)
        super().__init__(policy)
        self.tolerance = tolerance

    def before(self, request: Request, attempts: Sequence[Attempt]) -> tuple[bool, Selection | None]:
        """Select the cheapest route for a question that is worth sending down."""
        if attempts or len(request.routes) < 2:
            return False, None
        found = difficulty_of(request)
        if found is None:
            return False, None
        small, large = request.routes[0], request.routes[-1]
        judged = loss_and_saving(found, small, large)
        if judged is None:
            return False, None
        loss, saved = judged
        if saved <= 0 or loss > self.tolerance * saved or judgement_of(request).stakes >= HARD:
            return False, None
        return True, Selection(small.name, f"a question: {loss:+.2f} of success for {saved:.2f} of a usual call")


def loss_and_saving(found: Difficulty, small: RouteInfo, large: RouteInfo) -> tuple[float, float] | None:
    """Return the success that a question is expected to lose on the smaller route, and what it saves; `None` where a price is not known.

    Args:
        found: What the shipped estimator predicts of the question.
        small: The cheaper route.
        large: The route that it is compared with. Its cost of a usual question is the unit of the saving.

    Example:
        >>> found = Difficulty(0.5, 0.7, 0.9, 100, (200, 200, 200))
        >>> small, large = RouteInfo("small", price=Price(1, 1)), RouteInfo("large", price=Price(10, 10))
        >>> [round(value, 2) for value in loss_and_saving(found, small, large)]
        [0.2, 1.44]
    """
    dear = _usd(large.price, found, 2)
    unit = cost(large.price, USUAL)
    cheap = _usd(small.price, found, 0)
    if dear is None or cheap is None or not unit:
        return None
    near = dear < NEAR_BELOW * cheap
    if near:
        cheap = _usd(small.price, found, 1) or 0.0
    return found.frontier - (found.near if near else found.cheap), (dear - cheap) / unit


def _usd(price: Price | None, found: Difficulty, place: int) -> float | None:
    return cost(price, Usage(round(found.input_tokens), round(found.output_tokens[place])))
