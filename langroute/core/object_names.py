"""Import of an object that is named as `module:attribute`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from langroute.core.errors import ConfigurationError


def object_at(name: str, what: str, method: str) -> Any:
    """Return the object that `module:attribute` names; a class is called without arguments.

    Args:
        name: `module:attribute`, as a user writes it.
        what: What the object is for, for the error message.
        method: Name of a method that the object must have.

    Raises:
        ConfigurationError: There is no such object, its module or class cannot be used, or it lacks the method.

    Example:
        >>> object_at("langroute.hooks.memory:Missing", "hook", "on_alert")
        Traceback (most recent call last):
        langroute.core.errors.ConfigurationError: The hook 'langroute.hooks.memory:Missing' cannot be had: ModuleNotFoundError: No module named 'langroute.hooks.memory'
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute or module.startswith(".") or "/" in module:
        raise ConfigurationError(f"A {what} is named as module:attribute, not {name!r}.")
    try:
        found = getattr(import_module(module), attribute)
        found = found() if isinstance(found, type) else found
    # A foreign module may do anything when it is imported, `sys.exit(0)` included.
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"The {what} {name!r} cannot be had: {told(error)}") from error
    if not callable(getattr(found, method, None)):
        kind = type(found).__name__
        raise ConfigurationError(f"The {what} {name!r} has no method `{method}`: it is of the type {kind}.")
    return found


def told(error: BaseException) -> str:
    r"""Return an error's class and the first line of its message.

    Example:
        >>> told(ValueError("first\nsecond")), told(KeyError("a"))
        ('ValueError: first', "KeyError: 'a'")
    """
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
