"""Benchmark of budgets: overhead per call, and overshoot under concurrency.

    python benchmarks/budgets.py [--rounds 500] [--seeds 20] [--redis redis://127.0.0.1:6379/0]

The first table is the median over rounds of (router with a budget - the same router without), both timed in the same round in shuffled
order, in microseconds. SQLite works in a temporary folder; Redis is measured only if an address is given.

The second part lets 200 concurrent tasks spend from one budget of 10 USD in memory, once for each seed. Each call costs 0.1 to 5
cents, at random. It prints the lowest and the highest spend, and exits with 1 if a run overshot.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets import MemoryBudgets, RedisBudgets, SqliteBudgets
from langroute.core.errors import BudgetExceededError
from langroute.policies import Fixed
from langroute.testing import ScriptedModel

LIMIT_USD, LONGEST = 10.0, 1000


def router(budget: Any = None) -> ChatRouter:
    """Return a router over one model, with or without a budget that is never used up."""
    route = Route(ScriptedModel("ok", max_tokens=100), price={"input": 1, "output": 5})
    return ChatRouter({"frontier": route}, policy=Fixed("frontier"), budget=budget)


def added(store: Any, rounds: int) -> float:
    """Return the microseconds that a budget in this store adds to a call."""
    plain, bound = router(), router(Budget(usd=1e6, per="all", store=store))
    differences = []
    for number in range(rounds + 20):
        took = {}
        for model in random.sample([plain, bound], 2):
            begun = perf_counter()
            model.invoke("Hello.")
            took[id(model)] = (perf_counter() - begun) * 1e6
        if number >= 20:
            differences.append(took[id(bound)] - took[id(plain)])
    return statistics.median(differences)


async def spend(seed: int, tasks: int = 200) -> tuple[float, int, int]:
    """Let many tasks spend until the budget stops them, and return USD, answered calls and stopped tasks."""
    chance, spent, stopped = random.Random(seed), [], 0

    def answer(_: Any) -> AIMessage:
        out = chance.randint(20, LONGEST)
        return AIMessage("ok", usage_metadata={"input_tokens": 20, "output_tokens": out, "total_tokens": 20 + out})

    route = Route(ScriptedModel(answer, max_tokens=LONGEST), price={"input": 10, "output": 50})
    budget = Budget(usd=LIMIT_USD, per="all", soft=1, wait_seconds=3)
    model = ChatRouter({"frontier": route}, policy=Fixed("frontier"), budget=budget)

    async def one(number: int) -> None:
        nonlocal stopped
        while True:
            try:
                message = await model.ainvoke(f"Task {number}: go on.")
            except BudgetExceededError:
                stopped += 1
                return
            spent.append(message.response_metadata["langroute"]["cost_usd"])
            await asyncio.sleep(0.001 * chance.random())

    await asyncio.gather(*(one(number) for number in range(tasks)))
    return sum(spent), len(spent), stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--redis", help="address of a Redis or Valkey server")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        stores = {"memory": MemoryBudgets(), "SQLite": SqliteBudgets(Path(folder) / "budgets.db")}
        if given.redis:
            stores["Redis"] = RedisBudgets(given.redis)
        for name, store in stores.items():
            print(f"{name:8} adds {added(store, given.rounds):7.0f} us to a call")
    results = [asyncio.run(spend(seed)) for seed in range(given.seeds)]
    spent = [usd for usd, _, _ in results]
    over = sum(usd > LIMIT_USD for usd in spent)
    print(
        f"{len(results)} runs of 200 tasks at once on {LIMIT_USD:.0f} USD: spent {min(spent):.4f} to {max(spent):.4f} USD "
        f"in {sum(calls for _, calls, _ in results)} calls; overshot {over} times"
    )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
