"""Incremental reading of conversation histories: tokens, turns, tool calls and failures.

A history is read once and then only where it grew: an agent's next step has the same messages and one or two more. Messages are not
changed, and of their text only a few hashes and the system prompt's beginning are kept. Messages are untrusted: reading them never raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from typing import Any
from weakref import ref

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.bounded import as_text, canonical, characters
from langroute.core.errors import InputError
from langroute.core.message_text import content_text
from langroute.core.records import Signals
from langroute.core.thread import carries_decision
from langroute.steps.continuations import goes_on
from langroute.steps.message_content import content_tokens, text_tokens
from langroute.steps.texts import TextFacts, facts_of
from langroute.steps.tools import Vocabulary, failure_of, is_certain

PER_MESSAGE = 3
"""Tokens assumed for a message's own markers."""

LATEST = 32
"""Number of last messages whose contents are compared again, because only recent ones are rewritten in place."""

_NOTHING = TextFacts(None, 0.0, None, False)

_content = attrgetter("content")

_ROLES: dict[type, str] = {HumanMessage: "human", AIMessage: "ai", ToolMessage: "tool", SystemMessage: "system"}
"""Class of a message → its role. The classes are abstract, so that `isinstance` asks each of them with a call."""


def _role(message: Any) -> str:
    """Return the role of a message of another class; `other` for one that none of these extends.

    Raises:
        InputError: It is no message.
    """
    if not isinstance(message, BaseMessage):
        raise InputError(f"A history is made of LangChain messages; there is a {type(message).__name__!r} object in it.")
    return next((role for known, role in _ROLES.items() if isinstance(message, known)), "other")


def _contents(messages: Sequence[Any]) -> list[int]:
    return list(map(id, map(_content, messages)))


class History:
    """State of one conversation as far as it was read. Not thread-safe: a `HistoryReader` lends it to one thread at a time."""

    __slots__ = (
        "__weakref__",
        "agents_text",
        "alive",
        "audio",
        "before_answer",
        "beginning",
        "blocks",
        "calls",
        "contents",
        "count",
        "decisions",
        "edit_calls",
        "edited",
        "edits",
        "errors_in_row",
        "errors_told",
        "facts",
        "families",
        "files",
        "has_system",
        "ids",
        "images",
        "opening",
        "pending",
        "prefix",
        "previous",
        "repeats",
        "round_error",
        "round_good",
        "round_told",
        "seen",
        "since_edit",
        "tokens",
        "tool_results",
        "turn",
        "turn_hash",
        "turn_steps",
        "turn_tokens",
        "video",
        "vocabulary",
    )  # fmt: skip

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.count = 0
        """Number of messages read so far."""

        self.ids: list[int] = []
        """Ids of the messages, once `remember` was told them."""

        self.seen: list[ref[Any]] = []
        """Weak references to the messages, so that they are not kept alive."""

        self.alive = True
        """All of these messages still exist; the id of a deleted one may belong to another object."""

        self.contents: list[int] = []
        """Ids of the contents of the latest messages, to detect one that was rewritten in place."""

        self.previous: Any = None
        """Class of the previous message."""

        self.tokens = self.images = self.audio = self.video = self.files = self.turn = 0
        self.has_system = False
        self.agents_text: str = ""
        """Beginning of the system prompt."""

        self.opening: str | None = None
        """Hash of the system prompt and the first user message."""

        self.beginning: str | None = None
        """Hash of the system prompt and the first other message, until there is a user message."""

        self.prefix = 0
        """Hash of all messages read so far."""

        self.before_answer: int | None = None
        """Hash of the messages before the latest answer."""

        self.decisions = 0
        """Number of answers that carry a decision of a router."""

        self.blocks = 0
        """Number of messages whose content is more than one text."""

        self.turn_hash: int | None = None
        """Hash of the latest user message."""

        self.families: dict[str, str | None] = {}
        """Tool call id → kind of the tool."""

        self._begin(_NOTHING, 0)

    def _begin(self, facts: TextFacts, tokens: int) -> None:
        """Start a user turn: reset the counts per turn."""
        self.facts, self.turn_tokens = facts, tokens
        self.turn_steps = self.tool_results = self.edits = self.since_edit = self.errors_in_row = self.errors_told = (
            self.repeats
        ) = 0
        self.edited, self.round_error, self.round_good, self.round_told, self.pending = False, 0.0, False, True, False
        self.calls: dict[str, int] = {}
        self.edit_calls: dict[str, int] = {}

    def grows_to(self, messages: Sequence[Any]) -> bool:
        """Return whether what was read is the beginning of these messages: the same objects, recent ones with the same contents."""
        count = len(self.ids)
        if not self.alive or count > len(messages) or list(map(id, islice(messages, count))) != self.ids:
            return False
        return _contents(messages[count - len(self.contents) : count]) == self.contents

    def read(self, messages: Sequence[Any]) -> None:
        """Read the messages after those already read."""
        new = messages[self.count :] if self.count else messages
        for message in new:
            self._take(message)
            self.previous = type(message)
            self.count += 1
        if new and self.count > 1:
            self.contents = [*self.contents, *_contents(new[-LATEST:])][-LATEST:]

    def remember(self, messages: Sequence[Any]) -> None:
        """Note which messages were read, so that `grows_to` knows them again; a history that is not kept needs no note."""
        new = messages[len(self.ids) :]
        if not new:
            return
        self.ids.extend(map(id, new))
        self.seen.extend([ref(message, self._lost) for message in new])

    def _lost(self, _: Any) -> None:
        self.alive = False

    def _take(self, message: Any) -> None:
        kind = _ROLES.get(type(message)) or _role(message)
        content = message.content
        if type(content) is str:
            text, tokens = content, PER_MESSAGE + text_tokens(content)
        else:
            self.blocks += 1
            text, tokens = content_text(content), PER_MESSAGE + content_tokens(content, self)
        self.prefix, before = hash((self.prefix, message.type, text)), self.prefix
        if kind == "human":
            self._human(text, tokens)
        elif kind == "ai":
            tokens += self._answer(message)
            self.before_answer = before
            self.decisions += carries_decision(message)
        elif kind == "tool":
            self._result(message)
        elif kind == "system":
            self.has_system = True
            if not self.turn:
                self.agents_text = text[:600]
        if self.opening is None and self.beginning is None and kind != "system":
            self.beginning = self._hashed(f"{message.type}\0{text}")
        self.tokens += tokens

    def _human(self, text: str, tokens: int) -> None:
        self.turn_hash = hash(text)
        if self.opening is None:
            self.opening = self._hashed(text)
        if self.turn and not issubclass(self.previous, HumanMessage) and goes_on(text):
            # "ok, continue": the turn counts, but its subject and state are those of the turn before.
            self.turn += 1
            self.turn_tokens = tokens
            return
        self.turn += 1
        self._begin(facts_of(text), tokens)

    def _answer(self, message: AIMessage) -> int:
        self.turn_steps += 1
        if self.edited:
            self.since_edit += 1
        calls = message.tool_calls
        if not calls:
            self.pending = False
            return 0
        self._round_ends()
        self.pending, self.repeats = True, 0
        return sum([self._call(call) for call in calls])

    def _call(self, call: Any) -> int:
        """Count a tool call and return its tokens. A call whose arguments cannot be compared never counts as repeated."""
        if not isinstance(call, dict):
            return 8
        name, args, number = call.get("name"), call.get("args"), call.get("id")
        if type(name) is not str or type(number) is not str:
            name, number = as_text(name) or "", as_text(number) or ""
        arguments = canonical(args)
        family = self.families[number] = self.vocabulary.family(name, args)
        edits = family == "edit"
        seen = self.edit_calls if edits else self.calls
        if edits:
            self.edits, self.edited, self.since_edit = self.edits + 1, True, 0
            # The same test after an edit is no loop: it may come out differently.
            self.calls.clear()
        if arguments is None:
            return (characters(args) + len(name)) // 4 + 8
        key = f"{name}\0{_digest(arguments)}"
        self.repeats = max(self.repeats, seen.get(key, 0))
        seen[key] = seen.get(key, 0) + 1
        return (len(arguments) + len(name)) // 4 + 8

    def _round_ends(self) -> None:
        """Finish a round of tool calls: update the count of failed rounds."""
        self.errors_in_row, self.errors_told = self._row()
        self.round_error, self.round_good, self.round_told = 0.0, False, True

    def _row(self) -> tuple[int, int]:
        """Return the consecutive failed rounds, and how many of them failed only by the words of their results.

        Reading or saving a file in between does not end the row; only a successful run does.
        """
        if self.pending and self.round_error >= 0.5:
            return self.errors_in_row + 1, self.errors_told + self.round_told
        return (0, 0) if self.pending and self.round_good else (self.errors_in_row, self.errors_told)

    def _result(self, message: ToolMessage) -> None:
        self.tool_results += 1
        number = message.tool_call_id
        family = self.families.get(number if type(number) is str else as_text(number) or "") or self.vocabulary.family(message.name)
        bad = failure_of(message.status, content_text(message.content), family)
        # The worst of parallel calls counts.
        self.round_error = max(self.round_error, bad)
        self.round_told = self.round_told and not (bad >= 0.5 and is_certain(message.status, family))
        self.round_good = self.round_good or (bad < 0.5 and family not in ("read", "edit"))

    def _hashed(self, text: str) -> str:
        return blake2b(f"{self.agents_text}\0{text}".encode("utf-8", "replace"), digest_size=8).hexdigest()

    @property
    def thread(self) -> str:
        """Hash that identifies the conversation: of the first user message, or else of the first message."""
        return self.opening or self.beginning or self._hashed("")

    def salvage(self, messages: Sequence[Any]) -> bool:
        """Read messages that may be malformed, as far as possible; of the unreadable ones only the length is counted.

        Returns:
            Whether the beginning could be read, so that `thread` identifies the conversation.
        """
        begins = True
        for message in messages:
            try:
                self._take(message)
                self.previous = type(message)
            except Exception:  # noqa: BLE001 - of this one nothing else is known
                begins = begins and self.opening is not None
                with suppress(Exception):
                    self.tokens += PER_MESSAGE + characters(message.__dict__) // 4
            self.count += 1
        return begins

    def signals(self, depth: int, tools_tokens: int) -> Signals:
        """Return the signals of the history."""
        facts, pending = self.facts, self.pending
        errors, told = self._row() if pending else (self.errors_in_row, self.errors_told)
        return Signals(
            self.tokens + tools_tokens,
            self.count,
            self.images,
            self.audio,
            self.files,
            facts.code_share,
            facts.language,
            depth,
            self.turn,
            self.turn_tokens,
            self.turn_steps,
            self.tool_results,
            self.round_error if pending else 0.0,
            errors,
            self.repeats if pending else 0,
            self.edits,
            self.since_edit if self.edited else None,
            self.has_system,
            told,
            self.video,
        )


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
