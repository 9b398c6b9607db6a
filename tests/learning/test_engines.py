"""Many workers give the same result as one process, to the last digit, also when one of them is killed."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from math import fsum
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from langchain_core.embeddings import Embeddings
from made_traffic import PRICES, made_traffic, write

from langroute.cli import cli
from langroute.core.errors import DataError, UnknownRouteError
from langroute.estimators.store import save_policy
from langroute.learning import drawing, fit, neighbours, outcome_table, pieces
from langroute.learning.advise import advise, advise_files
from langroute.learning.analyze import analyze
from langroute.learning.card import card_of
from langroute.learning.crossfit import Settings
from langroute.learning.drawing import DrawingWork, Drawn, drawn_from
from langroute.learning.kept_pieces import KeptPieces
from langroute.learning.outcome_reader import OutcomeReader, OutcomeWork
from langroute.learning.outcome_table import OutcomeTable
from langroute.learning.pieces import OneProcess, Piece, in_pieces, pieces_of
from langroute.learning.prices import read_prices
from langroute.learning.replay import replay
from langroute.learning.traffic import parse_exchange, read_traffic

POLICIES = ("always:small", "default")


class Backwards:
    """Works on copies of the pieces from the last one on, as workers elsewhere might, each with the work as it arrives there."""

    def run(self, work: Any, paths: Sequence[str | Path]) -> Iterator[Any]:
        return self.map(Reading(work), pieces_of(paths))

    def map(self, work: Any, parts: Iterable[Any]) -> Iterator[Any]:
        found = {}
        for number, part in reversed(list(enumerate(parts))):
            there, its = pickle.loads(pickle.dumps((work, part)))
            found[number] = pickle.loads(pickle.dumps(there(its)))
        yield from (found[number] for number in sorted(found))


@dataclass
class Reading:
    """Work on what is read of a piece."""

    work: Any

    def __call__(self, piece: Piece) -> Any:
        return self.work(piece.exchanges())


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


def repeated(count: int = 40, times: int = 4) -> list[dict[str, Any]]:
    """Requests that are asked again and again, one after all others, so that the repeats of one are in different pieces."""
    rows = made_traffic(count * times, seed=3)
    for number, row in enumerate(rows):
        row["messages"] = rows[number % count]["messages"]
        row["task"] = rows[number % count]["task"]
        row["step"] = {"served": ("small", "large")[number % 2], "team": f"team {number % 7}"}
        for place, outcome in enumerate(row["outcomes"].values()):
            outcome["cost_usd"] = 0.1 * (1 + place) + number * 1e-7
            outcome["verified"] = number % 3 / 2
        if number >= count:
            # The first routes of later pieces are others.
            row["outcomes"] = dict(reversed(row["outcomes"].items()))
    return rows


@pytest.mark.usefixtures("small_pieces")
def test_advice_too(files: list[Path], prices: Any) -> None:
    expected = advise_files(files, prices=prices, by=("task", "kind"))
    assert json.dumps(advise_files(files, prices=prices, by=("task", "kind"), engine=Backwards())) == json.dumps(expected)
    assert json.dumps(advise(read_traffic(files), prices=prices, by=("task", "kind"))) == json.dumps(expected)
    with pytest.raises(UnknownRouteError):
        advise_files(files, frontier="huge", engine=Backwards())


@pytest.mark.usefixtures("small_pieces")
def test_repeats_of_a_request_find_one_another_in_whichever_pieces_they_are(tmp_path: Path) -> None:
    rows = repeated()
    file = write(tmp_path / "repeated.jsonl", rows)
    assert len(list(pieces_of([file]))) == 3
    found = advise_files([file], engine=Backwards())
    assert [(one["route"], one["requests"], one["runs"]) for one in found["luck"]["routes"]] == [
        (one["route"], 40, 4.0) for one in found["luck"]["routes"]
    ]
    assert found["luck"]["oracle"]["requests"] == 40
    assert {one["route"]: one["spend_usd"] for one in found["routes"]} == {
        name: fsum(row["outcomes"][name]["cost_usd"] for row in rows) for name in rows[0]["outcomes"]
    }


@pytest.mark.parametrize("most", [10_000, 100])
@pytest.mark.usefixtures("small_pieces")
def test_tables_of_pieces_come_to_the_table_of_everything(most: int) -> None:
    def table_of(exchanges: Iterable[Any]) -> OutcomeTable:
        reader = OutcomeReader(by=("task", "team"), most=most)
        for one in exchanges:
            reader.add(one)
        return reader.table

    rows, merged = [parse_exchange(row) for row in repeated()], OutcomeTable()
    for more in in_pieces(table_of, enumerate(rows, 1)):
        merged.merge(more, most)
    assert (merged.sample().share < 1) == (most == 100)
    # As texts, for numbers that are not known are equal to nothing.
    assert repr(merged) == repr(table_of(rows))


@pytest.mark.usefixtures("small_pieces")
def test_routes_and_families_beyond_those_that_are_told_apart_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_table, "MOST_NAMES", 2)
    rows = repeated()
    for row in rows[:64]:
        del row["outcomes"]["other"]
    merged = OutcomeTable()
    for more in in_pieces(OutcomeWork({}, ("team",)), enumerate(map(parse_exchange, rows), 1)):
        merged.merge(more)
    assert (list(merged.routes), merged.left_out) == (["small", "large"], {"(others)": len(rows) - 64})
    assert list(merged.families) == ["team 0", "team 1", "(others)"]
    sample = merged.sample()
    assert [sample.family.tolist().count(place) for place in range(3)] == [23, 23, len(rows) - 46]
    assert set(sample.route.tolist()) == {0, 1}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("most", [150, 1000])
def test_the_same_requests_are_drawn_whoever_reads(files: list[Path], monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    # Empty lines are no requests, so that too few are drawn at first.
    files[0].write_text(files[0].read_text().replace("\n", "\n\n\n"))
    monkeypatch.setattr(drawing, "SURE", 0.0)
    drawn = drawn_from(files, 7, most)
    assert drawn == drawn_from(files, 7, most, Backwards())
    assert len(drawn) == min(most, 500)
    everything = list(read_traffic(files))
    assert [one for one in everything if one in drawn] == drawn, "in the traffic's order"
    assert (drawn == drawn_from(files, 8, most)) == (most > 500)


def test_every_request_is_drawn_as_likely() -> None:
    counts = dict.fromkeys(range(20), 0)
    rows = [parse_exchange({**made_traffic(1)[0], "id": str(number)}) for number in counts]
    for seed in range(2000):
        drawn = Drawn()
        drawn.merge(DrawingWork(seed)(rows), 5)
        for one in drawn.exchanges:
            counts[int(one.id)] += 1
    # 500 each in the mean, with a standard deviation of 19.
    assert all(400 < count < 600 for count in counts.values())


def fitted_bytes(folder: Path, files: list[Path], prices: Any, **options: Any) -> list[bytes]:
    policy = fit.fit_files(files, prices=prices, settings=Settings(folds=3, trees=6), **options)
    save_policy(policy, folder, card_of(policy))
    return [path.read_bytes() for path in sorted(folder.iterdir())]


class Lengths(Embeddings):
    """Know how long a text is."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[1.0, len(text) / 100] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        raise AssertionError(text)


@pytest.mark.usefixtures("small_pieces")
def test_a_fit_too(files: list[Path], prices: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of fewer requests than there are, with the letters of labels, embeddings and cascades."""
    pytest.importorskip("sklearn")
    monkeypatch.setattr(fit, "MOST", 450)
    expected = fitted_bytes(tmp_path / "one", files, prices, embeddings=Lengths())
    assert fitted_bytes(tmp_path / "many", files, prices, embeddings=Lengths(), engine=Backwards()) == expected


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

    def map(self, work: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        return map(work, parts)

    def run(self, work: Any, paths: Sequence[str | Path]) -> Iterator[Any]:
        for piece in pieces_of(paths):
            yield (
                self.kept.get(work.key, piece, partial(self.make, work, piece), work.makes)
                if hasattr(work, "key")
                else work(piece.exchanges())
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


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("work", [OutcomeWork({}, ("task",)), DrawingWork(0)])
def test_what_advice_and_fits_read_is_kept_as_well(files: list[Path], tmp_path: Path, work: Any) -> None:
    expected = list(OneProcess().run(work, files))
    with pytest.raises(KeyboardInterrupt):
        list(Keeping(tmp_path / "kept", 3).run(work, files))
    again = Keeping(tmp_path / "kept")
    found = list(again.run(work, files))
    assert again.made == len(expected) - 3
    totals = []
    for results in (expected, found):
        total = type(results[0])()
        for one in results:
            total.merge(one, 400)
        totals.append(repr(total))
    assert totals[0] == totals[1]


@pytest.mark.usefixtures("small_pieces")
def test_an_analysis_that_was_stopped_goes_on_from_what_is_kept(files: list[Path], prices: Any, tmp_path: Path) -> None:
    whole, expected = len(list(pieces_of(files))), analyze(files, prices=prices)
    with pytest.raises(KeyboardInterrupt):
        analyze(files, prices=prices, engine=Keeping(tmp_path / "kept", 3))
    again = Keeping(tmp_path / "kept")
    assert analyze(files, prices=prices, engine=again) == expected
    assert again.made == whole - 3
    # Without clusters no words are read, which is other work.
    other = Keeping(tmp_path / "kept")
    assert analyze(files, prices=prices, by=("task",), engine=other) == analyze(files, prices=prices, by=("task",))
    assert other.made == whole


def test_a_piece_with_values_that_are_no_json_is_done_again(tmp_path: Path) -> None:
    kept, piece = KeptPieces(tmp_path), Piece("s3://bucket/traffic.parquet", 0, 1)
    row = {**made_traffic(1)[0], "step": {"day": date(2026, 12, 1)}}
    for _ in range(2):
        assert kept.get("draw", piece, lambda: DrawingWork(0)([parse_exchange(row)])).exchanges[0].step["day"] == date(2026, 12, 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--engine", "ray"], ["--resume", "kept"]])
def test_a_ledger_is_advised_on_in_one_process(tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(cli, ["advise", "--ledger", str(tmp_path / "ledger.db"), *options])
    assert (done.exit_code, "A ledger is read in one process" in str(done.exception)) == (1, True)


@pytest.mark.parametrize("command", [["fit", "-o", "policy"], ["analyze"]])
def test_one_process_keeps_nothing(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [*command, str(files[0]), "--resume", "kept"])
    assert (done.exit_code, "leave out --resume" in str(done.exception)) == (1, True)


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


@dataclass
class KillsItsFirstWorker:
    """Work whose first part takes its worker with it."""

    work: Any
    mark: Path

    def __call__(self, part: Any) -> Any:
        try:
            self.mark.touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.work(part)


@dataclass
class Deadly:
    """An engine of which a worker dies in each of the first runs and maps."""

    engine: Any
    marks: Path
    killed: list[Path] = field(default_factory=list)

    def _work(self, work: Any) -> Any:
        if len(self.killed) == 3:
            return work
        self.killed.append(self.marks / str(len(self.killed)))
        return KillsItsFirstWorker(work, self.killed[-1])

    def run(self, work: Any, paths: Sequence[str | Path]) -> Iterator[Any]:
        return iter(self.engine.run(self._work(work), paths))

    def map(self, work: Any, parts: Iterable[Any]) -> Iterator[Any]:
        return iter(self.engine.map(self._work(work), parts))


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


@real
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("cluster", "small_pieces")
def test_advice_and_a_fit_of_two_workers_of_which_some_are_killed(files: list[Path], prices: Any, tmp_path: Path) -> None:
    from langroute.learning.ray_engine import RayEngine

    engine = Deadly(RayEngine(), tmp_path)
    expected = json.dumps(advise_files(files, prices=prices))
    assert json.dumps(advise_files(files, prices=prices, engine=engine)) == expected
    alone = fitted_bytes(tmp_path / "one", files, prices, routes=["small", "large"])
    assert fitted_bytes(tmp_path / "many", files, prices, routes=["small", "large"], engine=engine) == alone
    # Advice is one run; a fit is one, and maps of words, trees and letters.
    assert [mark.exists() for mark in engine.killed] == [True] * 3
    for _ in range(2):
        keeping = RayEngine(kept=KeptPieces(tmp_path / "kept"))
        assert json.dumps(advise_files(files, prices=prices, engine=keeping)) == expected
    with files[0].open("a") as file:
        file.write("no JSON\n")
    with pytest.raises(DataError, match=r"first.jsonl:301: not a JSON object"):
        advise_files(files, engine=RayEngine())
