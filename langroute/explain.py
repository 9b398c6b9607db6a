"""Why was this route chosen, and what was rejected?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from langroute.errors import InputError
from langroute.marks import KEY, mark
from langroute.records import Decision


def explain(what: Any, ledger: Any = None) -> str:
    """A decision in a few lines.

    Args:
        what: A `Decision`, its id, a message that carries one, or `None` for the latest in the ledger.
        ledger: Where ids are looked up.

    Raises:
        InputError: There is no such decision.

    Example:
        >>> from langroute.records import Step
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
        return mark(latest)
    if isinstance(what, Decision):
        return mark(what)
    carried = getattr(what, "response_metadata", None)
    if carried is not None:
        if KEY not in carried:
            raise InputError("This message did not come from a router.")
        return carried[KEY]  # type: ignore[no-any-return]
    found = ledger.get(what) if ledger is not None and isinstance(what, str) else None
    if found is None:
        raise InputError(f"No decision {what!r} in the ledger.")
    return mark(found)


def told(carried: Mapping[str, Any]) -> str:
    """The same from the dictionary that a message carries."""
    step = carried["step"]
    where = f" in node {step['node']}" if step.get("node") else ""
    lines = [f"{step['kind']} step{where} -> {carried['route'] or 'no route'}: {carried['reason'] or 'no reason given'}"]
    attempts = carried["attempts"]
    if len(attempts) > 1 or carried["route"] is None:
        # Of one attempt that answered, the first and the last line say it all.
        for place, attempt in enumerate(attempts, 1):
            spent = f"{usd(attempt['cost_usd'])}, {attempt['latency_s']:.2f} s"
            lines.append(f"  attempt {place}: {attempt['route']}, {spent}, {attempt['verdict']}")
    lines.extend(f"  not eligible: {name}: {reason}" for name, reason in carried["rejected"].items())
    lines.extend(f"  problem: {problem}" for problem in carried["problems"])
    against = f" ({carried['baseline_route']})" if carried.get("baseline_route") else ""
    lines.append(f"  cost {usd(carried['cost_usd'])}, baseline{against} {usd(carried['baseline_cost_usd'])}")
    return "\n".join(lines)


def usd(amount: float | None) -> str:
    """An amount as people read it; unknown is said, not shown as 0.

    Example:
        >>> usd(0.0000182), usd(12.5), usd(None)
        ('0.0000182 USD', '12.50 USD', 'unknown')
    """
    if amount is None:
        return "unknown"
    if amount == 0 or abs(amount) >= 1:
        return f"{amount:.2f} USD"
    # Three digits that count, however small: an agent's step costs a fraction of a cent.
    return f"{amount:.{min(12, 2 - math.floor(math.log10(abs(amount))))}f} USD"
