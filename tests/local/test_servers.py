"""Start, discovery and shutdown of local servers, with the real small model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from local_models import directory_with
from waiting import wait_until

from langroute import ChatRouter
from langroute.cli import cli
from langroute.core.errors import LocalModelError
from langroute.local import LocalServer, connect, running, serve, start
from langroute.local.locks import is_held
from langroute.local.places import model_path
from langroute.local.servers import USD_PER_CORE_HOUR

pytestmark = [pytest.mark.server, pytest.mark.local_model]
SMALL = "smollm2-135m"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return directory_with(SMALL, at=tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[LocalServer]:
    with serve(SMALL, directory=directory, threads=1, context=1024) as started:
        yield started


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_served_model_answers_with_usage_and_the_seconds_it_worked(server: LocalServer) -> None:
    answer = server.chat_model(max_tokens=8).invoke("Say hello.")

    assert answer.text
    assert answer.usage_metadata is not None
    assert 0 < answer.usage_metadata["output_tokens"] <= 8
    assert 0 < answer.response_metadata["compute_seconds"] < 60


def test_a_stream_carries_usage_and_seconds_too(server: LocalServer) -> None:
    chunks = list(server.chat_model(max_tokens=8).stream("Say hello."))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk

    assert len(chunks) > 2
    assert whole.usage_metadata["output_tokens"] > 0
    assert whole.response_metadata["compute_seconds"] > 0


async def test_awaited_calls_carry_seconds_too(server: LocalServer) -> None:
    answer = await server.chat_model(max_tokens=8).ainvoke("Say hello.")

    assert answer.response_metadata["compute_seconds"] > 0


def test_a_call_through_a_router_costs_the_seconds_the_server_worked(server: LocalServer) -> None:
    model = ChatRouter({"cheap": server.route(tier="cheap")}, max_tokens=8)
    answer = model.invoke("Say hello.")

    worked = answer.response_metadata["compute_seconds"]
    assert answer.response_metadata["langroute"]["cost_usd"] == pytest.approx(worked * USD_PER_CORE_HOUR / 3600)
    assert server.price.per_second == pytest.approx(server.threads * USD_PER_CORE_HOUR / 3600)


def test_a_json_schema_holds_the_small_model_to_its_form(server: LocalServer) -> None:
    schema = {
        "title": "mood",
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}},
        "required": ["mood"],
        "additionalProperties": False,
    }
    answer = server.chat_model().with_structured_output(schema).invoke("I love it. How is my mood?")

    assert answer["mood"] in ("good", "bad")


def test_a_server_that_waits_its_turn_charges_only_for_its_work(server: LocalServer) -> None:
    model = server.chat_model(max_tokens=40)
    begun = time.perf_counter()
    answers = model.batch(["Count to ten.", "Name four colours.", "What is a river?"])
    wall = time.perf_counter() - begun

    assert sum(answer.response_metadata["compute_seconds"] for answer in answers) < 1.5 * wall


def test_nobody_without_the_key_gets_an_answer(server: LocalServer) -> None:
    request = urllib.request.Request(f"{server.base_url}/models", headers={"Authorization": "Bearer guessed"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=5)
    assert server.address.startswith("http://127.0.0.1:")
    assert server.api_key not in repr(server)


def test_state_and_log_are_the_users_own_and_hold_no_prompt(server: LocalServer, directory: Path) -> None:
    server.chat_model(max_tokens=4).invoke("A very private matter.")

    files = list((directory / "servers").iterdir())
    assert {path.suffix for path in files} >= {".json", ".log"}
    for path in files:
        assert path.stat().st_mode & 0o077 == 0, path
        assert b"private matter" not in path.read_bytes()


def test_a_server_ends_with_its_block(directory: Path) -> None:
    with serve(SMALL, directory=directory, threads=1, context=512) as started:
        assert started.is_healthy()
        assert started.name in [found.name for found in running(directory)]

    assert not is_alive(started.pid)
    assert not started.is_healthy()
    assert not list((directory / "servers").glob(f"{started.name}*"))


def test_a_server_ends_with_its_program_even_when_that_is_killed(directory: Path) -> None:
    program = (
        "import sys, time; sys.path[:0] = [sys.argv[1]]\n"
        "from langroute.local import start\n"
        f"server = start({SMALL!r}, directory=sys.argv[2], threads=1, context=512)\n"
        "print(server.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(ROOT), str(directory)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: not is_alive(pid))
    assert pid not in [found.pid for found in running(directory)]


def test_a_killed_server_is_no_longer_listed(directory: Path) -> None:
    started = start(SMALL, directory=directory, threads=1, context=512)
    os.kill(started.pid, signal.SIGKILL)

    wait_until(lambda: started.name not in [found.name for found in running(directory)])
    started.stop()


def test_the_command_line_starts_lists_and_stops(directory: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["local", *arguments, "--directory", str(directory)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    try:
        assert "answers at http://127.0.0.1:" in run("start", SMALL, "--threads", "1", "--context", "512")
        listed = json.loads(run("list", "--format", "json"))
        detached = next(found for found in listed["servers"] if found["name"] == SMALL)
        assert connect(SMALL, directory).pid == detached["pid"]
        assert connect(SMALL, directory).chat_model(max_tokens=3).invoke("Hi.").usage_metadata["output_tokens"] > 0
        assert detached["base_url"] in run("list")
        with pytest.raises(LocalModelError, match="is running already"):
            start(SMALL, directory=directory, detached=True)
    finally:
        assert f"{SMALL} is stopped" in run("stop", SMALL)
    assert not is_alive(detached["pid"])
    assert not is_held(directory / "servers" / f"{SMALL}.lock")


def test_stopping_what_does_not_run_says_what_does(directory: Path) -> None:
    result = CliRunner().invoke(cli, ["local", "stop", "nobody", "--directory", str(directory)])

    assert isinstance(result.exception, LocalModelError)
    assert "No server 'nobody' is running" in str(result.exception)


def test_a_model_that_is_not_here_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match=f"langroute local fetch {SMALL}"):
        start(SMALL, directory=tmp_path)
    with pytest.raises(LocalModelError, match=f"langroute local start {SMALL}"):
        connect(SMALL, tmp_path)


def test_a_server_that_cannot_load_its_model_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    from langroute.local.catalogue import CATALOGUE

    path = model_path(SMALL, tmp_path)
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(CATALOGUE[SMALL].size)
    with pytest.raises(LocalModelError, match="The server ended while it was starting"):
        start(SMALL, directory=tmp_path, threads=1, timeout_seconds=30)

    assert running(tmp_path) == []


def test_a_context_beyond_the_models_is_refused(directory: Path) -> None:
    with pytest.raises(LocalModelError, match="context of 1 to 8192 tokens, not 9000"):
        start(SMALL, directory=directory, context=9000)
