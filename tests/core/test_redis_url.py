"""One place says which addresses are Redis' or Valkey's, and what they name."""

from __future__ import annotations

import pytest

from langroute.budgets.redis import RedisBudgets
from langroute.cache.stores import open_store
from langroute.cache.stores.redis import RedisStore
from langroute.core.errors import ConfigurationError
from langroute.core.redis_client import connection_options, redis_client
from langroute.core.redis_url import SCHEMES, is_redis_url, parse_redis_url
from langroute.core.urls import shown_url
from langroute.state.redis import RedisState
from langroute.state.resolve import open_state

SECRET = "s3cr3tpw"


@pytest.mark.parametrize(
    "url, kind, hosts, service, plain",
    [
        ("redis://h:1/2", "server", (), "", "redis://h:1/2"),
        ("valkeys://me:pw@h/0?ssl_ca_certs=ca.pem", "server", (), "", "rediss://me:pw@h/0?ssl_ca_certs=ca.pem"),
        ("unix:///run/redis.sock?db=1", "server", (), "", "unix:///run/redis.sock?db=1"),
        ("redis+cluster://a", "cluster", (("a", 6379),), "", "redis://a:6379/0"),
        ("valkey+cluster://a:7000,b,[::1]:7002/0", "cluster", (("a", 7000), ("b", 6379), ("::1", 7002)), "", "redis://a:7000/0"),
        ("rediss+cluster://me:p%40w@[::1],b?protocol=3", "cluster", (("::1", 6379), ("b", 6379)), "", "rediss://me:p%40w@[::1]:6379/0?protocol=3"),
        ("redis+sentinel://a,b:27000/orders", "sentinel", (("a", 26379), ("b", 27000)), "orders", "redis://a:26379/0"),
        ("valkeys+sentinel://:pw@a/my%20set/3?sentinel_password=q", "sentinel", (("a", 26379),), "my set", "rediss://:pw@a:26379/3"),
    ],
)  # fmt: skip
def test_a_url_names_a_server_a_cluster_or_sentinels(url: str, kind: str, hosts: object, service: str, plain: str) -> None:
    found = parse_redis_url(url)

    assert (found.kind, found.hosts, found.service, found.url) == (kind, hosts, service, plain)
    assert is_redis_url(url)


def test_sentinels_have_a_login_of_their_own() -> None:
    found = parse_redis_url("redis+sentinel://me:pw@a/orders?sentinel_username=s&sentinel_password=x%2Fy&protocol=3")

    assert found.sentinel_login == {"username": "s", "password": "x/y"}
    assert connection_options(found.url, timeout_seconds=1)["password"] == "pw"
    assert str(connection_options(found.url, timeout_seconds=1)["protocol"]) == "3"
    assert "pw" not in repr(found)
    assert "x/y" not in repr(found)


@pytest.mark.parametrize(
    "url, said",
    [
        (f"redis+cluster://me:{SECRET}@a,b/3", "database 0 alone"),
        (f"redis+sentinel://me:{SECRET}@a,b", "names no service"),
        (f"redis+sentinel://me:{SECRET}@a/orders/zero", "names no service"),
        (f"redis+cluster://me:{SECRET}@a,,b", "without a name"),
        (f"redis+cluster://me:{SECRET}@{SECRET}@a", "is no URL"),
        (f"redis+cluster://me:{SECRET}/{SECRET}@a", "is no URL"),
        ("redis+cluster://a:port", "no number"),
    ],
)
def test_what_it_cannot_name_is_said_without_the_password(url: str, said: str) -> None:
    for make in (open_store, RedisBudgets, open_state):
        with pytest.raises(ConfigurationError, match=said) as caught:
            make(url)
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None


def test_every_scheme_opens_every_store_before_a_server_is_there() -> None:
    """Nothing connects before its first use: a worker starts while its Redis does not."""
    for scheme in SCHEMES:
        url = "unix:///nowhere.sock" if scheme == "unix" else f"{scheme}://127.0.0.1:1{'/orders' if 'sentinel' in scheme else ''}"
        assert isinstance(open_store(url), RedisStore)
        assert isinstance(open_state(url), RedisState)
        assert RedisBudgets(url).local is False
        assert redis_client(redis_client(url, 1, "This"), 1, "This") is not None


def test_a_prefix_that_would_be_spread_over_nodes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="braces"):
        RedisBudgets("redis+cluster://127.0.0.1:1", prefix="shop")
    RedisBudgets("redis://127.0.0.1:1", prefix="shop")


def test_hosts_are_shown_and_logins_are_not() -> None:
    assert shown_url("rediss+cluster://me:pw@a:1,b:2,[::1]:3/0") == "rediss+cluster://me:***@a:1,b:2,[::1]:3/0"
    assert (
        shown_url("redis+sentinel://pw@a,b:2/orders/0?sentinel_password=x")
        == "redis+sentinel://***@a,b:2/orders/0?sentinel_password=***"
    )
