"""What a router is made of: what it takes where nothing is given, who hears what, and which settings hold for its calls."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from langroute.core.errors import ConfigurationError, UnknownRouteError
from langroute.core.records import Attempt, Decision, Outcome, Request, Selection, Step, Verdict
from langroute.engine.call_config import Run, read_config
from langroute.engine.drivers import aperform, drive, perform, resume
from langroute.engine.effects import Consult, Reply, RouteCall, Settle, Wait
from langroute.engine.eligibility import RouteLimits
from langroute.engine.router import Router
from langroute.engine.timeouts import Hedging, Timeouts
from langroute.ledger.memory import MemoryLedger
from langroute.policies import Fixed, Rule, Rules
from langroute.routes.route import Route
from langroute.steps.inspector import Inspector
from langroute.testing import ScriptedModel

PRICES = {"small": {"input": 1.0, "output": 2.0}, "middle": {"input": 2.0, "output": 4.0}, "large": {"input": 5.0, "output": 10.0}}


def routes() -> dict[str, Route]:
    return {name: Route(ScriptedModel(name), price=price) for name, price in PRICES.items()}


class Answering:
    """A host whose routes answer with their names."""

    streams = "messages"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def call(self, call: RouteCall) -> Reply:
        self.asked.append(call.route.name)
        used: Any = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
        return Reply(AIMessage(call.route.name, usage_metadata=used))


def decided(router: Router, run: Run | None = None) -> Decision:
    return drive(router.plan(router.request([HumanMessage("Hi.")], run=run), run), Answering()).decision  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "default", "baseline"),
    [
        ({}, "large", "large"),
        ({"default": "middle"}, "middle", "middle"),
        ({"baseline": "small"}, "large", "small"),
        ({"default": "small", "baseline": "middle"}, "small", "middle"),
    ],
)
def test_the_last_route_is_the_default_and_the_default_is_the_baseline(given: dict[str, str], default: str, baseline: str) -> None:
    """Where no other is named; savings are stated against the baseline."""
    router = Router(routes(), policy=Fixed("small"), **given)  # type: ignore[arg-type]
    decision = decided(router)

    assert (router.default, router.baseline, decision.baseline_route) == (default, baseline, baseline)
    price = PRICES[baseline]
    assert decision.baseline_cost_usd == pytest.approx((100 * price["input"] + 10 * price["output"]) / 1e6)


@pytest.mark.parametrize("where", ["default", "baseline"])
def test_a_route_that_there_is_not_is_refused_with_where_it_was_named(where: str) -> None:
    with pytest.raises(UnknownRouteError, match=f"(?s){where}.*'gone'|'gone'.*{where}"):
        Router(routes(), **{where: "gone"})  # type: ignore[arg-type]


class Never:
    """A policy that never stops, and rejects what it gets."""

    def __init__(self) -> None:
        self.places = iter(range(1_000))

    def select(self, request: Request, attempts: Any) -> Selection:
        return Selection(("small", "middle", "large")[next(self.places) % 3], provisional=True)


@pytest.mark.parametrize(("given", "calls"), [(None, 10), (1, 1), (4, 4)])
def test_a_policy_that_never_stops_is_stopped_after_so_many_attempts(given: int | None, calls: int) -> None:
    """Twice as many as there are routes, and four, where nobody says how many."""
    router, host = Router(routes(), policy=Never(), verifier=lambda _: 0.1, max_attempts=given), Answering()
    with pytest.warns(UserWarning, match="attempts"):
        drive(router.plan(router.request([HumanMessage("Hi.")])), host)

    assert len(host.asked) == calls


def test_an_inspector_of_ones_own_says_what_kind_of_step_it_is() -> None:
    class Own(Inspector):
        def inspect(self, *args: Any, **kwargs: Any) -> Step:
            return Step("act", node="own")

    assert Router(routes(), inspector=Own()).request([HumanMessage("Hi.")]).step.node == "own"
    assert Router(routes()).request([HumanMessage("Hi.")]).step.node is None


def test_a_kind_of_step_that_no_step_can_have_is_refused_where_a_policy_names_it() -> None:
    """A rule for it would never apply; an inspector of one's own may know it."""
    policy = Rules([Rule("small", kind="haiku")], default="large")
    with pytest.raises(ConfigurationError, match="haiku"):
        Router(routes(), policy=policy)

    assert Router(routes(), policy=policy, inspector=Inspector({"haiku": lambda step: True})).default == "large"


class Hearing:
    """A hook that wants to hear of outcomes wherever they are told, and sees the ledger."""

    hears_ledger = True

    def __init__(self) -> None:
        self.watched: list[Any] = []
        self.outcomes: list[Outcome] = []

    def watch_ledger(self, ledger: Any) -> None:
        self.watched.append(ledger)

    def on_decision(self, decision: Decision) -> None:
        """Nothing to do."""

    def on_outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Deaf(Hearing):
    hears_ledger = False


def test_a_hook_hears_what_the_ledger_is_told_where_it_wants_to() -> None:
    """Another program part that knows only the ledger tells it of an outcome."""
    ledger, hears, deaf = MemoryLedger(), Hearing(), Deaf()
    router = Router(routes(), hooks=[hears, deaf], ledger=ledger)
    decision = decided(router)
    outcome = Outcome(success=True, decision_id=decision.id)
    ledger.record_outcome(outcome)

    assert hears.watched == deaf.watched == [ledger]
    assert (hears.outcomes, deaf.outcomes) == ([outcome], [])
    router.record_outcome(outcome)
    assert deaf.outcomes == [outcome]


def test_limits_of_a_router_hold_for_its_calls_and_those_of_a_call_are_told_apart() -> None:
    """What a call's own limits led to is not remembered for the calls after it (`limited`)."""
    router = Router(routes(), limits=RouteLimits(exclude=frozenset({"large"})))

    def asked(metadata: dict[str, Any]) -> Request:
        return router.request([HumanMessage("Hi.")], run=read_config({"metadata": metadata}, router.limits))

    own, same, other = asked({}), asked({"langroute_exclude": ["large"]}), asked({"langroute_route": "small"})
    assert [[route.name for route in request.routes] for request in (own, same, other)] == [
        ["small", "middle"],
        ["small", "middle"],
        ["small"],
    ]
    assert [request.limited for request in (own, same, other)] == [False, False, True]
    assert [request.default for request in (own, other)] == ["middle", "small"]
    assert dict(own.rejected) == {"large": "excluded by the caller"}
    with pytest.raises(UnknownRouteError, match="'gone'"):
        Router(routes(), limits=RouteLimits(route="gone"))
    router.limited = True
    assert [asked({}).limited, asked({"langroute_route": "small"}).limited] == [True, True]


class Quick:
    """A policy that has to be awaited."""

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection("small")

    async def aselect(self, request: Request, attempts: Any) -> Selection | None:
        return self.select(request, attempts)


def test_a_second_route_is_asked_beside_where_that_is_wanted_and_the_policy_is_not_awaited() -> None:
    hedging = Timeouts(hedging=Hedging(after=1.0))

    assert Router(routes(), timeouts=hedging).hedges is True
    assert Router(routes(), timeouts=Timeouts(total=5)).hedges is Router(routes()).hedges is False
    assert Router(routes(), timeouts=hedging, policy=Quick()).hedges is False
    assert [Router(routes(), timeouts=one).restarts_streams for one in (None, Timeouts(), Timeouts(restart_stream=True))] == [
        False,
        False,
        True,
    ]
    with pytest.raises(ConfigurationError, match="timeouts is a Timeouts"):
        Router(routes(), timeouts=5)


def test_what_checks_an_answer_is_the_verifiers_that_are_given_else_those_that_cost_nothing() -> None:
    class Strict:
        def verify(self, request: Request, attempt: Attempt) -> Verdict:
            return Verdict("strict", 1.0)

    strict = Strict()
    assert Router(routes(), verifier=strict).verifiers == (strict,)
    assert len(Router(routes()).verifiers) >= 1
    assert Router(routes(), verifier=()).verifiers == ()


def test_a_router_says_in_a_line_what_it_is() -> None:
    assert repr(Router(routes(), policy=Fixed("small"), default="middle")) == (
        "Router(['small', 'middle', 'large'], policy=Fallback(Fixed('small')), default='middle')"
    )


class Session:
    """Something that a host settles when its answer is known."""

    def __init__(self) -> None:
        self.settled: list[str] = []

    def settle(self) -> None:
        self.settled.append("at once")

    async def asettle(self) -> None:
        self.settled.append("awaited")


async def test_what_a_host_asks_to_settle_is_settled_and_nothing_else_is() -> None:
    """A pause is only waited for."""
    session = Session()

    assert perform(Settle(session)) is None
    assert await aperform(Settle(session)) is None
    assert session.settled == ["at once", "awaited"]
    assert perform(Wait(0.0)) is None
    assert await aperform(Wait(0.0)) is None


async def test_an_error_of_a_policy_is_handed_to_the_plan_and_not_raised() -> None:
    class Broken:
        def select(self, request: Request, attempts: Any) -> Any:
            raise ValueError("no map")

        async def aselect(self, request: Request, attempts: Any) -> Any:
            raise ValueError("no map")

    router = Router(routes(), policy=Fixed("small"))
    request = router.request([HumanMessage("Hi.")])

    def plan() -> Any:
        try:
            yield
        except ValueError as error:
            yield f"told {error}"

    for value in (perform(Consult(Broken(), request, ())), await aperform(Consult(Broken(), request, ()))):
        waiting = plan()
        next(waiting)
        assert resume(waiting, value) == "told no map"
    assert perform(Consult(Fixed("large"), request, ())).route == "large"
