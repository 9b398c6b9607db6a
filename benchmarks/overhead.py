"""Benchmark of the router's overhead per call, paired with the bare model in one run, in shuffled order.

    python benchmarks/overhead.py [--rounds 1500]

The router has its default policy, inspects every step and stores every decision in its in-memory ledger. Each number is the median
over rounds of (router - bare model) in microseconds, both timed in the same round; in brackets the bare model's own median.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from time import perf_counter
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.hosts.chat_model import ChatRouter

TARGETS = {
    "invoke, short prompt": 100,
    # The default policy judges every new prompt, for which 200 µs are allowed.
    "invoke, never the same short prompt": 200,
    "invoke, a new question, judged": 200,
    "invoke, 80-message agent history": 150,
    "invoke, 200-message agent history": 150,
    "stream, short prompt": 100,
    "ainvoke, short prompt": 150,
    "middleware decision": 50,
    "middleware decision, 200 messages": 50,
}


def history(length: int) -> list[BaseMessage]:
    """An agent's thread: a system prompt, a request, then tool calls and their results."""
    messages: list[BaseMessage] = [
        SystemMessage("You are a careful coding agent."),
        HumanMessage("Fix the failing test in parser.py."),
    ]
    while len(messages) < length:
        place = len(messages)
        call = {"name": "read_file", "args": {"path": f"src/file_{place}.py"}, "id": f"call_{place}", "type": "tool_call"}
        messages.append(AIMessage(content=f"Let me look at file {place}.", tool_calls=[call]))
        messages.append(ToolMessage(content=f"def function_{place}():\n    return {place}\n" * 5, tool_call_id=f"call_{place}"))
    return messages[:length]


def paired(bare: Callable[[], Any], routed: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the medians of (routed - bare) and of bare, in microseconds."""
    for _ in range(50):
        bare()
        routed()
    differences, plain = [], []
    for _ in range(rounds):
        took = {}
        for work in random.sample([bare, routed], 2):
            begun = perf_counter()
            work()
            took[work] = (perf_counter() - begun) * 1e6
        differences.append(took[routed] - took[bare])
        plain.append(took[bare])
    return statistics.median(differences), statistics.median(plain)


async def apaired(bare: Callable[[], Any], routed: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Async version of `paired`."""
    differences, plain = [], []
    for _ in range(rounds):
        took = {}
        for work in random.sample([bare, routed], 2):
            begun = perf_counter()
            await work()
            took[work] = (perf_counter() - begun) * 1e6
        differences.append(took[routed] - took[bare])
        plain.append(took[bare])
    return statistics.median(differences[50:]), statistics.median(plain[50:])


def middleware_decision(messages: list[BaseMessage], rounds: int) -> float:
    """Return the microseconds of a `wrap_model_call` without its handler, which returns a new answer as a model does."""
    from langchain.agents.middleware import ModelRequest, ModelResponse

    from langroute.hosts.middleware import RouterMiddleware

    model = FakeListChatModel(responses=["ok"])
    middleware = RouterMiddleware({"cheap": model, "frontier": model})
    system, rest = messages[0], messages[1:]
    request = ModelRequest(model=model, messages=rest, system_message=system, tools=[], state={"messages": rest}, runtime=None)
    times, inside = [], 0.0

    def handler(_: Any) -> Any:
        nonlocal inside
        called = perf_counter()
        response = ModelResponse(result=[AIMessage("ok")])
        inside = perf_counter() - called
        return response

    for _ in range(rounds):
        begun = perf_counter()
        middleware.wrap_model_call(request, handler)
        times.append((perf_counter() - begun - inside) * 1e6)
    return statistics.median(times[50:])


def import_time() -> tuple[float, float]:
    """Milliseconds that langroute takes after langchain-core's chat models and messages, and that those take.

    From compiled files, as pip leaves them: a working copy may have none.
    """
    program = """if True:
        from time import perf_counter
        begun = perf_counter()
        from langchain_core.language_models import BaseChatModel
        from langchain_core.messages import AIMessage
        between = perf_counter()
        import langroute
        langroute.ChatRouter
        print((perf_counter() - between) * 1e3, (between - begun) * 1e3)
    """
    with tempfile.TemporaryDirectory() as compiled:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = compiled
        runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=env).stdout for _ in range(8)]
    # The first one compiled.
    pairs = [tuple(map(float, run.split())) for run in runs[1:]]
    return statistics.median(ours for ours, _ in pairs), statistics.median(core for _, core in pairs)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1500)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    bare = FakeListChatModel(responses=["A short answer."])
    router = ChatRouter(
        {"cheap": FakeListChatModel(responses=["A short answer."]), "frontier": bare}, prices={"cheap": {"input": 1, "output": 4}}
    )
    found: dict[str, tuple[float, float]] = {}
    found["invoke, short prompt"] = paired(lambda: bare.invoke("Say hello."), lambda: router.invoke("Say hello."), rounds)
    # Half of the prompts are inspected by nobody; the other half are new to the router.
    for name, text in (
        ("invoke, never the same short prompt", "Write a welcome for guest {}."),
        ("invoke, a new question, judged", "Write a short welcome for guest number {}, who comes from far away."),
    ):
        prompts = map(text.format, itertools.count())
        found[name] = paired(lambda p=prompts: bare.invoke(next(p)), lambda p=prompts: router.invoke(next(p)), rounds)
    for length in (80, 200):
        messages = history(length)
        found[f"invoke, {length}-message agent history"] = paired(
            lambda m=messages: bare.invoke(m), lambda m=messages: router.invoke(m), rounds
        )
    found["stream, short prompt"] = paired(
        lambda: list(bare.stream("Say hello.")), lambda: list(router.stream("Say hello.")), rounds
    )
    found["ainvoke, short prompt"] = asyncio.run(
        apaired(lambda: bare.ainvoke("Say hello."), lambda: router.ainvoke("Say hello."), rounds)
    )
    try:
        found["middleware decision"] = (middleware_decision(history(3), rounds), 0.0)
        found["middleware decision, 200 messages"] = (middleware_decision(history(200), rounds), 0.0)
    except ImportError:
        print("langchain is not installed: no middleware")
    print(f"{'':36}{'adds µs':>10}{'(bare)':>10}{'target':>10}")
    for name, (added, plain) in found.items():
        print(f"{name:36}{added:10.1f}{plain:10.1f}{TARGETS[name]:10}")
    ours, core = import_time()
    print(f"{'import langroute, ms over core':36}{ours:10.1f}{core:10.1f}{100:10}")


if __name__ == "__main__":
    main()
