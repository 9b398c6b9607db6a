"""Tests as outcomes: a coding agent's work is judged by running its code.

Each task asks for a function; real tests decide whether it worked. The cheap model goes first and its answer must at least compile;
the tests' verdict is recorded as the task's outcome, so that the ledger shows the cost of a *working* function per route. The models are
scripted so that the recipe runs offline; their answers are run for real.

Output:
    add: passed (cheap)
    clamp: failed (cheap)
    is_prime: passed (cheap, then frontier)
    cheap: 3 tasks, 2 successful
    frontier: 1 tasks, 1 successful
    0.000691 USD for each function that works
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from sqlalchemy import func, select

from langroute import ChatRouter, Route
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.schema import daily_parts, daily_tasks
from langroute.policies import Cascade
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import Metric, Outcomes

TASKS = {
    "add": ("Write add(a, b).", "assert add(2, 3) == 5"),
    "clamp": ("Write clamp(x, low, high).", "assert clamp(5, 1, 3) == 3 and clamp(0, 1, 3) == 1"),
    "is_prime": ("Write is_prime(n).", "assert [n for n in range(12) if is_prime(n)] == [2, 3, 5, 7, 11]"),
}
CHEAP = ["def add(a, b): return a + b", "def clamp(x, low, high): return min(x, high)", "def is_prime(n) return n > 1"]
FRONTIER = ["def is_prime(n): return n > 1 and all(n % d for d in range(2, n))"]


def compiles(message) -> bool:
    """Verifier that costs nothing and needs no tests."""
    try:
        compile(message.text, "answer", "exec")
    except SyntaxError:
        return False
    return True


def passes(code: str, test: str) -> bool:
    """Run the tests in a separate process."""
    return subprocess.run([sys.executable, "-c", f"{code}\n{test}"], capture_output=True, timeout=20, check=False).returncode == 0


with open_ledger(Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
    # With real models:
    #   model = ChatRouter({"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}, policy=..., verifier=..., ledger=ledger)
    model = ChatRouter(
        {
            "cheap": Route(ScriptedModel(*CHEAP), price={"input": 0.5, "output": 2}),
            "frontier": Route(ScriptedModel(*FRONTIER), price={"input": 15, "output": 75}),
        },
        policy=Cascade(["cheap", "frontier"]),
        verifier=compiles,
        ledger=ledger,
    )
    outcomes = Outcomes(model, metrics=[Metric("tests_passed")])
    for name, (request, test) in TASKS.items():
        with task(name, kind="code", team="platform"):
            answer = model.invoke(request)
            passed = passes(answer.text, test)
            outcomes.record(passed, key="tests_passed", source="tests", baseline_minutes=10, human_minutes=1)
        tried = ", then ".join(attempt["route"] for attempt in answer.response_metadata["langroute"]["attempts"])
        print(f"{name}: {'passed' if passed else 'failed'} ({tried})")

    ledger.rollup()
    with ledger.reading() as connection:
        part, t = daily_parts.c, daily_tasks.c
        routes = select(part.value, func.sum(part.tasks), func.sum(part.succeeded)).where(part.dimension == "route")
        for route, tasks, succeeded in connection.execute(routes.group_by(part.value)):
            print(f"{route}: {tasks} tasks, {succeeded} successful")
        spent, succeeded = connection.execute(select(func.sum(t.known_usd), func.sum(t.succeeded))).one()
        print(f"{spent / succeeded:.3g} USD for each function that works")
