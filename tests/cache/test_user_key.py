"""The user's own key, and the codec that seals with it when it has no secret."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import pytest

from langroute.cache import ResponseCache, user_key
from langroute.cache.codec import Codec
from langroute.cache.stores.sqlite import SqliteStore
from langroute.core.errors import ConfigurationError, ConfigurationWarning, DataError, DegradedWarning
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def key_file(home: Path) -> Path:
    return home / ".local" / "state" / "langroute" / "cache.key"


def test_the_key_is_made_once_for_its_user_alone(home: Path) -> None:
    """It is 32 bytes of chance in a file that nobody else can read, and nothing else is left beside it."""
    sealed = Codec().seal("k", b"answer")

    assert Codec().open("k", sealed) == b"answer"
    assert stat.S_IMODE(key_file(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file(home).parent.stat().st_mode) == 0o700
    assert [path.name for path in key_file(home).parent.iterdir()] == ["cache.key"]
    assert key_file(home).stat().st_size == 32


def test_another_user_cannot_make_an_answer(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither with a key of his own nor with anything that stands in the source."""
    codec = Codec()
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    for forged in (Codec().seal("k", b"forged"), Codec(secret="langroute-cache").seal("k", b"forged")):
        with pytest.raises(DataError):
            codec.open("k", forged)
    old_key = blake2b(b"langroute-cache", digest_size=32, person=b"lr-cache-mac").digest()
    body = b"\0forged"
    with pytest.raises(DataError):
        codec.open("k", blake2b(b"k\0" + body, digest_size=16, key=old_key).digest() + body)


def test_many_programs_that_begin_at_once_find_the_same_key(home: Path) -> None:
    program = "from langroute.cache.user_key import user_key; print(user_key().hex())"

    def run(_: int) -> str:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(run, range(6)))) == 1


def test_processes_of_one_user_share_a_file(home: Path, tmp_path: Path) -> None:
    """Without any setting, as prefork workers do."""
    program = (
        "import sys; from langroute import ChatRouter; from langroute.testing import ScriptedModel; "
        "print(ChatRouter({'a': ScriptedModel('Here.')}, response_cache=sys.argv[1], prices={'a': {'input': 1, 'output': 1}})"
        ".invoke('Where?').response_metadata['langroute']['cache'])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "c.db")], capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["miss", "hit"]


def test_a_codec_is_pickled_without_the_key(home: Path) -> None:
    key = Codec()
    Codec().seal("k", b"x")
    assert key_file(home).read_bytes() not in pickle.dumps(key)
    assert pickle.loads(pickle.dumps(key)).open("k", key.seal("k", b"x")) == b"x"


@pytest.mark.parametrize("spoil", ["readable", "short", "link", "folder"])
def test_a_key_that_others_may_know_is_not_used(home: Path, spoil: str) -> None:
    """Then this process has one of its own, and says so."""
    file = key_file(home)
    file.parent.mkdir(parents=True)
    known = b"k" * 32
    if spoil == "link":
        (home / "elsewhere").write_bytes(known)
        (home / "elsewhere").chmod(0o600)
        file.symlink_to(home / "elsewhere")
    elif spoil == "folder":
        file.mkdir()
    else:
        file.write_bytes(known if spoil == "readable" else b"short")
        file.chmod(0o644 if spoil == "readable" else 0o600)
    with pytest.warns(ConfigurationWarning, match="cannot be kept"):
        codec = Codec()
    with pytest.warns(ConfigurationWarning):
        assert Codec().open("k", codec.seal("k", b"mine")) == b"mine"
    assert known != user_key._SPARE


def test_without_a_home_answers_are_still_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.warns(ConfigurationWarning, match="Give the store a secret"):
        cache = ResponseCache(tmp_path / "c.db")
    model = ChatRouter({"a": ScriptedModel("Here.")}, response_cache=cache)
    assert [model.invoke("Where?").response_metadata["langroute"]["cache"] for _ in range(2)] == ["miss", "hit"]


def test_an_empty_secret_is_none(home: Path) -> None:
    """It is most likely a setting that was not there."""
    for empty in ("", b""):
        with pytest.raises(ConfigurationError, match="is empty"):
            Codec(secret=empty)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX modes")
@pytest.mark.parametrize("mode", [0o666, 0o620, 0o644])
def test_a_file_of_others_is_made_private_and_said(home: Path, tmp_path: Path, mode: int) -> None:
    SqliteStore(tmp_path / "c.db").close()
    (tmp_path / "c.db").chmod(mode)
    with pytest.warns(DegradedWarning, match="others could read it"):
        SqliteStore(tmp_path / "c.db").close()
    assert (tmp_path / "c.db").stat().st_mode & 0o777 == 0o600


def test_a_link_that_leads_nowhere_is_no_cache(home: Path, tmp_path: Path) -> None:
    """Whoever planted it would say where the answers are written."""
    (tmp_path / "c.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="cannot be opened"):
        SqliteStore(tmp_path / "c.db")
    assert not (tmp_path / "elsewhere").exists()


def test_answers_of_another_key_are_misses_and_said_once(home: Path, tmp_path: Path) -> None:
    """Two users with one file: neither takes the other's, and neither deletes it."""
    theirs = SqliteStore(tmp_path / "c.db", codec=Codec(secret="theirs"))
    theirs.put("k", b"theirs")
    ours = SqliteStore(tmp_path / "c.db")
    with pytest.warns(ConfigurationWarning, match="one secret") as said:
        assert [ours.get("k") for _ in range(3)] == [None] * 3
    assert len(said) == 1
    assert theirs.get("k") == b"theirs"
