"""`langroute top` shows the sessions that are under way, on any width, without a text of a conversation."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from langroute import ChatRouter, Price, Route
from langroute.cli import cli
from langroute.cli.terminal import Terminal
from langroute.cli.top import frame
from langroute.core.errors import ConfigurationError, LedgerError
from langroute.ledger import open_ledger
from langroute.reports.live import LiveSession
from langroute.testing import ScriptedModel

SECRET = "a secret of a prompt"
HOSTILE = "\x1b[31mevil\x1b]0;title\x07[bold red]\nsecond line\u202egnp.exe"
SESSIONS = [
    LiveSession(f"thread:{place:016x}", 1000.0 - 40 * place, "act", "haiku", "claude-haiku-4-5", "miss", f"user {place}" * place, "search", "shop", 12345, 2, 7, 1234.5, place % 2, -0.5 + place)
    for place in range(6)
]  # fmt: skip


def lines(sessions: list[LiveSession], width: int, **options: Any) -> list[str]:
    """The lines of a frame."""
    terminal = Terminal(width=width, file=open(os.devnull, "w"), record=True)  # noqa: PTH123, SIM115
    terminal.print(frame(sessions, 15, "ledger.db", width=width, now=1000.0, **options))
    return terminal.export_text().splitlines()


def record(ledger: Any, **metadata: Any) -> None:
    """Two steps of a session, the second from the cache."""
    routes = {
        name: Route(ScriptedModel("Fine."), price=Price(input=price, output=price))
        for name, price in (("small", 1), ("large", 100))
    }
    model = ChatRouter(routes, ledger=ledger, response_cache=True)
    for _ in range(2):
        model.invoke(f"Summarize {SECRET}.", {"metadata": metadata})
    ledger.flush()


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        record(ledger, langroute_task="s1", langroute_user="ada", langroute_team="search", langroute_project="shop")
        record(ledger, langroute_task="s2", langroute_user=HOSTILE, langroute_team=HOSTILE, langroute_project=HOSTILE)
    return tmp_path / "ledger.db"


def told(*arguments: str, **environment: str) -> str:
    result = CliRunner().invoke(cli, ["top", *arguments], env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_one_frame_says_who_does_what_and_what_it_cost(recorded: Path) -> None:
    output = told("--once", "--ledger", str(recorded))
    (row,) = [line for line in output.splitlines() if "shop" in line]
    assert re.search(r"user [0-9a-f]{6}, search +shop .* summarize +small .* 2 +\$0 +\$0\.00\d\d +1 +0$", row.rstrip()), row
    assert "2 sessions in 15 min" in output
    assert "cache hits 2" in output
    assert SECRET not in output
    # No terminal: one frame, too.
    assert told("--ledger", str(recorded)).count("langroute top") == 1


def test_names_from_outside_are_harmless(recorded: Path) -> None:
    output = told("--once", LANGROUTE_LEDGER=str(recorded))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", output)
    (row,) = [line for line in output.splitlines() if "evil" in line]
    assert "[31mevil" in row
    assert "second line" in row
    narrow = lines([LiveSession("t", 999.0, HOSTILE, HOSTILE, HOSTILE, "miss", HOSTILE, HOSTILE, HOSTILE)], 200)
    assert sum("evil" in line for line in narrow) == 1
    assert not any("\x1b" in line for line in narrow)


@pytest.mark.parametrize("width", [30, 40, 60, 80, 109, 120, 200])
def test_it_fits_the_terminal_and_cuts_no_number(width: int) -> None:
    shown = lines(SESSIONS, width)
    assert max(map(cell_len, shown)) <= width
    assert all(f"$1,234.50{'+?' * (session.unknown_costs)}" in line for session, line in zip(SESSIONS, shown[4:], strict=True))


def test_names_of_wide_letters_are_cut_at_their_width() -> None:
    session = LiveSession("t", 999.0, "act", "道" * 50, "m", "miss", "名" * 50, "隊" * 50)
    for width in (40, 80, 120):
        assert max(map(cell_len, lines([session], width))) <= width


def test_it_fits_the_height_and_counts_the_rest() -> None:
    shown = lines(SESSIONS, 80, height=9)
    assert len(shown) <= 9
    assert shown[-1] == "… and 3 more"
    assert "6 sessions" in shown[0]


def test_unknown_amounts_are_said_to_be_unknown() -> None:
    (row,) = lines([LiveSession("t", 990.0, "act", None, unknown_costs=1)], 80)[4:]
    assert row.split() == ["-", "10s", "act", "none", "0", "$0+?", "?", "0"]


def test_a_window_without_steps_says_so(recorded: Path) -> None:
    assert "No session is under way." in told("--once", "--minutes", "0.00001", "--ledger", str(recorded))


CONFIG = '{ledger}\n[routes.a]\nprovider = "openai"\nmodel = "m"\n[clients.laptop]\ntoken_sha256 = "{digest}"\nuser = "ada"\n'


def test_a_configuration_names_the_ledger_and_its_users(recorded: Path, tmp_path: Path) -> None:
    """The ledger keeps hashes of users; who has the file knows whose they are."""
    config = tmp_path / "langroute.toml"
    config.write_text(CONFIG.format(ledger=f'ledger = "{recorded}"', digest="0" * 64))
    assert "ada, search" in told("--once", "--config", str(config))
    config.write_text(CONFIG.format(ledger="", digest="0" * 64))
    with pytest.raises(ConfigurationError, match="names no ledger"):
        told("--once", "--config", str(config))
    assert "ada, search" in told("--once", "--config", str(config), "--ledger", str(recorded))


def test_a_ledger_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"):
        told("--once", "--ledger", str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_it_draws_anew_until_it_is_ended(recorded: Path) -> None:
    import pty

    main, child = pty.openpty()
    command = [sys.executable, "-c", "from langroute.cli import main; main()", "top", "--ledger", str(recorded)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "20"}
    running = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environment, close_fds=True)
    os.close(child)
    try:
        seen = read_until(main, lambda text: text.count("langroute top") >= 2)
        running.send_signal(signal.SIGINT)
        seen += read_until(main, lambda text: "\x1b[?1049l" in text)
        assert running.wait(30) == 0
    finally:
        running.kill()
        os.close(main)
    # The screen before is shown again, and nothing of the frames stays on it.
    assert seen.index("\x1b[?1049h") < seen.index("langroute top") < seen.index("\x1b[?1049l")
    assert "Traceback" not in seen


def read_until(terminal: int, enough: Callable[[str], bool]) -> str:
    seen = ""
    while not enough(seen):
        try:
            seen += os.read(terminal, 65536).decode("utf-8", "replace")
        except OSError:
            break
    return seen
