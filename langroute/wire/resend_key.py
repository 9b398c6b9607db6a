"""The key by which a resend is known: the history up to what a person or a tool last said.

A client that sends a step again after its answer broke off may add what it heard of it (Codex: reasoning; Claude Code: blocks that were whole), and
a word of its own in a tag, such as "<system-reminder>Your response above was cut off mid-stream. Resume …</system-reminder>". Neither begins a step.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from langchain_core.messages import SystemMessage

from langroute.wire.cache_marks import without_marks
from langroute.wire.spans import Span, encoded, value_of

if TYPE_CHECKING:
    from langroute.wire.request import WireRequest

MOST_ADDED = 50
"""Entries at the end of a history of which it is asked who said them."""


def resend_key_of(request: WireRequest) -> str:
    """Return the key of a request's step.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> asked = b'{"role":"user","content":"Fix it."}'
        >>> added = b',{"role":"assistant","content":"I w"},{"role":"user","content":"<system-reminder>Go on.</system-reminder>"}'
        >>> bodies = (b'{"model":"m","messages":[%s%s]}' % (asked, more) for more in (b"", added, b',{"role":"user","content":"Stop."}'))
        >>> first, again, other = (resend_key_of(PROTOCOLS["messages"].read_request(body, {"x-session-id": "s"})) for body in bodies)
        >>> first == again, first == other
        (True, False)
    """
    digest = blake2b(request.thread.encode("utf-8", "replace"), digest_size=16)
    protocol = request.protocol
    for name in protocol.history_fields:
        digest.update(b"\0")
        last = _last_said(request, name) if name == protocol.entries_field else None
        if last is None:
            digest.update(without_marks(request.raw(name)))
        else:
            place, said = last
            digest.update(without_marks(request.body[request.fields[name].value : place.start]) + b"\0" + said)
    return digest.hexdigest()


def _last_said(request: WireRequest, name: str) -> tuple[Span, bytes] | None:
    """Return the last entry in which a person or a tool says something, and what; `None` where the last entries have none."""
    for place in reversed(request.parts(name)[-MOST_ADDED:]):
        raw = without_marks(request.body[place.start : place.stop])
        entry = value_of(raw, 0, len(raw))
        if request.protocol.is_answer(entry):
            continue
        messages = request.protocol.entry(entry)
        said = [one for one in messages if not isinstance(one, SystemMessage)]
        if said:
            return place, encoded([_told(one) for one in said])
        if not messages:
            # Who says what nobody here understands is unknown.
            return None
    return None


def _told(message: Any) -> list[Any]:
    return [message.type, message.content, getattr(message, "tool_call_id", None)]


__all__ = ["resend_key_of"]
