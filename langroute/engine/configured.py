"""The parts of a router that a `langroute.toml` describes: its policy, its budgets and the arguments of its constructor."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import langroute.policies as policies
from langroute.core.errors import ConfigurationError, LangrouteError
from langroute.core.records import RouteInfo
from langroute.engine.cache_config import open_cache
from langroute.engine.config_file import PolicyConfig, RouteConfig, RouterConfig, read_router_config
from langroute.policies.default import NAMED
from langroute.routes.route import Route, build_routes, resolve

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CLASSES = ("Bandit", "CacheAware", "Cascade", "ConfidenceFloor", "Escalate", "Fallback", "Fixed", "Judged", "PinThread", "PlanExecute", "Sticky", "SubagentCap", "WholeTurns")  # fmt: skip
"""Policies whose arguments can be written in a file."""


def policy_names() -> tuple[str, ...]:
    """Return the names of policies that a file may give.

    Example:
        >>> "balanced" in policy_names(), "cache_aware" in policy_names()
        (True, True)
    """
    return (*NAMED, *map(_snake, _CLASSES), "load")


def policy_from(config: RouterConfig, given: PolicyConfig, infos: Sequence[RouteInfo]) -> Any:
    """Return the policy that a file describes.

    Args:
        config: The file's router.
        given: The policy.
        infos: The router's routes, cheapest first.

    Raises:
        ConfigurationError: There is no such policy, or it does not take these arguments. The error names the line.
    """
    try:
        made = _made(config, given, infos)
        _check_named(config, made, infos)
        return made
    except LangrouteError as error:
        if str(error).startswith(config.file.name):
            raise
        raise config.file.error(given.where, str(error)) from error
    except TypeError as error:
        raise config.file.error(given.where, f"{given.name}: {error}.") from error


def _made(config: RouterConfig, given: PolicyConfig, infos: Sequence[RouteInfo]) -> Any:
    name, arguments = given.name, dict(given.arguments)
    if isinstance(inner := arguments.get("policy"), PolicyConfig):
        arguments["policy"] = policy_from(config, inner, infos)
    if name in NAMED:
        if arguments:
            raise ConfigurationError(f"{name!r} takes no arguments.")
        if len(infos) == 1:
            return policies.Fixed(infos[0].name)
        return NAMED[name](infos)
    if name == "load":
        return policies.load_policy(**arguments)
    kind = next((kind for kind in _CLASSES if name in (kind, _snake(kind))), None)
    if kind is None:
        raise ConfigurationError(f"there is no policy {name!r}. Policies: {', '.join(policy_names())}.")
    made = getattr(policies, kind)
    _check_arguments(name, arguments, inspect.signature(made).parameters)
    return made(**arguments)


def _check_arguments(name: str, given: Mapping[str, Any], known: Mapping[str, inspect.Parameter]) -> None:
    for argument in given:
        if argument not in known:
            raise ConfigurationError(f"{name!r} has no argument {argument!r}. Arguments: {', '.join(known)}.")
    for argument, parameter in known.items():
        if parameter.default is parameter.empty and argument not in given and parameter.kind not in _ANY_NUMBER:
            raise ConfigurationError(f"{name!r} needs {argument!r}. Arguments: {', '.join(known)}.")


_ANY_NUMBER = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _check_named(config: RouterConfig, made: Any, infos: Sequence[RouteInfo]) -> None:
    """Raise where a policy names a route that the file does not have."""
    names = {route.name for route in config.routes} | {info.name for info in infos}
    named = made.routes_named() if callable(getattr(made, "routes_named", None)) else ()
    for name in named:
        if name not in names:
            raise ConfigurationError(f"{name!r} is no route. Routes: {', '.join(sorted(names))}.")


def _snake(name: str) -> str:
    return _WORD.sub("_", name).lower()


def budgets_of(config: RouterConfig, store: Any = None) -> tuple[Any, ...]:
    """Return the budgets of a file.

    Args:
        config: The file's router.
        store: Where they are counted; each in memory where nothing is given.
    """
    from langroute.budgets.budget import Budget

    kept = {} if store is None else {"store": store}
    return tuple(Budget(**{"name": f"budget {place + 1}", **one, **kept}) for place, one in enumerate(config.budgets))


def budget_store(config: RouterConfig) -> Any:
    """Return the store that a file's budgets are counted in; `None` for this process's memory.

    Raises:
        ConfigurationError: There is no such store. The error names the line.
    """
    if config.budget_store is None:
        return None
    from langroute.budgets.opening import open_budgets

    try:
        return open_budgets(config.budget_store)
    except ConfigurationError as error:
        raise config.file.error(("budget_store",), str(error)) from error


def cache_of_config(config: RouterConfig, environment: Mapping[str, str] | None = None) -> Any:
    """Return the response cache of a file; `None` where it wants none.

    Raises:
        ConfigurationError: It cannot be opened, or its secret is not set. The error names the line.
    """
    return open_cache(config.file, config.cache, os.environ if environment is None else environment)


def route_key(config: RouterConfig, route: RouteConfig, environment: Mapping[str, str] | None = None) -> str | None:
    """Return a route's key from the environment; `None` where it names no variable.

    Raises:
        ConfigurationError: The variable is not set. The error names the line.
    """
    if route.key_env is None:
        return None
    key = (os.environ if environment is None else environment).get(route.key_env, "").strip()
    if not key:
        raise config.file.error(("routes", route.name, "key_env"), f"the environment variable {route.key_env} is not set.")
    return key


def chat_routes(config: RouterConfig) -> dict[str, Route]:
    """Return a file's routes with LangChain's chat models.

    Raises:
        ConfigurationError: A model cannot be built, or its key is not set.
        MissingExtraError: A provider's package is not installed.
    """
    made = {}
    for route in config.routes:
        model = resolve(f"{route.provider}:{route.model}", route.name, route_key(config, route), route.base_url)
        made[route.name] = route_of(route, model)
    return made


def route_of(route: RouteConfig, model: Any) -> Route:
    """Return a route with a model and what the file says of it."""
    return Route(
        model,
        name=route.name,
        tier=route.tier,
        price=route.price,
        labels=route.labels,
        capabilities=route.capabilities,
        context_window=route.context_window,
        max_output_tokens=route.max_output_tokens,
    )


def arguments_of_file(path: Any, routes: Any = None) -> tuple[RouterConfig, dict[str, Any]]:
    """Return what a file says about a router, and the arguments of a `Router` that follow from it.

    Args:
        path: The file.
        routes: Routes in the place of the file's, for what needs no provider.

    Raises:
        ConfigurationError: The file is not right; the error names the line.
        MissingExtraError: A provider's package is not installed.
    """
    config = read_router_config(path)
    built = build_routes(routes or chat_routes(config), dict(config.prices) or None)
    return config, router_arguments(config, built)


def router_arguments(config: RouterConfig, routes: Mapping[str, Any], *, store: Any = None) -> dict[str, Any]:
    """Return the arguments of a `Router`.

    Args:
        config: The file's router.
        routes: The built routes.
        store: Where budgets are counted; by default the file's own.
    """
    from langroute.engine.timeouts import Timeouts

    infos = tuple(route.info for route in routes.values())
    given: dict[str, Any] = {"routes": routes, "default": config.default, "baseline": config.baseline, "ledger": config.ledger}
    if config.policy is not None:
        given["policy"] = policy_from(config, config.policy, infos)
    store = budget_store(config) if store is None else store
    given["budget"] = [*budgets_of(config, store), *([] if store is None else [store])] or None
    given["max_retries"] = config.max_retries
    given["timeouts"] = Timeouts(config.timeouts.get("first_token"), config.timeouts.get("total")) if config.timeouts else None
    return given


__all__ = [
    "arguments_of_file",
    "budget_store",
    "budgets_of",
    "cache_of_config",
    "chat_routes",
    "policy_from",
    "policy_names",
    "route_key",
    "route_of",
    "router_arguments",
]
