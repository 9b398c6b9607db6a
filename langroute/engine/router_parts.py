"""What a router is given: its policy by object or name, and checks of the parts that users write."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import RouteInfo
from langroute.policies.default import default_policy, policy_by_name
from langroute.policies.fallback import with_fallback, without_fallback


def resolved_policy(given: Any, infos: Sequence[RouteInfo], verify: bool, style: Any, retries: int | None, fallback: bool) -> Any:
    """Return the policy that is meant: an object, a name, or the default; with the style's pin, and with `Fallback` around it."""
    if isinstance(given, str):
        made, given = policy_by_name(given, infos).policy, None
    else:
        made = default_policy(infos, verify=verify).policy if given is None else without_fallback(given)
    pinned = made if style is None else style.pinned(made)
    return with_fallback(given if pinned is made and given is not None else pinned, retries=retries, wanted=fallback)


def check_parts(policy: Any, ledger: Any, hooks: Any, inspector: Any) -> None:
    """Raise for an invalid policy, ledger, hook or inspector now: later it would only degrade every call."""
    for role, part, methods in (
        ("policy", policy, ("select",)),
        ("ledger", ledger, ("record",)),
        ("inspector", inspector, ("inspect",)),
    ):
        named = (role == "ledger" and isinstance(part, (str, PathLike))) or (role == "policy" and isinstance(part, str))
        if part is not None and not named:
            _check_part(role, part, methods)
    if isinstance(hooks, (str, Mapping)) or not isinstance(hooks, Iterable):
        raise ConfigurationError(f"Give hooks as a list, not as a {type(hooks).__name__}.")
    for hook in hooks:
        _check_part("hook", hook, ("on_decision", "on_outcome"))
    if inspect.iscoroutinefunction(getattr(policy, "select", None)):
        raise ConfigurationError(
            f"{type(policy).__name__}.select is a coroutine function: call it `aselect`, and add a plain `select`."
        )


_FROM_TEXT = {
    "policy": "A policy is an object or a name, not a path: write load_policy({0!r}) for a directory that `langroute fit` wrote, "
    "from langroute.policies.learned.",
}


_FORMS = {"ledger": " It may be given as a path or URL, such as 'ledger.db'."}


def _check_part(role: str, part: Any, methods: Sequence[str]) -> None:
    if inspect.isclass(part):
        raise ConfigurationError(f"A {role} is an object, not the class {part.__name__}: write {part.__name__}().")
    if isinstance(part, (str, PathLike)) and role in _FROM_TEXT:
        raise ConfigurationError(_FROM_TEXT[role].format(str(part)))
    if not any(callable(getattr(part, method, None)) for method in methods):
        raise ConfigurationError(
            f"A {role} has a method {' or '.join(map(repr, methods))}; {type(part).__name__} has none.{_FORMS.get(role, '')}"
        )
