"""`langroute export`: write recorded decisions as traffic for fitting and replay."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

import click

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.options import since_option
from langroute.core.storable import strict_json
from langroute.core.writing import replacing
from langroute.ledger.export import export_traffic
from langroute.reports.window import Window


@click.command()
@ledger_option
@since_option("all")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; standard output by default.")
def export(ledger: str, since: str, output: Path | None) -> None:
    """Write a ledger as traffic, one JSON object a line.

    Messages are there only where the ledger keeps text (level `full`). Outcomes told of a decision or its task become scores.
    """
    window = Window.since(since)
    count = 0
    with open_existing(ledger) as opened, _stream(output) as stream:
        for line in export_traffic(opened, since=window.start or 0.0, until=window.end):
            stream.write(strict_json(line, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} requests", err=True)


def _stream(output: Path | None) -> AbstractContextManager[TextIO]:
    return _piped() if output is None else replacing(output)


@contextmanager
def _piped() -> Iterator[TextIO]:
    """Yield standard output as UTF-8, as JSON requires, whatever the terminal's encoding."""
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    try:
        yield stream
    finally:
        # Flushes, and leaves standard output open.
        stream.detach()
