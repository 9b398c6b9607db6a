"""Addresses of Redis and Valkey: which URLs name a server, a cluster or a set of sentinels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from langroute.core.errors import ConfigurationError
from langroute.core.urls import malformed_url, shown_url

_PLAIN = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_KINDS = ("cluster", "sentinel")
SCHEMES = ("unix", *_PLAIN, *(f"{scheme}+{kind}" for scheme in _PLAIN for kind in _KINDS))
"""Schemes that name a server; an `s` at the end of the first word means TLS."""

_PORTS = {"cluster": 6379, "sentinel": 26379}
_SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}


def is_redis_url(where: object) -> bool:
    """Return whether an address is one of Redis or Valkey.

    Example:
        >>> is_redis_url("rediss+cluster://a,b"), is_redis_url("postgresql://db/x"), is_redis_url(None)
        (True, False, False)
    """
    scheme, mark, _ = where.partition("://") if isinstance(where, str) else ("", "", "")
    return bool(mark) and scheme in SCHEMES


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL names."""

    url: str = field(repr=False)
    """URL of the first host as the `redis` package takes it, with user, password, database and options."""

    kind: str = "server"
    """`server`, `cluster` or `sentinel`."""

    hosts: tuple[tuple[str, int], ...] = ()
    """The nodes of a cluster, or the sentinels, that are asked for the others."""

    service: str = ""
    """The name under which sentinels know the server."""

    sentinel_login: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """User and password at the sentinels themselves."""


def parse_redis_url(url: str) -> RedisAddress:
    """Return what a URL names.

    Args:
        url: `redis://host:6379/0`, `unix:///path`, `redis+cluster://host1:6379,host2:6379`, or
            `redis+sentinel://host1:26379,host2:26379/service/0`; `valkey` for `redis` means the same, and `rediss`, `valkeys` mean TLS.

    Raises:
        ConfigurationError: It is malformed, or names something that a cluster or a sentinel does not have.

    Example:
        >>> address = parse_redis_url("valkeys+sentinel://me:pw@a,b:27000/orders/2?sentinel_password=x")
        >>> address.kind, address.hosts, address.service, address.url
        ('sentinel', (('a', 26379), ('b', 27000)), 'orders', 'rediss://me:pw@a:26379/2')
    """
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in SCHEMES:
        return RedisAddress(url)
    plain, _, kind = scheme.partition("+")
    if not kind:
        return RedisAddress(f"{_PLAIN.get(plain, plain)}://{rest}")
    if malformed_url(url):
        raise _wrong(url, "is no URL: in a password, @ is written %40, / is %2F and : is %3A")
    rest, _, query = rest.partition("?")
    netloc, _, path = rest.partition("/")
    login, at, listed = netloc.rpartition("@")
    hosts = tuple(_host(url, host, _PORTS[kind]) for host in listed.split(","))
    service, database = _path(url, kind, [unquote(part) for part in path.split("/") if part])
    options = parse_qsl(query, keep_blank_values=True)
    first, port = hosts[0]
    kept = urlencode([one for one in options if one[0] not in _SENTINEL_OPTIONS])
    shown = f"[{first}]" if ":" in first else first
    base = f"{_PLAIN[plain]}://{login}{at}{shown}:{port}/{database}{'?' if kept else ''}{kept}"
    sentinel_login = {_SENTINEL_OPTIONS[name]: value for name, value in options if name in _SENTINEL_OPTIONS}
    return RedisAddress(base, kind, hosts, service, sentinel_login)


def _path(url: str, kind: str, parts: list[str]) -> tuple[str, str]:
    """Return the service and the database that a path names."""
    if kind == "cluster":
        if parts not in ([], ["0"]):
            raise _wrong(url, "names a database; a cluster has database 0 alone")
        return "", "0"
    if not parts or len(parts) > 2 or not (len(parts) == 1 or parts[1].isdecimal()):
        raise _wrong(url, "names no service: redis+sentinel://host1,host2/SERVICE/0")
    return parts[0], parts[1] if len(parts) == 2 else "0"


def _host(url: str, text: str, port: int) -> tuple[str, int]:
    host, colon, given = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    host, given = (host, given) if colon else (text, "")
    if not host or not (given or "0").isdecimal():
        raise _wrong(url, "names a host without a name, or a port that is no number")
    return host.strip("[]"), int(given) if given else port


def _wrong(url: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"{shown_url(url)} {what}.")


__all__ = ["SCHEMES", "RedisAddress", "is_redis_url", "parse_redis_url"]
