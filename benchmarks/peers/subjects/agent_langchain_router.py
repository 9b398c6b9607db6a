"""langchain-router's `RouterMiddleware`, which sends a step after a good tool result to a fast model."""

from __future__ import annotations

from typing import Any

from subjects.agent_loop import loop_model, loops


def looped() -> dict[str, Any]:
    from langchain_router import RouterMiddleware

    return loops(loop_model("large"), [RouterMiddleware(fast=loop_model("small"))])
