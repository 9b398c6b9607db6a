"""Answers written in Anthropic's Messages protocol."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from langroute.core.records import Usage
from langroute.wire.answer_writers import AnswerWriter, Segment
from langroute.wire.plain_request import arguments_of
from langroute.wire.spans import encoded
from langroute.wire.sse import written


def usage_record(usage: Usage | None) -> dict[str, Any]:
    """Return a usage as this protocol has it: cached tokens stand beside the input.

    Example:
        >>> usage_record(Usage(10, 2, cache_read=8))["input_tokens"]
        2
    """
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    written_tokens = usage.cache_write + usage.cache_write_1h
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cache_read - written_tokens),
        "cache_creation_input_tokens": written_tokens,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output_tokens,
    }


class MessagesWriter(AnswerWriter):
    """Writes an answer in Anthropic's Messages protocol."""

    api = "anthropic"

    @override
    def begin(self) -> None:
        # What was read of the prompt is known at the end of other protocols' streams only; the last event says it again.
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage_record(None)}
        self._event({"type": "message_start", "message": message})

    def _head(self) -> dict[str, Any]:
        return {"id": self.number, "type": "message", "role": "assistant", "model": self.model}

    @override
    def open(self, at: int, segment: Segment) -> None:
        block = {"type": "text", "text": ""}
        if segment.kind == "call":
            block = {"type": "tool_use", "id": segment.id, "name": segment.name, "input": {}}  # type: ignore[dict-item]
        self._event({"type": "content_block_start", "index": at, "content_block": block})

    @override
    def part(self, at: int, segment: Segment, text: str) -> None:
        delta = (
            {"type": "text_delta", "text": text} if segment.kind == "text" else {"type": "input_json_delta", "partial_json": text}
        )
        self._event({"type": "content_block_delta", "index": at, "delta": delta})

    @override
    def close(self, at: int, segment: Segment) -> None:
        self._event({"type": "content_block_stop", "index": at})

    @override
    def end(self, end: str, usage: Usage | None) -> None:
        delta = {"stop_reason": self.words.end(end), "stop_sequence": None}
        self._event({"type": "message_delta", "delta": delta, "usage": usage_record(usage)})
        self._event({"type": "message_stop"})

    def _event(self, said: dict[str, Any]) -> None:
        self._out.append(written(encoded(said), said["type"]))

    @override
    def plain(self, end: str, usage: Usage | None) -> dict[str, Any]:
        content = [
            {"type": "text", "text": one.whole}
            if one.kind == "text"
            else {"type": "tool_use", "id": one.id, "name": one.name, "input": arguments_of(one.whole)}
            for one in self.segments
        ]
        reason = {"stop_reason": self.words.end(end), "stop_sequence": None}
        return {**self._head(), "content": content, **reason, "usage": usage_record(usage)}


__all__ = ["MessagesWriter"]
