"""Verifier that validates tool calls against the bound tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langroute.core.records import Attempt, Request, Verdict
from langroute.steps.tools import tool_name
from langroute.verifiers.bounds import NotCheckedError, short
from langroute.verifiers.validation import Work, first_error
from langroute.verifiers.values import fault_in, named

MOST_CALLS = 100
"""Most tool calls of one answer that are checked."""


class ToolCalls:
    """Accept an answer whose tool calls name bound tools and have valid arguments, and which calls a tool where that was required.

    Example:
        >>> from langchain_core.messages import AIMessage
        >>> from langroute.core.records import Selection
        >>> call = {"name": "add", "args": {"a": "one"}, "id": "1", "type": "tool_call"}
        >>> schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        >>> request = Request("1 + 1?", tools=({"function": {"name": "add", "parameters": schema}},))
        >>> ToolCalls().verify(request, Attempt(Selection("small"), AIMessage("", tool_calls=[call]))).reason
        "add: a: 'one' is not of type 'integer'"
    """

    name = "tool_calls"

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Validate the answer's tool calls against the bound tools; the first fault scores 0.0."""
        answer = attempt.answer
        calls = getattr(answer, "tool_calls", None) or ()
        broken = getattr(answer, "invalid_tool_calls", None) or ()
        if broken:
            return Verdict(self.name, 0.0, f"{short(str(broken[0].get('name') or 'a tool call'))}: arguments are not JSON")
        if not request.tools and request.response_schema is None:
            return _GOOD
        if not calls:
            forced = request.tool_choice not in (None, "auto", "none", False)
            return Verdict(self.name, 0.0, "a tool call was demanded, none came") if forced else _GOOD
        return self._checked(request, calls)

    def _checked(self, request: Request, calls: Sequence[Mapping[str, Any]]) -> Verdict:
        work = Work()
        unchecked = [f"more than {MOST_CALLS} calls"] if len(calls) > MOST_CALLS else []
        for call in calls[:MOST_CALLS]:
            try:
                fault = self._fault(request, call, work)
            except NotCheckedError as error:
                unchecked.append(f"{call['name']}: {error}")
                continue
            if fault is not None:
                return Verdict(self.name, 0.0, short(fault))
        return Verdict(self.name, 1.0, short(f"not checked: {'; '.join(unchecked)}")) if unchecked else _GOOD

    @staticmethod
    def _fault(request: Request, call: Mapping[str, Any], work: Work) -> str | None:
        name = call["name"]
        for tool in request.tools:
            if tool_name(tool) == name:
                fault = first_error((tool.get("function") or tool).get("parameters") or {}, call["args"], work)
                return None if fault is None else f"{name}: {fault}"
        if request.response_schema is None:
            return f"no tool is called {name!r}"
        # Some models give structured output by calling the schema like a tool.
        schemas = named(request.response_schema)
        if name not in schemas:
            return f"no tool is called {name!r}" if request.tools else None
        try:
            fault = fault_in(schemas[name], call["args"], work)
        except TypeError:
            return None
        return None if fault is None else f"{name}: {fault}"


_GOOD = Verdict(ToolCalls.name, 1.0)
