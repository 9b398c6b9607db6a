"""Where a conversation stands: the route that answered last and what came before, as a process knows it or as its messages tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from langroute.core.records import Request
from langroute.core.thread import PastDecision, carries_decision, past_decision, told_number
from langroute.policies.sticky import SIDE_KINDS
from langroute.prompt_cache.state import Prompt, PromptCacheState
from langroute.prompt_cache.thread_spend import ThreadSpend
from langroute.providers.usage import usage_of

MOST_ANSWERS = 64
"""Most answers that are read; of a longer conversation the latest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """State of a conversation: the route that answered last, and the prompt it answered."""

    route: str
    turn: int
    task: str | None
    messages: int
    link: int
    """Hash of the prompt that was answered; a prompt that does not extend it belongs to another conversation."""

    tokens: int
    at: float
    steps: int
    """Number of answers in the turn, this one included."""

    tab: ThreadSpend
    left: str | None = None
    """The route that was left last, as long as a return to it is possible."""

    away: int = 0
    """Number of steps since it was left."""

    decision: str | None = None
    """Id of the decision that answered."""


def latest_of(request: Request) -> PastDecision | None:
    """Return the latest decision of the step's own conversation that its messages carry."""
    step = request.step
    for _, past in request.thread.latest():
        if past.agent == step.agent and past.node == step.node and past.kind not in SIDE_KINDS:
            return past
    return None


def recalled(request: Request, prompt: Prompt, cache: PromptCacheState) -> Standing | None:
    """Return where a conversation stands by what its messages carry; what its providers hold of it is noted in `cache`.

    Args:
        request: The step.
        prompt: Its prompt.
        cache: State of the providers' prompt caches.
    """
    routes, found, tab = {route.name: route for route in request.routes}, None, ThreadSpend()
    for place, turn, steps, message, past in _answers(request):
        before, usage, at = prompt.until(place), usage_of(message), told_number(message, "started_at") or 0.0
        left, away = _left(found, past.route, turn)
        terms = {name: known for name, route in routes.items() if (known := cache.terms(route, before)) is not None}
        if usage is not None and past.route in routes:
            cache.recall(routes[past.route], before, usage, at)
        output = usage.output_tokens if usage is not None else 0
        tab.add(told_number(message, "cost_usd") or 0.0, terms, output, at=at)
        found = Standing(
            past.route, turn, past.task, place, prompt.chain[place], before.tokens, at, steps, tab, left, away, past.id
        )
    return found


def _answers(request: Request) -> list[tuple[int, int, int, Any, PastDecision]]:
    """Return the answers of the step's own conversation: place, turn, number in the turn, message and decision."""
    step, turn, steps, found = request.step, 0, 0, []
    for place, message in enumerate(request.messages):
        if isinstance(message, HumanMessage):
            turn, steps = turn + 1, 0
        elif isinstance(message, AIMessage):
            steps += 1
            if carries_decision(message) and (past := past_decision(message)) is not None:
                mine = past.agent == step.agent and past.node == step.node and past.kind not in SIDE_KINDS
                found += [(place, turn, steps, message, past)] if mine else []
    return found[-MOST_ANSWERS:]


def _left(before: Standing | None, route: str, turn: int) -> tuple[str | None, int]:
    if before is None:
        return None, 0
    if route != before.route:
        return before.route, 1
    return (before.left, before.away + 1) if turn == before.turn else (None, 0)


__all__ = ["Standing", "latest_of", "recalled"]
