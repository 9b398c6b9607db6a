"""TOML files whose errors name the line: reading of tables by the type that each key must have."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langroute.core.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_BYTES = 1_000_000
"""Longest file that is read."""

_TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|\n|[\[\]{}=,]|[^\s"\'#\[\]{}=,]+', re.DOTALL
)
_TYPES = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", dict: "a table", list: "a list"}

KeyPath = tuple[str | int, ...]


class TomlFile:
    r"""A TOML file, its values, and on which line each of them stands.

    Args:
        text: The text.
        name: How errors name the file.

    Raises:
        ConfigurationError: It is no TOML. The error names the line.

    Example:
        >>> file = TomlFile('[routes.small]\ntier = 3', "langroute.toml")
        >>> file.line(("routes", "small", "tier"))
        2
        >>> TomlFile("tier = ", "langroute.toml")
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: langroute.toml: Invalid value (at end of document)
    """

    def __init__(self, text: str, name: str) -> None:
        self.name, self._text = name, text
        try:
            self.values: dict[str, Any] = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigurationError(f"{name}: {error}") from error
        self._lines: dict[KeyPath, int] | None = None

    @classmethod
    def read(cls, path: str | Path) -> TomlFile:
        """Read a file.

        Raises:
            ConfigurationError: There is no such file, or it is no TOML in UTF-8.
        """
        try:
            with Path(path).open("rb") as stream:
                raw = stream.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                raise ConfigurationError(f"{path} is longer than {MOST_BYTES:,} bytes.")
            # Some editors begin a file with a byte order mark.
            return cls(raw.decode("utf-8-sig"), str(path))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}.") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path} is not written in UTF-8.") from error

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, else that of the table around it; 1 where nothing is known."""
        if self._lines is None:
            self._lines = dict(_places(self._text))
        for length in range(len(path), 0, -1):
            if (found := self._lines.get(path[:length])) is not None:
                return found
        return 1

    def error(self, path: KeyPath, what: str) -> ConfigurationError:
        """Return an error about a key."""
        return ConfigurationError(f"{self.name}, line {self.line(path)}: {shown_path(path)}: {what}")

    @property
    def root(self) -> TomlTable:
        """The whole file as a table."""
        return TomlTable(self, (), self.values)


class TomlTable:
    r"""A table of a file, whose keys are taken one by one.

    Example:
        >>> table = TomlFile("port = 8900\nprot = 1", "langroute.toml").root
        >>> table.take("port", int)
        8900
        >>> table.end()
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: langroute.toml, line 2: prot: there is no such key here. Did you mean 'port'?
    """

    def __init__(self, file: TomlFile, path: KeyPath, values: Mapping[str, Any]) -> None:
        self.file, self.path, self.values = file, path, values
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, key: str | int | None, what: str) -> ConfigurationError:
        """Return an error about a key, or about the table itself."""
        return self.file.error(self.path if key is None else (*self.path, key), what)

    def take(self, key: str, *types: type, default: Any = None) -> Any:
        """Return a key's value; the default where it is absent.

        Args:
            key: The key.
            types: What it may be: `str`, `bool`, `int`, `float` (whole numbers too), `dict`, `list`; anything where none is given.
            default: The value of a key that is absent.

        Raises:
            ConfigurationError: It is of another type. The error names the line.
        """
        self._taken.add(key)
        if key not in self.values:
            return default
        value = self.values[key]
        if types and not any(_is(value, kind) for kind in types):
            raise self.error(key, f"this is {' or '.join(_TYPES[kind] for kind in types)}, not {value!r:.80}.")
        return value

    def need(self, key: str, *types: type) -> Any:
        """Return the value of a key that must be there."""
        if key not in self.values:
            raise self.error(None, f"{key!r} is missing.")
        return self.take(key, *types)

    def positive(self, key: str, *types: type, default: Any = None) -> Any:
        """Return a number above zero."""
        value = self.take(key, *(types or (float,)), default=default)
        if value is not None and value is not default and not 0 < value < float("inf"):
            raise self.error(key, f"this is a number above 0, not {value!r}.")
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text stands for a list of one."""
        value = self.take(key, str, list, default=())
        found = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(word, str) and word for word in found):
            raise self.error(key, f"these are texts, not {value!r:.80}.")
        return found

    def table(self, key: str) -> TomlTable:
        """Return a table within; an empty one where it is absent."""
        return TomlTable(self.file, (*self.path, key), self.take(key, dict, default={}))

    def tables(self, key: str) -> list[TomlTable]:
        """Return the tables of a list (`[[key]]`)."""
        value = self.take(key, default=[])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self.error(key, f"these are tables: write [[{key}]] above each.")
        return [TomlTable(self.file, (*self.path, key, place), one) for place, one in enumerate(value)]

    def entries(self) -> Iterator[tuple[str, TomlTable]]:
        """Return the names and tables of a table of tables."""
        for name in self.values:
            yield name, self.table(name)

    def end(self) -> None:
        """Raise for a key that nobody took.

        Raises:
            ConfigurationError: There is one. The error names the line and the key that may have been meant.
        """
        for key in self.values:
            if key not in self._taken:
                close = difflib.get_close_matches(key, self._taken, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise self.error(key, f"there is no such key here.{hint}")


def shown_path(path: KeyPath) -> str:
    """Return a path as it is written in a file.

    Example:
        >>> shown_path(("budgets", 1, "usd"))
        'budgets[2].usd'
    """
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def _places(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of each table and key of a text that is known to be TOML."""
    line = 1
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    key: list[str] = []
    state, depth = "key", 0
    for found in _TOKENS.finditer(text):
        sign = found.group()
        here, line = line, line + sign.count("\n")
        if state == "value":
            depth += (sign in ("[", "{")) - (sign in ("]", "}"))
            if sign == "\n" and not depth:
                state, key = "key", []
        elif sign == "\n":
            if key and key[0] == "[":
                table = _header(key, counts)
                yield table, here
            key = []
        elif sign == "=":
            yield (*table, *_parts(key)), here
            state, depth = "value", 0
        elif not sign.startswith("#"):
            key.append(sign)
    if key and key[0] == "[":
        yield _header(key, counts), line


def _header(tokens: list[str], counts: dict[KeyPath, int]) -> KeyPath:
    """Return the path of a table from its line; of a list of tables the next one."""
    names = _parts([token for token in tokens if token not in ("[", "]")])
    path: KeyPath = ()
    for place, name in enumerate(names):
        path = (*path, name)
        if place < len(names) - 1 and path in counts:
            path = (*path, counts[path])
    if tokens[:2] == ["[", "["]:
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    return path


def _parts(tokens: list[str]) -> KeyPath:
    """Return the parts of a dotted key."""
    parts: list[str] = []
    for token in tokens:
        if token[0] in "\"'":
            parts.append(tomllib.loads(f"k = {token}")["k"])
        else:
            parts += [part for part in token.split(".") if part]
    return tuple(parts)


__all__ = ["TomlFile", "TomlTable", "shown_path"]
