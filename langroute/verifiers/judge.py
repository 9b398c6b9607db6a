"""Verifier in which a chat model scores the answer (LLM as a judge)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage

from langroute.core.answers import text_of
from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.message_text import LEFT_OUT, text_with_calls
from langroute.core.records import Attempt, Request, Usage, Verdict
from langroute.providers.usage import usage_of
from langroute.routes.pricing import cost, price_from
from langroute.routes.route import identity, is_router, resolve

INSTRUCTIONS = (
    "You check the work of an assistant. Read the request and the answer. Judge only whether the answer does what was "
    "asked, correctly and completely. Think briefly, then end with one line: SCORE: followed by a number from 0 (useless) to 10 (flawless)."
)

_SCORE = re.compile(r"SCORE\W{0,5}(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?", re.IGNORECASE)


MOST_VERDICT = 4000
"""Number of characters at the end of a judge's reply that are searched for its score."""

MOST_ANSWER = 60_000
"""Most characters of an answer that are shown to the judge."""


class Judge:
    """Score the answer from 0 to 1 with a chat model.

    The cost of the judge's call is part of the step's cost. A judge that gives no score rejects nothing; the verdict holds the error.

    Source: Zheng et al., Judging LLM-as-a-Judge (2023).

    Args:
        model: A chat model, or a name such as `openai:gpt-5-mini`.
        instructions: System prompt of the judge; it has to ask for a last line `SCORE:` with a number from 0 to 10.
        price: USD per million tokens; by default the list price.
        max_chars: Most characters of the conversation, from its end, that are shown to the judge. Of an answer of more than `MOST_ANSWER`
            characters it sees both ends, and the verdict says so.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.core.records import Selection
        >>> from langroute.testing import ScriptedModel
        >>> judge = Judge(ScriptedModel("Right. SCORE: 9"))
        >>> judge.verify(Request("6 * 7?"), Attempt(Selection("small"), AIMessage("42"))).score
        0.9
    """

    name = "judge"

    def __init__(self, model: Any, *, instructions: str = INSTRUCTIONS, price: Any = None, max_chars: int = 12_000) -> None:
        from langroute.routes.pricing import price_of

        self.model = resolve(model, "judge")
        self.instructions, self.max_chars = instructions, max_chars
        self.price = price_from(price, "Judge: price")
        if self.price is None and not is_router(self.model):
            provider, name = identity(self.model)
            self.price = price_of(name, provider)

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Ask the judge and return its verdict."""
        prompt = self._prompt(request, attempt)
        return self._verdict(self.model.invoke(prompt, {"tags": ["nostream", "langroute:judge"]}), prompt)

    async def averify(self, request: Request, attempt: Attempt) -> Verdict:
        """Async version of `verify`."""
        prompt = self._prompt(request, attempt)
        return self._verdict(await self.model.ainvoke(prompt, {"tags": ["nostream", "langroute:judge"]}), prompt)

    def worst_cost_usd(self, request: Request, attempt: Attempt) -> float | None:
        """Return an upper bound in USD of the cost of a check, for budgets; `None` where a price is unknown.

        It assumes no cached tokens, and an answer of the model's output limit (4,096 tokens where it has none).
        """
        prices = [self.price]
        if self.price is None:
            # A router as a judge: assume its dearest route.
            routes = getattr(self.model, "routes", None)
            prices = [route.info.price for route in routes.values()] if isinstance(routes, Mapping) else []
        limits = (getattr(self.model, name, None) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
        answer = next((limit for limit in limits if isinstance(limit, int) and limit > 0), 4096)
        shown = min(self.max_chars, sum(len(text_of(message)) + 10 for message in request.messages))
        tokens = (len(self.instructions) + shown + len(text_with_calls(attempt.answer, MOST_ANSWER)) + 1000) // 2
        costs = [cost(price, Usage(tokens, answer)) for price in prices]
        return None if not costs or None in costs else max(costs)  # type: ignore[type-var]

    def _prompt(self, request: Request, attempt: Attempt) -> list[Any]:
        conversation, answer = self._conversation(request.messages), text_with_calls(attempt.answer, MOST_ANSWER)
        # Concatenated, not formatted: braces in the conversation must stay as they are.
        return [
            SystemMessage(self.instructions),
            HumanMessage("<request>\n" + conversation + "\n</request>\n<answer>\n" + answer + "\n</answer>"),
        ]

    def _conversation(self, messages: Sequence[Any]) -> str:
        """Return the last `max_chars` characters of the conversation; earlier messages are not rendered."""
        lines: list[str] = []
        left = self.max_chars
        for message in reversed(messages):
            if left < 0:
                break
            lines.append(f"{message.type}: {text_of(message)}")
            left -= len(lines[-1]) + 1
        conversation = "\n".join(reversed(lines))
        if len(conversation) > self.max_chars or len(lines) < len(messages):
            conversation = "[…]\n" + conversation[-self.max_chars :]
        return conversation

    def _verdict(self, message: Any, prompt: Sequence[Any]) -> Verdict:
        told = message.response_metadata.get(METADATA_KEY)
        # A router as a judge has already computed the cost of its models.
        spent = told["cost_usd"] if told is not None and self.price is None else cost(self.price, usage_of(message))
        text = text_of(message).strip()
        score = _score(text[-MOST_VERDICT:])
        if score is None:
            return Verdict(self.name, 1.0, cost_usd=spent, error="the judge gave no score")
        reason = text[:MOST_VERDICT].splitlines()[0][:120]
        if LEFT_OUT in prompt[-1].content:
            reason += f" (the judge saw both ends of the answer, {MOST_ANSWER:,} characters)"
        return Verdict(self.name, score, reason, cost_usd=spent)


def _score(text: str) -> float | None:
    found = _SCORE.findall(text)
    if not found:
        return None
    value, scale = float(found[-1][0]), float(found[-1][1] or 10)
    return min(1.0, value / scale) if 0 < scale < math.inf else None
