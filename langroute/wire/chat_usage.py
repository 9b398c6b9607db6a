"""Usage of streams of the Chat Completions protocol for clients that did not ask for it: asked for, read, and kept from them."""

from __future__ import annotations

import re

from langroute.wire.answers import mapping
from langroute.wire.editing import edit, field_of, parts_of
from langroute.wire.edits import WireEdit
from langroute.wire.request import WireRequest
from langroute.wire.spans import Splice

MAX_WAITING = 2**20
"""Longest event, in bytes, that is looked at; a longer one is no usage."""

_END = re.compile(rb"\r?\n\r?\n|\r\r")
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')


def usage_edits(request: WireRequest) -> tuple[WireEdit, ...]:
    """Return the change that asks for the usage of a stream, where the client does not."""
    options, stream = request.fields.get("stream_options"), request.fields.get("stream")
    told = mapping(request.value("stream_options"))
    if not request.stream or stream is None or told.get("include_usage") is True:
        return ()
    if options is None:
        splice = Splice(stream.stop, stream.stop, b',"stream_options":{"include_usage":true}')
    elif (asked := field_of(parts_of(request.body, options), "include_usage")) is not None:
        splice = Splice(asked.value, asked.stop, b"true")
    elif told:
        splice = Splice(options.value + 1, options.value + 1, b'"include_usage":true,')
    else:
        splice = Splice(options.value, options.stop, b'{"include_usage":true}')
    return tuple(edit("ask-usage", [splice]))


class UsageFilter:
    r"""Takes the event that has nothing but the usage out of a stream; all other bytes pass as they are.

    Example:
        >>> one = UsageFilter()
        >>> one.feed(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\ndata: [DO') + one.feed(b"NE]\n\n") + one.finish()
        b'data: [DONE]\n\n'
    """

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return the bytes that the client gets."""
        if not self._waiting and chunk.endswith(b"\n\n") and b'"usage"' not in chunk:
            # Whole events, none of which tells the usage, as nearly always.
            return chunk
        data = self._waiting + chunk
        out, place = [], 0
        # What waited has no end in it, but perhaps the beginning of one.
        for end in _END.finditer(data, max(0, len(self._waiting) - 3)):
            if data[end.end() - 1 :] == b"\r":
                # The line feed of this end of a line may stand at the beginning of the next chunk.
                break
            event = data[place : end.end()]
            if not _is_usage(event):
                out.append(event)
            place = end.end()
        self._waiting = data[place:]
        if len(self._waiting) > MAX_WAITING:
            out.append(self._waiting)
            self._waiting = b""
        return b"".join(out)

    def finish(self) -> bytes:
        """Return what is left when the stream is over."""
        left, self._waiting = self._waiting, b""
        return b"" if _is_usage(left) else left


def _is_usage(event: bytes) -> bool:
    """Return whether an event has the usage and no part of the answer."""
    return b'"usage"' in event and _NO_CHOICES.search(event) is not None and _USAGE.search(event) is not None


__all__ = ["UsageFilter", "usage_edits"]
