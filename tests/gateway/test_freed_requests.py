"""A request whose call failed is freed when it is answered, without a search for cycles: its body may be megabytes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from provider import CHAT, MESSAGES, RESPONSES, Fault, Provider, waited
from requests_of_agents import JSON, request_of, written

from langroute.wire.request import WireRequest

PATHS = (CHAT, RESPONSES, MESSAGES)


@pytest.fixture
def no_collector() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def alive() -> int:
    """How many requests are still held."""
    return sum(isinstance(one, WireRequest) for one in gc.get_objects())


def text_of(provider: Provider, retries: int, resend: float = 0.05) -> str:
    return (
        f'policy = {{ name = "fixed", route = "large" }}\nmax_retries = {retries}\n'
        f'[routes.large]\nprovider = "openai"\nmodel = "large-1"\nkey_env = "KEY"\nbase_url = "{provider.url}"\n'
        'protocols = ["chat", "responses", "messages"]\nprice = { input = 1, output = 2 }\n'
        f"[serve]\nport = 0\nresend_seconds = {resend}\n"
    )


def ask(running: Any, path: str, times: int = 3, **more: Any) -> list[int]:
    with running.client() as client:
        return [
            client.post(path, content=written(request_of(path, f"Task {number}.", **more)), headers=JSON).status_code
            for number in range(times)
        ]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fault", "retries", "status"),
    [
        (Fault(status=503), 0, 503),
        (Fault(status=400), 0, 400),
        (Fault(status=429, headers={"retry-after": "0"}), 1, 200),
        (Fault(how="drop", after=0), 0, 502),
        (Fault(how="drop", after=4), 0, 200),
        (Fault(how="eof", after=4), 0, 200),
        (Fault(how="error", after=4), 0, 200),
    ],
    ids=["503", "400", "429 and a retry", "dropped before", "dropped within", "ended within", "error within"],
)
def test_a_failed_request_is_freed(
    path: str, fault: Fault, retries: int, status: int, provider: Provider, gateway: Callable[..., Any], no_collector: None
) -> None:
    running = gateway(text=text_of(provider, retries))
    before = alive()
    provider.faults = [Fault(**vars(fault)) for _ in range(3)] if not retries else [Fault(**vars(fault))]
    provider.pause = 0.01 if fault.how else 0.0
    assert ask(running, path) == [status] * 3
    assert len(waited(lambda: len(running.decisions) == 3 and running.decisions)) == 3
    waited(lambda: alive() <= before, 5.0)


def test_a_step_that_waits_for_its_resend_holds_no_request(
    provider: Provider, gateway: Callable[..., Any], no_collector: None
) -> None:
    running = gateway(text=text_of(provider, 0, resend=60))
    before = alive()
    provider.faults, provider.pause = [Fault(how="drop", after=4) for _ in range(3)], 0.01
    ask(running, MESSAGES)
    assert len(running.state.resends) == 3
    waited(lambda: alive() <= before, 5.0)
