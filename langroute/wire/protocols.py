"""The wire protocols by their name and by the path of their requests."""

from __future__ import annotations

from collections.abc import Mapping

from langroute.wire.chat import CHAT
from langroute.wire.gemini import GEMINI
from langroute.wire.messages import MESSAGES
from langroute.wire.protocol import WireProtocol
from langroute.wire.responses import RESPONSES

PROTOCOLS: Mapping[str, WireProtocol] = {one.name: one for one in (CHAT, RESPONSES, MESSAGES, GEMINI)}
"""Name → protocol: `chat`, `responses`, `messages`, `gemini`."""


def protocol_at(path: str) -> WireProtocol | None:
    """Return the protocol that is spoken at a path, with `/v1` or without it; `None` where none is.

    Example:
        >>> protocol_at("/v1/messages").name, protocol_at("/chat/completions").name, protocol_at("/v1/embeddings")
        ('messages', 'chat', None)
    """
    short = path.rstrip("/").removeprefix("/v1")
    return next((one for one in PROTOCOLS.values() if one.path.removeprefix("/v1") == short), None)


__all__ = ["PROTOCOLS", "protocol_at"]
