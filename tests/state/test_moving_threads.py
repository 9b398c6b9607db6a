"""Four worker processes take the steps of 200 threads in turns: routes, latches, pins and verdicts are those of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, messages_to_dict
from redis_server import RedisServer
from thread_worker import Worker
from waiting import wait_until

HERE = Path(__file__).parent
WORKERS, THREADS = 4, 200
KINDS = ("escalate", "sticky", "pin", "cache", "cap", "graph", "even", "harm")
ROUNDS = {"graph": 2, "sticky": 4, "pin": 4, "even": 3, "harm": 3}
"""Steps of a thread; of others 5."""

TOLD = "It is a long story, and all of it matters here. " * 120

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on this system"),
]


class Fleet:
    """Worker processes, asked over pipes."""

    at_once = WORKERS

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.workers = [self.start() for _ in range(WORKERS)]

    def start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, str(HERE / "thread_worker.py"), *self.arguments]
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, place: int, asked: dict[str, Any]) -> Any:
        worker = self.workers[place]
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(asked) + "\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline())

    def each(self, asked: dict[str, Any]) -> list[Any]:
        with ThreadPoolExecutor(WORKERS) as pool:
            return list(pool.map(lambda place: self.ask(place, asked), range(WORKERS)))

    def restart(self, place: int) -> None:
        """As `kill -9` does."""
        self.workers[place].kill()
        self.workers[place].wait()
        self.workers[place] = self.start()

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()


class Alone:
    """One process that takes all steps."""

    at_once = 1

    def __init__(self, folder: Path) -> None:
        self.worker = Worker(None, None, str(folder))

    def ask(self, place: int, asked: dict[str, Any]) -> Any:
        return self.worker.do(asked)

    def each(self, asked: dict[str, Any]) -> list[Any]:
        return [self.ask(0, asked)]

    def restart(self, place: int) -> None:
        """Do nothing: this one keeps all that it knows."""


def history_of(kind: str, number: int, round_: int, answers: list[Any]) -> list[Any]:
    """The messages of a thread's step, the stored answers among them."""
    begin = "a complex question" if number % 3 == 0 else "a question"
    if kind in ("escalate", "cache"):
        found = [messages_to_dict([HumanMessage(f"Mend parser {number % 5}. {TOLD if kind == 'cache' else ''}")])[0]]
        results = ["2 failed", "3 failed", "12 passed", "4 failed", "12 passed"]
        for place, answer in enumerate(answers):
            call = {"name": "run_tests", "args": {"n": place}, "id": f"c{place}", "type": "tool_call"}
            told = {"usage_metadata": answer["data"]["usage_metadata"], "response_metadata": answer["data"]["response_metadata"]}
            result = results[place] if number % 2 else "12 passed"
            found += messages_to_dict([AIMessage("", tool_calls=[call], **told), ToolMessage(result, tool_call_id=f"c{place}")])
            if kind == "cache" and place == 2:
                found += messages_to_dict([HumanMessage("Now write it down, and tell the others.")])
        return found
    if kind == "cap":
        return sub_agents(begin, number, round_, answers)
    found = messages_to_dict([HumanMessage(begin)])
    for place, answer in enumerate(answers):
        found += [answer, *messages_to_dict([HumanMessage("a complex one, too" if place % 2 else "go on, please")])]
    return found


def sub_agents(begin: str, number: int, round_: int, answers: list[Any]) -> list[Any]:
    """An agent asks once in each of two turns, and a sub-agent with messages of its own works for it: two steps, then one."""
    delegated = messages_to_dict([HumanMessage("Look up a complex matter.")])
    if round_ in (1, 4):
        return delegated
    if round_ == 2:
        return [*delegated, answers[1], *messages_to_dict([ToolMessage("Found.", tool_call_id="c")])]
    first = messages_to_dict([HumanMessage(begin)])
    if round_ == 0:
        return first
    return [*first, answers[0], *messages_to_dict([HumanMessage("a question" if number % 2 else begin)])]


def asked_of(number: int, round_: int, answers: list[Any]) -> dict[str, Any]:
    """One step of a thread, as a worker is asked for it."""
    kind = KINDS[number % len(KINDS)]
    # Some threads have no id; their beginnings are all alike.
    named = number % 5 > 0 or kind in ("cap", "graph", "even", "harm")
    limited = kind in ("sticky", "pin") and number % 7 == 0 and round_ == 0
    inner = kind == "cap" and round_ in (1, 2, 4)
    return {
        "do": "step",
        "kind": kind,
        "thread": f"t{number}" if named else None,
        "limits": {"route": "balanced"} if limited else {},
        "tools": kind in ("escalate", "cache"),
        "metadata": {"langgraph_checkpoint_ns": "tools:1|agent:2"} if inner else {},
        "messages": history_of(kind, number, round_, answers),
    }


Routes = dict[str, list[str]]


def take_steps(workers: Any) -> Routes:
    """Take the steps of all threads, a round at a time, and return the routes of each."""
    routes: Routes = {f"t{number}": [] for number in range(THREADS)}
    answers: dict[int, list[Any]] = {number: [] for number in range(THREADS)}

    def turn(place: int, round_: int) -> None:
        for number in range((place - round_) % WORKERS, THREADS, WORKERS):
            if round_ < ROUNDS.get(KINDS[number % len(KINDS)], 5):
                answer = workers.ask(place, asked_of(number, round_, answers[number]))
                routes[f"t{number}"].append(answer["route"])
                answers[number].append(answer["message"])

    for round_ in range(5):
        with ThreadPoolExecutor(workers.at_once) as pool:
            list(pool.map(turn, range(WORKERS), [round_] * WORKERS))
        workers.each({"do": "settle"})
        if round_ in (1, 2):
            workers.restart(round_)
    return routes


def play(workers: Any) -> tuple[Routes, list[Any]]:
    """Return the routes of every thread, and what each worker's canaries say in the end."""
    routes = take_steps(workers)
    for number in range(THREADS):
        if (kind := KINDS[number % len(KINDS)]) in ("even", "harm"):
            new = routes[f"t{number}"][0] == "cheap"
            success = number % 3 > 0 if kind == "even" else not new
            workers.ask((number * 7 + 1) % WORKERS, {"do": "outcome", "kind": kind, "task": f"t{number}", "success": success})

    def verdicts() -> list[Any]:
        return [[workers.ask(place, {"do": "verdict", "kind": kind}) for kind in ("even", "harm")] for place in range(WORKERS)]

    def heard() -> bool:
        return all(even[1] + even[2] == THREADS // len(KINDS) and harm[0] != "running" for even, harm in verdicts())

    wait_until(heard)
    return routes, verdicts()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return play(Alone(tmp_path_factory.mktemp("alone")))


@pytest.fixture(params=["sqlite", "postgres", "redis"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    where, store = str(tmp_path / "ledger.db"), ""
    if request.param == "postgres":
        where = str(request.getfixturevalue("postgres"))
    elif request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        store = server.url
    running = Fleet(where, store, str(tmp_path))
    yield running
    running.close()


@pytest.mark.timeout(300)
def test_what_is_decided_does_not_depend_on_which_process_decides(alone: Any, fleet: Fleet) -> None:
    routes, verdicts = play(fleet)
    expected, verdict = alone

    differ = {name: (found, expected[name]) for name, found in routes.items() if found != expected[name]}
    assert not differ
    assert [one[0] for one in verdicts] == [verdict[0][0]] * WORKERS
    assert {one[1][0] for one in verdicts} == {verdict[0][1][0]} == {"harm"}
    # The threads have something to agree on.
    assert {"cheap", "balanced", "frontier"} <= {route for found in expected.values() for route in found}
    assert any(len(set(found)) > 1 for found in expected.values())
