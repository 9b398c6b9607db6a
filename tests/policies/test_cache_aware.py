"""When does a switch pay? The policy, driven through the router with the billing of played providers."""

from __future__ import annotations

import pickle
import random
from threading import Thread
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.billing import SimulatedProvider
from langroute.drivers import drive
from langroute.effects import Call, Reply
from langroute.policies.cache_aware import CacheAware
from langroute.policies.fixed import Fixed
from langroute.policies.plan_execute import PlanExecute
from langroute.records import Attempt, Decision, Price, Request, RouteInfo, Selection, Signals, Step, Usage
from langroute.router import Router
from langroute.routes import Route
from langroute.runs import Run
from langroute.testing import ScriptedModel
from langroute.warmth import CacheRules, Warmth

OPUS = Price(input=5, output=25, cache_read=0.5, cache_write=6.25)
SONNET = Price(input=3, output=15, cache_read=0.3, cache_write=3.75)
HAIKU = Price(input=1, output=5, cache_read=0.1, cache_write=1.25)
PRICES = {"cheap": HAIKU, "balanced": SONNET, "frontier": OPUS}
RULES = CacheRules(1024, automatic=False)


class Wish:
    """A policy that wants whatever the test says next."""

    def __init__(self) -> None:
        self.route, self.firm = "frontier", False

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection(self.route, "wished", firm=self.firm)


class Conversation:
    """One agent thread over three routes whose providers are played; the clock is the test's."""

    def __init__(self, context_tokens: int = 100_000, **settings: Any) -> None:
        self.now, self.wish = 0.0, Wish()
        self.policy = CacheAware(self.wish, warmth=Warmth(lambda _: RULES, clock=lambda: self.now), **settings)
        self.router = Router({name: Route(ScriptedModel(), price=price) for name, price in PRICES.items()}, policy=self.policy)
        self.providers = {name: SimulatedProvider(RULES) for name in PRICES}
        self.messages: list[Any] = [SystemMessage("w" * 4 * context_tokens), HumanMessage("Do it.")]
        self.count = 0

    def call(self, call: Call) -> Reply:
        pieces = [((message.type, str(message.content)), len(str(message.content)) // 4) for message in call.request.messages]
        usage = self.providers[call.route.name].bill(pieces, 500, at=self.now)
        answer = AIMessage(
            "answer",
            tool_calls=[{"name": "look", "args": {"n": self.count}, "id": f"c{self.count}"}],
            usage_metadata={
                "input_tokens": usage.input_tokens,
                "output_tokens": 500,
                "total_tokens": usage.input_tokens + 500,
                "input_token_details": {"cache_read": usage.cache_read, "cache_creation": usage.cache_write},
            },
        )
        return Reply(answer)

    def step(self, wish: str, *, result: str = "r" * 8000) -> Decision:
        """Ask for a route and go on with a tool result."""
        self.wish.route = wish
        run = Run({"thread_id": "t1"})
        result_ = drive(self.router.plan(self.router.request(self.messages, run=run), run), self)
        self.messages += [result_.message, ToolMessage(f"{result}{self.count}", tool_call_id=f"c{self.count}")]
        self.count += 1
        self.now += 10
        return self.router.ledger.get(result_.decision.id) or result_.decision

    def user(self, text: str = "And now the other one.", pause: float = 30.0) -> None:
        self.messages.append(HumanMessage(text))
        self.now += pause


def test_a_cheap_step_in_the_middle_of_a_turn_stays_where_the_context_is_warm() -> None:
    """A hundred thousand tokens read cold by Sonnet cost more than a few steps save."""
    talk = Conversation()
    talk.step("frontier")
    decision = talk.step("balanced")

    assert decision.route == "frontier"
    assert "a switch to balanced costs" in decision.reason
    assert decision.switch_cost_usd is None


def test_a_switch_that_pays_within_the_turn_is_made_and_says_what_it_costs() -> None:
    """Haiku's price for writing is small enough for the steps that are left."""
    talk = Conversation(context_tokens=20_000)
    talk.step("frontier")
    decision = talk.step("cheap")

    assert decision.route == "cheap"
    assert decision.switch_cost_usd is not None
    assert 0.02 < decision.switch_cost_usd < 0.1


def test_going_up_waits_for_the_next_turn() -> None:
    talk = Conversation()
    for _ in range(8):
        talk.step("cheap")
    assert talk.step("frontier").reason == "stays until the turn ends; wished"
    talk.user()

    assert talk.step("frontier").route == "frontier"


def test_going_up_is_paid_from_what_the_thread_saved() -> None:
    """Right after the cheap route read the whole context cold, doing so again would be dearer than the strong route alone."""
    talk = Conversation()
    talk.step("cheap")
    talk.user()
    decision = talk.step("frontier")
    assert decision.route == "cheap"
    assert "dearer than with it alone" in decision.reason
    for _ in range(5):
        talk.step("cheap")
    talk.user()

    assert talk.step("frontier").route == "frontier"


def test_a_thread_that_goes_up_and_down_is_never_much_dearer_than_the_strong_route_alone() -> None:
    """Whatever the policy wishes: 60 turns of one to six steps, wishes at random."""
    chance = random.Random(5)
    talk, alone = Conversation(context_tokens=12_000), Conversation(context_tokens=12_000)
    cost = {"aware": 0.0, "alone": 0.0}
    for _ in range(60):
        for _ in range(chance.randint(1, 6)):
            cost["aware"] += talk.step(chance.choice(["cheap", "balanced", "frontier"])).cost_usd or 0.0
            cost["alone"] += alone.step("frontier").cost_usd or 0.0
        pause = chance.choice([5.0, 40.0, 900.0])
        talk.user(pause=pause)
        alone.user(pause=pause)

    assert cost["aware"] < cost["alone"]


def test_an_agent_that_is_stuck_may_go_up_at_once() -> None:
    talk = Conversation()
    talk.step("cheap", result="Error: no such file")
    for message in talk.messages:
        if isinstance(message, ToolMessage):
            message.status = "error"
    talk.step("cheap")
    talk.messages[-1].status = "error"

    assert talk.step("frontier").route == "frontier"


def test_a_firm_policy_has_its_way() -> None:
    talk = Conversation()
    talk.step("cheap")
    talk.wish.firm = True

    decision = talk.step("frontier")
    assert decision.route == "frontier"
    assert decision.switch_cost_usd == pytest.approx(0.61, abs=0.1)


def test_a_cold_cache_holds_nobody_back() -> None:
    """After a long pause everything is written anew anyway, so the cheaper route is free to take over."""
    talk = Conversation()
    talk.step("frontier")
    talk.user(pause=3600)
    decision = talk.step("balanced")

    assert decision.route == "balanced"
    assert decision.switch_cost_usd == 0


def test_a_retry_is_none_of_its_business() -> None:
    policy = CacheAware(Fixed("a"))
    request = Request("Hi.", Step(thread="t"), (RouteInfo("a"), RouteInfo("b")))

    assert policy.select(request, [Attempt(Selection("a"), answer="x")]) is None


def test_steps_beside_the_conversation_go_where_the_policy_says() -> None:
    talk = Conversation()
    talk.step("frontier")
    request = talk.router.request(talk.messages, run=Run({"thread_id": "t1", "langroute_step_kind": "title"}))
    talk.wish.route = "balanced"

    assert talk.policy.select(request, []).route == "balanced"


def test_another_conversation_of_the_same_thread_id_is_a_boundary() -> None:
    """A sub-agent that begins with a prompt of its own decides anew."""
    talk = Conversation()
    talk.step("cheap")
    talk.messages = [SystemMessage("You are a sub-agent. " + "w" * 40_000), HumanMessage("Look it up.")]

    assert talk.step("frontier").route == "frontier"


def test_effective_cost_is_what_would_be_billed_now_and_the_way_back() -> None:
    talk = Conversation()
    talk.step("frontier")
    request = talk.router.request(talk.messages, run=Run({"thread_id": "t1"}))
    costs = {route.name: talk.policy.effective_cost(route, request) for route in talk.router.infos}

    assert costs["frontier"] < 0.11
    assert costs["balanced"] > 0.38
    assert costs["cheap"] > 0.12


def test_effective_cost_of_a_route_without_a_price_is_unknown() -> None:
    request = Request("Hi.", Step(thread="t"), (RouteInfo("a"),))

    assert CacheAware(Fixed("a")).effective_cost(request.routes[0], request) is None


def test_routes_without_prices_are_left_to_the_policy() -> None:
    policy = CacheAware(Fixed("b"))
    routes = (RouteInfo("a", "cheap", 0), RouteInfo("b", "cheap", 1))
    step = Step("act", thread="t", signals=Signals(turn=1))
    policy._asked[id(step)] = (step, policy._prompt(Request("Hi.", step, routes)), {route.name: route for route in routes})
    policy.on_decision(Decision("d", step, "a", (Attempt(Selection("a"), answer="x"),)))
    request = Request([HumanMessage("Hi."), AIMessage("x")], Step("act", thread="t", signals=Signals(turn=1)), routes)

    assert policy.select(request, []).route == "b"


def test_it_learns_how_long_turns_are() -> None:
    """What pays over the four steps that are expected at first does not where turns turn out to have one."""
    fresh, experienced = Conversation(context_tokens=60_000), Conversation(context_tokens=60_000)
    for _ in range(30):
        experienced.step("frontier", result="")
        experienced.user(pause=5)
    fresh.step("frontier")
    experienced.step("frontier")

    assert fresh.step("cheap").route == "cheap"
    assert experienced.step("cheap").route == "frontier"


def test_threads_may_ask_and_learn_at_once() -> None:
    """Eight conversations of one agent, each in a thread of its own, over one policy."""
    policy, failures = CacheAware(PlanExecute(review_every=3), warmth=Warmth(lambda _: CacheRules())), []
    routes = tuple(RouteInfo(name, name, rank, price=price) for rank, (name, price) in enumerate(PRICES.items()))

    def talk(name: int) -> None:
        try:
            messages: list[Any] = [SystemMessage("w" * 20_000), HumanMessage(f"{name}")]
            for number in range(150):
                signals = Signals(5000 + 100 * number, turn=1 + number // 5, turn_steps=number % 5)
                step = Step("act", thread=f"t{name}", signals=signals)
                selection = policy.select(Request(messages, step, routes), [])
                attempt = Attempt(selection, answer="x", usage=Usage(5000 + 100 * number, 50, 4000), cost_usd=0.01)
                policy.on_decision(Decision("d", step, selection.route, (attempt,)))
                messages.append(AIMessage(f"{number}"))
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=talk, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert len(policy._asked) == 0


def test_it_can_be_carried_to_another_process() -> None:
    policy = pickle.loads(pickle.dumps(CacheAware(Fixed("a"), margin=0.2)))

    assert policy.margin == 0.2
    assert policy.select(Request("Hi.", routes=(RouteInfo("a"),)), []).route == "a"


async def test_a_policy_that_has_to_be_awaited_is_awaited() -> None:
    class Remote:
        def select(self, request: Request, attempts: Any) -> Selection:
            raise AssertionError("asked in the wrong way")

        async def aselect(self, request: Request, attempts: Any) -> Selection:
            return Selection("a")

    policy = CacheAware(Remote())
    assert (await policy.aselect(Request("Hi.", routes=(RouteInfo("a"),)), [])).route == "a"
