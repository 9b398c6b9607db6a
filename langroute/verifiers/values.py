"""Does a value fit a schema?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, Union, get_args, get_origin


def arguments_fault(schema: Mapping[str, Any], value: Any) -> str | None:
    """The first thing in a value that a JSON schema does not allow, or `None`.

    Example:
        >>> arguments_fault({"properties": {"a": {"type": "integer"}}}, {"a": "one"})
        "a: 'one' is not of type 'integer'"
    """
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


def fault_in(schema: Any, value: Any) -> str | None:
    """The first thing in a value that does not fit a pydantic class, a TypedDict, a dataclass or a JSON schema, or `None`.

    Raises:
        TypeError: A schema of a kind that only the model's own integration understands.
    """
    if isinstance(schema, Mapping):
        inner = schema.get("function", {}).get("parameters") or schema.get("parameters") or schema.get("schema") or schema
        return arguments_fault(inner, value if isinstance(value, (dict, list)) else _plain(value))
    if isinstance(schema, type) and issubclass(schema, dict) and hasattr(schema, "__total__"):
        from langchain_core.utils.function_calling import convert_to_json_schema

        # Before Python 3.12 pydantic refuses the standard library's TypedDict.
        return arguments_fault(convert_to_json_schema(schema), value)
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


def named(schema: Any) -> dict[str, Any]:
    """The schemas of a response format by the names that a model calls them by, where it is made to call them like tools.

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
            return dump()
    return value
