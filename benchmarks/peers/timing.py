"""Times of calls with and without a subject, paired in one process, in shuffled order."""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

QUESTION = "Write a short welcome for guest number {}, who comes from far away and {} to read."
VERBS = ("likes", "loves", "wants", "needs", "learns")


def history(length: int) -> list[dict[str, Any]]:
    """Return an agent's thread in OpenAI's form: a system prompt, a request, then tool calls and their results."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are a careful coding agent."},
        {"role": "user", "content": "Fix the failing test in parser.py."},
    ]
    while len(messages) < length:
        place = len(messages)
        called = {"name": "read_file", "arguments": f'{{"path": "src/file_{place}.py"}}'}
        call = {"id": f"call_{place}", "type": "function", "function": called}
        messages.append({"role": "assistant", "content": f"Let me look at file {place}.", "tool_calls": [call]})
        text = f"def function_{place}():\n    return {place}\n" * 5
        messages.append({"role": "tool", "tool_call_id": f"call_{place}", "content": text})
    return messages[:length]


Clock = Callable[[], float]


def paired(
    bare: Callable[[Any], Any], routed: Callable[[Any], Any], inputs: Any, rounds: int, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Return medians of (routed - bare) and of bare, in microseconds; both are given the same input in a round."""
    differences, plain = [], []
    for number in range(rounds + 20):
        given, took = next(inputs), {}
        for work in random.sample([bare, routed], 2):
            begun = clock()
            work(given)
            took[work] = (clock() - begun) * 1e6
        if number >= 20:
            differences.append(took[routed] - took[bare])
            plain.append(took[bare])
    return {"adds": statistics.median(differences), "bare": statistics.median(plain)}


async def apaired(
    bare: Callable[[Any], Any], routed: Callable[[Any], Any], inputs: Any, rounds: int, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Async version of `paired`."""
    differences, plain = [], []
    for number in range(rounds + 20):
        given, took = next(inputs), {}
        for work in random.sample([bare, routed], 2):
            begun = clock()
            await work(given)
            took[work] = (clock() - begun) * 1e6
        if number >= 20:
            differences.append(took[routed] - took[bare])
            plain.append(took[bare])
    return {"adds": statistics.median(differences), "bare": statistics.median(plain)}


def measured(subject: Any, rounds: int) -> dict[str, Any]:
    """Return what a subject adds in each case; `subject.local()` has the callables, bare and routed."""
    works = subject.local()
    short = [{"role": "user", "content": "Say hello."}]
    cases: dict[str, Any] = {"short": itertools.repeat(subject.given(short))}
    if "invoke" in works:
        cases["new"] = (
            subject.given([{"role": "user", "content": QUESTION.format(number, VERBS[number % 5])}]) for number in itertools.count()
        )
    for length in (80, 200):
        cases[str(length)] = itertools.repeat(subject.given(history(length)))
    found = {name: paired(*works["invoke"], inputs, rounds) for name, inputs in cases.items()}
    found["stream"] = paired(*works["first"], itertools.repeat(subject.given(short)), rounds)
    found["async"] = asyncio.run(apaired(*works["ainvoke"], itertools.repeat(subject.given(short)), rounds))
    return found


def looped(subject: Any, rounds: int) -> dict[str, Any]:
    """Return the processor time that a subject adds to a run of an agent, which has threads; `subject.looped()` has the callables."""
    works = subject.looped()
    asked = ([{"role": "user", "content": QUESTION.format(number, VERBS[number % 5])}] for number in itertools.count())
    begun = history(80)
    long = ([*begun, {"role": "user", "content": QUESTION.format(number, VERBS[number % 5])}] for number in itertools.count())
    return {
        "question": paired(*works["invoke"], asked, rounds, time.process_time),
        "80": paired(*works["invoke"], long, rounds, time.process_time),
        "async": asyncio.run(apaired(*works["ainvoke"], asked, rounds, time.process_time)),
    }
