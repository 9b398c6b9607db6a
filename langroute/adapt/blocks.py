"""Conversion of content blocks and media between the formats of providers.

Images, audio and files come in the formats of LangChain (new and old), OpenAI chat, OpenAI Responses, Anthropic, Gemini and Bedrock;
each is read into a `Media` (`media.py`) and written in the format that the target's package takes. What a target cannot take becomes a
short note, so that the model knows that something was there; what a block of an unknown kind says is told in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
        return _as_text_block(media)
    if rules is None:
        return _note(media, "this model cannot take it")
    why = refused(media, rules)
    if why is not None:
        return _note(media, why)
    if media.file_id is not None:
        return _by_id(media, target)
    mime = plain_type(media.mime) or _DEFAULTS.get(media.kind, "application/pdf")
    return (_as_standard if rules.name in _STANDARD else _as_openai)(media, mime, rules.name)


_STANDARD = frozenset({"anthropic", "gemini", "bedrock"})
"""Wire formats whose packages take media in LangChain's own blocks."""

_DEFAULTS = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}


def _as_text_block(media: Media) -> dict[str, Any]:
    return {"type": "text", "text": f"{media.name}:\n{media.text}" if media.name else media.text}


def _as_openai(media: Media, mime: str, form: str) -> dict[str, Any]:
    address = media.url if media.data is None else f"data:{mime};base64,{media.data}"
    if media.kind == "image":
        return {"type": "image_url", "image_url": {"url": address}}
    if media.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": short_name(mime)}}
    if media.data is None:
        return {"type": "input_file", "file_url": media.url}
    file = {"filename": media.name or "file.pdf", "file_data": address}
    return {"type": "input_file", **file} if form == "openai-responses" else {"type": "file", "file": file}


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
    form = target.form or ""
    owner = next((owner for pattern, owner in _OWNERS if pattern.match(str(media.file_id))), None)
    family = "compatible" if form == "openai-compatible" else form.split("-")[0]
    kinds, write = _BY_ID.get(form, _NEVER)
    if media.kind not in kinds or (owner is not None and owner != family):
        return _note(media, "it is kept by another provider")
    return write(media)


def _in_messages(media: Media) -> dict[str, Any]:
    return {"type": "image" if media.kind == "image" else "document", "source": {"type": "file", "file_id": media.file_id}}


def _in_responses(media: Media) -> dict[str, Any]:
    return {"type": "input_image" if media.kind == "image" else "input_file", "file_id": media.file_id}


def _in_chat(media: Media) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": media.file_id}}


def _in_gemini(media: Media) -> dict[str, Any]:
    return {"type": "media", "file_uri": media.file_id, **({"mime_type": media.mime} if media.mime else {})}


_ALL_KINDS = ("image", "audio", "video", "file")
_NEVER: tuple[tuple[str, ...], Callable[[Media], dict[str, Any]]] = ((), _in_chat)
_BY_ID: Mapping[str, tuple[tuple[str, ...], Callable[[Media], dict[str, Any]]]] = {
    "anthropic": (_ALL_KINDS, _in_messages),
    "openai-responses": (_ALL_KINDS, _in_responses),
    "openai-chat": (("file",), _in_chat),
    "gemini": (_ALL_KINDS, _in_gemini),
}
"""Wire format → the kinds of media that its provider keeps, and how a block names them."""


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
        if not block:
            return None
        block = {"type": "text", "text": block}
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
        return block if _is_taken(block, media, target) else _kept_marks(block, written(media, target), rules.name)
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


def _is_taken(block: Mapping[str, Any], media: Media, target: Target) -> bool:
    """Return whether the provider takes these media, and its package the block that they are in."""
    rules = target.rules
    return rules is None or (refused(media, rules) is None and well_spelled(block, media) and _readable(block, media, target))


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
    return _READS.get(form, _openai_reads)(media)


def _claude_reads(media: Media) -> bool:
    return media.kind == "image" or media.mime in (None, "application/pdf")


def _bedrock_reads(media: Media) -> bool:
    fits = media.kind != "file" or (media.name is not None and _document_name(media.name) == media.name)
    return fits and media.mime is not None


def _openai_reads(media: Media) -> bool:
    # OpenAI's package takes the format of audio from behind the slash.
    fits = media.mime == "audio/wav" if media.kind == "audio" else media.kind != "file" or media.name is not None
    return fits and media.mime is not None


_READS: Mapping[str, Callable[[Media], bool]] = {
    "anthropic": _claude_reads,
    "bedrock": _bedrock_reads,
    "gemini": lambda media: media.mime is not None,
    "mistral": lambda _: False,
    "openai-compatible": lambda _: False,
}
"""Wire format → whether its package reads media with their content in LangChain's own block; the others read as OpenAI's does."""


def _foreign(block: Mapping[str, Any], media: Media, target: Target) -> bool:
    """Return whether media in a known format are unusable: a file id of another provider, or a format that two providers share."""
    form, kind = target.form, block.get("type")
    if form == "bedrock":
        return not _is_bedrocks(block, media)
    if media.file_id is None:
        # LangChain's block types share names with two providers' own, Bedrock's with Anthropic's.
        return (kind in ("image", "document") and "source" not in block) or (kind == "file" and "file" not in block)
    return written(media, target).get("type") == "text" or (form == "anthropic" and "source" not in block)


def _is_bedrocks(block: Mapping[str, Any], media: Media) -> bool:
    """Return whether Bedrock's package reads the block: of its own form, of Anthropic's, or a picture's content as OpenAI has it."""
    kind, source = block.get("type"), block.get("source")
    inline = isinstance(source, Mapping) and source.get("type") == "base64"
    return kind in block or (inline and kind in ("image", "video")) or (kind == "image_url" and media.data is not None)


_PLAIN_KEYS = frozenset({"type", "text"})
_TEXT_KEYS: Mapping[str, frozenset[str]] = {
    form: frozenset({*_PLAIN_KEYS, *rules.cache_marks, *(("citations",) if form == "anthropic" else ())})
    for form, rules in RULES.items()
}
"""Wire format → the keys of a text block that its provider knows."""


def _plain_text(block: Mapping[str, Any], rules: WireRules) -> Any:
    text = block.get("text")
    if not isinstance(text, str) or (not rules.empty_messages and not text.strip()):
        return None
    keys = _TEXT_KEYS.get(rules.name, _PLAIN_KEYS)
    extras = block.get("extras")
    kept = {mark: extras[mark] for mark in keys & set(extras)} if isinstance(extras, Mapping) else {}
    if not kept and set(block) <= keys:
        return block
    return {**{key: value for key, value in block.items() if key in keys}, **kept}


_FOREIGN_MARKS: Mapping[str, tuple[str, ...]] = {
    form: tuple(mark for mark, forms in MARKS.items() if form not in forms) for form in RULES
}
"""Wire format → the prompt cache markers that its provider does not know."""


def _unmarked(block: Mapping[str, Any], form: str) -> Mapping[str, Any]:
    """Return the block without prompt cache markers of other providers."""
    foreign = _FOREIGN_MARKS.get(form, tuple(MARKS))
    extras = block.get("extras")
    marked = {*block, *extras} if isinstance(extras, Mapping) else block
    if not any(mark in marked for mark in foreign):
        return block
    plain = {key: value for key, value in block.items() if key not in foreign}
    if isinstance(extras, Mapping):
        plain["extras"] = {key: value for key, value in extras.items() if key not in foreign}
    return plain


def _kept_marks(block: Mapping[str, Any], new: dict[str, Any], form: str) -> dict[str, Any]:
    return {**new, **{mark: block[mark] for mark, forms in MARKS.items() if form in forms and mark in block}}
