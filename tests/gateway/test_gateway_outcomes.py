"""Outcomes over HTTP and by the command line reach the ledger, the policies and the hooks."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gateways import TOKEN
from provider import CHAT, MESSAGES, RESPONSES, Provider, waited
from requests_of_agents import JSON, PATHS, request_of, written

from langroute.cli import cli
from langroute.core.errors import InputError, LangrouteError
from langroute.core.records import Decision, Step
from langroute.gateway.clients import Caller, token_digest
from langroute.gateway.outcome_endpoint import recorded_outcome
from langroute.ledger import open_ledger

SESSION = {**JSON, "x-session-id": "session-1"}


def test_what_came_of_a_session_is_told_of_its_task(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    with running.client() as client:
        for place in range(2):
            client.post(CHAT, content=written(request_of(CHAT, f"Task {place}.")), headers=SESSION)
        waited(lambda: len(running.decisions) == 2)
        told = client.post("/v1/outcomes", json={"session": "session-1", "success": True, "key": "tests_passed", "source": "tests"})
    assert told.json() == {"recorded": True, "about": "session-1"}
    task = running.ledger.task("session-1")
    assert (task.calls, task.success) == (2, True)
    assert task.cost_usd == pytest.approx(sum(decision.cost_usd for decision in running.decisions))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"session": "s"}',
        b'{"session": "s", "decision_id": "d", "success": true}',
        b'{"session": "s", "success": "yes"}',
        b'{"session": "s", "score": NaN}',
        b'{"session": "s", "success": true, "metadata": 1}',
        b'{"session": 3, "success": true}',
        json.dumps({"session": "s" * 5000, "success": True}).encode(),
    ],
)
def test_what_is_no_outcome_is_refused(body: bytes, gateway: Callable[..., Any]) -> None:
    with gateway().client() as client:
        answer = client.post("/v1/outcomes", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


CLIENTS = "".join(
    f'[clients.{name}]\ntoken_sha256 = "{token_digest(f"lr-{name}")}"\n{team}\n'
    for name, team in (("ada", 'team = "search"'), ("eve", 'team = "search"'), ("bob", 'team = "sales"'), ("cleo", ""), ("dan", ""))
)


@pytest.mark.parametrize(("asks", "tells", "status"), [
    ("ada", "ada", 200), ("ada", "eve", 200), ("ada", "bob", 400), ("ada", "cleo", 400), ("cleo", "ada", 400), ("cleo", "cleo", 200), ("cleo", "dan", 400)
])  # fmt: skip
@pytest.mark.parametrize("level", ["memory", "metadata"])
def test_a_client_tells_of_its_own_sessions_and_its_teams(
    asks: str, tells: str, status: int, level: str, provider: Provider, gateway: Callable[..., Any], tmp_path: Path
) -> None:
    ledger = None if level == "memory" else open_ledger(tmp_path / "ledger.db", level=level, flush_interval_s=0.01)
    running = gateway(more=CLIENTS, ledger=ledger)
    with running.client(headers={"authorization": f"Bearer lr-{asks}"}) as client:
        made = client.post(CHAT, content=written(request_of(CHAT)), headers=SESSION)
    assert made.status_code == 200
    decision = made.headers["x-langroute-decision"]
    waited(lambda: running.ledger.get(decision))
    with running.client(headers={"authorization": f"Bearer lr-{tells}"}) as client:
        for about in ({"session": "session-1"}, {"decision_id": decision}):
            assert client.post("/v1/outcomes", json={**about, "success": True}).status_code == status
        assert client.post("/v1/outcomes", json={"session": "session-2", "success": True}).status_code == 200
    assert running.ledger.task("session-1").success is (True if status == 200 else None)


@pytest.mark.parametrize(("before", "after"), [(None, "search"), ("search", None)])
def test_a_user_who_was_given_a_team_tells_of_what_was_before(before: str | None, after: str | None, tmp_path: Path) -> None:
    body = b'{"session": "s", "success": true}'
    with open_ledger(tmp_path / "ledger.db") as ledger:
        made = Caller("ada", "ada", before).metadata
        ledger.record(Decision("d1", Step("title", task="s"), "small", (), metadata=made))
        assert recorded_outcome(body, ledger.record_outcome, Caller("ada", "ada", after), ledger)["recorded"]
        with pytest.raises(InputError, match=r"one team in langroute\.toml, or tell it with the gateway's own token"):
            recorded_outcome(body, ledger.record_outcome, Caller("bob", "bob"), ledger)


def test_a_ledger_that_hangs_holds_no_outcome_for_long(
    gateway: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client hears that the ledger cannot say whose a session is, and that it can tell it again."""
    monkeypatch.setattr("langroute.ledger.sql.ASK_S", 0.2)
    ledger = open_ledger(tmp_path / "ledger.db", flush_interval_s=0.01)
    running = gateway(more=CLIENTS, ledger=ledger)
    other = sqlite3.connect(tmp_path / "ledger.db")
    other.execute("BEGIN EXCLUSIVE")
    try:
        ledger.record(Decision("d1", Step("title", task="s"), "small", ()))
        with running.client(headers={"authorization": "Bearer lr-ada"}) as client:
            answer = client.post("/v1/outcomes", json={"session": "s", "success": True})
    finally:
        other.rollback()
        other.close()
    assert answer.status_code == 503
    assert "Tell it again later" in answer.json()["error"]["message"]


def test_a_conversation_is_its_clients_own(provider: Provider, gateway: Callable[..., Any]) -> None:
    """What another client spends under the same id does not use up its budget."""
    running = gateway(more=f'{CLIENTS}[[budgets]]\nusd = 0.1\nper = "thread"')

    def ask(name: str) -> int:
        with running.client(headers={"authorization": f"Bearer lr-{name}"}) as client:
            return int(client.post(CHAT, content=written({**request_of(CHAT), "max_tokens": 100}), headers=SESSION).status_code)

    spent = [ask("bob") for _ in range(60)]
    assert spent[0] == 200
    assert spent[-1] == 400
    assert ask("ada") == 200
    waited(lambda: running.decisions[-1].step.task == "session-1")
    assert len({decision.step.thread for decision in running.decisions}) == 2


def test_the_command_tells_an_outcome(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    with running.client() as client:
        client.post(CHAT, content=written(request_of(CHAT)), headers=SESSION)
    waited(lambda: running.decisions)
    environment = {"LANGROUTE_TOKEN": TOKEN, "LANGROUTE_URL": running.url}
    done = CliRunner().invoke(cli, ["outcome", "session-1", "--failure", "--source", "ci"], env=environment)
    assert done.exit_code == 0, done.output
    assert running.ledger.task("session-1").success is False
    wrong = CliRunner().invoke(cli, ["outcome", "session-1", "--failure"], env={**environment, "LANGROUTE_TOKEN": "x"})
    assert isinstance(wrong.exception, LangrouteError)
    assert "token" in str(wrong.exception)


def test_a_sub_agent_belongs_to_its_parents_task(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    parent = {**JSON, "x-claude-code-session-id": "s1"}
    with running.client() as client:
        client.post("/v1/messages", content=written(request_of("/v1/messages")), headers=parent)
        child = {**parent, "x-claude-code-agent-id": "a1"}
        client.post("/v1/messages", content=written(request_of("/v1/messages", "Look it up.")), headers=child)
    first, second = waited(lambda: running.decisions if len(running.decisions) == 2 else None)
    assert (first.step.signals.depth, second.step.signals.depth) == (0, 1)
    assert first.step.task == second.step.task == "s1"
    assert first.step.thread != second.step.thread


def test_a_person_who_takes_it_back_tells_something_of_the_answer_before(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    body = request_of(CHAT, "Rename the file, please.")
    with running.client() as client:
        client.post(CHAT, content=written(body), headers=SESSION)
        body["messages"] += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "Undo that, please."}]
        client.post(CHAT, content=written(body), headers=SESSION)
        waited(lambda: len(running.decisions) == 2)
    (told,) = running.ledger.outcomes
    assert (told.source, told.task_id, told.success) == ("implicit:undone", "session-1", False)


PASSED = "collected 3 items\n\ntest_calc.py ...   [100%]\n\n==== 3 passed in 0.02s ===="
FAILED = "E   assert 1 == 2\nFAILED test_calc.py::test_add - assert 1 == 2\n==== 1 failed, 2 passed in 0.05s ===="


def after_tests(path: str, printed: str, command: str = "python -m pytest", number: int = 1) -> list[dict[str, Any]]:
    """What each client adds to its history when the model has had a command run."""
    if path == MESSAGES:
        used = {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash", "input": {"command": command, "description": "Run it"}}
        told = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": printed, "is_error": "FAILED" in printed}
        reminder = {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"}
        return [{"role": "assistant", "content": [used]}, {"role": "user", "content": [told, reminder]}]
    if path == RESPONSES:
        arguments = json.dumps({"cmd": command})
        told = f"Chunk ID: 1\nWall time: 0.3 seconds\nProcess exited with code {int('FAILED' in printed)}\nOutput:\n{printed}"
        return [
            {"type": "function_call", "name": "exec_command", "arguments": arguments, "call_id": f"call_{number}"},
            {"type": "function_call_output", "call_id": f"call_{number}", "output": told},
        ]
    call = {"id": f"call_{number}", "type": "function", "function": {"name": "bash", "arguments": json.dumps({"command": command})}}
    told = f"<returncode>{int('FAILED' in printed)}</returncode>\n<output>\n{printed}\n</output>"
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": told},
    ]


@pytest.mark.parametrize("path", PATHS)
def test_a_run_of_tests_tells_of_the_session(path: str, provider: Provider, gateway: Callable[..., Any]) -> None:
    """The last run counts; what is said outright counts more; a result is told once, though the history has it for ever."""
    running = gateway()
    body = request_of(path)
    entries = body["input" if path == RESPONSES else "messages"]
    with running.client() as client:

        def step(*more: dict[str, Any]) -> Any:
            entries.extend(more)
            seen = len(running.decisions)
            assert client.post(path, content=written(body), headers=SESSION).status_code == 200
            waited(lambda: len(running.decisions) > seen)
            return running.ledger.task("session-1").success

        assert step() is None
        assert step(*after_tests(path, FAILED)) is False
        assert step(*after_tests(path, "a.py", "ls", 2)) is False
        assert step(*after_tests(path, PASSED, number=3)) is True
        told = [(one.source, one.key, one.success) for one in running.ledger.outcomes_of("session-1")]
        assert told == [("implicit:tests", "tests_passed", False), ("implicit:tests", "tests_passed", True)]
        client.post("/v1/outcomes", json={"session": "session-1", "success": False, "source": "ci"})
        assert step(*after_tests(path, PASSED, number=4)) is False


def test_a_text_that_a_command_shows_is_no_run_of_tests(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway()
    body = request_of(CHAT)
    body["messages"] += after_tests(CHAT, PASSED, "cat README.md")
    with running.client() as client:
        client.post(CHAT, content=written(body), headers=SESSION)
    waited(lambda: running.decisions)
    assert running.ledger.outcomes == []


def test_tests_that_fail_on_the_way_withdraw_no_answer(provider: Provider, gateway: Callable[..., Any]) -> None:
    """A test that is written first fails, and a text that pretends to be one must not cost money."""
    running = gateway(more="[cache]\n")
    asked, tested = request_of(CHAT), request_of(CHAT)
    tested["messages"] += after_tests(CHAT, FAILED)
    with running.client() as client:
        found = [
            client.post(CHAT, content=written(one), headers=SESSION).headers["x-langroute-cache"] for one in (asked, tested, asked)
        ]
    assert found == ["miss", "miss", "hit"]
    assert [one.success for one in running.ledger.outcomes] == [False]
