"""Order of messages: puts every message where the target allows it.

A tool result follows its call and every call has a result; system messages stand only where allowed; empty messages are not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.adapt.answers import answered, plain_name, readable
from langroute.adapt.blocks import asked, written
from langroute.adapt.calls import fitting, paired
from langroute.adapt.media import Media, media_of, text_of
from langroute.adapt.target import Target
from langroute.providers.profile import WireRules

NO_RESULT = "There is no result: the call was not carried out."
EMPTY = "(no text)"
TAKEN = "OK."
_ROLE = "__openai_role__"
"""Key of `additional_kwargs` in which LangChain keeps the role `developer`."""

_OWN_RESULTS = ("computer_call_output", "custom_tool_call_output")


def opening(message: BaseMessage, target: Target, led: bool, before: BaseMessage | None, *, last: bool) -> list[BaseMessage]:
    """Return a message before the first answer or after a complete turn, as the target accepts it.

    Args:
        message: Anything but an answer.
        target: The route that will read it.
        led: A message other than a system message stood before it.
        before: The message before it.
        last: An answer or nothing follows.
    """
    if isinstance(message, ChatMessage):
        message = _by_role(message)
    if isinstance(message, ToolMessage):
        return [_orphan(message, target)]
    if not isinstance(message, (HumanMessage, SystemMessage)):
        return [message]
    rules = target.rules
    if rules is None:
        return [message]
    content = message.content
    new = _fitting(content, target, rules)
    if new is None:
        if isinstance(message, SystemMessage):
            return []
        new = EMPTY
    if isinstance(message, SystemMessage) and led and not _may_stand(target, before, last=last):
        return [HumanMessage(_as_instruction(new), id=message.id)]
    update: dict[str, Any] = {} if new is content else {"content": new}
    name = message.name
    if name is not None and rules.named_messages and plain_name(name) != name:
        update["name"] = plain_name(name)
    if not rules.developer_role and _ROLE in message.additional_kwargs:
        update["additional_kwargs"] = {key: value for key, value in message.additional_kwargs.items() if key != _ROLE}
    return [message.model_copy(update=update) if update else message]


def _may_stand(target: Target, before: BaseMessage | None, *, last: bool) -> bool:
    """Return whether a system message may stand in the middle: OpenAI allows it, Claude's latest models after a user's turn."""
    if target.form == "anthropic":
        return target.systems_anywhere and last and isinstance(before, (HumanMessage, ToolMessage))
    return target.rules is not None and target.rules.system_in_middle


def _by_role(message: ChatMessage) -> BaseMessage:
    """Return a `ChatMessage` as the message class of its role."""
    kinds: dict[str, type[BaseMessage]] = {"assistant": AIMessage, "system": SystemMessage, "developer": SystemMessage}
    role = message.role.lower()
    extra = {_ROLE: role} if role == "developer" else {}
    return kinds.get(role, HumanMessage)(message.content, id=message.id, additional_kwargs=extra)


def _as_instruction(content: Any) -> Any:
    """Return a system message's content for a user message, where system messages are not allowed in the middle."""
    if isinstance(content, str):
        return f"<system>\n{content}\n</system>"
    return [{"type": "text", "text": "<system>"}, *content, {"type": "text", "text": "</system>"}]


def _content(content: list[Any], target: Target) -> Any:
    """Return the blocks in a form the target reads; the same list where nothing changes."""
    new = [asked(block, target) for block in content]
    if all(a is b for a, b in zip(new, content)):  # noqa: B905 - Python 3.10 is as fast without
        return content
    return [block for block in new if block is not None]


def _fitting(content: Any, target: Target, rules: WireRules) -> Any:
    """Return a content as the target takes it; `None` where it says nothing and nobody may."""
    new = _content(content, target) if isinstance(content, list) else content
    if new == [] or (isinstance(new, str) and not rules.empty_messages and not new.strip()):
        return None
    return _with_text(new) if rules.text_with_files and isinstance(new, list) else new


def _with_text(content: list[Any]) -> list[Any]:
    """Return blocks with a text beside the files among them."""
    files = any(isinstance(block, dict) and (block.get("type") in ("file", "document") or "document" in block) for block in content)
    if not files or any(isinstance(block, dict) and isinstance(block.get("text"), str) for block in content):
        return content
    return [{"type": "text", "text": EMPTY}, *content]


def turn(
    answer: AIMessage, after: Sequence[BaseMessage], target: Target, used: set[str], *, last: bool = False
) -> list[BaseMessage]:
    """Return an answer and the messages after it, up to the next answer, as the target accepts them.

    Args:
        answer: The model's message.
        after: Results of its tool calls and the user messages after them.
        target: The route that will read it.
        used: Ids of tool calls so far; this answer's are added.
        last: The history ends with the answer, which its model may continue.
    """
    rules = target.rules
    if rules is None:
        return [answer, *after]
    new, media = readable(answer, target)
    if not last:
        new = answered(new)
    new, ids = paired(new, rules, used)
    out: list[BaseMessage] = []
    if new.tool_calls or _says_anything(new):
        out.append(new)
    results, others = _results(new, ids, after, target, media, own_blocks=new is answer)
    out.extend(results)
    if not rules.user_after_tool and (media or others) and out and isinstance(out[-1], ToolMessage):
        # There a user message may not come before the model has answered the result.
        out.append(AIMessage(TAKEN))
    if media:
        out.append(_shown(media, target))
    for message in others:
        out.extend(opening(message, target, True, out[-1] if out else None, last=message is others[-1]))
    return out


def _results(
    answer: AIMessage,
    ids: list[tuple[str, str]],
    after: Sequence[BaseMessage],
    target: Target,
    media: list[Any],
    *,
    own_blocks: bool,
) -> tuple[list[BaseMessage], list[BaseMessage]]:
    """Return the results of an answer's calls, which must follow it directly, and the other messages in between.

    Args:
        answer: The model's message.
        ids: The old and the new id of each call.
        after: The messages up to the next answer.
        target: The model that reads them.
        media: Blocks that the target takes only from user messages; those of the results are added.
        own_blocks: Whether the answer's blocks are as the provider wrote them.
    """
    waiting: dict[str, list[tuple[str, str]]] = {}
    for (old, new), call in zip(ids, answer.tool_calls):  # noqa: B905 - as long as each other
        waiting.setdefault(old, []).append((new, call["name"]))
    results: list[BaseMessage] = []
    others: list[BaseMessage] = []
    for message in after:
        if isinstance(message, ToolMessage):
            known = waiting.get(message.tool_call_id)
            if known:
                new, tool = known.pop(0)
                result, seen = _result(message, new, tool, target)
                results.append(result)
                media.extend(seen)
                continue
            if target.form == "openai-responses" and message.additional_kwargs.get("type") in _OWN_RESULTS and own_blocks:
                # A result of one of OpenAI's own tools, whose call stands among the blocks.
                results.append(message)
                continue
        others.append(message)
    for left in waiting.values():
        for new, tool in left:
            results.append(ToolMessage(NO_RESULT, tool_call_id=new, name=tool, status="error"))
    return results, others


def _says_anything(message: AIMessage) -> bool:
    content = message.content
    if isinstance(content, str):
        return bool(content.strip()) or "audio" in message.additional_kwargs
    return any(not isinstance(block, dict) or block.get("type") != "text" or block.get("text", "").strip() for block in content)


def _result(message: ToolMessage, call_id: str, tool: str, target: Target) -> tuple[ToolMessage, list[Media]]:
    content = message.content
    media: list[Media] = []
    if isinstance(content, list):
        content, media = _result_content(content, target, failed=message.status == "error")
    update: dict[str, Any] = {}
    if content is not message.content:
        update["content"] = content
    if call_id != message.tool_call_id:
        update["tool_call_id"] = call_id
    if message.name is not None and message.name != tool and not _fits(message.name, target.rules):
        update["name"] = tool
    return (message.model_copy(update=update) if update else message), media


def _fits(name: str, rules: WireRules | None) -> bool:
    return rules is None or fitting(rules.tool_name).fullmatch(name) is not None


def _result_content(content: list[Any], target: Target, *, failed: bool) -> tuple[Any, list[Media]]:
    """Return a tool result's content, and the media that must follow in a user message where the result cannot carry them."""
    rules = target.rules
    if rules is None:
        return content, []
    prebuilt = ("tool_result", "tool_reference")
    if rules.name == "anthropic" and content and all(isinstance(one, dict) and one.get("type") in prebuilt for one in content):
        return content, []
    if rules.result_media and (rules.failed_result_media or not failed):
        return _content(content, target) or EMPTY, []
    media = [found for block in content if (found := _media(block)) is not None]
    texts = [block for block in content if _media(block) is None]
    kept = _content(texts, target)
    if kept and not media and (rules.name == "openai-chat" or (rules.result_media and all(map(_is_text, kept)))):
        return (content if kept is texts else kept), []
    joined = "\n".join(text for block in kept if (text := text_of(block)))
    return joined or ("(shown below)" if media else EMPTY), media


def _media(block: Any) -> Media | None:
    """Return what a block shows and text cannot say."""
    found = media_of(block) if isinstance(block, dict) else None
    return found if found is not None and found.text is None else None


def _is_text(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text"


def _shown(media: list[Media], target: Target) -> HumanMessage:
    blocks = [written(found, target) for found in media]
    return HumanMessage([{"type": "text", "text": "(from the message before)"}, *blocks])


def _orphan(message: ToolMessage, target: Target) -> BaseMessage:
    """Return a tool result whose call is missing as a user message, so that its content is kept."""
    content = _content(message.content, target) if isinstance(message.content, list) else message.content
    head = f"Result of {message.name or 'a tool'}:"
    if isinstance(content, str):
        return HumanMessage(f"{head}\n{content}", id=message.id)
    return HumanMessage([{"type": "text", "text": head}, *content], id=message.id)
