"""Does the code in an answer compile?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

from langroute.answers import text_of
from langroute.records import Attempt, Request, Verdict

_FENCE = re.compile(r"```([\w+#.-]*)[^\n]*\n(.*?)```", re.DOTALL)


def _python(source: str) -> str | None:
    try:
        compile(source, "<answer>", "exec")
    except (SyntaxError, ValueError) as error:
        return str(error)
    return None


def _json(source: str) -> str | None:
    try:
        json.loads(source)
    except ValueError as error:
        return str(error)
    return None


GRAMMARS = {
    "js": "javascript", "jsx": "javascript", "ts": "typescript", "tsx": "typescript", "c++": "cpp", "cc": "cpp", "rs": "rust",
    "golang": "go", "rb": "ruby", "sh": "bash", "shell": "bash", "c#": "c_sharp", "cs": "c_sharp", "csharp": "c_sharp",
}  # fmt: skip
"""What a block calls its language → the grammar's name, where the two differ."""

CHECKS: dict[str, Callable[[str], str | None]] = {"python": _python, "py": _python, "python3": _python, "json": _json}


class CodeCompiles:
    r"""Every fenced block of code compiles: Python and JSON, other languages where `tree-sitter` and their grammar are installed.

    Grammars are packages of their own: `pip install tree-sitter tree-sitter-javascript`. Nothing is ever downloaded here.

    Args:
        required: Reject an answer without any code.
        language: What a block without a language is taken for.

    Example:
        >>> from langroute.records import Selection
        >>> fenced = chr(96) * 3 + "python\ndef f(:\n" + chr(96) * 3
        >>> CodeCompiles().verify(Request("Write f."), Attempt(Selection("small"), fenced)).score
        0.0
    """

    name = "code_compiles"

    def __init__(self, *, required: bool = False, language: str = "python") -> None:
        self.required, self.language = required, language

    def verify(self, request: Request, attempt: Attempt) -> Verdict:
        """Compile what is fenced."""
        blocks = _FENCE.findall(text_of(attempt.answer))
        if not blocks:
            return Verdict(self.name, 0.0 if self.required else 1.0, "no code" if self.required else "")
        for language, source in blocks:
            fault = self._fault((language or self.language).lower(), source)
            if fault is not None:
                return Verdict(self.name, 0.0, f"{language or self.language}: {fault}")
        return Verdict(self.name, 1.0)

    @staticmethod
    def _fault(language: str, source: str) -> str | None:
        if language in CHECKS:
            return CHECKS[language](source)
        parser = _parser(GRAMMARS.get(language, language))
        return "syntax error" if parser is not None and parser.parse(source.encode()).root_node.has_error else None


@lru_cache(maxsize=64)
def _parser(language: str) -> Any:
    """A parser for a language whose grammar is installed; `None` for others: what nobody here can parse is no fault of the answer."""
    if not language.isidentifier():
        return None
    try:
        grammar, sitter = import_module(f"tree_sitter_{language}"), import_module("tree_sitter")
        # TypeScript's package has two grammars, each under its own name.
        make = getattr(grammar, f"language_{language}", None) or grammar.language
        return sitter.Parser(sitter.Language(make()))
    except Exception:  # noqa: BLE001
        return None
