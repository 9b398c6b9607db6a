"""Every fault once, in every way of calling: what it is taken for, and where the call goes then."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from weather import BROKEN_BODIES, Weather, routes

from langroute import ChatRouter
from langroute.engine.timeouts import Timeouts
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed

pytestmark = pytest.mark.server

EXPECTED = {
    "429": {"rate_limited"},
    "429 with Retry-After": {"rate_limited"},
    "429, come back much later": {"rate_limited"},
    "401": {"auth"},
    "500": {"server_error"},
    "503": {"overloaded"},
    "529": {"overloaded"},
    "context overflow": {"context_overflow"},
    "no answer in time": {"timeout"},
    # What a gateway's nonsense makes of an SDK: it cannot be read, or it is taken for a text or an answer without a reason.
    **{body: {"broken_stream", "unknown", "server_error", "parsing"} for body in BROKEN_BODIES},
}
IN_STREAMS = {
    "slow first token": {"timeout"},
    "cut in the middle": {"broken_stream", "connection"},
    "ends early": {"broken_stream"},
    "broken chunk": {"broken_stream"},
    "stalls": {"timeout"},
}


def router(weather: Weather, name: str, first: str, **timeouts: Any) -> ChatRouter:
    policy = Fallback(Fixed(first), retries=0, max_wait_seconds=1.0, cool_down_seconds=0.01)
    return ChatRouter(routes(weather, name), policy=policy, timeouts=Timeouts(**(timeouts or {"total": 0.9})))


def kinds(model: ChatRouter) -> list[str | None]:
    return [attempt.failure.kind if attempt.failure else None for attempt in model.ledger.decisions[-1].attempts]


@pytest.mark.parametrize("first", ["chat", "claude", "responses"])
@pytest.mark.parametrize("what", EXPECTED)
def test_a_fault_before_the_answer_is_never_seen(weather: Weather, what: str, first: str) -> None:
    """Another route answers, whole."""
    model = router(weather, "faults", first)
    weather.send(f"faults-{first}", what)

    answer = model.invoke("Hello?")

    decision = model.ledger.decisions[-1]
    assert answer.text == f"Mock response from faults-{decision.route}."
    assert decision.attempts[0].route == first
    assert kinds(model)[0] in EXPECTED[what]
    assert kinds(model)[1:] == [None]


@pytest.mark.parametrize("first", ["chat", "claude", "responses"])
@pytest.mark.parametrize("what", [*EXPECTED, "slow first token"])
def test_a_fault_before_the_first_token_is_never_seen(weather: Weather, what: str, first: str) -> None:
    """In a stream."""
    model = router(weather, "early", first, first_token=0.9)
    weather.send(f"early-{first}", what)

    text = "".join(chunk.text for chunk in model.stream("Hello?"))

    decision = model.ledger.decisions[-1]
    assert text == f"Mock response from early-{decision.route}."
    assert decision.route != first
    assert kinds(model)[0] in {**EXPECTED, **IN_STREAMS}[what]


@pytest.mark.parametrize("first", ["chat", "claude", "responses"])
@pytest.mark.parametrize("what", ["cut in the middle", "ends early", "broken chunk", "stalls"])
def test_a_fault_after_the_first_token_is_an_error(weather: Weather, what: str, first: str) -> None:
    """What was shown is a part of that route's answer and nothing else."""
    model = router(weather, "late", first)
    weather.send(f"late-{first}", what)
    seen: list[str] = []
    error: Exception | None = None
    try:
        for chunk in model.stream("Hello?"):
            seen.append(chunk.text)
    except Exception as raised:
        error = raised

    decision, shown, whole = model.ledger.decisions[-1], "".join(seen), f"Mock response from late-{first}."
    if error is None:
        # Nothing of this route was shown before the fault, or its SDK reads on over a broken chunk.
        assert shown == f"Mock response from late-{decision.route}."
        assert decision.route != first or what == "broken chunk"
    else:
        assert shown
        assert whole.startswith(shown)
        assert decision.route is None
        assert kinds(model) == [kinds(model)[0]]
        assert kinds(model)[0] in IN_STREAMS[what]


async def test_awaited_streams_keep_the_same_rules(weather: Weather) -> None:
    """One of each."""
    model = router(weather, "awaited", "chat", first_token=0.9)
    weather.send("awaited-chat", "slow first token")

    assert "".join([chunk.text async for chunk in model.astream("Hello?")]) == "Mock response from awaited-claude."

    weather.clear()
    model = router(weather, "awaited", "chat")
    weather.send("awaited-chat", "ends early")
    seen: list[str] = []

    async def read() -> None:
        async for chunk in model.astream("Hello?"):
            seen.append(chunk.text)

    with pytest.raises(Exception, match="broke off"):
        await read()
    assert "Mock response from awaited-chat.".startswith("".join(seen))


def test_a_request_that_is_at_fault_is_one_clear_error(weather: Weather) -> None:
    """It is not sent around."""
    model = router(weather, "wrong", "chat")
    weather.send("wrong-chat", "400")

    with pytest.raises(Exception, match="400"):
        model.invoke("Hello?")
    assert kinds(model) == ["bad_request"]


def test_an_outage_of_all_is_one_error_that_names_each(weather: Weather) -> None:
    """With the last one as its cause."""
    from langroute.core.errors import RouteFailedError

    model = router(weather, "dark", "chat")
    for name in ("chat", "claude", "responses"):
        weather.send(f"dark-{name}", "503")

    with pytest.raises(RouteFailedError) as caught:
        model.invoke("Hello?")

    assert [name for name, _ in caught.value.failures] == ["chat", "claude", "responses"]
    assert caught.value.__cause__ is caught.value.failures[-1][1]
    assert kinds(model) == ["overloaded"] * 3
    assert model.ledger.decisions[-1].cost_usd == 0.0


def test_retry_after_is_waited_for(weather: Weather) -> None:
    """As long as the provider asked, and no other route is used."""
    policy = Fallback(Fixed("chat"), retries=1)
    model = ChatRouter(routes(weather, "patient"), policy=policy)
    weather.send("patient-chat", "429 with Retry-After")

    answer = model.invoke("Hello?")

    attempts = model.ledger.decisions[-1].attempts
    assert answer.text == "Mock response from patient-chat."
    assert [attempt.route for attempt in attempts] == ["chat", "chat"]
    assert attempts[1].selection.wait_s == pytest.approx(0.05)


def test_the_server_itself_finds_no_fault_with_its_client(weather: Weather) -> None:
    """The mock judges who called it: waits that were cut short, retries of what cannot pass, storms of them."""
    from llmock.verdict import judge

    journal = weather.server.state.journal
    journal.clear()
    policy = Fallback(Fixed("chat"), retries=2, backoff_seconds=0.02, max_wait_seconds=1.0, cool_down_seconds=0.0)
    model = ChatRouter(routes(weather, "judged"), policy=policy)
    faults = ["429 with Retry-After", "429", "500", "503", "529", "400", "401", "context overflow"]
    for number, what in enumerate(faults * 4):
        weather.send("judged-chat", what)
        # What is said of each error is tested above; here the server has the word.
        with suppress(Exception):
            if number % 2:
                model.invoke(f"Call {number}?")
            else:
                list(model.stream(f"Call {number}?"))

    verdict = judge(journal.records(wait=2.0))

    assert verdict.faults > 15
    assert verdict.errors == (), verdict.render()
