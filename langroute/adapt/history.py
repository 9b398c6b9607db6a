"""`adapt`: makes a message history readable for another model.

A history in the target's own format is returned unchanged. Otherwise the messages that need it are copied; the stored history stays
as it is, so that the first model finds its own blocks again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_not

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.adapt.answers import readable
from langroute.adapt.blocks import THINKING
from langroute.adapt.memo import Part
from langroute.adapt.repair import repaired
from langroute.adapt.target import Target
from langroute.adapt.turns import opening, turn
from langroute.core.fast_dataclass import fast_dataclass

GO_ON = "Go on exactly where your last message stops."
CUT = "(The beginning of this conversation is not shown.)"


@fast_dataclass
class Adapted:
    """A history that its target can read, and what the call must do differently."""

    messages: Sequence[BaseMessage]
    disable_thinking: bool = False
    """Whether thinking must be off for this call, because the open tool loop began without it."""


def adapt(messages: Sequence[BaseMessage], target: Target) -> Adapted:
    """Make a history fit for a target. Messages that need no change stay the same objects, and so does an unchanged list.

    Args:
        messages: The stored history; nothing in it is changed.
        target: The route that will read it.

    Example:
        >>> history = [HumanMessage("Hello.")]
        >>> adapt(history, Target("openai-chat", "openai")).messages is history
        True
    """
    if not messages or (len(messages) < 3 and _is_plain(messages)):
        return Adapted(messages)
    try:
        return _adapted(messages, target)
    except Exception:  # noqa: BLE001 - something in it has a form that no rule knows
        try:
            return _adapted([repaired(message) for message in messages], target)
        except Exception:  # noqa: BLE001
            return _adapted([repaired(message, words_only=True) for message in messages], target)


def _adapted(messages: Sequence[BaseMessage], target: Target) -> Adapted:
    if target.form is None:
        return Adapted(_for_a_stranger(messages, target))
    part = target.memo.take(messages)
    begun = len(part.ids)
    if 0 < begun < len(messages) and not isinstance(messages[begun], AIMessage):
        # The adapted part ended where an answer began. That answer is gone, so the turn before it continues.
        part, begun = Part(), 0
        part.history = getattr(messages, "history", None)
    # The last answer is adapted again each time: results of its tool calls may still come in.
    last = len(messages) - 1
    while last > begun and not isinstance(messages[last], AIMessage):
        last -= 1
    if last > begun:
        grown = messages[begun:last]
        _read(grown, target, part, last=False)
        part.remember(grown)
    tail = messages[max(last, begun) :]
    end = Part()
    end.led, end.tool_ids = part.led, set(part.tool_ids) if part.tool_ids else set()
    _read(tail, target, end, last=True)
    adapted = messages if part.same and end.same else [*part.out, *end.out]
    target.memo.keep(part, messages)
    if not adapted:
        # Only empty answers are left: send them as they are and let the provider decide.
        return Adapted(messages)
    adapted = _ended(_begun(adapted, target), target)
    return Adapted(adapted, target.thinking and _loop_without_thinking(adapted))


def _read(messages: Sequence[BaseMessage], target: Target, part: Part, *, last: bool) -> None:
    """Adapt messages that start at the beginning of a turn and append them to `part`; `last` where the history ends with them."""
    place, count = 0, len(messages)
    while place < count:
        message = messages[place]
        follows = place + 1
        if isinstance(message, AIMessage):
            part.led = True
            while follows < count and not isinstance(messages[follows], AIMessage):
                follows += 1
            ends = follows == count and last
            new = turn(message, messages[place + 1 : follows], target, part.tool_ids, last=ends and follows == place + 1)
        else:
            ends = follows == count or isinstance(messages[follows], AIMessage)
            new = opening(message, target, part.led, part.out[-1] if part.out else None, last=ends)
            part.led = part.led or not isinstance(message, SystemMessage)
        old = messages[place:follows]
        if len(new) != len(old) or any(map(is_not, new, old)):
            for at in range(place, follows):
                part.changed(len(part.ids) + at, messages[at])
        part.out.extend(new)
        place = follows


def _begun(messages: Sequence[BaseMessage], target: Target) -> Sequence[BaseMessage]:
    """Return messages with a beginning the target accepts: one system prompt where only one is allowed, then a user message."""
    rules = target.rules
    lead = 0
    while lead < len(messages) and isinstance(messages[lead], SystemMessage):
        lead += 1
    if rules is not None and rules.single_system and lead > 1:
        texts = [str(message.text) for message in messages[:lead]]
        messages = [SystemMessage("\n\n".join(texts), id=messages[0].id), *messages[lead:]]
        lead = 1
    if rules is None or not rules.user_first:
        return messages
    if lead == len(messages):
        # A system message alone is not a valid request there.
        return [*messages[:-1], HumanMessage(messages[-1].content)] if messages else messages
    if isinstance(messages[lead], AIMessage):
        return [*messages[:lead], HumanMessage(CUT), *messages[lead:]]
    return messages


def _ended(messages: Sequence[BaseMessage], target: Target) -> Sequence[BaseMessage]:
    """Return messages with an end the target accepts: no prefilled answer where prefill is not allowed."""
    last = messages[-1] if messages else None
    if not isinstance(last, AIMessage) or last.tool_calls:
        return messages
    if target.form == "mistral":
        if last.additional_kwargs.get("prefix"):
            return messages
        return [*messages[:-1], last.model_copy(update={"additional_kwargs": {**last.additional_kwargs, "prefix": True}})]
    return messages if target.prefill else [*messages, HumanMessage(GO_ON)]


def _loop_without_thinking(messages: Sequence[BaseMessage]) -> bool:
    """Return whether a tool loop is open whose last answer does not begin with thinking."""
    results, answer = False, None
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            answer = message
            break
        results = results or isinstance(message, ToolMessage)
    if not results:
        return False
    first = answer.content[0] if answer is not None and isinstance(answer.content, list) and answer.content else None
    return not (isinstance(first, dict) and first.get("type") in THINKING)


def _is_plain(messages: Sequence[BaseMessage]) -> bool:
    """Return whether the messages are plain text only, which every model reads."""
    last = messages[-1]
    if type(last) is not HumanMessage or (len(messages) == 2 and type(messages[0]) is not SystemMessage):
        return False
    for message in messages:
        content = message.content
        if type(content) is not str or not content or content.isspace() or message.name is not None or message.additional_kwargs:
            return False
    return True


def _for_a_stranger(messages: Sequence[BaseMessage], target: Target) -> Sequence[BaseMessage]:
    """Return messages for a route of unknown wire format: answers of other models as text and tool calls, the rest unchanged."""
    history = getattr(messages, "history", None)
    if history is not None and not history.blocks:
        # Only answers made of blocks are written anew.
        return messages
    part = target.memo.take(messages)
    fresh = messages[len(part.ids) :]
    for place, message in enumerate(fresh, len(part.ids)):
        new = message
        if isinstance(message, AIMessage) and isinstance(message.content, list) and message.response_metadata.get("model_provider"):
            new, _ = readable(message, target)
            if new is not message:
                part.changed(place, message)
        part.out.append(new)
    if fresh:
        part.remember(fresh)
    if len(messages) > 1:
        target.memo.keep(part, messages)
    return messages if part.same else list(part.out)
