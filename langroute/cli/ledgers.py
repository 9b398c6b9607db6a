"""Which ledger does a command read?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from langroute.errors import LedgerError
from langroute.ledger import open_ledger
from langroute.ledger.reaching import holds_ledger, said_by


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
    """Open a ledger that is there already: a mistyped path or URL makes no new one, and another program's database is left as it is.

    Args:
        where: A path or a URL.
        options: What else `open_ledger` takes.

    Raises:
        LedgerError: There is none, or the database fails while it is read.
    """
    if not holds_ledger(where):
        # A URL is shown without its password.
        shown = make_url(where).render_as_string() if "://" in where else where
        raise LedgerError(f"There is no ledger at {shown!r}. Name it with --ledger or LANGROUTE_LEDGER.")
    try:
        with open_ledger(where, **options) as opened:
            yield opened
    except SQLAlchemyError as error:
        raise LedgerError(f"The ledger cannot be read: {said_by(error)}") from error
