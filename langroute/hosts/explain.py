"""Text that explains a decision: why its route was chosen and what was rejected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from langroute.core.decision_metadata import METADATA_KEY, to_metadata
from langroute.core.errors import InputError
from langroute.core.plain_text import one_line
from langroute.core.records import Decision


def explain(what: Any, ledger: Any = None) -> str:
    """Return a decision as a few lines of text.

    Args:
        what: A `Decision`, its id, a message that carries one, or `None` for the latest in the ledger.
        ledger: Where ids are looked up.

    Raises:
        InputError: There is no such decision.

    Example:
        >>> from langroute.core.records import Step
        >>> print(explain(Decision("d1", Step(kind="title"), "small", (), reason="a title")))
        title step -> small: a title
          cost unknown, baseline unknown
    """
    return told(_found(what, ledger))


def _found(what: Any, ledger: Any) -> Mapping[str, Any]:
    if what is None:
        latest = ledger.latest() if hasattr(ledger, "latest") else None
        if latest is None:
            raise InputError("No decision has been recorded yet.")
        return to_metadata(latest)
    if isinstance(what, Decision):
        return to_metadata(what)
    carried = getattr(what, "response_metadata", None)
    if carried is not None:
        if METADATA_KEY not in carried:
            raise InputError("This message did not come from a router.")
        return carried[METADATA_KEY]  # type: ignore[no-any-return]
    found = ledger.get(what) if ledger is not None and isinstance(what, str) else None
    if found is None:
        raise InputError(f"No decision {what!r} in the ledger.")
    return to_metadata(found)


def told(carried: Mapping[str, Any]) -> str:
    """Return the same text from the dictionary in a message's `response_metadata`."""
    step = carried["step"]
    where = f" in node {step['node']}" if step.get("node") else ""
    lines = [f"{step['kind']} step{where} -> {carried['route'] or 'no route'}: {carried['reason'] or 'no reason given'}"]
    attempts = carried["attempts"]
    if len(attempts) > 1 or carried["route"] is None:
        # For a single successful attempt, the first and the last line are enough.
        for place, attempt in enumerate(attempts, 1):
            spent = f"{usd(attempt['cost_usd'])}, {attempt['latency_s']:.2f} s"
            lines.append(f"  attempt {place}: {attempt['route']}, {spent}, {attempt['verdict']}")
    lines.extend(f"  edited for {attempt['route']}: {', '.join(attempt['edits'])}" for attempt in attempts if attempt.get("edits"))
    lines.extend(f"  not eligible: {name}: {reason}" for name, reason in carried["rejected"].items())
    lines.extend(f"  problem: {problem}" for problem in carried["problems"])
    against = f" ({carried['baseline_route']})" if carried.get("baseline_route") else ""
    lines.append(f"  cost {usd(carried['cost_usd'])}, baseline{against} {usd(carried['baseline_cost_usd'])}")
    return "\n".join(map(one_line, lines))


def usd(amount: float | None) -> str:
    """Return an amount in USD for display; an unknown amount is named so, not shown as 0.

    Example:
        >>> usd(0.0000182), usd(12.5), usd(None)
        ('0.0000182 USD', '12.50 USD', 'unknown')
    """
    if amount is None:
        return "unknown"
    if amount == 0 or abs(amount) >= 1:
        return f"{amount:.2f} USD"
    # Three significant digits, however small: an agent's step costs a fraction of a cent.
    return f"{amount:.{min(12, 2 - math.floor(math.log10(abs(amount))))}f} USD"
