"""Validation of values against the kinds of schema that LangChain accepts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from langroute.verifiers.bounds import NotCheckedError, short, size_of
from langroute.verifiers.validation import Work, first_error


def fault_in(schema: Any, value: Any, work: Work | None = None) -> str | None:
    """Return the first validation error of a value, as text, or `None` where it is valid.

    Args:
        schema: A pydantic class, a TypedDict, a dataclass or a JSON schema.
        value: The value to validate.
        work: Budget that is shared by several values.

    Raises:
        NotCheckedError: The value is too large, or takes too long with this schema.
        TypeError: The schema is of a kind that only the model's own integration understands.
    """
    fault = _fault_in(schema, value, work)
    return None if fault is None else short(fault)


def _fault_in(schema: Any, value: Any, work: Work | None) -> str | None:
    if isinstance(schema, Mapping):
        inner = schema.get("function", {}).get("parameters") or schema.get("parameters") or schema.get("schema") or schema
        return first_error(inner, value if isinstance(value, (dict, list)) else _plain(value), work)
    if isinstance(schema, type) and issubclass(schema, dict) and hasattr(schema, "__total__"):
        from langchain_core.utils.function_calling import convert_to_json_schema

        # Before Python 3.12 pydantic does not accept the standard library's TypedDict.
        return first_error(convert_to_json_schema(schema), value, work)
    if isinstance(schema, type) and isinstance(value, schema):
        return None
    from pydantic import TypeAdapter, ValidationError

    plain = _plain(value)
    size_of(plain)
    try:
        TypeAdapter(schema).validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except Exception as error:
        raise TypeError(str(error)) from error
    return None


def named(schema: Any) -> dict[str, Any]:
    """Return the schemas of a response format by name, as a model names them when it calls a schema like a tool.

    Example:
        >>> class Weather: ...
        >>> list(named(Weather)), list(named({"title": "Joke"}))
        (['Weather'], ['Joke'])
    """
    if isinstance(schema, Mapping):
        variants: Iterable[Any] = schema["oneOf"] if isinstance(schema.get("oneOf"), list) else [schema]
        return {str(one.get("title") or one.get("name")): one for one in variants if isinstance(one, Mapping)}
    if get_origin(schema) in _UNIONS:
        return {name: one for part in get_args(schema) for name, one in named(part).items()}
    name = getattr(schema, "__name__", None)
    return {} if name is None else {str(name): schema}


_UNIONS = (Union, UnionType)


def _plain(value: Any) -> Any:
    for name in ("model_dump", "dict"):
        if callable(dump := getattr(value, name, None)) and not isinstance(value, Mapping):
            try:
                return dump()
            except Exception as error:
                raise NotCheckedError(f"it cannot be read: {error}") from error
    return value
