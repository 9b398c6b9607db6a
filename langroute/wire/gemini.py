"""Google's Gemini protocol: `/v1beta/models/MODEL:generateContent`, `:streamGenerateContent` and `:countTokens`.

The model and the form of the answer stand in the address, not in the body. Source: https://ai.google.dev/api/generate-content,
/api/tokens and /gemini-api/docs/function-calling (read 2026-11-30).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from typing_extensions import override

from langroute.providers.profile import WireRules
from langroute.wire import histories
from langroute.wire.answers import AnswerReader, mapping, parsed, sequence, word
from langroute.wire.edits import WireEdit, WireTarget
from langroute.wire.gemini_edits import edits_for
from langroute.wire.protocol import WireProtocol
from langroute.wire.request import MAX_MODEL, WireRequest
from langroute.wire.spans import encoded
from langroute.wire.sse import Event, written

PLAIN, STREAM, COUNT = "generateContent", "streamGenerateContent", "countTokens"
"""What can be asked of a model."""

_ADDRESS = re.compile(r"(?:models/)?(?P<model>[^:?]+):(?P<method>[A-Za-z]+)")
_SECRETS = frozenset({"key", "access_token"})
"""Parameters of the address that are credentials: the client's are for the gateway."""


PING = b"\n\n"
"""Blank lines. Google's SDK for JavaScript reads nothing behind a comment, so that Gemini CLI asked again, and ran both answers' calls."""


class GeminiProtocol(WireProtocol):
    """Google's Gemini protocol."""

    name = "gemini"
    path = "/v1beta/models"
    addressed = True
    api = "gemini"
    reason_ends = True
    turns = (b'"error"',)
    entries_field = "contents"
    head_fields = ("systemInstruction", "system_instruction")
    history_fields = ("systemInstruction", "system_instruction", "contents")

    @override
    def read_request(
        self, body: bytes, headers: Mapping[str, str] | Iterable[tuple[str, str]], address: str = "", query: str = ""
    ) -> WireRequest:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        asked = _ADDRESS.fullmatch(address)
        model, method = (asked["model"][:MAX_MODEL], asked["method"]) if asked is not None else ("", "")
        request = WireRequest(
            self, body, {name.lower(): value for name, value in pairs}, model=model, stream=method == STREAM, method=method
        )
        if request.problem is None:
            request.problem = _problem(method, query)
        return request

    @override
    def address_of(self, url: str, model: str, request: WireRequest) -> str:
        return f"{url}/{quote(model, safe='')}:{request.method}"

    @override
    def query_of(self, query: str) -> str:
        return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in _SECRETS])

    @override
    def credentials(self, key: str) -> dict[str, str]:
        return {"x-goog-api-key": key}

    @override
    def edits_of(self, request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
        return edits_for(request, target, rules)

    # Answers -----------------------------------------------------------------------------------------------------------

    @override
    def read_event(self, answer: AnswerReader, event: Event) -> None:
        said = parsed(event)
        if "error" in said:
            answer.fail(_error(said["error"]))
            return
        model, number = said.get("modelVersion"), said.get("responseId")
        answer.model = model if isinstance(model, str) else answer.model
        answer.id = number if isinstance(number, str) else answer.id
        answer.add_usage(said.get("usageMetadata"))
        first = mapping(next(iter(sequence(said.get("candidates"))), None))
        for part in sequence(mapping(first.get("content")).get("parts")):
            self._part(answer, mapping(part))
        blocked = mapping(said.get("promptFeedback")).get("blockReason")
        reason = first.get("finishReason") or blocked
        if isinstance(reason, str):
            answer.finish_reason = reason

    def _part(self, answer: AnswerReader, part: Mapping[str, Any]) -> None:
        if part.get("thoughtSignature"):
            answer.add_reasoning(part["thoughtSignature"])
        if part.get("thought") is True:
            answer.started = True
        elif "functionCall" in part:
            call = mapping(part["functionCall"])
            key = len(answer.calls)
            answer.add_call(key, call.get("id"), call.get("name"), encoded(call.get("args") or {}).decode())
            answer.call_done(key)
        elif "text" in part:
            answer.add_text(part["text"])
        elif part:
            answer.started = True
            answer.add_block(next(iter(part)))

    @override
    def read_plain(self, answer: AnswerReader, event: Event) -> None:
        self.read_event(answer, event)
        answer.complete = answer.error is None and answer.finish_reason is not None

    # What clients are told ---------------------------------------------------------------------------------------------

    @override
    def error_body(self, status: int, kind: str, message: str) -> bytes:
        return encoded({"error": self._said(status, kind, message)})

    @override
    def ping(self) -> bytes:
        return PING

    @override
    def error_event(self, kind: str, message: str, status: int | None = None) -> bytes:
        return written(encoded({"error": self._said(500, kind, message)}))

    def _said(self, status: int, kind: str, message: str) -> dict[str, Any]:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": kind.upper(), "domain": "langroute"}
        return {"code": status, "message": message, "status": self.words.error_type(status), "details": [reason]}

    @override
    def counts_only(self, request: WireRequest) -> bool:
        return request.method == COUNT

    @override
    def count_tokens(self, request: WireRequest) -> bytes:
        return encoded({"totalTokens": self.estimated_tokens(request)})

    # What a request says -----------------------------------------------------------------------------------------------

    @override
    def max_tokens_of(self, request: WireRequest) -> int | None:
        most = _generation(request).get("maxOutputTokens")
        return most if isinstance(most, int) and most > 0 else None

    @override
    def tools_of(self, request: WireRequest) -> tuple[dict[str, Any], ...]:
        found: list[dict[str, Any]] = []
        for tool in map(mapping, sequence(request.value("tools"))):
            declared = sequence(tool.get("functionDeclarations") or tool.get("function_declarations"))
            for one in map(mapping, declared):
                schema = one.get("parametersJsonSchema") or one.get("parameters")
                found.append(histories.function_tool(one.get("name"), one.get("description"), schema))
            found += [{"type": name} for name in tool if name not in ("functionDeclarations", "function_declarations")]
        return tuple(found)

    @override
    def bound_by(self, request: WireRequest) -> str | None:
        if request.value("cachedContent") or request.value("cached_content"):
            return "the cached content of the request belongs to one model"
        return None

    @override
    def schema_of(self, request: WireRequest) -> Any:
        told = _generation(request)
        return told.get("responseJsonSchema") or told.get("responseSchema")

    @override
    def head_of(self, request: WireRequest) -> list[Any]:
        told = request.value("systemInstruction") or request.value("system_instruction")
        text = histories.joined(sequence(mapping(told).get("parts")))
        return [histories.system(text)] if text else []

    @override
    def entry(self, entry: Any) -> list[Any]:
        parts = [mapping(part) for part in sequence(mapping(entry).get("parts"))]
        if not parts:
            return histories.human(str(entry)[:1000])
        if mapping(entry).get("role") == "model":
            calls = [_call(mapping(part["functionCall"])) for part in parts if "functionCall" in part]
            return [histories.answer(_blocks(part for part in parts if part.get("thought") is not True), calls)]
        results = [_result(mapping(part["functionResponse"])) for part in parts if "functionResponse" in part]
        said = _blocks(part for part in parts if "functionResponse" not in part)
        return [*results, *(histories.human(said) if said else ())]

    @override
    def beginning_of(self, request: WireRequest) -> list[bytes]:
        first = next((request.body[one.start : one.stop] for one in request.parts("contents")[:1]), b"")
        heads = [request.unmarked(request.raw(name)) for name in self.head_fields]
        return [*heads, request.unmarked(request.raw("tools")), request.unmarked(first)]


def _problem(method: str, query: str) -> str | None:
    """Return why an address is none that a request can be sent to."""
    if method not in (PLAIN, STREAM, COUNT):
        return f"The address ends with the model and what is asked of it: /v1beta/models/MODEL:{PLAIN}, :{STREAM} or :{COUNT}."
    if method == STREAM and dict(parse_qsl(query)).get("alt") != "sse":
        return f"A stream is sent as events: call {STREAM} with ?alt=sse."
    return None


def _generation(request: WireRequest) -> Mapping[str, Any]:
    return mapping(request.value("generationConfig") or request.value("generation_config"))


def _error(error: Any) -> Any:
    said = mapping(error)
    return {**said, "type": word(said.get("status"))} if said else error


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    # Without ids a call and its result have the function's name in common.
    return histories.call(call.get("id") or call.get("name"), call.get("name"), call.get("args"))


def _result(result: Mapping[str, Any]) -> Any:
    told = result.get("response")
    said = mapping(told)
    text = next((said[name] for name in ("output", "result", "error") if isinstance(said.get(name), str)), None)
    content = text if text is not None else encoded(told).decode() if told is not None else ""
    failed = "error" in said and "output" not in said
    return histories.result(result.get("id") or result.get("name"), content, failed=failed, name=result.get("name"))


_MEDIA = frozenset({"image", "audio", "video"})


def _blocks(parts: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the parts as LangChain's content blocks; calls are left out."""
    found: list[Any] = []
    for part in parts:
        data = mapping(part.get("inlineData") or part.get("fileData"))
        if "text" in part:
            found.append({"type": "text", "text": word(part["text"])})
        elif data:
            kind = word(data.get("mimeType")).partition("/")[0]
            found.append({"type": kind if kind in _MEDIA else "file", "mime_type": word(data.get("mimeType")), "url": "data:"})
    return found


GEMINI = GeminiProtocol()

__all__ = ["GEMINI", "GeminiProtocol"]
