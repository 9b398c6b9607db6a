"""`langroute.toml`: the routes, policy, budgets, cache and ledger of a router, read and checked; each error names its line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.toml_file import TomlFile, TomlTable
from langroute.engine.cache_config import CacheConfig, cache_config

CONFIG_NAME = "langroute.toml"
PROTOCOLS = ("chat", "responses", "messages", "gemini")
"""Protocols of clients and providers over HTTP."""

GATEWAY_TABLES = ("serve", "clients", "models")
"""Tables that only `langroute serve` reads."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@fast_dataclass
class RouteConfig:
    """A route as a file describes it."""

    name: str
    provider: str
    model: str
    key_env: str | None = None
    """Environment variable that holds the key."""

    base_url: str | None = None
    tier: str | None = None
    price: Mapping[str, Any] | None = None
    labels: tuple[str, ...] = ()
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    context_window: int | None = None
    max_output_tokens: int | None = None
    protocols: tuple[str, ...] = ()
    """Protocols that its address speaks; empty for those of its provider."""

    translate: bool = False
    """Whether clients of other protocols are served, with what is lost in translation."""


@fast_dataclass
class PolicyConfig:
    """A policy by its name, with arguments; an argument may be a policy itself."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    where: tuple[str | int, ...] = ("policy",)


@fast_dataclass
class RouterConfig:
    """What a file says about a router."""

    file: TomlFile
    routes: tuple[RouteConfig, ...]
    policy: PolicyConfig | None = None
    default: str | None = None
    baseline: str | None = None
    ledger: str | None = None
    cache: CacheConfig | None = None

    budgets: tuple[Mapping[str, Any], ...] = ()
    """Arguments of each `Budget`."""

    budget_store: str | None = None
    prices: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict)


def read_router_config(path: str | Path) -> RouterConfig:
    """Read a router's part of a file.

    Args:
        path: The file.

    Raises:
        ConfigurationError: Something is missing, misspelled or of the wrong type. The error names the line.
    """
    return router_config(TomlFile.read(path))


def router_config(file: TomlFile) -> RouterConfig:
    r"""Return what a file says about a router.

    Args:
        file: The file.

    Raises:
        ConfigurationError: Something is missing, misspelled or of the wrong type.

    Example:
        >>> text = '[routes.small]\nprovider = "openai"\nmodel = "gpt-5-mini"\nkey_env = "OPENAI_API_KEY"'
        >>> router_config(TomlFile(text, "langroute.toml")).routes[0].model
        'gpt-5-mini'
        >>> router_config(TomlFile(text + '\nteir = "cheap"', "langroute.toml"))
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: langroute.toml, line 5: routes.small.teir: there is no such key here. Did you mean 'tier'?
    """
    root = file.root
    config = _router(file, root)
    for name in GATEWAY_TABLES:
        root.take(name, dict)
    root.end()
    return config


def _router(file: TomlFile, root: TomlTable) -> RouterConfig:
    routes = tuple(_route(name, table) for name, table in root.table("routes").entries())
    if not routes:
        raise file.error((), "there is no route. Write [routes.NAME] with provider and model.")
    names = {route.name for route in routes}
    chosen = {key: root.take(key, str) for key in ("default", "baseline")}
    for key, name in chosen.items():
        if name is not None and name not in names:
            raise root.error(key, f"{name!r} is no route. Routes: {', '.join(sorted(names))}.")
    timeouts = root.table("timeouts")
    limits = {key: value for key in ("first_token", "total") if (value := timeouts.positive(key)) is not None}
    timeouts.end()
    retries = root.take("max_retries", int)
    if retries is not None and retries < 0:
        raise root.error("max_retries", "this is a number from 0 up.")
    return RouterConfig(
        file,
        routes,
        _policy(root),
        chosen["default"],
        chosen["baseline"],
        root.take("ledger", str),
        cache_config(root),
        _budgets(root.tables("budgets")),
        root.take("budget_store", str),
        _prices(root.table("prices")),
        retries,
        limits,
    )


def _route(name: str, table: TomlTable) -> RouteConfig:
    if _NAME.fullmatch(name) is None:
        raise table.error(None, "a route's name has letters, digits, '.', '_' and '-'.")
    for secret in ("key", "api_key"):
        if secret in table:
            raise table.error(
                secret, "a key does not stand in this file. Name the environment variable that holds it with key_env."
            )
    provider, model = table.need("provider", str), table.need("model", str)
    for key, said in (("provider", provider), ("model", model)):
        if not said.strip():
            raise table.error(key, "this is empty.")
    key_env = table.take("key_env", str)
    if key_env is not None and _VARIABLE.fullmatch(key_env) is None:
        raise table.error("key_env", "this is the name of an environment variable, not a key.")
    protocols = table.words("protocols")
    for protocol in protocols:
        if protocol not in PROTOCOLS:
            raise table.error("protocols", f"{protocol!r} is none of {', '.join(PROTOCOLS)}.")
    price, abilities = table.take("price", dict), table.take("capabilities", dict, default={})
    _check_price(table, "price", price)
    _check_capabilities(table, abilities)
    route = RouteConfig(
        name,
        provider,
        model,
        key_env,
        table.take("base_url", str),
        table.take("tier", str),
        price,
        table.words("labels"),
        abilities,
        table.positive("context_window", int),
        table.positive("max_output_tokens", int),
        protocols,
        table.take("translate", bool, default=False),
    )
    table.end()
    return route


def _check_price(table: TomlTable, key: str, price: Any) -> None:
    from langroute.routes.pricing import price_from

    try:
        price_from(price, key)
    except ConfigurationError as error:
        raise table.error(key, str(error)) from error


def _check_capabilities(table: TomlTable, given: Any) -> None:
    from langroute.routes.route import checked_capabilities

    try:
        checked_capabilities(given)
    except ConfigurationError as error:
        raise table.error("capabilities", str(error)) from error


def _policy(root: TomlTable) -> PolicyConfig | None:
    given = root.take("policy", str, dict)
    return None if given is None else _policy_of(root, "policy", given)


def _policy_of(table: TomlTable, key: str, given: Any) -> PolicyConfig:
    path = (*table.path, key)
    if isinstance(given, str):
        return PolicyConfig(given, {}, path)
    inner = TomlTable(table.file, path, given)
    name = inner.need("name", str)
    arguments = {key: value for key, value in given.items() if key != "name"}
    if "policy" in arguments:
        arguments["policy"] = _policy_of(inner, "policy", inner.take("policy", str, dict))
    return PolicyConfig(name, arguments, path)


BUDGET_KEYS = ("usd", "tokens", "per", "every", "soft", "name", "if_unavailable", "wait_seconds")
"""Arguments of a `Budget` that a file may give."""


def _prices(table: TomlTable) -> Mapping[str, Any]:
    for name, price in table.values.items():
        _check_price(table, name, price)
    return table.values


def _budgets(tables: Sequence[TomlTable]) -> tuple[Mapping[str, Any], ...]:
    found: list[Mapping[str, Any]] = []
    for table in tables:
        given = _budget(table)
        if "name" in given and any(_place(given) == _place(other) for other in found):
            raise table.error("name", f"another budget has the name {given['name']!r}: they would count in one place.")
        found.append(given)
    return tuple(found)


def _place(given: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells apart where budgets are counted; see `Budget.key`."""
    return given.get("name"), "usd" in given, given["per"], given.get("every")


def _budget(table: TomlTable) -> Mapping[str, Any]:
    given = budget_arguments(table)
    if "per" not in given:
        # In a program it is a task; in a file most people mean all of their spend, and a limit that binds nothing is noticed too late.
        raise table.error(None, "say what the limit is for: per = 'all', 'team', 'user', 'thread', 'task' or 'call'.")
    return given


def budget_arguments(table: TomlTable) -> Mapping[str, Any]:
    """Return the arguments of a `Budget` that a table gives.

    Raises:
        ConfigurationError: They are none. The error names the line.
    """
    from langroute.budgets.budget import Budget

    given = {key: value for key in BUDGET_KEYS if (value := table.take(key)) is not None}
    table.end()
    try:
        Budget(**given)
    except (ValueError, TypeError) as error:
        raise table.error(None, str(error)) from error
    return given


__all__ = [
    "CONFIG_NAME",
    "GATEWAY_TABLES",
    "PROTOCOLS",
    "PolicyConfig",
    "RouteConfig",
    "RouterConfig",
    "budget_arguments",
    "read_router_config",
    "router_config",
]
