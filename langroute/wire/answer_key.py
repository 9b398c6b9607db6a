"""What in a request can change its answer, as a digest: two requests of the same digest ask the same.

Left out is what differs from run to run and is no part of what is asked: marks of the prompt cache, ids of tool calls (they are told by their
place), ids of accounts and sessions, billing lines that a client writes into its prompt. Each is left out in its known form alone: where answers
are shared, nobody can hide a text there that the model reads and the digest does not.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, TypeGuard

from langroute.wire.request import WireRequest
from langroute.wire.spans import encoded, value_of

MOST_BYTES = 4 * 2**20
"""Longest request, in bytes, that is compared."""

NOISE = frozenset(
    {"metadata", "user", "safety_identifier", "client_metadata", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
)
"""Fields of a request that say whose it is, or how it is billed; no model reads them."""

ELSEWHERE = ("previous_response_id", "conversation", "background", "prompt", "container", "web_search_options", "cachedContent")
"""Fields by which the answer depends on what is kept or found elsewhere."""

_MARKS = re.compile(
    rb',"cache_control":\{"type":"ephemeral"(?:,"(?:ttl|scope)":"[a-z0-9]{1,12}")*\}'
    rb'|(?<=\{)"cache_control":\{"type":"ephemeral"(?:,"(?:ttl|scope)":"[a-z0-9]{1,12}")*\},?'
)
_BILLING = re.compile(
    r"x-anthropic-billing-header:"
    r"(?: cc_version=[0-9.]{1,20}(?:[a-z][0-9a-z]{0,8})?;| cc_entrypoint=[a-z-]{1,20};| cc_is_subagent=true;| cch=[0-9a-f]{1,16};){1,8}"
)
"""Block of the system prompt that Claude Code writes for the provider's bills; it differs by conversation."""

_ID = re.compile(r"(?:[a-z]{2,12}[_-])?[A-Za-z0-9]{6,64}")
_CALL_IDS = ("tool_use_id", "tool_call_id", "call_id")
_CALLS = frozenset({"tool_use", "server_tool_use", "function"})
_INNER = ("content", "tool_calls")


def incomparable(request: WireRequest) -> str | None:
    """Return why the answer to a request cannot be that of another one; `None` where it can.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> body = b'{"model":"m","input":"Hi.","previous_response_id":"resp_1"}'
        >>> incomparable(PROTOCOLS["responses"].read_request(body, {}))
        'previous_response_id goes beyond the request'
    """
    if len(request.body) > MOST_BYTES:
        return "the request is too long to be compared"
    if len(request.fields) < len(request.all_fields):
        return "a field occurs twice"
    for name in ELSEWHERE:
        if request.value(name):
            return f"{name} goes beyond the request"
    return None


def answer_digest(request: WireRequest) -> bytes:
    """Return the digest of everything in a request's body that can change its answer, or the form of it.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> said = ((b"1", b"a"), (b"1", b"b"), (b"2", b"a"))
        >>> bodies = [b'{"model":"m","messages":[%s],"metadata":{"user_id":"%s"}}' % one for one in said]
        >>> one, same, other = [answer_digest(PROTOCOLS["messages"].read_request(body, {})) for body in bodies]
        >>> one == same, one == other
        (True, False)
    """
    protocol = request.protocol
    histories = (protocol.entries_field, *protocol.head_fields)
    digest = blake2b(protocol.name.encode(), digest_size=16)
    ids: dict[str, int] = {}
    for name in sorted(request.fields):
        if name not in NOISE:
            raw = _MARKS.sub(b"", request.raw(name))
            kind, told = _history(raw, ids) if name in histories and raw[:1] == b"[" else (b"=", raw)
            digest.update(b"%d:%s%s%d:" % (len(name), name.encode("utf-8", "replace"), kind, len(told)))
            digest.update(told)
    return digest.digest()


def _history(raw: bytes, ids: dict[str, int]) -> tuple[bytes, bytes]:
    """Return a history without its ids; as it stands where it is not written as most clients do.

    What is read of such bytes need not be what another reader reads: a name that occurs twice, a text that is no Unicode.
    """
    value = value_of(raw, 0, len(raw))
    if not isinstance(value, list) or encoded(value) != raw:
        return b"=", raw
    return b"~", encoded([_entry(one, ids) for one in value if not _is_billing(one)])


def _is_billing(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(text := entry.get("text"), str) and _BILLING.fullmatch(text) is not None


def _entry(entry: Any, ids: dict[str, int], *, inner: bool = False) -> Any:
    """Return an entry of a history, or a block within, with the ids of tool calls by their place."""
    if not isinstance(entry, dict):
        return entry
    made = dict(entry)
    for name in _CALL_IDS:
        if _is_id(told := made.get(name)):
            made[name] = ids.setdefault(told, len(ids))
    if _is_id(told := made.get("id")):
        if inner and made.get("type") in _CALLS:
            made["id"] = ids.setdefault(told, len(ids))
        elif not inner:
            # That of an item, such as a message or a reasoning.
            del made["id"]
    for name in _INNER:
        if isinstance(parts := made.get(name), list):
            made[name] = [_entry(one, ids, inner=True) for one in parts]
    return made


def _is_id(told: Any) -> TypeGuard[str]:
    return isinstance(told, str) and _ID.fullmatch(told) is not None


__all__ = ["MOST_BYTES", "answer_digest", "incomparable"]
