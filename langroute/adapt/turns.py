"""Does every message stand where the target allows it?

A tool's result follows its call and every call has one; system messages stand where they may; nobody is sent an empty message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.adapt.answers import SIGNATURES, plain_name, readable
from langroute.adapt.blocks import Media, asked, media_of, text_of, written
from langroute.adapt.target import Target

NO_RESULT = "There is no result: the call was not carried out."
EMPTY = "(no text)"
TAKEN = "OK."
_ID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ONCE = ("anthropic", "gemini", "openai-responses")
"""Forms in which an id may be used once only; some servers count from 0 in every answer."""

_FILLED = ("anthropic", "gemini", "mistral")
"""Forms that refuse an empty message."""

_OWN_RESULTS = ("computer_call_output", "custom_tool_call_output")


def tool_id(given: str | None, form: str, salt: str = "") -> str:
    """A tool call's id as the target takes it: always the same for the same one, so that calls and results stay pairs.

    Example:
        >>> tool_id("call_1", "openai-chat"), tool_id("functions.run:0", "openai-chat"), tool_id("call_1", "mistral")
        ('call_1', 'call_bb5aac1d2f7e3456689b0b44', 'FLAxGw6IF')
    """
    if not salt and given and (_SHORT_ID if form == "mistral" else _ID).fullmatch(given):
        return given
    digest = blake2b(f"{given or ''}\0{salt}".encode("utf-8", "replace"), digest_size=12)
    if form != "mistral":
        return f"call_{digest.hexdigest()}"
    number, short = int.from_bytes(digest.digest(), "big"), ""
    while len(short) < 9:
        number, place = divmod(number, len(_LETTERS))
        short += _LETTERS[place]
    return short


def opening(message: BaseMessage, target: Target, led: bool, before: BaseMessage | None, *, last: bool) -> list[BaseMessage]:
    """A message before the first answer, or after a turn is complete.

    Args:
        message: Anything but an answer.
        target: Who reads it.
        led: A message that is no system message stood before it.
        before: What stands before it.
        last: An answer follows, or nothing.
    """
    if isinstance(message, ChatMessage):
        message = _by_role(message)
    if isinstance(message, ToolMessage):
        return [_orphan(message, target)]
    if not isinstance(message, (HumanMessage, SystemMessage)):
        return [message]
    form = target.form or ""
    content = message.content
    new = _content(content, target) if isinstance(content, list) else content
    if form in _FILLED and not _says(new):
        if isinstance(message, SystemMessage):
            return []
        new = EMPTY
    if isinstance(message, SystemMessage) and led and not _may_stand(target, before, last=last):
        return [HumanMessage(_as_instruction(new), id=message.id)]
    update: dict[str, Any] = {} if new is content else {"content": new}
    name = message.name
    if name is not None and form in ("openai-chat", "openai-compatible") and plain_name(name) != name:
        update["name"] = plain_name(name)
    return [message.model_copy(update=update) if update else message]


def _may_stand(target: Target, before: BaseMessage | None, *, last: bool) -> bool:
    """A system message in the middle: OpenAI takes it; Claude's latest models after a user's turn; a chat template may refuse it."""
    if target.form == "anthropic":
        return target.systems_anywhere and last and isinstance(before, (HumanMessage, ToolMessage))
    return target.form in ("openai-chat", "openai-responses")


def _by_role(message: ChatMessage) -> BaseMessage:
    """A message that says its role only, as the kind of message that role is."""
    kinds: dict[str, type[BaseMessage]] = {"assistant": AIMessage, "system": SystemMessage, "developer": SystemMessage}
    return kinds.get(message.role.lower(), HumanMessage)(message.content, id=message.id)


def _as_instruction(content: Any) -> Any:
    """What a system message says in the middle of a conversation, where only users and models may speak."""
    if isinstance(content, str):
        return f"<system>\n{content}\n</system>"
    return [{"type": "text", "text": "<system>"}, *content, {"type": "text", "text": "</system>"}]


def _content(content: list[Any], target: Target) -> Any:
    """The blocks as the target reads them; the very same list where nothing changes."""
    new = [asked(block, target) for block in content]
    if len(new) == len(content) and all(a is b for a, b in zip(new, content)):  # noqa: B905 - Python 3.10 is as fast without
        return content
    return [block for block in new if block is not None]


def _says(content: Any) -> bool:
    if isinstance(content, str):
        return bool(content.strip())
    return any(block.get("type") != "text" or block["text"].strip() for block in content if isinstance(block, dict))


def turn(answer: AIMessage, after: Sequence[BaseMessage], target: Target, used: set[str]) -> list[BaseMessage]:
    """An answer and what follows it, up to the next one.

    Args:
        answer: The model's message.
        after: Results of its tool calls, and what people said then.
        target: Who reads it.
        used: Ids of tool calls so far; this answer's are added.
    """
    form = target.form or ""
    new, media = readable(answer, target)
    ids, renamed = _ids(new, form, used)
    if renamed:
        new = _with_ids(new, ids)
    out: list[BaseMessage] = []
    if new.tool_calls or _says_anything(new):
        out.append(new)
    # Results stand right behind their calls, whoever spoke in between.
    waiting: dict[str, list[str]] = {}
    for old, name in ids:
        waiting.setdefault(old, []).append(name)
    others: list[BaseMessage] = []
    for message in after:
        if isinstance(message, ToolMessage):
            known = waiting.get(message.tool_call_id)
            if known:
                result, seen = _result(message, known.pop(0), target)
                out.append(result)
                media.extend(seen)
                continue
            if target.form == "openai-responses" and message.additional_kwargs.get("type") in _OWN_RESULTS and new is answer:
                # A result of one of OpenAI's own tools, whose call stands among the blocks.
                out.append(message)
                continue
        others.append(message)
    calls = {name: call for (_, name), call in zip(ids, new.tool_calls)}  # noqa: B905
    for left in waiting.values():
        out.extend(ToolMessage(NO_RESULT, tool_call_id=name, name=calls[name]["name"], status="error") for name in left)
    if form == "mistral" and (media or others) and out and isinstance(out[-1], ToolMessage):
        # There a user may not speak before the model has taken the result.
        out.append(AIMessage(TAKEN))
    if media:
        out.append(_shown(media, target))
    for message in others:
        out.extend(opening(message, target, True, out[-1] if out else None, last=message is others[-1]))
    return out


def _says_anything(message: AIMessage) -> bool:
    content = message.content
    if isinstance(content, str):
        return bool(content.strip()) or "audio" in message.additional_kwargs
    return any(not isinstance(block, dict) or block.get("type") != "text" or block.get("text", "").strip() for block in content)


def _ids(message: AIMessage, form: str, used: set[str]) -> tuple[list[tuple[str, str]], bool]:
    """The old and the new id of each tool call, and whether any differs."""
    ids: list[tuple[str, str]] = []
    renamed = False
    for place, call in enumerate(message.tool_calls):
        old = call["id"] or ""
        name = tool_id(old, form, "" if old else str(place))
        if form in _ONCE:
            # Salted with the place in the history, which never changes.
            while name in used:
                name = tool_id(old, form, f"{len(used)}")
                used.add(f"\0{name}")
            used.add(name)
        renamed = renamed or name != call["id"]
        ids.append((old, name))
    return ids, renamed


def _with_ids(message: AIMessage, ids: list[tuple[str, str]]) -> AIMessage:
    calls = [{**call, "id": name} for call, (_, name) in zip(message.tool_calls, ids)]  # noqa: B905
    names = dict(ids)
    content = message.content
    if isinstance(content, list):
        content = [_renamed(block, names) for block in content]
    extra = message.additional_kwargs
    if SIGNATURES in extra:
        extra = {**extra, SIGNATURES: {names.get(old, old): signature for old, signature in extra[SIGNATURES].items()}}
    return message.model_copy(update={"tool_calls": calls, "content": content, "additional_kwargs": extra})


def _renamed(block: Any, names: dict[str, str]) -> Any:
    if not isinstance(block, dict):
        return block
    return {**block, **{key: names[block[key]] for key in ("id", "call_id") if block.get(key) in names}}


def _result(message: ToolMessage, name: str, target: Target) -> tuple[ToolMessage, list[Media]]:
    content = message.content
    media: list[Media] = []
    if isinstance(content, list):
        content, media = _result_content(content, target)
    update: dict[str, Any] = {}
    if content is not message.content:
        update["content"] = content
    if name != message.tool_call_id:
        update["tool_call_id"] = name
    return (message.model_copy(update=update) if update else message), media


def _result_content(content: list[Any], target: Target) -> tuple[Any, list[Media]]:
    """A tool's result; where a result is text only, its media are shown by the user afterwards."""
    form = target.form or ""
    if form == "anthropic":
        if content and all(isinstance(block, dict) and block.get("type") in ("tool_result", "tool_reference") for block in content):
            return content, []
        return _content(content, target), []
    if form in ("openai-responses", "gemini"):
        return _content(content, target), []
    media = [
        found for block in content if isinstance(block, dict) and (found := media_of(block)) is not None and found.text is None
    ]
    texts = [block for block in content if not (isinstance(block, dict) and (found := media_of(block)) and found.text is None)]
    kept = _content(texts, target)
    if form == "openai-chat" and not media:
        return (content if kept is texts else kept), []
    joined = "\n".join(text for block in kept if (text := text_of(block)))
    return joined or ("(shown below)" if media else ""), media


def _shown(media: list[Media], target: Target) -> HumanMessage:
    blocks = [written(found, target) for found in media]
    return HumanMessage([{"type": "text", "text": "(from the message before)"}, *blocks])


def _orphan(message: ToolMessage, target: Target) -> BaseMessage:
    """A result whose call is gone: what it says is kept, in the user's mouth."""
    content = _content(message.content, target) if isinstance(message.content, list) else message.content
    head = f"Result of {message.name or 'a tool'}:"
    if isinstance(content, str):
        return HumanMessage(f"{head}\n{content}", id=message.id)
    return HumanMessage([{"type": "text", "text": head}, *content], id=message.id)
