"""Translation between protocols: a request into another one, and the answer back. It is lossy, and says what it lost.

Where client and provider speak the same protocol nothing here is used: bytes pass as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from langroute.core.bounded import error_text
from langroute.core.fast_dataclass import fast_dataclass
from langroute.providers.failures import classify
from langroute.providers.profile import WireRules
from langroute.wire import chat_translation, messages_translation, responses_translation
from langroute.wire.answer_writers import AnswerWriter, end_with_calls
from langroute.wire.answers import AnswerReader, WireError
from langroute.wire.chat_answers import ChatWriter
from langroute.wire.edits import WireEdit, WireTarget
from langroute.wire.messages_answers import MessagesWriter
from langroute.wire.plain_request import PlainRequest, repaired
from langroute.wire.protocol import WireProtocol
from langroute.wire.request import WireRequest
from langroute.wire.responses_answers import ResponsesWriter
from langroute.wire.spans import encoded


class Translator(NamedTuple):
    """What is known of one protocol for translations."""

    read: Callable[[WireRequest], PlainRequest]
    write: Callable[[PlainRequest, WireTarget, WireRules], dict[str, Any]]
    writer: type[AnswerWriter]
    number: str
    """How its ids of answers begin."""


TRANSLATORS: Mapping[str, Translator] = {
    "chat": Translator(chat_translation.read, chat_translation.write, ChatWriter, "chatcmpl-"),
    "messages": Translator(messages_translation.read, messages_translation.write, MessagesWriter, "msg_"),
    "responses": Translator(responses_translation.read, responses_translation.write, ResponsesWriter, "resp_"),
}
"""Name of a protocol → what translates it."""


@fast_dataclass
class TranslatedRequest:
    """A request in the provider's protocol."""

    body: bytes
    source: WireProtocol
    """The client's protocol."""

    target: WireProtocol
    """The provider's protocol."""

    edits: tuple[WireEdit, ...] = ()
    """What was lost or added; names of `LOSSES`."""

    problem: str | None = None
    """Why the request cannot be translated; the body is of no use then."""

    stream: bool = False
    free_tools: frozenset[str] = frozenset()
    include_usage: bool = True


def translated(request: WireRequest, protocol: WireProtocol, target: WireTarget) -> TranslatedRequest:
    """Return a request in another protocol.

    The same beginning of a history gives the same bytes, so that the provider's prompt cache holds.

    Args:
        request: The client's request.
        protocol: The provider's protocol.
        target: The model that is asked, and where.
    """
    try:
        plain = TRANSLATORS[request.protocol.name].read(request)
        repaired(plain)
        body = encoded(TRANSLATORS[protocol.name].write(plain, target, target.rules(protocol.api)))
    except (RecursionError, ValueError, OverflowError) as error:
        return TranslatedRequest(b"", request.protocol, protocol, (), f"The request cannot be translated: {error_text(error, 100)}")
    return TranslatedRequest(
        body, request.protocol, protocol, plain.edits(), plain.problem, plain.stream, plain.free_tools, plain.include_usage
    )


class AnswerTranslator:
    """Translates an answer back while it comes.

    Args:
        request: What `translated` returned.
        model: Name of the model that the client is told.
        stream: The provider answers with a stream, whatever the client asked for.
        provider: The provider that answers, for its words.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> chat, messages = PROTOCOLS["chat"], PROTOCOLS["messages"]
        >>> asked = chat.read_request(b'{"model":"a","messages":[{"role":"user","content":"Hi."}]}', {})
        >>> there = translated(asked, messages, WireTarget("claude-haiku-4-5", "anthropic"))
        >>> back = AnswerTranslator(there, model="claude-haiku-4-5", stream=False, provider="anthropic")
        >>> answer = b'{"type":"message","role":"assistant","content":[{"type":"text","text":"Hello."}],"stop_reason":"end_turn"}'
        >>> body = back.feed(answer) + back.finish()
        >>> body.count(b'"content":"Hello."'), back.reader.complete
        (1, True)
    """

    def __init__(self, request: TranslatedRequest, *, model: str, stream: bool, provider: str | None = None) -> None:
        source = TRANSLATORS[request.source.name]
        self.request = request
        self.reader: AnswerReader = request.target.answer_reader(stream=stream, provider=provider)
        """What the provider's answer says; its usage is what is billed."""
        self.ended = False
        """The client has got the end of the protocol, or an error in its place."""
        self._writer = source.writer(
            model=model, number=f"{source.number}{uuid4().hex}", free_tools=request.free_tools, include_usage=request.include_usage
        )
        self.reader.sink = self._writer

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client gets for the next bytes of the provider's answer."""
        self.reader.feed(chunk)
        return self._so_far() if self.request.stream and not self.ended else b""

    def finish(self) -> bytes:
        """Return what the client gets when the provider's answer is over: an error of the protocol where it is not whole."""
        self.reader.finish()
        if self.ended:
            return b""
        if self.request.stream:
            out = self._so_far()
            return out if self.ended else out + self._failed()
        self.ended = True
        reader = self.reader
        if not reader.complete or reader.end == "error" or self._writer.too_long:
            return self._failed()
        return encoded(self._writer.plain(end_with_calls(reader.end, self._writer.segments), reader.usage))

    @property
    def whole(self) -> bool:
        """Whether the provider's answer was whole, so that the client gets an answer and no error."""
        return self.reader.complete and self.reader.end != "error" and not self._writer.too_long

    def _so_far(self) -> bytes:
        reader = self.reader
        if reader.error is not None:
            return self._failed()
        if reader.complete and reader.end != "error" and not self._writer.too_long:
            # A usage behind the finish reason comes before the end, in all protocols.
            self.ended = True
            return self._writer.finished(reader.end, reader.usage)
        return self._writer.take()

    def _failed(self) -> bytes:
        self.ended = True
        error = self.reader.error or WireError("")
        protocol, kind = self.request.source, error.code or error.type or self.request.source.words.broken
        message = error.message or "The provider's answer broke off."
        if self.request.stream:
            said = (error.type, error.code)
            known = (status for status, word in self.request.target.words.error_types.items() if word in said)
            return self._writer.take() + protocol.error_event(kind, message, error.status or next(known, 502))
        return protocol.error_body(502, kind, message)


class _AnsweredError(Exception):
    """An error answer, in the form in which errors are classified."""

    def __init__(self, status: int, error: WireError) -> None:
        super().__init__(error.message)
        self.status_code = status
        self.body = {"error": {"message": error.message, "type": error.type, "code": error.code}}


def translated_error(status: int, body: bytes, source: WireProtocol, target: WireProtocol, provider: str | None = None) -> bytes:
    """Return an error answer of a provider in the client's protocol, with its text. The status stays.

    What agents make of an error hangs on its code: an error of a context that is too long has the client's own.

    Args:
        status: HTTP status of the answer.
        body: Its body.
        source: The client's protocol.
        target: The provider's protocol.
        provider: The provider, for its words.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> said = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}'
        >>> translated_error(400, said, PROTOCOLS["chat"], PROTOCOLS["messages"], "anthropic").decode()
        '{"error":{"message":"prompt is too long: 9 tokens > 8 maximum","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}'
    """
    reader = target.answer_reader(stream=False, provider=provider)
    reader.feed(body)
    nameless = WireError(f"The provider answered with status {status}.")
    error = reader.finish().error or nameless
    kind = classify(_AnsweredError(status, error), provider).kind
    if kind == "context_overflow":
        words, message = source.words, error.message or nameless.message
        if words.context_phrase is not None and words.context_phrase not in message:
            message = f"{words.context_phrase}: {message}"
        return source.error_body(status, words.context_code or words.error_type(status), message)
    return source.error_body(status, error.code or error.type or kind, error.message or nameless.message)


__all__ = ["AnswerTranslator", "TranslatedRequest", "translated", "translated_error"]
