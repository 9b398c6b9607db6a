"""`langroute collect`: ask other routes about recorded requests, and score the answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from langroute.cli.ledgers import ledger_option, open_existing
from langroute.cli.objects import working_directory_counts
from langroute.cli.options import NumberRange, since_option
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.object_names import object_at
from langroute.core.plain_text import one_line
from langroute.core.storable import strict_json
from langroute.core.writing import check_replaceable, replacing

Rows = Callable[[], Iterator[tuple[str, Any]]]
"""Reads the requests from the beginning; each with where it stands."""


def _pairs(_: Any, __: Any, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for value in values:
        name, _equals, model = value.partition("=")
        if not name.strip() or not model.strip():
            raise click.BadParameter("give a name and a model: small=openai:gpt-5-mini")
        found[name.strip()] = model.strip()
    return found


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
@ledger_option
@since_option("all")
@click.option(
    "--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Traffic file; its journal is beside it."
)
@click.option(
    "--route",
    "models",
    multiple=True,
    callback=_pairs,
    metavar="NAME=MODEL",
    help="A route to ask, such as small=openai:gpt-5-mini; several.",
)
@click.option("--routes", metavar="MODULE:ATTRIBUTE", help="Routes to ask: a mapping of name to chat model or Route.")
@click.option(
    "--verify", "checks", multiple=True, metavar="MODULE:ATTRIBUTE", help="A verifier that scores the answers; several, in order."
)
@click.option("--judge", metavar="MODEL", help="A chat model that scores the answers, such as openai:gpt-5.")
@click.option("--redact", metavar="MODULE:ATTRIBUTE", help="Takes the messages, and returns those that routes and judges may see.")
@click.option("--prices", type=click.Path(), metavar="FILE", help="TOML with a table [prices], USD per million tokens.")
@click.option("--max-usd", required=True, type=NumberRange(min=0, min_open=True), help="Most USD that are spent, checks included.")
@click.option("--sample", type=click.IntRange(1, 100_000), default=500, show_default=True, help="Requests that are drawn.")
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Calls at a time.")
def collect(
    file: Path | None,
    ledger: str,
    since: str,
    output: Path,
    models: dict[str, str],
    routes: str | None,
    checks: tuple[str, ...],
    judge: str | None,
    redact: str | None,
    prices: str | None,
    max_usd: float,
    sample: int,
    workers: int,
) -> None:
    """Ask other routes about recorded requests, and score the answers.

    Reads a traffic file, or the ledger where none is named; what a ledger's requests cost here is recorded in it. Run again, it goes on where it stopped.
    """
    from langroute.learning.collect import Collector, CollectTerms, setup_of
    from langroute.learning.journal import Journal
    from langroute.learning.prices import read_prices
    from langroute.routes.route import build_routes

    # Checked first: what is asked is paid for.
    check_replaceable(output)
    if file is not None and output.exists() and output.samefile(file):
        raise InputError(f"{str(output)!r} is the file that is read; write to another one.")
    working_directory_counts()
    asked = build_routes(_routes(models, routes), read_prices(prices) if prices else None)
    verifiers = _verifiers(checks, judge)
    terms = CollectTerms(max_usd, sample=sample, workers=workers, redact=_redact(redact))
    with ExitStack() as stack:
        rows, opened = _source(stack, file, ledger, since)
        journal = stack.enter_context(Journal(output.with_name(output.name + ".journal"), setup_of(asked, verifiers)))
        record, judged = (None, None) if opened is None else (_recorder(opened), _judge_recorder(opened))
        collector = Collector(asked, verifiers, terms, journal, record=record, judged=judged, progress=_Progress())
        drawn = collector.draw(rows())
        interrupted = False
        try:
            collector.ask(rows(), drawn)
        except KeyboardInterrupt:
            interrupted = True
        written = 0
        with replacing(output) as out:
            for row in collector.rows(rows(), drawn):
                out.write(strict_json(row, ensure_ascii=False) + "\n")
                written += 1
    _say(collector.result, written, output, interrupted)


def _routes(models: Mapping[str, str], named: str | None) -> dict[str, Any]:
    found: dict[str, Any] = dict(models)
    if named is not None:
        given = object_at(named, "mapping of routes", "items")
        found.update(given.items())
    if not found:
        raise InputError("Name the routes to ask: --route small=openai:gpt-5-mini, or --routes my_app.models:routes.")
    return found


def _verifiers(checks: tuple[str, ...], judge: str | None) -> tuple[Any, ...]:
    from langroute.verifiers.base import as_verifiers

    found = [_object(name, "verifier") for name in checks]
    if judge is not None:
        from langroute.verifiers.judge import Judge

        found.append(Judge(judge))
    if not found:
        raise InputError("Say what scores the answers: --verify my_app.checks:right, or --judge openai:gpt-5.")
    return as_verifiers(found)


def _object(name: str, what: str) -> Any:
    """Return a verifier or a function that is named as `module:attribute`."""
    try:
        return object_at(name, what, "verify")
    except ConfigurationError as error:
        if "has no method" not in str(error):
            raise
        return object_at(name, what, "__call__")


def _redact(name: str | None) -> Any:
    return None if name is None else object_at(name, "redaction", "__call__")


def _source(stack: ExitStack, file: Path | None, ledger: str, since: str) -> tuple[Rows, Any]:
    """Return what reads the requests, and the ledger where they are from one."""
    from langroute.learning.traffic import read_rows

    if file is not None:
        return lambda: read_rows(file), None
    from langroute.ledger.export import export_traffic
    from langroute.reports.window import Window

    window = Window.since(since)
    opened = stack.enter_context(open_existing(ledger))

    def rows() -> Iterator[tuple[str, Any]]:
        for row in export_traffic(opened, since=window.start or 0.0, until=window.end):
            yield f"decision {row['id']}", row

    return rows, opened


def _recorder(ledger: Any) -> Callable[[Mapping[str, Any], Any, float | None], None]:
    """Return what writes a call to the ledger, as a shadow's: with its decision, and in its task."""
    from langroute.ledger.facts import CallRecord

    def record(row: Mapping[str, Any], attempt: Any, score: float | None) -> None:
        decision, step = str(row["id"]), row.get("step") or {}
        ledger.record_call(
            CallRecord(
                str(step.get("task_id") or decision),
                what="shadow",
                at=time.time(),
                run_id=decision,
                decision_id=decision,
                route=attempt.route,
                node=step.get("node"),
                step_kind=step.get("kind"),
                usage=attempt.usage,
                cost_usd=attempt.cost_usd,
                cost_basis="own" if attempt.cost_usd is not None else None,
                latency_s=attempt.latency_s,
                error_type=attempt.error_type,
                kept=False,
                score=score,
                answer=attempt.answer if getattr(ledger, "keeps_text", False) else None,
            )
        )

    return record


def _judge_recorder(ledger: Any) -> Callable[[Mapping[str, Any], str, float], None]:
    """Return what writes the score of the answer that was served to the ledger; an outcome that was told goes before it."""
    from langroute.core.records import Outcome
    from langroute.ledger.facts import JUDGED

    def judged(row: Mapping[str, Any], route: str, score: float) -> None:
        if (row.get("step") or {}).get("served") == route:
            ledger.record_outcome(
                Outcome(JUDGED, score=score, decision_id=str(row["id"]), source="evaluator:collect", at=time.time())
            )

    return judged


class _Progress:
    """Tells how far a collection is, at most once a second, on standard error."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, done: int, total: int, spent_usd: float) -> None:
        if time.monotonic() - self._told >= 1 or done == total:
            self._told = time.monotonic()
            end = "\r" if sys.stderr.isatty() and done < total else "\n"
            click.echo(f"{done:,} of {total:,} answers, {spent_usd:.4f} USD{end}", err=True, nl=False)


def _say(result: Any, written: int, output: Path, interrupted: bool) -> None:
    click.echo(
        f"{result.asked:,} answers to {result.requests:,} requests, {result.spent_usd:.4f} USD in all; {written:,} requests are in {output}."
    )
    if result.agreement is not None:
        share, low, high = result.agreement
        click.echo(
            f"The verifiers agree with {share:.1%} ({low:.1%} to {high:.1%}) of {result.told:,} outcomes that were told: compare that with the "
            "break-even accuracies of `langroute advise`."
        )
    for route, count in result.failed.items():
        more = f"; asked no more: {one_line(result.given_up[route])}" if route in result.given_up else ""
        click.echo(f"{count:,} calls of {one_line(route)} failed{more}.", err=True)
    if result.stopped:
        click.echo("The next call could cost more than is left of --max-usd. Run again with more to go on.", err=True)
    elif interrupted or result.missing:
        click.echo(
            f"{result.missing:,} answers are missing; run again to go on."
            if not interrupted
            else "Interrupted; run again to go on.",
            err=True,
        )
