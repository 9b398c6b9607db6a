"""Conversion of content blocks and media between the formats of providers.

Images, audio and files come in the formats of LangChain (new and old), OpenAI chat, OpenAI Responses, Anthropic, Gemini and Bedrock;
each is read into a `Media` (`media.py`) and written in the format that the target's package takes. What a target cannot take becomes a
short note, so that the model knows that something was there; what a block of an unknown kind says is told in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langroute.adapt.media import Media, as_text, media_of, text_of, well_spelled
from langroute.adapt.target import Target
from langroute.core.bounded import canonical, plain
from langroute.providers.mime_names import plain_type, short_name
from langroute.providers.profile import WireRules
from langroute.providers.wire import RULES

MARKS: Mapping[str, tuple[str, ...]] = {
    mark: tuple(name for name, rules in RULES.items() if mark in rules.cache_marks)
    for mark in sorted(frozenset[str]().union(*(rules.cache_marks for rules in RULES.values())))
}
"""Prompt cache markers, each with the wire formats whose provider knows it."""

THINKING = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content", "thought"})
CALLS = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "invalid_tool_call", "function_call", "custom_tool_call", "input_json_delta"}
)
"""Types of content blocks that repeat what is in `tool_calls`."""

_UNSAID = frozenset(
    {
        "type",
        "data",
        "base64",
        "blob",
        "bytes",
        "id",
        "index",
        "extras",
        "metadata",
        "annotations",
        "encrypted_content",
        "signature",
    }
)
"""Keys of a block of an unknown kind that carry nothing a model could read."""

_TOLD = 2000
"""Most characters that are told of a block of an unknown kind."""

_OWNERS = tuple((re.compile(rules.file_ids), name.split("-")[0]) for name, rules in RULES.items() if rules.file_ids is not None)


def written(media: Media, target: Target) -> dict[str, Any]:
    """Return media as a block in the target's format, or as a text note where it cannot take them.

    Example:
        >>> written(Media("image", "image/png", "AAAA"), Target("openai-chat", "openai"))
        {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,AAAA'}}
        >>> written(Media("audio", "audio/wav", "AAAA"), Target("anthropic", "anthropic"))
        {'type': 'text', 'text': '[audio: this model cannot take it]'}
    """
    rules = target.rules
    if rules is not None and media.text is None and refused(media, rules):
        media = as_text(media)
    if media.text is not None:
        return {"type": "text", "text": f"{media.name}:\n{media.text}" if media.name else media.text}
    why = "this model cannot take it" if rules is None else refused(media, rules)
    if rules is None or why is not None:
        return _note(media, why or "")
    if media.file_id is not None:
        return _by_id(media, target)
    form = rules.name
    mime = plain_type(media.mime) or _DEFAULTS.get(media.kind, "application/pdf")
    if form in ("anthropic", "gemini", "bedrock"):
        return _as_standard(media, mime, form)
    address = media.url if media.data is None else f"data:{mime};base64,{media.data}"
    if media.kind == "image":
        return {"type": "image_url", "image_url": {"url": address}}
    if media.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": short_name(mime)}}
    if media.data is None:
        return {"type": "input_file", "file_url": media.url}
    file = {"filename": media.name or "file.pdf", "file_data": address}
    return {"type": "input_file", **file} if form == "openai-responses" else {"type": "file", "file": file}


_DEFAULTS = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}


def refused(media: Media, rules: WireRules) -> str | None:
    """Return why a provider does not take media; `None` where it does.

    Example:
        >>> refused(Media("image", "image/heic", "AAAA"), RULES["anthropic"])
        'this model does not take HEIC images'
    """
    if media.kind not in rules.media:
        return "this model cannot take it"
    types, mime = rules.media_types.get(media.kind), plain_type(media.mime)
    if types is not None and mime is not None and media.file_id is None and mime not in types:
        return f"this model does not take {mime.rpartition('/')[2].upper()[:60]} {media.kind}s"
    if media.data is None and media.file_id is None and media.kind not in rules.media_by_address:
        return "only its address is known"
    return None


def _as_standard(media: Media, mime: str, form: str) -> dict[str, Any]:
    if media.data is not None:
        named = {"name": _document_name(media.name)} if form == "bedrock" and media.kind == "file" and media.name else {}
        return {"type": media.kind, "base64": media.data, "mime_type": mime, **named}
    if form == "gemini" and media.mime and str(media.url).startswith(("gs:", "https://generativelanguage.")):
        return {"type": "media", "file_uri": media.url, "mime_type": mime}
    return {"type": media.kind, "url": media.url, **({"mime_type": mime} if media.mime else {})}


def _document_name(name: str) -> str:
    """Return a file's name of the characters that Bedrock takes, no two of them white space."""
    return re.sub(r"\s+", " ", re.sub(r"[^a-zA-Z0-9\s()\[\]-]", "-", name))[:200]


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


def asked(block: Any, target: Target) -> Any:
    """Return a block of a user, system or tool message in a form the target reads.

    Returns:
        The same object where nothing changes; `None` where nothing is left.
    """
    if isinstance(block, str):
        return {"type": "text", "text": block} if block else None
    rules = target.rules
    if rules is None:
        return block
    kind = block.get("type")
    if kind is None or kind == "non_standard":
        return _untyped(block, rules, target)
    if kind == "text":
        return _plain_text(block, rules)
    block = _unmarked(block, rules.name)
    media = media_of(block)
    if media is not None:
        if refused(media, rules) is None and well_spelled(block, media) and _readable(block, media, target):
            return block
        return _kept_marks(block, written(media, target), rules.name)
    return block if kind in rules.native_blocks else _said(block)


def _untyped(block: Mapping[str, Any], rules: WireRules, target: Target) -> Any:
    """Return a block that has no type or that LangChain wrapped, since it did not know it."""
    wrapped = block.get("type") is not None
    inner = block.get("value") if wrapped else block
    if not isinstance(inner, Mapping):
        return None
    kind = inner.get("type")
    if wrapped and kind in rules.native_blocks:
        # Each integration package unwraps its own.
        return block if rules.name in ("anthropic", "openai-responses", "bedrock") else dict(inner)
    if kind is not None:
        return asked(dict(inner), target)
    if inner and rules.untyped_blocks.issuperset(inner):
        return block
    media = media_of(inner)
    return written(media, target) if media is not None else _said(inner)


def _said(block: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a block of an unknown kind says, in words; `None` where it says nothing."""
    kind = block.get("type")
    if kind in THINKING or kind in CALLS:
        return None
    text = text_of(block) or (block.get("refusal") if kind == "refusal" else "")
    if not text:
        told = _telling(plain(dict(block), max_depth=6, max_nodes=500))
        words = canonical(told) if told else None
        if not words:
            return None
        text = f"[{kind or 'data'}: {words if len(words) <= _TOLD else words[:_TOLD] + ' …'}]"
    return {"type": "text", "text": text}


def _telling(value: Any) -> Any:
    """Return a value without what no model could read."""
    if isinstance(value, dict):
        kept = {key: _telling(inner) for key, inner in value.items() if key not in _UNSAID}
        return {key: inner for key, inner in kept.items() if inner not in (None, "", {}, [])}
    if isinstance(value, list):
        return [told for inner in value if (told := _telling(inner)) not in (None, "", {}, [])]
    return value[:_TOLD] if isinstance(value, str) else value


def _readable(block: Mapping[str, Any], media: Media, target: Target) -> bool:
    """Return whether the target's package reads this block of media that its provider takes."""
    rules, kind = target.rules, block.get("type")
    if rules is None:
        return True
    if kind in rules.native_blocks and not _foreign(block, media, target):
        return True
    if kind not in ("image", "file", "audio", "video") or "source" in block or isinstance(block.get(kind), Mapping):
        return False
    return media.file_id is None and media.text is None and _reads_standard(media, rules.name)


def _reads_standard(media: Media, form: str) -> bool:
    """Return whether the target's package reads these media in LangChain's own block."""
    if media.data is None:
        return form in ("anthropic", "gemini") or media.kind == "image"
    if form == "anthropic":
        return media.kind == "image" or media.mime in (None, "application/pdf")
    if form in ("mistral", "openai-compatible") or media.mime is None:
        return False
    if form == "bedrock":
        return media.kind != "file" or (media.name is not None and _document_name(media.name) == media.name)
    if form == "gemini":
        return True
    # OpenAI's package takes the format of audio from behind the slash.
    return media.mime == "audio/wav" if media.kind == "audio" else media.kind != "file" or media.name is not None


def _foreign(block: Mapping[str, Any], media: Media, target: Target) -> bool:
    """Return whether media in a known format are unusable: a file id of another provider, or a format that two providers share."""
    form, kind = target.form, block.get("type")
    if form == "bedrock":
        source = block.get("source")
        inline = isinstance(source, Mapping) and source.get("type") == "base64"
        return not (kind in block or (inline and kind in ("image", "video")) or (kind == "image_url" and media.data is not None))
    if media.file_id is None:
        # LangChain's block types share names with two providers' own, Bedrock's with Anthropic's.
        return (kind in ("image", "document") and "source" not in block) or (kind == "file" and "file" not in block)
    return written(media, target).get("type") == "text" or (form == "anthropic" and "source" not in block)


def _plain_text(block: Mapping[str, Any], rules: WireRules) -> Any:
    text, form = block.get("text"), rules.name
    if not isinstance(text, str) or (not rules.empty_messages and not text.strip()):
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
    """Return the block without prompt cache markers of other providers."""
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
