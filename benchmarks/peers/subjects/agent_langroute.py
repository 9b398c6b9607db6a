"""langroute's `RouterMiddleware`, which judges each step of an agent."""

from __future__ import annotations

from typing import Any

from subjects.agent_loop import loop_model, loops
from subjects.langroute_default import PRICE


def looped() -> dict[str, Any]:
    from langroute.hosts.middleware import RouterMiddleware

    models = {name: loop_model(name) for name in PRICE}
    return loops(loop_model("small"), [RouterMiddleware(models, prices=PRICE)])
