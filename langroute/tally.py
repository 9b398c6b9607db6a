"""What do the chunks of a streamed attempt add up to, and what of it was shown?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks, add_usage

from langroute.effects import Call, Reply
from langroute.events import RESTART, restarted
from langroute.gate import shows
from langroute.marks import KEY, mark
from langroute.patience import Raced
from langroute.router import Result


@dataclass(slots=True)
class Tally:
    """One streamed attempt: what it adds up to. It stands in for the message where nobody needs its text."""

    tentative: bool
    kind: str = "messages"
    """What the chunks are: `messages`, content-block `events`, or structured `outputs`."""

    place: int = 0
    """Its call's place among the attempts."""

    begun: float = field(default_factory=perf_counter)
    heard: bool = False
    """A chunk came."""

    first: float | None = None
    """When there was something to read."""

    chunks: list[Any] = field(default_factory=list)
    """Held back while the attempt may still be rejected."""

    silent: list[Any] = field(default_factory=list)
    """Held back because there is nothing to read in it yet: the attempt can still be replaced unseen."""

    shown: bool = False
    """Something to read was handed on."""

    output: Any = None
    """The latest chunk where it is no message: structured output as far as it got."""

    error: BaseException | None = None
    ended: bool = False
    call: Any = None
    """Whose chunks these are, where several routes were asked at once."""

    also: Any = ()
    id: str | None = None
    usage_metadata: Any = None
    response_metadata: dict[str, Any] = field(default_factory=dict)

    def add(self, chunk: Any) -> None:
        """Count a chunk."""
        if not self.heard:
            self.heard = True
            self.id = getattr(chunk, "id", None)
        if self.first is None and shows(chunk):
            self.first = perf_counter() - self.begun
        if self.tentative:
            self.chunks.append(chunk)
        if not isinstance(chunk, BaseMessage):
            if self.kind == "messages":
                # A route that is a chain may end in a parser.
                self.kind = "outputs"
            if self.kind == "outputs":
                self.output = chunk
            return
        if usage := getattr(chunk, "usage_metadata", None):
            self.usage_metadata = add_usage(self.usage_metadata, usage) if self.usage_metadata else usage
        if chunk.response_metadata:
            self.response_metadata.update(chunk.response_metadata)

    def ready(self, chunk: Any) -> list[Any]:
        """What may be handed on now that this chunk is here: nothing before there is something to read."""
        if self.tentative:
            return []
        self.silent.append(chunk)
        if not shows(chunk):
            return []
        self.shown, ready, self.silent = True, self.silent, []
        return ready

    def won(self, reply: Reply) -> None:
        """Whose chunks these are, and who was asked beside."""
        self.call, self.also = reply.call, reply.also

    def failed(self, error: BaseException, gate: Any) -> None:
        """The attempt ended in an error. Who listens to its run may have seen a token that did not come through."""
        self.error = error
        self.shown = self.shown or (gate is not None and gate.shown and not self.tentative)
        if isinstance(error, Raced):
            self.error, self.call, self.also = error.error, error.call, error.also

    def ends_with(self, chunk: Any) -> bool:
        """The chunk is the last one, and what it belongs to can no longer be rejected."""
        if self.tentative or self.ended:
            return False
        if not isinstance(chunk, BaseMessage):
            return self.kind == "events" and chunk["event"] == "message-finish"
        return not isinstance(chunk, AIMessageChunk) or chunk.chunk_position == "last"

    def reply(self, caught: Any = None) -> Reply:
        """What the attempt came to; `caught` is its raw message where the chunks are something else."""
        message: Any = caught
        if caught is None and self.heard:
            message = merged(self.chunks) if self.tentative else self
        if self.error is not None and caught is None and not self.usage_metadata:
            message = None
        shown = self.shown and not self.tentative
        took = perf_counter() - self.begun
        return Reply(message, self.error, took, self.first, shown, parsed=self.output, call=self.call, also=self.also)


class Stage:
    """The attempts of one streamed step."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        """What the chunks are; see `Tally.kind`."""

        self.tallies: list[Tally] = []
        self.restarts = False

    def begin(self, call: Call) -> Tally:
        """Another attempt."""
        self.restarts = call.patience is not None and call.patience.restart
        tally = Tally(call.selection.tentative, self.kind, place=call.index)
        self.tallies.append(tally)
        return tally

    @property
    def shown(self) -> bool:
        """Something of the latest attempt was handed on."""
        return bool(self.tallies) and self.tallies[-1].shown

    def again(self, call: Call) -> Iterator[Any]:
        """Say among the chunks that what was shown is worth nothing."""
        if self.kind == "messages":
            yield AIMessageChunk(content="", response_metadata={RESTART: restarted(call)})

    def cannot_go_on(self) -> bool:
        """A stream of events has begun a message that no other model can end."""
        return self.kind == "events" and self.restarts and self.shown

    def rest(self, result: Result) -> Iterator[Any]:
        """What was held back of the kept attempt; the last chunk carries the decision."""
        # The attempts that lost a race stand before the one that won it.
        tally = next(tally for tally in self.tallies if tally.place + len(tally.also) == result.index)
        chunks = tally.chunks
        yield from tally.silent
        if tally.kind == "outputs":
            yield from chunks
        elif chunks:
            yield from chunks[:-1]
            yield carrying(chunks[-1], result)
        elif tally.kind == "messages":
            yield carrying(AIMessageChunk(content="", id=tally.id, chunk_position="last"), result)


def carrying(chunk: Any, result: Result) -> Any:
    """A last chunk with the decision in it; a copy, because the model's own run has the chunk too."""
    if not isinstance(chunk, BaseMessage):
        return {**chunk, "metadata": {**(chunk.get("metadata") or {}), KEY: mark(result.decision)}}
    last = chunk.model_copy()
    last.response_metadata = {**last.response_metadata, KEY: mark(result.decision)}
    return last


def merged(chunks: list[Any]) -> BaseMessage:
    """One message from its chunks."""
    if len(chunks) == 1 or not isinstance(chunks[0], AIMessageChunk):
        whole = chunks[-1]
    else:
        whole = add_ai_message_chunks(chunks[0], *chunks[1:])
    return message_chunk_to_message(whole) if isinstance(whole, AIMessageChunk) else whole
