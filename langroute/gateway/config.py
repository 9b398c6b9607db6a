"""The gateway's tables of a `langroute.toml`: `[serve]`, `[clients]` and `[models]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.toml_file import TomlFile, TomlTable
from langroute.engine.config_file import GATEWAY_TABLES, RouterConfig, budget_arguments, router_config

PORT = 8900
AUTO = "langroute/auto"
PREFIX = "langroute/"
OTHERS = "*"
"""Key of the alias table for names that are no route, policy or other alias."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


@fast_dataclass
class ServeConfig:
    """How the gateway listens, and its limits."""

    host: str = "127.0.0.1"
    port: int = PORT
    workers: int = 1
    hosts: tuple[str, ...] = ()
    """Further values of the `Host` header that are accepted."""

    auth: bool = True
    """Whether a client needs a token."""

    tls_cert: str | None = None
    tls_key: str | None = None
    body_limit_mb: int = 64
    most_connections: int = 1000
    header_seconds: float = 10.0
    """How long a client may take to send its headers."""

    body_seconds: float = 60.0
    """Longest pause within a body."""

    send_seconds: float = 60.0
    """How long a client may take nothing of its answer."""

    idle_seconds: float = 75.0
    """How long a connection without a request stays open."""

    ping_seconds: float = 15.0
    resend_seconds: float = 15.0
    """How long a step whose stream broke waits for the client to send it again."""

    drain_seconds: float = 60.0
    """How long running answers may take after a SIGTERM."""


@fast_dataclass
class ClientConfig:
    """Who may call, and whose calls they are."""

    name: str
    token_sha256: str
    user: str | None = None
    team: str | None = None
    project: str | None = None
    budget: Mapping[str, Any] | None = None


@fast_dataclass
class GatewayConfig:
    """A whole `langroute.toml`."""

    router: RouterConfig
    serve: ServeConfig = ServeConfig()
    clients: tuple[ClientConfig, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    """Name that a client asks for → what it gets: `langroute/auto`, `langroute/POLICY` or a route."""


def read_gateway_config(path: str | Path) -> GatewayConfig:
    """Read a file.

    Raises:
        ConfigurationError: Something is missing, misspelled or of the wrong type. The error names the line.
    """
    return gateway_config(TomlFile.read(path))


def gateway_config(file: TomlFile) -> GatewayConfig:
    r"""Return what a file says about a gateway.

    Args:
        file: The file.

    Raises:
        ConfigurationError: Something is missing, misspelled or of the wrong type.

    Example:
        >>> text = '[routes.small]\nprovider = "openai"\nmodel = "gpt-5-mini"\n[serve]\nport = 9000'
        >>> gateway_config(TomlFile(text, "langroute.toml")).serve.port
        9000
        >>> gateway_config(TomlFile(text + '\nhost = "0.0.0.0"\nauth = false', "langroute.toml"))
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: langroute.toml, line 7: serve.auth: without tokens the gateway listens on loopback only.
    """
    router = router_config(file)
    root = file.root
    for key in root.values:
        if key not in GATEWAY_TABLES:
            root.take(key)
    clients = tuple(_client(name, table) for name, table in root.table("clients").entries())
    digests = {client.token_sha256 for client in clients}
    if len(digests) < len(clients):
        raise root.error("clients", "two clients have the same token.")
    models = root.table("models")
    aliases = {name: _alias(models, name) for name in models.values}
    _check_aliases(models, aliases, {route.name for route in router.routes})
    config = GatewayConfig(router, _serve(root.table("serve")), clients, aliases)
    check_serve(config)
    return config


def _serve(table: TomlTable) -> ServeConfig:
    given: dict[str, Any] = {}
    for name in ("host", "tls_cert", "tls_key"):
        given[name] = table.take(name, str)
    given["auth"] = table.take("auth", bool)
    given["port"] = table.take("port", int)
    given["hosts"] = table.words("hosts") or None
    for name in ("workers", "body_limit_mb", "most_connections"):
        given[name] = table.positive(name, int)
    for name in (
        "header_seconds",
        "body_seconds",
        "send_seconds",
        "idle_seconds",
        "ping_seconds",
        "resend_seconds",
        "drain_seconds",
    ):
        given[name] = table.positive(name)
    table.end()
    serve = replace(ServeConfig(), **{name: value for name, value in given.items() if value is not None})
    if (serve.tls_cert is None) != (serve.tls_key is None):
        raise table.error("tls_cert" if serve.tls_key is None else "tls_key", "give tls_cert and tls_key together.")
    for host in serve.hosts:
        if _HOST.fullmatch(host) is None:
            raise table.error("hosts", f"{host!r} is no value of a Host header, such as 'gateway.example:8900'.")
    return serve


def check_serve(config: GatewayConfig) -> None:
    """Raise where the gateway would listen or count in a way that is not safe, whether the file says so or the command's options.

    Raises:
        ConfigurationError: It would. The error names the line.
    """
    serve, router = config.serve, config.router

    def error(key: str, what: str) -> ConfigurationError:
        return router.file.error(("serve", key), what)

    if not serve.host.strip():
        raise error("host", "this is empty. Leave it out for loopback, or write '0.0.0.0' for every address of the machine.")
    if not 0 <= serve.port < 65536:
        raise error("port", "this is a TCP port.")
    if not serve.auth and not is_loopback(serve.host):
        raise error("auth", "without tokens the gateway listens on loopback only.")
    budgets = router.budgets or any(client.budget for client in config.clients)
    if serve.workers > 1 and budgets and router.budget_store is None:
        raise error("workers", "several workers count budgets in one place: name it with budget_store.")


def _client(name: str, table: TomlTable) -> ClientConfig:
    if "token" in table:
        raise table.error(
            "token", "a token does not stand in this file. `langroute serve --new-token NAME` shows one and its token_sha256."
        )
    digest = table.need("token_sha256", str)
    if _DIGEST.fullmatch(digest) is None:
        raise table.error("token_sha256", "this is a SHA-256 in 64 hexadecimal digits.")
    budget = table.take("budget", dict)
    if budget is not None:
        if "per" in budget:
            raise table.error("budget", "this is the client's own: leave out per.")
        budget_arguments(table.table("budget"))
    client = ClientConfig(name, digest, table.take("user", str), table.take("team", str), table.take("project", str), budget)
    table.end()
    return client


def _alias(table: TomlTable, name: str) -> str:
    if isinstance(table.values[name], dict):
        raise table.error(name, f'a name with a dot stands in quotes, such as "{name}.1" = "langroute/auto".')
    target: str = table.take(name, str)
    return target


def _check_aliases(table: TomlTable, aliases: Mapping[str, str], routes: set[str]) -> None:
    from langroute.policies.default import NAMED

    for name, target in aliases.items():
        bare = target.removeprefix(PREFIX)
        if bare in routes or (target.startswith(PREFIX) and bare in ("auto", *NAMED)):
            continue
        known = ", ".join([AUTO, *(PREFIX + policy for policy in NAMED), *sorted(routes)])
        raise table.error(name, f"{target!r} is no route or policy. There are {known}.")


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine alone.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("localhost")
        (True, True, False, True)
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def checked_files(serve: ServeConfig) -> None:
    """Raise where a file of the certificate cannot be read.

    Raises:
        ConfigurationError: It cannot.
    """
    for path in (serve.tls_cert, serve.tls_key):
        if path is None:
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


__all__ = [
    "AUTO",
    "OTHERS",
    "PORT",
    "PREFIX",
    "ClientConfig",
    "GatewayConfig",
    "ServeConfig",
    "check_serve",
    "checked_files",
    "gateway_config",
    "is_loopback",
    "read_gateway_config",
]
