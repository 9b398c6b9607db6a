"""`langroute cache`: inspect and purge the response cache."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from langroute.cache.entries import CacheEntry, decode
from langroute.cache.response import ResponseCache
from langroute.cache.stores.sqlite import TABLES
from langroute.cli.options import format_option
from langroute.cli.terminal import Terminal
from langroute.core.errors import CacheError, DataError, InputError, LangrouteError
from langroute.core.plain_text import one_line, printable
from langroute.core.sqlite import tables_of
from langroute.core.urls import shown_url, without_secrets
from langroute.reports.words import usd

SAMPLE = 10_000
"""Most entries that `stats` reads, the latest ones."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _age(_: Any, __: Any, value: str | None) -> float | None:
    """Return an age such as `30d` in seconds."""
    if value is None:
        return None
    number, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
        raise click.BadParameter("give a number and a unit: 90m, 12h, 30d, 2w")
    return float(number) * _UNITS[unit]


def _open(where: str | None, namespace: str) -> ResponseCache:
    where = where or os.environ.get("LANGROUTE_CACHE")
    if not where:
        raise InputError("Say which cache: a path or URL with --cache, or in LANGROUTE_CACHE.")
    if "://" not in where:
        path = Path(where).expanduser()
        # Opening another program's database must not create cache tables in it.
        if not path.exists() or ((tables := tables_of(path)) and not tables >= TABLES):
            raise InputError(f"There is no cache {shown_url(where)}.")
    try:
        opened = ResponseCache(where, namespace=namespace)
        opened.size()
    except LangrouteError:
        raise
    except Exception as error:
        # Each kind of store raises its own errors.
        raise CacheError(f"The cache cannot be reached: {without_secrets(str(error), where)}") from error
    return opened


def _entries(cache: ResponseCache, limit: int) -> Iterator[tuple[str, int, CacheEntry | None]]:
    """Yield keys, sizes and entries; `None` for values that are not answers (LangChain's and LangGraph's own) or cannot be read."""
    for key in cache.store.keys(limit):
        data = cache.store.get(key)
        if data is None:
            continue
        try:
            yield key, len(data), decode(data)
        except DataError:
            yield key, len(data), None


@click.group()
@click.option("--cache", "where", metavar="PATH|URL", help="Which cache; by default the one in LANGROUTE_CACHE.")
@click.option("--namespace", default="default", show_default=True, help="The application's name, as its ResponseCache has it.")
@click.pass_context
def cache(context: click.Context, where: str | None, namespace: str) -> None:
    """Look into the response cache, and purge it."""
    context.obj = (where, namespace)


@cache.command()
@format_option("table", "json")
@click.pass_obj
def stats(given: tuple[str | None, str], form: str) -> None:
    """Show how full it is, and with what."""
    opened = _open(*given)
    size = opened.size()
    counts: dict[str, Counter[str]] = {"kind": Counter(), "route": Counter(), "model": Counter(), "namespace": Counter()}
    worth = tokens = 0.0
    for _, _, entry in _entries(opened, SAMPLE):
        counts["kind"][entry.kind if entry else "other"] += 1
        if entry is not None:
            counts["route"][entry.route] += 1
            counts["model"][entry.model or "unknown"] += 1
            counts["namespace"][entry.namespace] += 1
            worth += entry.cost_usd or 0.0
            tokens += entry.usage.total_tokens if entry.usage else 0
    if form == "json":
        shown = {name: dict(found) for name, found in counts.items()}
        click.echo(
            json.dumps({"entries": size.entries, "bytes": size.bytes, "worth_usd": worth, "worth_tokens": int(tokens), **shown})
        )
        return
    of = f" of at most {size.max_entries:,}" if size.max_entries else ""
    click.echo(f"{size.entries:,} entries{of}" + (f", {size.bytes:,} bytes" if size.bytes is not None else ""))
    click.echo(f"To answer them once took {int(tokens):,} tokens and {usd(worth)}, as far as that is known.")
    table = Table("", "", "entries", box=None, pad_edge=False)
    for name, found in counts.items():
        for value, count in found.most_common(10):
            table.add_row(name, value, f"{count:,}")
    Terminal().print(table)


@cache.command()
@click.argument("key", required=False)
@click.option("--limit", default=20, show_default=True, help="How many; the latest ones.")
@click.option("--text", is_flag=True, help="Show what the answers say, too.")
@click.pass_obj
def show(given: tuple[str | None, str], key: str | None, limit: int, text: bool) -> None:
    """Show entries, or one of them."""
    opened = _open(*given)
    if key is not None:
        found = next((one for one in opened.store.keys(1_000_000) if one.startswith(key)), None)
        entry = opened.value(found) if found else None
        if entry is None:
            raise InputError(f"No entry {key!r}.")
        _line("key", entry.key)
        _line("route", f"{entry.route} ({entry.model or 'model unknown'})")
        _line("kind", entry.kind)
        _line("age", str(timedelta(seconds=int(time.time() - entry.created))))
        _line("tags", ", ".join(entry.tags))
        if text:
            click.echo(printable(str(entry.message.text)))
        return
    table = Table("key", "kind", "route", "model", "age", "bytes", *(["answer"] if text else []), box=None, pad_edge=False)
    for name, size, entry in _entries(opened, limit):
        if entry is None:
            table.add_row(name[:12], "other", "", "", "", f"{size:,}", *([""] if text else []))
            continue
        age = str(timedelta(seconds=int(time.time() - entry.created)))
        said = [str(entry.message.text)[:60]] if text else []
        table.add_row(name[:12], entry.kind, entry.route, entry.model or "", age, f"{size:,}", *said)
    Terminal().print(table)


@cache.command()
@click.option("--key", help="One entry, by its whole key.")
@click.option("--tag", help="What a call tagged so.")
@click.option("--of", "tenant", metavar="NAME=VALUE", multiple=True, help="A namespace by its parts, such as tenant_id=acme.")
@click.option("--route", help="What a route answered.")
@click.option("--model", help="What a model answered, by its name as served.")
@click.option("--kind", help="Answers to a kind of step.")
@click.option("--older-than", metavar="TIME", callback=_age, help="90m, 12h, 30d, 2w.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(
    given: tuple[str | None, str],
    key: str | None,
    tag: str | None,
    tenant: tuple[str, ...],
    route: str | None,
    model: str | None,
    kind: str | None,
    older_than: float | None,
    everything: bool,
    yes: bool,
) -> None:
    """Forget entries; several conditions must all hold."""
    opened = _open(*given)
    if not (key or tag or tenant or route or model or kind or older_than is not None or everything):
        raise click.UsageError("Say what to forget: --key, --tag, --of, --route, --model, --kind, --older-than, or --all.")
    if wrong := [part for part in tenant if "=" not in part]:
        raise click.BadParameter(f"{wrong[0]!r} has no '=': give NAME=VALUE, such as tenant_id=acme", param_hint="--of")
    parts = dict(part.partition("=")[::2] for part in tenant)
    space = opened.namespace_id(**parts) if parts else None
    if everything and not yes:
        click.confirm(f"Forget all {opened.size().entries:,} entries?", abort=True)
    gone = opened.purge(
        key=key, tag=tag, namespace=space, route=route, model=model, kind=kind, older_than_seconds=older_than, everything=everything
    )
    click.echo(f"{gone:,} {'entry' if gone == 1 else 'entries'} forgotten.")


def _line(name: str, value: str) -> None:
    click.echo(one_line(f"{name:8}{value}"))
