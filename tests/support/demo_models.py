"""Scripted models that write the code of the demo's tasks they know, and wrong code for the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import Field

from langroute import Price, Route
from langroute.demo.answers import remembering
from langroute.demo.tasks import TASKS
from langroute.testing import ScriptedModel

RIGHT = {
    "is_even": "def is_even(n):\n    return n % 2 == 0",
    "evens": "def evens(numbers):\n    return [n for n in numbers if n % 2 == 0]",
    "unique": "def unique(items):\n    return list(dict.fromkeys(items))",
    "add": "def add(a, b):\n    return a + b",
    "primes": "def primes(n):\n    return [i for i in range(2, n + 1) if all(i % d for d in range(2, i))]",
}
FREE = Price(input=0, output=0)
WRONG = "def {0}(*args):\n    return -1"


class Coder(ScriptedModel):
    """Writes right code for the tasks it knows; its plans are JSON, as its prompts ask for."""

    knows: list[str] = Field(default_factory=list)
    seconds: float = 1.0

    def _next(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        self.replies = [self._reply(messages)]
        return super()._next(messages, stop, kwargs)

    def _reply(self, messages: Sequence[BaseMessage]) -> AIMessage:
        said = " ".join(str(message.content) for message in messages)
        if "You plan" in said:
            text = '{"approach": "say it directly"}'
        elif "in one short sentence what" in said:
            text = "It does what it says."
        else:
            name = next(task.name for task in TASKS if f"function {task.signature}" in said)
            text = f"```python\n{RIGHT[name] if name in self.knows else WRONG.format(name)}\n```"
        return AIMessage(text, response_metadata={"compute_seconds": self.seconds})

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **_: Any) -> Any:
        from langchain_core.runnables import RunnableLambda, RunnablePassthrough

        parsed = RunnablePassthrough.assign(parsed=lambda found: json.loads(found["raw"].content), parsing_error=lambda _: None)
        return {"raw": self} | RunnableLambda(lambda found: found) | parsed


def routes(*, weak: list[str], strong: list[str]) -> dict[str, Route]:
    by_second = Price(input=0, output=0, per_second=0.001)
    return {
        "cheap": Route(remembering(Coder(model="small", knows=weak, seconds=1.0)), price=by_second),
        "frontier": Route(remembering(Coder(model="large", knows=strong, seconds=10.0)), price=by_second),
    }
