"""What has a conversation cost so far, and what would it have cost on one route alone, prompt cache and all?"""

from __future__ import annotations

from dataclasses import dataclass

from langroute.switching import Rates


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
        >>> opus = Rates(read=0.5e-6, write=6.25e-6, output=25e-6)
        >>> tab = Tab()
        >>> round(tab.alone("opus", opus, 10_000, 0, 100, at=0.0, lives=300.0), 6)
        0.065
        >>> tab.add(0.01, {"opus": (opus, 10_000, 0, 300.0)}, 100, at=0.0)
        >>> tab.spent, round(tab.alone("opus", opus, 11_000, 0, 100, at=60.0, lives=300.0), 6)
        (0.01, 0.07875)
    """

    __slots__ = ("_alone", "spent")

    def __init__(self) -> None:
        self.spent = 0.0
        self._alone: dict[str, _Alone] = {}

    def alone(self, route: str, rates: Rates, tokens: int, warm: int, output_tokens: int, *, at: float, lives: float) -> float:
        """USD that one route alone would have cost, this step included.

        Args:
            route: The route.
            rates: What it bills.
            tokens: Size of this step's prompt.
            warm: What its provider holds of it, where this is the first step.
            output_tokens: Length of the answer.
            at: Seconds.
            lives: How long its provider keeps a prompt.
        """
        known = self._alone.get(route)
        if known is None:
            return rates.now(tokens, min(warm, tokens), output_tokens)
        held = known.tokens if at - known.at <= lives else 0
        return known.usd + rates.now(tokens, min(held, tokens), output_tokens)

    def add(self, usd: float, routes: dict[str, tuple[Rates, int, int, float]], output_tokens: int, *, at: float) -> None:
        """A step was answered.

        Args:
            usd: What it cost.
            routes: What each route bills, the size of the prompt as it counts, what was warm of it, and how long that lives.
            output_tokens: Length of the answer.
            at: Seconds.
        """
        self.spent += usd
        for name, (rates, tokens, warm, lives) in routes.items():
            self._alone[name] = _Alone(self.alone(name, rates, tokens, warm, output_tokens, at=at, lives=lives), tokens, at)
