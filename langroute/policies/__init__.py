"""Which route next? One policy a file; all of them answer `select(request, attempts)`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_PLACES = {
    "Fixed": "fixed",
    "Cascade": "cascade",
    "Fallback": "fallback",
    "Sticky": "sticky",
    "Rule": "rules",
    "Rules": "rules",
    "default_policy": "default",
    "DecisionModel": "decision_model",
    "Learned": "learned",
    "LearnedCascade": "learned",
    "load_policy": "learned",
    "Bandit": "bandit",
    "Shadow": "shadow",
    "Canary": "canary",
    "CacheAware": "cache_aware",
    "Escalate": "escalate",
    "PlanExecute": "plan_execute",
    "WithinParent": "within_parent",
    "Careful": "careful",
    "OneVoice": "one_voice",
}

__all__ = [*_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"langroute.policies.{_PLACES[name]}"), name)
