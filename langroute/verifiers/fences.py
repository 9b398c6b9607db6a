"""Fenced code blocks of an answer: where they are, what is a recorded session and no code, and which language an untagged one has."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"([ \t]{0,40})(`{3,40}|~{3,40})[ \t]{0,10}\{?([\w+#.-]{0,40})")

_PROMPT = re.compile(
    r"\s{0,40}(?:\$|>>>|\.\.\.|PS [^\n>]{0,100}>|[A-Za-z]:\\[^\n>]{0,100}>|[\w.-]{1,60}@[\w.-]{1,60}[^\n$#]{0,60}[$#]|\([\w.-]{1,40}\) ?\$|In \[[0-9]{1,5}\]:)(?: |$)"
)
"""Prompt of a shell or an interpreter."""

_PYTHON = re.compile(
    r"^[ \t]{0,40}(?:(?:async )?def \w|class \w+[ \t]*[(:]|from [\w.]+ import |import [\w.]+(?: as \w+)?[ \t]*$|print\("
    r"|(?:if|for|while|with|elif|else|try|except|finally)\b[^\n]{0,300}:[ \t]*$|\w{1,60} = ?(?:$|[\w.]{0,60}[(\[{]))",
    re.MULTILINE,
)
"""A line that is Python rather than a command, a configuration, a listing or what a program printed."""


def fenced(text: str) -> Iterator[tuple[str, str]]:
    r"""Yield the language and source of each closed fenced block.

    Example:
        >>> list(fenced("See:\n" + "`" * 3 + "json\n{}\n" + "`" * 3))
        [('json', '{}\n')]
    """
    fence: str | None = None
    language, indent, lines = "", "", list[str]()
    for line in text.splitlines(keepends=True):
        if fence is None:
            begin = _FENCE.match(line)
            if begin is not None and "`" not in line[begin.end() :]:
                indent, fence, language = begin.groups()
                lines = []
        elif _closes(line, fence):
            yield language, "".join(lines)
            fence = None
        else:
            lines.append(line.removeprefix(indent))


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and stripped == fence[0] * len(stripped)


def is_session(source: str) -> bool:
    r"""Return whether a block begins with a prompt: it was recorded from a shell or an interpreter, with what that printed.

    Example:
        >>> is_session("$ ls -la\ntotal 0\n"), is_session("ls -la\n")
        (True, False)
    """
    return _PROMPT.match(source.lstrip("\n")) is not None


def inputs(source: str) -> list[str]:
    r"""Return what was typed at Python's prompts.

    Example:
        >>> inputs(">>> def f():\n...     return 1\n>>> f()\n1\n")
        ['def f():\n    return 1\n', 'f()\n']
    """
    found: list[str] = []
    for line in source.splitlines():
        typed = line.lstrip()
        if typed.startswith(">>>"):
            found.append(typed[4:] + "\n")
        elif typed.startswith("...") and found:
            found[-1] += typed[4:] + "\n"
    return found


def looks_like_python(source: str) -> bool:
    """Return whether a block without a language tag is Python, as far as its lines tell.

    Example:
        >>> looks_like_python("def f(:"), looks_like_python("npm install"), looks_like_python("src/  a.py")
        (True, False, False)
    """
    return _PYTHON.search(source) is not None
