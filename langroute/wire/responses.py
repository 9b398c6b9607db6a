"""OpenAI's Responses protocol: `/v1/responses`.

Source: https://platform.openai.com/docs/api-reference/responses and /responses-streaming (read 2026-11-29).
"""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from langroute.providers.profile import WireRules
from langroute.wire import histories
from langroute.wire.answers import AnswerReader, mapping, parsed, sequence, word
from langroute.wire.edits import WireEdit, WireTarget
from langroute.wire.openai_edits import edits_for
from langroute.wire.openai_errors import error_of
from langroute.wire.protocol import WireProtocol
from langroute.wire.request import WireRequest
from langroute.wire.spans import encoded, value_of
from langroute.wire.sse import Event, written

CALLS = {"function_call": "arguments", "custom_tool_call": "input", "local_shell_call": "action"}
"""Type of an item that calls a tool → its field with what the tool is given."""

TEXTS = {"response.output_text.delta": AnswerReader.add_text, "response.refusal.delta": AnswerReader.add_refusal}
"""Type of an event with a part of a text → what takes it."""


class ResponsesProtocol(WireProtocol):
    """OpenAI's Responses protocol."""

    name = "responses"
    path = "/v1/responses"
    api = "openai-responses"
    turns = (b"complete", b"failed", b"error")
    entries_field = "input"
    head_fields = ("instructions",)
    history_fields = ("instructions", "input", "previous_response_id")

    @override
    def edits_of(self, request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
        return edits_for(request, target, rules, history="input", effort=("reasoning", "effort"))

    @override
    def read_event(self, answer: AnswerReader, event: Event) -> None:
        said = parsed(event)
        kind = said.get("type") or event.name
        if not isinstance(kind, str):
            return
        if kind in TEXTS:
            TEXTS[kind](answer, said.get("delta"))
        elif kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            answer.add_call(said.get("output_index"), arguments=said.get("delta"))
        elif kind == "response.output_item.added":
            self._item(answer, said.get("output_index"), mapping(said.get("item")))
        elif kind == "response.output_item.done":
            self._done(answer, said.get("output_index"), mapping(said.get("item")))
        elif (whole := kind.removeprefix("response.") in self.words.whole) or kind == "response.failed":
            # The connection may be closed right after it.
            self._response(answer, mapping(said.get("response")))
            answer.complete = whole
        elif kind in ("response.created", f"response.{self.words.running}"):
            self._envelope(answer, mapping(said.get("response")))
        elif kind == "error":
            answer.fail(said.get("error") or said)
        elif kind.endswith(".delta"):
            answer.started = True

    @override
    def read_plain(self, answer: AnswerReader, event: Event) -> None:
        said = parsed(event)
        if said.get("object") != "response" and (said.get("error") or said.get("type") == "error"):
            # Some servers answer with what would be the event of a stream.
            answer.fail(said.get("error") or said)
            return
        for index, item in enumerate(sequence(said.get("output"))):
            self._item(answer, index, mapping(item))
            self._done(answer, index, mapping(item))
        self._response(answer, said)
        answer.complete = said.get("status") in self.words.whole

    def _envelope(self, answer: AnswerReader, response: Any) -> None:
        if isinstance(model := response.get("model"), str):
            answer.model = model
        if isinstance(number := response.get("id"), str):
            answer.id = number
        if isinstance(tier := response.get("service_tier"), str):
            answer.terms["service_tier"] = tier

    def _response(self, answer: AnswerReader, response: Any) -> None:
        self._envelope(answer, response)
        answer.add_usage(response.get("usage"))
        reason = mapping(response.get("incomplete_details")).get("reason") or response.get("status")
        answer.finish_reason = reason if isinstance(reason, str) else answer.finish_reason
        if error := mapping(response.get("error")):
            answer.fail(error)

    def _item(self, answer: AnswerReader, index: Any, item: Any) -> None:
        kind = item.get("type")
        if kind in CALLS:
            answer.add_call(index, item.get("call_id"), item.get("name") or kind)
        elif kind not in ("message", "reasoning"):
            answer.add_block(kind, item.get("name"), item.get("action"))
        answer.started = True

    def _done(self, answer: AnswerReader, index: Any, item: Any) -> None:
        """Take what a finished item says, where its deltas did not say it."""
        kind = item.get("type")
        if kind in CALLS:
            given = item.get(CALLS[kind])
            known = answer.calls.get(index)
            if known is None or not known.arguments:
                text = given if isinstance(given, str) else encoded(given).decode()
                answer.add_call(index, item.get("call_id"), item.get("name") or kind, text)
            answer.call_done(index)
        elif kind == "reasoning":
            answer.add_reasoning(item.get("encrypted_content"))
        elif kind == "message":
            if answer.text_length == answer.texts_done:
                for part in sequence(item.get("content")):
                    answer.add_text(mapping(part).get("text"))
                    answer.add_refusal(mapping(part).get("refusal"))
            answer.texts_done = answer.text_length

    @override
    def error_body(self, status: int, kind: str, message: str) -> bytes:
        return encoded(error_of(self.words, status, kind, message))

    @override
    def error_event(self, kind: str, message: str, status: int | None = None) -> bytes:
        said = {"type": "error", "code": kind, "message": message, "param": None, "sequence_number": 0}
        return written(encoded(said), "error")

    @override
    def max_tokens_of(self, request: WireRequest) -> int | None:
        most = request.value("max_output_tokens")
        return most if isinstance(most, int) and most > 0 else None

    @override
    def tools_of(self, request: WireRequest) -> tuple[dict[str, Any], ...]:
        return tuple(_tool(mapping(tool)) for tool in sequence(request.value("tools")) if mapping(tool))

    @override
    def bound_by(self, request: WireRequest) -> str | None:
        if any(request.value(name) is not None for name in ("previous_response_id", "conversation")):
            return "The request goes on with a response that its provider has stored, so no other provider can answer it."
        return None

    @override
    def schema_of(self, request: WireRequest) -> Any:
        told = mapping(mapping(request.value("text")).get("format"))
        return told.get("schema") if told.get("type") == "json_schema" else None

    @override
    def head_of(self, request: WireRequest) -> list[Any]:
        said = request.value("instructions")
        given = request.value("input") if request.raw("input")[:1] == b'"' else None
        found = [histories.system(said)] if isinstance(said, str) and said else []
        return [*found, *histories.human(given)] if isinstance(given, str) else found

    @override
    def entry(self, entry: Any) -> list[Any]:
        if not isinstance(entry, dict):
            return histories.human(str(entry)[:1000])
        kind, role = word(entry.get("type", "message")), entry.get("role")
        if kind in CALLS:
            return [histories.answer("", [histories.call(entry.get("call_id"), entry.get("name") or kind, entry.get(CALLS[kind]))])]
        if kind.endswith("_output"):
            given = entry.get("output")
            return [histories.result(entry.get("call_id"), given if isinstance(given, str) else histories.blocks(given))]
        if kind != "message":
            return []
        content = entry.get("content")
        parts = content if isinstance(content, str) else [_block(one) for one in histories.blocks(content)]
        if role in ("system", "developer"):
            return [histories.system(histories.joined(histories.blocks(parts)))]
        return [histories.answer(parts, [])] if role == "assistant" else histories.human(parts)

    @override
    def is_answer(self, entry: Any) -> bool:
        kind = word(mapping(entry).get("type"))
        # Calls of the provider's own tools, too, such as `web_search_call`.
        return super().is_answer(entry) or kind == "reasoning" or kind.endswith("_call")

    @override
    def beginning_of(self, request: WireRequest) -> list[bytes]:
        head = [request.unmarked(request.raw("instructions")), request.unmarked(request.raw("tools"))]
        for place in request.parts("input"):
            raw = request.body[place.start : place.stop]
            head.append(request.unmarked(raw))
            item = mapping(value_of(raw, 0, len(raw)))
            if item.get("role") not in ("system", "developer"):
                break
        return head if len(head) > 2 else [*head, request.raw("input")]


def _tool(tool: Any) -> dict[str, Any]:
    if tool.get("type") != "function" or "function" in tool:
        return dict(tool)
    return histories.function_tool(tool.get("name"), tool.get("description"), tool.get("parameters"))


def _block(block: Any) -> Any:
    """Return a block of an input under the names that inspection knows."""
    if isinstance(block, dict) and block.get("type") in ("input_text", "output_text"):
        return {"type": "text", "text": block.get("text")}
    return block


RESPONSES = ResponsesProtocol()
