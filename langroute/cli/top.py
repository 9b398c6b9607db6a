"""`langroute top`: the sessions that are under way, drawn anew each second."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from langroute.cli.ledgers import open_existing
from langroute.cli.options import NumberRange
from langroute.cli.terminal import Terminal
from langroute.core.errors import ConfigurationError, LangrouteError
from langroute.core.plain_text import one_line
from langroute.core.urls import shown_url
from langroute.engine.config_file import CONFIG_NAME
from langroute.gateway.config import GatewayConfig, read_gateway_config
from langroute.ledger.connection import said_by
from langroute.ledger.facts import Labels
from langroute.reports.live import LiveSession, live_sessions

DEFAULT = "ledger.db"
WIDE, NARROW = 110, 60
"""Widths in columns from which the table has all of its columns, and below which it has only the first."""

LONGEST_NAME = 60
"""Most characters of a name that are drawn."""

_ROWS_AROUND = 6
"""Lines of a frame that are no sessions."""

_GAP, _LEAST = 2, 3
"""Columns between two columns of the table, and the least that one of words has."""

_HASHED = re.compile(r"user:([0-9a-f]{6})[0-9a-f]{10}")


@click.command()
@click.option("--ledger", metavar="URL", envvar="LANGROUTE_LEDGER", show_envvar=True, help="A path (SQLite) or a URL. [default: the configuration's, else ledger.db]")  # fmt: skip
@click.option("--config", "config", type=click.Path(dir_okay=False, path_type=Path), help="A gateway's langroute.toml, whose ledger is read.")  # fmt: skip
@click.option("--minutes", type=NumberRange(0, min_open=True), default=15.0, show_default=True, help="Show sessions with a step in so many minutes.")  # fmt: skip
@click.option("--once", is_flag=True, help="Print one frame and stop, as where the output is no terminal.")
def top(ledger: str | None, config: Path | None, minutes: float, once: bool) -> None:
    """Show who is working through a gateway or a router: session, step, route, spend, what was saved, cache hits.

    It reads a ledger in a database, and shows no text of a conversation.
    """
    found = _config(config)
    where = _ledger_of(ledger, config, found)
    terminal = Terminal()
    with open_existing(where) as opened:
        shown, names = shown_url(where), _names(opened, found)

        def drawn(height: int | None) -> RenderableType:
            sessions = live_sessions(opened, minutes * 60)
            return frame(sessions, minutes, shown, width=terminal.width, height=height, names=names)

        if once or not terminal.is_terminal:
            terminal.print(drawn(None))
            return
        _live(terminal, drawn)


def _live(terminal: Terminal, drawn: Callable[[int | None], RenderableType]) -> None:
    """Draw a frame each second until the user ends it; a database that fails is asked again."""
    try:
        with Live(console=terminal, screen=True, auto_refresh=False) as live:
            while True:
                try:
                    shown = drawn(terminal.height)
                except SQLAlchemyError as error:
                    shown = Text(f"The ledger cannot be read: {one_line(said_by(error))}. It is asked again.")
                except LangrouteError as error:
                    shown = Text(f"{one_line(str(error))} It is asked again.")
                live.update(shown, refresh=True)
                time.sleep(1.0)
    except KeyboardInterrupt:
        return


def _config(named: Path | None) -> GatewayConfig | None:
    """Return the configuration that is named, else that of the current folder; `None` where there is none."""
    path = named or (Path(CONFIG_NAME) if Path(CONFIG_NAME).is_file() else None)
    return None if path is None else read_gateway_config(path)


def _ledger_of(ledger: str | None, named: Path | None, config: GatewayConfig | None) -> str:
    """Return the ledger that is meant: the one that is named, else the configuration's."""
    configured = None if config is None else config.router.ledger
    if named is not None and configured is None and ledger is None:
        raise ConfigurationError(f"{named} names no ledger: its gateway keeps its records in memory. Write ledger = 'ledger.db'.")
    return ledger or configured or DEFAULT


def _names(ledger: Any, config: GatewayConfig | None) -> dict[str, str]:
    """Return the names of a configuration's users by what the ledger keeps of them, which is a hash."""
    users = {client.user or client.name for client in (() if config is None else config.clients)}
    return {kept: user for user in users if (kept := ledger.privacy.labels(Labels(user=user)).user) is not None}


# What it draws ---------------------------------------------------------------------------------------------------------


def frame(
    sessions: Sequence[LiveSession],
    minutes: float,
    where: str,
    *,
    width: int,
    height: int | None = None,
    names: Mapping[str, str] | None = None,
    now: float | None = None,
) -> RenderableType:
    """Return what is drawn at one moment.

    Args:
        sessions: The sessions, the latest first.
        minutes: Length of the window.
        where: Where the ledger is, without passwords.
        width: Columns of the terminal.
        height: Its lines; `None` for as many as it takes.
        names: Names of users by what the ledger keeps of them.
        now: Seconds since the epoch.
    """
    moment = time.time() if now is None else now
    room = len(sessions) if height is None else max(1, height - _ROWS_AROUND)
    head = [_line(text, style) for text, style in _head(sessions, minutes, where, moment)]
    if not sessions:
        return Group(*head, _line("No session is under way."))
    columns = _columns(width, names or {})
    rows = [[read(session, moment) for _, _, read in columns] for session in sessions[:room]]
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for (title, flexible, _), wide in zip(columns, _widths(columns, rows, width), strict=True):
        table.add_column(title, justify="left" if flexible else "right", no_wrap=True, overflow="ellipsis", width=wide)
    for row in rows:
        table.add_row(*map(Text, row))
    more = [_line(f"… and {len(sessions) - room} more")] if len(sessions) > room else []
    return Group(*head, table, *more)


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _head(sessions: Sequence[LiveSession], minutes: float, where: str, moment: float) -> list[tuple[str, str]]:
    spent, saved = sum(one.cost_usd for one in sessions), [one.saved_usd for one in sessions if one.saved_usd is not None]
    clock = f"{datetime.fromtimestamp(moment, timezone.utc):%H:%M:%S} UTC"
    told = f"{len(sessions)} session{'s' * (len(sessions) != 1)} in {minutes:g} min"
    hits = sum(one.cache_hits for one in sessions)
    sums = f"spent {usd(spent)}  saved {usd(sum(saved)) if saved else '?'}  cache hits {hits}"
    return [(f"langroute top  {clock}  {told}", "bold"), (f"{sums}  {_name(where)}", ""), ("", "")]


Read = Callable[[LiveSession, float], str]
Shown = tuple[str, bool, Read]
"""Title of a column, whether it is one of words, which may be cut, and what it shows."""


def _columns(width: int, names: Mapping[str, str]) -> list[Shown]:
    whose: Shown = ("who", True, lambda one, _: who(one, names))
    step: Shown = ("step", True, lambda one, _: _name(one.step_kind or "-"))
    route: Shown = ("route", True, lambda one, _: _name(one.route or "none"))
    spent: Shown = ("spent", False, lambda one, _: f"{usd(one.cost_usd)}{'+?' if one.unknown_costs else ''}")
    if width < NARROW:
        return [whose, step, route, spent]
    passed: Shown = ("ago", False, lambda one, moment: ago(moment - one.last_at))
    sums: list[Shown] = [
        ("steps", False, lambda one, _: str(one.steps)),
        spent,
        ("saved", False, lambda one, _: "?" if one.saved_usd is None else usd(one.saved_usd)),
        ("hits", False, lambda one, _: str(one.cache_hits)),
    ]
    if width < WIDE:
        return [whose, passed, step, route, *sums]
    return [
        whose,
        ("project", True, lambda one, _: _name(one.project or "-")),
        ("session", True, lambda one, _: _short(one.id)),
        passed,
        step,
        route,
        ("model", True, lambda one, _: _name(one.model or "-")),
        *sums,
        ("errors", False, lambda one, _: str(one.errors)),
    ]


def _widths(columns: Sequence[Shown], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the width of each column: numbers whole, and the widest words cut as far as the terminal needs it."""
    wide = [max(cell_len(title), *(cell_len(row[at]) for row in rows)) for at, (title, _, _) in enumerate(columns)]
    words = [at for at, (_, flexible, _) in enumerate(columns) if flexible]
    while sum(wide) + _GAP * len(wide) > width:
        widest = max(words, key=lambda at: wide[at])
        if wide[widest] <= _LEAST:
            break
        wide[widest] -= 1
    return wide


def who(session: LiveSession, names: Mapping[str, str]) -> str:
    """Return whose session it is: user and team.

    Example:
        >>> who(LiveSession("t", 0.0, user="user:b19b9873e79b777b", team="search"), {})
        'user b19b98, search'
        >>> who(LiveSession("t", 0.0, user="user:b19b9873e79b777b"), {"user:b19b9873e79b777b": "ada"}), who(LiveSession("t", 0.0), {})
        ('ada', '-')
    """
    user = session.user and names.get(session.user, session.user)
    if user and (hashed := _HASHED.fullmatch(user)) is not None:
        user = f"user {hashed.group(1)}"
    return ", ".join(_name(one) for one in (user, session.team) if one) or "-"


def usd(amount: float) -> str:
    """Return an amount in USD in few characters.

    Example:
        >>> usd(0.0), usd(0.00042), usd(-0.5), usd(1234.5)
        ('$0', '$0.0004', '-$0.50', '$1,234.50')
    """
    sign, size = "-" if amount < 0 else "", abs(amount)
    if size < 0.00005:
        return "$0"
    return f"{sign}${size:.4f}" if size < 0.1 else f"{sign}${size:,.2f}"


def ago(seconds: float) -> str:
    """Return how long ago something was.

    Example:
        >>> ago(3.2), ago(75), ago(7300), ago(-1)
        ('3s', '1m', '2h', '0s')
    """
    passed = max(0, int(seconds))
    if passed < 60:
        return f"{passed}s"
    return f"{passed // 60}m" if passed < 3600 else f"{passed // 3600}h"


def _name(text: Any) -> str:
    said = one_line(str(text))
    return said if len(said) <= LONGEST_NAME else f"{said[: LONGEST_NAME - 1]}…"


def _short(id: str) -> str:
    """Return the end of an id, by which sessions are told apart: its beginning says only how it was made."""
    return _name(id[-8:])


__all__ = ["ago", "frame", "top", "usd", "who"]
