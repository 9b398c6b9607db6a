"""The key by which a resend is known: the history up to what a person or a tool last said.

A client that sends a step again after its answer broke off may add what it heard of it (Codex: reasoning; Claude Code: blocks that were whole), and
a word of its own, such as "<system-reminder>Your response above was cut off mid-stream. Resume …</system-reminder>" (Claude Code) or "[System: You
previously generated thoughts …]" (Gemini CLI). Neither begins a step. All else counts as it stands in the bytes, other tags and system messages included.

What stands of an answer is not in the key, since a resend has more of it; but a client may give an answer's beginning itself, for the model to go on
from, and another beginning is another step. `GivenAnswer.goes_on` tells them apart by what the client had heard.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from langroute.core.answers import text_of
from langroute.core.fast_dataclass import fast_dataclass
from langroute.wire.histories import is_machine_text
from langroute.wire.spans import NotJsonError, Span, items, members, value_of

if TYPE_CHECKING:
    from langroute.wire.answers import AnswerReader
    from langroute.wire.request import WireRequest

MOST_ADDED = 50
"""Entries at the end of a history of which it is asked who said them."""

OPENS, CLOSES = "<system-reminder>", "</system-reminder>"
"""The tag in which Claude Code tells the model that its answer broke off."""


@fast_dataclass
class HeardAnswer:
    """What was read of an answer that broke off.

    Args:
        text: Its text.
        whole: It is all the text that the client was sent. Not so where the text was cut, or where the answer had begun and no text was found in it.
    """

    text: str = ""
    whole: bool = True


def heard_answer_of(reader: AnswerReader) -> HeardAnswer:
    """Return what was read of an answer that broke off."""
    text = reader.text
    return HeardAnswer(text, len(text) == reader.text_length and bool(text or not reader.started))


@fast_dataclass
class GivenAnswer:
    """What stands of an answer behind what a person or a tool last said. White space, which clients cut off, is left out.

    Args:
        text: Its text.
        last: Nothing stands behind it, so that the model goes on from it.
    """

    text: str = ""
    last: bool = False

    def goes_on(self, begun: str, before: GivenAnswer, heard: HeardAnswer) -> bool:
        """Return whether a request with this is a resend of a step whose answer broke off; the keys are the same.

        Args:
            begun: The text that the first request of the step had.
            before: What the request had whose answer broke off.
            heard: That answer. Where it is not whole, the client may have heard more than stands in it.

        Example:
            >>> first, heard = GivenAnswer(), HeardAnswer("Let me see")
            >>> GivenAnswer("Letm", True).goes_on("", first, heard), GivenAnswer("No,", True).goes_on("", first, heard)
            (True, False)
            >>> GivenAnswer("{", True).goes_on("[", GivenAnswer("[", True), HeardAnswer("1, 2"))
            False
        """
        if not self.text.startswith(begun):
            return False
        known = before.text + _plain_text(heard.text)
        return not self.last or known.startswith(self.text) or (not heard.whole and self.text.startswith(known))


def given_answer_of(request: WireRequest) -> GivenAnswer:
    """Return what stands of an answer at the end of a request's history."""
    protocol = request.protocol
    name = protocol.entries_field
    found = _last_said(request, name)
    if found is None:
        return GivenAnswer()
    behind = [
        value_of(request.body, one.start, one.stop) for one in request.parts(name)[-MOST_ADDED:] if one.start > found[0].start
    ]
    texts = [text_of(message) for entry in behind if protocol.is_answer(entry) for message in protocol.entry(entry)]
    return GivenAnswer(_plain_text("".join(texts)), bool(behind) and protocol.is_answer(behind[-1]))


def _plain_text(text: str) -> str:
    return "".join(text.split())


def resend_key_of(request: WireRequest) -> str:
    """Return the key of a request's step.

    Example:
        >>> from langroute.wire.protocols import PROTOCOLS
        >>> asked = b'{"role":"user","content":"Fix it."}'
        >>> added = b',{"role":"assistant","content":"I w"},{"role":"user","content":"<system-reminder>Go on.</system-reminder>"}'
        >>> bodies = (b'{"model":"m","messages":[%s%s]}' % (asked, more) for more in (b"", added, b',{"role":"user","content":"Stop."}'))
        >>> first, again, other = (resend_key_of(PROTOCOLS["messages"].read_request(body, {"x-session-id": "s"})) for body in bodies)
        >>> first == again, first == other
        (True, False)
    """
    digest = blake2b(request.thread.encode("utf-8", "replace"), digest_size=16)
    protocol = request.protocol
    for name in protocol.history_fields:
        digest.update(b"\0")
        last = _last_said(request, name) if name == protocol.entries_field else None
        if last is None:
            digest.update(request.unmarked(request.raw(name)))
        else:
            place, said = last
            digest.update(request.unmarked(request.body[request.fields[name].value : place.start]) + b"\0" + said)
    return digest.hexdigest()


def _last_said(request: WireRequest, name: str) -> tuple[Span, bytes] | None:
    """Return the last entry in which something is said, and what; `None` where the last entries have none."""
    for place in reversed(request.parts(name)[-MOST_ADDED:]):
        raw = request.unmarked(request.body[place.start : place.stop])
        entry = value_of(raw, 0, len(raw))
        if request.protocol.is_answer(entry):
            continue
        said = _said(raw, entry)
        if said is not None:
            return place, said
    return None


def _said(raw: bytes, entry: Any) -> bytes | None:
    """Return an entry without what a client adds at a resend; `None` where it says nothing else."""
    if not isinstance(entry, dict):
        return raw
    # Clients add to what users say alone.
    user = entry.get("role", "user") == "user"
    try:
        field = next((one for one in reversed(members(raw)) if one.name in ("content", "parts")), None)
        if field is None:
            return raw
        text = raw[field.value : field.value + 1] == b'"'
        parts = [Span(field.value, field.stop)] if text else items(raw, field.value, field.stop)
        kept = [one for one in parts if not (user and _is_added(value_of(raw, one.start, one.stop)))]
        if parts and not kept:
            return None
        told = (
            [_plain(raw[one.start : one.stop]) for one in kept] if len(kept) == 1 else [raw[one.start : one.stop] for one in kept]
        )
    except NotJsonError:
        return raw
    return raw[: field.value] + b",".join(told) + raw[field.stop :]


def _is_added(part: Any) -> bool:
    """Return whether a part of a user's content is a text of a kind that clients add at a resend."""
    text = part.get("text") if _is_text(part) else part
    if not isinstance(text, str):
        return False
    text = text.strip()
    if text.startswith("["):
        return is_machine_text(text)
    # A person's words may stand between two reminders.
    ends = [one.partition(CLOSES) for one in text.split(OPENS)[1:]]
    return text.startswith(OPENS) and all(closed and not behind.strip() for _, closed, behind in ends)


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() <= {"type", "text"} and part.get("type", "text") in ("text", "input_text")


def _plain(part: bytes) -> bytes:
    """Return the text of a part that is nothing but a text: Claude Code writes it without a block where it has no mark of the prompt cache."""
    if not _is_text(value_of(part, 0, len(part))):
        return part
    return next((part[one.value : one.stop] for one in members(part) if one.name == "text"), part)


__all__ = ["GivenAnswer", "HeardAnswer", "given_answer_of", "heard_answer_of", "resend_key_of"]
