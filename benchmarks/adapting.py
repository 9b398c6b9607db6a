"""Benchmark of history adaptation: time per step. Run: `python benchmarks/adapting.py`.

Warm: the next step of a thread whose beginning was read before, as in an agent's loop. Cold: a thread that comes from a checkpoint,
where every message is a new object.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.adapt import Target, adapt


def history(count: int, provider: str, model: str) -> list[Any]:
    """An agent's thread of that many messages, thinking included where the provider thinks aloud."""
    messages: list[Any] = [SystemMessage("You are an agent."), HumanMessage("Fix the failing test.")]
    metadata = {"model_provider": provider, "model_name": model}
    for place in range((count - 2) // 2):
        calls = [{"name": "run", "args": {"command": f"pytest {place}"}, "id": f"call_{place}"}]
        content: Any = ""
        if provider == "anthropic":
            content = [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "I run it."}]
        messages.append(AIMessage(content, tool_calls=calls, response_metadata=metadata))
        messages.append(ToolMessage("1 failed, 12 passed", tool_call_id=f"call_{place}"))
    return messages


def median_us(work: Any, rounds: int) -> float:
    """Median of many rounds, in microseconds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def main() -> None:
    """Print a table."""
    print(f"{'from':12} {'to':18} {'messages':>8} {'warm, us':>9} {'cold, us':>9}  same object")
    for source, model in (("openai", "gpt-5-mini"), ("anthropic", "claude-opus-4-6")):
        for api, provider, name in (("openai-chat", "openai", "gpt-5-mini"), ("anthropic", "anthropic", "claude-opus-4-6")):
            for count in (2, 10, 80, 200):
                messages, target = history(count, source, model), Target(api, provider, name)
                same = adapt(messages, target).messages is messages
                warm = median_us(lambda m=messages, t=target: adapt(m, t), 2000)
                cold = median_us(lambda m=messages, a=api, p=provider, n=name: adapt(m, Target(a, p, n)), 100)
                print(f"{source:12} {api:18} {count:8} {warm:9.1f} {cold:9.1f}  {same}")


if __name__ == "__main__":
    main()
