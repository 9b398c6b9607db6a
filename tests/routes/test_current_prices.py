"""A list price is the one of the time of the call, however long the process has lived."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langroute import ChatRouter, Route
from langroute.core.records import Attempt, Request, Selection
from langroute.routes import pricing
from langroute.testing import ScriptedModel

MILLION = AIMessage("ok", usage_metadata={"input_tokens": 1_000_000, "output_tokens": 1_000_000, "total_tokens": 2_000_000})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """A clock that the test sets."""
    now = [datetime(2026, 11, 30, 0, 30, tzinfo=timezone.utc)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return now[0]

    monkeypatch.setattr(pricing, "datetime", Clock)
    return now


def listed(model: str, provider: str, at: datetime) -> float:
    """The price of a million tokens in and out, as the library says it."""
    from genai_prices.data_snapshot import get_snapshot

    rates = get_snapshot().find_provider_model(model, None, provider, None)[1].get_prices(at)
    # A million tokens of input are above every line.
    return sum(float(rate.tiers[-1].price if hasattr(rate, "tiers") else rate) for rate in (rates.input_mtok, rates.output_mtok))


# DeepSeek's hours are dear from 1 to 4 and from 6 to 10; its older models' from 0:30 to 16:30.
TIMES = [
    "00:29:59",
    "00:30:00",
    "00:59:59",
    "01:00:00",
    "03:59:59",
    "04:00:00",
    "06:00:00",
    "10:00:00",
    "16:29:59",
    "16:30:00",
    "23:59:59",
]


@pytest.mark.parametrize("model", ["deepseek-v4-flash", "deepseek-v4-pro", "deepseek-chat", "deepseek-reasoner"])
def test_a_price_by_the_hour_is_that_of_the_call(model: str, clock: list[datetime]) -> None:
    router = ChatRouter({"a": ScriptedModel(MILLION, model=model, provider="deepseek")})
    for text in (*TIMES, *reversed(TIMES)):
        clock[0] = datetime.fromisoformat(f"2026-11-30T{text}+00:00")
        found = router.invoke("Hi.").response_metadata["langroute"]["cost_usd"]
        assert found == pytest.approx(listed(model, "deepseek", clock[0])), text


@pytest.mark.parametrize(("model", "day"), [("gemini-4-argon", "2026-12-01"), ("gemini-3.6-flash", "2027-01-01")])
def test_a_price_that_changes_on_a_date_is_that_of_the_day(model: str, day: str, clock: list[datetime]) -> None:
    midnight = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    clock[0] = midnight - timedelta(days=40)
    router = ChatRouter({"a": ScriptedModel(MILLION, model=model, provider="google_genai")})
    for at in (midnight - timedelta(seconds=1), midnight, midnight + timedelta(days=1)):
        clock[0] = at
        found = router.invoke("Hi.").response_metadata["langroute"]["cost_usd"]
        assert found == pytest.approx(listed(model, "google", at))
    assert listed(model, "google", midnight) != listed(model, "google", midnight - timedelta(seconds=1))


def test_a_policy_sees_the_price_of_now_and_a_price_of_the_users_own_stays(clock: list[datetime]) -> None:
    seen: list[list[float]] = []

    class Looks:
        def select(self, request: Request, attempts: list[Attempt]) -> Selection | None:
            seen.append([route.price.input for route in request.routes if route.price is not None])
            return None if attempts else Selection("a")

    model = ScriptedModel(MILLION, model="deepseek-v4-flash", provider="deepseek")
    router = ChatRouter({"a": model, "b": Route(model, price={"input": 7, "output": 7})}, policy=Looks())
    for hour in (0, 2):
        clock[0] = clock[0].replace(hour=hour)
        router.invoke("Hi.")
    quiet, dear = seen[0], seen[-1]

    assert dear[0] == 2 * quiet[0]
    assert quiet[1] == dear[1] == 7


def test_the_model_that_served_is_priced_by_the_hour_too(clock: list[datetime]) -> None:
    answer = AIMessage("ok", usage_metadata=MILLION.usage_metadata, response_metadata={"model_name": "deepseek-v4-pro"})
    router = ChatRouter({"a": ScriptedModel(answer, model="deepseek-v4-flash", provider="deepseek")})
    for hour in (0, 2, 5, 7, 11):
        clock[0] = clock[0].replace(hour=hour)
        found = router.invoke("Hi.").response_metadata["langroute"]["cost_usd"]
        assert found == pytest.approx(listed("deepseek-v4-pro", "deepseek", clock[0])), hour
