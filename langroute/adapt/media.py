"""`Media`: images, audio, videos and files, read from the content blocks of any provider."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langroute.core.fast_dataclass import fast_dataclass
from langroute.providers.mime_names import plain_type, short_name

_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml")
_DATA_URI = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL)


@fast_dataclass
class Media:
    """An image, audio, video or file, independent of the format it came in."""

    kind: str
    """`image`, `audio`, `video` or `file`."""

    mime: str | None = None
    data: str | None = None
    """The content in base64."""

    url: str | None = None
    file_id: str | None = None
    """Id under which a provider stores the file."""

    text: str | None = None
    """The content, where the file is plain text."""

    name: str | None = None


def media_of(block: Mapping[str, Any]) -> Media | None:
    """Return the media that a block carries; `None` for any other block.

    Example:
        >>> media_of({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})
        Media(kind='image', mime='image/png', data='AAAA', url=None, file_id=None, text=None, name=None)
    """
    kind = block.get("type")
    source = block.get("source")
    if kind in ("image", "document", "video") and isinstance(source, Mapping):
        return _anthropic(kind, source, block)
    if kind in (None, "image", "document", "video") and (found := _converse(block)) is not None:
        return found
    if kind == "image_url":
        image = block.get("image_url")
        return _linked("image", image.get("url") if isinstance(image, Mapping) else image)
    if kind == "input_image":
        found = _linked("image", block.get("image_url"))
        return found or (Media("image", file_id=block["file_id"]) if block.get("file_id") else None)
    if kind == "input_audio" and isinstance(block.get("input_audio"), Mapping):
        audio = block["input_audio"]
        return Media("audio", plain_type(f"audio/{audio.get('format') or 'wav'}"), audio.get("data"))
    if kind == "input_file" or (kind == "file" and isinstance(block.get("file"), Mapping)):
        file = block["file"] if kind == "file" else block
        found = _linked("file", file.get("file_data") or file.get("file_url"))
        name, file_id = file.get("filename"), file.get("file_id")
        if found is None:
            return Media("file", file_id=file_id, name=name) if file_id else None
        return Media("file", found.mime, found.data, found.url, name=name)
    if kind == "media":
        return Media(_kind(block.get("mime_type")), block.get("mime_type"), block.get("data"), block.get("file_uri"))
    if kind in ("image", "audio", "video", "file", "text-plain"):
        return _standard(kind, block)
    return None


def _anthropic(kind: str, source: Mapping[str, Any], block: Mapping[str, Any]) -> Media | None:
    kind, mime, name = "file" if kind == "document" else kind, source.get("media_type"), block.get("title")
    how = source.get("type")
    if how == "base64":
        return Media(kind, mime, source.get("data"), name=name)
    if how == "url":
        return Media(kind, mime, url=source.get("url"), name=name)
    if how == "file":
        return Media(kind, mime, file_id=source.get("file_id"), name=name)
    if how == "text":
        return Media(kind, mime, text=source.get("data"), name=name)
    content = source.get("content")
    texts = content if isinstance(content, str) else "\n".join(text_of(part) for part in content or ())
    return Media(kind, mime, text=texts, name=name)


def _converse(block: Mapping[str, Any]) -> Media | None:
    """Return the media of a block of Bedrock's Converse API, whose key is its kind."""
    for key, kind, top in (("image", "image", "image"), ("video", "video", "video"), ("document", "file", "application")):
        inner = block.get(key)
        source = inner.get("source") if isinstance(inner, Mapping) else None
        if isinstance(inner, Mapping) and isinstance(source, Mapping):
            data, mime, name = source.get("bytes"), f"{top}/{inner.get('format')}", inner.get("name")
            if isinstance(data, bytes):
                return Media(kind, mime, base64.b64encode(data).decode(), name=name)
            return Media(kind, mime, url=str(source.get("s3Location") or source), name=name)
    return None


def well_spelled(block: Mapping[str, Any], media: Media) -> bool:
    """Return whether a block names its media's type as providers list it."""
    if block.get("type") == "input_audio":
        return bool(media.mime) and block["input_audio"].get("format") == short_name(media.mime or "")
    return media.mime is None or media.mime == plain_type(media.mime)


def as_text(media: Media) -> Media:
    """Return a file of text as its text; anything else as it is.

    Example:
        >>> as_text(Media("file", "text/csv", "YSxi")).text
        'a,b'
    """
    mime = plain_type(media.mime) or ""
    if media.data is None or media.kind != "file" or not (mime.startswith("text/") or mime in _TEXTS):
        return media
    try:
        return replace(media, data=None, text=base64.b64decode(media.data, validate=True).decode())
    except (binascii.Error, ValueError):
        return media


def _standard(kind: str, block: Mapping[str, Any]) -> Media | None:
    """Return the media of one of LangChain's standard blocks, new or old."""
    extras = block.get("extras") or block.get("metadata") or {}
    name = block.get("filename") or block.get("title") or extras.get("filename") or extras.get("title")
    mime = block.get("mime_type")
    kind = "file" if kind == "text-plain" else kind
    data = block.get("base64") or (block.get("data") if block.get("source_type") == "base64" else None)
    file_id = block.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    found = _linked(kind, block.get("url"))
    if found is not None and data is None:
        return Media(kind, mime or found.mime, found.data, found.url, name=name)
    text = block.get("text") if isinstance(block.get("text"), str) else None
    return Media(kind, mime, data, None, file_id, text, name) if data or file_id or text is not None else None


def _linked(kind: str, address: Any) -> Media | None:
    if not isinstance(address, str) or not address:
        return None
    inline = _DATA_URI.fullmatch(address)
    if inline is not None:
        return Media(kind, inline[1] or None, inline[2])
    return Media(kind, url=address)


def _kind(mime: Any) -> str:
    head = str(mime or "").partition("/")[0].strip().lower()
    return head if head in ("image", "audio", "video") else "file"


def text_of(block: Any) -> str:
    """Return the text of a block of any type."""
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        return ""
    text = block.get("text")
    return text if isinstance(text, str) else ""
