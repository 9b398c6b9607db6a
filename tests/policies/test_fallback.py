"""Where a call goes after an error, and how a failing route rests."""

from __future__ import annotations

from typing import Any

import pytest

from langroute.errors import ConfigurationError
from langroute.policies.cascade import Cascade
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.records import Attempt, Decision, Failure, Request, RouteInfo, Selection, Step

ROUTES = (RouteInfo("a", rank=0, context_window=1000), RouteInfo("b", rank=1, context_window=8000), RouteInfo("c", rank=2))
REQUEST = Request("Hi.", routes=ROUTES)


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def policy(clock: Any = None, inner: Any = None, **kwargs: Any) -> Fallback:
    given = {"retries": 0, "jitter": lambda: 1.0, "clock": clock or Clock(), **kwargs}
    return Fallback(inner or Fixed("a"), **given)


def failed(route: str, kind: str = "server_error", **failure: Any) -> Attempt:
    given = {"retry_same": True, **failure}
    return Attempt(Selection(route), error=RuntimeError(kind), error_type="RuntimeError", failure=Failure(kind, **given))


def good(route: str) -> Attempt:
    return Attempt(Selection(route), answer="Yes.")


def decided(*attempts: Attempt) -> Decision:
    return Decision("d", Step(), attempts[-1].route if attempts[-1].ok else None, attempts)


def test_the_same_route_is_tried_again_after_a_wait_that_grows() -> None:
    """Half a second, one second, then the next route."""
    fallback = policy(retries=2)
    one = failed("a")

    first = fallback.select(REQUEST, [one])
    second = fallback.select(REQUEST, [one, one])
    third = fallback.select(REQUEST, [one, one, one])

    assert [(found.route, found.wait_s) for found in (first, second, third) if found] == [("a", 0.5), ("a", 1.0), ("b", 0.0)]


def test_retry_after_is_kept_and_too_long_a_wait_goes_elsewhere() -> None:
    """The provider's word stands above ours, up to `max_wait_seconds`."""
    fallback = policy(retries=1, max_wait_seconds=20)

    patient = fallback.select(REQUEST, [failed("a", "rate_limited", retry_after_s=7.0)])
    elsewhere = fallback.select(REQUEST, [failed("a", "rate_limited", retry_after_s=21.0)])

    assert patient is not None
    assert (patient.route, patient.wait_s) == ("a", 7.0)
    assert elsewhere is not None
    assert (elsewhere.route, elsewhere.wait_s) == ("b", 0.0)


def test_a_request_that_is_at_fault_is_not_sent_around() -> None:
    """A 400 or a bug of the caller's costs one call, not one on every route."""
    assert policy().select(REQUEST, [failed("a", "bad_request", retry_same=False, retry_elsewhere=False)]) is None


def test_a_context_overflow_goes_to_a_larger_window_only() -> None:
    """Unknown windows may be larger; smaller ones are not."""
    overflow = {"kind": "context_overflow", "retry_same": False}
    fallback = policy(inner=Fixed("b"))

    found = fallback.select(REQUEST, [failed("b", **overflow)])
    from_the_small = policy().select(REQUEST, [failed("a", **overflow)])
    nowhere = policy(inner=Fixed("b"), routes=["a", "b"]).select(REQUEST, [failed("b", **overflow)])

    assert found is not None
    assert found.route == "c"
    assert from_the_small is not None
    assert from_the_small.route == "b"
    assert nowhere is None


def test_when_every_route_failed_it_stops() -> None:
    """No route is returned twice."""
    assert policy().select(REQUEST, [failed("a"), failed("b"), failed("c")]) is None


def test_an_overloaded_route_rests_at_once_and_one_call_probes_it() -> None:
    """Half-open: the others go around until the probe is back."""
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    fallback.on_decision(decided(failed("a", "overloaded", cool_down=True), good("b")))

    assert fallback.select(REQUEST, []).route == "b"  # type: ignore[union-attr]
    clock.now += 31
    probe, other = fallback.select(REQUEST, []), fallback.select(REQUEST, [])
    assert probe is not None
    assert other is not None
    assert (probe.route, other.route) == ("a", "b")

    fallback.on_decision(decided(good("a")))
    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]


def test_a_probe_that_fails_doubles_the_rest_and_a_lost_one_does_not_close_the_route_for_ever() -> None:
    """A cancelled probe is never heard of."""
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    fallback.on_decision(decided(failed("a", "overloaded", cool_down=True)))
    clock.now += 31
    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]
    fallback.on_decision(decided(failed("a", "server_error")))
    clock.now += 31
    assert fallback.select(REQUEST, []).route == "b"  # type: ignore[union-attr]
    clock.now += 30
    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]
    assert fallback.select(REQUEST, []).route == "b"  # type: ignore[union-attr]
    clock.now += 31
    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]


def test_looking_for_a_way_around_uses_up_no_other_routes_probe() -> None:
    """Two routes whose rest is over: only the one that is chosen is being probed."""
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    fallback.on_decision(decided(failed("b", "overloaded", cool_down=True), failed("c", "overloaded", cool_down=True)))
    clock.now += 31

    assert fallback.select(REQUEST, [failed("a")]).route == "b"  # type: ignore[union-attr]
    assert fallback.select(REQUEST, [failed("a")]).route == "c"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["timeout", "server_error", "broken_stream"])
def test_a_route_that_fails_again_and_again_rests_too(kind: str) -> None:
    """A time-out that never changes the chosen model makes every call wait for it."""
    fallback = policy(trip_after=3)
    for _ in range(2):
        fallback.on_decision(decided(failed("a", kind), good("b")))
    fallback.on_decision(decided(good("a")))
    for _ in range(2):
        fallback.on_decision(decided(failed("a", kind), good("b")))
    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]

    fallback.on_decision(decided(failed("a", kind), good("b")))

    assert fallback.select(REQUEST, []).route == "b"  # type: ignore[union-attr]


def test_two_tries_in_one_step_do_not_double_the_rest() -> None:
    """A retry that fails too says nothing new."""
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    overloaded = failed("a", "overloaded", cool_down=True)
    fallback.on_decision(decided(overloaded, overloaded, good("b")))
    clock.now += 31

    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]


def test_a_failing_caller_makes_no_route_rest() -> None:
    """Bad requests, parsing errors and bugs say nothing of the route."""
    fallback = policy(trip_after=1)
    for kind in ("bad_request", "parsing", "unknown", "unsupported", "context_overflow"):
        fallback.on_decision(decided(failed("a", kind)))

    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]


def test_when_all_rest_the_one_that_is_ready_soonest_is_used() -> None:
    """Resting never makes a call fail."""
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    fallback.on_decision(decided(failed("b", "overloaded", cool_down=True)))
    clock.now += 5
    fallback.on_decision(decided(failed("c", "overloaded", cool_down=True)))
    fallback.on_decision(decided(failed("a", "overloaded", cool_down=True)))

    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]
    assert fallback.select(REQUEST, [failed("a")]).route == "b"  # type: ignore[union-attr]


def test_a_retry_inside_a_cascade_can_still_be_rejected() -> None:
    """Trying again changes nothing of what the answer is worth."""
    fallback = policy(retries=1, inner=Cascade(["a", "b"], threshold=0.5))
    first = fallback.select(REQUEST, [])
    assert first is not None
    broken = Attempt(first, error=RuntimeError(), error_type="RuntimeError", failure=Failure("server_error", retry_same=True))

    again = fallback.select(REQUEST, [broken])

    assert again is not None
    assert again.tentative is first.tentative is True


def test_going_elsewhere_inside_a_cascade_can_still_be_rejected() -> None:
    """An error says nothing for the answer that comes in its place; the strongest route's answer is the last word as ever."""
    fallback = policy(inner=Cascade(threshold=0.5))
    first = fallback.select(REQUEST, [])
    assert first is not None
    broken = Attempt(first, error=RuntimeError(), error_type="RuntimeError", failure=Failure("server_error"))

    second = fallback.select(REQUEST, [broken])
    assert second is not None
    assert (second.route, second.tentative) == ("b", True)
    weak = Attempt(second, answer="Hm.", score=0.2)
    third = fallback.select(REQUEST, [broken, weak])

    assert third is not None
    assert (third.route, third.tentative) == ("c", False)


@pytest.mark.parametrize("bad", [{"retries": -1}, {"trip_after": 0}, {"cool_down_seconds": -1}, {"backoff_seconds": -1}])
def test_impossible_numbers_are_said_at_once(bad: dict[str, Any]) -> None:
    """When the policy is built."""
    with pytest.raises(ConfigurationError):
        Fallback(Fixed("a"), **bad)
