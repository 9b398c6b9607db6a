"""A program that spends from a shared budget; several of it at once must not overshoot together. Run by the tests, in processes of its own."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.settling import SETTLING
from langroute.budgets.sqlite import SqliteBudgets
from langroute.core.errors import BudgetExceededError
from langroute.policies import Fixed
from langroute.testing import ScriptedModel

PRICE = {"input": 10, "output": 50}
LONGEST = 1000
"""Most output tokens: 0.05 USD."""


def models(seed: int) -> dict[str, Route]:
    """A model whose answers cost from 0.1 to 5 cents."""
    chance = random.Random(seed)

    def answer(_: Any) -> AIMessage:
        out = chance.randint(20, LONGEST)
        return AIMessage("ok", usage_metadata={"input_tokens": 20, "output_tokens": out, "total_tokens": 20 + out})

    return {"frontier": Route(ScriptedModel(answer, max_tokens=LONGEST), price=PRICE)}


async def spend(router: ChatRouter, tasks: int, calls: int, slow_s: float = 0.002) -> tuple[float, int, int]:
    """Let many tasks call until the budget stops them: USD spent, calls answered, calls refused."""
    answered: list[float] = []
    refused = 0

    async def one(number: int) -> None:
        nonlocal refused
        for _ in range(calls):
            try:
                message = await router.ainvoke(f"Task {number}: go on with the next step of the work.")
            except BudgetExceededError:
                refused += 1
                return
            answered.append(message.response_metadata["langroute"]["cost_usd"])
            await asyncio.sleep(slow_s)

    await asyncio.gather(*(one(number) for number in range(tasks)))
    return sum(answered), len(answered), refused


def main(kind: str, where: str, seed: str, tasks: str) -> None:
    store = RedisBudgets(where) if kind == "redis" else SqliteBudgets(where)
    budget = Budget(usd=10, per="all", store=store, soft=1, wait_seconds=5)
    router = ChatRouter(models(int(seed)), policy=Fixed("frontier"), budget=budget)
    # Everybody is there before anybody begins: a machine under load starts processes seconds apart.
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    usd, answered, refused = asyncio.run(spend(router, int(tasks), 1000, slow_s=0.2))
    SETTLING.wait()
    sys.stdout.write(json.dumps({"usd": usd, "answered": answered, "refused": refused}))


if __name__ == "__main__":
    main(*sys.argv[1:])
