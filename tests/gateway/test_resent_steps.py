"""A client that sends a step again with what it heard of the answer that broke off: one step, and signed thoughts that go to no other model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from model_rules import refusal, seal
from provider import MESSAGES, Fault, Provider, events_of, waited
from requests_of_agents import JSON, written

REMINDER = {"type": "text", "text": "<system-reminder>\nYour response above was cut off mid-stream.\n</system-reminder>"}
ASKED = {"role": "user", "content": [{"type": "text", "text": "Fix the test."}]}
OPUS, FAST = "claude-opus-4-8", "claude-opus-4-8-fast"


def config(provider: Provider) -> str:
    routes = "".join(
        f'[routes.{name}]\nprovider = "anthropic"\nmodel = "{model}"\nkey_env = "KEY"\nbase_url = "{provider.url}"\nprotocols = ["messages"]\n'
        f"price = {{ input = {price}, output = {2 * price} }}\n"
        for name, model, price in (("other", FAST, 1), ("first", OPUS, 10))
    )
    return f'policy = {{ name = "fixed", route = "first" }}\nmax_retries = 0\n{routes}[serve]\nport = 0\nresend_seconds = 60\n'


def asked(*history: Any) -> bytes:
    tools = [{"name": "Bash", "input_schema": {"type": "object"}}]
    return written({"model": OPUS, "messages": [ASKED, *history], "max_tokens": 100, "tools": tools, "stream": True})


@pytest.fixture
def strict(provider: Provider) -> Iterator[Provider]:
    """The provider, which refuses what its models do not take."""
    provider.refuses = lambda seen: refusal(seen.path, seen.body["model"], seen.body, seen.headers)
    provider.pause = 0.02
    yield provider
    provider.refuses = None


@pytest.mark.parametrize("heard", [True, False])
def test_a_resend_that_goes_on_where_the_stream_broke_is_one_step(
    heard: bool, strict: Provider, gateway: Callable[..., Any]
) -> None:
    strict.thinking = seal(OPUS)
    strict.faults = [Fault(how="drop", after=6)]
    running = gateway(text=config(strict))
    with running.client() as client:
        broken = client.post(MESSAGES, content=asked(), headers=JSON)
        assert list(events_of(broken.content))[-1][0] == "error"
        assert not running.decisions
        kept = [{"type": "thinking", "thinking": "", "signature": seal(OPUS)}, {"type": "text", "text": "Hello"}]
        history = [{"role": "assistant", "content": kept}] if heard else []
        again = client.post(MESSAGES, content=asked(*history, {"role": "user", "content": [REMINDER]}), headers=JSON)
    assert again.status_code == 200, again.text
    (decision,) = waited(lambda: running.decisions)
    assert [(one.route, one.error_type) for one in decision.attempts] == [("first", "AnswerCutOffError"), ("other", None)]
    assert decision.attempts[0].cost_usd > 0
    # The other model reads no thoughts that the first one signed.
    assert "signature" not in str(strict.seen[-1].body)


def test_what_a_person_says_meanwhile_is_a_step_of_its_own(strict: Provider, gateway: Callable[..., Any]) -> None:
    strict.faults = [Fault(how="drop", after=4)]
    running = gateway(text=config(strict))
    with running.client() as client:
        client.post(MESSAGES, content=asked(), headers=JSON)
        said = {"role": "user", "content": [REMINDER, {"type": "text", "text": "Stop, and say why."}]}
        other = client.post(MESSAGES, content=asked({"role": "assistant", "content": "Hello"}, said), headers=JSON)
    assert other.status_code == 200, other.text
    running.end()
    assert sorted(len(decision.attempts) for decision in running.decisions) == [1, 1]
    assert [decision.route for decision in running.decisions].count("first") == 1


GIVEN = {"role": "assistant", "content": "The reason is"}


@pytest.mark.parametrize(
    ("first", "again", "same"),
    [
        ([GIVEN], [GIVEN], True),
        ([GIVEN], [{"role": "assistant", "content": "The reason is Hel"}], True),
        ([GIVEN], [GIVEN, {"role": "assistant", "content": [{"type": "text", "text": " Hello"}]}], True),
        ([GIVEN], [{"role": "assistant", "content": "The answer is"}], False),
        ([GIVEN], [], False),
        ([], [{"role": "assistant", "content": "Hello"}], True),
        ([], [GIVEN], False),
    ],
)
def test_another_beginning_of_the_answer_is_another_step(
    first: list[Any], again: list[Any], same: bool, strict: Provider, gateway: Callable[..., Any]
) -> None:
    strict.faults = [Fault(how="drop", after=4)]
    running = gateway(text=config(strict))
    with running.client() as client:
        client.post(MESSAGES, content=asked(*first), headers=JSON)
        answered = client.post(MESSAGES, content=asked(*again), headers=JSON)
    assert answered.status_code == 200, answered.text
    running.end()
    assert sorted(len(decision.attempts) for decision in running.decisions) == ([2] if same else [1, 1])


def test_an_answer_that_breaks_off_twice_is_one_step_wherever_the_client_goes_on(
    strict: Provider, gateway: Callable[..., Any]
) -> None:
    strict.faults = [Fault(how="drop", after=4), Fault(how="drop", after=5)]
    running = gateway(text=config(strict).replace("max_retries = 0", "max_retries = 3"))
    with running.client() as client:
        for heard in ([GIVEN], [{"role": "assistant", "content": "The reason is Hello"}], [GIVEN]):
            answered = client.post(MESSAGES, content=asked(*heard), headers=JSON)
    assert "error" not in dict(events_of(answered.content))
    running.end()
    assert [len(decision.attempts) for decision in running.decisions] == [3]
