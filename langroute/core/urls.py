"""Masking of passwords in URLs and connection strings, malformed ones included."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_plus

from langroute.core.errors import ConfigurationError

_WELL_FORMED = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{0,40})://"
    r"(?:(?P<user>[^:/?#@\s]*)(?P<colon>:(?P<password>[^/?#@\s]*))?@)?"
    r"(?P<host>(?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-%]*)(?::[0-9]{0,5})?)(?:,(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-%]*)(?::[0-9]{0,5})?)*)"
    r"(?P<path>/[^?#@:\s]*)?"
    r"(?:\?(?P<query>[^#\s]*))?"
)
_WORDS = frozenset(("application_name", "host", "hostaddr", "mode", "ssl_cert_reqs", "sslmode", "target_session_attrs", "uri"))
"""Parameters whose values may be shown. Of others only numbers are shown, since anything else may be a secret."""

_NUMBERS = frozenset(("connect_timeout", "db", "port", "protocol", "socket_connect_timeout", "socket_timeout", "timeout"))
_NAMED = re.compile(r"(?:pass|pwd|secret|token)[a-z_]{0,20} ?=", re.IGNORECASE)
WITHHELD = "(not shown: it may hold the password)"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,40}):?//?")
HIDDEN = "***"
MOST = 10_000
"""Longest text, in characters, that is examined as a URL."""


def holds_password(text: str) -> bool:
    """Return whether a text looks like a URL or connection string with a password, perhaps a mistyped one.

    Example:
        >>> holds_password("postgresql//me:pw@db/langroute"), holds_password("host=db password=pw"), holds_password("data/ledger.db")
        (True, True, False)
    """
    return "@" in text[:MOST].partition(":")[2] or _NAMED.search(text[:MOST]) is not None


def shown_url(text: str) -> str:
    """Return a URL without its secrets; of a malformed one, only its beginning.

    Example:
        >>> shown_url("postgresql://me:pw@db:5432/langroute?sslmode=require&sslpassword=x")
        'postgresql://me:***@db:5432/langroute?sslmode=require&sslpassword=***'
        >>> shown_url("postgresql//me:p@w@db/langroute"), shown_url("data/ledger.db")
        ('postgresql://***', 'data/ledger.db')
    """
    text = text[:MOST]
    if "://" not in text and not holds_password(text):
        return text
    if text.startswith("sqlite") and not holds_password(text):
        return text
    found = _WELL_FORMED.fullmatch(text)
    if found is None:
        scheme = _SCHEME.match(text)
        return f"{scheme[1]}://{HIDDEN}" if scheme else HIDDEN
    shown = f"{found['scheme']}://"
    if found["user"] is not None:
        user = HIDDEN if _misplaced(found) else found["user"]
        shown += f"{user}:{HIDDEN}@" if found["colon"] else f"{user}@"
    shown += f"{found['host']}{found['path'] or ''}"
    return shown if found["query"] is None else f"{shown}?{_shown_query(found['query'])}"


def _misplaced(found: re.Match[str]) -> bool:
    """Return whether a lone name before the host may be a password without its colon, as is common with Redis."""
    return not found["colon"] and not found["scheme"].startswith("postgres")


def _shown_query(query: str) -> str:
    parts = []
    for part in query.split("&"):
        name, mark, value = part.partition("=")
        parts.append(part if _may_be_shown(name, value) else f"{name}={HIDDEN}" if mark else HIDDEN)
    return "&".join(parts)


def _may_be_shown(name: str, value: str) -> bool:
    return (name in _WORDS and "@" not in value) or (name in _NUMBERS and value.replace(".", "", 1).isdecimal())


def without_secrets(said: str, url: object) -> str:
    """Return foreign text about a URL, such as an error message, without the URL's secrets.

    Args:
        said: The text, such as an error message.
        url: The URL; a value that is not a text is ignored.

    Example:
        >>> without_secrets("cannot reach me:p%40w of p@w", "redis://me:p%40w@db")
        'cannot reach me:*** of ***'
        >>> without_secrets("bad port 'p'", "redis://me:p/w@db")
        '(not shown: it may hold the password)'
    """
    if not isinstance(url, str) or not ("://" in url or holds_password(url)):
        return said
    found = _WELL_FORMED.fullmatch(url)
    if found is None:
        return said if not holds_password(url) else WITHHELD
    secrets = {found["password"] or "", (found["user"] or "") if _misplaced(found) else ""}
    for part in (found["query"] or "").split("&"):
        name, mark, value = part.partition("=")
        if not _may_be_shown(name, value):
            secrets.add(value if mark else part)
    every = {form for secret in secrets for form in (secret, unquote(secret), unquote_plus(secret)) if form}
    said = said.replace(url, shown_url(url))
    if any(len(secret) < 3 and secret in said for secret in every):
        return WITHHELD
    for secret in sorted(every, key=len, reverse=True):
        said = said.replace(secret, HIDDEN)
    return said


def malformed_url(url: object) -> bool:
    """Return whether a text with a password is no URL.

    Example:
        >>> malformed_url("redis://me:p@w@db"), malformed_url("redis+cluster://me:pw@a:1,b:2"), malformed_url("data/ledger.db")
        (True, False, False)
    """
    return isinstance(url, str) and holds_password(url) and _WELL_FORMED.fullmatch(url) is None


def sqlite_file(where: str) -> str | None:
    """Return the file that a path or a SQLite URL names; `None` for a URL of something else.

    Raises:
        ConfigurationError: The URL names no file, or has options.

    Example:
        >>> sqlite_file("b.db"), sqlite_file("sqlite:///my%20b.db"), sqlite_file("redis://localhost")
        ('b.db', 'my b.db', None)
    """
    scheme, mark, rest = where.partition("://")
    if not mark:
        return where
    if scheme != "sqlite":
        return None
    path = unquote(rest.removeprefix("/"))
    if "?" in rest or path in ("", ":memory:"):
        raise ConfigurationError(f"{shown_url(where)} names no file alone. Write sqlite:///file.db.")
    return path


def opened(make: Callable[..., Any], url: Any, **options: Any) -> Any:
    """Return a client that another package makes from a URL.

    Raises:
        ConfigurationError: The URL is malformed. The original error is not chained, because it may quote the password.

    Example:
        >>> opened(int, "redis://me:p@w@db")
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: redis://*** is no URL: in a password, @ is written %40, / is %2F and : is %3A.
    """
    if not malformed_url(url):
        try:
            return make(url, **options)
        except (ValueError, TypeError, AttributeError):
            pass
    raise ConfigurationError(f"{shown_url(str(url))} is no URL: in a password, @ is written %40, / is %2F and : is %3A.")
