"""LangChain's `ModelFallbackMiddleware`."""

from __future__ import annotations

from typing import Any

from subjects.agent_loop import loop_model, loops


def looped() -> dict[str, Any]:
    from langchain.agents.middleware import ModelFallbackMiddleware

    return loops(loop_model("small"), [ModelFallbackMiddleware(loop_model("large"))])
