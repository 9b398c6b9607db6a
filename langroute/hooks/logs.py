"""How do decisions and outcomes get into a log? One line each, with its facts as fields."""

from __future__ import annotations

import json
import logging
from typing import Any

from langroute.hooks.facts import decision_facts, outcome_facts
from langroute.records import Decision, Outcome


class LogHook:
    """Logs each decision and outcome as one line of JSON; the same facts are in the record's `langroute` attribute.

    A decision in which every route failed, and one in which something inside langroute failed, is a warning.

    Args:
        logger: Where it is logged; `langroute` where none is given.
        level: Level of what went well.

    Example:
        >>> import sys
        >>> from langroute.records import Step
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
        """Log an alert of `langroute check`, as a warning."""
        self._log(logging.WARNING, "alert", {"kind": alert.kind, "subject": alert.subject, "message": alert.message})

    def _log(self, level: int, event: str, facts: dict[str, Any]) -> None:
        line = json.dumps({"event": event, **facts}, separators=(",", ":"))
        self.logger.log(level, "%s", line, extra={"langroute": {"event": event, **facts}})


__all__ = ["LogHook"]
