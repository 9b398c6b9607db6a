"""What a provider's answer says, read from its bytes as they pass: usage, end, model, text, tool calls and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Usage
from langroute.providers.ends import end_of
from langroute.providers.usage import usage_of
from langroute.wire.edits import reasoning_digest
from langroute.wire.spans import value_of
from langroute.wire.sse import Event, EventReader, Events

MAX_TEXT = 200_000
"""Most characters of an answer's text, and of all arguments of its tool calls, that are kept."""

MAX_CALLS = 256
"""Most tool calls that are kept."""

MAX_PLAIN = 64 * 2**20
"""Longest plain answer, in bytes, that is read."""


@fast_dataclass
class WireError:
    """An error that a provider sent, in a body or in the middle of a stream."""

    message: str
    type: str = ""
    code: str = ""
    status: int | None = None


@dataclass(slots=True)
class WireCall:
    """A tool call of an answer; its arguments as JSON text, perhaps cut."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The arguments."""
        return "".join(self.arguments)


class AnswerSink(Protocol):
    """Hears what an answer says while it is read."""

    def text(self, text: str) -> None:
        """Take a part of the text."""

    def call(self, key: Any, id: str, name: str, arguments: str) -> None:
        """Take a part of the tool call of a key; empty texts say nothing."""

    def call_done(self, key: Any) -> None:
        """Take that a tool call is whole. Not every protocol says it."""


class AnswerReader:
    """Reads an answer from its bytes. It never raises, whatever they are, and keeps a bounded part of them.

    Made by `WireProtocol.answer_reader`. Call `feed` with every chunk and `finish` at the end of the answer.
    """

    def __init__(
        self,
        read: Callable[[AnswerReader, Events], None],
        *,
        stream: bool,
        provider: str | None = None,
        reason_ends: bool = False,
        turns: tuple[bytes, ...] = (),
    ) -> None:
        self.stream = stream
        self.provider = provider
        self.reason_ends = reason_ends
        self.turns = turns
        """Each event that ends the answer, or is an error, has one of these words in it."""
        self.model: str | None = None
        """The model that answered, as the provider says."""
        self.id: str | None = None
        self.finish_reason: str | None = None
        """Why the answer ended, in the provider's own word."""
        self.complete = False
        """Whether the answer ended as the protocol ends one."""
        self.error: WireError | None = None
        """The error that the provider sent in the place of an end."""
        self.started = False
        """Whether a part of the answer itself was read: text, thinking or a tool call."""
        self.raw_usage: dict[str, Any] = {}
        """The provider's own usage record, as far as it was told."""
        self.terms: dict[str, Any] = {}
        """Fields of the answer beside the usage that its bill depends on."""
        self.refused = False
        """Whether the answer says in a field of its own that the model refuses."""
        self.blocks: list[dict[str, Any]] = []
        """Type and name of the blocks of the provider's own tools, which may be billed one by one."""
        self.calls: dict[Any, WireCall] = {}
        self.reasoning: list[str] = []
        """Digests (`reasoning_digest`) of the signatures and of the encrypted reasoning in the answer."""
        self.texts_done = 0
        """Characters of the text that stand in items which are whole, in a protocol that tells it."""
        self.sink: AnswerSink | None = None
        """Hears what the answer says, uncut, for a translation."""
        self._read = read
        self._events = EventReader()
        self._text: list[str] = []
        self._left = {"text": MAX_TEXT, "calls": MAX_TEXT}
        self._plain = bytearray()
        self._plain_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes of the answer."""
        if not self.stream:
            self._plain_bytes += len(chunk)
            if self._plain_bytes <= MAX_PLAIN:
                self._plain += chunk
            return
        if events := self._events.feed(chunk):
            self._read(self, events)

    def finish(self) -> AnswerReader:
        """Say that no more bytes come. Return the reader."""
        if self.stream:
            # A last event without the empty line behind it is no event, by the standard; `[DONE]` is often sent so.
            if self._events.rest().endswith(b"[DONE]"):
                self._read(self, self._events.feed(b"\n\n"))
            if self.reason_ends and self.error is None and self.finish_reason is not None and self.between_events:
                # Some servers leave out what should end the stream; nothing of the answer can be missing.
                self.complete = True
        elif 0 < self._plain_bytes <= MAX_PLAIN:
            self._read(self, Events(known=[Event("", bytes(self._plain))]))
            self._plain = bytearray()
        return self

    @property
    def between_events(self) -> bool:
        """Whether an event of our own can be put here without cutting one of the provider's."""
        return self._events.between_events

    @property
    def end(self) -> str | None:
        """One of langroute's kinds of ends; `None` where the answer gave no reason."""
        return end_of(self.finish_reason, self.provider)

    @property
    def text(self) -> str:
        """The answer's text, perhaps cut."""
        return "".join(self._text)

    @property
    def text_length(self) -> int:
        """Characters of the answer's text so far, the cut ones included."""
        return MAX_TEXT - self._left["text"]

    @property
    def tool_calls(self) -> tuple[WireCall, ...]:
        """The tool calls, in their order."""
        return tuple(self.calls.values())

    @property
    def usage(self) -> Usage | None:
        """Tokens that the call is billed for, as far as the answer told them; `None` where it did not."""
        if not self.raw_usage:
            return None
        said = {**self.terms, "usage": self.raw_usage, "model_name": self.model or ""}
        message = SimpleNamespace(usage_metadata=None, response_metadata=said, content=self.blocks, tool_calls=())
        try:
            return usage_of(message)
        except Exception:  # noqa: BLE001 - counts that are no counts
            return None

    def add_text(self, text: Any) -> None:
        """Keep a part of the answer's text."""
        if isinstance(text, str) and text:
            self.started = True
            if self.sink is not None:
                self.sink.text(text)
            if (left := self._left["text"]) > 0:
                self._text.append(text[:left])
            self._left["text"] = left - len(text)

    def add_refusal(self, text: Any) -> None:
        """Keep a part of the text by which the model refuses."""
        self.refused = self.refused or bool(text)
        self.add_text(text)

    def add_call(self, key: Any, id: Any = None, name: Any = None, arguments: Any = None) -> None:
        """Keep a part of a tool call."""
        self.started = True
        if self.sink is not None:
            self.sink.call(key, *(part if isinstance(part, str) else "" for part in (id, name, arguments)))
        call = self.calls.get(key)
        if call is None:
            if len(self.calls) >= MAX_CALLS:
                return
            call = self.calls[key] = WireCall()
        if isinstance(id, str) and id:
            call.id = id
        if isinstance(name, str) and name:
            call.name = name
        if isinstance(arguments, str) and arguments and self._left["calls"] > 0:
            call.arguments.append(arguments[: self._left["calls"]])
            self._left["calls"] -= len(arguments)

    def call_done(self, key: Any) -> None:
        """Take that a tool call is whole."""
        if self.sink is not None and key in self.calls:
            self.sink.call_done(key)

    def add_block(self, kind: Any, name: Any = None, action: Any = None) -> None:
        """Keep that the answer has a block of one of the provider's own tools."""
        if isinstance(kind, str) and len(self.blocks) < MAX_CALLS:
            self.blocks.append({"type": kind, "name": name, "action": {"type": mapping(action).get("type")}})

    def add_reasoning(self, sealed: Any) -> None:
        """Keep the digest of a signature of thinking, or of encrypted reasoning, so that it is known later whose it is."""
        self.started = True
        if isinstance(sealed, str) and sealed and len(self.reasoning) < MAX_CALLS:
            self.reasoning.append(reasoning_digest(sealed))

    def add_usage(self, said: Any) -> None:
        """Keep what a usage record says; a later one goes before an earlier one, field by field."""
        if isinstance(said, Mapping):
            self.raw_usage.update({key: value for key, value in said.items() if isinstance(key, str) and value is not None})

    def fail(self, error: Any, status: int | None = None) -> None:
        """Keep the provider's error."""
        said = error if isinstance(error, Mapping) else {"message": error}
        code = said.get("code")
        self.error = WireError(
            _cut(said.get("message")), _cut(said.get("type")), _cut(code), code if isinstance(code, int) else status
        )
        self.complete = False


def read_each(read: Callable[[AnswerReader, Event], None], answer: AnswerReader, events: Sequence[Event]) -> None:
    """Take from each event what it says."""
    for event in events:
        _read(read, answer, event)


def _read(read: Callable[[AnswerReader, Event], None], answer: AnswerReader, event: Event) -> None:
    try:
        read(answer, event)
    except Exception:  # noqa: BLE001 - an event may be anything; what it says is left out
        return


def parsed(event: Event) -> dict[str, Any]:
    """Return an event's data as a mapping; an empty one where it is none."""
    value = value_of(event.data, 0, len(event.data))
    return value if isinstance(value, dict) else {}


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value where it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return the value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def word(value: Any) -> str:
    """Return the value where it is a text, else an empty one: a type or a name may be anything."""
    return value if isinstance(value, str) else ""


def _cut(value: Any) -> str:
    return "" if value is None else str(value)[:2000]


__all__ = ["AnswerReader", "WireCall", "WireError", "mapping", "parsed", "read_each", "sequence", "word"]
