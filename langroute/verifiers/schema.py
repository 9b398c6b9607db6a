"""Does structured output fit its schema?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langroute.records import Attempt, Request, Verdict
from langroute.verifiers.base import text_of
from langroute.verifiers.tools import arguments_fault


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
            fault = _fault(request.response_schema, value)
        except TypeError:
            # A schema of a kind that only the model's own integration understands.
            return _GOOD
        return _GOOD if fault is None else Verdict(self.name, 0.0, fault)


_GOOD = Verdict(Structured.name, 1.0)


def _fault(schema: Any, value: Any) -> str | None:
    if isinstance(schema, Mapping):
        inner = schema.get("function", {}).get("parameters") or schema.get("parameters") or schema.get("schema") or schema
        return arguments_fault(inner, value if isinstance(value, (dict, list)) else _plain(value))
    if isinstance(schema, type) and isinstance(value, schema):
        return None
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(schema).validate_python(_plain(value))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except Exception as error:
        raise TypeError(str(error)) from error
    return None


def _plain(value: Any) -> Any:
    for name in ("model_dump", "dict"):
        if callable(dump := getattr(value, name, None)) and not isinstance(value, Mapping):
            return dump()
    return value
