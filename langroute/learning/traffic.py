"""What did models answer to which requests, and how good was it? One JSON object a line.

`docs/traffic.md` describes the fields. Files are read line by line (plain, gzip or Parquet), so that they need not fit in memory;
what is wrong with a line is said with its file and number.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from langroute.errors import DataError, MissingExtraError
from langroute.quick import quick

quick_loads: Callable[[bytes], Any]
try:
    # Comes with langchain-core, though not on every Python.
    from orjson import loads as quick_loads
except ImportError:
    quick_loads = json.loads

LONGEST = 64 << 20
"""Bytes of a line; a file without line ends is said, and not read into memory."""

PIECE = 1 << 17
"""Bytes that are read at a time."""

MOST_TOKENS = 10**12

LEAST_PROPENSITY = 1e-9
"""A choice that is rarer was never made."""

_NO_CONTENT = object()

ROLES = frozenset({"system", "developer", "user", "human", "assistant", "ai", "AIMessageChunk", "tool", "function"})
"""Of messages, with LangChain's names for them."""

STEP = ("kind", "node", "team", "served")
"""What is read of a step."""

RARER = frozenset({"answer", "latency_s", "error_type", "propensity", "cost_usd"})
"""What most outcomes do without."""

NESTED = ("messages", "tools", "outcomes", "step")
"""Fields that may be text with JSON in it, in Parquet."""


class Recorded(NamedTuple):
    """What one route made of a request. A tuple, because millions of them are made."""

    score: float | None
    """0 for a failure to 1 for a success; `None` where nobody scored it."""

    input_tokens: int
    output_tokens: int
    answer: str | None = None
    """Canonical form: equal strings are equal answers; `None` where none could be read."""

    has_answer: bool = False
    """The record says what the answer was, or that none could be read."""

    latency_s: float | None = None
    error_type: str | None = None
    propensity: float | None = None
    """Probability with which this route was chosen, where the request was really served."""

    cost_usd: float | None = None
    """What was billed, where it is known."""


@quick
@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what several routes made of it."""

    id: str
    messages: tuple[Mapping[str, Any], ...]
    outcomes: Mapping[str, Recorded]
    source: str = ""
    task: str = ""
    tools: tuple[Any, ...] = ()
    step: Mapping[str, Any] = field(default_factory=dict)
    """`kind`, `node`, `team`, `served` (the route that answered in production), where known."""

    where: str = ""
    """File and line."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What estimators may know beside the text: the same labels that a live step carries."""
        found = [f"task={self.task}"] if self.task else []
        found += [f"{name}={self.step[name]}" for name in ("kind", "node") if self.step.get(name)]
        return tuple(found)


def read_traffic(paths: Iterable[str | Path]) -> Iterator[Exchange]:
    """Read files of recorded outcomes, one exchange at a time.

    Raises:
        DataError: A file is missing or a line is broken; says which and how.
    """
    for path in map(Path, paths):
        if not path.is_file():
            raise DataError(f"{path}: {_no_file(path)}.")
        rows = _parquet(path) if path.suffix == ".parquet" else _lines(path)
        seen: set[int] = set()
        for number, row in rows:
            exchange = parse_exchange(row, f"{path}:{number}")
            # Hashes, not ids: eight bytes a line.
            key = hash(exchange.id)
            if key in seen:
                raise DataError(f"{path}:{number}: the id {exchange.id!r} was there before. Give each request its own.")
            seen.add(key)
            yield exchange


def _no_file(path: Path) -> str:
    if path.is_dir():
        return "this is a folder; name the files in it"
    return (
        "this is no file on a disk, and traffic is read more than once; write it to one"
        if path.exists()
        else "there is no such file"
    )


def digest_of(path: str | Path) -> str:
    """What a file is known by, whatever it is called: its SHA-256.

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


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            # Lines are found by C, and a gzip is unpacked in larger pieces than its own.
            lines = io.BufferedReader(file, PIECE)
            number = 0
            while line := lines.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise DataError(f"{path}:{number}: longer than {LONGEST >> 20} MB; a line holds one request as a JSON object.")
                if not line.isspace():
                    yield number, _loads(line, path, number)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: the file is cut off or damaged: {error}.") from error


def _loads(line: bytes, path: Path, number: int) -> Any:
    try:
        return quick_loads(line)
    except ValueError:
        # The standard library takes what is not quite JSON, and says in other words what is none at all.
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            said = f"{error.msg} at column {error.colno}; each line holds one whole object"
        except UnicodeDecodeError as error:
            said = f"the text is no UTF-8 ({error})"
        except RecursionError:
            said = "it is nested too deeply"
        except ValueError as error:
            said = str(error)
        raise DataError(f"{path}:{number}: not a JSON object: {said}.") from None


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError("pyarrow", "learn", "Reading Parquet") from error
    number = 0
    try:
        file = parquet.ParquetFile(path)
        missing = [name for name in ("id", "messages", "outcomes") if name not in file.schema_arrow.names]
        if missing:
            there = ", ".join(file.schema_arrow.names)
            raise DataError(f"{path}: there is no column {' and no column '.join(missing)}. There are: {there}.")
        for batch in file.iter_batches(1000):
            for row in batch.to_pylist():
                number += 1
                yield (
                    number,
                    {name: _decoded(value) if name in NESTED else value for name, value in row.items() if value is not None},
                )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}:{number + 1}: the file is cut off or damaged: {str(error).rstrip('.')}.") from error


def _decoded(value: Any) -> Any:
    """Nested fields may be stored as JSON text: Parquet wants one type a column."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def parse_exchange(row: Any, where: str = "line") -> Exchange:
    """Check a line and make it an exchange.

    Raises:
        DataError: A field is missing or has a value that cannot be.

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
        said = "is missing" if identity in (None, "") else f"is {identity!r}"
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
    # Parquet fills the routes that other rows have with nulls.
    found = {route: _recorded(outcome, where, route) for route, outcome in outcomes.items() if outcome is not None}
    if not found:
        raise DataError(f"{where}: `outcomes` maps at least one route to what it made of the request.")
    return Exchange(
        str(identity),
        tuple(messages),
        found,
        _label(get("source"), where, "source"),
        _label(get("task"), where, "task"),
        tuple(tools),
        step,
        where,
    )


def _label(value: Any, where: str, name: str) -> str:
    """A name that somebody gave, as text; empty where there is none."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return str(value)
    raise DataError(f"{where}: `{name}` is {value!r}; give a text, or leave it out.")


def _is_message(message: Any) -> bool:
    if not isinstance(message, (dict, Mapping)):
        return False
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        return False
    content = message.get("content", _NO_CONTENT)
    if isinstance(content, list):
        return all(isinstance(block, (str, dict, Mapping)) for block in content)
    # A message that only calls tools may have none.
    return isinstance(content, str) or content is None or (content is _NO_CONTENT and bool(message.get("tool_calls")))


def _is_tool(tool: Any) -> bool:
    return isinstance(tool, str) or (isinstance(tool, (dict, Mapping)) and isinstance(tool.get("function", tool), (dict, Mapping)))


def _recorded(outcome: Any, where: str, route: str) -> Recorded:
    if not route or not route.isprintable():
        raise DataError(f"{where}: `outcomes` has {route!r} for a route; give each route a name that can be printed.")
    if not isinstance(outcome, (dict, Mapping)):
        raise DataError(f"{where}: outcomes.{route} is an object with `score`, `input_tokens` and `output_tokens`.")
    get = outcome.get
    score, given, written = get("score"), get("input_tokens"), get("output_tokens")
    if score is not None and not (_is_number(score) and 0 <= score <= 1):
        raise DataError(f"{where}: outcomes.{route}.score is {score!r}; a score is a number from 0 to 1.")
    if not (type(given) is int and 0 <= given <= MOST_TOKENS):
        given = _tokens(given, f"{where}: outcomes.{route}.input_tokens")
    if not (type(written) is int and 0 <= written <= MOST_TOKENS):
        written = _tokens(written, f"{where}: outcomes.{route}.output_tokens")
    if RARER.isdisjoint(outcome):
        return Recorded(None if score is None else float(score), given, written)
    answer, latency, propensity = get("answer"), get("latency_s"), get("propensity")
    if latency is not None and not (_is_number(latency) and 0 <= latency < inf):
        raise DataError(f"{where}: outcomes.{route}.latency_s is {latency!r}; give seconds from 0 up.")
    paid = get("cost_usd")
    if paid is not None and not (_is_number(paid) and 0 <= paid < inf):
        raise DataError(f"{where}: outcomes.{route}.cost_usd is {paid!r}; give USD from 0 up, or leave it out.")
    if propensity is not None and not (_is_number(propensity) and LEAST_PROPENSITY <= propensity <= 1):
        raise DataError(
            f"{where}: outcomes.{route}.propensity is {propensity!r}; a propensity is above 0 (at least {LEAST_PROPENSITY:g}) and at most 1."
        )
    return Recorded(
        None if score is None else float(score),
        given,
        written,
        None if answer is None else str(answer),
        "answer" in outcome,
        latency,
        get("error_type"),
        propensity,
        paid,
    )


def _is_number(value: Any) -> bool:
    return type(value) is float or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _tokens(value: Any, where: str) -> int:
    """Whole tokens; Parquet and spreadsheets write them as 12.0."""
    if not _is_number(value) or not 0 <= value <= MOST_TOKENS or value != int(value):
        raise DataError(f"{where} is {value!r}; give whole tokens from 0 up.")
    return int(value)


def known_routes(exchanges: Sequence[Exchange]) -> tuple[str, ...]:
    """Every route that some exchange has a scored outcome of, by name."""
    return tuple(sorted({route for one in exchanges for route, outcome in one.outcomes.items() if outcome.score is not None}))
