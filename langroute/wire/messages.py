"""Anthropic's Messages protocol: `/v1/messages`.

Source: https://platform.claude.com/docs/en/api/messages, /streaming and /errors (read 2026-11-29).
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from langroute.providers.profile import WireRules
from langroute.wire import histories
from langroute.wire.answers import AnswerReader, mapping, parsed, sequence
from langroute.wire.edits import WireEdit, WireTarget
from langroute.wire.messages_edits import edits_for
from langroute.wire.protocol import WireProtocol
from langroute.wire.request import WireRequest
from langroute.wire.spans import encoded
from langroute.wire.sse import Event, written

PING = written(b'{"type": "ping"}', "ping")


class MessagesProtocol(WireProtocol):
    """Anthropic's Messages protocol."""

    name = "messages"
    path = "/v1/messages"
    api = "anthropic"
    turns = (b"message_stop", b"error")
    entries_field = "messages"
    head_fields = ("system",)
    history_fields = ("system", "messages")

    @override
    def credentials(self, key: str) -> dict[str, str]:
        return {"x-api-key": key}

    @override
    def edits_of(self, request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
        return edits_for(request, target, rules)

    @override
    def read_event(self, answer: AnswerReader, event: Event) -> None:
        said = parsed(event)
        kind = said.get("type") or event.name
        if kind == "content_block_delta":
            self._delta(answer, said.get("index"), mapping(said.get("delta")))
        elif kind == "content_block_stop":
            answer.call_done(said.get("index"))
        elif kind == "content_block_start":
            self._block(answer, said.get("index"), mapping(said.get("content_block")))
        elif kind == "message_start":
            self._message(answer, mapping(said.get("message")))
        elif kind == "message_delta":
            answer.add_usage(said.get("usage"))
            self._end(answer, mapping(said.get("delta")).get("stop_reason"))
        elif kind == "message_stop":
            answer.complete = answer.error is None
        elif kind == "error":
            answer.fail(said.get("error") or said)

    @override
    def read_plain(self, answer: AnswerReader, event: Event) -> None:
        said = parsed(event)
        if said.get("type") == "error" or "error" in said:
            answer.fail(said.get("error"))
            return
        self._message(answer, said)
        for index, block in enumerate(sequence(said.get("content"))):
            self._block(answer, index, mapping(block))
            if mapping(block).get("type") == "tool_use":
                answer.add_call(index, arguments=encoded(block.get("input") or {}).decode())
        self._end(answer, said.get("stop_reason"))
        answer.complete = said.get("type") == "message" and answer.finish_reason is not None

    def _message(self, answer: AnswerReader, message: Any) -> None:
        answer.add_usage(message.get("usage"))
        model, number = message.get("model"), message.get("id")
        answer.model = model if isinstance(model, str) else None
        answer.id = number if isinstance(number, str) else None

    def _block(self, answer: AnswerReader, index: Any, block: Any) -> None:
        kind = block.get("type")
        if kind == "text":
            answer.started = True
            answer.add_text(block.get("text"))
        elif kind == "tool_use":
            answer.add_call(index, block.get("id"), block.get("name"))
        elif kind == "redacted_thinking":
            answer.add_reasoning(block.get("data"))
        elif kind == "thinking":
            answer.add_reasoning(block.get("signature"))
        else:
            answer.started = True
            answer.add_block(kind, block.get("name"))

    def _delta(self, answer: AnswerReader, index: Any, delta: Any) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            answer.add_text(delta.get("text"))
        elif kind == "input_json_delta":
            if index in answer.calls:
                answer.add_call(index, arguments=delta.get("partial_json"))
        elif kind == "signature_delta":
            answer.add_reasoning(delta.get("signature"))
        else:
            answer.started = True

    def _end(self, answer: AnswerReader, reason: Any) -> None:
        if isinstance(reason, str):
            answer.finish_reason = reason

    @override
    def error_body(self, status: int, kind: str, message: str) -> bytes:
        said = {"type": self.words.error_type(status), "message": message, "code": kind}
        return encoded({"type": "error", "error": said})

    @override
    def error_event(self, kind: str, message: str, status: int | None = None) -> bytes:
        return written(
            encoded({"type": "error", "error": {"type": self.words.server_error, "message": message, "code": kind}}), "error"
        )

    @override
    def ping(self) -> bytes:
        return PING

    @override
    def max_tokens_of(self, request: WireRequest) -> int | None:
        most = request.value("max_tokens")
        return most if isinstance(most, int) and most > 0 else None

    @override
    def tools_of(self, request: WireRequest) -> tuple[dict[str, Any], ...]:
        tools = [mapping(tool) for tool in sequence(request.value("tools"))]
        return tuple(
            histories.function_tool(tool.get("name"), tool.get("description"), tool["input_schema"])
            if "input_schema" in tool
            else dict(tool)
            for tool in tools
            if tool
        )

    @override
    def schema_of(self, request: WireRequest) -> Any:
        told = mapping(mapping(request.value("output_config")).get("format") or request.value("output_format"))
        return told.get("schema")

    @override
    def head_of(self, request: WireRequest) -> list[Any]:
        text = histories.joined(histories.blocks(request.value("system")))
        return [histories.system(text)] if text else []

    @override
    def entry(self, entry: Any) -> list[Any]:
        if not isinstance(entry, dict):
            return histories.human(str(entry)[:1000])
        content, role = entry.get("content"), entry.get("role")
        if role == "assistant":
            parts = histories.blocks(content)
            calls = [
                histories.call(one.get("id"), one.get("name"), one.get("input"))
                for one in parts
                if isinstance(one, dict) and one.get("type") == "tool_use"
            ]
            return [histories.answer(content if isinstance(content, str) else parts, calls)]
        if role == "system":
            return [histories.system(histories.joined(histories.blocks(content)))]
        if isinstance(content, str):
            return histories.human(content)
        results, said = [], []
        for one in histories.blocks(content):
            if isinstance(one, dict) and one.get("type") == "tool_result":
                inner = one.get("content")
                results.append(histories.result(one.get("tool_use_id"), inner, failed=one.get("is_error") is True))
            else:
                said.append(one)
        return [*results, *histories.human(said)]

    @override
    def beginning_of(self, request: WireRequest) -> list[bytes]:
        first = next((request.body[one.start : one.stop] for one in request.parts("messages")[:1]), b"")
        return [request.unmarked(request.raw("system")), request.unmarked(request.raw("tools")), request.unmarked(first)]


MESSAGES = MessagesProtocol()
