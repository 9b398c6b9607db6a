"""Classification of tools by their names, and detection of failed tool results; `results` reads what commands printed.

Tools are classified by a vocabulary of names that users can extend. An unknown tool is a sign of neither coding nor failure. Words in a
result count only if the tool runs things; a file that mentions an error is not a failure. Results are untrusted text: reading them is
bounded, and what a page says of itself is not certain.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from langroute.core.bounded import parse_json
from langroute.core.fast_dataclass import fast_dataclass
from langroute.steps.commands import looks_like_code
from langroute.steps.results import passed_tests, ran_badly
from langroute.steps.runners import only_a_runner_prints

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
        "exec_command",
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

LONGEST_NAME = 200
"""Longest tool name, in characters, that is examined; providers accept 64."""

_VIEWING = frozenset({"view", "read", "open", "list"})
_SIGNS = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@fast_dataclass
class Vocabulary:
    """Names of tools that edit, run and read; compared without case and punctuation.

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
        """Return `edit`, `run`, `read`, or `None` for a tool that is in no list."""
        if not name or not isinstance(name, str) or len(name) > LONGEST_NAME:
            return None
        found = self._families.get(name) or self._families.get(plain_name(name))
        if found == "edit" and isinstance(args, Mapping) and isinstance(told := args.get("command"), str):
            # One tool for all: what it was told decides.
            return "read" if told[:8].lower() in _VIEWING else found
        return found


def tool_name(tool: Mapping[str, Any]) -> str:
    """Return the name of a bound tool, in OpenAI's form or flat.

    Example:
        >>> tool_name({"type": "function", "function": {"name": "add"}}), tool_name({"name": "add"})
        ('add', 'add')
    """
    inner = tool.get("function")
    return str((inner if isinstance(inner, Mapping) else tool).get("name"))


def plain_name(name: str) -> str:
    """Return a tool's name without case and punctuation.

    Example:
        >>> plain_name("functions.ReadFile"), plain_name("str-replace")
        ('functions_read_file', 'str_replace')
    """
    return _SIGNS.sub("_", _CAMEL.sub("_", name).lower()).strip("_")


# Failed results ------------------------------------------------------------------------------------------------------

_STARTS_BADLY = re.compile(
    r"\s*(?:traceback \(most recent call last\)|(?:\w+\.)*\w*(?:error|exception)\b\s*(?::|\()|(?:an )?error(?:\b(?!s? (?:handling|log|page|rate))|:)"
    r"|fatal:|failed(?: to\b|:)|unable to\b|invalid (?:arguments?|input|request|parameters?)\b|tool (?:call )?failed)",
    re.IGNORECASE,
)
_BEGINNING = 400
_HEARSAY = 0.5
"""Failure degree of a result whose own text says that it failed, where the text may come from anybody."""


def is_certain(status: str | None, family: str | None) -> bool:
    """Return whether a failure is certain: reported by the framework, or by a tool that runs or edits things.

    Example:
        >>> is_certain("error", None), is_certain("success", "run"), is_certain("success", "read")
        (True, True, False)
    """
    return status == "error" or family in ("run", "edit")


def failure_of(status: str | None, text: str, family: str | None = None) -> float:
    """Return how much a tool's result looks like a failure: 0 fine, 1 failed.

    Args:
        status: `ToolMessage.status`; `error` is decisive.
        text: The result.
        family: Kind of the tool; see `Vocabulary.family`.

    Example:
        >>> failure_of("success", "12 passed, 0 failed, 0 errors", "run")
        0.0
        >>> failure_of("success", "bash: foo: command not found", "run")
        0.8
        >>> failure_of("success", "class ParserError(Exception): ...", "read")
        0.0
        >>> failure_of("success", "Error: page not found", "read")
        0.5
        >>> failure_of("error", "whatever")
        1.0
    """
    if status == "error":
        return 1.0
    if not text:
        return 0.0
    found = _told(text, family)
    return found if not found or is_certain(status, family) else min(found, _HEARSAY)


def _told(text: str, family: str | None) -> float:
    """Return the failure degree by a result's own text."""
    head = text[:_BEGINNING].lstrip()
    if head[:1] == "{" and (told := _told_in_json(text)) is not None:
        return told
    if family == "run":
        return ran_badly(text)
    # Whatever the tool: a result that begins like this says that there is none.
    return 0.8 if _STARTS_BADLY.match(head) else 0.0


def verdict_of_tests(status: str | None, text: str, family: str | None = None, args: Any = None) -> bool | None:
    """Return whether the tests that a tool ran have passed, as its result tells; `None` where it ran none, or does not tell.

    Only tools that run things are believed, and of commands only those of which nothing but what can run tests prints. What the result prints
    is foreign text all the same.

    Args:
        status: `ToolMessage.status`.
        text: The result.
        family: Kind of the tool; see `Vocabulary.family`.
        args: Arguments of the call.

    Example:
        >>> verdict_of_tests("success", "1 failed, 2 passed in 0.02s", "run", {"command": "pytest -q | tail -1"})
        False
        >>> verdict_of_tests("success", "3 passed in 0.02s", "run", {"command": "cat ci.log"}) is None
        True
        >>> verdict_of_tests("success", "3 passed in 0.02s", "run", {"command": "cd src && python -m pytest; echo $?"})
        True
    """
    if family != "run":
        return None
    told = _printed(text)
    passed = passed_tests(told)
    if passed is None or not _is_of_runner(args):
        return None
    # Something else failed, and perhaps before all of them were run.
    return None if passed and failure_of(status, text, family) >= 0.5 else passed


def _is_of_runner(args: Any) -> bool:
    """Return whether what a call printed comes from what can run tests alone. A tool that was given no command runs what it is for."""
    if isinstance(args, str):
        return only_a_runner_prints(args)
    if not isinstance(args, Mapping):
        return True
    if isinstance(action := args.get("action"), Mapping):
        # As OpenAI's shell tools have it.
        args = action
    if isinstance(several := args.get("commands"), (list, tuple)):
        return only_a_runner_prints("\n".join(map(str, several)))
    given = next((args[name] for name in ("command", "cmd", "script", "commands") if name in args), None)
    if given is None:
        # A program may print anything.
        return "code" not in args and not any(isinstance(value, str) and looks_like_code(value) for value in args.values())
    if isinstance(given, (list, tuple)):
        given = shlex.join(map(str, given))
    return isinstance(given, str) and only_a_runner_prints(given)


def _printed(text: str) -> str:
    """Return what a command printed, of a result that may have it in a JSON object."""
    value = parse_json(text) if text[:_BEGINNING].lstrip()[:1] == "{" else None
    if not isinstance(value, dict):
        return text
    return "\n".join(one for key in ("output", "stdout", "stderr") if isinstance(one := value.get(key), str))


def _told_in_json(text: str) -> float | None:
    value = parse_json(text)
    if not isinstance(value, dict):
        return None
    for key in ("exit_code", "exitCode", "returncode", "return_code"):
        if isinstance(value.get(key), (int, float)):
            return 0.9 if value[key] else 0.0
    if value.get("isError") is True or value.get("is_error") is True or value.get("success") is False or value.get("ok") is False:
        return 0.9
    return 0.8 if value.get("error") else None
