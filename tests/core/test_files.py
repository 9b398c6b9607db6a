"""Files that langroute makes are read by nobody but their owner, follow no link and take over nothing of somebody else's."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from langroute.budgets.sqlite import SqliteBudgets
from langroute.budgets.store import Hold
from langroute.cache.stores.sqlite import SqliteStore
from langroute.cli import cli
from langroute.core.errors import BudgetStoreError, CacheError, DataError, DegradedWarning, InputError, LangrouteError, LedgerError
from langroute.core.files import open_new, open_own, private
from langroute.core.records import Decision, Step
from langroute.core.writing import replacing, write_together
from langroute.ledger import open_ledger

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners are those of POSIX")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only the superuser gives files away")

NOBODY = 65_534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def ledger(path: Path) -> Any:
    opened = open_ledger(path)
    opened.record(Decision("d1", Step(), "small", ()))
    opened.flush()
    return opened


def cache(path: Path) -> Any:
    opened = SqliteStore(path)
    opened.put("a", b"1")
    return opened


def budgets(path: Path) -> Any:
    opened = SqliteBudgets(path)
    opened.settle(None, [Hold("a", 1)])
    return opened


STORES = [
    pytest.param(ledger, LedgerError, id="ledger"),
    pytest.param(cache, CacheError, id="cache"),
    pytest.param(budgets, BudgetStoreError, id="budgets"),
]
Store = Callable[[Path], Any]


# Stores ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store, error", STORES)
def test_a_store_and_what_is_beside_it_is_its_owners_alone(store: Store, error: type[Exception], tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        opened = store(tmp_path / "s.db")
    finally:
        os.umask(old)
    found = {path.name: oct(mode(path)) for path in tmp_path.glob("s.db*")}
    opened.close()

    assert "s.db-wal" in found
    assert set(found.values()) == {"0o600"}


@pytest.mark.parametrize("store, error", STORES)
def test_a_store_that_others_could_read_is_tightened_and_that_is_said_once(
    store: Store, error: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    kept = store(path)
    for one in tmp_path.glob("s.db*"):
        one.chmod(0o666)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store(path).close()
        store(path).close()
    found = {one.name: oct(mode(one)) for one in tmp_path.glob("s.db*")}
    kept.close()

    assert set(found.values()) == {"0o600"}
    said = [str(one.message) for one in caught if one.category is DegradedWarning]
    assert len([text for text in said if text.startswith(f"{path} had mode 0666")]) == 1


@pytest.mark.parametrize("store, error", STORES)
def test_the_mode_of_another_programs_database_is_left_as_it_is(store: Store, error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as other:
        other.executescript("CREATE TABLE tags (n); CREATE TABLE guests (n);")
    path.chmod(0o640)
    with suppress(error):
        store(path).close()

    assert mode(path) == 0o640


@as_root
@pytest.mark.parametrize("ending", ["", "-wal"])
@pytest.mark.parametrize("store, error", STORES)
def test_somebody_elses_file_is_refused(store: Store, error: type[Exception], ending: str, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store(path).close()
    planted = tmp_path / f"s.db{ending}"
    planted.touch()
    os.chown(planted, NOBODY, NOBODY)

    with pytest.raises(error, match="belongs to another user"):
        store(path)


@as_root
@pytest.mark.parametrize("store, error", STORES)
def test_a_link_to_somebody_elses_file_is_refused(store: Store, error: type[Exception], tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    os.chown(victim, NOBODY, NOBODY)
    (tmp_path / "s.db").symlink_to(victim)

    with pytest.raises(error, match="belongs to another user"):
        store(tmp_path / "s.db")
    assert victim.read_bytes() == b""


@pytest.mark.parametrize("store, error", STORES)
def test_a_link_that_leads_nowhere_makes_no_file(store: Store, error: type[Exception], tmp_path: Path) -> None:
    (tmp_path / "s.db").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(error, match="leads nowhere"):
        store(tmp_path / "s.db")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("store, error", STORES)
def test_a_store_may_stand_behind_a_link_of_its_owners(store: Store, error: type[Exception], tmp_path: Path) -> None:
    """As on a volume for data."""
    (tmp_path / "volume").mkdir()
    store(tmp_path / "volume" / "s.db").close()
    (tmp_path / "s.db").symlink_to(tmp_path / "volume" / "s.db")

    store(tmp_path / "s.db").close()


@as_root
def test_the_superuser_may_look_after_the_files_of_a_users_own_folder(tmp_path: Path) -> None:
    ledger(tmp_path / "s.db").close()
    for one in (tmp_path, *tmp_path.iterdir()):
        os.chown(one, NOBODY, NOBODY)

    ledger(tmp_path / "s.db").close()


@pytest.mark.parametrize("store, error", STORES)
def test_a_folder_in_which_everybody_may_replace_files_is_said(store: Store, error: type[Exception], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.warns(DegradedWarning, match="Everybody may replace files"):
        store(tmp_path / "s.db").close()


def test_a_folder_with_the_sticky_bit_is_not(tmp_path: Path) -> None:
    """As the one for temporary files."""
    tmp_path.chmod(0o1777)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        private(tmp_path / "a")


def test_looking_at_a_database_again_leaves_its_locks(tmp_path: Path) -> None:
    """Closing any descriptor of a file ends this process's POSIX locks on it: another process would write into a transaction."""
    path = tmp_path / "s.db"
    store = SqliteBudgets(path)
    with store._writing() as connection:
        connection.execute("INSERT INTO accounts VALUES ('a', 1, NULL)")
        private(path)
        other = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0, isolation_level=None).execute('BEGIN IMMEDIATE')"
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False, timeout=60)
    store.close()

    assert "database is locked" in done.stderr


# Whole files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("policy.json",), ("policy.json", "arrays.npz")])
def test_a_link_under_a_name_that_could_be_foretold_is_not_followed(names: tuple[str, ...], tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in names:
        for planted in (f".{name}.{os.getpid()}.new", f".{name}.new", name):
            (tmp_path / planted).symlink_to(victim)
    write_together({tmp_path / name: b"mine" for name in names})

    assert victim.read_text() == "precious"
    for name in names:
        assert (tmp_path / name).read_bytes() == b"mine"
        assert not (tmp_path / name).is_symlink()
        assert mode(tmp_path / name) == 0o600


def test_a_file_that_is_replaced_gets_a_mode_of_its_own_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "CARD.md"
    path.touch()
    path.chmod(0o664)
    with pytest.warns(DegradedWarning, match="had mode 0664"):
        write_together({path: b"mine"})

    assert mode(path) == 0o600


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="a folder"):
        write_together({tmp_path / "one": b"1", tmp_path / "taken": b"2"})

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_stream_that_breaks_off_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl"
    path.write_text("before")

    def write() -> None:
        with replacing(path) as out:
            out.write("half of ")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()

    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["traffic.jsonl"]


def test_a_pipe_of_ones_own_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    with replacing(pipe) as out:
        out.write("spend")

    assert reader.communicate(timeout=100)[0] == "spend"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@as_root
def test_a_pipe_of_somebody_elses_is_not(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o666)
    os.chown(pipe, NOBODY, NOBODY)

    with pytest.raises(InputError, match="belongs to another user"), replacing(pipe):
        pass


def test_standard_output_may_be_named_as_a_file(tmp_path: Path) -> None:
    """The link stays, and what was there before it stays."""
    target = tmp_path / "out.txt"
    target.write_text("first ")
    code = "from pathlib import Path; from langroute.core.writing import replacing\nwith replacing(Path('/dev/stdout')) as out: out.write('second')"
    with target.open("a") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, timeout=60)

    assert target.read_text() == "first second"
    assert Path("/dev/stdout").is_symlink()


@pytest.mark.parametrize("command", [["report", "--format", "csv", "--since", "all"], ["export"]])
def test_what_a_command_writes_follows_no_link(command: list[str], tmp_path: Path) -> None:
    ledger(tmp_path / "l.db").close()
    victim, output = tmp_path / "victim", tmp_path / "output"
    victim.write_text("precious")
    output.symlink_to(victim)
    done = CliRunner().invoke(cli, [*command, "--ledger", str(tmp_path / "l.db"), "-o", str(output)])

    assert done.exit_code == 0, done.output
    assert victim.read_text() == "precious"
    assert mode(output) == 0o600
    assert not output.is_symlink()


# Opening one's own -----------------------------------------------------------------------------------------------------


def test_a_new_file_is_new(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for taken in ("link", "file"):
        (tmp_path / "file").touch()
        with pytest.raises(FileExistsError):
            open_new(tmp_path / taken)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_is_taken_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(DataError, match="is a link"):
        open_own(tmp_path / "lock")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_no_store(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "s.db")
    for store in (ledger, cache, budgets):
        with pytest.raises(LangrouteError):
            store(tmp_path / "s.db")


def test_where_a_server_is_stands_in_a_private_file(tmp_path: Path) -> None:
    """It holds the key to it."""
    from langroute.local.worker import _write

    state, victim = tmp_path / "small.json", tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"small.json.{os.getpid()}").symlink_to(victim)
    _write(state, {"api_key": "k"})

    assert victim.read_text() == "precious"
    assert json.loads(state.read_text()) == {"api_key": "k"}
    assert mode(state) == 0o600
