"""Verifier that validates structured output against the request's schema."""

from __future__ import annotations

from typing import Any

from langroute.core.answers import text_of
from langroute.core.records import Attempt, Request, Verdict
from langroute.verifiers.bounds import NotCheckedError, read_json, short
from langroute.verifiers.values import fault_in


class Structured:
    """Accept an answer whose parsed output is valid for the request's schema: a pydantic class, TypedDict, dataclass or JSON schema.

    Example:
        >>> from langroute.core.records import Selection
        >>> schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        >>> Structured().verify(Request("How many?", response_schema=schema), Attempt(Selection("small"), parsed={})).reason
        "'n' is a required property"
    """

    name = "structured"

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Validate the parsed output, or the text as JSON where nothing was parsed."""
        if request.response_schema is None:
            return _GOOD
        if attempt.parsed is None and getattr(attempt.answer, "tool_calls", None):
            # The agent parses these itself, and `ToolCalls` checks them.
            return _GOOD
        try:
            return self._checked(request.response_schema, attempt)
        except TypeError:
            # A schema of a kind that only the model's own integration understands.
            return _GOOD
        except NotCheckedError as error:
            return Verdict(self.name, 1.0, f"not checked: {short(str(error))}")

    def _checked(self, schema: Any, attempt: Attempt) -> Verdict:
        value = attempt.parsed
        if value is None:
            try:
                value = read_json(text_of(attempt.answer))
            except NotCheckedError:
                raise
            except ValueError:
                return Verdict(self.name, 0.0, "nothing could be parsed")
        fault = fault_in(schema, value)
        return _GOOD if fault is None else Verdict(self.name, 0.0, fault)


_GOOD = Verdict(Structured.name, 1.0)
