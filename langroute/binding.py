"""What becomes of tools that are bound before the route is known? They wait here and are bound to each route when it is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.base import RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langroute.router import NOTHING, Asked, asked_for

BOUND = "langroute_bound"
"""The call argument that carries tools bound late."""


class BoundTools:
    """Tools as the user gave them, and what each route's model makes of them.

    The raw tools are kept: a provider's own tools and a tool's `extras` survive only where the chosen model binds them itself.
    """

    def __init__(self, tools: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.tools = list(tools)
        self.kwargs = dict(kwargs)
        self.shown = [_openai_form(tool) for tool in self.tools]
        schema = _schema_of(self.kwargs.get("response_format"))
        self.asked = asked_for([tool for tool in self.shown if "function" in tool], self.kwargs.get("tool_choice"), schema)
        self._bound: dict[str, tuple[Any, Any, dict[str, Any]]] = {}

    def for_model(self, name: str, model: Any, kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What to call, and with which arguments, so that the tools are bound to this route's model.

        Args:
            name: The route's name; what is worked out is kept under it.
            model: The route's model.
            kwargs: The arguments of `bind_tools`, made fit for the model's provider.
        """
        found = self._bound.get(name)
        # A router with other fields, such as one that a config made, calls other copies of its models.
        if found is None or found[0] is not model:
            bound = model.bind_tools(self.tools, **kwargs)
            if isinstance(model, BaseChatModel) and isinstance(bound, RunnableBinding) and bound.bound is model:
                # Calling the model itself with the binding's arguments saves a layer of runnables at every step.
                found = (model, model, dict(bound.kwargs))
            else:
                found = (model, bound, {})
            self._bound[name] = found
        return found[1], found[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bound": {}}


class Bindings:
    """Sets of tools that were bound before: an agent binds the same ones at every step, and to describe ten takes half a millisecond.

    Example:
        >>> bindings, tool = Bindings(), {"type": "function", "function": {"name": "ping"}}
        >>> bindings.of([tool], {}) is bindings.of([tool], {})
        True
    """

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self._kept: dict[Any, BoundTools] = {}

    def of(self, tools: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundTools:
        """The same tools with the same arguments, as they were bound before or anew."""
        key = (tools_key(tools), tuple([(name, tools_key((value,))) for name, value in sorted(kwargs.items())]))
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= self.size:
                self._kept.clear()
            # It holds the tools, so their ids in the key stay theirs.
            found = self._kept[key] = BoundTools(tools, kwargs)
        return found


def tools_key(tools: Iterable[Any]) -> tuple[Any, ...]:
    """Tells whether tools are the ones they were, and unchanged: which objects, and what of them can be set anew."""
    return tuple([_told(tool) for tool in tools])


def _told(tool: Any) -> Any:
    if isinstance(tool, BaseTool):
        return id(tool), tool.name, tool.description, id(tool.args_schema), id(tool.extras)
    return repr(tool) if isinstance(tool, (dict, list, str, int, float, bool, type(None))) else id(tool)


def asked_in(kwargs: Mapping[str, Any], bound: BoundTools | None, schema: Any = None, max_tokens: int | None = None) -> Asked:
    """What a call asks for, from its arguments."""
    limit = kwargs.get("max_tokens") or kwargs.get("max_completion_tokens") or max_tokens
    if bound is None:
        return NOTHING if limit is None and schema is None else Asked(schema=schema, max_tokens=limit)
    asked = bound.asked
    if limit is None and schema is None:
        return asked
    return Asked(asked.tools, asked.tool_choice, asked.tools_tokens, asked.schema if schema is None else schema, limit)


def _openai_form(tool: Any) -> dict[str, Any]:
    try:
        return convert_to_openai_tool(tool)
    except Exception:  # noqa: BLE001 - a provider's own tool: nothing of it can be checked, the provider will
        return dict(tool) if isinstance(tool, Mapping) else {"type": "unknown", "name": str(tool)}


def _schema_of(response_format: Any) -> Any:
    if isinstance(response_format, Mapping):
        return (response_format.get("json_schema") or {}).get("schema") or response_format.get("schema")
    return response_format
