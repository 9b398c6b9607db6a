"""Config of an attempt's run: the caller's, with the decision's metadata and tags, and a gate before its listeners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables.config import merge_configs

from langroute.engine.effects import RouteCall
from langroute.engine.heard_usage import HeardUsage, streams_itself
from langroute.engine.release import may_be_rejected
from langroute.engine.token_gate import TokenGate, first_of, shows_tokens

NOSTREAM = "nostream"
"""LangGraph's tag for runs whose tokens are not shown."""


def attempt_config(config: Mapping[str, Any], call: RouteCall, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config under which an attempt's model is called.

    Args:
        config: The caller's config.
        call: The attempt.
        own: The router's own callbacks, tags and metadata.
    """
    made: dict[str, Any] = dict(config)
    if own or call.route.config:
        made = dict(merge_configs(made, call.route.config, own))  # type: ignore[arg-type]
    if call.index and "run_id" in made:
        # A run id belongs to one run: the first attempt gets it.
        del made["run_id"]
    held_back = may_be_rejected(call.selection)
    shown = bool(made.get("callbacks")) and shows_tokens(made)
    if call.gate is None and not held_back and shown:
        call.gate = TokenGate(call.route.name)
    if call.heard is None and (shown or streams_itself(call.route.model)):
        call.told = HeardUsage()
        made = first_of(made, call.told)
    if call.gate is not None:
        made = call.gate.under(made)
    name = call.route.info.name
    made["metadata"] = {
        **(made.get("metadata") or {}),
        "langroute_route": name,
        "langroute_decision_id": call.decision_id,
        "langroute_attempt": call.index,
        "langroute_step_kind": call.request.step.kind,
    }
    made["tags"] = tags = [*(made.get("tags") or ()), f"langroute:{name}"]
    if held_back:
        tags.append(NOSTREAM)
    return made
