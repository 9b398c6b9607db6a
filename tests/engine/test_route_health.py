"""A route that fails while another answers in its place is told of, once."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from langroute import ChatRouter, Route
from langroute.core.errors import DegradedWarning
from langroute.policies import Fallback, Fixed
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 2}


class StatusError(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status_code, self.code = status, code


def told(cheap: Any, *, calls: int = 6, policy: Any = None) -> tuple[list[str], int, ChatRouter]:
    """What is warned about in some calls, how often the cheap route was asked, and the router."""
    model = ScriptedModel(cheap) if not isinstance(cheap, ScriptedModel) else cheap
    routes = {"cheap": Route(model, price=PRICE), "frontier": Route(ScriptedModel("fine"), price=PRICE)}
    router = ChatRouter(routes, policy=policy or Fallback(Fixed("cheap"), retries=0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(calls):
            assert router.invoke("Hi.").content == "fine"
    return [str(one.message) for one in caught if one.category is DegradedWarning], len(model.calls), router


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StatusError(404, "The model `gpt5-mini` does not exist", "model_not_found"), "model_unavailable"),
        (StatusError(404, "Not Found"), "model_unavailable"),
        (StatusError(400, "deepseek/deepseek-r1 is not a valid model ID"), "model_unavailable"),
        (StatusError(401, "Incorrect API key provided"), "auth"),
        (StatusError(402, "Insufficient Balance"), "quota"),
    ],
)
def test_a_route_that_somebody_has_to_mend_rests_and_is_warned_about_once(error: Exception, kind: str) -> None:
    """It names the route and says why; the other calls go around it."""
    said, asked, _ = told(error)

    assert len(said) == 1
    assert "'cheap'" in said[0]
    assert kind in said[0]
    assert str(error) in said[0]
    assert asked == 1


def test_a_route_that_fails_by_chance_is_warned_about_when_it_goes_on() -> None:
    said, asked, _ = told(StatusError(400, "tool use is not possible here", "unsupported_parameter"), calls=2)
    assert (said, asked) == ([], 2)

    said, _, _ = told(ZeroDivisionError("a bug"), calls=8)
    assert len(said) == 1
    assert "ZeroDivisionError" in said[0]


def test_an_answer_in_between_begins_the_count_anew() -> None:
    lost = StatusError(400, "no", "unsupported_parameter")
    model = ScriptedModel(lost, lost, "fine", lost, lost, "fine")
    assert told(model)[0] == []


def test_what_the_request_brings_about_is_not_the_routes_fault() -> None:
    assert told(StatusError(400, "blocked", "content_policy_violation"))[0] == []


def test_a_caller_who_gets_the_error_needs_no_warning() -> None:
    router = ChatRouter({"only": ScriptedModel(StatusError(401, "Incorrect API key provided"))})
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegradedWarning)
        for _ in range(4):
            with pytest.raises(StatusError):
                router.invoke("Hi.")


def test_the_warning_is_one_line_of_bounded_length() -> None:
    said, _, _ = told(StatusError(401, "no\nroute 'frontier' does not work: " + "x" * 10_000))
    assert "\n" not in said[0]
    assert len(said[0]) < 600


@pytest.mark.parametrize("way", ["ainvoke", "stream"])
async def test_an_awaited_and_a_streamed_call_tell_the_same(way: str) -> None:
    """They end in the same record."""
    broken = Route(ScriptedModel(StatusError(401, "Incorrect API key provided")), price=PRICE)
    router = ChatRouter({"cheap": broken, "frontier": Route(ScriptedModel("fine"), price=PRICE)}, policy=Fixed("cheap"))

    async def call() -> None:
        if way == "ainvoke":
            await router.ainvoke("Hi.")
        else:
            list(router.stream("Hi."))

    with pytest.warns(DegradedWarning, match="Route 'cheap' does not work: auth"):
        await call()
