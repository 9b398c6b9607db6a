"""Are the tool calls ones that can be carried out?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from langroute.records import Attempt, Request, Verdict


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
        if not request.tools:
            return _GOOD
        if not calls:
            forced = request.tool_choice not in (None, "auto", "none", False)
            return Verdict(self.name, 0.0, "a tool call was demanded, none came") if forced else _GOOD
        known = {_name(tool): tool for tool in request.tools}
        for call in calls:
            tool = known.get(call["name"])
            if tool is None:
                return Verdict(self.name, 0.0, f"no tool is called {call['name']!r}")
            fault = arguments_fault((tool.get("function") or tool).get("parameters") or {}, call["args"])
            if fault is not None:
                return Verdict(self.name, 0.0, f"{call['name']}: {fault}")
        return _GOOD


_GOOD = Verdict(ToolCalls.name, 1.0)


def _name(tool: Mapping[str, Any]) -> str:
    return str((tool.get("function") or tool).get("name"))


def arguments_fault(schema: Mapping[str, Any], value: Any) -> str | None:
    """The first thing in a value that a JSON schema does not allow, or `None`."""
    validator = _validator(json.dumps(schema, sort_keys=True, default=str))
    error = next(iter(validator.iter_errors(value)), None)
    if error is None:
        return None
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place}: {error.message}" if place else str(error.message)


@lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    from jsonschema.validators import validator_for

    loaded = json.loads(schema)
    return validator_for(loaded)(loaded)
