"""One route's answer to a wire call: the bytes that are held back, and the message that the engine accounts for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage

from langroute.engine.effects import Reply
from langroute.steps.message_content import text_tokens
from langroute.wire import histories
from langroute.wire.answers import AnswerReader
from langroute.wire.chat_usage import UsageFilter
from langroute.wire.translation import AnswerTranslator

MOST_UNREAD = 2**16
"""Bytes of a stream after which it is read, whatever they are."""

LONGEST_TURN = 16
"""At least the length of each of `WireProtocol.turns`."""


class WireAnswer:
    """What has come of one call of a route.

    Args:
        route: Name of the route.
        edits: What was changed in the request for it, or lost in translation, in words.
        prompt_tokens: Estimated tokens of the prompt, for an answer that breaks off before it tells them.
    """

    __slots__ = (
        "_edge",
        "_kept",
        "_most_kept",
        "_prompt_tokens",
        "_reader",
        "_turns",
        "_unread",
        "_unread_bytes",
        "begun",
        "edits",
        "filter",
        "first",
        "headers",
        "heard",
        "held",
        "route",
        "shown",
        "status",
        "streams",
        "translator",
    )

    def __init__(self, route: str, edits: Sequence[str], prompt_tokens: int) -> None:
        self.route, self.edits, self._prompt_tokens = route, edits, prompt_tokens
        self.begun = perf_counter()
        self.first: float | None = None
        """Seconds until the first content."""
        self._reader: AnswerReader | None = None
        self._unread: list[bytes] = []
        self._unread_bytes, self._edge = 0, b""
        self._turns = False
        """Whether the event that has begun may end the answer."""
        self.translator: AnswerTranslator | None = None
        """Translates the answer, where its route speaks another protocol than the client."""
        self.filter: UsageFilter | None = None
        """Keeps the usage from a client that did not ask for it."""
        self.streams = False
        """Whether the client is sent a stream."""
        self.status, self.headers = 200, dict[str, str]()
        self.held: list[bytes] = []
        """Bytes that were not sent on yet."""
        self.heard = False
        """Whether anything of the answer has come; see `langroute.engine.billed_usage.usage_so_far`."""
        self.shown = False
        """Whether the client has been sent a byte of it."""
        self._kept: list[bytes] | None = None
        self._most_kept = 0

    def keep(self, most: int) -> None:
        """Keep what the client gets, for the response cache, up to so many bytes."""
        self._kept, self._most_kept = [], most

    def note(self, out: bytes) -> bytes:
        """Note what the client gets; return it."""
        if self._kept is not None and out:
            self._kept.append(out)
            self._most_kept -= len(out)
            if self._most_kept < 0:
                self._kept = None
        return out

    @property
    def reader(self) -> AnswerReader | None:
        """What reads the answer, with all that has come; `None` until the response begins."""
        if self._unread:
            self._read_on()
        return self._reader

    @reader.setter
    def reader(self, reader: AnswerReader) -> None:
        self._reader = reader

    def _read_on(self) -> None:
        """Read what came since the answer was read last."""
        assert self._reader is not None  # noqa: S101 - set when the response begins
        unread, self._unread, self._unread_bytes = b"".join(self._unread), [], 0
        self._reader.feed(unread)

    def _hear(self, reader: AnswerReader, chunk: bytes) -> None:
        """Take a chunk: in the middle of a stream it is read with those behind it, unless it may end the answer."""
        self._unread.append(chunk)
        self._unread_bytes += len(chunk)
        # A word that the edges of chunks cut stands there.
        edge = self._edge + chunk[:LONGEST_TURN]
        self._edge = chunk[-LONGEST_TURN:] if len(chunk) >= LONGEST_TURN else edge[-LONGEST_TURN:]
        turns = self._turns or any(turn in chunk or turn in edge for turn in reader.turns)
        if turns or not (reader.started and reader.stream) or self._unread_bytes > MOST_UNREAD:
            self._read_on()
            # Its event may not have ended yet.
            self._turns = turns and not reader.between_events

    @property
    def kept(self) -> bytes | None:
        """All that the client got; `None` where it was not kept, or was too long."""
        return None if self._kept is None else b"".join(self._kept)

    def take(self, chunk: bytes) -> bytes:
        """Take a chunk; return what the client gets for it."""
        reader = self._reader
        assert reader is not None  # noqa: S101 - set when the response begins
        out = chunk
        if self.translator is not None:
            out = self.translator.feed(chunk)
        else:
            self._hear(reader, chunk)
            if self.filter is not None:
                out = self.filter.feed(chunk)
        self.heard = True
        if self.first is None and reader.started:
            self.first = perf_counter() - self.begun
        return self.note(out)

    def end(self) -> bytes:
        """Note that no more chunks come; return what the client gets for that."""
        if self.translator is not None:
            return self.note(self.translator.finish())
        if self.reader is not None:
            self.reader.finish()
        return b"" if self.filter is None else self.note(self.filter.finish())

    @property
    def whole(self) -> bool:
        """Whether the answer came to its end."""
        if self.translator is not None:
            return self.translator.whole
        return self.reader is not None and self.reader.complete

    @property
    def between_events(self) -> bool:
        """Whether what the client was sent ends between two events."""
        return self.translator is not None or self.filter is not None or self.reader is None or self.reader.between_events

    # As the engine's accounting reads a stream that was left ---------------------------------------------------------

    @property
    def heard_chunks(self) -> Sequence[Any]:
        """What was written so far, as one message."""
        return [self.message()] if self.heard else []

    @property
    def usage_metadata(self) -> Mapping[str, Any] | None:
        """Nothing: the usage is in the response's metadata, in the provider's own words."""
        return None

    @property
    def response_metadata(self) -> dict[str, Any]:
        """What the answer says of itself, as LangChain's packages keep it."""
        reader = self.reader
        if reader is None:
            return {}
        said: dict[str, Any] = {**reader.terms}
        if reader.raw_usage:
            said["usage"] = reader.raw_usage
        if reader.model:
            said["model_name"] = reader.model
        if reader.finish_reason:
            said["finish_reason"] = reader.finish_reason
        return said

    @property
    def content(self) -> Any:
        """Blocks of the provider's own tools, else the text."""
        return (
            ""
            if self.reader is None
            else [*self.reader.blocks, {"type": "text", "text": self.reader.text}]
            if self.reader.blocks
            else self.reader.text
        )

    # Ends ------------------------------------------------------------------------------------------------------------

    def message(self) -> AIMessage:
        """Return the answer as a message, as far as it came."""
        calls, broken = [], []
        for call in () if self.reader is None else self.reader.tool_calls:
            arguments = _arguments(call.text)
            if arguments is None:
                broken.append({"name": call.name, "args": call.text, "id": call.id, "error": None, "type": "invalid_tool_call"})
            else:
                calls.append({"name": call.name, "args": arguments, "id": call.id, "type": "tool_call"})
        return histories.answer(self.content, calls, broken=broken, told=self.response_metadata)

    def reply(self, error: BaseException | None = None) -> Reply:
        """Return the reply for the plan.

        An answer that broke off is billed for what was heard of it: the tokens that it told, else estimated ones.
        """
        message: Any = None
        if error is None or self.heard:
            message = self.message()
            if error is not None:
                message.usage_metadata = self._billed_so_far(message)
        return Reply(message, error, perf_counter() - self.begun, self.first, self.shown, output=self, edits=self.edits)

    def _billed_so_far(self, message: AIMessage) -> Any:
        told = None if self.reader is None else self.reader.usage
        # What is thought is billed, too, and is not kept here.
        written = _written(message) or int(self.reader is not None and self.reader.started)
        if told is None:
            if not written:
                return None
            return {"input_tokens": self._prompt_tokens, "output_tokens": written, "total_tokens": self._prompt_tokens + written}
        output = max(told.output_tokens, written)
        details = {
            "cache_read": told.cache_read,
            "cache_creation": told.cache_write,
            "ephemeral_1h_input_tokens": told.cache_write_1h,
        }
        return {
            "input_tokens": told.input_tokens,
            "output_tokens": output,
            "total_tokens": told.input_tokens + output,
            "input_token_details": {name: count for name, count in details.items() if count},
        }


def _written(message: AIMessage) -> int:
    text = (
        message.content
        if isinstance(message.content, str)
        else "".join(str(block.get("text") or "") for block in message.content if isinstance(block, dict))
    )
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    text += "".join(f"{call['name']}{call['args']}" for call in calls)
    return max(1, text_tokens(text)) if text else 0


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


__all__ = ["WireAnswer"]
