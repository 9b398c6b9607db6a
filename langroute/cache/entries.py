"""What is kept of an answer, and how is it handed out again?

An entry is JSON: the message in LangChain's own serialized form, and what has to be known of it without reading it. Nothing but a
message can come out of one: whatever else a stored value claims to be is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import urandom
from typing import Any
from uuid import uuid4

from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message

from langroute.cache.keys import copied
from langroute.errors import DataError
from langroute.records import Usage

FORMAT = 1
MESSAGE_IDS = (["langchain", "schema", "messages", "AIMessage"], ["langchain_core", "messages", "ai", "AIMessage"])
"""What LangChain calls an AI message when it serializes one."""

REPORTED = frozenset(
    {"token_usage", "usage", "id", "system_fingerprint", "request_id", "headers", "langroute", "created", "logprobs"}
)
"""What a provider reported about one call: it is not true of the next."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer."""

    message: AIMessage
    namespace: str
    """Whose answer it is; compared again when it is read."""

    key: str
    route: str
    made_by: str = ""
    """Digest of the route's model and its settings, in hex."""

    model: str | None = None
    """Model id as served."""

    kind: str = "chat"
    created: float = 0.0
    """Seconds since the epoch."""

    expires: float | None = None
    usage: Usage | None = None
    """What the call took."""

    cost_usd: float | None = None
    score: float | None = None
    parsed: Any = None
    """What structured output was parsed to, as JSON."""

    structured: bool = False
    decision_id: str | None = None
    sent: str | None = None
    """Digest of what the model was asked in the end, where that is more than the router saw."""

    tags: tuple[str, ...] = ()
    question: Mapping[str, Any] = field(default_factory=dict)
    """What the semantic cache knows of the question."""


def encode(entry: Entry) -> bytes:
    """An entry as JSON.

    Raises:
        DataError: Something in the message cannot be written.
    """
    usage = entry.usage
    try:
        return json.dumps(
            {
                "v": FORMAT,
                "ns": entry.namespace,
                "key": entry.key,
                "route": entry.route,
                "made_by": entry.made_by,
                "model": entry.model,
                "kind": entry.kind,
                "created": entry.created,
                "expires": entry.expires,
                "usage": None
                if usage is None
                else [
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cache_read,
                    usage.cache_write,
                    usage.cache_write_1h,
                    usage.reasoning,
                ],
                "cost": entry.cost_usd,
                "score": entry.score,
                "parsed": entry.parsed,
                "structured": entry.structured,
                "decision": entry.decision_id,
                "sent": entry.sent,
                "tags": list(entry.tags),
                "question": dict(entry.question),
                "message": dumpd(entry.message),
            },
            separators=(",", ":"),
        ).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"This answer cannot be stored: {error}") from error


def decode(data: bytes) -> Entry:
    """An entry from JSON.

    Raises:
        DataError: It is truncated, was tampered with, or is none of ours.
    """
    try:
        raw = json.loads(data)
        if raw["v"] != FORMAT:
            raise DataError(f"A stored answer has format {raw['v']}; this version reads {FORMAT}.")
        usage = raw["usage"]
        return Entry(
            message=_message(raw["message"]),
            namespace=raw["ns"],
            key=raw["key"],
            route=raw["route"],
            made_by=raw["made_by"],
            model=raw["model"],
            kind=raw["kind"],
            created=raw["created"],
            expires=raw["expires"],
            usage=None if usage is None else Usage(*usage),
            cost_usd=raw["cost"],
            score=raw["score"],
            parsed=raw["parsed"],
            structured=raw["structured"],
            decision_id=raw["decision"],
            sent=raw["sent"],
            tags=tuple(raw["tags"]),
            question=raw["question"],
        )
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"A stored answer cannot be read: {type(error).__name__}: {error}") from error


def _message(raw: Mapping[str, Any]) -> AIMessage:
    if raw.get("lc") != 1 or raw.get("type") != "constructor" or raw.get("id") not in MESSAGE_IDS:
        raise DataError("A stored answer is no AI message.")
    if _holds_objects(raw["kwargs"]):
        # A message is plain values all through. What LangChain would make of anything else is nothing to find out here.
        raise DataError("A stored answer holds something that is no plain value.")
    return AIMessage(**raw["kwargs"])


def _holds_objects(value: Any) -> bool:
    if isinstance(value, dict):
        return "lc" in value or any(_holds_objects(inner) for inner in value.values() if isinstance(inner, (dict, list)))
    return any(_holds_objects(inner) for inner in value if isinstance(inner, (dict, list)))


def storable(message: Any) -> AIMessage:
    """A copy of an answer without what is true of its own call alone.

    Raises:
        DataError: It is no AI message.
    """
    if isinstance(message, AIMessageChunk):
        message = message_chunk_to_message(message)
    if not isinstance(message, AIMessage):
        raise DataError(f"An answer is an AIMessage, not a {type(message).__name__}.")
    kept = message.model_copy()
    kept.id = None
    kept.response_metadata = {key: value for key, value in message.response_metadata.items() if key not in REPORTED}
    kept.additional_kwargs = {key: value for key, value in message.additional_kwargs.items() if key != "parsed"}
    kept.usage_metadata = None
    return kept


def new_message_id() -> str:
    """An id as LangChain gives one, with a random UUID in it.

    Example:
        >>> from uuid import UUID
        >>> UUID(new_message_id().removeprefix("lc_run--")).version
        4
    """
    # A quarter of the price of a `uuid4`.
    digits = urandom(16).hex()
    return f"lc_run--{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def fresh(message: AIMessage, id: str | None = None) -> AIMessage:
    """The answer as a new message: an id of its own, new tool call ids, no tokens used.

    The same id twice would make LangGraph replace the older message of a thread, and the same tool call id twice would tie a result to
    the wrong call. Nothing in it is shared with the stored one, so that whoever gets it may change it.

    Args:
        message: The stored message.
        id: The new message's id.

    Example:
        >>> stored = AIMessage("Hi", id="old")
        >>> fresh(stored).id != "old", stored.id
        (True, 'old')
    """
    made = message.model_copy()
    # Past pydantic's own setters: each costs as much as all of this.
    fields = made.__dict__
    for name, value in fields.items():
        if type(value) is list or type(value) is dict:
            fields[name] = copied(value)
    fields["id"] = id or new_message_id()
    fields["usage_metadata"] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    made.model_fields_set.update(("id", "usage_metadata"))
    if made.tool_calls or made.invalid_tool_calls:
        renamed: dict[str, str] = {}
        for call in (*made.tool_calls, *made.invalid_tool_calls):
            if old := call.get("id"):
                renamed[old] = call["id"] = new_call_id(old)
        if isinstance(made.content, list):
            made.content = [_renamed(block, renamed) if isinstance(block, dict) else block for block in made.content]
        if made.additional_kwargs.get("tool_calls"):
            made.additional_kwargs["tool_calls"] = [_renamed(call, renamed) for call in made.additional_kwargs["tool_calls"]]
    return made


def new_call_id(old: str) -> str:
    """An id in the form of its provider: `call_…`, `toolu_…`."""
    prefix, mark, _ = old.partition("_")
    return f"{prefix}_{uuid4().hex[:24]}" if mark and prefix.isalpha() else f"call_{uuid4().hex[:24]}"


def _renamed(block: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    changed = {name: renamed[block[name]] for name in ("id", "call_id") if block.get(name) in renamed}
    return {**block, **changed} if changed else block


def chunks(message: AIMessage, size: int = 48) -> list[AIMessageChunk]:
    """An answer as the chunks of a stream; what they add up to is the message.

    Example:
        >>> parts = chunks(AIMessage("one two three four", id="m"), size=8)
        >>> "".join(part.content for part in parts), parts[-1].chunk_position
        ('one two three four', 'last')
    """
    made: list[AIMessageChunk] = []
    if isinstance(message.content, str):
        made.extend(AIMessageChunk(content=piece, id=message.id) for piece in _pieces(message.content, size))
    else:
        for place, block in enumerate(message.content):
            made.append(AIMessageChunk(content=[{"index": place, **block} if isinstance(block, dict) else block], id=message.id))
    for place, call in enumerate(message.tool_calls):
        part: Any = {
            "name": call["name"],
            "args": json.dumps(call["args"]),
            "id": call["id"],
            "index": place,
            "type": "tool_call_chunk",
        }
        made.append(AIMessageChunk(content="", tool_call_chunks=[part], id=message.id))
    made.append(
        AIMessageChunk(
            content="" if isinstance(message.content, str) else [],
            id=message.id,
            name=message.name,
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            usage_metadata=message.usage_metadata,
            chunk_position="last",
        )
    )
    return made


def _pieces(text: str, size: int) -> list[str]:
    """A text in pieces that end behind a space where they can."""
    pieces: list[str] = []
    begin = 0
    while begin < len(text):
        end = begin + size
        if end < len(text) and (space := text.rfind(" ", begin + 1, end)) > 0:
            end = space + 1
        pieces.append(text[begin:end])
        begin = end
    return pieces
