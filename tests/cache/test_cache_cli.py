"""Does `langroute cache` show what is kept, and forget what it is told to?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from langroute.cache import ResponseCache
from langroute.chat_model import ChatRouter
from langroute.cli.cache import cache
from langroute.errors import ConfigurationError, InputError
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
    with pytest.raises(ConfigurationError, match="Say what to purge"):
        run(file, "purge")
    assert "1 entry forgotten" in run(file, "purge", "--all", "--yes").output


def test_a_cache_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no cache"):
        run(tmp_path / "none.db", "stats")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(InputError, match="Say which cache"):
        CliRunner(env={"LANGROUTE_CACHE": ""}).invoke(cache, ["stats"], catch_exceptions=False)
