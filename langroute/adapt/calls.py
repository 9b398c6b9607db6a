"""Ids and names of tool calls, made fit for a target in the calls, the content blocks and the results alike."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from langchain_core.messages import AIMessage

from langroute.adapt.blocks import CALLS
from langroute.providers.profile import WireRules

SIGNATURES = "__gemini_function_call_thought_signatures__"
"""Key of `additional_kwargs` with Gemini's thought signatures, by tool call id."""

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_UNNAMED = "unknown"


fitting = lru_cache(maxsize=64)(re.compile)
"""The compiled form of a wire format's rule on ids or names. `re` has a cache too, which costs three times the match itself."""


def tool_id(given: str | None, rules: WireRules, salt: str = "") -> str:
    """Return a tool call's id in the target's form; it depends on the id alone, so that calls and results stay paired.

    Example:
        >>> from langroute.providers.wire import RULES
        >>> chat = RULES["openai-chat"]
        >>> tool_id("call_1", chat), tool_id("functions.run:0", chat), tool_id("call_1", RULES["mistral"])
        ('call_1', 'call_bb5aac1d2f7e3456689b0b44', 'FLAxGw6IF')
    """
    if not salt and given and fitting(rules.tool_id).fullmatch(given):
        return given
    digest = blake2b(f"{given or ''}\0{salt}".encode("utf-8", "replace"), digest_size=12)
    length = rules.tool_id_length
    if length is None:
        return f"call_{digest.hexdigest()}"
    number, short = int.from_bytes(digest.digest(), "big"), ""
    while len(short) < length:
        number, place = divmod(number, len(_LETTERS))
        short += _LETTERS[place]
    return short


def tool_name(given: str | None, rules: WireRules) -> str:
    """Return a called tool's name in the target's form. Models make up names that their own provider let pass.

    Example:
        >>> from langroute.providers.wire import RULES
        >>> tool_name("browser.tabs.open", RULES["anthropic"]), tool_name("browser.tabs.open", RULES["gemini"])
        ('browser_tabs_open', 'browser.tabs.open')
    """
    name = given or _UNNAMED
    if fitting(rules.tool_name).fullmatch(name):
        return name
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
    return plain if fitting(rules.tool_name).fullmatch(plain) else f"_{plain}"[:64]


def paired(message: AIMessage, rules: WireRules, used: set[str]) -> tuple[AIMessage, list[tuple[str, str]]]:
    """Return an answer whose calls have ids and names that the target accepts, and the old and the new id of each call.

    Args:
        message: The answer.
        rules: The target's rules.
        used: Ids of earlier calls, where they count; this answer's are added.
    """
    if not message.tool_calls:
        return message, []
    ids = _ids(message, rules, used)
    names: list[str] = []
    same = True
    for (_, new), call in zip(ids, message.tool_calls):  # noqa: B905 - as long as each other
        name = tool_name(call["name"], rules)
        names.append(name)
        same = same and new == call["id"] and name == call["name"]
    return message if same else _renamed(message, ids, names, rules), ids


def _ids(message: AIMessage, rules: WireRules, used: set[str]) -> list[tuple[str, str]]:
    counted = rules.unique_tool_ids or rules.tool_id_form is not None
    here: set[str] = set()
    ids: list[tuple[str, str]] = []
    for place, call in enumerate(message.tool_calls):
        old = call["id"] or ""
        if rules.tool_id_form is not None:
            name = _formed(old, call["name"], rules, rules.tool_id_form, used, here)
        else:
            name = tool_id(old, rules, "" if old else str(place))
            if rules.unique_tool_ids:
                # Salted with the place in the history, which never changes.
                while name in used:
                    name = tool_id(old, rules, f"{len(used)}")
                    used.add(f"\0{name}")
            else:
                while name in here:
                    name = tool_id(old, rules, f"{place}:{len(here)}:{name}")
        here.add(name)
        if counted:
            used.add(name)
        ids.append((old, name))
    return ids


def _formed(old: str, called: str, rules: WireRules, form: str, used: set[str], here: set[str]) -> str:
    """Return the id as the model itself would have written it: what it wrote stays, others' get the next number."""
    if fitting(rules.tool_id).fullmatch(old) and old not in here:
        return old
    number = len(used)
    while (name := form.format(name=tool_name(called, rules), number=number)) in used or name in here:
        number += 1
    return name


def _renamed(message: AIMessage, ids: list[tuple[str, str]], names: list[str], rules: WireRules) -> AIMessage:
    calls = [{**call, "id": new, "name": name} for call, (_, new), name in zip(message.tool_calls, ids, names)]  # noqa: B905
    content = message.content
    if isinstance(content, list):
        waiting: dict[str, list[str]] = {}
        for old, new in ids:
            waiting.setdefault(old, []).append(new)
        content = [_block(block, waiting, rules) for block in content]
    extra = message.additional_kwargs
    if SIGNATURES in extra:
        first = dict(reversed(ids))
        extra = {**extra, SIGNATURES: {first.get(old, old): signature for old, signature in extra[SIGNATURES].items()}}
    return message.model_copy(update={"tool_calls": calls, "content": content, "additional_kwargs": extra})


def _block(block: Any, waiting: dict[str, list[str]], rules: WireRules) -> Any:
    """Return a content block that repeats a call with the call's new id and name."""
    if not isinstance(block, dict):
        return block
    update: dict[str, Any] = {}
    for key in ("id", "call_id"):
        if key in block and (new := waiting.get(block[key] or "")):
            update[key] = new.pop(0) if len(new) > 1 else new[0]
    if block.get("type") in CALLS and isinstance(block.get("name"), str):
        update["name"] = tool_name(block["name"], rules)
    return {**block, **update} if update else block
