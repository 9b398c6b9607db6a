"""What must an object do to be a policy, a verifier, a ledger or a hook?

A plain class with the method will do; nothing needs to be inherited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from langroute.records import Attempt, Decision, Outcome, Request, Selection, Verdict


@runtime_checkable
class Policy(Protocol):
    """Select the next route for a request, or stop.

    Asked again after every attempt, so routing, cascades and fallbacks are one method. A policy that must call something
    (a judge, a remote embedding) also has `aselect` with the same arguments. A policy that learns also has
    `on_decision` and `on_outcome` (see `Hook`); the router calls them. Optional attributes: `name`, `version`, and `ends_with_answer`: true where an
    answer that cannot be rejected (a selection that was not tentative) always ends it, so that it need not be asked again.
    """

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the next selection, or `None` to stop with the best attempt so far."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """Say whether an answer will do.

    Asked after an attempt that the policy may still reject. One that must call something also has `averify`.
    """

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Return the verdict on the attempt's answer."""
        ...


@runtime_checkable
class Hook(Protocol):
    """Hear of every decision and outcome. Called off the caller's critical path where possible; must not raise."""

    def on_decision(self, decision: Decision) -> None:
        """A step was answered, or every route failed."""
        ...

    def on_outcome(self, outcome: Outcome) -> None:
        """Something was learned about how well a task or decision went."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Keep decisions and outcomes. `record` and `record_outcome` return at once and lose nothing that was flushed.

    A ledger whose attribute `keeps_text` is true is handed decisions with the answers in them; others without.
    """

    def record(self, decision: Decision) -> None:
        """Keep a decision."""
        ...

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        ...

    def get(self, decision_id: str) -> Decision | None:
        """The decision of that id, or `None`."""
        ...

    def flush(self) -> None:
        """Return when all that was recorded is kept."""
        ...

    def close(self) -> None:
        """Flush and let go of files and connections."""
        ...
