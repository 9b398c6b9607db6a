"""Late tool binding: tools that are bound before the route is known, and bound to each route's model when it is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables.base import RunnableBinding

from langroute.adapt import named_choice, split_tools
from langroute.engine.router import NO_OPTIONS, CallOptions, call_options
from langroute.providers.own_tools import own_tool, runs_tool
from langroute.providers.profile import WireRules

_WITH_TOOLS = ("tool_choice", "parallel_tool_calls", "strict")
"""Arguments of `bind_tools` that mean nothing without tools."""

BOUND = "langroute_bound"
"""The call argument that carries late-bound tools."""


class BoundTools:
    """Tools as the user gave them, and their bindings to each route's model.

    The raw tools are kept: a provider's own tools and a tool's `extras` survive only where the chosen model binds them itself.
    """

    def __init__(self, tools: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.tools = list(tools)
        self.kwargs = dict(kwargs)
        self.shown = [_openai_form(tool) for tool in self.tools]
        schema = _schema_of(self.kwargs.get("response_format"))
        kinds = {kind for tool in self.tools if (kind := own_tool(tool)) is not None}
        self.asked = call_options(
            [tool for tool in self.shown if "function" in tool],
            self.kwargs.get("tool_choice"),
            schema,
            own_tools=tuple(sorted(kinds)),
        )
        self._bound: dict[str, tuple[Any, Any, dict[str, Any]]] = {}

    @property
    def functions(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that are functions, in OpenAI's form."""
        return self.asked.tools

    def runs(self, rules: WireRules) -> frozenset[str]:
        """Return the kinds of providers' own tools that a route of these rules can run."""
        return frozenset([kind for kind in self.asked.own_tools if runs_tool(rules, kind)])

    def left_out(self, rules: WireRules | None) -> list[Any]:
        """Return the tools that a route of these rules cannot run, since they are another provider's own."""
        return split_tools(self.tools, rules)[1] if self.asked.own_tools else []

    def for_model(
        self, name: str, model: Any, kwargs: Mapping[str, Any], rules: WireRules | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Return the model to call and its arguments, with the tools bound to this route's model.

        Args:
            name: The route's name, under which the binding is kept.
            model: The route's model.
            kwargs: The arguments of `bind_tools`, adapted to the model's provider.
            rules: The rules of the route's wire format, by which other providers' own tools are left out.
        """
        found = self._bound.get(name)
        # A router with other fields, such as one made by a config, calls other copies of its models.
        if found is None or found[0] is not model:
            bound = self._bind(model, kwargs, rules)
            if isinstance(model, BaseChatModel) and isinstance(bound, RunnableBinding) and bound.bound is model:
                # Calling the model itself with the binding's arguments saves a layer of runnables at every step.
                found = (model, model, dict(bound.kwargs))
            else:
                found = (model, bound, {})
            self._bound[name] = found
        return found[1], found[2]

    def _bind(self, model: Any, kwargs: Mapping[str, Any], rules: WireRules | None) -> Any:
        if not self.asked.own_tools:
            return model.bind_tools(self.tools, **kwargs)
        kept, left = split_tools(self.tools, rules)
        if left and "tool_choice" in kwargs and named_choice(kwargs["tool_choice"], kept, left) is None:
            kwargs = {key: value for key, value in kwargs.items() if key != "tool_choice"}
        if kept:
            return model.bind_tools(kept, **kwargs)
        kwargs = {key: value for key, value in kwargs.items() if key not in _WITH_TOOLS}
        return model.bind(**kwargs) if kwargs else model

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bound": {}}


class Bindings:
    """Cache of bound tools: an agent binds the same ones at every step, and converting ten takes half a millisecond.

    Example:
        >>> bindings, tool = Bindings(), {"type": "function", "function": {"name": "ping"}}
        >>> bindings.of([tool], {}) is bindings.of([tool], {})
        True
    """

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self._kept: dict[Any, BoundTools] = {}

    def of(self, tools: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundTools:
        """Return the bound tools for these tools and arguments, from an earlier call where they are the same."""
        key = (tools_key(tools), tuple([(name, tools_key((value,))) for name, value in sorted(kwargs.items())]))
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= self.size:
                self._kept.clear()
            # The value holds the tools, so that their ids in the key are not reused.
            found = self._kept[key] = BoundTools(tools, kwargs)
        return found


def tools_key(tools: Iterable[Any]) -> tuple[Any, ...]:
    """Return a key that is equal for the same, unchanged tools: the objects' ids and their mutable fields."""
    return tuple([_told(tool) for tool in tools])


def _told(tool: Any) -> Any:
    # Whoever has a tool has loaded the package of tools; it takes longer to load than the router.
    from langchain_core.tools import BaseTool

    if isinstance(tool, BaseTool):
        return id(tool), tool.name, tool.description, id(tool.args_schema), id(tool.extras)
    return repr(tool) if isinstance(tool, (dict, list, str, int, float, bool, type(None))) else id(tool)


def asked_in(kwargs: Mapping[str, Any], bound: BoundTools | None, schema: Any = None, max_tokens: int | None = None) -> CallOptions:
    """Return the options of a call from its arguments."""
    limit = kwargs.get("max_tokens") or kwargs.get("max_completion_tokens") or max_tokens
    if bound is None:
        return NO_OPTIONS if limit is None and schema is None else CallOptions(schema=schema, max_tokens=limit)
    asked = bound.asked
    if limit is None and schema is None:
        return asked
    schema = asked.schema if schema is None else schema
    return CallOptions(asked.tools, asked.tool_choice, asked.tools_tokens, schema, limit, asked.own_tools)


def _openai_form(tool: Any) -> dict[str, Any]:
    from langchain_core.utils.function_calling import convert_to_openai_tool

    try:
        return convert_to_openai_tool(tool)
    except Exception:  # noqa: BLE001 - a provider's own tool: nothing of it can be checked, the provider will
        return dict(tool) if isinstance(tool, Mapping) else {"type": "unknown", "name": str(tool)}


def _schema_of(response_format: Any) -> Any:
    if isinstance(response_format, Mapping):
        return (response_format.get("json_schema") or {}).get("schema") or response_format.get("schema")
    return response_format
