"""Are the tool calls ones that can be carried out?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langroute.records import Attempt, Request, Verdict
from langroute.tooling import tool_name
from langroute.verifiers.values import arguments_fault, fault_in, named


class ToolCalls:
    """Every tool call names a bound tool, its arguments fit the tool's schema, and a call that was demanded is there.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.records import Selection
        >>> call = {"name": "add", "args": {"a": "one"}, "id": "1", "type": "tool_call"}
        >>> schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        >>> request = Request("1 + 1?", tools=({"function": {"name": "add", "parameters": schema}},))
        >>> ToolCalls().verify(request, Attempt(Selection("small"), AIMessage("", tool_calls=[call]))).reason
        "add: a: 'one' is not of type 'integer'"
    """

    name = "tool_calls"

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Check the answer's tool calls against the bound tools."""
        answer = attempt.answer
        calls = getattr(answer, "tool_calls", None) or ()
        broken = getattr(answer, "invalid_tool_calls", None) or ()
        if broken:
            return Verdict(self.name, 0.0, f"{broken[0].get('name') or 'a tool call'}: arguments are not JSON")
        if not request.tools and request.response_schema is None:
            return _GOOD
        if not calls:
            forced = request.tool_choice not in (None, "auto", "none", False)
            return Verdict(self.name, 0.0, "a tool call was demanded, none came") if forced else _GOOD
        for call in calls:
            fault = self._fault(request, call)
            if fault is not None:
                return Verdict(self.name, 0.0, fault)
        return _GOOD

    @staticmethod
    def _fault(request: Request, call: Mapping[str, Any]) -> str | None:
        name = call["name"]
        for tool in request.tools:
            if tool_name(tool) == name:
                fault = arguments_fault((tool.get("function") or tool).get("parameters") or {}, call["args"])
                return None if fault is None else f"{name}: {fault}"
        if request.response_schema is None:
            return f"no tool is called {name!r}"
        # Some models answer in a schema by calling it like a tool.
        schemas = named(request.response_schema)
        if name not in schemas:
            return f"no tool is called {name!r}" if request.tools else None
        try:
            fault = fault_in(schemas[name], call["args"])
        except TypeError:
            return None
        return None if fault is None else f"{name}: {fault}"


_GOOD = Verdict(ToolCalls.name, 1.0)
