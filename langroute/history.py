"""What can be seen in a conversation: how long it is, where it stands, how it goes?

A history is read once and then only where it grew: an agent's next step sees the same messages and one or two more. Nothing is
changed, and no text is kept but a few hashes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from typing import Any
from weakref import ref

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.errors import InputError
from langroute.records import Signals
from langroute.texts import TextFacts, facts_of
from langroute.tooling import Vocabulary, failure_of

IMAGE_TOKENS = 800
"""What an image is taken for. Providers bill 85 to 1,600, by size."""

FILE_TOKENS = 1500
AUDIO_TOKENS = 800
PER_MESSAGE = 3

LATEST = 32
"""Messages whose contents are looked at again: what is rewritten in place is what came last."""

_IMAGES = ("image", "image_url", "input_image")
_AUDIO = ("audio", "input_audio")
_FILES = ("file", "document", "input_file", "video")
_NOTHING = TextFacts(None, 0.0, None, False)

_content = attrgetter("content")

_GO_ON = re.compile(
    r"(?:(?:ok(?:ay)?|yes|yep|yeah|sure|please|good|great|fine|perfect|now|and|thanks|thank you|well|just)[\s,.!]*)*"
    r"(?:(?:please )?(?:continue|go on|go ahead|proceed|carry on|keep going|keep at it|do it|do that|do so|try again|retry|again|once more"
    r"|fix it|fix this|fix that|next|next step|finish(?: it)?|weiter|mach weiter|continuez?|vas-y|sigue|continúa|continua|avanti|继续|続けて|продолжай))?"
    r"[\s.!,]*(?:please)?[\s.!]*",
    re.IGNORECASE,
)


def text_tokens(text: str) -> int:
    """Estimated tokens of a text: a quarter of its bytes.

    Bytes rather than characters, because a Chinese or Cyrillic character costs more than a Latin one.

    Example:
        >>> text_tokens("12345678"), text_tokens("機械学習")
        (2, 3)
    """
    return len(text) // 4 if text.isascii() else len(text.encode("utf-8", "replace")) // 4


def block_text(content: Any) -> str:
    """The text of a message's content; media and thinking are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, (str, dict))]
    return "\n".join(part for part in parts if isinstance(part, str))


def goes_on(text: str) -> bool:
    """A user's message only says to go on; what it is about stands before it.

    Example:
        >>> goes_on("ok, continue"), goes_on("Continue with the second chapter instead.")
        (True, False)
    """
    return len(text) < 80 and _GO_ON.fullmatch(text.strip()) is not None


class Messages(list[Any]):
    """The messages of one request as they were when it came in, and the conversation that they were found to continue.

    Telling that costs a look at every message. It is done once, by the `Reader`; who else remembers conversations asks `history`.
    """

    __slots__ = ("history",)

    def __init__(self, messages: Iterable[Any]) -> None:
        super().__init__(messages)
        self.history: History | None = None


def _contents(messages: Sequence[Any]) -> list[int]:
    return list(map(id, map(_content, messages)))


class History:
    """One conversation as far as it was read. Not shared between threads: a `Reader` lends it to one at a time."""

    __slots__ = (
        "__weakref__", "agents_text", "alive", "asked", "audio", "calls", "contents", "edit_calls", "edited", "edits", "errors_in_row", "facts", "families", "files",
        "has_system", "ids", "images", "opening", "pending", "previous", "repeats", "round_error", "round_good", "seen", "since_edit", "tokens",
        "tool_results", "turn", "turn_steps", "turn_tokens", "vocabulary",
    )  # fmt: skip

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.ids: list[int] = []
        """Ids of the messages that were read."""

        self.seen: list[ref[Any]] = []
        """The messages themselves. Only looked at, so that nothing is kept alive that its owner has let go."""

        self.alive = True
        """None of them is gone: an id may be given to another object as soon as its message is."""

        self.contents: list[int] = []
        """Ids of the contents of the latest of them: one that was rewritten in place since is read again."""

        self.previous: Any = None
        """Class of the message before."""

        self.tokens = self.images = self.audio = self.files = self.turn = 0
        self.has_system = False
        self.agents_text: str = ""
        """What the system prompt begins with."""

        self.opening: str | None = None
        """Hash of the system prompt and the first user message."""

        self.asked: int | None = None
        """Hash of the latest user message."""

        self.families: dict[str, str | None] = {}
        """Tool call id → what kind of tool was called."""

        self._begin(_NOTHING, 0)

    def _begin(self, facts: TextFacts, tokens: int) -> None:
        """A new user turn: what is counted in turns starts again."""
        self.facts, self.turn_tokens = facts, tokens
        self.turn_steps = self.tool_results = self.edits = self.since_edit = self.errors_in_row = self.repeats = 0
        self.edited, self.round_error, self.round_good, self.pending = False, 0.0, False, False
        self.calls: dict[str, int] = {}
        self.edit_calls: dict[str, int] = {}

    def grows_to(self, messages: Sequence[Any]) -> bool:
        """What was read is the beginning of these messages: the very same objects, the latest with the same contents."""
        count = len(self.ids)
        if not self.alive or count > len(messages) or list(map(id, islice(messages, count))) != self.ids:
            return False
        return _contents(messages[count - len(self.contents) : count]) == self.contents

    def read(self, messages: Sequence[Any]) -> None:
        """Go on reading after what was read."""
        new = messages[len(self.seen) :]
        if not new:
            return
        for message in new:
            self._take(message)
            self.previous = type(message)
            self.ids.append(id(message))
            self.seen.append(ref(message, self._lost))
        self.contents = [*self.contents, *_contents(new[-LATEST:])][-LATEST:]

    def _lost(self, _: Any) -> None:
        self.alive = False

    def _take(self, message: Any) -> None:
        if not isinstance(message, BaseMessage):
            raise InputError(f"A history is made of LangChain messages; there is a {type(message).__name__!r} object in it.")
        content = message.content
        tokens = PER_MESSAGE + (text_tokens(content) if isinstance(content, str) else self._blocks(content))
        if isinstance(message, HumanMessage):
            self._human(content, tokens)
        elif isinstance(message, AIMessage):
            tokens += self._answer(message)
        elif isinstance(message, ToolMessage):
            self._result(message)
        elif isinstance(message, SystemMessage):
            self.has_system = True
            if not self.turn:
                self.agents_text = block_text(content)[:600]
        self.tokens += tokens

    def _human(self, content: Any, tokens: int) -> None:
        text = block_text(content)
        self.asked = hash(text)
        if self.opening is None:
            self.opening = blake2b(f"{self.agents_text}\0{text}".encode("utf-8", "replace"), digest_size=8).hexdigest()
        if self.turn and not issubclass(self.previous, HumanMessage) and goes_on(text):
            # "ok, continue": the turn counts, but what it is about and how it goes is what went before.
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
        tokens = 0
        for call in calls:
            arguments = _canonical(call["args"])
            tokens += (len(arguments) + len(call["name"])) // 4 + 8
            family = self.families[call["id"] or ""] = self.vocabulary.family(call["name"], call["args"])
            edits = family == "edit"
            seen = self.edit_calls if edits else self.calls
            key = f"{call['name']}\0{_digest(arguments)}"
            if edits:
                self.edits, self.edited, self.since_edit = self.edits + 1, True, 0
                # The same test after an edit is no loop: it may come out differently.
                self.calls.clear()
            self.repeats = max(self.repeats, seen.get(key, 0))
            seen[key] = seen.get(key, 0) + 1
        return tokens

    def _round_ends(self) -> None:
        """Another round of tool calls begins: how did the last one go?"""
        self.errors_in_row = self._row()
        self.round_error, self.round_good = 0.0, False

    def _row(self) -> int:
        """Failed rounds up to now. Reading a file or saving one in between proves nothing: only what ran and went well ends the row."""
        if not self.pending:
            return self.errors_in_row
        if self.round_error >= 0.5:
            return self.errors_in_row + 1
        return 0 if self.round_good else self.errors_in_row

    def _result(self, message: ToolMessage) -> None:
        self.tool_results += 1
        family = self.families.get(message.tool_call_id) or self.vocabulary.family(message.name)
        bad = failure_of(message.status, block_text(message.content), family)
        # Of parallel calls the worst counts: a good one does not make up for it.
        self.round_error = max(self.round_error, bad)
        self.round_good = self.round_good or (bad < 0.5 and family not in ("read", "edit"))

    def _blocks(self, content: Any) -> int:
        if not isinstance(content, list):
            return text_tokens(str(content)) if content else 0
        tokens = 0
        for block in content:
            if isinstance(block, str):
                tokens += text_tokens(block)
                continue
            kind, mime = block.get("type"), str(block.get("mime_type") or "")
            if kind in _IMAGES or mime.startswith("image/"):
                self.images += 1
                tokens += IMAGE_TOKENS
            elif kind in _AUDIO or mime.startswith("audio/"):
                self.audio += 1
                tokens += AUDIO_TOKENS
            elif kind in _FILES or mime:
                self.files += 1
                tokens += FILE_TOKENS
            elif kind in ("tool_use", "tool_call", "function_call"):
                # Counted with the message's tool calls.
                continue
            else:
                tokens += _words(block)
                inner = block.get("content")
                if isinstance(inner, list):
                    tokens += self._blocks(inner)
        return tokens

    def signals(self, depth: int, tools_tokens: int) -> Signals:
        """What was seen, as a record."""
        facts = self.facts
        return Signals(
            self.tokens + tools_tokens,
            len(self.seen),
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
            self.round_error if self.pending else 0.0,
            self._row(),
            self.repeats if self.pending else 0,
            self.edits,
            self.since_edit if self.edited else None,
            self.has_system,
        )


def _words(block: Mapping[str, Any]) -> int:
    """Tokens of a block's own words: text, thinking, whatever else is a string in it."""
    return sum(
        text_tokens(value) for key, value in block.items() if isinstance(value, str) and key not in ("type", "id", "signature")
    )


def _canonical(arguments: Any) -> str:
    try:
        return json.dumps(arguments, sort_keys=True, default=str, separators=(",", ":"))
    except (TypeError, ValueError):
        return repr(arguments)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


class Reader:
    """Reads histories, and remembers the latest ones so that a grown one is read only where it grew.

    Args:
        vocabulary: Which tools edit, run and read.
        remembered: How many conversations are remembered; 0 for none.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> reader = Reader()
        >>> with_one = [HumanMessage("Fix the failing test in parser.py.")]
        >>> reader.read(with_one).turn
        1
    """

    def __init__(self, vocabulary: Vocabulary | None = None, remembered: int = 256) -> None:
        self.vocabulary = vocabulary or Vocabulary()
        self.remembered = remembered
        self._known: dict[int, History] = {}

    def read(self, messages: Sequence[Any]) -> History:
        """The history of these messages. Give it back with `keep` when done, so that it can grow."""
        key = self._key(messages)
        history = self._known.pop(key, None)
        if history is None or not history.grows_to(messages):
            history = History(self.vocabulary)
        history.read(messages)
        if type(messages) is Messages:
            messages.history = history
        return history

    @staticmethod
    def _key(messages: Sequence[Any]) -> int:
        # Agents share a system prompt, seldom the request after it.
        return id(messages[1] if len(messages) > 1 else messages[0])

    def keep(self, history: History, messages: Sequence[Any]) -> None:
        """Remember a history."""
        if len(messages) < 2 or not self.remembered:
            return
        while len(self._known) >= self.remembered:
            # The oldest goes; another thread may have taken it meanwhile.
            self._known.pop(next(iter(self._known), 0), None)
        self._known[self._key(messages)] = history

    def __getstate__(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary, "remembered": self.remembered}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
