"""Many workers give the same result as one process, to the last digit, also when one of them is killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from made_traffic import PRICES, made_traffic, write

from langroute.cli import cli
from langroute.core.errors import DataError
from langroute.learning import neighbours, pieces
from langroute.learning.analyze import analyze
from langroute.learning.kept_pieces import KeptPieces
from langroute.learning.pieces import OneProcess, pieces_of
from langroute.learning.prices import read_prices
from langroute.learning.replay import replay

POLICIES = ("always:small", "default")


class Backwards:
    """Works on copies of the pieces from the last one on, as workers elsewhere might, each with the work as it arrives there."""

    def run(self, work: Any, paths: Sequence[str | Path]) -> Iterator[Any]:
        found = {}
        for number, piece in reversed(list(enumerate(pieces_of(paths)))):
            there, its = pickle.loads(pickle.dumps((work, piece)))
            found[number] = pickle.loads(pickle.dumps(there(its.exchanges())))
        yield from (found[number] for number in sorted(found))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LINES", 64)
    monkeypatch.setattr(neighbours, "KEPT", 200)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rows = made_traffic(500, seed=7)
    for number, row in enumerate(rows):
        # Some costs are only billed, and some requests were asked of fewer routes.
        for name, outcome in row["outcomes"].items():
            outcome["cost_usd"] = 0.001 * (1 + len(name)) + number * 1e-7
        if number % 5 == 0:
            del row["outcomes"]["other"]
    return [write(tmp_path / "first.jsonl", rows[:300]), write(tmp_path / "second.jsonl", rows[300:])]


@pytest.fixture
def prices(tmp_path: Path) -> Any:
    (tmp_path / "prices.toml").write_text(PRICES)
    return read_prices(tmp_path / "prices.toml")


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("priced", [True, False])
def test_a_replay_of_pieces_in_any_order_is_that_of_one_process(files: list[Path], prices: Any, policy: str, priced: bool) -> None:
    known = prices if priced else None
    expected = json.dumps(replay(files, policy, prices=known))
    assert json.dumps(replay(files, policy, prices=known, engine=Backwards())) == expected


@pytest.mark.usefixtures("small_pieces")
def test_a_fitted_policy_too(files: list[Path], prices: Any, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    fit = [
        "fit",
        str(files[0]),
        "-o",
        str(tmp_path / "policy"),
        "--prices",
        str(tmp_path / "prices.toml"),
        "--routes",
        "small,large",
    ]
    assert CliRunner().invoke(cli, fit, catch_exceptions=False).exit_code == 0
    expected = json.dumps(replay(files, tmp_path / "policy"))
    assert json.dumps(replay(files, tmp_path / "policy", engine=Backwards())) == expected


@pytest.mark.usefixtures("small_pieces")
def test_an_analysis_too(files: list[Path], prices: Any) -> None:
    assert analyze(files, prices=prices, engine=Backwards()) == analyze(files, prices=prices)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_pieces_have_every_line_once(tmp_path: Path, form: str) -> None:
    rows = made_traffic(150)
    file = write(tmp_path / "traffic.jsonl", rows)
    if form == "parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        file = tmp_path / "traffic.parquet"
        texts = [{**row, "messages": json.dumps(row["messages"]), "outcomes": json.dumps(row["outcomes"])} for row in rows]
        parquet.write_table(arrow.Table.from_pylist(texts), file, row_group_size=50)
    found = list(pieces_of([file]))
    assert [(one.begin, one.end) for one in found] == [(0, 64), (64, 128), (128, 150)]
    assert [one.id for piece in found for one in piece.exchanges()] == [row["id"] for row in rows]
    assert next(found[1].exchanges()).where == f"{file}:65"
    assert [len(ids) for ids in OneProcess().run(lambda exchanges: [one.id for one in exchanges], [file])] == [64, 64, 22]


def test_an_engine_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["replay", "x.jsonl", "--policy", "default", "--engine", "spark"])
    assert (done.exit_code, "ray://host:port" in done.output) == (2, True)


class Keeping:
    """An engine that keeps what pieces came to, and stops after some."""

    def __init__(self, folder: Path, most: int = 1000) -> None:
        self.kept, self.most, self.made = KeptPieces(folder), most, 0

    def run(self, work: Any, paths: Sequence[str | Path]) -> Iterator[Any]:
        for piece in pieces_of(paths):
            yield (
                self.kept.get(work.key, piece, partial(self.make, work, piece)) if hasattr(work, "key") else work(piece.exchanges())
            )

    def make(self, work: Any, piece: Any) -> Any:
        if self.made == self.most:
            raise KeyboardInterrupt
        self.made += 1
        return work(piece.exchanges())


@pytest.mark.usefixtures("small_pieces")
def test_a_replay_that_was_stopped_goes_on_from_what_is_kept(files: list[Path], prices: Any, tmp_path: Path) -> None:
    whole = len(list(pieces_of(files)))
    with pytest.raises(KeyboardInterrupt):
        replay(files, "default", prices=prices, engine=Keeping(tmp_path / "kept", 3))
    again = Keeping(tmp_path / "kept")
    assert json.dumps(replay(files, "default", prices=prices, engine=again)) == json.dumps(replay(files, "default", prices=prices))
    assert again.made == whole - 3
    # What was kept of another policy, or of a file as it was, is not taken.
    other = Keeping(tmp_path / "kept")
    replay(files, "always:small", prices=prices, engine=other)
    assert other.made == whole
    with files[1].open("a") as file:
        file.write(json.dumps({**made_traffic(1, seed=99)[0], "id": "one more"}) + "\n")
    changed = Keeping(tmp_path / "kept")
    replay(files, "default", prices=prices, engine=changed)
    assert changed.made == len(list(pieces_of(files[1:])))
    for kept in (tmp_path / "kept").iterdir():
        kept.write_bytes(b"something else")
    with pytest.raises(DataError, match="damaged"):
        replay(files, "default", prices=prices, engine=Keeping(tmp_path / "kept"))


# A real cluster --------------------------------------------------------------------------------------------------------------

real = pytest.mark.skipif("LANGROUTE_RAY" not in os.environ, reason="starts a Ray cluster, 20 s: set LANGROUTE_RAY=1")


@dataclass
class KillsItsWorker:
    """Counts the requests of a piece; the worker that has one piece first is killed in the middle of it."""

    marks: Path

    def __call__(self, exchanges: Iterable[Any]) -> tuple[int, str, int]:
        found = list(exchanges)
        mark = self.marks / "killed"
        if found[0].where.endswith(":129"):
            try:
                mark.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return len(found), found[0].id, os.getpid()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    # A worker has to find this module, and what it imports.
    folders = (str(Path(__file__).parent), str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", ""))
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(folders)}},
    )
    yield ray
    ray.shutdown()


@real
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("small_pieces")
def test_two_workers_of_a_cluster_of_which_one_is_killed(cluster: Any, files: list[Path], prices: Any, tmp_path: Path) -> None:
    from langroute.learning.ray_engine import RayEngine

    told: list[tuple[int, int]] = []
    engine = RayEngine(progress=lambda done, total: told.append((done, total)))
    found = list(engine.run(KillsItsWorker(tmp_path), files))
    expected = [(len(ids), ids[0]) for ids in OneProcess().run(lambda exchanges: [one.id for one in exchanges], files)]
    assert [one[:2] for one in found] == expected
    assert (tmp_path / "killed").exists()
    assert len({one[2] for one in found}) >= 2
    assert told[-1] == (len(expected), len(expected))
    for policy in POLICIES:
        assert json.dumps(replay(files, policy, prices=prices, engine=engine)) == json.dumps(replay(files, policy, prices=prices))
    assert analyze(files, prices=prices, engine=engine) == analyze(files, prices=prices)
    for _ in range(2):
        keeping = RayEngine(kept=KeptPieces(tmp_path / "kept"))
        assert json.dumps(replay(files, "default", prices=prices, engine=keeping)) == json.dumps(
            replay(files, "default", prices=prices)
        )
    with (tmp_path / "first.jsonl").open("a") as file:
        file.write("no JSON\n")
    with pytest.raises(DataError, match=r"first.jsonl:301: not a JSON object"):
        replay(files, "always:small", prices=prices, engine=engine)
