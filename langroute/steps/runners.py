"""Which commands can run tests: test runners, build tools, and what runs another program that is named like one."""

from __future__ import annotations

from langroute.steps.commands import Command

_RUNNERS = frozenset(
    [
        "ant", "ava", "bats", "behave", "cucumber", "ctest", "cypress", "gmake", "gotestsum", "gradle", "gradlew", "jasmine", "jest", "just", "karma",
        "make", "meson", "mocha", "mvn", "mvnw", "ninja", "nose2", "nosetests", "nox", "phpunit", "playwright", "prove", "py.test", "pytest", "rake",
        "rspec", "sbt", "tap", "task", "tox", "unittest", "vitest",
    ]
)  # fmt: skip
"""Programs that run tests, or whatever a project says, tests included."""

_LAUNCHERS = frozenset(
    [
        "bash", "bazel", "bun", "bundle", "bunx", "cargo", "cmake", "composer", "conda", "coverage", "deno", "docker", "docker-compose", "dotnet", "env",
        "flutter", "go", "hatch", "java", "mix", "nice", "node", "npm", "npx", "pdm", "perl", "php", "pipenv", "pixi", "pnpm", "podman", "poetry",
        "python", "python3", "ruby", "rye", "sh", "sudo", "swift", "timeout", "tsx", "uv", "uvx", "xvfb-run", "yarn", "zig", "zsh",
    ]
)  # fmt: skip
"""Programs that run tests where their arguments say so: interpreters, package managers, and what starts another program."""

_INSTALLS = frozenset(["add", "ci", "i", "install", "remove", "uninstall"])
_ASKS = frozenset(["--help", "--version", "-V", "-h", "help", "version"])
"""First arguments with which a program tells of itself."""


def can_run_tests(command: Command) -> bool:
    """Return whether a command can have run tests. One that only installs a runner, or asks for its version, has not.

    Example:
        >>> [can_run_tests(Command(*one)) for one in (("pytest", ("-q",)), ("python", ("-m", "unittest")), ("npm", ("run", "test:unit")))]
        [True, True, True]
        >>> [can_run_tests(Command(*one)) for one in (("pytest", ("--version",)), ("python", ("a.py",)), ("npm", ("install", "jest")))]
        [False, False, False]
    """
    first = command.arguments[0] if command.arguments else ""
    if first in _ASKS:
        return False
    # A project's own script, such as `run_tests.sh`; `test` alone is the shell's.
    if command.program in _RUNNERS or (command.program != "test" and _is_of_tests(command.program)):
        return True
    return command.program in _LAUNCHERS and first not in _INSTALLS and any(map(_names_tests, command.arguments))


def _names_tests(argument: str) -> bool:
    return argument.strip("'\"").rpartition("/")[2] in _RUNNERS or _is_of_tests(argument)


def _is_of_tests(name: str) -> bool:
    # An image's or a package's newest version is no test.
    return "test" in name.lower().replace("latest", "")


__all__ = ["can_run_tests"]
