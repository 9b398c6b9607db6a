"""Outcomes over HTTP and by the command line reach the ledger, the policies and the hooks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from gateways import TOKEN
from provider import CHAT, Provider, waited
from requests_of_agents import JSON, request_of, written

from langroute.cli import cli
from langroute.core.errors import LangrouteError

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
