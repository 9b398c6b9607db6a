"""`langroute cache` shows what is stored and purges what it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from langroute.cache import ResponseCache
from langroute.cli.cache import cache
from langroute.core.errors import CacheError, InputError
from langroute.core.records import Decision, Step
from langroute.core.task_context import task
from langroute.hosts.chat_model import ChatRouter
from langroute.ledger import open_ledger
from langroute.testing import ScriptedModel


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cache.db"
    kept = ResponseCache(path, isolate=["tenant_id"])
    model = ChatRouter(
        {"cheap": ScriptedModel("Because.", model="m-1")}, response_cache=kept, prices={"cheap": {"input": 1, "output": 1}}
    )
    for tenant in ("a", "b"):
        for question in ("Why?", "How?"):
            model.invoke(question, {"metadata": {"tenant_id": tenant}, "configurable": {"langroute_cache_tags": [question]}})
    kept.close()
    return path


def run(file: Path, *words: str) -> Result:
    return CliRunner().invoke(cache, ["--cache", str(file), *words], catch_exceptions=False)


def test_stats_say_how_full_it_is(file: Path) -> None:
    shown = run(file, "stats").output
    assert "4 entries" in shown
    assert "cheap" in shown
    assert "m-1" in shown
    known = json.loads(run(file, "stats", "--format", "json").output)
    assert (known["entries"], known["kind"], len(known["namespace"])) == (4, {"answer": 4}, 2)
    assert known["worth_usd"] > 0


def test_what_the_entries_are_worth_is_never_rounded_to_nothing(file: Path) -> None:
    assert "and 0.0000" in run(file, "stats").output
    assert "0.0000 USD" not in run(file, "stats").output


@pytest.mark.parametrize("words", [("stats",), ("show",), ("purge", "--all", "--yes")])
def test_another_programs_database_is_left_as_it_is(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A ledger has a table `tags`, too."""
    path = tmp_path / "ledger.db"
    with open_ledger(path) as ledger:
        with task("t1", unstick_when="7"):
            ledger.record(Decision("d1", Step(), "small", ()))
        ledger.flush()
    before = path.read_bytes()
    with pytest.raises(InputError, match="There is no cache"):
        run(path, *words)
    with pytest.raises(CacheError, match="belongs to another program: it has tags and is no cache"):
        ResponseCache(path)
    assert path.read_bytes() == before


def test_a_cache_that_cannot_be_reached_is_said_in_a_line() -> None:
    pytest.importorskip("redis", reason="redis is not installed (pip install 'langroute[redis]')")
    with pytest.raises(CacheError, match="cannot be reached"):
        CliRunner().invoke(cache, ["--cache", "redis://127.0.0.1:9/0", "stats"], catch_exceptions=False)


@pytest.mark.parametrize(("words", "said"), [((), "Say what to forget: --key"), (("--of", "acme"), "give NAME=VALUE")])
def test_a_purge_of_nothing_says_what_can_be_purged(file: Path, words: tuple[str, ...], said: str) -> None:
    done = run(file, "purge", *words)
    assert done.exit_code == 2
    assert said in done.output
    assert "4 entries" in run(file, "stats").output


def test_show_keeps_the_text_back_unless_asked(file: Path) -> None:
    assert "Because." not in run(file, "show").output
    assert "Because." in run(file, "show", "--text").output
    key = ResponseCache(file).store.keys()[0]
    assert key in run(file, "show", key[:10]).output
    assert "Because." in run(file, "show", key, "--text").output
    with pytest.raises(InputError, match="No entry"):
        run(file, "show", "nothing")


def test_purge_forgets_what_it_is_told_to(file: Path) -> None:
    assert "1 entry forgotten" in run(file, "purge", "--of", "tenant_id=a", "--tag", "Why?").output
    assert "0 entries forgotten" in run(file, "purge", "--older-than", "2h").output
    assert "2 entries forgotten" in run(file, "purge", "--tag", "How?", "--route", "cheap").output
    assert run(file, "purge", "--older-than", "soon").exit_code == 2
    assert run(file, "purge").exit_code == 2
    assert "1 entry forgotten" in run(file, "purge", "--all", "--yes").output


def test_a_cache_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no cache"):
        run(tmp_path / "none.db", "stats")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(InputError, match="Say which cache"):
        CliRunner(env={"LANGROUTE_CACHE": ""}).invoke(cache, ["stats"], catch_exceptions=False)
