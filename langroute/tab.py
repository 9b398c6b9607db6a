"""What has a conversation cost so far, and what would it have cost on one route alone, prompt cache and all?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from langroute.switching import Terms


@dataclass(frozen=True, slots=True)
class _Alone:
    """One route, had it answered every step."""

    usd: float
    tokens: int
    """What it would hold warm."""

    at: float


class Tab:
    """The costs of one conversation.

    Example:
        >>> from langroute.switching import Rates
        >>> opus = Rates(read=0.5e-6, write=6.25e-6, output=25e-6)
        >>> tab, first = Tab(), Terms(opus, tokens=10_000, warm=0, lives=300.0)
        >>> tab.add(0.01, {"opus": first}, 100, at=0.0)
        >>> tab.spent, round(tab.alone("opus", Terms(opus, tokens=11_000, warm=0, lives=300.0), 100, at=60.0), 6)
        (0.01, 0.07875)
    """

    __slots__ = ("_alone", "spent")

    def __init__(self) -> None:
        self.spent = 0.0
        self._alone: dict[str, _Alone] = {}

    def alone(self, route: str, terms: Terms, output_tokens: float, *, at: float) -> float:
        """USD that one route alone would have cost, this step included.

        Args:
            route: The route.
            terms: What it would bill for this step's prompt; what is warm of it counts where this is the first step.
            output_tokens: Length of the answer.
            at: Seconds.
        """
        known = self._alone.get(route)
        if known is None:
            return terms.now(output_tokens)
        held = known.tokens if at - known.at <= terms.lives else 0
        return known.usd + terms.rates.now(terms.tokens, min(held, terms.tokens), output_tokens)

    def add(self, usd: float, routes: Mapping[str, Terms], output_tokens: float, *, at: float) -> None:
        """A step was answered.

        Args:
            usd: What it cost.
            routes: What each route would have billed for its prompt.
            output_tokens: Length of the answer.
            at: Seconds.
        """
        self.spent += usd
        for name, terms in routes.items():
            self._alone[name] = _Alone(self.alone(name, terms, output_tokens, at=at), terms.tokens, at)
