"""Headers of a request that go on to the provider, and those of an answer that go back to the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "trailers",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Headers between two neighbours: RFC 9110, section 7.6.1."""

CREDENTIALS = frozenset(
    {
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "x-goog-user-project",
        "cookie",
        "openai-organization",
        "openai-project",
    }
)
"""Headers that say who pays; the client's are for the gateway, never for the provider."""

ABOUT_THE_CLIENT = frozenset(
    {"host", "content-length", "content-encoding", "accept-encoding", "expect", "origin", "referer", "forwarded", "via"}
)
"""Headers that were true of the client's own connection, and are written anew."""

_LEFT_OUT = HOP_BY_HOP | CREDENTIALS | ABOUT_THE_CLIENT

_OF_ONE_ANSWER = HOP_BY_HOP | {
    "content-length",
    "content-encoding",
    "set-cookie",
    "server",
    "date",
    "alt-svc",
    "strict-transport-security",
}

_OURS = "x-langroute-"
"""What a client tells the gateway, and the gateway a client. A provider neither hears it nor says it."""

_NEVER_BACK = ("access-control-", _OURS)
"""What a provider permits web pages, as the gateway permits them nothing; and what only the gateway says."""

_FORWARDED = ("x-forwarded-", "x-real-ip", "cf-", "sec-", _OURS)


def forward_headers(
    headers: Mapping[str, str] | Iterable[tuple[str, str]], credentials: Mapping[str, str], *, drop: Iterable[str] = ()
) -> dict[str, str]:
    """Return the headers of a request as the provider gets them.

    Hop-by-hop headers, the client's credentials and what is true of its connection alone are left out; all others are kept, betas and
    session ids among them.

    Args:
        headers: The client's headers.
        credentials: The provider's own, such as `{"x-api-key": ...}`; they replace what else has their names.
        drop: Names of further headers to leave out, in lower case.

    Example:
        >>> forward_headers({"X-Api-Key": "mine", "anthropic-beta": "a", "Connection": "x-once", "X-Once": "1"}, {"x-api-key": "theirs"})
        {'anthropic-beta': 'a', 'x-api-key': 'theirs'}
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    named = {word.strip().lower() for name, value in pairs if name.lower() == "connection" for word in value.split(",")}
    more = named.union(drop)
    kept: dict[str, str] = {}
    for name, value in pairs:
        low = name.lower()
        if low in _LEFT_OUT or low in more or low.startswith(_FORWARDED) or not _is_plain(value):
            continue
        # Of a header that occurs twice the values are one list: RFC 9110, section 5.3.
        kept[low] = f"{kept[low]}, {value}" if low in kept else value
    return {**kept, **credentials}


def answer_headers(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers of a provider's answer as the client gets them.

    Hop-by-hop headers, lengths, codings, cookies, permissions for web pages and headers that only the gateway writes are left out.

    Example:
        >>> answer_headers({"Retry-After": "2", "Transfer-Encoding": "chunked", "X-Langroute-Route": "theirs"})
        {'retry-after': '2'}
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {
        name.lower(): value
        for name, value in pairs
        if name.lower() not in _OF_ONE_ANSWER and not name.lower().startswith(_NEVER_BACK) and _is_plain(value)
    }


def _is_plain(value: str) -> bool:
    return "\r" not in value and "\n" not in value and "\0" not in value


__all__ = ["answer_headers", "forward_headers"]
