"""A request of a coding agent as it was sent: its envelope, and the places of its parts in the bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langroute.wire.cache_marks import has_marks, without_marks
from langroute.wire.kept_parts import KEPT_PARTS
from langroute.wire.resend_key import GivenAnswer, given_answer_of, resend_key_of
from langroute.wire.sessions import Session, session_of
from langroute.wire.side_calls import side_call_of
from langroute.wire.spans import Member, NotJsonError, Span, items, members, value_of

if TYPE_CHECKING:
    from langroute.wire.memo import HistoryMemo
    from langroute.wire.protocol import WireProtocol

MAX_MODEL = 300
"""Longest name of a model, in characters."""

MAX_ENTRIES = 20_000
"""Most entries of a history that are read; of a longer one the last."""

_A_TOOL = re.compile(rb'\[\s*\{\s*"')


class WireRequest:
    """A request's envelope. What it says of the conversation is read when it is asked for.

    Made by `WireProtocol.read_request`; nothing here raises, whatever the body holds.

    Args:
        protocol: The protocol of the address that was called.
        body: The bytes that were sent, uncompressed.
        headers: The headers, with their names in lower case.
        model: Name of the model, where it stands in the address; `None` where it stands in the body.
        stream: Whether a stream is asked for, where the address says it.
        method: What is asked of the model, where the address says it.
    """

    def __init__(
        self,
        protocol: WireProtocol,
        body: bytes,
        headers: Mapping[str, str],
        *,
        model: str | None = None,
        stream: bool | None = None,
        method: str = "",
    ) -> None:
        self.protocol = protocol
        self.body = body
        self.headers = headers
        self.memo: HistoryMemo | None = None
        """Remembers histories, so that one which has grown is read only where it grew."""
        self.problem: str | None = None
        """What makes the body no request of this protocol; `None` where it is one. To be answered with status 400."""
        self.fields: dict[str, Member] = {}
        """Name of a field → its places in the body; of a name that occurs twice the last."""
        self.all_fields: Sequence[Member] = ()
        self._raw: dict[str, bytes] = {}
        self._parts: dict[str, list[Span]] = {}
        try:
            self.all_fields = members(body)
        except NotJsonError:
            self.problem = "The body is not a JSON object."
        self.fields = {one.name: one for one in self.all_fields}
        asked = self.value("model") if model is None else model
        self.model: str = asked if isinstance(asked, str) and 0 < len(asked) <= MAX_MODEL else ""
        """Name of the model that the client asks for; empty where there is none."""
        if self.problem is None and not self.model and model is None:
            self.problem = "The field `model` has no name of a model."
        self.stream: bool = self.value("stream") is True if stream is None else stream
        self.method = method

    def value(self, name: str) -> Any:
        """Return the value of a top-level field; `None` where it is not there."""
        found = self.fields.get(name)
        return None if found is None else value_of(self.body, found.value, found.stop)

    def raw(self, name: str) -> bytes:
        """Return the bytes of a top-level field's value; empty where it is not there.

        But for the history they are the same object each time, whose hash Python keeps, also for another request with the same bytes.
        """
        raw = self._raw.get(name)
        if raw is None:
            found = self.fields.get(name)
            raw = b"" if found is None else self.body[found.value : found.stop]
            if name != self.protocol.entries_field:
                raw = self._raw[name] = KEPT_PARTS.same(raw)
        return raw

    @cached_property
    def has_marks(self) -> bool:
        """Whether marks of the prompt cache may stand in the body."""
        return has_marks(self.body)

    def unmarked(self, part: bytes) -> bytes:
        """Return bytes of the body without marks of the prompt cache; the body is searched for them once."""
        return without_marks(part) if self.has_marks else part

    def entries(self, name: str) -> list[Any]:
        """Return the items of a top-level array without marks of the prompt cache; none where it is no array.

        Of an array with more items than are read the last are returned.
        """
        raw = self.unmarked(self.raw(name))
        found = value_of(raw, 0, len(raw)) if raw else None
        return found[-MAX_ENTRIES:] if isinstance(found, list) else []

    def parts(self, name: str) -> list[Span]:
        """Return the places of the items of a top-level array; none where it is no array."""
        if name not in self._parts:
            found = self.fields.get(name)
            try:
                self._parts[name] = [] if found is None else items(self.body, found.value, found.stop)
            except NotJsonError:
                self._parts[name] = []
        return self._parts[name]

    @cached_property
    def max_tokens(self) -> int | None:
        """Longest answer in tokens that the client asked for."""
        return self.protocol.max_tokens_of(self)

    @cached_property
    def tools(self) -> tuple[dict[str, Any], ...]:
        """The tools, in OpenAI's form; the provider's own tools as they stand."""
        return self.protocol.tools_of(self)

    @property
    def has_tools(self) -> bool:
        """Whether there is any tool; `tools` is read only where the first is none."""
        found = self.fields.get("tools")
        return found is not None and (_A_TOOL.match(self.body, found.value) is not None or bool(self.tools))

    @cached_property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools that can be called."""
        names = [function.get("name") for tool in self.tools if isinstance(function := tool.get("function"), Mapping)]
        return tuple(name for name in names if isinstance(name, str))

    @cached_property
    def response_schema(self) -> Any:
        """The schema that the answer must have; `None` where there is none."""
        return self.protocol.schema_of(self)

    @cached_property
    def tool_choice(self) -> Any:
        """Which tool must be called, as the client said it."""
        return self.value("tool_choice")

    @cached_property
    def bound_by(self) -> str | None:
        """Why only the provider that answered before can answer; `None` where any can."""
        return self.protocol.bound_by(self)

    @cached_property
    def _messages(self) -> list[Any]:
        return self.protocol.messages_of(self) if self.memo is None else self.memo.messages(self)

    def messages(self) -> list[Any]:
        """Return the history as LangChain messages, for inspection. What cannot be understood is text.

        The list is made once; do not change it.
        """
        return self._messages

    @cached_property
    def session(self) -> Session:
        """Which conversation the request belongs to."""
        return session_of(self)

    @property
    def thread(self) -> str:
        """Id of the conversation: from the client's headers, else a fingerprint of its beginning with the client's key."""
        return self.session.thread

    @property
    def parent_thread(self) -> str | None:
        """Id of the conversation that started this one: a sub-agent's parent; `None` where there is none."""
        return self.session.parent

    @property
    def sub_agent(self) -> bool:
        """Whether a sub-agent sent the request."""
        return self.session.parent is not None

    @cached_property
    def side_call(self) -> str | None:
        """Kind of a call beside the conversation: `title`, `summarize`, `classify`, `extract`, or `answer`; `None` for a step of the agent."""
        return side_call_of(self)

    @cached_property
    def resend_key(self) -> str:
        """Key that is the same for a resend of the same step: as a stream or not, with what was heard of its answer or without."""
        return resend_key_of(self)

    @cached_property
    def given_answer(self) -> GivenAnswer:
        """What stands of an answer at the end of the history: the client's own beginning of it, or what it heard of one that broke off."""
        return given_answer_of(self)


__all__ = ["WireRequest"]
