"""LangChain middleware that does nothing: what any middleware around the model costs."""

from __future__ import annotations

from typing import Any

from subjects.agent_loop import loop_model, loops


def looped() -> dict[str, Any]:
    from langchain.agents.middleware import AgentMiddleware

    class Nothing(AgentMiddleware):  # type: ignore[misc]
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request)

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(request)

    return loops(loop_model("small"), [Nothing()])
