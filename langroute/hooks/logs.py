"""Logging hook: writes each decision and outcome as one line with its fields."""

from __future__ import annotations

import json
import logging
from typing import Any

from langroute.core.records import Decision, Outcome
from langroute.hooks.facts import decision_facts, outcome_facts


class LogHook:
    """Log each decision and outcome as one line of JSON; the same fields are in the record's `langroute` attribute.

    A decision in which every route failed, or in which something inside langroute failed, is logged as a warning.

    Args:
        logger: The logger; by default `langroute`.
        level: Log level of successful decisions.

    Example:
        >>> import sys
        >>> from langroute.core.records import Step
        >>> logger = logging.getLogger("example")
        >>> logger.addHandler(logging.StreamHandler(sys.stdout))
        >>> logger.setLevel(logging.INFO)
        >>> LogHook(logger).on_outcome(Outcome(success=True, source="tests"))
        {"event":"outcome","key":"success","source":"tests","success":true}
    """

    def __init__(self, logger: logging.Logger | None = None, *, level: int = logging.INFO) -> None:
        self.logger = logger if logger is not None else logging.getLogger("langroute")
        self.level = level

    def on_decision(self, decision: Decision) -> None:
        """Log a decision."""
        level = self.level if decision.route is not None and not decision.problems else max(self.level, logging.WARNING)
        if self.logger.isEnabledFor(level):
            self._log(level, "decision", decision_facts(decision))

    def on_outcome(self, outcome: Outcome) -> None:
        """Log an outcome."""
        if self.logger.isEnabledFor(self.level):
            self._log(self.level, "outcome", outcome_facts(outcome))

    def on_alert(self, alert: Any) -> None:
        """Log an alert of `langroute alert`, as a warning."""
        self._log(logging.WARNING, "alert", {"kind": alert.kind, "subject": alert.subject, "message": alert.message})

    def _log(self, level: int, event: str, facts: dict[str, Any]) -> None:
        line = json.dumps({"event": event, **facts}, separators=(",", ":"))
        self.logger.log(level, "%s", line, extra={"langroute": {"event": event, **facts}})


__all__ = ["LogHook"]
