"""What a worker has to close: the parts of its routers, in the order in which they can be done without each other.

Policies and hooks may still record, so that they come first; then caches, then budgets, whose last settlements are waited for; the ledger is last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from langroute.budgets.settling import SETTLING
from langroute.budgets.store import BudgetStore
from langroute.core.records import Outcome
from langroute.engine.router import Router


def router_of(thing: Any) -> Router | None:
    """Return the router behind a chat model, node or middleware; `None` if there is none.

    Example:
        >>> from langroute.hosts.chat_model import ChatRouter
        >>> from langroute.testing import ScriptedModel
        >>> model = ChatRouter({"small": ScriptedModel("Hm.")})
        >>> router_of(model) is model.router, router_of("small")
        (True, None)
    """
    for name in ("model", "router"):
        if not isinstance(thing, Router) and hasattr(thing, name):
            thing = getattr(thing, name)
    return thing if isinstance(thing, Router) else None


def cache_of(thing: Any) -> Any:
    """Return the response cache of a chat model, node or middleware, or `None`."""
    return getattr(thing, "response_cache", None) or getattr(getattr(thing, "model", None), "response_cache", None)


class Parts:
    """The parts of what a worker owns, each once.

    Args:
        owned: Routers, chat models, nodes, middleware, caches, budget stores, and whatever has a `close`.
    """

    def __init__(self, owned: Iterable[Any]) -> None:
        self.owned = list(owned)
        self.routers = _once(filter(None, map(router_of, self.owned)))
        self.caches = _once(filter(None, map(cache_of, self.owned)))
        self.stores = _once(budget.store for router in self.routers for budget in router.budgets)
        self.policies = _once(policy for router in self.routers for policy in _policies(router.policy))
        self.hooks = _once(hook for router in self.routers for hook in router.hooks if not _among(hook, self.caches))
        self.ledgers = _once(router.ledger for router in self.routers)
        known = [*self.routers, *self.caches, *self.stores, *self.policies, *self.hooks, *self.ledgers]
        self.others = [one for one in _once(self.owned) if router_of(one) is None and not _among(one, known)]

    def closings(self) -> Iterator[tuple[Any, Callable[[], Any]]]:
        """Yield each part with the function that ends it, in order."""
        for part in (*self.policies, *self.hooks):
            yield from _first_of(part, "close", "flush")
        for part in self.caches:
            yield from _first_of(part, "close")
        for store in (*self.stores, *(one for one in self.others if isinstance(one, BudgetStore))):
            yield store, partial(SETTLING.wait, store)
            yield from _first_of(store, "close")
        for part in self.others:
            if not isinstance(part, BudgetStore):
                yield from _first_of(part, "close", "flush")
        for ledger in self.ledgers:
            yield from _first_of(ledger, "finish", "flush")

    def record_outcome(self, outcome: Outcome) -> None:
        """Record an outcome in every ledger, and pass it to every policy and hook, once each."""
        for ledger in self.ledgers:
            ledger.record_outcome(outcome)
        policies = _once(router.policy for router in self.routers if not router.deterministic)
        for one in (*policies, *self.caches, *self.hooks):
            if callable(hear := getattr(one, "on_outcome", None)):
                hear(outcome)


def _once(parts: Iterable[Any]) -> list[Any]:
    """Return the parts without repetitions; they may compare equal and not be the same."""
    return list({id(part): part for part in parts}.values())


def _among(part: Any, others: Iterable[Any]) -> bool:
    return any(part is other for other in others)


def _policies(policy: Any) -> Iterator[Any]:
    """Yield a policy and those that it wraps."""
    while policy is not None:
        yield policy
        policy = getattr(policy, "policy", None)


def _first_of(part: Any, *names: str) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """Yield the first of some methods that a part has."""
    for name in names:
        if callable(method := getattr(part, name, None)):
            yield part, method
            return


__all__ = ["Parts", "cache_of", "router_of"]
