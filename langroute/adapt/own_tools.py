"""Providers' own tools (web search, code execution, computer use): which of the bound tools a route can run.

A tool that only another provider runs would be a function that nobody can call, or a refused request; it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.providers.own_tools import own_tool, runs_tool
from langroute.providers.profile import WireRules


def split_tools(tools: Sequence[Any], rules: WireRules | None) -> tuple[list[Any], list[Any]]:
    """Return the tools that a route can offer its model, and those that only another provider runs.

    Example:
        >>> from langroute.providers.wire import RULES
        >>> split_tools([{"type": "web_search"}, {"name": "add", "input_schema": {}}], RULES["anthropic"])
        ([{'name': 'add', 'input_schema': {}}], [{'type': 'web_search'}])
    """
    kept: list[Any] = []
    left: list[Any] = []
    for tool in tools:
        kind = own_tool(tool)
        (kept if kind is None or runs_tool(rules, kind) else left).append(tool)
    return kept, left


def named_choice(choice: Any, kept: Sequence[Any], left: Sequence[Any]) -> Any:
    """Return the tool choice that is left when tools were left out; `None` where it demands one of those, or any while none is left.

    Example:
        >>> named_choice({"type": "web_search"}, [{"name": "add"}], [{"type": "web_search"}]), named_choice("any", [], [{"type": "web_search"}])
        (None, None)
        >>> named_choice("add", [{"name": "add"}], [{"type": "web_search"}])
        'add'
    """
    if not kept:
        return None
    gone = {word for tool in left for word in _words(tool)}
    inner = (choice.get("function") or choice.get("tool")) if isinstance(choice, Mapping) else None
    wanted = [*_words(choice), *_words(inner)] if isinstance(choice, Mapping) else [choice]
    return None if any(isinstance(word, str) and word in gone for word in wanted) else choice


def _words(tool: Any) -> list[Any]:
    if isinstance(tool, Mapping):
        return [word for key in ("name", "type") if isinstance(word := tool.get(key), str)] or [own_tool(tool)]
    return [own_tool(tool)] if tool is not None else []


def told(route: str, left: Sequence[Any]) -> str:
    """Return the sentence that says which tools were left out.

    Example:
        >>> told("cheap", [{"type": "web_search"}])
        "route 'cheap' cannot run web_search, a tool of another provider"
    """
    kinds = ", ".join(str(own_tool(tool)).lstrip(".")[:100] for tool in left[:10])
    return f"route {route!r} cannot run {kinds}, a tool of another provider"
