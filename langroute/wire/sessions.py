"""Which conversation and which agent a request belongs to, from the client's headers or from how the conversation begins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from langroute.wire.kept_parts import KEPT_PARTS

if TYPE_CHECKING:
    from langroute.wire.request import WireRequest

MAX_ID = 200
"""Longest id, in characters, that is taken as it stands; a longer one is hashed."""

_ID = re.compile(r"[\x21-\x7e]{1,200}")

SESSION_HEADERS = ("x-claude-code-session-id", "thread-id", "session-id", "session_id", "x-session-id", "x-session-affinity")
"""Headers that name the conversation, in the order in which they count: Claude Code, Codex, opencode."""

AGENT_HEADER = "x-claude-code-agent-id"
PARENT_THREAD_HEADER, CODEX_AGENT_HEADER = "x-codex-parent-thread-id", "x-openai-subagent"
PARENT_AGENT_HEADER = "x-claude-code-parent-agent-id"


class Session(NamedTuple):
    """Which conversation a request belongs to."""

    thread: str
    parent: str | None = None
    agent: str | None = None
    said: bool = False
    """The client said it; otherwise it is a fingerprint."""


def session_of(request: WireRequest) -> Session:
    """Return which conversation a request belongs to."""
    headers = request.headers
    session = next((found for name in SESSION_HEADERS if (found := _id(headers.get(name)))), None)
    if session is None and (key := request.value("prompt_cache_key")) is not None:
        session = _id(key)
    if session is None:
        return Session(_fingerprint(request))
    if (parent := _id(headers.get(PARENT_THREAD_HEADER))) and parent != session:
        return Session(session, parent, _id(headers.get(CODEX_AGENT_HEADER)), said=True)
    agent = _id(headers.get(AGENT_HEADER))
    if agent is not None:
        parent = _id(headers.get(PARENT_AGENT_HEADER))
        return Session(f"{session}/{agent}", f"{session}/{parent}" if parent else session, agent, said=True)
    return Session(session, said=True)


def client_key(headers: Mapping[str, str]) -> str:
    """Return the credential that a client sent; empty where there is none.

    Example:
        >>> client_key({"authorization": "Bearer a"}), client_key({"x-api-key": "b"})
        ('a', 'b')
    """
    said = headers.get("authorization", "")
    scheme, _, token = said.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return headers.get("x-api-key") or headers.get("api-key") or headers.get("x-goog-api-key") or ""


def _fingerprint(request: WireRequest) -> str:
    digest = blake2b(client_key(request.headers).encode("utf-8", "replace"), digest_size=16)
    for part in request.protocol.beginning_of(request):
        digest.update(b"\0" + KEPT_PARTS.digest(part))
    return f"fp_{digest.hexdigest()}"


def _id(value: object) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    if _ID.fullmatch(value):
        return value
    return f"id_{blake2b(value.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


__all__ = ["Session", "client_key", "session_of"]
