"""Conversion of model messages to a form that the target model can read.

An answer in the target's own format is returned as the same object. From another model of the same provider only thinking is
removed. Any other answer becomes text and tool calls, which every model reads: results of server tools become text, media move to a
user message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from operator import is_
from typing import Any

from langchain_core.messages import AIMessage

from langroute.adapt.blocks import CALLS, THINKING
from langroute.adapt.calls import SIGNATURES
from langroute.adapt.media import Media, media_of, text_of
from langroute.adapt.target import Target
from langroute.core.decision_metadata import METADATA_KEY
from langroute.providers.profile import WireRules

_SERVER_CALLS = ("server_tool_use", "mcp_tool_use", "server_tool_call")
"""Types of blocks in which a provider calls a tool of its own, whose result is another block."""

_TELLING = frozenset(
    {
        "tool_calls", "function_call", "reasoning", "reasoning_content", "tool_outputs", "audio", "name", "thinking",
        "__openai_function_call_ids__", SIGNATURES,
    }
)  # fmt: skip
"""Keys of `additional_kwargs` that an integration package sends to its provider, even when they came from another provider."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOLD = 2000
"""Most characters that are kept of one server tool's result."""


def readable(message: AIMessage, target: Target) -> tuple[AIMessage, list[Media]]:
    """Return the answer in a form the target reads, and the media that must be moved to a user message.

    Example:
        >>> from langroute.adapt.target import Target
        >>> thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
        >>> answer = AIMessage([thought, {"type": "text", "text": "Yes."}], response_metadata={"model_provider": "anthropic"})
        >>> readable(answer, Target("openai-chat", "openai"))[0].content
        'Yes.'
    """
    content, form = message.content, target.form
    if _must_change(message, form):
        return portable(message)
    provider = message.response_metadata.get("model_provider")
    if provider is None and form in _READ_CLAUDES and isinstance(content, list) and _plain(content):
        return message, []
    if target.wrote(provider) and not (form in _READ_TEXT and isinstance(content, list)):
        return _of_provider(message, target, provider)
    if _is_common(message):
        return _named(message, target.rules), []
    return portable(message)


_READ_CLAUDES = ("anthropic", "bedrock")
"""Wire formats that read Claude's blocks of text and calls."""

_READ_TEXT = ("openai-chat", "openai-compatible")
"""Wire formats whose packages send an answer as text and calls only."""


def _is_common(message: AIMessage) -> bool:
    """Return whether it is plain text and tool calls: nothing in it is specific to a provider."""
    extra = message.additional_kwargs
    return isinstance(message.content, str) and not (extra and _TELLING & set(extra))


def _must_change(message: AIMessage, form: str | None) -> bool:
    """Return whether not even the package that made the answer would send it: broken calls, a refusal alone, texts without ids."""
    content = message.content
    if message.invalid_tool_calls or (not content and message.additional_kwargs.get("refusal")):
        return True
    return form == "openai-responses" and isinstance(content, list) and _nameless(content)


def _of_provider(message: AIMessage, target: Target, provider: str | None) -> tuple[AIMessage, list[Media]]:
    """Return an answer in the target's own format: without its thinking, if another model thought it."""
    metadata, content = message.response_metadata, message.content
    if not _has_thinking(message) or target.thought(provider, _model(metadata), _route(metadata)):
        return _named(message, target.rules), []
    if target.form in _READ_CLAUDES and isinstance(content, list):
        # Only thinking belongs to one model: server tools and citations are read by all models of the provider.
        rest = [block for block in content if not (isinstance(block, Mapping) and block.get("type") in THINKING)]
        return message.model_copy(update={"content": rest}), []
    return portable(message)


def _plain(content: list[Any]) -> bool:
    """Return whether there are only `text` and `tool_use` blocks, as a user writes them for Claude."""
    return all(isinstance(block, Mapping) and block.get("type") in ("text", "tool_use") for block in content)


def _nameless(content: list[Any]) -> bool:
    """Return whether the content is text and calls, some text without an item id: older OpenAI packages would send an empty one."""
    known = all(isinstance(block, Mapping) and block.get("type") in ("text", *CALLS) for block in content)
    return known and any(block["type"] == "text" and not block.get("id") for block in content)


def _model(metadata: Mapping[str, Any]) -> str | None:
    name = metadata.get("model_name") or metadata.get("model")
    return name if isinstance(name, str) else None


def _route(metadata: Mapping[str, Any]) -> str | None:
    """Return the route that wrote an answer, where the answer came from a router."""
    told = metadata.get(METADATA_KEY)
    name = told.get("route") if isinstance(told, Mapping) else None
    return name if isinstance(name, str) else None


def _has_thinking(message: AIMessage) -> bool:
    extra = message.additional_kwargs
    if extra and ("reasoning" in extra or SIGNATURES in extra):
        return True
    content = message.content
    if not isinstance(content, list):
        return False
    return any(isinstance(block, Mapping) and (block.get("type") in THINKING or _signed(block)) for block in content)


def _signed(block: Mapping[str, Any]) -> bool:
    """Return whether a block carries a thought signature of Gemini, which also signs text and calls."""
    extras = block.get("extras")
    return "thought_signature" in block or (isinstance(extras, Mapping) and "signature" in extras)


def _named(message: AIMessage, rules: WireRules | None) -> AIMessage:
    """Return the message with a name that OpenAI accepts; agents set arbitrary ones."""
    name = message.name
    if name is None or rules is None or not rules.named_messages or _NAME.fullmatch(name):
        return message
    return message.model_copy(update={"name": plain_name(name)})


def answered(message: AIMessage) -> AIMessage:
    """Return an answer with words in place of calls of server tools that never got a result; Claude refuses those.

    Example:
        >>> asked = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rain"}}
        >>> answered(AIMessage([asked])).content
        [{'type': 'text', 'text': '[web_search {"query": "rain"}]'}]
    """
    content = message.content
    # A call whose result is still to come waits for the results of the user's own tools.
    if not isinstance(content, list) or message.tool_calls:
        return message
    results = {block.get("tool_use_id") or block.get("tool_call_id") for block in content if isinstance(block, Mapping)}
    new = [_unanswered(block) if _asks(block, results) else block for block in content]
    return message if all(map(is_, new, content)) else message.model_copy(update={"content": new})


def _asks(block: Any, results: set[Any]) -> bool:
    return isinstance(block, Mapping) and block.get("type") in _SERVER_CALLS and block.get("id") not in results


def _unanswered(block: Any) -> dict[str, Any]:
    return {"type": "text", "text": f"[{_tool(block)}{_arguments(block)}]"}


def plain_name(name: str) -> str:
    """Return a name that every provider accepts.

    Example:
        >>> plain_name("My agent")
        'My_agent'
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]


def portable(message: AIMessage) -> tuple[AIMessage, list[Media]]:
    r"""Return an answer as text and tool calls, and the media in it.

    Example:
        >>> searched = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "rain"}}
        >>> portable(AIMessage([searched, {"type": "text", "text": "It rains."}]))[0].content
        '[web_search {"query": "rain"}]\nIt rains.'
    """
    content = message.content
    texts: list[str] = []
    media: list[Media] = []
    for block in content if isinstance(content, list) else [content]:
        text, seen = _told(block)
        texts.append(text)
        media.extend(seen)
    extra = message.additional_kwargs
    texts.extend(_told(item)[0] for item in extra.get("tool_outputs") or ())
    texts.extend(map(_unread, message.invalid_tool_calls))
    text = "".join(texts).strip("\n") or _refused_or_spoken(extra)
    name = plain_name(message.name) if message.name else None
    plain = AIMessage(text, tool_calls=[dict(call) for call in message.tool_calls], id=message.id, name=name)
    return plain, media


def _unread(call: Mapping[str, Any]) -> str:
    return f"\n[A call of {call.get('name') or 'a tool'} that could not be read: {_clip(str(call.get('args') or ''))}]"


def _refused_or_spoken(extra: Mapping[str, Any]) -> str:
    """Return the refusal, or else the transcript, of an answer without text."""
    audio = extra.get("audio")
    return str(extra.get("refusal") or (audio.get("transcript") if isinstance(audio, Mapping) else None) or "")


def _told(block: Any) -> tuple[str, list[Media]]:
    """Return a block's content as text, and the media in it."""
    if isinstance(block, str):
        return block, []
    kind = block.get("type")
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        return _told(block["value"])
    if kind in _SILENT:
        return "", []
    if kind in _TELLERS:
        return _TELLERS[kind](block)
    if kind.endswith(("_result", "_output")):
        return _result(block)
    if kind.endswith(("tool_use", "_call", "executable_code")):
        return f"\n[{_tool(block)}{_arguments(block)}]\n{_outcome(block)}", []
    found = media_of(block)
    return ("", [found]) if found is not None else (text_of(block), [])


def _text(block: Mapping[str, Any]) -> tuple[str, list[Media]]:
    return text_of(block), []


def _refusal(block: Mapping[str, Any]) -> tuple[str, list[Media]]:
    return str(block.get("refusal") or ""), []


def _made_image(block: Mapping[str, Any]) -> tuple[str, list[Media]]:
    made = block.get("result")
    return "", [Media("image", "image/png", made)] if isinstance(made, str) else []


_SILENT = frozenset({None, *THINKING, *CALLS})
"""Types of blocks that tell another model nothing, or nothing that is not in `tool_calls`."""

_TELLERS: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, list[Media]]]] = {
    "text": _text,
    "output_text": _text,
    "text-plain": _text,
    "refusal": _refusal,
    "image_generation_call": _made_image,
}
"""Type of a block → what it tells, as text and media; of other types the ending says what they are."""


def _tool(block: Mapping[str, Any]) -> str:
    kind = str(block.get("type"))
    return str(block.get("name") or kind.removesuffix("_call").removesuffix("_tool_use"))


def _arguments(block: Mapping[str, Any]) -> str:
    for key in ("input", "args", "arguments", "action", "queries", "code", "executable_code"):
        value = block.get(key)
        if value:
            return " " + _clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
    return ""


def _outcome(block: Mapping[str, Any]) -> str:
    """Return the result of a call block that carries its own result, as text."""
    for key in ("output", "outputs", "results"):
        value = block.get(key)
        if value:
            return f"[result: {_clip(_words(value))}]\n"
    return ""


def _result(block: Mapping[str, Any]) -> tuple[str, list[Media]]:
    media: list[Media] = []
    body = next((block[key] for key in ("content", "output", "code_execution_result") if block.get(key)), None)
    for part in body if isinstance(body, list) else ():
        found = media_of(part) if isinstance(part, Mapping) else None
        if found is not None and found.text is None:
            media.append(found)
    words = _clip(_words(body)) if body else ""
    return (f"\n[result: {words}]\n" if words else ""), media


def _words(value: Any) -> str:
    """Return the text of a result: titles, URLs, text, output; no encrypted content and no media."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(found for part in value if (found := _words(part)))
    if isinstance(value, Mapping):
        return _spoken(value)
    return "" if value is None else str(value)


def _spoken(value: Mapping[str, Any]) -> str:
    source = value.get("source")
    inline = isinstance(source, Mapping) and "data" in source
    if inline or value.get("type") in ("image", "image_url", "input_image"):
        return _document(source)
    return " ".join(found for key in _SPOKEN if value.get(key) and (found := _words(value[key])))


_SPOKEN = ("title", "url", "filename", "text", "stdout", "stderr", "logs", "output", "error_code", "content", "source")
"""Keys of a result that say something, in the order in which they are told."""


def _document(source: Any) -> str:
    return source["data"] if isinstance(source, Mapping) and source.get("type") == "text" else ""


def _clip(text: str) -> str:
    return text if len(text) <= _TOLD else f"{text[:_TOLD]} …"
