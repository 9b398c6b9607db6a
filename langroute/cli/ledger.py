"""`langroute export`: write recorded decisions as traffic for fitting and replay."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TextIO

import click

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.options import since_option
from langroute.core.errors import InputError
from langroute.core.storable import strict_json
from langroute.core.writing import replacing
from langroute.ledger.export import export_traffic
from langroute.reports.window import Window, day_name


@click.command()
@ledger_option
@since_option("all")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Where to write; standard output by default.")
@click.option(
    "--parquet",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write a lake instead: all rows as Parquet, a folder for each day.",
)
def export(ledger: str, since: str, output: Path | None, parquet: Path | None) -> None:
    """Write a ledger as traffic, one JSON object a line.

    Messages are there only where the ledger keeps text (level `full`). Outcomes told of a decision or its task become scores.

    With --parquet, `report`, `advise`, `analyze`, `fit` and `replay` read the folder as they read a ledger or a file. Each day is written
    anew; run again after it was stopped, an export goes on.
    """
    window = Window.since(since)
    if parquet is not None:
        if output is not None:
            raise InputError("Name a file with --output, or a folder with --parquet; not both.")
        _to_lake(ledger, window, parquet)
        return
    count = 0
    with open_existing(ledger) as opened, _stream(output) as stream:
        for line in export_traffic(opened, since=window.start or 0.0, until=window.end):
            stream.write(strict_json(line, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} requests", err=True)


def _to_lake(ledger: str, window: Window, folder: Path) -> None:
    from langroute.ledger.lake_export import LakeExport

    if not window.whole_days:
        raise InputError("A lake has whole days: give --since as 7d, 2w, a date or all.")
    told = time.monotonic()

    def progress(day: int, done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 1 or done == total:
            told = time.monotonic()
            click.echo(f"{day_name(day)}: {done:,} of {total:,} days", err=True)

    with open_existing(ledger) as opened:
        days = LakeExport(opened, folder, window.first_day, window.last_day, progress).run()
    click.echo(f"{days:,} days are in {folder}", err=True)


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
