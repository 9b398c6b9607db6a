"""The response cache of a `langroute.toml`: its keys, and the cache that they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from langroute.core.errors import LangrouteError, MissingExtraError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.toml_file import TomlFile, TomlTable

SHARES = ("user", "team", "everyone")
"""With whom a client of the gateway shares answers: its own user in its team, all of its team, or all clients."""

MEMORY = "memory"


@fast_dataclass
class CacheConfig:
    """A response cache as a file describes it."""

    store: str = MEMORY
    """`memory`, a path or a URL."""

    share: str = "user"
    """One of `SHARES`; only the gateway asks."""

    secret_env: str | None = None
    """Environment variable that holds the secret with which stored values are sealed."""

    encrypt: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `ResponseCache`."""

    policy: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `CachePolicy`."""

    where: tuple[str, ...] = ("cache",)
    """Place of the store in the file."""


def cache_config(root: TomlTable) -> CacheConfig | None:
    r"""Return what a file says about the response cache; `None` where it wants none.

    Args:
        root: The file's table.

    Raises:
        ConfigurationError: A key is misspelled or of the wrong type. The error names the line.

    Example:
        >>> cache_config(TomlFile('[cache]\nstore = "cache.db"\nshare = "team"', "langroute.toml").root).store
        'cache.db'
        >>> cache_config(TomlFile('[cache]\nshare = "world"', "langroute.toml").root)
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: langroute.toml, line 2: cache.share: 'world' is none of user, team, everyone.
    """
    given = root.take("cache", bool, str, dict)
    if given is None or given is False:
        return None
    if not isinstance(given, dict):
        return CacheConfig() if given is True else CacheConfig(given)
    table = root.table("cache")
    share = _one_of(table, "share", SHARES) or "user"
    arguments: dict[str, Any] = {
        "namespace": table.take("namespace", str),
        "isolate": table.words("isolate") or None,
        "scope": _one_of(table, "scope", ("route", "tier")),
        "single_flight": table.take("single_flight", bool),
        "lease_seconds": table.positive("lease_seconds"),
        "wait_seconds": table.positive("wait_seconds"),
    }
    policy: dict[str, Any] = {
        "ttl": _ttl(table.table("ttl")) or None,
        "default_ttl": _from_zero(table, "default_ttl"),
        "max_temperature": _from_zero(table, "max_temperature"),
        "replay_tools": table.words("replay_tools") or None,
        "max_bytes": table.positive("max_bytes", int),
        "min_score": _from_zero(table, "min_score"),
    }
    config = CacheConfig(
        table.take("store", str, default=MEMORY),
        share,
        table.take("secret_env", str),
        table.take("encrypt", bool, default=False),
        {name: value for name, value in arguments.items() if value is not None},
        {name: value for name, value in policy.items() if value is not None},
        ("cache", "store") if "store" in table else ("cache",),
    )
    table.end()
    _check_secret(table, config)
    return config


def _check_secret(table: TomlTable, config: CacheConfig) -> None:
    if config.encrypt and config.secret_env is None:
        raise table.error("encrypt", "encryption needs a secret: name the environment variable that holds it with secret_env.")
    if config.secret_env is not None and config.store == MEMORY:
        raise table.error("secret_env", "answers in memory are not sealed: give store, or leave this out.")


def _one_of(table: TomlTable, key: str, known: tuple[str, ...]) -> str | None:
    said: str | None = table.take(key, str)
    if said is not None and said not in known:
        raise table.error(key, f"{said!r} is none of {', '.join(known)}.")
    return said


def _from_zero(table: TomlTable, key: str) -> Any:
    value = table.take(key, float)
    if value is not None and not 0 <= value < float("inf"):
        raise table.error(key, f"this is a number from 0 up, not {value!r}.")
    return value


def _ttl(table: TomlTable) -> dict[str, float]:
    return {kind: float(_from_zero(table, kind)) for kind in table.values}


def open_cache(file: TomlFile, config: CacheConfig | None, environment: Mapping[str, str]) -> Any:
    """Return the response cache of a file; `None` where there is none.

    Args:
        file: The file, for errors.
        config: What it says.
        environment: Environment variables, which hold the secret.

    Raises:
        ConfigurationError: It cannot be opened, or its secret is not set. The error names the line.
    """
    if config is None:
        return None
    from langroute.cache.policy import CachePolicy
    from langroute.cache.response import ResponseCache

    try:
        store = _store(file, config, environment)
    except MissingExtraError:
        raise
    except (LangrouteError, OSError) as error:
        if str(error).startswith(file.name):
            raise
        raise file.error(config.where, str(error)) from error
    try:
        return ResponseCache(store, policy=CachePolicy(**config.policy), **config.arguments)
    except (TypeError, ValueError) as error:
        raise file.error(("cache",), str(error)) from error


def _store(file: TomlFile, config: CacheConfig, environment: Mapping[str, str]) -> Any:
    from langroute.cache.codec import Codec
    from langroute.cache.stores import open_store

    if config.secret_env is None:
        return open_store(config.store)
    secret = environment.get(config.secret_env, "").strip()
    if not secret:
        raise file.error(("cache", "secret_env"), f"the environment variable {config.secret_env} is not set.")
    return open_store(config.store, codec=Codec(secret=secret, encrypt=config.encrypt))


__all__ = ["MEMORY", "SHARES", "CacheConfig", "cache_config", "open_cache"]
