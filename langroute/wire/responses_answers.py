"""Answers written in OpenAI's Responses protocol."""

from __future__ import annotations

import time
from typing import Any

from typing_extensions import override

from langroute.core.records import Usage
from langroute.wire.answer_writers import AnswerWriter, Segment
from langroute.wire.plain_request import arguments_of
from langroute.wire.spans import encoded
from langroute.wire.sse import written


def usage_record(usage: Usage) -> dict[str, Any]:
    """Return a usage as this protocol has it.

    Example:
        >>> usage_record(Usage(10, 2, cache_read=8))["input_tokens_details"]
        {'cached_tokens': 8}
    """
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total_tokens,
    }


class ResponsesWriter(AnswerWriter):
    """Writes an answer in OpenAI's Responses protocol. Calls of tools that take free text come as such."""

    api = "openai-responses"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._number = 0
        self._created = int(time.time())

    @override
    def begin(self) -> None:
        for kind in ("created", self.words.running):
            self._event(f"response.{kind}", response=self._response(self.words.running, []))

    @override
    def open(self, at: int, segment: Segment) -> None:
        self._event("response.output_item.added", output_index=at, item=self._item(at, segment, over=False))
        if segment.kind == "text":
            part = {"type": "output_text", "text": "", "annotations": []}
            self._event("response.content_part.added", item_id=self._id(at), output_index=at, content_index=0, part=part)

    @override
    def part(self, at: int, segment: Segment, text: str) -> None:
        where = {"item_id": self._id(at), "output_index": at}
        if segment.kind == "text":
            self._event("response.output_text.delta", **where, content_index=0, delta=text)
        elif not self.is_free(segment):
            self._event("response.function_call_arguments.delta", **where, delta=text)

    @override
    def close(self, at: int, segment: Segment) -> None:
        where = {"item_id": self._id(at), "output_index": at}
        item = self._item(at, segment, over=True)
        if segment.kind == "text":
            self._event("response.output_text.done", **where, content_index=0, text=segment.whole)
            self._event("response.content_part.done", **where, content_index=0, part=item["content"][0])
        elif self.is_free(segment):
            # Its text is a field of JSON on the way, and known when that is whole.
            self._event("response.custom_tool_call_input.delta", **where, delta=item["input"])
            self._event("response.custom_tool_call_input.done", **where, input=item["input"])
        else:
            self._event("response.function_call_arguments.done", **where, arguments=item["arguments"])
        self._event("response.output_item.done", output_index=at, item=item)

    @override
    def end(self, end: str, usage: Usage | None) -> None:
        response = self.plain(end, usage)
        self._event(f"response.{response['status']}", response=response)

    @override
    def plain(self, end: str, usage: Usage | None) -> dict[str, Any]:
        items = [self._item(at, one, over=True) for at, one in enumerate(self.segments)]
        done, word = self.words.end("stop"), self.words.end(end)
        response = self._response(done if word == done else self.words.cut, items)
        response["incomplete_details"] = None if word == done else {"reason": word}
        response["usage"] = None if usage is None else usage_record(usage)
        return response

    def _id(self, at: int) -> str:
        return f"{'msg' if self.segments[at].kind == 'text' else 'fc'}_{self.number.removeprefix('resp_')}_{at}"

    def _item(self, at: int, segment: Segment, *, over: bool) -> dict[str, Any]:
        head = {"id": self._id(at), "status": self.words.end("stop") if over else self.words.running}
        if segment.kind == "text":
            content = [{"type": "output_text", "text": segment.whole, "annotations": []}] if over else []
            return {"type": "message", **head, "role": "assistant", "content": content}
        known = {"call_id": segment.id, "name": segment.name}
        if self.is_free(segment):
            given = arguments_of(segment.whole).get("input", "") if over else ""
            return {"type": "custom_tool_call", **head, **known, "input": given if isinstance(given, str) else segment.whole}
        return {"type": "function_call", **head, **known, "arguments": (segment.whole or "{}") if over else ""}

    def _response(self, status: str | None, items: list[Any]) -> dict[str, Any]:
        return {
            "id": self.number,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": items,
            "store": False,
            "usage": None,
        }

    def _event(self, kind: str, **said: Any) -> None:
        self._out.append(written(encoded({"type": kind, "sequence_number": self._number, **said}), kind))
        self._number += 1


__all__ = ["ResponsesWriter"]
