"""`langroute demo`: measure what routing saves on a coding agent on this machine."""

from __future__ import annotations

import json
import os
import platform
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from langroute.cli.autopilot import show_family
from langroute.cli.local import directory_option, fetch_with_bar
from langroute.cli.options import format_option
from langroute.core.errors import ConfigurationError
from langroute.core.files import make_folder
from langroute.core.sqlite import open_readonly
from langroute.core.writing import write_together
from langroute.demo.answers import remembering
from langroute.demo.compare import POLICIES, STEPS, Comparison, Solved, compare
from langroute.demo.learning import RUN, LearnedStream, learn
from langroute.demo.page import write_page
from langroute.demo.tasks import QUICK, DemoTask, tasks
from langroute.ledger import open_ledger
from langroute.local.catalogue import CATALOGUE
from langroute.local.places import is_fetched
from langroute.local.servers import default_threads, serve
from langroute.policies.autopilot_status import told_apart
from langroute.reports.autopilots import said_of
from langroute.routes.route import Route, identity, resolve

TIERS = ("cheap", "frontier")
LOCAL = "smollm2-135m,qwen2.5-coder-1.5b"


@click.command()
@click.option("--quick", is_flag=True, help=f"{len(QUICK)} tasks rather than {len(tasks())}.")
@click.option(
    "--task", "names", multiple=True, type=click.Choice([task.name for task in tasks()]), help="Only this task; may be repeated."
)
@click.option(
    "--models",
    metavar="CHEAP,FRONTIER",
    default=LOCAL,
    show_default=True,
    help="Local models, or models of providers such as openai:gpt-5-nano,openai:gpt-5.1, whose keys are in the environment.",
)
@click.option("--autopilot", "learns", is_flag=True, help="Then let an autopilot learn on a stream of these tasks.")
@click.option("--count", type=click.IntRange(min=20), default=1200, show_default=True, help="Tasks of that stream.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="Cores a local model may use; those that are free by default, four at most."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("langroute-demo"),
    show_default=True,
    help="Where the page, the numbers and the ledger go.",
)
@format_option("table", "json")
@directory_option
def demo(
    quick: bool,
    names: tuple[str, ...],
    models: str,
    learns: bool,
    count: int,
    threads: int | None,
    output: Path,
    form: str,
    directory: Path | None,
) -> None:
    """Run a coding agent always cheap, always frontier and routed, and compare.

    The agent plans, writes, tests, repairs and summarizes small Python functions. Local models are fetched (1.2 GB for the two) where
    they are not here yet.
    """
    console = Console(stderr=True)
    chosen = tasks(names or (QUICK if quick else None))
    ledger_file = _fresh_ledger(output)
    begun = time.perf_counter()
    with _stopped_by_signals(), ExitStack() as stack:
        routes = stack.enter_context(demo_routes(models, threads, directory, console))
        ledger = stack.enter_context(open_ledger(ledger_file))
        with _bars(chosen, console) as heard:
            runs = compare(routes, chosen, ledger=ledger, heard=heard)
        comparison = Comparison(
            runs=runs,
            models={name: str(identity(route.model)[1]) for name, route in routes.items()},
            date=datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            machine=f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            elapsed_s=time.perf_counter() - begun,
        )
        learned = _learned(routes, chosen, comparison, count, ledger, console) if learns else None
    found = comparison.as_dict() | ({"autopilot": learned.as_dict()} if learned is not None else {})
    numbers, page = json.dumps(found, indent=2), write_page(comparison, learned)
    write_together({output / "results.json": numbers.encode(), output / "report.html": page.encode()})
    if form == "json":
        click.echo(json.dumps(found))
    else:
        _show(comparison, output)
        if learned is not None:
            _show_learned(learned, output)


def _fresh_ledger(output: Path) -> Path:
    """Return the path of this demo's ledger; an earlier demo's ledger is replaced, anything else is never touched.

    Raises:
        ConfigurationError: The directory cannot be used.
    """
    try:
        make_folder(output)
    except OSError as error:
        raise ConfigurationError(f"{str(output)!r} cannot be made: {error.strerror}. Name another directory with -o.") from error
    if not os.access(output, os.W_OK):
        raise ConfigurationError(f"{str(output)!r} cannot be written to. Name another directory with -o.")
    found = output / "ledger.db"
    if found.exists() and not _of_a_demo(found):
        raise ConfigurationError(f"{str(found)!r} is not an earlier demo's, and would be lost. Name another directory with -o.")
    found.unlink(missing_ok=True)
    return found


def _of_a_demo(ledger: Path) -> bool:
    """Return whether every task in a ledger belongs to a demo run."""
    try:
        with open_readonly(ledger) as connection:
            return all(name.partition("/")[0] in (*POLICIES, RUN) for (name,) in connection.execute("SELECT id FROM tasks"))
    except sqlite3.Error:
        return False


@contextmanager
def demo_routes(models: str, threads: int | None, directory: Path | None, console: Console) -> Iterator[dict[str, Route]]:
    """Start the models of the demo, and yield the routes to them."""
    names = [name.strip() for name in models.split(",")]
    if len(names) != len(TIERS) or not all(names):
        raise ConfigurationError(f"--models takes two names, the cheap one first: {LOCAL}, or openai:gpt-5-nano,openai:gpt-5.1")
    with ExitStack() as stack:
        for name in names:
            if name in CATALOGUE and not is_fetched(name, directory):
                fetch_with_bar(CATALOGUE[name], directory, console)
        # Determined once for both servers, because they are compared.
        threads = threads or default_threads()
        routes = {}
        for tier, name in zip(TIERS, names, strict=True):
            if name not in CATALOGUE:
                routes[tier] = Route(remembering(resolve(name, tier)))
                continue
            with console.status(f"{name} is loading"):
                server = stack.enter_context(serve(name, directory=directory, threads=threads))
            routes[tier] = server.route(remembering(server.chat_model()))
        yield routes


@contextmanager
def _bars(chosen: tuple[DemoTask, ...], console: Console) -> Iterator[Any]:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[said]}"), console=console) as progress:
        bars = {name: progress.add_task(name, total=len(chosen), said="", start=False) for name in POLICIES}
        solved = dict.fromkeys(POLICIES, 0)
        order = list(POLICIES)
        progress.start_task(bars[order[0]])

        def heard(run: str, one: Solved) -> None:
            solved[run] += one.solved
            progress.start_task(bars[run])
            progress.update(bars[run], advance=1, said=f"{solved[run]} solved; {one.task}")
            if progress.tasks[bars[run]].finished and run != order[-1]:
                progress.start_task(bars[order[order.index(run) + 1]])

        yield heard


def _learned(
    routes: Mapping[str, Route], chosen: tuple[DemoTask, ...], comparison: Comparison, count: int, ledger: Any, console: Console
) -> LearnedStream:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[said]}"), console=console) as progress:
        bar, said = progress.add_task(RUN, total=count, said=""), 0

        def heard(done: int, changes: Sequence[Mapping[str, Any]]) -> None:
            nonlocal said
            for change in changes[said:]:
                console.print(f"task {done}: {said_of(change)}", highlight=False, markup=False)
            said = max(said, len(changes))
            progress.update(bar, completed=done, said=f"{said} changes of mind")

        return learn(routes, chosen, comparison, count=count, ledger=ledger, heard=heard)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM unwind the program, as Ctrl-C does, so that no process is left running."""

    def end(*_: object) -> None:
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(comparison: Comparison, output: Path) -> None:
    console = Console()
    runs = Table(Column("run", no_wrap=True), "solved", "calls", "tokens in", "tokens out", "cost, USD", "seconds")
    for run in comparison.runs:
        cost = "unknown" if run.cost_usd is None else f"{run.cost_usd:.5f}"
        runs.add_row(
            run.name,
            f"{run.solved} of {len(run.tasks)}",
            str(run.calls),
            f"{run.input_tokens:,}",
            f"{run.output_tokens:,}",
            cost,
            f"{run.seconds:.0f}",
        )
    console.print(runs)
    steps = Table("step", *(run.name for run in comparison.runs))
    for step in STEPS:
        steps.add_row(step, *(_ways(run.went.get(step, {})) for run in comparison.runs))
    console.print(steps)
    if comparison.saved is not None:
        routed, frontier = comparison.run("routed"), comparison.run("always frontier")
        console.print(
            f"Routed solved {routed.solved} tasks, always frontier {frontier.solved}, at {comparison.saved:.0%} lower cost. "
            f"{comparison.elapsed_s:.0f} s in all: answers to the same request are shared by the runs, billed and timed as called.",
            highlight=False,
        )
    example = next((task.decision_id for task in comparison.run("routed").tasks if task.decision_id), None)
    click.echo(f"Page: {output / 'report.html'}    Numbers: {output / 'results.json'}")
    if example:
        click.echo(f"Why a route was chosen: langroute explain {example} --ledger {output / 'ledger.db'}")


def _show_learned(learned: LearnedStream, output: Path) -> None:
    console = Console()
    stream = Table("autopilot, tasks", "solved", "frontier solves", "cost, USD", "frontier costs, USD", "saved")
    done = 0
    for one in learned.stretches:
        cost, frontier = ("unknown" if usd is None else f"{usd:.5f}" for usd in (one.cost_usd, one.frontier_usd))
        saved = "unknown" if one.saved is None else f"{one.saved:.0%}"
        stream.add_row(f"{done + 1} to {done + one.tasks}", str(one.solved), str(one.frontier_solved), cost, frontier, saved)
        done += one.tasks
    console.print(stream)
    for family in told_apart(learned.families):
        show_family(console, family)
    for change in learned.changes:
        console.print(said_of(change), highlight=False, markup=False)
    click.echo(f"Again later, and to undo it: langroute autopilot --ledger {output / 'ledger.db'}")


def _ways(ways: Mapping[str, int]) -> str:
    return "\n".join(f"{way}: {count}" for way, count in ways.items()) or "-"
