"""Measures how the time that a reader of text takes grows with the text.

CPU time of the thread, so that other programs count little; and only where there is enough of it to be told from noise.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import thread_time
from typing import Any, NamedTuple

import langroute

PACKAGE = Path(langroute.__file__).parent

UNITS = (
    *(
        " ",
        "\t",
        "\n",
        "\r\n",
        "a",
        "A",
        "_",
        "1",
        "-",
        ".",
        ",",
        ":",
        ";",
        "/",
        "\\",
        "@",
        "#",
        "$",
        "*",
        "=",
        "!",
        "?",
        "'",
        '"',
        "`",
        "“",
    ),
    *("(", "[", "{", ")", "]", "}", "<", "|", "\x00", "é", "\u0301", "\u200d", "中", "🙂", "\ud800", "ß", "İ"),
    *(
        "a ",
        "a.",
        "a_",
        "a-",
        "a/",
        "a,",
        "a@",
        "1,",
        "1.",
        "1 ",
        "a\n",
        " \n",
        "\n ",
        "```",
        "```\n",
        "`a",
        '"a',
        "“a",
        "x = ",
        "f(",
        "A. ",
        "\nA.",
    ),
)
"""What is repeated: runs and alternations that make a search start over."""

ENDS = ("", "x", "!")
"""What makes a long match fail at its end."""

ENOUGH = 0.05
"""Seconds below which a time says nothing."""

BOUNDED_SECONDS = 0.5
"""Seconds that a pattern may take for the longest text that it is given."""

MOST = 1 << 17
"""Characters of the longest text."""


class Text(NamedTuple):
    """A text of any length."""

    begin: str
    unit: str
    end: str

    def of(self, size: int) -> str:
        """The text of about that many characters."""
        return self.begin + self.unit * max(1, size // len(self.unit)) + self.end


def seconds(read: Callable[[str], Any], text: str, times: int = 1) -> float:
    """The least CPU time that reading took."""
    found = []
    for _ in range(times):
        begun = thread_time()
        read(text)
        found.append(thread_time() - begun)
    return min(found)


def grows_faster(read: Callable[[str], Any], text: Text, most: int = MOST) -> str | None:
    """Say so where four times the text takes nine times as long, or longer: growth by the square makes sixteen of it.

    Args:
        read: The reader.
        text: What it reads, at ever greater length.
        most: The longest that it is ever given.
    """
    size = 16
    while size < most and seconds(read, text.of(size)) < ENOUGH:
        size = min(2 * size, most)
    if size >= most:
        return None
    least = max(1, size // 4)
    short, long = seconds(read, text.of(least), 5), seconds(read, text.of(4 * least), 3)
    if long < 9 * short:
        return None
    return f"{text.begin[:40]!r} + {text.unit!r} * {4 * least // len(text.unit)} + {text.end!r}: {short:.3f} s → {long:.3f} s"


# Patterns -------------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """A pattern, and how it is used."""

    name: str
    pattern: re.Pattern[str]
    methods: frozenset[str]
    """`match` and `fullmatch`, which begin at the beginning of a text, and `search` for all that begin anywhere."""


def modules() -> dict[str, Path]:
    """Every module of the package with its file."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def inside(value: Any, depth: int = 4) -> Iterator[re.Pattern[str]]:
    """Patterns in what a module holds."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, Mapping):
        for one in value.values():
            yield from inside(one, depth - 1)
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from inside(one, depth - 1)


def patterns() -> tuple[list[Found], list[str]]:
    """Every pattern of the package, and the places where one is made of what cannot be told from the source."""
    found: dict[tuple[str, int], Found] = {}
    made: list[str] = []
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        uses = _uses(tree)
        for attribute, value in vars(importlib.import_module(name)).items():
            for pattern in map(_of_text, inside(value)):
                key = (pattern.pattern, pattern.flags)
                methods = uses.get(attribute, frozenset({"search"})) | (found[key].methods if key in found else frozenset())
                found[key] = Found(f"{name}.{attribute}", pattern, methods)
        for call in _calls_of_re(tree):
            first = call.args[0]
            if not (isinstance(first, ast.Constant) and isinstance(first.value, (str, bytes))):
                made.append(f"{name}: {ast.unparse(call)}")
            elif call.func.attr != "compile":  # type: ignore[attr-defined]
                pattern = _of_text(re.compile(first.value))
                found.setdefault(
                    (pattern.pattern, pattern.flags), Found(f"{name}: {ast.unparse(call)[:40]}", pattern, frozenset({"search"}))
                )
    return list(found.values()), made


def _of_text(pattern: re.Pattern[Any]) -> re.Pattern[str]:
    """The same pattern for texts, where it is one for bytes."""
    if isinstance(pattern.pattern, str):
        return pattern
    return re.compile(pattern.pattern.decode("latin-1"), pattern.flags)


def _calls_of_re(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.args
        ):
            yield node


def _uses(tree: ast.AST) -> dict[str, frozenset[str]]:
    """How names are used as patterns; whatever else is done with one counts as a search."""
    methods: dict[str, set[str]] = {}
    others: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            methods.setdefault(node.value.id, set()).add(node.attr if node.attr in ("match", "fullmatch") else "search")
            others[node.value.id] = others.get(node.value.id, 0) - 1
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            others[node.id] = others.get(node.id, 0) + 1
    return {name: frozenset(known if others[name] <= 0 else {*known, "search"}) for name, known in methods.items()}


def readers_of(found: Found) -> Iterable[Callable[[str], Any]]:
    """The ways in which a pattern reads a text."""
    return [
        (lambda text: found.pattern.sub("", text)) if method == "search" else getattr(found.pattern, method)
        for method in sorted(found.methods)
    ]


def beginnings(pattern: str) -> list[str]:
    """What a text may begin with so that a pattern gets going: its own words."""
    words = list(dict.fromkeys(re.findall(r"[A-Za-z#]{2,}|[`\"“{<]|://|base64,", re.sub(r"\\[a-zA-Z]", " ", pattern))))[:10]
    return ["", *words, *(f"{one} " for one in words)]


def worst_texts(read: Callable[[str], Any], begins: Sequence[str], *, sizes: Sequence[int] = (16, 32, 200)) -> list[Text]:
    """The texts that keep a reader longest for their length, found in texts of ever greater length."""
    texts = [Text(begin, unit, end) for begin in begins for unit in (*UNITS, *begins[1:]) for end in ENDS]
    for size in sizes:
        # Growth by powers shows in short texts, and would never end in long ones.
        times = sorted(((seconds(read, text.of(size)), text) for text in texts), key=lambda pair: pair[0], reverse=True)
        texts = [text for _, text in times[: max(4, len(times) // 8)]]
        if times[0][0] > ENOUGH and seconds(read, times[0][1].of(size), 3) > ENOUGH:
            break
    return texts[:3]
