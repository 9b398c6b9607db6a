"""Step kinds by name: which are known, and the error of one that is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from langroute.core.errors import ConfigurationError
from langroute.core.records import KINDS


def kinds_named(part: Any) -> Iterable[str]:
    """Return the step kinds that a policy declares it distinguishes (`kinds_named`).

    Example:
        >>> from langroute.policies.rules import Rule, Rules
        >>> list(kinds_named(Rules([Rule("cheap", kind="title")])))
        ['title']
    """
    named = getattr(part, "kinds_named", None)
    return named() if callable(named) else ()


def check_kinds(named: Iterable[str], inspector: Any, where: str) -> None:
    """Raise where a step kind is named that no step can have.

    Args:
        named: Step kinds.
        inspector: Tells the steps' kinds. Where it does not say which it knows (`known_kinds`), all names are accepted.
        where: Who names them.

    Raises:
        ConfigurationError: There is no such kind.
    """
    own = getattr(inspector, "known_kinds", None)
    if own is None:
        return
    known = [*KINDS, *sorted({*own} - {*KINDS})]
    for kind in named:
        if kind not in known:
            close = difflib.get_close_matches(str(kind), known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigurationError(
                f"{where[:1].upper()}{where[1:]} names the step kind {kind!r}, which no step has.{meant} Kinds: {', '.join(known)}; "
                f"one of your own is declared with Inspector(kinds={{{str(kind)[:40]!r}: a function, or None where callers say it}})."
            )
