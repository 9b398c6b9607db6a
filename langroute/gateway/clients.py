"""Clients of a gateway: who may call, by tokens of which only hashes are kept."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.gateway.config import ClientConfig

TOKEN_PREFIX = "lr-"  # noqa: S105 - by which a leaked one is recognised


def new_token() -> str:
    """Return a new random token.

    Example:
        >>> new_token()[:3], len(new_token())
        ('lr-', 46)
    """
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """Return what is kept of a token. A random token needs no salt and no slow hash.

    Example:
        >>> token_digest("lr-test")[:8]
        '5a88299b'
    """
    return sha256(token.encode("utf-8", "replace")).hexdigest()


@fast_dataclass
class Caller:
    """Whose call a request is."""

    name: str | None = None
    user: str | None = None
    team: str | None = None
    project: str | None = None
    budget: Mapping[str, Any] | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The labels of the caller's calls."""
        said = {"client": self.name, "user": self.user, "team": self.team, "project": self.project}
        return {f"langroute_{name}": value for name, value in said.items() if value}


NOBODY = Caller()
"""Who calls where no token is asked for."""


class Callers:
    """The clients that may call.

    Args:
        clients: The clients of a file.
        digest: Hash of the token of the machine's own user.
        open: Nobody needs a token.

    Example:
        >>> callers = Callers([], digest=token_digest("lr-test"))
        >>> callers.of("lr-test") is NOBODY, callers.of("lr-other") is None
        (True, True)
    """

    def __init__(self, clients: Sequence[ClientConfig], *, digest: str | None = None, open: bool = False) -> None:
        self._by_digest = {
            one.token_sha256: Caller(
                one.name,
                one.user or one.name,
                one.team,
                one.project,
                None if one.budget is None else {"name": f"of the client {one.name}", "per": "tag:client", **one.budget},
            )
            for one in clients
        }
        if digest is not None:
            self._by_digest.setdefault(digest, NOBODY)
        self._open = open

    def of(self, token: str) -> Caller | None:
        """Return whose token it is; `None` where nobody's."""
        # Hashes are compared, which an attacker cannot choose, so the time that it takes says nothing.
        found = self._by_digest.get(token_digest(token)) if token else None
        return found or (NOBODY if self._open else None)


__all__ = ["NOBODY", "Caller", "Callers", "new_token", "token_digest"]
