"""Does structured output fit its schema?"""

from __future__ import annotations

import json

from langroute.answers import text_of
from langroute.records import Attempt, Request, Verdict
from langroute.verifiers.values import fault_in


class Structured:
    """What was parsed fits the request's schema: a pydantic class, a TypedDict, a dataclass or a JSON schema.

    Example:
        >>> from langroute.records import Selection
        >>> schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        >>> Structured().verify(Request("How many?", response_schema=schema), Attempt(Selection("small"), parsed={})).reason
        "'n' is a required property"
    """

    name = "structured"

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Check what was parsed, or the text where nothing was."""
        if request.response_schema is None:
            return _GOOD
        value = attempt.parsed
        if value is None:
            if getattr(attempt.answer, "tool_calls", None):
                # The agent parses these itself, and `ToolCalls` has looked at them.
                return _GOOD
            try:
                value = json.loads(text_of(attempt.answer))
            except ValueError:
                return Verdict(self.name, 0.0, "nothing could be parsed")
        try:
            fault = fault_in(request.response_schema, value)
        except TypeError:
            # A schema of a kind that only the model's own integration understands.
            return _GOOD
        return _GOOD if fault is None else Verdict(self.name, 0.0, fault)


_GOOD = Verdict(Structured.name, 1.0)
