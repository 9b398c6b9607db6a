"""What does a block of content become where its own form is not read?

Images, audio and files come in the spellings of LangChain (new and old), OpenAI chat, OpenAI Responses, Anthropic and Gemini; each
is read into a `Media` and written in the spelling that the target's package takes. What a target cannot take becomes a short note, so
that the model at least knows that something was there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langroute.adapt.target import Target

MARKS = {"cache_control": ("anthropic",), "prompt_cache_breakpoint": ("openai-chat", "openai-responses")}
"""Marks of a prompt cache, each with the forms whose provider knows it."""

_DATA_URI = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,(.*)", re.DOTALL)
_OWNERS = (
    (re.compile(r"file_"), "anthropic"),
    (re.compile(r"file-|assistant-"), "openai"),
    (re.compile(r"https?:|gs:|files/"), "gemini"),
)
_TAKES = {
    "anthropic": {"image", "file"},
    "openai-chat": {"image", "file", "audio"},
    "openai-responses": {"image", "file"},
    "gemini": {"image", "file", "audio", "video"},
    "mistral": {"image", "audio"},
    "openai-compatible": {"image", "audio"},
}
"""The media that each form can carry in a user's message."""

_NATIVE = {
    "anthropic": {"text", "image", "document", "search_result", "container_upload"},
    "openai-chat": {"text", "image_url", "input_audio", "file"},
    "openai-responses": {
        "text", "image_url", "file", "input_text", "input_image", "input_file", "mcp_approval_response", "tool_search_output",
        "apply_patch_call_output", "configuration_update", "additional_tools",
    },
    "gemini": {"text", "image_url", "media"},
    "mistral": {"text", "image_url", "document_url", "input_audio"},
    "openai-compatible": {"text", "image_url", "input_audio"},
}  # fmt: skip
"""Blocks of a user's or system's message that go out as they are."""


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a recording, a film or a file, however it was spelled."""

    kind: str
    """`image`, `audio`, `video` or `file`."""

    mime: str | None = None
    data: str | None = None
    """Base64."""

    url: str | None = None
    file_id: str | None = None
    """Name under which a provider keeps it."""

    text: str | None = None
    """A file that is plain text."""

    name: str | None = None


def media_of(block: Mapping[str, Any]) -> Media | None:
    """Read a block that carries media; `None` for any other.

    Example:
        >>> media_of({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})
        Media(kind='image', mime='image/png', data='AAAA', url=None, file_id=None, text=None, name=None)
    """
    kind = block.get("type")
    source = block.get("source")
    if kind in ("image", "document") and isinstance(source, Mapping):
        return _anthropic(kind, source, block)
    if kind == "image_url":
        image = block.get("image_url")
        return _linked("image", image.get("url") if isinstance(image, Mapping) else image)
    if kind == "input_image":
        found = _linked("image", block.get("image_url"))
        return found or (Media("image", file_id=block["file_id"]) if block.get("file_id") else None)
    if kind == "input_audio" and isinstance(block.get("input_audio"), Mapping):
        audio = block["input_audio"]
        return Media("audio", f"audio/{audio.get('format') or 'wav'}", audio.get("data"))
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
    kind, mime, name = "image" if kind == "image" else "file", source.get("media_type"), block.get("title")
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


def _standard(kind: str, block: Mapping[str, Any]) -> Media | None:
    """LangChain's own blocks, new and old."""
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
    head = str(mime or "").split("/")[0]
    return head if head in ("image", "audio", "video") else "file"


def written(media: Media, target: Target) -> dict[str, Any]:
    """Media in the target's spelling, or a note where it cannot take it.

    Example:
        >>> written(Media("image", "image/png", "AAAA"), Target("openai-chat", "openai"))
        {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,AAAA'}}
        >>> written(Media("audio", "audio/wav", "AAAA"), Target("anthropic", "anthropic"))
        {'type': 'text', 'text': '[audio: this model cannot take it]'}
    """
    form = target.form or ""
    if media.text is not None:
        return {"type": "text", "text": f"{media.name}:\n{media.text}" if media.name else media.text}
    if media.kind not in _TAKES.get(form, ()):
        return _note(media, "this model cannot take it")
    if media.file_id is not None:
        return _by_id(media, target)
    mime = media.mime or {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}.get(media.kind, "application/pdf")
    if form in ("anthropic", "gemini"):
        return _as_standard(media, mime, form)
    address = media.url if media.data is None else f"data:{mime};base64,{media.data}"
    if media.kind == "image":
        return {"type": "image_url", "image_url": {"url": address}}
    if media.kind == "audio":
        if media.data is None:
            return _note(media, "only its address is known")
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": mime.split("/")[-1]}}
    if media.data is None and form == "openai-chat":
        return _note(media, "only its address is known")
    if media.data is None:
        return {"type": "input_file", "file_url": media.url}
    file = {"filename": media.name or "file.pdf", "file_data": address}
    return {"type": "input_file", **file} if form == "openai-responses" else {"type": "file", "file": file}


def _as_standard(media: Media, mime: str, form: str) -> dict[str, Any]:
    if form == "anthropic" and media.kind == "file" and media.data is not None and mime != "application/pdf":
        return _note(media, "this model takes PDF files only")
    if media.data is not None:
        return {"type": media.kind, "base64": media.data, "mime_type": mime}
    if form == "gemini" and media.mime and str(media.url).startswith(("gs:", "https://generativelanguage.")):
        return {"type": "media", "file_uri": media.url, "mime_type": mime}
    return {"type": media.kind, "url": media.url, **({"mime_type": media.mime} if media.mime else {})}


def _by_id(media: Media, target: Target) -> dict[str, Any]:
    owner = next((owner for pattern, owner in _OWNERS if pattern.match(str(media.file_id))), None)
    family = (target.form or "").split("-")[0]
    if family == "openai" and target.form == "openai-compatible":
        family = "compatible"
    if owner is not None and owner != family:
        return _note(media, "it is kept by another provider")
    if family == "anthropic":
        kind = "image" if media.kind == "image" else "document"
        return {"type": kind, "source": {"type": "file", "file_id": media.file_id}}
    if target.form == "openai-responses":
        return {"type": "input_image" if media.kind == "image" else "input_file", "file_id": media.file_id}
    if target.form == "openai-chat" and media.kind == "file":
        return {"type": "file", "file": {"file_id": media.file_id}}
    if family == "gemini":
        return {"type": "media", "file_uri": media.file_id, **({"mime_type": media.mime} if media.mime else {})}
    return _note(media, "it is kept by another provider")


def _note(media: Media, why: str) -> dict[str, Any]:
    what = media.name or media.url or media.file_id
    label = f"{media.kind} {what}" if what and len(what) < 300 else media.kind
    return {"type": "text", "text": f"[{label}: {why}]"}


def text_of(block: Any) -> str:
    """The text of a block, whatever its type."""
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        return ""
    text = block.get("text")
    return text if isinstance(text, str) else ""


def asked(block: Any, target: Target) -> Any:
    """A block of a user's, system's or tool's message as the target reads it.

    Returns:
        The very same object where nothing changes; `None` where nothing is left.
    """
    if isinstance(block, str):
        return {"type": "text", "text": block} if block else None
    form = target.form or ""
    kind = block.get("type")
    if kind is None or kind == "non_standard":
        inner = block.get("value") if kind else None
        if isinstance(inner, Mapping) and inner.get("type") in _NATIVE[form]:
            # LangChain's wrapping of what it does not know; the packages unwrap what is their own.
            return block if form in ("anthropic", "openai-responses") else dict(inner)
        return asked(dict(inner), target) if isinstance(inner, Mapping) and inner.get("type") else None
    if kind == "text":
        return _plain_text(block, form)
    block = _unmarked(block, form)
    if kind in _NATIVE[form] and not _foreign_file(block, target):
        return block
    media = media_of(block)
    if media is not None:
        return _kept_marks(block, written(media, target), form) if not _readable(block, media, form) else block
    text = text_of(block) or (block.get("refusal") if kind == "refusal" else "")
    return {"type": "text", "text": text} if text else None


def _readable(block: Mapping[str, Any], media: Media, form: str) -> bool:
    """LangChain's own blocks are read by every package, as far as its provider takes them."""
    if block.get("type") not in ("image", "file", "audio", "video") or "source" in block or isinstance(block.get("file"), Mapping):
        return False
    if media.kind not in _TAKES[form] or media.file_id is not None or media.text is not None:
        return False
    if media.data is None:
        return form in ("anthropic", "gemini") or media.kind == "image"
    if form == "anthropic":
        return media.kind == "image" or media.mime in (None, "application/pdf")
    if form in ("mistral", "openai-compatible"):
        return False
    return media.mime is not None and (media.kind != "file" or media.name is not None or form == "gemini")


def _foreign_file(block: Mapping[str, Any], target: Target) -> bool:
    """Media of the right shape that the target cannot take: a file id of another provider, a spelling of two providers."""
    media = media_of(block)
    if media is None:
        return False
    form = target.form
    if media.file_id is None:
        # LangChain's blocks share the names of two providers' own.
        return (block.get("type") == "image" and "source" not in block) or (block.get("type") == "file" and "file" not in block)
    return written(media, target).get("type") == "text" or (form == "anthropic" and "source" not in block)


def _plain_text(block: Mapping[str, Any], form: str) -> Any:
    text = block.get("text")
    if not isinstance(text, str) or (form == "gemini" and not text.strip()):
        return None
    keys = {"type", "text"}
    keys.update(mark for mark, forms in MARKS.items() if form in forms)
    if form == "anthropic":
        keys.add("citations")
    extras = block.get("extras")
    kept = {mark: extras[mark] for mark in keys & set(extras)} if isinstance(extras, Mapping) else {}
    if not kept and set(block) <= keys:
        return block
    return {**{key: value for key, value in block.items() if key in keys}, **kept}


def _unmarked(block: Mapping[str, Any], form: str) -> Mapping[str, Any]:
    """Without the marks of somebody else's prompt cache."""
    foreign = [mark for mark, forms in MARKS.items() if form not in forms]
    extras = block.get("extras")
    if not any(mark in block or (isinstance(extras, Mapping) and mark in extras) for mark in foreign):
        return block
    plain = {key: value for key, value in block.items() if key not in foreign}
    if isinstance(extras, Mapping):
        plain["extras"] = {key: value for key, value in extras.items() if key not in foreign}
    return plain


def _kept_marks(block: Mapping[str, Any], new: dict[str, Any], form: str) -> dict[str, Any]:
    return {**new, **{mark: block[mark] for mark, forms in MARKS.items() if form in forms and mark in block}}
