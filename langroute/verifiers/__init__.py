"""Will this answer do? One family of checks a file; `run` asks several."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from langroute.verifiers.base import Check, arun, as_verifiers, default_verifiers, run, score_of

_PLACES = {
    "NotEmpty": "answer",
    "ToolCalls": "tools",
    "Structured": "schema",
    "CodeCompiles": "code",
    "Agreement": "agreement",
    "LogProb": "logprob",
    "Judge": "judge",
}

__all__ = ["Check", "arun", "as_verifiers", "default_verifiers", "run", "score_of", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"langroute.verifiers.{_PLACES[name]}"), name)
