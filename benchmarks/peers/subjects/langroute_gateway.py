"""`langroute serve`, called as its clients do; costs are what its ledger has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from servers import langroute_serve

from subjects.openai_calls import Calls


@contextmanager
def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> Iterator[Calls]:
    policy = "" if judged else 'policy = { name = "fixed", route = "small" }'
    with langroute_serve(urls, policy, protocol) as (address, _, ledger):

        def tell(headers: Any, _: Any) -> dict[str, Any]:
            from langroute.ledger import open_ledger

            found = headers.get("x-langroute-decision")
            told = {"model": headers.get("x-langroute-route"), "why": headers.get("x-langroute-reason"), "cost": None}
            if not judged and found:
                with open_ledger(str(ledger)) as kept:
                    told["cost"] = waited(kept, found)
            return told

        yield Calls(address, "langroute/auto", protocol, tell)


def waited(ledger: Any, found: str) -> float | None:
    """Return what a decision cost, when the gateway has written it, which it does beside its answers."""
    import time

    for _ in range(100):
        decision = ledger.get(found)
        if decision is not None:
            return float(decision.cost_usd) if decision.cost_usd is not None else None
        time.sleep(0.1)
    return None
