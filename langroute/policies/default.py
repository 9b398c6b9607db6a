"""Which policy does a router have whose user chose none?

Steps beside the conversation go to the cheapest route and are checked; planning, review and steps that are stuck go to the strongest;
a first question that looks easy goes to the cheapest; everything else to the middle one, or the strongest where there is none. A turn
stays with the route it began on, because switching in the middle loses the provider's prompt cache, unless it gets stuck. Errors go to
another route. A user who gave a verifier and no policy gets the cheapest answer that passes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langroute.policies.cascade import Cascade
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.policies.rules import Rule, Rules
from langroute.policies.sticky import Sticky
from langroute.records import Request, RouteInfo

STUCK_ERRORS = 2
"""Rounds of failed tool calls in a row that make a step stuck."""

STUCK_REPEATS = 2
"""The same tool call made again, this often, with nothing changed in between."""


def is_stuck(request: Request) -> bool:
    """The agent fails again and again, or goes round in a circle.

    Example:
        >>> from langroute.records import Signals, Step
        >>> is_stuck(Request("Go on.", Step("observe", signals=Signals(errors_in_row=2))))
        True
    """
    signals = request.step.signals
    return signals.errors_in_row >= STUCK_ERRORS or signals.repeats >= STUCK_REPEATS


def _looks_easy(request: Request) -> bool:
    # The estimator is imported, and read, when the first question is asked.
    from langroute.policies.difficulty import is_easy

    return is_easy(request)


def default_rules() -> tuple[Rule, ...]:
    """The rules of the default policy, first to last."""
    return (
        Rule("frontier", when=is_stuck, why="stuck: tool calls fail or repeat"),
        Rule("cheap", kind=("title", "summarize", "classify", "extract"), checked=True, why="a step beside the conversation"),
        Rule("frontier", kind=("plan", "review"), why="planning and review decide what follows"),
        Rule("cheap", kind="chat", at_most={"turn": 1, "tool_results": 0}, why="small talk"),
        # Fewer tokens hardly have eight words: not worth the time to ask.
        Rule(
            "cheap",
            kind="answer",
            at_least={"turn_tokens": 14},
            when=_looks_easy,
            why="looks easy: a cheap model is expected to do as well",
        ),
    )


def default_policy(routes: Sequence[RouteInfo], *, retries: int = 1, checked: bool = False) -> Any:
    """The policy of a router whose user chose none.

    Args:
        routes: The router's routes, cheapest first.
        retries: Tries of the same route after an error that may pass.
        checked: The user gave a verifier: then the cheapest answer that passes it is wanted.

    Example:
        >>> default_policy([RouteInfo("only")]).name
        'Fallback(Fixed(only))'
        >>> default_policy([RouteInfo("small"), RouteInfo("large")], checked=True).name
        'Fallback(Cascade)'
    """
    if len(routes) == 1:
        return Fallback(Fixed(routes[0].name), retries=retries)
    if checked:
        return Fallback(Cascade(), retries=retries)
    return Fallback(Sticky(Rules(default_rules(), otherwise="balanced"), release=is_stuck), retries=retries)
