"""Cache entries: the stored form of an answer, its validation, and its copy as a new message.

An entry is JSON: the message in LangChain's own serialized form, and metadata beside it. Nothing but a
message can be loaded from one: any other type is refused, and so is anything that `encode` would not have written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from os import urandom
from typing import Any
from uuid import uuid4

from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message

from langroute.cache.keys import copied
from langroute.core.errors import DataError
from langroute.core.records import Usage

FORMAT = 1
MESSAGE_IDS = (["langchain", "schema", "messages", "AIMessage"], ["langchain_core", "messages", "ai", "AIMessage"])
"""Ids of an AI message in LangChain's serialized form."""

MESSAGE_FIELDS = ("content", "additional_kwargs", "response_metadata", "name", "tool_calls", "invalid_tool_calls")
"""Fields that are read from a stored message. Its id and usage belong to another call and are not."""

MAX_DEPTH = 64
"""Deepest nesting of lists and dictionaries, well below the recursion limit of code that walks through an answer."""

MAX_WORD = 4096
"""Longest name, key or id, in characters."""

MAX_TOKENS, MAX_USD = 10**12, 10**9
"""Plausibility limits, above the tokens and cost of any call."""

REPORTED = frozenset(
    {"token_usage", "usage", "id", "system_fingerprint", "request_id", "headers", "langroute", "created", "logprobs"}
)
"""Keys of `response_metadata` that describe one call only, and are not stored."""


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A stored answer."""

    message: AIMessage
    namespace: str
    """Namespace of the answer; compared again when it is read."""

    key: str
    route: str
    model_digest: str = ""
    """Digest of the route's model and its settings, in hex."""

    model: str | None = None
    """Model id as served."""

    kind: str = "chat"
    created: float = 0.0
    """Seconds since the epoch."""

    expires: float | None = None
    usage: Usage | None = None
    """Tokens of the call."""

    cost_usd: float | None = None
    score: float | None = None
    parsed: Any = None
    """Parsed structured output, as JSON."""

    structured: bool = False
    decision_id: str | None = None
    sent: str | None = None
    """Digest of the messages that the model was sent, where middleware changed them after the router."""

    tags: tuple[str, ...] = ()
    question: Mapping[str, Any] = field(default_factory=dict)
    """Data of the semantic cache about the question."""

    wire: Mapping[str, str] = field(default_factory=dict)
    """The answer as a gateway sent it, which gives its very bytes again: protocol, form and body."""


def encode(entry: CacheEntry) -> bytes:
    """Return an entry as JSON.

    Raises:
        DataError: A value in it cannot be written.
    """
    usage = entry.usage
    try:
        raw = {
            "v": FORMAT,
            "ns": entry.namespace,
            "key": entry.key,
            "route": entry.route,
            "model_digest": entry.model_digest,
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
            "wire": dict(entry.wire),
            "message": dumpd(entry.message),
        }
        _check(raw)
        return json.dumps(raw, separators=(",", ":"), allow_nan=False).encode("ascii")
    except DataError as error:
        raise DataError(f"This answer cannot be stored: {error}") from error
    except Exception as error:
        # A message may hold any object, and serializing an object may raise anything.
        raise DataError(f"This answer cannot be stored: {type(error).__name__}") from error


def decode(data: bytes) -> CacheEntry:
    """Return the entry of a JSON text.

    Raises:
        DataError: It is truncated, was tampered with, or is not an entry.
    """
    try:
        raw = json.loads(data, parse_constant=_no_number)
        # Answers of a library before the gateway's have none.
        raw.setdefault("wire", {})
        if raw["v"] != FORMAT:
            raise DataError(f"A stored answer has format {str(raw['v'])[:20]}; this version reads {FORMAT}.")
        _check(raw)
        usage = raw["usage"]
        return CacheEntry(
            message=message_from(raw["message"]),
            namespace=raw["ns"],
            key=raw["key"],
            route=raw["route"],
            model_digest=raw["model_digest"],
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
            wire=raw["wire"],
        )
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"A stored answer cannot be read: {type(error).__name__}") from error


def _no_number(name: str) -> Any:
    raise DataError(f"A stored answer holds {name}.")


def _word(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_WORD


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(inner, str) for inner in value)


def _number(value: Any, least: float = -MAX_USD, most: float = MAX_USD) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) and least <= value <= most


def _time(value: Any) -> bool:
    return _number(value, 0, 1e12)


def _usage(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 6
        and all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MAX_TOKENS for count in value)
    )


def _texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(inner, str) for inner in value.values())


def _or_none(good: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or good(value)


FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "ns": _word,
    "key": _word,
    "route": _word,
    "model_digest": _word,
    "model": _or_none(_word),
    "kind": _word,
    "created": _time,
    "expires": _or_none(_time),
    "usage": _or_none(_usage),
    "cost": _or_none(lambda value: _number(value, 0)),
    "score": _or_none(_number),
    "parsed": lambda _: True,
    "structured": lambda value: isinstance(value, bool),
    "decision": _or_none(_word),
    "sent": _or_none(_word),
    "tags": _words,
    "question": _texts,
    "wire": _texts,
}
"""Fields of a stored entry, each with its check, which is applied when it is written and when it is read."""


def _check(raw: Mapping[str, Any]) -> None:
    """Validate the fields of an entry.

    Raises:
        DataError: A field is missing, has a wrong type or size, or is nested too deeply.
    """
    for name, good in FIELDS.items():
        if not good(raw[name]):
            raise DataError(f"its {name} is none")
    if too_deep(raw["parsed"]) or too_deep(raw["message"]):
        raise DataError("it is nested too deeply")


def too_deep(value: Any, left: int = MAX_DEPTH) -> bool:
    """Return whether lists and dictionaries are nested deeper than `left`, or contain themselves.

    Example:
        >>> too_deep([[[]]], 2), too_deep([[[]]], 3)
        (True, False)
    """
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    return left <= 0 or any(too_deep(inner, left - 1) for inner in value if isinstance(inner, (dict, list, tuple)))


def message_from(raw: Mapping[str, Any]) -> AIMessage:
    """Return the message of a form written by LangChain's `dumpd`.

    Raises:
        DataError: It is not an AI message, or holds other than plain values.
    """
    if raw.get("lc") != 1 or raw.get("type") != "constructor" or raw.get("id") not in MESSAGE_IDS:
        raise DataError("A stored answer is no AI message.")
    kwargs = raw["kwargs"]
    if _holds_objects(kwargs):
        # A message consists of plain values only. Anything else must not reach LangChain's code.
        raise DataError("A stored answer holds something that is no plain value.")
    return storable(AIMessage(**{name: kwargs[name] for name in MESSAGE_FIELDS if name in kwargs}))


def _holds_objects(value: Any) -> bool:
    if isinstance(value, dict):
        return "lc" in value or any(_holds_objects(inner) for inner in value.values() if isinstance(inner, (dict, list)))
    return any(_holds_objects(inner) for inner in value if isinstance(inner, (dict, list)))


def storable(message: Any) -> AIMessage:
    """Return a copy of an answer without the data that describe its own call only.

    Raises:
        DataError: It is not an AI message.
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
    """Return a message id in LangChain's form, with a random UUID.

    Example:
        >>> from uuid import UUID
        >>> UUID(new_message_id().removeprefix("lc_run--")).version
        4
    """
    # A quarter of the time of `uuid4`.
    digits = urandom(16).hex()
    return f"lc_run--{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def fresh(message: AIMessage, id: str | None = None) -> AIMessage:
    """Return the answer as a new message: with a new id, new tool call ids and no usage.

    A repeated id would make LangGraph replace the older message of a thread, and a repeated tool call id would assign a result to
    the wrong call. Nothing in it is shared with the stored one, so that the caller may change it.

    Args:
        message: The stored message.
        id: The new message's id.

    Example:
        >>> stored = AIMessage("Hi", id="old")
        >>> fresh(stored).id != "old", stored.id
        (True, 'old')
    """
    made = message.model_copy()
    # Bypasses pydantic's setters: each costs as much as the rest of this function.
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
            made.additional_kwargs["tool_calls"] = [
                _renamed(call, renamed) if isinstance(call, dict) else call
                for call in _listed(made.additional_kwargs["tool_calls"])
            ]
    return made


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def new_call_id(old: str) -> str:
    """Return a new tool call id in the provider's form: `call_…`, `toolu_…`."""
    prefix, mark, _ = old.partition("_")
    return f"{prefix}_{uuid4().hex[:24]}" if mark and prefix.isalpha() else f"call_{uuid4().hex[:24]}"


def _renamed(block: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    changed = {name: renamed[old] for name in ("id", "call_id") if isinstance(old := block.get(name), str) and old in renamed}
    return {**block, **changed} if changed else block


def chunks(message: AIMessage, size: int = 48) -> list[AIMessageChunk]:
    """Return an answer as the chunks of a stream, which add up to the message.

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
    """Return a text in pieces of at most `size` characters that end after a space where possible."""
    pieces: list[str] = []
    begin = 0
    while begin < len(text):
        end = begin + size
        if end < len(text) and (space := text.rfind(" ", begin + 1, end)) > 0:
            end = space + 1
        pieces.append(text[begin:end])
        begin = end
    return pieces
