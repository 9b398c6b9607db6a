"""The providers' prompt caches hold behind the gateway as they do without it: the same hits in each client's session, one re-read for a switch.

Sessions of 200 steps for every client: `LANGROUTE_STEPS=200 pytest tests/gateway/test_gateway_prompt_cache.py`.
"""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from cache_simulator import Cache, Read
from gateways import TOKEN
from provider import CHAT, GEMINI, MESSAGES, RESPONSES
from raw_provider import RawProvider
from requests_of_agents import JSON
from sessions_of_agents import CLIENTS, TURN, Sent, address_of, body_of

STEPS = int(os.environ.get("LANGROUTE_STEPS", "0"))
OPENAI = ("openai", "gpt-5.4-mini", "gpt-5.5")
FAMILY = {
    MESSAGES: ("messages", "anthropic", "claude-haiku-4-5", "claude-opus-4-8"),
    GEMINI: ("gemini", "google_genai", "gemini-2.5-flash", "gemini-3-pro"),
    CHAT: ("chat", *OPENAI),
    RESPONSES: ("responses", *OPENAI),
}
"""Path of a client's protocol → its name, and two models of the maker that the client writes for."""

OF_PROMPTS = (
    "system-to-user",
    "developer-to-system",
    "drop-thinking",
    "drop-foreign-reasoning",
    "drop-cache-marks",
    "drop-context-edits",
)
"""Edits that change what is read, and not only what is asked for besides."""


@pytest.fixture
def provider_of_caches() -> Iterator[tuple[RawProvider, Cache]]:
    provider, cache = RawProvider(), Cache()
    provider.answer = cache.answer
    yield provider, cache
    provider.close()


def config(provider: RawProvider, session: list[Sent], more: str = "", protocols: str | None = None) -> str:
    """Two models of the maker that the client writes for."""
    name, maker, *models = FAMILY[session[-1].path]
    spoken = protocols or f'"{name}"'
    routes = "".join(
        f'[routes.{name}]\nprovider = "{maker}"\nmodel = "{model}"\nkey_env = "KEY"\nbase_url = "{provider.url}"\nprotocols = [{spoken}]\n{more}'
        f'tier = "{tier}"\nprice = {{ input = {price}, output = {5 * price}, cache_read = {price / 10}, cache_write = {price * 1.25} }}\n'
        for name, model, tier, price in (("small", models[0], "cheap", 1), ("large", models[1], "frontier", 5))
    )
    return f"max_retries = 0\n{routes}[serve]\nport = 0\n"


class Step(NamedTuple):
    """One request, and what came of it."""

    sent: Sent
    read: Read
    route: str
    edited: bool
    """Whether the prompt was changed for another model than the client's."""


def through(running: Any, cache: Cache, session: list[Sent], name: Callable[[int, Sent], str | None]) -> list[Step]:
    """Send a session through the gateway."""
    found = []
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    for place, sent in enumerate(session):
        cache.sealed = sent.sealed
        headers = {**JSON, "authorization": f"Bearer {TOKEN}", **sent.headers}
        asked = name(place, sent)
        connection.request(
            "POST", address_of(sent, asked) + ("?alt=sse" if sent.path == GEMINI else ""), body_of(sent, asked), headers
        )
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told[:300]
        edits = answer.headers.get("x-langroute-edits", "")
        edited = any(name in edits for name in OF_PROMPTS)
        found.append(Step(sent, cache.log[-1], answer.headers["x-langroute-route"], edited))
    connection.close()
    assert len(cache.log) == len(session)
    return found


def directly(steps: list[Step]) -> list[Step]:
    """What the cache makes of the same requests without a gateway, by a client that asks for the models that were chosen."""
    cache = Cache()
    return [one._replace(read=cache.read(address_of(one.sent, one.read.model), body_of(one.sent, one.read.model))) for one in steps]


def followers(steps: list[Step]) -> Iterator[tuple[int, Step, Step]]:
    """The steps that go on with a conversation, each with its place and the step before: the agent's own and its sub-agents'."""
    latest: dict[str | None, Step] = {}
    for place, step in enumerate(steps):
        if step.sent.kind != "side":
            agent = step.sent.headers.get("x-claude-code-agent-id")
            if agent in latest:
                yield place, step, latest[agent]
            latest[agent] = step


def rereads(steps: list[Step]) -> list[int]:
    """The steps that read less from the cache than it has kept of the step before."""
    return [place for place, step, before in followers(steps) if step.read.read < before.read.kept]


def reads(steps: list[Step]) -> list[Read]:
    return [step.read for step in steps]


@pytest.mark.parametrize("client", CLIENTS)
def test_the_hits_are_those_of_direct_requests(client: str, gateway: Callable[..., Any], provider_of_caches: Any) -> None:
    """By the default policy, which switches where it pays; a switch is one re-read, and at a turn of the user."""
    provider, cache = provider_of_caches
    session = list(CLIENTS[client](STEPS or (6 if client in ("claude_code", "codex", "opencode") else 3) * TURN))
    steps = through(gateway(text=config(provider, session)), cache, session, lambda place, sent: None)
    switches = [place for place, step, before in followers(steps) if step.route != before.route]
    assert all(steps[place].sent.kind == "user" for place in switches)
    assert set(rereads(steps)) <= set(switches)
    direct = directly(steps)
    assert rereads(steps) == rereads(direct)
    if not any(step.edited for step in steps):
        assert reads(steps) == reads(direct)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_session_on_one_route_has_the_hits_of_direct_requests(
    client: str, gateway: Callable[..., Any], provider_of_caches: Any
) -> None:
    provider, cache = provider_of_caches
    session = list(CLIENTS[client](STEPS or 2 * TURN))
    steps = through(gateway(text=config(provider, session)), cache, session, lambda place, sent: "large")
    assert {step.route for step in steps} == {"large"}
    assert reads(steps) == reads(directly(steps))
    assert rereads(steps) == []
    assert sum(read.read for read in reads(steps)) > 0.8 * sum(read.total for read in reads(steps))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_switch_at_a_turn_of_the_user_is_one_reread(client: str, gateway: Callable[..., Any], provider_of_caches: Any) -> None:
    """To the small model and, some turns later, back."""
    provider, cache = provider_of_caches
    session = list(CLIENTS[client](STEPS or 4 * TURN))
    turns = [place for place, sent in enumerate(session) if sent.kind == "user"]
    there, back = turns[1], turns[-1]
    steps = through(
        gateway(text=config(provider, session)), cache, session, lambda place, sent: "small" if there <= place < back else "large"
    )
    assert [step.route for step in steps] == ["small" if there <= place < back else "large" for place in range(len(steps))]
    assert rereads(steps) == [there, back]
    direct = directly(steps)
    assert rereads(direct) == [there, back]
    # A step on another model is edited; those on the client's own are not, and the way back finds what was kept before.
    same = [place for place, step in enumerate(steps) if not step.edited]
    assert there - 1 in same
    assert [steps[place].read for place in same] == [direct[place].read for place in same]


@pytest.mark.parametrize(
    "client, spoken", [("claude_code", "chat"), ("codex", "messages"), ("opencode", "messages"), ("pi", "responses")]
)
def test_a_translated_session_keeps_its_prefix(
    client: str, spoken: str, gateway: Callable[..., Any], provider_of_caches: Any
) -> None:
    provider, cache = provider_of_caches
    session = list(CLIENTS[client](STEPS or 2 * TURN))
    text = config(provider, session, more="translate = true\n", protocols=f'"{spoken}"')
    steps = through(gateway(text=text), cache, session, lambda place, sent: "large")
    assert rereads(steps) == []
    assert sum(read.read for read in reads(steps)) > 0.8 * sum(read.total for read in reads(steps))
