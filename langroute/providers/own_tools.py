"""Providers' own tools (web search, code execution, computer use): which they are, and which routes run them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langroute.providers.profile import WireRules
from langroute.providers.registry import profiles
from langroute.providers.wire import RULES

_FUNCTIONS = ("function", "object")
"""Values of `type` of functions, and of JSON schemas that stand for one."""


def own_tool(tool: Any) -> str | None:
    """Return the kind of a provider's own tool, which only that provider can run; `None` for a function of any form.

    Example:
        >>> own_tool({"type": "web_search_20250305", "name": "web_search"}), own_tool({"google_search": {}})
        ('web_search_20250305', '.google_search')
        >>> own_tool({"type": "function", "function": {"name": "add"}}), own_tool({"name": "add", "input_schema": {}})
        (None, None)
    """
    if isinstance(tool, str):
        return tool
    if not isinstance(tool, Mapping):
        return _tool_object(tool)
    kind = tool.get("type")
    if isinstance(kind, str) and kind not in _FUNCTIONS and not ("input_schema" in tool and kind == "custom"):
        return kind
    return next((f".{key}" for key in tool if kind is None and isinstance(key, str) and _claimed(f".{key}")), None)


def _tool_object(tool: Any) -> str | None:
    """Return the kind of a tool that is an object of a provider's package: Gemini's `Tool`, Bedrock's system tools, OpenAI's custom ones."""
    written = getattr(tool, "to_bedrock_format", None)
    if callable(written) and not isinstance(tool, type):
        return own_tool(written())
    if hasattr(tool, "args_schema"):
        metadata = getattr(tool, "metadata", None)
        return "custom" if isinstance(metadata, Mapping) and metadata.get("type") == "custom_tool" else None
    fields = () if callable(tool) else getattr(type(tool), "model_fields", ())
    return next((f".{name}" for name in fields if getattr(tool, name, None) is not None and _claimed(f".{name}")), None)


def _claimed(kind: str) -> bool:
    return any(rules.own_tools is not None and re.fullmatch(rules.own_tools, kind) for rules in RULES.values()) or any(
        re.fullmatch(str(changes["own_tools"]), kind)
        for profile in profiles()
        for changes in profile.wire_changes.values()
        if changes.get("own_tools")
    )


def runs_tool(rules: WireRules | None, kind: str) -> bool:
    """Return whether a route of these rules can run a provider's own tool. Routes of an unknown format are left to try.

    Args:
        rules: The route's rules.
        kind: What `own_tool` returned.

    Example:
        >>> runs_tool(RULES["anthropic"], "web_search_20250305"), runs_tool(RULES["gemini"], "web_search_20250305")
        (True, False)
    """
    if rules is None:
        return True
    if rules.own_tools is not None and re.fullmatch(rules.own_tools, kind):
        return True
    # A tool that no profile knows is one of the many servers of OpenAI's protocol.
    return rules.name.startswith("openai") and not _claimed(kind)
