"""What does another model think of the answer?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage

from langroute.answers import text_of
from langroute.marks import KEY
from langroute.pricing import cost, price_from, usage_of
from langroute.records import Attempt, Request, Usage, Verdict
from langroute.routes import identity, is_router, resolve

INSTRUCTIONS = (
    "You check the work of an assistant. Read the request and the answer. Judge only whether the answer does what was "
    "asked, correctly and completely. Think briefly, then end with one line: SCORE: followed by a number from 0 (useless) to 10 (flawless)."
)

_SCORE = re.compile(r"SCORE\W{0,5}(\d+(?:\.\d+)?)(?:\s*/\s*(\d+))?", re.IGNORECASE)


class Judge:
    """A chat model scores the answer from 0 to 1.

    The judge's own call is part of the step's cost. A judge that gives no score rejects nothing and is reported.

    Source: Zheng et al., Judging LLM-as-a-Judge (2023).

    Args:
        model: A chat model, or a name such as `openai:gpt-5-mini`.
        instructions: What to judge by; the last line has to ask for `SCORE:` and a number from 0 to 10.
        price: USD per million tokens; by default the list price.
        max_chars: Longest part of the conversation that is shown to the judge.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.records import Selection
        >>> from langroute.testing import ScriptedModel
        >>> judge = Judge(ScriptedModel("Right. SCORE: 9"))
        >>> judge.verify(Request("6 * 7?"), Attempt(Selection("small"), AIMessage("42"))).score
        0.9
    """

    name = "judge"

    def __init__(self, model: Any, *, instructions: str = INSTRUCTIONS, price: Any = None, max_chars: int = 12_000) -> None:
        from langroute.pricing import price_of

        self.model = resolve(model, "judge")
        self.instructions, self.max_chars = instructions, max_chars
        self.price = price_from(price, "Judge: price")
        if self.price is None and not is_router(self.model):
            provider, name = identity(self.model)
            self.price = price_of(name, provider)

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Ask the judge."""
        return self._verdict(self.model.invoke(self._prompt(request, attempt), {"tags": ["nostream", "langroute:judge"]}))

    async def averify(self, request: Request, attempt: Attempt) -> Verdict:
        """Ask the judge, awaited."""
        return self._verdict(await self.model.ainvoke(self._prompt(request, attempt), {"tags": ["nostream", "langroute:judge"]}))

    def worst_cost_usd(self, request: Request, attempt: Attempt) -> float | None:
        """The most that a check can cost, for budgets: the whole prompt unread, and as many tokens to think in as the model may use."""
        prices = [self.price]
        if self.price is None:
            # A router as a judge: its dearest route.
            routes = getattr(self.model, "routes", None)
            prices = [route.info.price for route in routes.values()] if isinstance(routes, Mapping) else []
        limits = (getattr(self.model, name, None) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"))
        answer = next((limit for limit in limits if isinstance(limit, int) and limit > 0), 4096)
        shown = min(self.max_chars, sum(len(text_of(message)) + 10 for message in request.messages))
        tokens = (len(self.instructions) + shown + len(text_of(attempt.answer)) + 1000) // 2
        costs = [cost(price, Usage(tokens, answer)) for price in prices]
        return None if not costs or None in costs else max(costs)  # type: ignore[type-var]

    def _prompt(self, request: Request, attempt: Attempt) -> list[Any]:
        lines = [f"{message.type}: {text_of(message)}" for message in request.messages]
        conversation = "\n".join(lines)
        if len(conversation) > self.max_chars:
            conversation = "[…]\n" + conversation[-self.max_chars :]
        answer = text_of(attempt.answer)
        calls = getattr(attempt.answer, "tool_calls", None)
        if calls:
            answer += "\n" + "\n".join(f"calls {call['name']} with {call['args']}" for call in calls)
        # Put together, not formatted: braces in somebody's code are only braces.
        return [
            SystemMessage(self.instructions),
            HumanMessage("<request>\n" + conversation + "\n</request>\n<answer>\n" + answer + "\n</answer>"),
        ]

    def _verdict(self, message: Any) -> Verdict:
        told = message.response_metadata.get(KEY)
        # A router as a judge has worked out itself what its models cost.
        spent = told["cost_usd"] if told is not None and self.price is None else cost(self.price, usage_of(message))
        text = text_of(message)
        found = _SCORE.findall(text)
        if not found:
            return Verdict(self.name, 1.0, cost_usd=spent, error="the judge gave no score")
        value, scale = found[-1]
        score = float(value) / float(scale or 10)
        return Verdict(self.name, min(1.0, max(0.0, score)), text.strip().splitlines()[0][:120], cost_usd=spent)
