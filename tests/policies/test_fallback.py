"""Where a call goes after an error, and how a failing route rests."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Decision, Failure, Request, RouteInfo, Selection, Step
from langroute.policies.cascade import Cascade
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.state import MemoryState

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
    fallback = policy(failure_threshold=3)
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
    fallback = policy(failure_threshold=1)
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
    assert again.provisional is first.provisional is True


def test_going_elsewhere_inside_a_cascade_can_still_be_rejected() -> None:
    """An error says nothing for the answer that comes in its place; the strongest route's answer is the last word as ever."""
    fallback = policy(inner=Cascade(threshold=0.5))
    first = fallback.select(REQUEST, [])
    assert first is not None
    broken = Attempt(first, error=RuntimeError(), error_type="RuntimeError", failure=Failure("server_error"))

    second = fallback.select(REQUEST, [broken])
    assert second is not None
    assert (second.route, second.provisional) == ("b", True)
    weak = Attempt(second, answer="Hm.", score=0.2)
    third = fallback.select(REQUEST, [broken, weak])

    assert third is not None
    assert (third.route, third.provisional) == ("c", False)


def path(fallback: Fallback, fates: list[Attempt]) -> list[tuple[str, bool]]:
    """Where a call goes while it fails: each route, and whether its answer can still be rejected."""
    found: list[tuple[str, bool]] = []
    attempts: list[Attempt] = []
    for fate in fates:
        selection = fallback.select(REQUEST, attempts)
        assert selection is not None
        found.append((selection.route, selection.provisional))
        attempts.append(replace(fate, selection=selection))
    return found


@pytest.mark.parametrize(("begins", "order"), [("a", ["a", "b", "c"]), ("b", ["b", "c", "a"]), ("c", ["c", "b", "a"])])
def test_a_failed_call_goes_up_first_and_then_down_to_the_nearest(begins: str, order: list[str]) -> None:
    """As strong or stronger before weaker; of the weaker ones the strongest."""
    assert [route for route, _ in path(policy(inner=Fixed(begins)), [failed("x")] * 3)] == order


def test_the_last_resort_is_not_held_back_for_a_check_that_nothing_can_follow() -> None:
    """What a cascade would have checked is checked as long as a stronger route is left, and shown at once where none is."""
    upwards = path(policy(inner=Cascade(threshold=0.5)), [failed("x")] * 3)
    downwards = path(policy(inner=Cascade(["b", "c"], threshold=0.5)), [failed("x")] * 3)

    assert upwards == [("a", True), ("b", True), ("c", False)]
    assert downwards == [("b", True), ("c", False), ("a", False)]


def test_what_nobody_would_have_checked_is_not_checked_after_a_failure_either() -> None:
    assert path(policy(), [failed("x"), good("x")]) == [("a", False), ("b", False)]


def test_a_failure_by_chance_does_not_send_parallel_calls_elsewhere() -> None:
    """A route that did not trip is open to all of them, not to one at a time."""
    fallback = policy(failure_threshold=3)
    for _ in range(2):
        fallback.on_decision(decided(failed("a"), good("b")))
        assert [fallback.select(REQUEST, []).route for _ in range(4)] == ["a"] * 4  # type: ignore[union-attr]


def test_two_tries_in_one_step_that_nobody_answered_count_once() -> None:
    """By chance or not: the second try says what the first one did."""
    fallback = policy(failure_threshold=2)
    fallback.on_decision(decided(failed("a"), failed("a")))
    assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]
    fallback.on_decision(decided(failed("a"), failed("a")))

    assert fallback.select(REQUEST, []).route == "b"  # type: ignore[union-attr]


def test_without_numbers_of_ones_own_a_route_has_one_retry_half_a_second_and_three_chances() -> None:
    """And a rest of 30 seconds."""
    clock = Clock()
    fallback = Fallback(Fixed("a"), clock=clock, jitter=lambda: 1.0)
    first, second = fallback.select(REQUEST, [failed("a")]), fallback.select(REQUEST, [failed("a"), failed("a")])
    assert (first.route, first.wait_s, second.route) == ("a", 0.5, "b")  # type: ignore[union-attr]
    for waits, route in ((20.0, "a"), (20.1, "b")):
        assert fallback.select(REQUEST, [failed("a", "rate_limited", retry_after_s=waits)]).route == route  # type: ignore[union-attr]
    for _ in range(3):
        assert fallback.select(REQUEST, []).route == "a"  # type: ignore[union-attr]
        fallback.on_decision(decided(failed("a"), good("b")))
    for later, route in ((0, "b"), (29.9, "b"), (0.1, "a")):
        clock.now += later
        assert fallback.select(REQUEST, []).route == route  # type: ignore[union-attr]


def test_jitter_takes_away_up_to_half_of_a_wait() -> None:
    waits = [
        policy(retries=2, jitter=lambda share=share: share).select(REQUEST, [failed("a")] * 2).wait_s for share in (0.0, 0.5, 1.0)
    ]  # type: ignore[union-attr,misc]

    assert waits == [0.5, 0.75, 1.0]


def rest_of(fallback: Fallback, clock: Clock) -> float:
    """Seconds until a route that failed is used again, to the second; nothing comes of that call."""
    for seconds in range(2000):
        if fallback.select(REQUEST, []).route == "a":  # type: ignore[union-attr]
            return seconds
        clock.now += 1
    raise AssertionError("it rests for ever")


def test_each_rest_is_twice_as_long_up_to_ten_minutes() -> None:
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    rests = []
    for _ in range(8):
        fallback.on_decision(decided(failed("a", "overloaded", cool_down=True), good("b")))
        rests.append(rest_of(fallback, clock))

    assert rests == [30, 60, 120, 240, 480, 600, 600, 600]
    quick = policy(clock, cool_down_seconds=1)
    for expected in (1, 2, 4, 8, 16, 32, 64, 64):
        quick.on_decision(decided(failed("a", "overloaded", cool_down=True), good("b")))
        assert rest_of(quick, clock) == expected


@pytest.mark.parametrize(("asked", "rests"), [(None, 30), (10.0, 30), (45.0, 45), (5000.0, 600)])
def test_a_route_rests_as_long_as_its_provider_asks_up_to_ten_minutes(asked: float | None, rests: int) -> None:
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=30)
    fallback.on_decision(decided(failed("a", "rate_limited", cool_down=True, retry_after_s=asked), good("b")))

    assert rest_of(fallback, clock) == rests


def test_without_a_rest_a_failing_route_is_used_at_once() -> None:
    clock = Clock()
    fallback = policy(clock, cool_down_seconds=0)
    fallback.on_decision(decided(failed("a", "overloaded", cool_down=True, retry_after_s=0.0), good("b")))

    assert rest_of(fallback, clock) == 0


def test_an_order_of_ones_own_is_kept_whatever_is_stronger() -> None:
    """Routes that are not eligible now are passed over."""
    fallback = policy(routes=["c", "gone", "a"], inner=Fixed("b"))

    assert [route for route, _ in path(fallback, [failed("x")] * 3)] == ["b", "c", "a"]
    assert sorted(fallback.routes_named()) == ["a", "b", "c", "gone"]
    assert list(policy(inner=Fixed("b")).routes_named()) == ["b"]


def test_a_route_that_rests_is_gone_around_in_the_same_order_and_with_the_same_check() -> None:
    clock = Clock()
    fallback = policy(clock, inner=Cascade(["b", "c"], threshold=0.5))
    fallback.on_decision(decided(failed("b", "overloaded", cool_down=True)))
    found = fallback.select(REQUEST, [])

    assert found is not None
    assert (found.route, found.provisional) == ("c", True)
    assert found.reason.startswith("b rests after failing; ")


def test_what_was_tried_in_this_step_is_no_way_around() -> None:
    """The inner policy wants a resting route after an answer: the one that answered is not asked again."""

    class Wants:
        def select(self, request: Request, attempts: Any) -> Selection | None:
            return Selection("b", provisional=True) if len(attempts) < 2 else None

    fallback = policy(inner=Wants())
    fallback.on_decision(decided(failed("b", "overloaded", cool_down=True)))
    weak = Attempt(Selection("c", provisional=True), answer="Hm.", score=0.1)

    assert fallback.select(REQUEST, [weak]).route == "a"  # type: ignore[union-attr]


def test_a_failure_without_its_error_is_the_inner_policys() -> None:
    """As read back from a ledger; and what failed is told from the error where nobody said it."""
    lost = Attempt(Selection("a"), error_type="ConnectionError")
    unclassified = Attempt(Selection("a"), error=ConnectionError(), error_type="ConnectionError")

    assert policy(inner=Fixed("a")).select(REQUEST, [lost]) == Fixed("a").select(REQUEST, [lost])
    assert policy().select(REQUEST, [unclassified]) == Selection("b", "a failed: connection")


def test_a_worker_that_called_nothing_yet_goes_around_what_another_found_resting() -> None:
    """A rest is one of a provider's model: in a router that has another model under the same name nothing rests."""
    store, clock = MemoryState(), Clock()
    routes = (RouteInfo("a", provider="openai", model="gpt-5"), RouteInfo("b", rank=1, provider="openai", model="gpt-5-pro"))
    one, two, third = (policy(clock, store=store) for _ in range(3))
    request = Request("Hi.", routes=routes)
    failure = failed("a", "overloaded", cool_down=True)
    one.select(request, [failure])
    one.on_decision(decided(failure))

    assert two.select(request, []).route == "b"  # type: ignore[union-attr]
    assert list(two.resting()) == ["a openai gpt-5"]
    other = Request("Hi.", routes=(RouteInfo("a", provider="mistralai", model="mistral-large"), routes[1]))
    assert third.select(other, []).route == "a"  # type: ignore[union-attr]


def test_it_hears_of_what_it_learned_elsewhere_and_passes_it_on() -> None:
    heard: list[Decision] = []

    class Listener(Fixed):
        def on_decision(self, decision: Decision) -> None:
            heard.append(decision)

    decision = decided(failed("a"), good("b"))
    policy(inner=Listener("a")).on_decision(decision)

    assert heard == [decision]


def test_it_stops_at_an_answer_where_the_inner_policy_does() -> None:
    class Wants:
        def select(self, request: Request, attempts: Any) -> Selection | None:
            return Selection("b")

    assert policy(inner=Cascade()).ends_with_answer is True
    assert policy(inner=Wants()).ends_with_answer is False


def test_a_copy_in_another_process_begins_with_routes_that_work() -> None:
    fallback = Fallback(Fixed("a"), retries=0, routes=["c"])
    fallback.on_decision(decided(failed("a", "overloaded", cool_down=True)))
    copied = pickle.loads(pickle.dumps(fallback))

    assert fallback.select(REQUEST, []).route == "c"  # type: ignore[union-attr]
    assert copied.select(REQUEST, []).route == "a"
    copied.on_decision(decided(failed("a", "overloaded", cool_down=True)))
    assert copied.select(REQUEST, []).route == "c"


@pytest.mark.parametrize("right", [{"retries": 0}, {"failure_threshold": 1}, {"cool_down_seconds": 0}, {"backoff_seconds": 0}])
def test_the_ends_of_what_is_allowed_are_allowed(right: dict[str, Any]) -> None:
    assert Fallback(Fixed("a"), **right).select(REQUEST, []).route == "a"  # type: ignore[union-attr]


@pytest.mark.parametrize("bad", [{"retries": -1}, {"failure_threshold": 0}, {"cool_down_seconds": -1}, {"backoff_seconds": -1}])
def test_impossible_numbers_are_said_at_once(bad: dict[str, Any]) -> None:
    """When the policy is built."""
    with pytest.raises(ConfigurationError):
        Fallback(Fixed("a"), **bad)
