"""Which object is meant by `module:attribute`?"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from langroute.errors import ConfigurationError


def object_at(name: str, what: str, method: str) -> Any:
    """The object that `module:attribute` names; a class is called without arguments.

    Args:
        name: As a user writes it.
        what: What it is for, in the words of an error.
        method: What it must be able to do.

    Raises:
        ConfigurationError: There is no such object, its module or class cannot be used, or it lacks the method.

    Example:
        >>> object_at("langroute.hooks.memory:Missing", "hook", "on_alert")
        Traceback (most recent call last):
        langroute.errors.ConfigurationError: The hook 'langroute.hooks.memory:Missing' cannot be had: ModuleNotFoundError: No module named 'langroute.hooks.memory'
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute or module.startswith(".") or "/" in module:
        raise ConfigurationError(f"A {what} is named as module:attribute, not {name!r}.")
    try:
        found = getattr(import_module(module), attribute)
        found = found() if isinstance(found, type) else found
    # Whatever somebody's module does when it is imported, to end the program with success among it.
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"The {what} {name!r} cannot be had: {told(error)}") from error
    if not callable(getattr(found, method, None)):
        kind = type(found).__name__
        raise ConfigurationError(f"The {what} {name!r} has no method `{method}`: it is of the type {kind}.")
    return found


def told(error: BaseException) -> str:
    r"""What an error says, in one line.

    Example:
        >>> told(ValueError("first\nsecond")), told(KeyError("a"))
        ('ValueError: first', "KeyError: 'a'")
    """
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
