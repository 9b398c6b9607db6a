"""A request without its protocol: what the translators between protocols read into and write from.

It holds what all three protocols can say. What one of them says beyond that is counted in `lost`, by a name of `LOSSES`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeAlias

from langroute.wire.edits import WireEdit
from langroute.wire.spans import value_of

LOSSES: Mapping[str, str] = {
    "lose-thinking": "thinking, its signatures and encrypted reasoning are left out of the history",
    "lose-cache-marks": "marks of the prompt cache are left out; the other protocol's own are set",
    "lose-tools": "tools that the provider runs itself, and tools in groups, are not offered",
    "lose-tool-history": "calls and results of the provider's own tools are left out of the history",
    "lose-fields": "fields that the other protocol does not have are left out",
    "lose-media": "media that the other protocol does not take become a line of text",
    "lose-result-media": "media of a tool's result stand in a user's message behind it",
    "lose-failed-mark": "that a tool failed is said in words",
    "lose-system-place": "a system message inside the history becomes the user's",
    "free-text-tool": "a tool that takes free text takes it in one field, and its calls are turned back",
    "repair-calls": "calls without a result get an empty one, and results without a call become text",
    "add-max-tokens": "the longest answer that the protocol demands is set",
    "add-user": "a user's message that the protocol demands is put at the beginning",
}
"""Name of what a translation loses or adds → what it is."""


@dataclass(slots=True)
class Text:
    """A text."""

    text: str


@dataclass(slots=True)
class MediaPart:
    """An image or a file, by its address or its bytes in base64."""

    kind: str
    """`image` or `file`."""

    mime: str = ""
    data: str = ""
    url: str = ""
    name: str = ""


@dataclass(slots=True)
class Call:
    """A tool call; its arguments as JSON text, or as free text for a tool of that kind."""

    id: str
    name: str
    arguments: str
    free: bool = False


@dataclass(slots=True)
class ResultPart:
    """A tool's result."""

    id: str
    parts: list[Text | MediaPart]
    failed: bool = False


Part: TypeAlias = Text | MediaPart | Call | ResultPart


@dataclass(slots=True)
class PlainTurn:
    """One entry of the history."""

    role: str
    """`user`, `assistant`, `tool` or `system`."""

    parts: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class Tool:
    """A tool that the client runs."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)
    strict: bool | None = None
    free: bool = False
    """It takes free text, not JSON."""


@dataclass(slots=True)
class PlainRequest:
    """A request without its protocol."""

    system: list[str] = field(default_factory=list)
    turns: list[PlainTurn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or `tool:` and a name."""

    parallel_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] = field(default_factory=list)
    schema: Mapping[str, Any] | None = None
    """JSON schema of the answer; an empty one for any JSON."""

    schema_name: str = "answer"
    effort: str | None = None
    stream: bool = False
    include_usage: bool = False
    cache_key: str | None = None
    lost: Counter[str] = field(default_factory=Counter)
    lost_fields: set[str] = field(default_factory=set)
    problem: str | None = None
    """Why the request can be sent to no other provider."""

    def lose(self, name: str, count: int = 1) -> None:
        """Count what is lost."""
        if count:
            self.lost[name] += count

    def lose_fields(self, names: set[str]) -> None:
        """Count fields that are lost."""
        self.lost_fields |= names

    @property
    def free_tools(self) -> frozenset[str]:
        """Names of the tools that take free text."""
        return frozenset(one.name for one in self.tools if one.free)

    def edits(self) -> tuple[WireEdit, ...]:
        """Return the records of what was lost."""
        found = [WireEdit(name, count) for name, count in sorted(self.lost.items())]
        if self.lost_fields:
            found.append(WireEdit("lose-fields", len(self.lost_fields), " ".join(sorted(self.lost_fields))[:200]))
        return tuple(found)


def repaired(request: PlainRequest) -> None:
    """Give every call one result, right behind it, and its own id: most providers refuse a history that has it otherwise."""
    turns: list[PlainTurn] = []
    met: Counter[str] = Counter()
    for turn, following in zip(request.turns, _until_answers(request.turns), strict=True):
        if turn.role == "tool":
            # Those of the answer before are already behind it.
            orphans = [part for part in turn.parts if isinstance(part, ResultPart) and not part.id.startswith("\0")]
            request.lose("repair-calls", len(orphans))
            turns += [PlainTurn("user", [Text("Result of a tool:"), *one.parts]) for one in orphans]
            continue
        turns.append(turn)
        if calls := [part for part in turn.parts if isinstance(part, Call)]:
            turns.append(PlainTurn("tool", [_answered(request, call, following, met) for call in calls]))
    request.turns = turns


def _until_answers(turns: list[PlainTurn]) -> list[list[ResultPart]]:
    """Return for each turn the results that stand behind it, before the next answer."""
    found: list[list[ResultPart]] = []
    behind: list[ResultPart] = []
    for turn in reversed(turns):
        found.append(behind)
        if turn.role == "assistant":
            behind = []
        elif turn.role == "tool":
            behind = [*(part for part in turn.parts if isinstance(part, ResultPart)), *behind]
    return found[::-1]


def _answered(request: PlainRequest, call: Call, results: list[ResultPart], met: Counter[str]) -> ResultPart:
    """Return the result of a call, an empty one where there is none. An id that occurred before gets a number."""
    found = next((one for one in results if one.id == call.id), None)
    met[call.id] += 1
    if met[call.id] > 1:
        call.id = f"{call.id[:56]}_{met[call.id]}"
    if found is None:
        request.lose("repair-calls")
        return ResultPart(call.id, [Text("")])
    # Marked, so that it is no orphan where it stands.
    found.id = f"\0{call.id}"
    return ResultPart(call.id, found.parts, found.failed)


_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def plain_id(id: str) -> str:
    """Return a tool call id that every protocol takes: the same for the same id.

    Example:
        >>> plain_id("call_1"), plain_id("call|1") == plain_id("call|1"), len(plain_id("x" * 500))
        ('call_1', True, 29)
    """
    if _ID.fullmatch(id):
        return id
    return f"call_{blake2b(id.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"


def arguments_of(text: str) -> dict[str, Any]:
    """Return the arguments of a call as a mapping; what is none stands under `input`.

    Example:
        >>> arguments_of('{"a": 1}'), arguments_of("ls"), arguments_of("")
        ({'a': 1}, {'input': 'ls'}, {})
    """
    raw = text.encode("utf-8", "replace")
    value = value_of(raw, 0, len(raw)) if text.strip() else {}
    return value if isinstance(value, dict) else {"input": text}


def data_url(media: MediaPart) -> str:
    """Return the address of media: their own, or one that holds their bytes."""
    return media.url or f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


def media_at(kind: str, url: Any, name: Any = None) -> MediaPart | None:
    """Return the media at an address, which may hold their bytes; `None` where it is no address.

    Example:
        >>> media_at("image", "data:image/png;base64,AAAA")
        MediaPart(kind='image', mime='image/png', data='AAAA', url='', name='')
    """
    if not isinstance(url, str) or not url:
        return None
    shown = name if isinstance(name, str) else ""
    if url.startswith("data:"):
        head, _, data = url.partition(",")
        mime = head[5:].partition(";")[0]
        return MediaPart(kind, mime, data, "", shown) if head.endswith(";base64") and data else None
    return MediaPart(kind, "", "", url, shown)


def named(media: MediaPart) -> Text:
    """Return the line of text that stands for media that a provider does not take."""
    return Text(f"[{media.kind} left out{': ' + media.name if media.name else ''}]")


def text_of(parts: list[Any]) -> str:
    """Return the text of parts, on lines of their own."""
    return "\n".join(part.text for part in parts if isinstance(part, Text))


FREE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""Schema of a tool that takes free text, for protocols in which all tools take JSON."""

__all__ = [
    "FREE_SCHEMA",
    "LOSSES",
    "Call",
    "MediaPart",
    "Part",
    "PlainRequest",
    "PlainTurn",
    "ResultPart",
    "Text",
    "Tool",
    "arguments_of",
    "data_url",
    "media_at",
    "named",
    "plain_id",
    "repaired",
    "text_of",
]  # fmt: skip
