"""Protocols of policies, verifiers, ledgers and hooks.

A plain class with the methods satisfies them; nothing needs to be inherited.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from langroute.core.records import Attempt, Decision, Outcome, Request, Selection, Verdict


@runtime_checkable
class Policy(Protocol):
    """Select the next route for a request, or stop.

    Called again after every attempt, so routing, cascades and fallbacks are one method. A policy that must call something (a judge, a
    remote embedding) also has `aselect` with the same arguments. A policy that learns also has `on_decision` and `on_outcome` (see
    `Hook`); the router calls them. Optional attributes: `name`; `version`; `ends_with_answer`, true if the policy always stops after an
    answer to a selection that was not provisional, so that it need not be called again; `ignores_steps`, true if every step goes to
    the same route, so that the policy may be called for a step that could not be inspected.
    """

    def select(self, request: Request, attempts: Sequence[Attempt]) -> Selection | None:
        """Return the next selection, or `None` to stop with the best attempt so far."""
        ...


@runtime_checkable
class Verifier(Protocol):
    """Judge whether an answer is good enough.

    Called after an attempt that the policy may still reject. A verifier that must call something also has `averify`.
    """

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Return the verdict on the attempt's answer."""
        ...


@runtime_checkable
class Hook(Protocol):
    """Receive every decision and outcome. Called off the caller's critical path where possible; must not raise."""

    def on_decision(self, decision: Decision) -> None:
        """Receive the decision of a step that was answered, or whose routes all failed."""
        ...

    def on_outcome(self, outcome: Outcome) -> None:
        """Receive an outcome of a task or decision."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Keep decisions and outcomes. `record` and `record_outcome` return at once and lose nothing that was flushed.

    A ledger whose attribute `keeps_text` is true receives decisions with their answers; others receive them without text.
    """

    def record(self, decision: Decision) -> None:
        """Keep a decision."""
        ...

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        ...

    def get(self, decision_id: str) -> Decision | None:
        """Return the decision of that id, or `None`."""
        ...

    def flush(self) -> None:
        """Wait until everything recorded so far is stored."""
        ...

    def close(self) -> None:
        """Flush, and release files and connections."""
        ...
