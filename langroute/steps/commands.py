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

_SHOWN = frozenset(["/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/fd/1", "/dev/fd/2"])
"""Files of which the output is seen all the same."""

_CODE = re.compile(r"[\s(;]")
_VARIABLE = re.compile(r"\w{1,200}\+?=")
_RESERVED = frozenset(["!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "time"])
"""Words of the shell's own, behind which a command may stand."""


@fast_dataclass
class Command:
    """A program that a command runs.

    Args:
        program: Its name, without its folder; empty for what a group of commands in parentheses hands to a pipe.
        arguments: Its arguments, with their quotes.
        writes_file: Whether its output goes to a file.
        reads_file: Whether it reads a file, or a text of the command's own, in the place of what a pipe hands to it.
    """

    program: str
    arguments: tuple[str, ...] = ()
    writes_file: bool = False
    reads_file: bool = False


def pipelines(command: str) -> list[tuple[Command, ...]]:
    """Return what a command runs, one after the other: of each pipeline the commands, of which each reads what the one before it prints.

    Programs in substitutions (`$(…)`) and in texts that a command reads (`<<EOF`) are left out.

    Example:
        >>> [[one.program for one in stages] for stages in pipelines("cd src && ./run --all 2>&1 | tail -5")]
        [['cd'], ['run', 'tail']]
        >>> pipelines("A=1 ./run --all > log")
        [(Command(program='run', arguments=('--all',), writes_file=True, reads_file=False),)]
    """
    return list(_Reader(command[:LONGEST]).pipelines())


def is_assignment(word: str) -> bool:
    """Return whether a word sets a variable.

    Example:
        >>> is_assignment("CI=1"), is_assignment("--color=no")
        (True, False)
    """
    return _VARIABLE.match(word) is not None


def looks_like_code(text: str) -> bool:
    """Return whether a text has in it what commands and programs have, and paths and names hardly do.

    Example:
        >>> looks_like_code("print(1)"), looks_like_code("src/test_a.py")
        (True, False)
    """
    return _CODE.search(text) is not None


@fast_dataclass
class _Piece:
    kind: str
    text: str


class _Stage:
    """The command of a pipeline that is being read."""

    __slots__ = ("_glued", "_redirection", "_words", "reads_file", "writes_file")

    def __init__(self) -> None:
        self._words: list[str] = []
        self._glued = False
        self._redirection = ""
        self.reads_file = self.writes_file = False

    def add(self, piece: _Piece) -> None:
        if piece.kind == "document":
            self.reads_file = True
        elif piece.kind == "redirection":
            self._redirection = piece.text
        elif piece.kind != "space" and self._redirection:
            self._redirect(piece.text)
        elif piece.kind != "space" and self._glued:
            # What stands before or behind a substitution without a space between.
            self._words[-1] += piece.text
        elif piece.kind != "space":
            self._words.append(piece.text)
        self._glued = piece.kind in ("word", "inner") and bool(self._words)

    def _redirect(self, target: str) -> None:
        kind = self._redirection.lstrip("0123456789")
        number, self._redirection = self._redirection[: -len(kind)], ""
        if kind.startswith("<"):
            self.reads_file = self.reads_file or number in ("", "0")
        elif number in ("", "1") and not (kind == ">&" and target.isdigit()):
            self.writes_file = self.writes_file or not (target.endswith("(") or target.strip("'\"") in _SHOWN)

    def made(self) -> Command:
        words = self._words
        start = next((at for at, word in enumerate(words) if not _VARIABLE.match(word) and word not in _RESERVED), None)
        if start is None:
            return Command("", (), self.writes_file, self.reads_file)
        name = words[start].strip("'\"\\").rpartition("/")[2]
        return Command(name, tuple(words[start + 1 :]), self.writes_file, self.reads_file)

    @property
    def is_empty(self) -> bool:
        return not self._words


class _Reader:
    """Reads a command from its beginning to its end, once."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._documents: list[str] = []

    def pipelines(self) -> Iterator[tuple[Command, ...]]:
        """Return the commands of each pipeline."""
        before: list[Command] = []
        stage = _Stage()
        for piece in self._outer():
            if piece.kind != "chain":
                stage.add(piece)
            elif piece.text in ("|", "|&"):
                before.append(stage.made())
                stage = _Stage()
            elif not (piece.text == "\n" and before and stage.is_empty):
                yield from _pipeline(before, stage)
                before, stage = [], _Stage()
        yield from _pipeline(before, stage)

    def _outer(self) -> Iterator[_Piece]:
        """Return words, redirections and what joins commands, outside of substitutions, of which only the beginning is returned."""
        depth = 0
        for piece in self._pieces():
            if piece.kind == "inner":
                if not depth:
                    yield piece
                depth += 1
            elif depth:
                depth += (piece.text == "(") - (piece.text == ")")
            elif piece.kind != "comment":
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


def _pipeline(before: list[Command], last: _Stage) -> Iterator[tuple[Command, ...]]:
    made = last.made()
    if before or made.program:
        yield (*before, made)


__all__ = ["LONGEST", "Command", "is_assignment", "looks_like_code", "pipelines"]
