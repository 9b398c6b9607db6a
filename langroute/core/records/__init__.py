"""Frozen records that pass between the parts: prices, usage, routes, steps, requests, attempts, decisions, outcomes.

The records do no I/O and have no behaviour beyond derived values. Costs are USD, `None` (never 0) where unknown; times are seconds;
token counts are whole tokens. Each family has its own module; all of them are imported from here.
"""

from __future__ import annotations

from langroute.core.records.attempt import CLOSING, Attempt, Failure, Stored, Verdict, best_attempt
from langroute.core.records.decision import Decision
from langroute.core.records.outcome import Outcome
from langroute.core.records.request import Request, Selection
from langroute.core.records.route_info import TIERS, RouteInfo
from langroute.core.records.step import KINDS, SIGNALS, Signals, Step
from langroute.core.records.usage import TOKENS, Price, Usage

__all__ = [
    "CLOSING",
    "KINDS",
    "SIGNALS",
    "TIERS",
    "TOKENS",
    "Attempt",
    "Decision",
    "Failure",
    "Outcome",
    "Price",
    "Request",
    "RouteInfo",
    "Selection",
    "Signals",
    "Step",
    "Stored",
    "Usage",
    "Verdict",
    "best_attempt",
]
