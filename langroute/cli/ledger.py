"""`langroute export`: what was recorded, as traffic to fit and replay policies on."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

import click

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.errors import InputError
from langroute.ledger.export import export_traffic
from langroute.reports.window import Window


@click.command()
@ledger_option
@click.option("--since", metavar="TIME", default="all", show_default=True, help="7d, 2w, 36h, a date such as 2026-11-01, or all.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; standard output by default.")
def export(ledger: str, since: str, output: Path | None) -> None:
    """Write a ledger as traffic, one JSON object a line.

    Messages are there only where the ledger keeps text (level `full`). Outcomes told of a decision or its task become scores.
    """
    window = Window.since(since)
    count = 0
    with open_existing(ledger) as opened, _stream(output) as stream:
        for line in export_traffic(opened, since=window.start or 0.0, until=window.end):
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} requests", err=True)


def _stream(output: Path | None) -> AbstractContextManager[TextIO]:
    return _piped() if output is None else _private(output)


@contextmanager
def _piped() -> Iterator[TextIO]:
    """Standard output as UTF-8, as JSON is, whatever the terminal speaks."""
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    try:
        yield stream
    finally:
        # Written out, and standard output left open.
        stream.detach()


@contextmanager
def _private(path: Path) -> Iterator[TextIO]:
    """A file that only its owner may read: it may hold what people wrote. It is there when all of it is, so that nobody fits a part."""
    # A pipe or a device cannot be replaced.
    fresh = path if path.exists() and not path.is_file() else path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            yield stream
        if fresh != path:
            fresh.replace(path)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
    finally:
        if fresh != path:
            fresh.unlink(missing_ok=True)
