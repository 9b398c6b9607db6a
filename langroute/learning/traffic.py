"""Traffic files: reading of recorded requests and the outcomes of several routes, one JSON object a line.

`docs/traffic.md` describes the fields. Files (plain, gzip or Parquet) are streamed, so that they need not fit in memory. Errors name the
file and the line.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from math import inf
from pathlib import Path
from typing import Any

from langroute.core.bounded import fits, shown
from langroute.core.errors import DataError, MissingExtraError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.urls import shown_url
from langroute.learning.recorded import Recorded, recorded_outcomes
from langroute.learning.traffic_files import is_url, rows_at, rows_at_url, traffic_files

quick_loads: Callable[[bytes], Any]
try:
    # A dependency of langchain-core, though not on every Python implementation.
    from orjson import loads as quick_loads
except ImportError:
    quick_loads = json.loads

LONGEST = 64 << 20
"""Most bytes of a line; a file without line ends gives an error rather than being read into memory."""

PIECE = 1 << 17
"""Number of bytes that are read at a time."""

MOST_DEPTH = 100
"""Deepest nesting of lists and objects in a line."""

BOMB = (256 << 20, 200)
"""Limits against decompression bombs: a file may not unpack to both more than this many bytes and this many times its size. Text
compresses to a tenth, similar lines to a fiftieth."""

BATCH_BYTES = 512 << 20
"""Bytes of a Parquet column that are decoded at a time. A value that is stored once may be repeated in every row."""

MOST_GROUP = 2 << 30
"""Most bytes of a row group, unpacked; writers make them of some 100 MB."""

_NO_CONTENT = object()

ROLES = frozenset({"system", "developer", "user", "human", "assistant", "ai", "AIMessageChunk", "tool", "function"})
"""Roles of messages, with LangChain's names for them."""

STEP = ("kind", "node", "team", "served")
"""Fields of a step that are read."""

NESTED = ("messages", "tools", "outcomes", "step")
"""Fields that may be stored as JSON text in Parquet."""


@fast_dataclass
class Exchange:
    """A recorded request, and the outcomes of one or several routes."""

    id: str
    messages: tuple[Mapping[str, Any], ...]
    outcomes: Mapping[str, Recorded]
    source: str = ""
    task: str = ""
    tools: tuple[Any, ...] = ()
    step: Mapping[str, Any] = field(default_factory=dict)
    """`kind`, `node`, `team`, `served` (the route that answered in production), where known."""

    where: str = ""
    """File and line, for errors."""

    @property
    def file(self) -> str:
        """The file, as errors name it; empty where nothing says it. An id is of one request in its file alone."""
        return self.where.rpartition(":")[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels for estimators, the same that a live step carries: `task=…`, `kind=…`, `node=…`."""
        found = [f"task={self.task}"] if self.task else []
        found += [f"{name}={self.step[name]}" for name in ("kind", "node") if self.step.get(name)]
        return tuple(found)

    @property
    def in_turn(self) -> bool:
        """Whether a ledger's request went to several routes, the later ones because of what the first one answered."""
        if "served" not in self.step or len(self.outcomes) < 2:
            return False
        attempts = self.step.get("attempts")
        first = next((name for name, outcome in self.outcomes.items() if outcome.propensity is not None), None)
        return (isinstance(attempts, int) and attempts > 1) or (first is not None and first != self.step["served"])


def read_traffic(paths: Iterable[str | Path]) -> Iterator[Exchange]:
    """Read files of recorded outcomes, one exchange at a time.

    Args:
        paths: Files, folders and patterns of them, and URLs; see `traffic_files`.

    Raises:
        DataError: A file is missing, a line is broken, or an id is repeated; the message names the file and line.
    """
    for path in traffic_files(paths):
        for _, exchange in read_numbered(path):
            yield exchange


def read_numbered(path: str | Path, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, Exchange]]:
    """Read some lines of a file, each with its number.

    Args:
        path: The file, or its URL.
        begin: Number of lines before the first one.
        end: Number of the last line; the file's by default.

    Raises:
        DataError: The file is missing, a line is broken, or an id is repeated.
    """
    seen: set[int] = set()
    for number, where, row in _numbered(path, begin, end):
        exchange = parse_exchange(row, where)
        # Hashes rather than ids, to keep memory low.
        key = hash(exchange.id)
        if key in seen:
            raise DataError(f"{where}: the id {shown(exchange.id, 100)} was there before. Give each request its own.")
        seen.add(key)
        yield number, exchange


def read_rows(path: str | Path) -> Iterator[tuple[str, Any]]:
    """Read the lines of a file as they are, each with where it stands.

    Raises:
        DataError: The file is missing, or a line is no JSON.
    """
    for _, where, row in _numbered(path, 0, None):
        yield where, row


def _numbered(name: str | Path, begin: int, end: int | None) -> Iterator[tuple[int, str, Any]]:
    rows: Iterator[tuple[int, Any]]
    said = shown_file(name)
    if is_url(name):
        rows = ((number, _fields(row)) for number, row in rows_at_url(str(name)))
    else:
        path = Path(name)
        if not path.is_file():
            raise DataError(f"{path}: {_no_file(path)}.")
        rows = _parquet(path, begin, end) if path.suffix == ".parquet" else _lines(path, begin)
    for number, row in rows:
        if end is not None and number > end:
            return
        if number > begin:
            yield number, f"{said}:{number}", row


def shown_file(name: str | Path) -> str:
    """Return how `Exchange.where` names a file.

    Example:
        >>> shown_file("./traffic.jsonl")
        'traffic.jsonl'
    """
    return shown_url(str(name)) if is_url(name) else str(Path(name))


def count_lines(path: str | Path) -> int:
    """Return the number of lines of a file; of Parquet without reading them.

    Raises:
        DataError: The file is missing or damaged.
    """
    if not is_url(path) and Path(path).suffix == ".parquet":
        return int(_opened(Path(path)).metadata.num_rows)
    if is_url(path):
        return rows_at(str(path))
    return sum(1 for _ in _lines(Path(path), 1 << 62))


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "this is a folder without traffic; name the files in it, or a folder that `langroute export --parquet` wrote"
    return (
        "this is no file on a disk, and traffic is read more than once; write it to one"
        if path.exists()
        else "there is no such file"
    )


def digest_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's contents, in hexadecimal.

    Example:
        >>> import tempfile
        >>> empty = Path(tempfile.mkdtemp()) / "empty.jsonl"
        >>> empty.touch()
        >>> digest_of(empty)[:12]
        'e3b0c44298fc'
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _lines(path: Path, begin: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield the lines with their numbers; those up to `begin` are not parsed, and are `None`."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            # `BufferedReader` splits lines in C, and decompresses in larger pieces than gzip's own.
            lines = io.BufferedReader(file, PIECE)
            number = unpacked = 0
            most = max(BOMB[0], BOMB[1] * path.stat().st_size) if zipped else inf
            while line := lines.readline(LONGEST + 1):
                number += 1
                unpacked += len(line)
                if len(line) > LONGEST:
                    raise DataError(f"{path}:{number}: longer than {LONGEST >> 20} MB; a line holds one request as a JSON object.")
                if unpacked > most:
                    raise DataError(
                        f"{path}:{number}: unpacks to more than {BOMB[1]} times its size. If that is meant, unpack it first."
                    )
                if number <= begin:
                    yield number, None
                elif not line.isspace():
                    yield number, _loads(line, path, number)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: the file is cut off or damaged: {error}.") from error


def _loads(line: bytes, path: Path, number: int) -> Any:
    row = _parsed(line, path, number)
    # A line with fewer brackets cannot be nested too deeply, so the walk is skipped.
    if line.count(b"[") + line.count(b"{") > MOST_DEPTH and not fits(row, max_depth=MOST_DEPTH, max_nodes=len(line)):
        raise DataError(f"{path}:{number}: not a JSON object: it is nested too deeply.")
    return row


def _parsed(line: bytes, path: Path, number: int) -> Any:
    try:
        found = quick_loads(line)
        return found if quick_loads is not json.loads else whole(found)
    except (ValueError, RecursionError):
        # The standard library is more lenient than orjson, and gives the same errors on every platform.
        try:
            return whole(json.loads(line))
        except json.JSONDecodeError as error:
            said = f"{error.msg} at column {error.colno}; each line holds one whole object"
        except UnicodeDecodeError as error:
            said = f"the text is no UTF-8 ({error})"
        except RecursionError:
            said = "it is nested too deeply"
        except ValueError as error:
            said = str(error)
        raise DataError(f"{path}:{number}: not a JSON object: {said}.") from None


def whole(value: Any) -> Any:
    r"""Return a JSON value with lone surrogates in its texts replaced: models produce them, and they cannot be encoded as UTF-8.

    Example:
        >>> whole({"task": "half \ud83d", "n": [1, "x"]})
        {'task': 'half ?', 'n': [1, 'x']}
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {whole(key): whole(inner) for key, inner in value.items()}
    return [whole(inner) for inner in value] if isinstance(value, list) else value


def _opened(path: Path) -> Any:
    """Return a Parquet file with the columns of traffic."""
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("pyarrow", "learn", "Reading Parquet") from error
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the file is cut off or damaged: {str(error).rstrip('.')}.") from error
    missing = [name for name in ("id", "messages", "outcomes") if name not in file.schema_arrow.names]
    if missing:
        there = ", ".join(file.schema_arrow.names)
        raise DataError(f"{path}: there is no column {' and no column '.join(missing)}. There are: {there}.")
    return file


def _parquet(path: Path, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, Any]]:
    number = 0
    file = _opened(path)
    try:
        for number, row in _rows(file, path, begin, end):
            yield number, _fields(row)
    except DataError:
        raise
    except (OSError, ValueError, NotImplementedError, OverflowError, MemoryError) as error:
        raise DataError(f"{path}:{number + 1}: the file is cut off or damaged: {str(error).rstrip('.')}.") from error


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known fields of a row."""
    return {name: _decoded(value) if name in NESTED else value for name, value in row.items() if value is not None}


def _rows(file: Any, path: Path, begin: int, end: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a Parquet file with their numbers, decoding a bounded number of bytes at a time.

    Row groups that have only rows up to `begin`, or behind `end`, are not read.
    """
    number = 0
    for place in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(place)
        if number + group.num_rows <= begin or (end is not None and number >= end):
            number += group.num_rows
            continue
        columns = [group.column(at).total_uncompressed_size for at in range(group.num_columns)]
        if sum(columns) > MOST_GROUP:
            raise DataError(f"{path}: row group {place} has more than {MOST_GROUP >> 20} MB; write smaller ones.")
        # Each row may repeat the longest value of a column, which is at most as long as the column.
        at_once = min(1000, max(1, BATCH_BYTES // max(*columns, 1)))
        for batch in file.iter_batches(at_once, row_groups=[place]):
            # Python objects are larger than Arrow's, so a batch of long rows is converted row by row.
            parts = [batch] if batch.nbytes <= LONGEST else (batch.slice(row, 1) for row in range(batch.num_rows))
            for part in parts:
                if part.nbytes > LONGEST:
                    raise DataError(
                        f"{path}: row group {place} has a row of more than {LONGEST >> 20} MB; a row holds one request."
                    )
                if number + part.num_rows > begin:
                    yield from enumerate(part.to_pylist(), number + 1)
                number += part.num_rows


def _decoded(value: Any) -> Any:
    """Return a nested field, parsed where it is stored as JSON text; Parquet allows one type per column."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            found = whole(json.loads(value))
        except (ValueError, RecursionError):
            return value
        return found if fits(found, max_depth=MOST_DEPTH, max_nodes=len(value)) else value
    return value


def parse_exchange(row: Any, where: str = "line") -> Exchange:
    """Return a line's object as an exchange, after checking its fields.

    Args:
        row: The parsed JSON object.
        where: File and line, for errors.

    Raises:
        DataError: A field is missing or invalid.

    Example:
        >>> parse_exchange({"id": "1", "messages": [{"role": "user", "content": "Hi."}],
        ...     "outcomes": {"small": {"score": 1, "input_tokens": 3, "output_tokens": 5}}}).outcomes["small"].score
        1.0
    """
    if not isinstance(row, (dict, Mapping)):
        raise DataError(f"{where}: a line holds one JSON object, not a {type(row).__name__}.")
    get = row.get
    identity = get("id")
    if not isinstance(identity, (str, int)) or isinstance(identity, bool) or identity == "":
        said = "is missing" if identity in (None, "") else f"is {shown(identity, 100)}"
        raise DataError(f"{where}: `id` {said}; give each request its own text.")
    messages = get("messages")
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise DataError(
            f"{where}: `messages` is a list of at least one object with `role` (system, user, assistant or tool), and `content` that is "
            "text, a list of blocks or null."
        )
    tools = get("tools") or ()
    if not isinstance(tools, (list, tuple)) or (tools and not all(map(_is_tool, tools))):
        raise DataError(f"{where}: `tools` is a list of function definitions, each an object.")
    outcomes = get("outcomes")
    if not isinstance(outcomes, (dict, Mapping)) or not outcomes:
        raise DataError(f"{where}: `outcomes` maps at least one route to what it made of the request.")
    step = get("step") or {}
    if not isinstance(step, (dict, Mapping)):
        raise DataError(f"{where}: `step` is an object.")
    if step:
        for name in STEP:
            _label(step.get(name), where, name)
    return Exchange(
        str(identity),
        tuple(messages),
        recorded_outcomes(outcomes, where),
        _label(get("source"), where, "source"),
        _label(get("task"), where, "task"),
        tuple(tools),
        step,
        where,
    )


def _label(value: Any, where: str, name: str) -> str:
    """Return an optional label as text, empty where there is none; raise `DataError` for another type."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    raise DataError(f"{where}: `{name}` is {shown(value, 100)}; give a text, or leave it out.")


def _is_message(message: Any) -> bool:
    if not isinstance(message, (dict, Mapping)):
        return False
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        return False
    content = message.get("content", _NO_CONTENT)
    if isinstance(content, list):
        return all(isinstance(block, (str, dict, Mapping)) for block in content)
    # A message that only calls tools may have no content.
    return isinstance(content, str) or content is None or (content is _NO_CONTENT and bool(message.get("tool_calls")))


def _is_tool(tool: Any) -> bool:
    return isinstance(tool, str) or (isinstance(tool, (dict, Mapping)) and isinstance(tool.get("function", tool), (dict, Mapping)))


def known_routes(exchanges: Sequence[Exchange]) -> tuple[str, ...]:
    """Return the sorted names of all routes with a scored outcome."""
    return tuple(sorted({route for one in exchanges for route, outcome in one.outcomes.items() if outcome.score is not None}))
