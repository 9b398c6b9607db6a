"""What the gateway changes in a request, or loses in its translation, is in the decision as it is in the response header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from provider import CHAT, MESSAGES, Fault, Provider, waited
from requests_of_agents import JSON, request_of, written

from langroute.cli import cli
from langroute.ledger import open_ledger
from langroute.ledger.codec import dumps, loads

ADAPTIVE = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
HAIKU = """
[routes.haiku]
provider = "anthropic"
model = "claude-haiku-4-5"
key_env = "KEY"
base_url = "{url}"
price = {{ input = 1, output = 5 }}
"""
CHAT_ONLY = """
[routes.only]
provider = "openai"
model = "only-1"
key_env = "KEY"
base_url = "{url}"
protocols = ["chat"]
translate = true
price = {{ input = 1, output = 5 }}
"""


def asked(running: Any, model: str, *, stream: bool = True, **more: Any) -> tuple[Any, Any]:
    """The answer to a request of the messages protocol, and its decision."""
    before = len(running.decisions)
    with running.client() as client:
        answer = client.post(MESSAGES, content=written(request_of(MESSAGES, model=model, stream=stream, **more)), headers=JSON)
    return answer, waited(lambda: running.decisions[before:])[0]


@pytest.mark.parametrize("stream", [True, False])
def test_edits_of_a_request_are_in_its_decision(stream: bool, provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(more=HAIKU.format(url=provider.url))
    answer, decision = asked(running, "haiku", stream=stream, **ADAPTIVE)
    assert decision.kept.edits == tuple(answer.headers["x-langroute-edits"].split(", "))
    assert set(decision.kept.edits) == {"drop-thinking;what=\"adaptive\"", "drop-effort"}  # fmt: skip
    assert loads(dumps(decision)).kept.edits == decision.kept.edits
    _, other = asked(running, "large")
    assert other.kept.edits == ()


def test_what_a_translation_loses_is_in_its_decision(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(more=CHAT_ONLY.format(url=provider.url))
    answer, decision = asked(running, "only", stream=False, my_own_field={"a": 1})
    edits = answer.headers["x-langroute-edits"].split(", ")
    assert decision.kept.edits == ('translate;what="messages to chat"', *edits)
    assert 'lose-fields;what="my_own_field"' in edits


def test_a_call_that_failed_says_what_it_was_sent(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(more=HAIKU.format(url=provider.url))
    provider.faults = [Fault(status=500)]
    _, decision = asked(running, "haiku", **ADAPTIVE)
    failed, kept = decision.attempts
    assert failed.error_type is not None
    assert failed.edits == kept.edits != ()


def test_a_client_that_leaves_leaves_the_edits(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(more=HAIKU.format(url=provider.url))
    provider.pause = 1.0
    body = written(request_of(MESSAGES, model="haiku", **ADAPTIVE))
    with running.client() as client, client.stream("POST", MESSAGES, content=body, headers=JSON) as answer:
        next(answer.iter_raw())
    (decision,) = waited(lambda: running.decisions)
    assert decision.route is None
    assert [edit.partition(";")[0] for edit in decision.attempts[0].edits] == ["drop-thinking", "drop-effort"]


def test_explain_tells_them_from_the_ledger(provider: Provider, gateway: Callable[..., Any], tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db", flush_interval_s=0.05)
    running = gateway(ledger=ledger, more=HAIKU.format(url=provider.url))
    with running.client() as client:
        answer = client.post(MESSAGES, content=written(request_of(MESSAGES, model="haiku", **ADAPTIVE)), headers=JSON)
    decision = answer.headers["x-langroute-decision"]
    running.end()
    ledger.close()
    told = CliRunner().invoke(cli, ["explain", decision, "--ledger", str(tmp_path / "ledger.db")])
    assert f"edited for haiku: {answer.headers['x-langroute-edits']}" in told.output, told.output


def test_the_least_private_words_are_left_out_where_least_is_kept(
    provider: Provider, gateway: Callable[..., Any], tmp_path: Path
) -> None:
    ledger = open_ledger(tmp_path / "ledger.db", flush_interval_s=0.05, level="minimal")
    running = gateway(ledger=ledger, more=CHAT_ONLY.format(url=provider.url))
    with running.client() as client:
        body = written(request_of(MESSAGES, model="only", stream=False, of_ada_lovelace=1))
        client.post(MESSAGES, content=body, headers=JSON)
    running.end()
    kept = ledger.recent(1)[0].kept
    assert {"translate", "lose-fields"} <= set(kept.edits)
    assert "lovelace" not in repr(kept)
    ledger.close()


def test_names_of_fields_are_cut_and_cannot_break_a_header(provider: Provider, gateway: Callable[..., Any]) -> None:
    running = gateway(more=CHAT_ONLY.format(url=provider.url))
    hostile = {f'x{at}"\r\nset-cookie: a\x1b[31m': 1 for at in range(200)}
    answer, decision = asked(running, "only", stream=False, **hostile)
    assert "set-cookie" not in answer.headers
    assert all(" " <= sign <= "~" for edit in decision.kept.edits for sign in edit)
    assert max(map(len, decision.kept.edits)) < 300


def test_an_edit_of_chat_completions_is_told_too(provider: Provider, gateway: Callable[..., Any]) -> None:
    """Of a stream whose usage the client did not ask for."""
    running = gateway()
    body = request_of(CHAT)
    del body["stream_options"]
    with running.client() as client:
        client.post(CHAT, content=written(body), headers=JSON)
    assert waited(lambda: running.decisions)[0].kept.edits == ("ask-usage",)
