"""Accumulation of the chunks of streamed attempts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks

from langroute.core.decision_metadata import METADATA_KEY, to_metadata
from langroute.core.stream_content import has_content
from langroute.engine.effects import Raced, Reply, RouteCall
from langroute.engine.events import RESTART, restarted
from langroute.engine.release import ReleaseRule
from langroute.engine.step_execution import StepResult
from langroute.providers.stream_usage import usage_with


@dataclass(slots=True)
class AttemptStream:
    """Accumulated state of one streamed attempt. It takes the place of the message where the text is not needed."""

    rule: ReleaseRule
    """Holds back the chunks that may not be shown yet."""

    kind: str = "messages"
    """Kind of the chunks: `messages`, content-block `events`, or structured `outputs`."""

    place: int = 0
    """Index of its call among the attempts."""

    begun: float = field(default_factory=perf_counter)
    heard: bool = False
    """A chunk has arrived."""

    first: float | None = None
    """Seconds until the first readable content."""

    passed: list[Any] = field(default_factory=list)
    """Chunks that are not held back until they are verified: what was handed on costs, even if the caller leaves."""

    output: Any = None
    """Latest chunk of structured output, as far as it got."""

    error: BaseException | None = None
    ended: bool = False
    call: Any = None
    """The call whose chunks these are, where several routes were called at once."""

    also: Any = ()
    id: str | None = None
    usage_metadata: Any = None
    response_metadata: dict[str, Any] = field(default_factory=dict)

    def add(self, chunk: Any) -> None:
        """Take a chunk into account."""
        if not self.heard:
            self.heard = True
            self.id = getattr(chunk, "id", None)
        if self.first is None and has_content(chunk):
            self.first = perf_counter() - self.begun
        if not self.rule.until_verified:
            self.passed.append(chunk)
        if not isinstance(chunk, BaseMessage):
            if self.kind == "messages":
                # A route that is a chain may end in a parser.
                self.kind = "outputs"
            if self.kind == "outputs":
                self.output = chunk
            return
        if usage := getattr(chunk, "usage_metadata", None):
            self.usage_metadata = usage_with(self.usage_metadata, usage) if self.usage_metadata else usage
        if chunk.response_metadata:
            self.response_metadata.update(chunk.response_metadata)

    @property
    def content(self) -> Any:
        """Content of the chunks so far: all its blocks, or a piece of its text."""
        chunks = [chunk for chunk in self.heard_chunks if isinstance(chunk, BaseMessage)]
        if chunks and (isinstance(chunks[-1].content, list) or isinstance(chunks[0].content, list)):
            return [block for chunk in chunks if isinstance(chunk.content, list) for block in chunk.content]
        return next((chunk.content for chunk in chunks if chunk.content), "")

    @property
    def heard_chunks(self) -> list[Any]:
        """All chunks that have arrived."""
        return self.rule.held if self.rule.until_verified else self.passed

    def won(self, reply: Reply) -> None:
        """Note which call won a race, and which others took part."""
        self.call, self.also = reply.call, reply.also

    def failed(self, error: BaseException, gate: Any) -> None:
        """Note an error of the attempt. A run's listeners may have seen a token that was not yielded."""
        self.error = error
        self.rule.seen_by(gate)
        if isinstance(error, Raced):
            self.error, self.call, self.also = error.error, error.call, error.also

    def ends_with(self, chunk: Any) -> bool:
        """Return whether this is the last chunk of an attempt that can no longer be rejected."""
        if self.rule.until_verified or self.ended:
            return False
        if not isinstance(chunk, BaseMessage):
            return self.kind == "events" and chunk["event"] == "message-finish"
        return not isinstance(chunk, AIMessageChunk) or chunk.chunk_position == "last"

    def reply(self, caught: Any = None) -> Reply:
        """Return the reply of the attempt; `caught` is its raw message where the chunks are not messages."""
        message: Any = caught
        if caught is None and self.heard:
            message = merged(self.rule.held) if self.rule.until_verified else self
        if self.error is not None and caught is None and not self.usage_metadata:
            message = None
        took = perf_counter() - self.begun
        return Reply(message, self.error, took, self.first, self.rule.shown, parsed=self.output, call=self.call, also=self.also)


class StepStream:
    """The streamed attempts of one step."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        """Kind of the chunks; see `AttemptStream.kind`."""

        self.attempts: list[AttemptStream] = []
        self.restarts = False

    def begin(self, call: RouteCall) -> AttemptStream:
        """Start another attempt."""
        self.restarts = call.timeouts is not None and call.timeouts.restart_stream
        attempt = AttemptStream(ReleaseRule(call.selection), self.kind, place=call.index)
        call.heard = attempt
        self.attempts.append(attempt)
        return attempt

    @property
    def shown(self) -> bool:
        """Whether part of the latest attempt was yielded to the caller."""
        return bool(self.attempts) and self.attempts[-1].rule.shown

    def again(self, call: RouteCall) -> Iterator[Any]:
        """Yield a chunk that says that the tokens shown so far are void."""
        if self.kind == "messages":
            yield AIMessageChunk(content="", response_metadata={RESTART: restarted(call)})

    def cannot_go_on(self) -> bool:
        """Return whether a restart is impossible, because a started message in a stream of events cannot be continued by another model."""
        return self.kind == "events" and self.restarts and self.shown

    def rest(self, result: StepResult) -> Iterator[Any]:
        """Yield the held-back chunks of the kept attempt; the last one carries the decision."""
        # The attempts that lost a race stand before the one that won it.
        attempt = next(attempt for attempt in self.attempts if attempt.place + len(attempt.also) == result.index)
        held, whole = attempt.rule.held, attempt.rule.until_verified
        if not whole or attempt.kind == "outputs":
            yield from held
        elif held:
            yield from held[:-1]
            yield carrying(held[-1], result)
        if attempt.kind == "messages" and not (whole and held):
            yield carrying(AIMessageChunk(content="", id=attempt.id, chunk_position="last"), result)


def carrying(chunk: Any, result: StepResult) -> Any:
    """Return a copy of a last chunk with the decision in it; the model's own run holds the original."""
    if not isinstance(chunk, BaseMessage):
        return {**chunk, "metadata": {**(chunk.get("metadata") or {}), METADATA_KEY: to_metadata(result.decision)}}
    last = chunk.model_copy()
    last.response_metadata = {**last.response_metadata, METADATA_KEY: to_metadata(result.decision)}
    return last


def merged(chunks: list[Any]) -> BaseMessage:
    """Return one message merged from its chunks."""
    if len(chunks) == 1 or not isinstance(chunks[0], AIMessageChunk):
        whole = chunks[-1]
    else:
        whole = add_ai_message_chunks(chunks[0], *chunks[1:])
        usages = [usage for chunk in chunks if (usage := getattr(chunk, "usage_metadata", None))]
        if len(usages) > 1:
            whole = whole.model_copy(update={"usage_metadata": reduce(usage_with, usages)})
    return message_chunk_to_message(whole) if isinstance(whole, AIMessageChunk) else whole
