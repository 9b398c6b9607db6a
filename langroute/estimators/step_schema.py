"""Texts and shapes of an answer's schema and of bound tools, as the judgement of a step reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

MOST_FIELDS = 40
"""Most properties of a schema that are read; deeper and later ones are not."""

MOST_DEPTH = 4
MOST_TOOLS = 40
"""Most bound tools that are read."""

MOST_TEXT = 900
"""Most characters of a schema's text."""

TOOLS_TEXT = 1800
"""Most characters of the tools' text."""

MOST_CALLED = 6
"""Most answers whose calls are looked up among the tools."""

CALLED_TEXT = 600
"""Most characters about the tools that were called."""

SchemaShape = tuple[str, int, int]
"""Text of a schema, the number of its properties, and how many of them allow only a few values."""

NO_SCHEMA: SchemaShape = ("", 0, 0)


def schema_shape(schema: Any) -> SchemaShape:
    """Return the shape of an answer's schema: a JSON schema, a function definition that holds one, or a class that can state one.

    Example:
        >>> schema_shape({"title": "Grade", "properties": {"relevant": {"type": "boolean"}}})
        ('Grade relevant', 1, 1)
    """
    if schema is None:
        return NO_SCHEMA
    if isinstance(schema, type):
        return _class_shape(schema)
    return _read(schema) if isinstance(schema, Mapping) else ("", 1, 0)


@lru_cache(maxsize=256)
def _class_shape(schema: Any) -> SchemaShape:
    try:
        if hasattr(schema, "model_json_schema"):
            return _read(schema.model_json_schema())
        names = list(getattr(schema, "__annotations__", ()))[:MOST_FIELDS]
        return " ".join([schema.__name__, *map(str, names)])[:MOST_TEXT], len(names), 0
    except Exception:  # noqa: BLE001 - a class may hold what JSON schema cannot say
        return "", 1, 0


def _read(schema: Mapping[str, Any]) -> SchemaShape:
    inner: Any = schema.get("function", schema)
    if not isinstance(inner, Mapping):
        return "", 1, 0
    words = [str(inner.get(name)) for name in ("title", "name", "description") if isinstance(inner.get(name), str)]
    body = next(
        (found for name in ("parameters", "schema", "input_schema") if isinstance(found := inner.get(name), Mapping)), inner
    )
    if body is not inner:
        words += [str(body.get(name)) for name in ("title", "description") if isinstance(body.get(name), str)]
    definitions = body.get("$defs") or body.get("definitions")
    counts = [0, 0]
    _walk(body, definitions if isinstance(definitions, Mapping) else {}, words, counts, 0)
    return " ".join(words)[:MOST_TEXT], counts[0], counts[1]


def _walk(body: Mapping[str, Any], definitions: Mapping[str, Any], words: list[str], counts: list[int], depth: int) -> None:
    properties = body.get("properties")
    if not isinstance(properties, Mapping) or depth >= MOST_DEPTH:
        return
    for name, field in properties.items():
        if counts[0] >= MOST_FIELDS:
            return
        counts[0] += 1
        words.append(str(name)[:60])
        if isinstance(field, Mapping):
            _field(_resolved(field, definitions), definitions, words, counts, depth)


def _field(field: Mapping[str, Any], definitions: Mapping[str, Any], words: list[str], counts: list[int], depth: int) -> None:
    if isinstance(said := field.get("description"), str):
        words.append(said[:200])
    values = field.get("enum")
    if isinstance(values, Sequence) and not isinstance(values, str):
        counts[1] += 1
        words.extend(str(value)[:40] for value in values[:12])
    elif field.get("type") == "boolean" or "const" in field:
        counts[1] += 1
    items = field.get("items")
    _walk(_resolved(items, definitions) if isinstance(items, Mapping) else field, definitions, words, counts, depth + 1)


def _resolved(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition that a field refers to, or the field itself."""
    target = field.get("$ref")
    if not isinstance(target, str):
        return field
    found = definitions.get(target.rpartition("/")[2])
    return found if isinstance(found, Mapping) else field


_TOOLS: dict[int, tuple[Any, dict[str, str], str]] = {}


def tool_lines(tools: Sequence[Any]) -> str:
    """Return names, argument names and descriptions of bound tools; cached, because an agent binds the same tools for all its steps.

    Example:
        >>> tool_lines(({"name": "add", "description": "Adds.", "parameters": {"properties": {"a": {}, "b": {}}}},))
        'add a b Adds.'
    """
    return _read_tools(tools)[1]


def called_lines(tools: Sequence[Any], made: Sequence[Sequence[tuple[str, str]]]) -> tuple[str, int]:
    """Return what the called tools are there for, the latest first, and how many of the bound tools were not called.

    Args:
        tools: Function definitions in OpenAI's form.
        made: Name and arguments of the calls of each answer.

    Example:
        >>> called_lines(({"name": "add", "description": "Adds."}, {"name": "sub", "description": "Subtracts."}), [[("add", "{}")]])
        ('add Adds.', 1)
    """
    lines = _read_tools(tools)[0]
    names = dict.fromkeys(name for calls in reversed(made[-MOST_CALLED:]) for name, _ in calls)
    known = [lines[name] for name in names if name in lines]
    return "\n".join(known)[:CALLED_TEXT], len(lines) - len(known)


def _read_tools(tools: Sequence[Any]) -> tuple[dict[str, str], str]:
    """Return the line of each tool by its name, and all lines."""
    known = _TOOLS.get(id(tools))
    if known is not None and known[0] is tools:
        return known[1:]
    lines = [(str(_name(tool)), _line(tool)) for tool in tools[:MOST_TOOLS]]
    text = "\n".join(line for _, line in lines)[:TOOLS_TEXT]
    if len(_TOOLS) > 64:
        _TOOLS.clear()
    # Keeping a reference to the tools keeps their id from being reused.
    _TOOLS[id(tools)] = (tools, dict(lines), text)
    return dict(lines), text


def _name(tool: Any) -> Any:
    body = tool.get("function", tool) if isinstance(tool, Mapping) else None
    return body.get("name", "") if isinstance(body, Mapping) else getattr(tool, "name", "")


def _line(tool: Any) -> str:
    body = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(body, Mapping):
        return str(getattr(tool, "name", ""))[:60]
    schema = body.get("parameters") or body.get("input_schema")
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    names = [str(name)[:40] for name in list(properties)[:12]] if isinstance(properties, Mapping) else []
    return " ".join([str(body.get("name", ""))[:60], *names, str(body.get("description") or "")[:160]])
