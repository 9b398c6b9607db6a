"""Reading of shell commands: which programs a chain runs. A command is foreign text: what is read of it is bounded, and nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from langroute.core.fast_dataclass import fast_dataclass

LONGEST = 20_000
"""Most characters of a command that are read."""

_PIECES = re.compile(
    r"""
    (?P<space>[^\S\n]+|\\\n)
    | (?P<comment>(?<![^\s;&|()])\#[^\n]*)
    | (?P<document><<-?[ \t]*(?:'[^'\n]{1,200}'|"[^"\n]{1,200}"|\\?[\w.-]{1,200}))
    | (?P<redirection>[0-9]{0,9}(?:<<<|>>|<<|[<>]&|&>>?|>\||[<>](?!\()))
    | (?P<inner>[$<>]\()
    | (?P<chain>&&|\|\||[;&\n()]|\|&?)
    | (?P<word>(?:'[^']*'?|"(?:[^"\\]|\\.?)*"?|`[^`]*`?|\$\{[^}\n]{0,200}\}?|\\.?|[^\s;&|()<>'"`\\$]|\$(?!\())+)
    """,
    re.VERBOSE | re.DOTALL,
)
"""The pieces of a command; every character begins one. Quotes that are not closed end with it."""

_VARIABLE = re.compile(r"\w{1,200}\+?=")
_RESERVED = frozenset(["!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "time"])
"""Words of the shell's own, behind which a command may stand."""


@fast_dataclass
class Command:
    """A program that a command runs.

    Args:
        program: Its name, without its folder.
        arguments: Its arguments, with their quotes.
    """

    program: str
    arguments: tuple[str, ...] = ()


def programs(command: str) -> list[str]:
    r"""Return the programs that a command runs, without their folders: of each pipeline the first, whose output the others only pass on.

    Programs in substitutions (`$(…)`) and in texts that a command reads (`<<EOF`) are left out.

    Example:
        >>> programs("cd src && PYTHONPATH=. .venv/bin/pytest -q 2>&1 | tail -5; cat 'a && b'")
        ['cd', 'pytest', 'cat']
        >>> programs("cat > t.py <<'END'\nassert 1 == 1; rm\nEND\npytest t.py")
        ['cat', 'pytest']
    """
    return [one.program for one in commands(command)]


def commands(command: str) -> list[Command]:
    """Return what a command runs, with the arguments; which ones, and what is left out, is told at `programs`.

    Example:
        >>> commands("cd src && A=1 ./run --all")
        [Command(program='cd', arguments=('src',)), Command(program='run', arguments=('--all',))]
    """
    found = []
    for words in _Reader(command[:LONGEST]).pipelines():
        start = next((at for at, word in enumerate(words) if not _VARIABLE.match(word) and word not in _RESERVED), None)
        if start is not None:
            found.append(Command(words[start].strip("'\"\\").rpartition("/")[2], tuple(words[start + 1 :])))
    return found


@fast_dataclass
class _Piece:
    kind: str
    text: str


class _Reader:
    """Reads a command from its beginning to its end, once."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._documents: list[str] = []

    def pipelines(self) -> Iterator[list[str]]:
        """Return the words of the first command of each pipeline."""
        words: list[str] = []
        piped = target = False
        for piece in self._outer():
            if piece.kind == "chain":
                if not piped:
                    yield words
                words, piped, target = [], piece.text in ("|", "|&"), False
            elif piece.kind == "redirection":
                target = True
            elif target:
                target = False
            else:
                words.append(piece.text)
        if not piped:
            yield words

    def _outer(self) -> Iterator[_Piece]:
        """Return words, redirections and what joins commands, outside of substitutions."""
        depth = 0
        for piece in self._pieces():
            if piece.kind == "inner":
                depth += 1
            elif depth:
                depth += (piece.text == "(") - (piece.text == ")")
            elif piece.kind in ("word", "redirection", "chain"):
                yield piece

    def _pieces(self) -> Iterator[_Piece]:
        place = 0
        while (found := _PIECES.match(self._command, place)) is not None:
            kind, text, place = str(found.lastgroup), found.group(), found.end()
            if kind == "document":
                self._documents.append(text)
            elif text == "\n" and self._documents:
                place = self._behind_documents(place)
            yield _Piece(kind, text)

    def _behind_documents(self, place: int) -> int:
        """Return the place behind the texts that a line's commands read; the end where one is not closed."""
        for opening in self._documents:
            word = opening.lstrip("<").lstrip("-").strip(" \t\"'\\")
            line = None
            while line != word and place < len(self._command):
                end = self._command.find("\n", place)
                end = len(self._command) if end < 0 else end
                line, place = self._command[place:end].lstrip("\t"), end + 1
        self._documents = []
        return place


__all__ = ["LONGEST", "Command", "commands", "programs"]
