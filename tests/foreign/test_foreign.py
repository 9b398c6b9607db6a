"""The runner of other projects' tests puts routers in, tells what fails with them alone, and fails on what is not listed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info < (3, 11):
    pytest.skip("the tests of langchain 1.5 need Python 3.11", allow_module_level=True)

import run
from foreign_suite import NotReachedError, Run, Suite, run_tests

TESTS = """
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

ASKED = {"messages": [HumanMessage("Hi.")]}


class Flaky(GenericFakeChatModel):
    calls: int = 0

    def _generate(self, *args, **kwargs):
        self.calls += 1
        if self.calls == 1:
            raise ConnectionResetError("once")
        return super()._generate(*args, **kwargs)


def test_answers():
    agent = create_agent(GenericFakeChatModel(messages=iter([AIMessage("Hello.", id="1")])))
    assert agent.invoke(ASKED)["messages"][-1] == AIMessage("Hello.", id="1")


def test_one_failure_reaches_the_caller():
    try:
        create_agent(Flaky(messages=iter(["Hello."]))).invoke(ASKED)
    except ConnectionResetError:
        return
    raise AssertionError("the router answered")


def test_fails_anyway():
    assert False, "in the baseline, too"
"""
# Each run of a suite starts a Python that imports LangChain.
pytestmark = pytest.mark.timeout(600)

FAILS = "test_theirs.py::test_one_failure_reaches_the_caller"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A suite of three tests, run as the real ones are, by this interpreter."""
    folder, scratch = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("scratch")
    (folder / "test_theirs.py").write_text(TESTS)
    suite = Suite("theirs", ("test_theirs.py",), ("model", "middleware"))
    listed = {("theirs", "model"): {FAILS: "answered", "test_theirs.py::test_answers": "answered"}}
    return {result.mode: result for result in run.run_suite(suite, sys.executable, folder, scratch, listed)}


def test_a_listed_failure_beyond_the_baseline_passes_the_run(results: dict[str, Any]) -> None:
    found = results["model"]
    assert set(found.baseline.failures()) == {"test_theirs.py::test_fails_anyway"}
    assert set(found.run.failures()) == {"test_theirs.py::test_fails_anyway", FAILS}
    assert found.reasons == {FAILS: "answered"}
    assert found.right


def test_a_failure_that_is_not_listed_fails_the_run(results: dict[str, Any]) -> None:
    found = results["middleware"]
    assert not found.right
    assert list(found.unlisted) == [FAILS]
    text = run.told([found], {})
    assert f"NOT LISTED (theirs, middleware) {FAILS}" in text
    assert "the router answered" in text


@pytest.mark.parametrize("mode", ["model", "middleware"])
def test_routers_answered(results: dict[str, Any], mode: str) -> None:
    assert results[mode].run.counts == {"routers": 2, "decisions": 2}
    assert results[mode].baseline.counts == {}


def test_a_listed_test_that_passes_is_told(results: dict[str, Any]) -> None:
    assert results["model"].stale == ("test_theirs.py::test_answers",)
    assert "listed, but passes (theirs, model) test_theirs.py::test_answers" in run.told([results["model"]], {"answered": "."})


def test_a_run_without_routers_is_not_right(results: dict[str, Any]) -> None:
    found = results["model"]
    idle = run.Result("theirs", "model", found.baseline, Run(found.baseline.outcomes), {}, {})
    assert not idle.right


def test_a_run_that_pytest_could_not_make_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="pytest ended with 4 in mode baseline"):
        run_tests(sys.executable, tmp_path, ["missing.py"], "baseline", tmp_path / "report.json")


def test_every_listed_failure_has_a_reason_and_is_of_a_suite() -> None:
    reasons, listed = run.expected()
    known = run.suites()
    assert all(mode in known[suite].modes for suite, mode in listed)
    assert {key for tests in listed.values() for key in tests.values()} == set(reasons)


@pytest.mark.parametrize(
    "entry, said", [('reason = "none"\ntests = []', "is no reason"), ('reason = "a"\ntests = ["t", "t"]', "twice")]
)
def test_a_wrong_list_is_told(tmp_path: Path, entry: str, said: str) -> None:
    path = tmp_path / "expected.toml"
    path.write_text(f'[reasons]\na = "A."\n[[failures]]\nsuite = "s"\nmode = "model"\n{entry}\n')
    with pytest.raises(ValueError, match=said):
        run.expected(path)


def fetched(suite: Suite, folder: Path) -> Path:
    try:
        return suite.fetch(sys.executable, folder)
    except NotReachedError as error:
        pytest.skip(f"PyPI cannot be reached: {str(error)[:300]}")


def test_a_published_sdist_has_the_tests(tmp_path: Path) -> None:
    suite = run.suites()["langgraph-prebuilt"]
    folder = fetched(suite, tmp_path)
    assert [path for name in suite.tests for path in (folder / name).rglob("test_*.py")]


def test_an_sdist_with_another_hash_is_refused(tmp_path: Path) -> None:
    suite = run.suites()["langgraph-prebuilt"]
    fetched(suite, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(NotReachedError, match="(?i)hash"):
        Suite("other", suite.tests, suite.modes, sdist=suite.sdist, sha256="0" * 64).fetch(sys.executable, other)
    assert not list(other.glob("*.tar.gz"))


def test_deepagents_own_tests_need_a_checkout(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(["deepagents"])
    assert "has no tests: give --checkout" in capsys.readouterr().err
