"""What did an agent's tool do, and did it fail?

Tools are told apart by a vocabulary of names that users extend. A tool that nobody named is just a tool: neither a sign of coding nor
of failure. Words in a result count only where the tool runs things; a file that mentions an error is no error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

EDIT = frozenset(
    [
        "edit",
        "edit_file",
        "write",
        "write_file",
        "create_file",
        "str_replace",
        "str_replace_editor",
        "str_replace_based_edit_tool",
        "apply_patch",
        "patch",
        "multi_edit",
        "multiedit",
        "insert_text",
        "replace_in_file",
        "notebook_edit",
        "notebookedit",
        "update_file",
        "append_file",
        "delete_file",
        "move_file",
        "search_replace",
        "edit_notebook",
        "replace_lines",
        "insert_lines",
    ]
)
RUN = frozenset(
    [
        "bash",
        "shell",
        "sh",
        "execute",
        "execute_command",
        "execute_bash",
        "execute_code",
        "exec",
        "run",
        "run_command",
        "run_shell",
        "run_shell_command",
        "run_terminal_cmd",
        "terminal",
        "run_tests",
        "run_test",
        "test",
        "pytest",
        "python",
        "python_repl",
        "ipython",
        "run_python",
        "run_code",
        "code_interpreter",
        "code_execution",
        "make",
        "run_in_terminal",
        "local_shell",
        "container_exec",
    ]
)
READ = frozenset(
    [
        "read",
        "read_file",
        "view",
        "open_file",
        "cat",
        "grep",
        "glob",
        "ls",
        "list_dir",
        "list_directory",
        "list_files",
        "find",
        "search",
        "search_files",
        "search_code",
        "codebase_search",
        "file_search",
        "read_many_files",
        "web_search",
        "web_fetch",
        "fetch",
        "fetch_url",
        "browse",
        "retrieve",
        "retriever",
        "get_page",
        "search_docs",
    ]
)

_VIEWING = frozenset({"view", "read", "open", "list"})
_SIGNS = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which tools edit, run and read; names are compared without case and punctuation.

    Args:
        edit: Tools that change files or documents.
        run: Tools that run commands, tests or code.
        read: Tools that only look.

    Example:
        >>> words = Vocabulary(edit={"patch_document"})
        >>> words.family("PatchDocument"), words.family("write_file"), words.family("book_flight")
        ('edit', 'edit', None)
    """

    edit: Iterable[str] = ()
    run: Iterable[str] = ()
    read: Iterable[str] = ()
    _families: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        families: dict[str, str] = {}
        known = (("read", READ, self.read), ("run", RUN, self.run), ("edit", EDIT, self.edit))
        for family, built_in, _ in known:
            families.update(dict.fromkeys(built_in, family))
        for family, _, own in known:
            families.update({plain_name(name): family for name in own})
        object.__setattr__(self, "_families", families)

    def family(self, name: str | None, args: Mapping[str, Any] | None = None) -> str | None:
        """`edit`, `run`, `read`, or `None` for a tool that nobody named."""
        if not name:
            return None
        found = self._families.get(name) or self._families.get(plain_name(name))
        if found == "edit" and args and str(args.get("command", "")).lower() in _VIEWING:
            # One tool for all: what it was told decides.
            return "read"
        return found


def tool_name(tool: Mapping[str, Any]) -> str:
    """The name of a bound tool, in OpenAI's form or flat.

    Example:
        >>> tool_name({"type": "function", "function": {"name": "add"}}), tool_name({"name": "add"})
        ('add', 'add')
    """
    return str((tool.get("function") or tool).get("name"))


def plain_name(name: str) -> str:
    """A tool's name without case and punctuation.

    Example:
        >>> plain_name("functions.ReadFile"), plain_name("str-replace")
        ('functions_read_file', 'str_replace')
    """
    return _SIGNS.sub("_", _CAMEL.sub("_", name).lower()).strip("_")


# Did it fail? --------------------------------------------------------------------------------------------------------

_EXIT = re.compile(
    r"\b(?:exit(?:ed)?(?: with)?(?: code| status)?|return ?code|exit_code|returncode)\W{1,4}(-?\d+)\b", re.IGNORECASE
)
_COUNTED = re.compile(r"\b(\d+) (?:tests? )?(?:failed|failures?|errors?|failing)\b", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:failed|failures|failed tests|errors|failing)\W{1,3}(\d+)\b", re.IGNORECASE)
_CRASHED = re.compile(
    r"^Traceback \(most recent call last\)|^(?:\w+\.)*\w*(?:Error|Exception)\b(?::|\s*$)|^panic:|^error(?:\[\w+\])?:|^fatal:|^npm ERR!"
    r"|\bsegmentation fault\b|^\S+: (?:line \d+: )?.{0,80}: (?:command not found|no such file or directory|permission denied)"
    r"|^\S+: command not found|\bcommand not found\b",
    re.IGNORECASE | re.MULTILINE,
)
_STARTS_BADLY = re.compile(
    r"\s*(?:traceback \(most recent call last\)|(?:\w+\.)*\w*(?:error|exception)\b\s*(?::|\()|(?:an )?error(?:\b(?!s? (?:handling|log|page|rate))|:)"
    r"|fatal:|failed(?: to\b|:)|unable to\b|invalid (?:arguments?|input|request|parameters?)\b|tool (?:call )?failed)",
    re.IGNORECASE,
)
_CLIP = 3000


def failure_of(status: str | None, text: str, family: str | None = None) -> float:
    """How bad a tool's result is: 0 fine, 1 failed.

    Args:
        status: `ToolMessage.status`; `error` settles it.
        text: The result.
        family: What kind of tool it came from; see `Vocabulary.family`.

    Example:
        >>> failure_of("success", "12 passed, 0 failed, 0 errors", "run")
        0.0
        >>> failure_of("success", "bash: foo: command not found", "run")
        0.8
        >>> failure_of("success", "class ParserError(Exception): ...", "read")
        0.0
        >>> failure_of("error", "whatever")
        1.0
    """
    if status == "error":
        return 1.0
    if not text:
        return 0.0
    stripped = text.lstrip()
    if stripped[:1] == "{" and len(text) < 20_000 and (told := _told_in_json(text)) is not None:
        return told
    if family == "run":
        return _ran(text)
    if _STARTS_BADLY.match(text):
        # Whatever the tool: a result that begins like this says that there is none.
        return 0.8
    return 0.0


def _told_in_json(text: str) -> float | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    for key in ("exit_code", "exitCode", "returncode", "return_code"):
        if isinstance(value.get(key), int):
            return 0.9 if value[key] else 0.0
    if value.get("isError") is True or value.get("is_error") is True or value.get("success") is False or value.get("ok") is False:
        return 0.9
    return 0.8 if value.get("error") else None


def _ran(text: str) -> float:
    seen = text if len(text) <= 2 * _CLIP else f"{text[:_CLIP]}\n{text[-_CLIP:]}"
    codes = _EXIT.findall(seen)
    if codes:
        # What the program said of itself stands above the words it printed.
        return 0.0 if int(codes[-1]) == 0 else 0.9
    counts = [int(count) for count in (*_COUNTED.findall(seen), *_NAMED.findall(seen))]
    if any(counts):
        return 0.7
    if counts and not _CRASHED.search(seen):
        return 0.0
    return 0.8 if _CRASHED.search(seen) else 0.0
