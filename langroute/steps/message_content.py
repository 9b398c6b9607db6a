"""Tokens and media of a message's content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from langroute.core.bounded import characters

IMAGE_TOKENS = 800
"""Assumed tokens of an image. Providers bill 85 to 1,600, by size."""

FILE_TOKENS = 1500
AUDIO_TOKENS = 800
VIDEO_TOKENS = 1500

_IMAGES = ("image", "image_url", "input_image")
_AUDIO = ("audio", "input_audio")
_VIDEO = ("video", "video_url", "input_video")
_FILES = ("file", "document", "input_file")


class MediaCounts(Protocol):
    """Counts of media, which `content_tokens` adds to."""

    images: int
    audio: int
    video: int
    files: int


def text_tokens(text: str) -> int:
    """Return the estimated tokens of a text: a quarter of its UTF-8 bytes.

    Bytes are counted because a Chinese or Cyrillic character takes more tokens than a Latin one.

    Example:
        >>> text_tokens("12345678"), text_tokens("機械学習")
        (2, 3)
    """
    return len(text) // 4 if text.isascii() else len(text.encode("utf-8", "replace")) // 4


def content_tokens(content: Any, counts: MediaCounts) -> int:
    """Return the estimated tokens of a message's content, and add its media to `counts`."""
    if not isinstance(content, list):
        return text_tokens(content) if isinstance(content, str) else characters(content) // 4
    tokens = 0
    # Blocks hold blocks, and may hold themselves.
    waiting, met = [content], {id(content)}
    while waiting:
        for block in waiting.pop():
            if isinstance(block, str):
                tokens += text_tokens(block)
            elif not isinstance(block, Mapping):
                tokens += characters(block) // 4
            elif (found := _media_tokens(block, counts)) is not None:
                tokens += found
            else:
                tokens += _words(block)
                inner = block.get("content")
                if isinstance(inner, list) and id(inner) not in met:
                    met.add(id(inner))
                    waiting.append(inner)
    return tokens


def _media_tokens(block: Mapping[str, Any], counts: MediaCounts) -> int | None:
    """Return the tokens of a media block; `None` for a text block."""
    kind, mime = block.get("type"), block.get("mime_type")
    kind, mime = kind if isinstance(kind, str) else "", mime if isinstance(mime, str) else ""
    if kind in _IMAGES or mime.startswith("image/"):
        counts.images += 1
        return IMAGE_TOKENS
    if kind in _AUDIO or mime.startswith("audio/"):
        counts.audio += 1
        return AUDIO_TOKENS
    if kind in _VIDEO or mime.startswith("video/"):
        counts.video += 1
        return VIDEO_TOKENS
    if kind in _FILES or mime:
        counts.files += 1
        return FILE_TOKENS
    # Counted with the message's tool calls.
    return 0 if kind in ("tool_use", "tool_call", "function_call") else None


def _words(block: Mapping[str, Any]) -> int:
    """Return the tokens of a block's strings: text, thinking and anything else."""
    return sum(
        text_tokens(value) for key, value in block.items() if isinstance(value, str) and key not in ("type", "id", "signature")
    )
