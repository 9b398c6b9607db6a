"""Answers written in OpenAI's Chat Completions protocol."""

from __future__ import annotations

import time
from typing import Any

from typing_extensions import override

from langroute.core.records import Usage
from langroute.wire.answer_writers import AnswerWriter, Segment
from langroute.wire.spans import encoded
from langroute.wire.sse import written


def usage_record(usage: Usage) -> dict[str, Any]:
    """Return a usage as this protocol has it.

    Example:
        >>> usage_record(Usage(10, 2, cache_read=8))["prompt_tokens_details"]
        {'cached_tokens': 8}
    """
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


class ChatWriter(AnswerWriter):
    """Writes an answer in OpenAI's Chat Completions protocol."""

    api = "openai-chat"

    @override
    def begin(self) -> None:
        self._created = int(time.time())
        self._chunk({"role": "assistant", "content": ""})

    @override
    def open(self, at: int, segment: Segment) -> None:
        if segment.kind == "call":
            function = {"name": segment.name, "arguments": ""}
            self._chunk({"tool_calls": [{"index": self._index(at), "id": segment.id, "type": "function", "function": function}]})

    @override
    def part(self, at: int, segment: Segment, text: str) -> None:
        if segment.kind == "text":
            self._chunk({"content": text})
        else:
            self._chunk({"tool_calls": [{"index": self._index(at), "function": {"arguments": text}}]})

    @override
    def close(self, at: int, segment: Segment) -> None:
        """Nothing stands at the end of a block."""

    @override
    def end(self, end: str, usage: Usage | None) -> None:
        self._chunk({}, self.words.end(end))
        if self.include_usage and usage is not None:
            self._out.append(written(encoded({**self._head(), "choices": [], "usage": usage_record(usage)})))
        self._out.append(written(b"[DONE]"))

    def _index(self, at: int) -> int:
        return sum(one.kind == "call" for one in self.segments[:at])

    def _head(self) -> dict[str, Any]:
        return {"id": self.number, "object": "chat.completion.chunk", "created": self._created, "model": self.model}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        self._out.append(written(encoded({**self._head(), "choices": [choice]})))

    @override
    def plain(self, end: str, usage: Usage | None) -> dict[str, Any]:
        text = "".join(one.whole for one in self.segments if one.kind == "text")
        calls = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.whole or "{}"}}
            for one in self.segments
            if one.kind == "call"
        ]
        message = {"role": "assistant", "content": text or (None if calls else ""), **({"tool_calls": calls} if calls else {})}
        return {
            "id": self.number,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": self.words.end(end)}],
            **({"usage": usage_record(usage)} if usage is not None else {}),
        }


__all__ = ["ChatWriter"]
