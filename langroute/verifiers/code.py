"""Verifier that compiles or parses the fenced code blocks of an answer."""

from __future__ import annotations

import re
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from textwrap import dedent, indent
from time import thread_time
from typing import Any

from langroute.core.answers import text_of
from langroute.core.records import Attempt, Request, Verdict
from langroute.verifiers.bounds import read_json, short
from langroute.verifiers.fences import fenced, inputs, is_session, looks_like_python

MOST_CODE = 50_000
"""Longest block that is compiled, in characters. CPython 3.11 crashes on 660,000 characters of nested comprehensions, other versions on
less of something else; 50,000 leave a wide margin even with the stack of a thread."""

MOST_CHARS = 100_000
"""Most characters that are compiled of one answer."""

MOST_BLOCKS = 100
"""Most blocks that are compiled of one answer."""

SECONDS = 0.5
"""CPU seconds after which no more of an answer is compiled or parsed."""


def _python(source: str) -> str | None:
    if (typed := inputs(source)) and is_session(source):
        return next((fault for one in typed if (fault := _syntax(one)) is not None), None)
    fault = _syntax(source)
    if fault is None or is_session(source):
        return None
    for shape in (_without_magics, dedent, _body):
        source = shape(source)
        if _syntax(source) is None:
            return None
    return fault


def _syntax(source: str) -> str | None:
    try:
        compile(source, "<answer>", "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError) as error:
        return str(error)
    except (MemoryError, RecursionError, OverflowError):
        return "nested too deeply to be compiled"
    return None


def _without_magics(source: str) -> str:
    """Return a notebook's cell without its commands (`!pip install`, `%time`)."""
    return _MAGIC.sub(r"\1pass", source)


_MAGIC = re.compile(r"^([ \t]{0,80})(?:!|%{1,2})[A-Za-z].*$", re.MULTILINE)


def _body(source: str) -> str:
    """Return a fragment as the body of a function, where `return`, `yield` and `await` are allowed."""
    return f"async def _():\n{indent(source, ' ')}"


def _json(source: str) -> str | None:
    try:
        read_json(source)
    except ValueError as error:
        return str(error)
    return None


GRAMMARS = {
    "js": "javascript", "jsx": "javascript", "ts": "typescript", "tsx": "typescript", "c++": "cpp", "cc": "cpp", "rs": "rust",
    "golang": "go", "rb": "ruby", "sh": "bash", "shell": "bash", "c#": "c_sharp", "cs": "c_sharp", "csharp": "c_sharp",
}  # fmt: skip
"""Language tag of a block → name of the tree-sitter grammar, where the two differ."""

CHECKS: dict[str, Callable[[str], str | None]] = {
    "python": _python,
    "py": _python,
    "python3": _python,
    "pycon": _python,
    "json": _json,
}


class CodeCompiles:
    r"""Accept an answer whose fenced code blocks all compile or parse.

    Python and JSON are checked by the standard library, other languages where `tree-sitter` and their grammar are installed; blocks of
    any other language are accepted, and so are sessions of a shell. Grammars are separate packages: `pip install tree-sitter tree-sitter-javascript`. Nothing is
    downloaded here.

    Args:
        required: Whether to reject an answer without any code.
        language: Language of blocks without a language tag; of Python only those are checked that look like it.

    Example:
        >>> from langroute.core.records import Selection
        >>> fenced = chr(96) * 3 + "python\ndef f(:\n" + chr(96) * 3
        >>> CodeCompiles().verify(Request("Write f."), Attempt(Selection("small"), fenced)).score
        0.0
    """

    name = "code_compiles"

    def __init__(self, *, required: bool = False, language: str = "python") -> None:
        self.required, self.language = required, language

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Compile the fenced blocks; the first syntax error scores 0.0."""
        found, left, unchecked, until = False, MOST_CHARS, "", thread_time() + SECONDS
        for number, (named, source) in enumerate(fenced(text_of(attempt.answer))):
            found, language = True, (named or self.language).lower()
            if number >= MOST_BLOCKS:
                unchecked = f"there are more than {MOST_BLOCKS} blocks"
                break
            if len(source) > min(left, MOST_CODE):
                unchecked = f"a block has more than {MOST_CODE:,} characters, or all of them more than {MOST_CHARS:,}"
                continue
            left -= len(source)
            try:
                fault = _fault(language, source, until) if named or _is_code(language, source) else None
            except TimeoutError:
                unchecked = f"it takes more than {SECONDS:g} s"
                break
            if fault is not None:
                return Verdict(self.name, 0.0, short(f"{named or self.language}: {fault}"))
        if not found:
            return Verdict(self.name, 0.0 if self.required else 1.0, "no code" if self.required else "")
        return Verdict(self.name, 1.0, f"not all of it was compiled: {unchecked}" if unchecked else "")


def _is_code(language: str, source: str) -> bool:
    """Return whether a block without a language tag is code of the default language."""
    return inputs(source) != [] or (not is_session(source) and (language not in _PYTHONS or looks_like_python(source)))


_PYTHONS = frozenset({"python", "py", "python3"})


def _fault(language: str, source: str, until: float) -> str | None:
    if thread_time() > until:
        raise TimeoutError
    if language in CHECKS:
        return CHECKS[language](source)
    if is_session(source):
        return None
    grammar = _grammar(GRAMMARS.get(language, language))
    return "syntax error" if grammar is not None and _tree(grammar, source, until).root_node.has_error else None


@lru_cache(maxsize=64)
def _grammar(language: str) -> Any:
    """Return the grammar of a language, or `None` where it is not installed or cannot be loaded; such blocks are not rejected."""
    if not language.isidentifier():
        return None
    try:
        grammar, sitter = import_module(f"tree_sitter_{language}"), import_module("tree_sitter")
        # TypeScript's package has two grammars, each with a function of its own.
        make = getattr(grammar, f"language_{language}", None) or grammar.language
        return sitter.Language(make())
    except Exception:  # noqa: BLE001
        return None


def _tree(grammar: Any, source: str, until: float) -> Any:
    """Return the syntax tree of a source.

    Args:
        grammar: A tree-sitter language.
        source: The code.
        until: Value of `thread_time()` at which parsing stops.

    Raises:
        TimeoutError: Parsing took too long; in an ambiguous grammar, errors can multiply the alternatives.
    """
    # A parser for each call: its progress callback may run while another thread parses another source.
    parser = import_module("tree_sitter").Parser(grammar)
    code = source.encode("utf-8", "replace")
    try:
        if hasattr(parser, "timeout_micros"):
            # Before tree-sitter 0.25.
            parser.timeout_micros = max(1, int((until - thread_time()) * 1e6))
            return parser.parse(code)
        return parser.parse(lambda offset, _: code[offset : offset + _PIECE], progress_callback=lambda *_: thread_time() > until)
    except ValueError as error:
        raise TimeoutError from error


_PIECE = 1 << 16
