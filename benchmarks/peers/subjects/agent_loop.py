"""Agents of `create_agent` with a model that answers at once: it reads a file in each of four steps, then answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from subjects.chat_models import ADDRESS, InstantModel, given

CALLS = 5
"""Calls of the model in a run."""


class LoopModel(InstantModel):
    """A model that calls a tool until it has read enough since the user spoke."""

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        read = 0
        for message in reversed(messages):
            if message.type == "human":
                break
            read += isinstance(message, ToolMessage)
        called = {"name": "read_file", "args": {"path": f"src/file_{read}.py"}, "id": f"call_{len(messages)}", "type": "tool_call"}
        calls = [called] if read < CALLS - 1 else []
        told = {"finish_reason": "tool_calls" if calls else "stop"}
        message = AIMessage("Let me look." if calls else "A short answer.", tool_calls=calls, response_metadata=told)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate(messages)


def loop_model(name: str) -> Any:
    return LoopModel(model=name, api_key="none", base_url=ADDRESS, max_retries=0)


def read_file(path: str) -> str:
    """Return the text of a file."""
    return f"def function():\n    return {path!r}\n" * 5


async def aread_file(path: str) -> str:
    """Return the text of a file."""
    return read_file(path)


def agent(model: Any, middleware: Sequence[Any] = ()) -> Any:
    from langchain.agents import create_agent
    from langchain_core.tools import StructuredTool

    tool = StructuredTool.from_function(read_file, coroutine=aread_file, name="read_file")
    return create_agent(model, tools=[tool], middleware=middleware)


def loops(model: Any, middleware: Sequence[Any] = ()) -> dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]]:
    """Return runs of a bare agent, and of one with another model or with middleware."""
    bare, other = agent(loop_model("small")), agent(model, middleware)

    def run(one: Any) -> Callable[[Any], Any]:
        return lambda messages: one.invoke({"messages": given(messages)})

    def arun(one: Any) -> Callable[[Any], Any]:
        return lambda messages: one.ainvoke({"messages": given(messages)})

    return {"invoke": (run(bare), run(other)), "ainvoke": (arun(bare), arun(other))}
