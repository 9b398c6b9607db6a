"""langroute's `ChatRouter` as an agent's model."""

from __future__ import annotations

from typing import Any

from subjects.agent_loop import loop_model, loops
from subjects.langroute_default import PRICE, router


def looped() -> dict[str, Any]:
    return loops(router({name: loop_model(name) for name in PRICE}, judged=True))
