"""OpenAI's Chat Completions protocol: `/v1/chat/completions`.

Source: https://platform.openai.com/docs/api-reference/chat and /chat-streaming (read 2026-11-29).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from langroute.core.errors import MissingExtraError
from langroute.providers.profile import WireRules
from langroute.wire import histories
from langroute.wire.answers import AnswerReader, mapping, parsed, sequence
from langroute.wire.chat_usage import usage_edits
from langroute.wire.edits import WireEdit, WireTarget
from langroute.wire.openai_edits import edits_for
from langroute.wire.openai_errors import error_of
from langroute.wire.protocol import WireProtocol
from langroute.wire.request import WireRequest
from langroute.wire.spans import BROKEN, encoded, value_of
from langroute.wire.sse import Event, Events, written

try:
    import msgspec
except ImportError as error:
    raise MissingExtraError("msgspec", "serve", "Reading the answers of providers") from error


class _SpokenDelta(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: None = None
    function_call: None = None


class _SpokenChoice(msgspec.Struct, gc=False):
    delta: _SpokenDelta | None = None
    finish_reason: str | None = None


class _Spoken(msgspec.Struct, gc=False):
    """An event that says a part of the text, its end or the usage, and nothing else, as most of a stream do."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    choices: tuple[_SpokenChoice, ...] = ()
    usage: dict[str, Any] | None = None
    error: None = None


class _Entry(msgspec.Struct, gc=False):
    role: Any = None


_ROLE = msgspec.json.Decoder(_Entry)
_SPOKEN = msgspec.json.Decoder(_Spoken)
_ALL_SPOKEN = msgspec.json.Decoder(list[_Spoken])
_DONE = b"[DONE]"
_LAST = b"," + _DONE


class ChatProtocol(WireProtocol):
    """OpenAI's Chat Completions protocol, which most other servers speak."""

    name = "chat"
    path = "/v1/chat/completions"
    api = "openai-chat"
    reason_ends = True
    turns = (_DONE, b'"error"')
    entries_field = "messages"
    history_fields = ("messages",)

    @override
    def edits_of(self, request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
        return edits_for(request, target, rules, history="messages", effort=("reasoning_effort",))

    @override
    def usage_edits(self, request: WireRequest, target: WireTarget) -> tuple[WireEdit, ...]:
        return usage_edits(request) if "stream_options" in target.rules(self.api).arguments else ()

    @override
    def read_events(self, answer: AnswerReader, events: Events) -> None:
        told, count = events.joined() or (b"", 0)
        if done := told.endswith(_LAST):
            told, count = told[: -len(_LAST)], count - 1
        try:
            spoken = _ALL_SPOKEN.decode(b"[%s]" % told)
        except BROKEN:
            spoken = []
        if not count or len(spoken) != count:
            # One of them says something else.
            super().read_events(answer, events)
            return
        self._say_all(answer, spoken)
        if done:
            self._end(answer)

    @override
    def read_event(self, answer: AnswerReader, event: Event) -> None:
        if event.data[:1] != b"{" and event.data.strip() == _DONE:
            self._end(answer)
            return
        try:
            spoken = _SPOKEN.decode(event.data)
        except BROKEN:
            self.read_any(answer, parsed(event))
            return
        self._say(answer, spoken)

    @staticmethod
    def _end(answer: AnswerReader) -> None:
        answer.complete = answer.error is None and answer.finish_reason is not None

    def _say_all(self, answer: AnswerReader, spoken: Sequence[_Spoken]) -> None:
        """Take what events say that came together; their text is one."""
        if answer.sink is not None:
            # A translation writes an event for each.
            for one in spoken:
                self._say(answer, one)
            return
        for one in spoken:
            if answer.model is None or answer.id is None or one.service_tier is not None or one.usage is not None:
                self._heading(answer, one)
        choices = [choice for one in spoken for choice in one.choices]
        answer.add_text("".join([choice.delta.content for choice in choices if choice.delta is not None and choice.delta.content]))
        for choice in choices:
            if choice.finish_reason is not None:
                answer.finish_reason = choice.finish_reason

    def _heading(self, answer: AnswerReader, spoken: _Spoken) -> None:
        said = {"model": spoken.model, "id": spoken.id, "service_tier": spoken.service_tier, "usage": spoken.usage}
        self._envelope(answer, said)

    def _say(self, answer: AnswerReader, spoken: _Spoken) -> None:
        if answer.model is None or answer.id is None or spoken.service_tier is not None or spoken.usage is not None:
            self._heading(answer, spoken)
        for choice in spoken.choices:
            if choice.delta is not None:
                answer.add_text(choice.delta.content)
            if choice.finish_reason is not None:
                answer.finish_reason = choice.finish_reason

    def read_any(self, answer: AnswerReader, said: dict[str, Any]) -> None:
        """Read an event by its parsed form."""
        if said.get("error"):
            answer.fail(said["error"])
            return
        self._envelope(answer, said)
        for choice in sequence(said.get("choices")):
            choice = mapping(choice)
            self._delta(answer, choice.get("index"), mapping(choice.get("delta")))
            if isinstance(reason := choice.get("finish_reason"), str):
                answer.finish_reason = reason

    @override
    def read_plain(self, answer: AnswerReader, event: Event) -> None:
        said = parsed(event)
        if said.get("error"):
            answer.fail(said["error"])
            return
        self._envelope(answer, said)
        for choice in sequence(said.get("choices")):
            choice = mapping(choice)
            self._delta(answer, choice.get("index"), mapping(choice.get("message")))
            if isinstance(reason := choice.get("finish_reason"), str):
                answer.finish_reason = reason
        answer.complete = answer.finish_reason is not None

    def _envelope(self, answer: AnswerReader, said: dict[str, Any]) -> None:
        if answer.model is None and isinstance(model := said.get("model"), str):
            answer.model = model
        if answer.id is None and isinstance(number := said.get("id"), str):
            answer.id = number
        if isinstance(tier := said.get("service_tier"), str):
            answer.terms["service_tier"] = tier
        answer.add_usage(said.get("usage"))

    def _delta(self, answer: AnswerReader, choice: Any, delta: Any) -> None:
        self._content(answer, delta.get("content"))
        answer.add_refusal(delta.get("refusal"))
        if delta.get("reasoning_content") or delta.get("reasoning"):
            answer.started = True
        for at, call in enumerate(sequence(delta.get("tool_calls"))):
            call = mapping(call)
            function = mapping(call.get("function"))
            key = (choice, call.get("index", at))
            answer.add_call(key, call.get("id"), function.get("name"), function.get("arguments"))
        if function := mapping(delta.get("function_call")):
            answer.add_call((choice, "function"), None, function.get("name"), function.get("arguments"))

    def _content(self, answer: AnswerReader, content: Any) -> None:
        """Take a text, or a list of parts, as Mistral's models that think write it."""
        answer.add_text(content)
        for part in map(mapping, sequence(content)):
            answer.add_text(part.get("text"))
            answer.started = answer.started or bool(part.get("thinking"))

    @override
    def error_body(self, status: int, kind: str, message: str) -> bytes:
        return encoded(error_of(self.words, status, kind, message))

    @override
    def error_event(self, kind: str, message: str, status: int | None = None) -> bytes:
        said = error_of(self.words, status or 500, kind, message)
        if status is not None and (status >= 500 or (status == 429 and kind != self.words.error_type(402))):
            # As OpenRouter writes it. A client that retries by statuses, such as Cline, finds one nowhere else in a stream.
            said["error"]["code"] = status
        return written(encoded(said))

    @override
    def max_tokens_of(self, request: WireRequest) -> int | None:
        found = [request.value(name) for name in ("max_completion_tokens", "max_tokens")]
        return next((most for most in found if isinstance(most, int) and most > 0), None)

    @override
    def tools_of(self, request: WireRequest) -> tuple[dict[str, Any], ...]:
        return tuple(dict(tool) for tool in sequence(request.value("tools")) if mapping(tool))

    @override
    def schema_of(self, request: WireRequest) -> Any:
        told = mapping(request.value("response_format"))
        return mapping(told.get("json_schema")).get("schema") if told.get("type") == "json_schema" else None

    @override
    def head_of(self, request: WireRequest) -> list[Any]:
        return []

    @override
    def entry(self, entry: Any) -> list[Any]:
        if not isinstance(entry, dict):
            return histories.human(str(entry)[:1000])
        content, role = entry.get("content"), entry.get("role")
        parts = content if isinstance(content, str) else histories.blocks(content)
        if role in ("system", "developer"):
            return [histories.system(parts)]
        if role == "assistant":
            calls = []
            for one in sequence(entry.get("tool_calls")):
                function = mapping(mapping(one).get("function"))
                calls.append(histories.call(mapping(one).get("id"), function.get("name"), function.get("arguments")))
            return [histories.answer(parts, calls)]
        if role in ("tool", "function"):
            return [histories.result(entry.get("tool_call_id"), parts, name=entry.get("name"))]
        return histories.human(parts)

    @override
    def beginning_of(self, request: WireRequest) -> list[bytes]:
        head: list[bytes] = [request.unmarked(request.raw("tools"))]
        for place in request.parts("messages"):
            raw = request.body[place.start : place.stop]
            head.append(request.unmarked(raw))
            if _role_of(raw) not in ("system", "developer"):
                break
        return head


def _role_of(raw: bytes) -> Any:
    """Return the role of an entry of the history, of which nothing else is read."""
    try:
        return _ROLE.decode(raw).role
    except BROKEN:
        return mapping(value_of(raw, 0, len(raw))).get("role")


CHAT = ChatProtocol()
