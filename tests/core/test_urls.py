"""Passwords in URLs are never shown: neither in errors and their causes nor in warnings, however the URL is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langroute import Budget, ChatRouter
from langroute.budgets.redis import RedisBudgets
from langroute.budgets.sqlite import SqliteBudgets
from langroute.cache import ResponseCache
from langroute.cli.ledgers import open_existing
from langroute.core.errors import LangrouteError
from langroute.core.urls import shown_url, without_secrets
from langroute.ledger import open_ledger
from langroute.ledger.connection import url_of
from langroute.testing import ScriptedModel

SECRET = "s3cr3tpw"


def ledger(url: str) -> None:
    open_ledger(url).close()


def command(url: str) -> None:
    with open_existing(url):
        pass


def budgets(url: str) -> None:
    RedisBudgets(url, timeout_seconds=0.2).balances(["x"])


def file_budgets(url: str) -> None:
    SqliteBudgets(url)


def cache(url: str) -> None:
    ChatRouter({"a": ScriptedModel("x")}, response_cache=ResponseCache(url)).invoke("What is the capital of France?")


def spend(url: str) -> None:
    ChatRouter({"a": ScriptedModel("x")}, budget=Budget(tokens=10_000, store=RedisBudgets(url, timeout_seconds=0.2))).invoke("Hi.")


POSTGRES = [
    f"postgresql://me:{SECRET}@127.0.0.1:1/db?connect_timeout=1",
    f"postgresql://me@127.0.0.1:1/db?password={SECRET}&connect_timeout=1",
    f"postgresql://me@127.0.0.1:1/db?sslpassword={SECRET}&connect_timeout=1",
    f"postgresql://me:%73{SECRET[1:]}@127.0.0.1:1/db?connect_timeout=1",
    f"postgresql://me:{SECRET}@/db?host=/nowhere&connect_timeout=1",
    f"postgresql://me@127.0.0.1:{SECRET}/db",
    f"postgresql://me:{SECRET}@127.0.0.1:port/db",
    f"postgresql+nosuch://me:{SECRET}@127.0.0.1/db",
    f"mysql://me:{SECRET}@127.0.0.1/db",
]
MALFORMED = [
    f"postgresql//me:{SECRET}@db/langroute://",
    f"postgresql//me:{SECRET}@db/langroute",
    f"postgresql:/me:{SECRET}@db/langroute",
    f"me:{SECRET}@db/langroute",
    f"host=db user=me password={SECRET}",
    f"host=db user=me password = '{SECRET}' ://",
]
REDIS = [
    f"redis://:{SECRET}@127.0.0.1:1/0",
    f"redis://{SECRET}@127.0.0.1:1/0",
    f"rediss://me:{SECRET}@127.0.0.1:1/0",
    f"redis://127.0.0.1:1/0?password={SECRET}",
    f"unix://:{SECRET}@/nowhere/redis.sock",
    f"unix:///nowhere/redis.sock?password={SECRET}",
    f"redis://:{SECRET}/{SECRET}@127.0.0.1:1/0",
    f"redis://:{SECRET}#x@127.0.0.1:1/0",
    f"redis://:x@{SECRET}@127.0.0.1:1/0",
    f"redis://127.0.0.1:{SECRET}@/0",
    f"redis://127.0.0.1:1/0?nosuch={SECRET}",
    f"redis://127.0.0.1:1/0?socket_timeout={SECRET}",
    f"redis+cluster://me:{SECRET}@127.0.0.1:1,127.0.0.1:2/0",
    f"redis+cluster://{SECRET}@127.0.0.1:1?nosuch={SECRET}",
    f"rediss+cluster://me:{SECRET}@127.0.0.1:1?ssl_ca_certs={SECRET}",
    f"redis+sentinel://me:{SECRET}@127.0.0.1:1,127.0.0.1:2/orders?sentinel_password={SECRET}",
    f"redis+sentinel://me:{SECRET}@127.0.0.1:1",
    f"redos://:{SECRET}@127.0.0.1:1/0",
]
WAYS = [
    *((way, url) for way in (ledger, command) for url in (*POSTGRES, *MALFORMED)),
    *((way, url) for way in (cache, budgets, spend) for url in REDIS),
    *((way, url) for way in (cache, file_budgets) for url in MALFORMED),
]


@pytest.mark.parametrize("way, url", WAYS, ids=[f"{way.__name__}-{number}" for number, (way, _) in enumerate(WAYS)])
def test_no_password_is_in_what_is_said(
    way: Callable[[str], Any], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the error, nor in what it came from, nor in a warning; and no file or folder is named like it."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    kinds: list[type] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            way(url)
        except BaseException as error:
            kinds.append(type(error))
            chain: BaseException | None = error
            while chain is not None:
                said += [str(chain), repr(chain)]
                chain = chain.__cause__ or chain.__context__
    said += [str(one.message) for one in caught]

    assert said, "something is said"
    assert all(issubclass(kind, LangrouteError) for kind in kinds), kinds
    assert [text for text in said if SECRET in text or SECRET[1:] in text] == []
    assert [path for path in tmp_path.rglob("*") if SECRET in path.name] == []


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://me:pw@db:5432/x?sslmode=require", "postgresql://me:***@db:5432/x?sslmode=require"),
        ("postgresql+psycopg://me@[::1]/x", "postgresql+psycopg://me@[::1]/x"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("/var/lib/team@corp/x.db", "/var/lib/team@corp/x.db"),
        (r"C:\data\ledger.db", r"C:\data\ledger.db"),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


PART = st.text(alphabet=st.characters(codec="utf-8"), max_size=10)


@given(
    before=PART,
    after=PART,
    scheme=st.sampled_from(["postgresql", "redis", "unix", "x"]),
    mark=st.sampled_from(["://", "//", ":/", ":"]),
)
def test_whatever_stands_around_a_password_it_is_not_shown(before: str, after: str, scheme: str, mark: str) -> None:
    for url in (f"{scheme}{mark}me:{before}{SECRET}{after}@host/x", f"{scheme}{mark}host/x?password={SECRET}{after}"):
        assert SECRET not in shown_url(url)


def test_what_is_said_by_others_is_cleaned_in_every_form() -> None:
    url = "redis://:p%40ss+w@h/0"
    assert without_secrets(f"bad {url}: p%40ss+w, p@ss+w, p@ss w", url) == "bad redis://:***@h/0: ***, ***, ***"


def test_a_password_in_the_query_is_moved_to_where_it_is_hidden() -> None:
    """SQLAlchemy shows a query as it is."""
    url = url_of(f"postgresql://me@db/x?password={SECRET}")
    assert url.password == SECRET
    assert SECRET not in repr(url)


def test_a_path_with_odd_signs_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "team@corp"
    folder.mkdir()
    open_ledger(folder / "ledger.db").close()
    assert (folder / "ledger.db").exists()
