"""Which commands can run tests, and of which nothing else can have printed the result.

Text that stands in a repository, in a log or on a page may look like a run of tests. A summary is evidence where a program that is known to
run tests is the only one that printed; there is no list of programs that show texts, because whatever is not known may do so.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise

from langroute.steps.commands import Command, is_assignment, looks_like_code, pipelines
from langroute.steps.results import passed_tests

_RUNNERS = frozenset(
    [
        "ant", "ava", "bats", "behave", "cucumber", "ctest", "cypress", "gmake", "gotestsum", "gradle", "gradlew", "jasmine", "jest", "just", "karma",
        "make", "meson", "mocha", "mvn", "mvnw", "ninja", "nose2", "nosetests", "nox", "phpunit", "playwright", "prove", "py.test", "pytest", "rake",
        "rspec", "sbt", "tap", "task", "tox", "unittest", "vitest",
    ]
)  # fmt: skip
"""Programs that run tests, or whatever a project says, tests included."""

_SHELLS = frozenset(["bash", "sh", "zsh"])
_WRAPPERS = frozenset(["env", "nice", "nohup", "stdbuf", "sudo", "time", "timeout", "xvfb-run"])
"""Programs that start the program which their arguments begin with."""

_CONTAINERS = frozenset(["docker", "docker-compose", "podman"])
_LAUNCHERS = _SHELLS | _WRAPPERS | frozenset(
    [
        "bazel", "bun", "bundle", "bunx", "cargo", "cmake", "composer", "conda", "coverage", "deno", "dotnet", "flutter", "go", "hatch", "java", "mix", "node",
        "npm", "npx", "pdm", "perl", "php", "pipenv", "pixi", "pnpm", "poetry", "python", "python3", "ruby", "rye", "swift", "tsx", "uv", "uvx", "yarn", "zig",
    ]
)  # fmt: skip
"""Programs that run tests where their arguments say so: interpreters, package managers, and what starts another program."""

_RUNS = frozenset(["exec", "run", "run-script"])
"""First arguments behind which stands what is started."""

_INSTALLS = frozenset(["add", "ci", "i", "install", "remove", "uninstall"])
_ASKS = frozenset(["--help", "--version", "-V", "-h", "help", "version"])
"""First arguments with which a program tells of itself."""

_SILENT = frozenset(
    [
        ":", "[", "[[", "break", "cd", "chmod", "continue", "cp", "exit", "export", "false", "for", "mkdir", "mv", "popd", "pushd", "rm", "set", "sleep", "test",
        "touch", "true", "unset", "wait",
    ]
)  # fmt: skip
"""What the shell does by itself, and programs that print nothing where they do what they are told."""

_PASS_ON = {
    "cat": 0,
    "cut": 0,
    "egrep": 1,
    "grep": 1,
    "head": 0,
    "less": 0,
    "more": 0,
    "rg": 1,
    "sort": 0,
    "tail": 0,
    "tr": 2,
    "uniq": 0,
}
"""Program that passes on what it reads, or a part of it → the arguments that it takes beside options, before the names of files."""

_NUMBER = re.compile(r"[+-]?[0-9.]+[a-zA-Z]?")
_VERSION = re.compile(r"(?<=[a-z])[-0-9.]+$")
"""What the name of an interpreter or a runner may end with: `python3.12`, `pytest-3`."""

_CODES = re.compile(r"\$\?|\$\{PIPESTATUS\[[0-9@*]\]\}")
"""Codes of exits, which are numbers."""

_PATH = re.compile(r"[\w./:@+-]+")
_SUBCOMMAND = re.compile(r"tests?(?:[:-][\w:-]+)?")
"""What package managers and scripts call a run of tests: `test`, `test:unit`."""

_DEEPEST = 8
"""Most programs that start each other, which are followed."""


def only_a_runner_prints(command: str) -> bool:
    """Return whether all that a command prints comes from what can run tests.

    Example:
        >>> [only_a_runner_prints(one) for one in ("cd src && pytest -q 2>&1 | tail -5", "pytest; echo done", "bash -lc 'make check'")]
        [True, True, True]
        >>> [only_a_runner_prints(one) for one in ("pytest; cat ci.log", "pytest | tail -5 ci.log", "pytest > log; tail log", "gh run view --log")]
        [False, False, False, False]
        >>> [only_a_runner_prints(one) for one in ("python -m unittest", "npm run test:unit")]
        [True, True]
        >>> [only_a_runner_prints(one) for one in ("pytest --version", "python a.py", "npm install jest")]
        [False, False, False]
    """
    return _only_runners(command, 0)


def _only_runners(command: str, depth: int) -> bool:
    runs = False
    for stages in pipelines(command):
        if _runs_tests(stages[0], depth) and not stages[0].writes_file and all(map(_passes_on, stages[1:])):
            runs = True
        elif not _prints_nothing(stages):
            return False
    return runs


def _prints_nothing(stages: tuple[Command, ...]) -> bool:
    """Return whether a pipeline prints nothing that is not known: nothing at all, what another one has printed, or its own words."""
    first, *others = stages
    if stages[-1].writes_file:
        return True
    if not first.program:
        return all(map(_passes_on, others))
    return not others and (first.program in _SILENT or _prepares(first) or _says_its_words(first))


def _prepares(command: Command) -> bool:
    """Return whether a command turns on a virtual environment."""
    first = _unquoted(command.arguments[0]) if command.arguments else ""
    return (command.program in ("source", ".") and first.endswith("/activate")) or (
        command.program == "conda" and first == "activate"
    )


def _says_its_words(command: Command) -> bool:
    """Return whether a command prints its own arguments, and those are no summary of tests."""
    words = [_CODES.sub("", word) for word in command.arguments]
    if command.program not in ("echo", "printf") or any("$" in word or "`" in word for word in words):
        return False
    return passed_tests(" ".join(map(_unquoted, words))) is None


def _passes_on(command: Command) -> bool:
    """Return whether a command prints nothing but what a pipe hands to it."""
    if command.reads_file:
        return False
    if command.program == "tee":
        return True
    most = _PASS_ON.get(command.program, -1)
    return len([one for one in command.arguments if not one.startswith("-") and not _NUMBER.fullmatch(one)]) <= most


def _runs_tests(command: Command, depth: int) -> bool:
    """Return whether a command can have run tests. One that only installs a runner, or asks for its version, has not."""
    program, arguments = _without_version(command.program), command.arguments
    if depth > _DEEPEST or (arguments and arguments[0] in _ASKS):
        return False
    # A project's own script, such as `run_tests.sh`; `test` alone is the shell's.
    if program in _RUNNERS or (program != "test" and _is_of_tests(program)):
        return True
    if program in _SHELLS and (given := _given(arguments)) is not None:
        return _only_runners(given, depth + 1)
    words = [at for at, word in enumerate(arguments) if not (word.startswith("-") or is_assignment(word))]
    if program in _WRAPPERS:
        # Seconds, or how nice.
        words = [at for at in words if not _NUMBER.fullmatch(arguments[at])]
    if program in _CONTAINERS:
        return _runs_in_container(arguments, words, depth)
    return program in _LAUNCHERS and _starts_tests(command, words, depth)


def _starts_tests(command: Command, words: list[int], depth: int) -> bool:
    """Return whether a launcher's arguments say that it runs tests. What they name behind a program that is not known is an argument of that."""
    arguments = command.arguments
    if any(arguments[at] in _INSTALLS for at in words[:2]):
        return False
    if words and arguments[words[0]] in _RUNS:
        words = words[1:]
    if not words:
        return "--test" in arguments
    name = _unquoted(arguments[words[0]])
    if _is_known(program := _program(name)):
        return _runs_tests(Command(program, arguments[words[0] + 1 :]), depth + 1)
    if _PATH.fullmatch(name) and _is_of_tests(name):
        return True
    if command.program in _WRAPPERS or looks_like_code(name):
        # What stands behind a program's text (`python -c '…'`) is an argument of that.
        return False
    return "--test" in arguments or any(_names_run(arguments[at]) for at in words[1:])


def _runs_in_container(arguments: tuple[str, ...], words: list[int], depth: int) -> bool:
    """Return whether what is started in a container runs tests: the first program that is known behind `run` or `exec`."""
    if _RUNS.isdisjoint([arguments[at] for at in words[:2]]):
        return False
    for at in words:
        if _is_known(name := _program(arguments[at])):
            return _runs_tests(Command(name, arguments[at + 1 :]), depth + 1)
    return False


def _program(word: str) -> str:
    return _without_version(_unquoted(word).rpartition("/")[2])


def _without_version(program: str) -> str:
    plain = _VERSION.sub("", program)
    return plain if _is_known(plain) else program


def _is_known(program: str) -> bool:
    return program in _RUNNERS or program in _LAUNCHERS


def _given(arguments: tuple[str, ...]) -> str | None:
    """Return the command that a shell was given as an argument (`bash -lc '…'`); `None` where there is none."""
    for option, following in pairwise(arguments):
        if option.startswith("-") and not option.startswith("--") and option.endswith("c"):
            return _unquoted(following)
    return None


def _unquoted(word: str) -> str:
    """Return what a word of a command comes to without its quotes; itself where they are not closed."""
    if not any(sign in word for sign in "'\"\\"):
        return word
    try:
        return " ".join(shlex.split(word, comments=False))
    except ValueError:
        return word


def _names_run(argument: str) -> bool:
    name = _unquoted(argument)
    return name in _RUNNERS or _SUBCOMMAND.fullmatch(name) is not None


def _is_of_tests(name: str) -> bool:
    # An image's or a package's newest version is no test.
    return "test" in name.lower().replace("latest", "")


__all__ = ["only_a_runner_prints"]
