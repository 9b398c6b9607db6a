"""The `--ledger` option, and how commands open an existing ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from langroute.core.errors import LedgerError
from langroute.core.urls import shown_url
from langroute.ledger import open_ledger
from langroute.ledger.connection import holds_ledger, said_by


def ledger_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the option `--ledger`."""
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
    """Open an existing ledger; a mistyped path or URL creates nothing, and another program's database is left unchanged.

    Args:
        where: A path or a URL.
        options: Further arguments of `open_ledger`.

    Raises:
        LedgerError: There is none, or the database fails while it is read.
    """
    if not holds_ledger(where):
        raise LedgerError(
            f"There is no ledger at {shown_url(where)!r}. Name it with --ledger or LANGROUTE_LEDGER; a router makes one where it is "
            "given it: ChatRouter(routes, ledger='ledger.db'), or runs with LANGROUTE_LEDGER set."
        )
    try:
        with open_ledger(where, **options) as opened:
            yield opened
    except SQLAlchemyError as error:
        raise LedgerError(f"The ledger cannot be read: {said_by(error)}") from error
