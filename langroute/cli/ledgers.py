"""Which ledger does a command read?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from langroute.errors import LedgerError
from langroute.ledger import open_ledger


def ledger_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--ledger`."""
    return click.option(
        "--ledger",
        metavar="URL",
        envvar="LANGROUTE_LEDGER",
        default="ledger.db",
        show_default=True,
        show_envvar=True,
        help="A path (SQLite) or a URL (sqlite:///..., postgresql://...).",
    )(command)


@contextmanager
def open_existing(where: str, **options: Any) -> Iterator[Any]:
    """Open a ledger that is there already: a mistyped path makes no new one.

    Args:
        where: A path or a URL.
        options: What else `open_ledger` takes.

    Raises:
        LedgerError: There is none.
    """
    path = where.removeprefix("sqlite:///")
    if "://" not in path and not Path(path).is_file():
        raise LedgerError(f"There is no ledger at {path!r}. Name it with --ledger or LANGROUTE_LEDGER.")
    with open_ledger(where, **options) as opened:
        yield opened
