"""The options `--engine` and `--resume`: what works through traffic, and where it keeps what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from langroute.core.errors import InputError


def engine_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the option `--engine`."""
    return click.option(
        "--engine",
        "named",
        metavar="ray[://ADDRESS]",
        callback=_check,
        help="Spread the work over a Ray cluster; needs langroute[ray]. This process by default.",
    )(command)


def resume_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the option `--resume`."""
    return click.option(
        "--resume",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Keep what pieces came to; run again, it goes on.",
    )(command)


def engine_of(named: str | None, resume: Path | None = None) -> Any:
    """Return the engine of a name; `None` for this process.

    Args:
        named: What the option says.
        resume: Folder that keeps what each piece came to.

    Raises:
        InputError: There is a folder and no engine.
    """
    if named is None:
        if resume is not None:
            raise InputError("One process keeps no pieces: leave out --resume, or give --engine ray.")
        return None
    from langroute.learning.kept_pieces import KeptPieces
    from langroute.learning.ray_engine import RayEngine

    told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= 1 or done == total:
            told = time.monotonic()
            click.echo(f"{done:,} of {total:,} pieces", err=True)

    return RayEngine(None if named == "ray" else named, progress, None if resume is None else KeptPieces(resume))


def _check(_: Any, __: Any, value: str | None) -> str | None:
    if value is not None and value != "ray" and not value.startswith("ray://"):
        raise click.BadParameter("there is ray, or ray://host:port for a cluster elsewhere")
    return value
