"""Verifiers, which score answers; one family of checks a file. `run` runs several in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langroute.core.lazy_names import lazy_names
from langroute.verifiers.base import Check, arun, as_verifiers, default_verifiers, run, score_of

if TYPE_CHECKING:
    from langroute.verifiers.agreement import Agreement as Agreement
    from langroute.verifiers.answer import NotEmpty as NotEmpty
    from langroute.verifiers.code import CodeCompiles as CodeCompiles
    from langroute.verifiers.judge import Judge as Judge
    from langroute.verifiers.logprob import LogProb as LogProb
    from langroute.verifiers.schema import Structured as Structured
    from langroute.verifiers.tools import ToolCalls as ToolCalls

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

__getattr__, __dir__ = lazy_names(__name__, _PLACES, ("Check", "arun", "as_verifiers", "default_verifiers", "run", "score_of"))
