"""Base of the wire protocols: how a request is read and sent on, how an answer is read, and what clients are told.

Nothing here does I/O. A protocol is a file beside this one; `langroute.wire.protocols` finds it by its name or its path.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from langroute.providers.profile import ProtocolWords, WireRules
from langroute.providers.wire import WORDS
from langroute.steps.inspector import Inspector, tool_tokens
from langroute.wire import headers as wire_headers
from langroute.wire import histories
from langroute.wire.answers import AnswerReader, read_each
from langroute.wire.edits import WireEdit, WireTarget
from langroute.wire.request import WireRequest
from langroute.wire.spans import Splice, encoded, spliced
from langroute.wire.sse import COMMENT, Event, Events

_INSPECTOR = Inspector()


class WireProtocol(ABC):
    """One protocol that clients speak and providers are asked in."""

    name: ClassVar[str]
    """`chat`, `responses`, `messages` or `gemini`."""

    path: ClassVar[str]
    """Path of its requests, such as `/v1/messages`."""

    addressed: ClassVar[bool] = False
    """Whether the address goes on behind `path`, with the model and what is asked of it."""

    api: ClassVar[str]
    """langroute's wire format of it."""

    reason_ends: ClassVar[bool] = False
    """A stream that was closed after its finish reason is whole."""

    entries_field: ClassVar[str]
    """Field with the entries of the history."""

    head_fields: ClassVar[tuple[str, ...]] = ()
    """Fields whose text stands before them."""

    history_fields: ClassVar[tuple[str, ...]]
    """Fields of a request that hold what the model reads."""

    turns: ClassVar[tuple[bytes, ...]]
    """Each event of a stream that ends an answer, or is an error, has one of these words in it."""

    @property
    def words(self) -> ProtocolWords:
        """The protocol's own words."""
        return WORDS[self.api]

    # Requests ----------------------------------------------------------------------------------------------------------

    def read_request(
        self, body: bytes, headers: Mapping[str, str] | Iterable[tuple[str, str]], address: str = "", query: str = ""
    ) -> WireRequest:
        """Return the envelope of a request. Never raises: what is wrong with it says `WireRequest.problem`.

        Args:
            body: The bytes of the body, uncompressed.
            headers: The headers that came with it.
            address: What stood behind `path` in its address; only some protocols have anything there.
            query: The query of its address, without the question mark.
        """
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return WireRequest(self, body, {name.lower(): value for name, value in pairs})

    def edits(self, request: WireRequest, target: WireTarget) -> tuple[WireEdit, ...]:
        """Return what must change before the target takes the request. The same beginning of a history gives the same changes.

        Nothing must where the client wrote the request for this model, but for what other models have put into the history.
        """
        known = replace(target, same_model=True) if target.model == request.model else target
        return self.edits_of(request, known, target.rules(self.api))

    @abstractmethod
    def edits_of(self, request: WireRequest, target: WireTarget, rules: WireRules) -> tuple[WireEdit, ...]:
        """Return what must change, by what the target takes."""

    def usage_edits(self, request: WireRequest, target: WireTarget) -> tuple[WireEdit, ...]:
        """Return what must change so that a stream tells its usage. Its answer then passes through `UsageFilter`."""
        return ()

    def splice(self, request: WireRequest, *, model: str | None = None, edits: Sequence[WireEdit] = ()) -> bytes:
        """Return the request's bytes with another name of a model and these changes; all other bytes are as they were sent.

        Args:
            request: The request.
            model: Name of the model to ask for; `None` leaves what the client wrote.
            edits: What `edits` returned.
        """
        splices = [one for edit in edits for one in edit.splices]
        if model is not None and model != request.model:
            splices += [Splice(one.value, one.stop, encoded(model)) for one in request.all_fields if one.name == "model"]
        return spliced(request.body, splices) if splices else request.body

    def address_of(self, url: str, model: str, request: WireRequest) -> str:
        """Return the address that a request is sent to.

        Args:
            url: The route's address of the protocol.
            model: The route's model.
            request: The request.
        """
        return url

    def query_of(self, query: str) -> str:
        """Return the part of the client's query that goes on to the provider."""
        return query

    def forward_headers(
        self,
        headers: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        credentials: Mapping[str, str],
        edits: Sequence[WireEdit] = (),
    ) -> dict[str, str]:
        """Return the headers that go to the provider: without the client's credentials and what held between it and us alone.

        Args:
            headers: The client's headers.
            credentials: The provider's; see `credentials`.
            edits: What `edits` returned: betas that the target does not take are left out.
        """
        changed = {name: value for edit in edits for name, value in edit.headers}
        kept = wire_headers.forward_headers(headers, credentials, drop=changed)
        return {**kept, **{name: value for name, value in changed.items() if value}}

    def answer_headers(self, headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the headers of a provider's answer that go back to the client."""
        return wire_headers.answer_headers(headers)

    def credentials(self, key: str) -> dict[str, str]:
        """Return the headers that carry a key of the provider's."""
        return {"authorization": f"Bearer {key}"}

    # Answers -----------------------------------------------------------------------------------------------------------

    def answer_reader(self, *, stream: bool, provider: str | None = None) -> AnswerReader:
        """Return a reader of an answer.

        Args:
            stream: The answer is a stream of events, as its content type says, not a JSON body.
            provider: The provider that answers, for its words.
        """
        read = self.read_events if stream else partial(read_each, self.read_plain)
        return AnswerReader(read, stream=stream, provider=provider, reason_ends=self.reason_ends, turns=self.turns)

    def read_events(self, answer: AnswerReader, events: Events) -> None:
        """Take from events of a stream, which came together, what they say."""
        read_each(self.read_event, answer, events)

    @abstractmethod
    def read_event(self, answer: AnswerReader, event: Event) -> None:
        """Take from one event of a stream what it says."""

    @abstractmethod
    def read_plain(self, answer: AnswerReader, event: Event) -> None:
        """Take from a plain answer's body what it says."""

    # What clients are told ---------------------------------------------------------------------------------------------

    @abstractmethod
    def error_body(self, status: int, kind: str, message: str) -> bytes:
        """Return the body of an error.

        Args:
            status: HTTP status that it is sent with.
            kind: What happened, in a word: it is the error's code.
            message: What a person reads.
        """

    @abstractmethod
    def error_event(self, kind: str, message: str, status: int | None = None) -> bytes:
        """Return what ends a stream that broke: an error of the protocol, after which the connection is closed.

        Args:
            kind: A word for it.
            message: What happened.
            status: HTTP status that it would have had before the stream began; `None` where that is unknown.
        """

    def budget_exceeded(self, message: str) -> tuple[int, bytes]:
        """Return status and body for a budget that is used up: what makes coding agents stop at once and show the message."""
        return 400, self.error_body(400, "budget_exceeded", message)

    def ping(self) -> bytes:
        """Return what keeps a silent stream alive and says nothing. It may stand before the first event."""
        return COMMENT

    def models_list(self, names: Iterable[str]) -> bytes:
        """Return the body of `GET /v1/models`, in a form that clients of all protocols read."""
        return models_list(names)

    def counts_only(self, request: WireRequest) -> bool:
        """Return whether a request asks for a count of its tokens rather than for an answer."""
        return False

    def count_tokens(self, request: WireRequest) -> bytes:
        """Return the body of an answer to `count_tokens`: an estimate."""
        return encoded({"input_tokens": self.estimated_tokens(request)})

    def estimated_tokens(self, request: WireRequest) -> int:
        """Return the estimated input tokens of a request, tools included."""
        tokens = tool_tokens(request.tools) if request.tools else 0
        messages = request.messages()
        return _INSPECTOR.inspect(messages, tools_tokens=tokens).signals.tokens if messages else tokens

    # What a request says; asked through `WireRequest` --------------------------------------------------------------------

    @abstractmethod
    def max_tokens_of(self, request: WireRequest) -> int | None:
        """Return the longest answer that was asked for."""

    @abstractmethod
    def tools_of(self, request: WireRequest) -> tuple[dict[str, Any], ...]:
        """Return the tools in OpenAI's form."""

    def bound_by(self, request: WireRequest) -> str | None:
        """Return why only the provider that answered before can answer."""
        return None

    @abstractmethod
    def schema_of(self, request: WireRequest) -> Any:
        """Return the schema that the answer must have."""

    def messages_of(self, request: WireRequest) -> list[Any]:
        """Return the history as LangChain messages."""
        read = [one for entry in request.entries(self.entries_field) for one in self.entry(entry)]
        return histories.with_a_user([*self.head_of(request), *histories.in_rounds([], read)])

    @abstractmethod
    def head_of(self, request: WireRequest) -> list[Any]:
        """Return the messages that stand before the entries of the history: the system prompt where it has a field of its own."""

    @abstractmethod
    def entry(self, entry: Any) -> list[Any]:
        """Return the messages that an entry of the history is."""

    def is_answer(self, entry: Any) -> bool:
        """Return whether an entry of the history is something that a model wrote."""
        return isinstance(entry, dict) and entry.get("role") in ("assistant", "model")

    @abstractmethod
    def beginning_of(self, request: WireRequest) -> list[bytes]:
        """Return what a conversation keeps: system prompt, tools and first user message, without marks of the prompt cache."""


def models_list(names: Iterable[str]) -> bytes:
    """Return the body of `GET /v1/models`, in a form that clients of all protocols read."""
    told = [
        {"id": name, "object": "model", "type": "model", "created": 0, "created_at": "1970-01-01T00:00:00Z", "owned_by": "langroute",
         "display_name": name}
        for name in names
    ]  # fmt: skip
    first, last = (told[0]["id"], told[-1]["id"]) if told else (None, None)
    return encoded({"object": "list", "data": told, "has_more": False, "first_id": first, "last_id": last})


__all__ = ["WireProtocol", "models_list"]
