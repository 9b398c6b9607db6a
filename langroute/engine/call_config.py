"""Reading of LangChain's config and LangGraph's metadata for a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.engine.eligibility import NO_LIMITS, RouteLimits, tier_level

LIMIT_KEYS = ("route", "exclude", "min_tier", "labels")
_PREFIXED = frozenset(f"langroute_{key}" for key in LIMIT_KEYS)
_LIMITS = _PREFIXED.union(LIMIT_KEYS)


@fast_dataclass
class Run:
    """What the config says about a call: metadata, limits and budget."""

    metadata: Mapping[str, Any]
    tags: Sequence[str] = ()
    limits: RouteLimits = NO_LIMITS
    run_id: str | None = None
    parent_run_id: str | None = None
    budget: Any = None
    """The call's own budget: USD, or the arguments of a `Budget`."""


def read_config(config: Mapping[str, Any], limits: RouteLimits = NO_LIMITS) -> Run:
    """Read a config that `ensure_config` has completed.

    LangGraph's keys (`langgraph_node`, `langgraph_checkpoint_ns`, `thread_id`, …) reach a model in `metadata`, and in the
    callback manager where the caller's own config replaced the metadata.

    Args:
        config: A runnable config.
        limits: Limits of the router itself; the call's limits are added to them.

    Raises:
        InputError: A limit is neither a name nor a collection of names.
    """
    callbacks = config.get("callbacks")
    metadata = config.get("metadata") or {}
    parent = None
    if callbacks is not None and not isinstance(callbacks, list):
        inherited = getattr(callbacks, "inheritable_metadata", None)
        if inherited:
            metadata = {**inherited, **(getattr(callbacks, "metadata", None) or {}), **metadata}
        parent = getattr(callbacks, "parent_run_id", None)
    configurable = config.get("configurable") or {}
    if configurable and "thread_id" not in metadata and configurable.get("thread_id"):
        metadata = {**metadata, "thread_id": configurable["thread_id"]}
    if not (_LIMITS.isdisjoint(configurable) and _PREFIXED.isdisjoint(metadata)):
        limits = _joined(limits, configurable, metadata)
    run_id = config.get("run_id")
    budget = metadata.get("langroute_budget")
    if configurable:
        budget = configurable.get("langroute_budget", configurable.get("budget", budget))
    return Run(metadata, config.get("tags") or (), limits, str(run_id) if run_id else None, str(parent) if parent else None, budget)


def _joined(limits: RouteLimits, configurable: Mapping[str, Any], metadata: Mapping[str, Any]) -> RouteLimits:
    prefixed = {key: metadata[key] for key in _PREFIXED if key in metadata}
    if "langroute_decision_id" in metadata:
        # An outer router has marked its call with the route that it chose; that is not a limit for this router.
        prefixed.pop("langroute_route", None)
    call = RouteLimits.of(prefixed, configurable)
    return RouteLimits(
        route=call.route or limits.route,
        exclude=limits.exclude | call.exclude,
        min_tier=_higher(call.min_tier, limits.min_tier),
        labels=limits.labels | call.labels,
    )


def _higher(asked: str | None, own: str | None) -> str | None:
    """Return the higher of two tiers: a call may raise the router's minimum but not lower it."""
    if asked is None or own is None:
        return asked or own
    mine, theirs = tier_level(own), tier_level(asked)
    return own if mine is not None and theirs is not None and mine > theirs else asked
