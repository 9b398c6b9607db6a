"""The cache-aware policy, driven through the router with the billing of simulated providers."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from alive import newcomers
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.records import Attempt, Decision, Outcome, Price, Request, RouteInfo, Selection, Signals, Step, Usage
from langroute.engine.call_config import Run
from langroute.engine.drivers import drive
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.router import Router
from langroute.policies.cache_aware import CacheAware
from langroute.policies.fixed import Fixed
from langroute.policies.plan_execute import PlanExecute
from langroute.prompt_cache.simulated_prompt_cache import SimulatedProvider
from langroute.prompt_cache.state import Prompt, PromptCacheState
from langroute.providers.profile import CacheRules
from langroute.routes.route import Route
from langroute.testing import ScriptedModel

OPUS = Price(input=5, output=25, cache_read=0.5, cache_write=6.25)
SONNET = Price(input=3, output=15, cache_read=0.3, cache_write=3.75)
HAIKU = Price(input=1, output=5, cache_read=0.1, cache_write=1.25)
PRICES = {"cheap": HAIKU, "balanced": SONNET, "frontier": OPUS}
RULES = CacheRules(1024, automatic=False)


class Wish:
    """A policy that wants whatever the test says next."""

    def __init__(self) -> None:
        self.route, self.override_wrappers = "frontier", False

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection(self.route, "wished", override_wrappers=self.override_wrappers)


class Conversation:
    """One agent thread over three routes whose providers are played; the clock is the test's."""

    def __init__(self, context_tokens: int = 100_000, **settings: Any) -> None:
        self.now, self.wish = 0.0, Wish()
        self.policy = CacheAware(self.wish, prompt_cache=PromptCacheState(lambda _: RULES, clock=lambda: self.now), **settings)
        self.router = Router({name: Route(ScriptedModel(), price=price) for name, price in PRICES.items()}, policy=self.policy)
        self.providers = {name: SimulatedProvider(RULES) for name in PRICES}
        self.messages: list[Any] = [SystemMessage("w" * 4 * context_tokens), HumanMessage("Do it.")]
        self.count = 0

    def call(self, call: RouteCall) -> Reply:
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
        """CacheRequest for a route and go on with a tool result."""
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


def test_where_another_process_answered_last_the_messages_say_so() -> None:
    """A worker that remembers the strong route does not go back to it in the middle of a turn that another worker moved."""

    def told(talk: Conversation, decision: Decision) -> Decision:
        # As a host writes it into the answer that it gives.
        talk.messages[-2].response_metadata["langroute"] = {
            "decision_id": decision.id,
            "route": decision.route,
            "started_at": talk.now - 10,
            "step": {"kind": decision.step.kind},
        }
        return decision

    talk, elsewhere = Conversation(), Conversation()
    told(talk, talk.step("frontier"))
    elsewhere.messages, elsewhere.now, elsewhere.count = talk.messages, talk.now, talk.count
    elsewhere.wish.override_wrappers = True
    assert told(elsewhere, elsewhere.step("cheap")).route == "cheap"
    talk.now, talk.count = elsewhere.now, elsewhere.count

    back = talk.step("frontier")

    assert (back.route, back.reason) == ("cheap", "stays until the turn ends; wished")


def test_a_firm_policy_has_its_way() -> None:
    talk = Conversation()
    talk.step("cheap")
    talk.wish.override_wrappers = True

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
    priced = tuple(RouteInfo(route.name, route.tier, route.rank, price=PRICES["frontier"]) for route in routes)
    assert policy.select(Request("Hi.", step, priced), []) is not None
    policy.on_decision(Decision("d", step, "a", (Attempt(Selection("a"), answer="x"),)))
    messages, later = [HumanMessage("Hi."), AIMessage("x")], Step("act", thread="t", signals=Signals(turn=1))

    assert policy.select(Request(messages, later, priced), []).route == "a", "with prices it stays where it is"
    assert policy.select(Request(messages, later, routes), []).route == "b"


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
    policy, failures = CacheAware(PlanExecute(review_every=3), prompt_cache=PromptCacheState(lambda _: CacheRules())), []
    prompts = newcomers(Prompt)
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
    # What was asked for is forgotten when its decision is heard of.
    assert prompts() == []


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


# Told by hand: the numbers -----------------------------------------------------------------------------------------------

SILENT = Usage(0, 200)
TOLD = tuple(RouteInfo(name, name, rank, price=price) for rank, (name, price) in enumerate(PRICES.items()))


class Told:
    """A policy that is told what was answered, whatever it selected; a step takes 1,000 new tokens and answers with 200."""

    def __init__(self, routes: tuple[RouteInfo, ...] = TOLD, ttl_seconds: float = 300.0, **settings: Any) -> None:
        self.now, self.wish, self.routes = 0.0, Wish(), routes
        rules = CacheRules(1024, ttl_seconds=ttl_seconds, automatic=False)
        self.policy = CacheAware(self.wish, prompt_cache=PromptCacheState(lambda _: rules, clock=lambda: self.now), **settings)
        self.threads: dict[str, list[Any]] = {}

    def request(self, thread: str, tokens: int, turn: int = 1, done: int = 0, **step: Any) -> Request:
        messages = self.threads.setdefault(thread, [SystemMessage("w"), HumanMessage(thread)])
        signals = Signals(tokens, turn=turn, turn_steps=done)
        return Request(messages.copy(), Step("act", thread=thread, signals=signals, **step), self.routes)

    def asked(self, wish: str, request: Request) -> Selection:
        """What it says where the policy inside wants that route."""
        self.wish.route = wish
        selection = self.policy.select(request, [])
        assert selection is not None
        return selection

    def answered(self, route: str, request: Request, usage: Usage = SILENT, cost_usd: float | None = None) -> None:
        """A route answered; by default it says nothing of its input."""
        self.asked(route, request)
        attempt = Attempt(Selection(route), answer="x", usage=usage, cost_usd=cost_usd)
        self.policy.on_decision(Decision("d", request.step, route, (attempt,)))
        self.threads[str(request.step.thread)].append(AIMessage("x"))

    def turns(self, thread: str, *turns: list[str], seconds: float = 20.0, pause: float = 50.0) -> None:
        """A conversation of several turns, each with its routes."""
        tokens = 500
        for turn, routes in enumerate(turns, 1):
            for done, route in enumerate(routes):
                self.answered(route, self.request(thread, tokens, turn, done))
                tokens += 1200
                self.now += pause if done == len(routes) - 1 else seconds

    def comes_and_goes(self, pause: float = 50.0) -> None:
        """Twenty conversations of four turns of four steps; two on one route, two on the other, so each is come back to after two."""
        for number in range(20):
            self.turns(f"{number}", *[["frontier", "frontier", "cheap", "cheap"]] * 4, pause=pause)

    def cached_tokens(self, thread: str, route: str = "frontier") -> Request:
        """A thread whose first step a route answered, with 100,000 tokens that its provider now holds; and its next step."""
        self.answered(route, self.request(thread, 100_000), Usage(100_000, 200, cache_write=100_000))
        self.now += 20
        return self.request(thread, 101_200, done=1)

    def way_back(self, request: Request, route: str = "cheap", price: Price = HAIKU) -> float:
        """What a route's effective cost holds beside its own call, which reads all of the prompt cold."""
        cost = self.policy.effective_cost(next(info for info in self.routes if info.name == route), request)
        assert cost is not None
        return cost - request.step.signals.tokens * (price.cache_write or 0) / 1e6 - self.output * price.output / 1e6

    output = 200.0
    """Tokens of an answer that are expected."""


def test_the_way_back_before_anything_was_seen() -> None:
    """Half of those who leave are expected back, after four steps by which the history has grown."""
    told = Told()
    request = told.cached_tokens("t")
    told.output = 300 + 0.2 * (200 - 300)

    assert told.way_back(request) == pytest.approx(0.5 * 4 * (1500 + 280) * 6.25e-6)


def test_the_way_back_of_an_agent_that_always_comes_back_after_two_steps() -> None:
    """Certain: what two steps add has to be written then. The context is still warm."""
    told = Told()
    told.comes_and_goes()

    assert told.way_back(told.cached_tokens("t")) == pytest.approx(2 * 1200 * 6.25e-6, rel=2e-3)


def test_the_way_back_into_a_cache_that_forgot_costs_the_whole_context() -> None:
    """Two steps of 20 seconds and a pause of 50 are longer than the provider remembers; the pause alone is not."""
    grown, context = 2 * 1200 * 6.25e-6, 100_000 * (6.25e-6 - 0.5e-6)
    for ttl_seconds, expected in ((45.0, grown), (55.0, grown + context), (88.0, grown + context), (95.0, grown)):
        told = Told(ttl_seconds=ttl_seconds)
        told.comes_and_goes()

        assert told.way_back(told.cached_tokens("t")) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("turns", [[["frontier", "cheap"], ["cheap", "cheap"]], [["frontier", "cheap", "cheap"], ["balanced"]]])
def test_an_agent_that_never_comes_back_pays_no_way_back(turns: list[list[str]]) -> None:
    """It is heard of at the next turn, whichever route that begins on."""
    told = Told()
    for number in range(60):
        told.turns(f"{number}", *turns)

    assert told.way_back(told.cached_tokens("t")) == pytest.approx(0, abs=1e-6)


def test_who_comes_back_with_the_next_turn_came_back() -> None:
    told = Told()
    for number in range(60):
        told.turns(f"{number}", ["frontier", "cheap", "cheap"], ["frontier"])

    # Away for two steps; the turn has two more, as the turns before had, and a little for one that nobody has seen.
    assert told.way_back(told.cached_tokens("t")) == pytest.approx(2 * 1200 * 6.25e-6, rel=2e-3)


def test_a_route_that_was_left_in_an_earlier_turn_is_not_come_back_to() -> None:
    """Once a turn went by without it, a later visit is another beginning."""
    told = Told()
    for number in range(60):
        told.turns(f"{number}", ["frontier", "cheap"], ["cheap", "cheap"], ["frontier"])

    # It left twice (up again is leaving, too), and was never come back to.
    assert told.way_back(told.cached_tokens("t")) == pytest.approx(0, abs=1e-6)


def test_nothing_is_lost_by_leaving_a_route_that_holds_nothing() -> None:
    told = Told()
    request = told.cached_tokens("t")
    told.now += 3600
    told.output = 280

    assert told.way_back(request) == pytest.approx(0)


def test_what_a_switch_costs_and_saves_is_said_in_numbers() -> None:
    """Two more steps until it goes back, three more turns; worked out by hand from the list prices."""
    told = Told()
    told.comes_and_goes()
    request = told.cached_tokens("t")
    calls = [(100_000, 1200), (101_200, 1200)]
    opus = sum(read * 0.5e-6 + written * 6.25e-6 + 200 * 25e-6 for read, written in calls)
    sonnet = sum(read * 0.3e-6 + written * 3.75e-6 + 200 * 15e-6 for read, written in calls)
    # 21 conversations had 60 later turns, two that had none are imagined, and every second turn wants the same.
    saved = (opus - sonnet) * (1 + 0.5 * 60 / (21 + 2))
    loss = 100_000 * (3.75e-6 - 0.3e-6) + 2 * 1200 * 6.25e-6

    assert told.asked("balanced", request) == Selection(
        "frontier", f"stays: a switch to balanced costs {loss:.4f} USD and saves {saved:.4f}; wished"
    )
    told.wish.override_wrappers = True
    assert told.asked("balanced", request).switch_cost_usd == pytest.approx(loss, rel=2e-3)


def test_what_the_new_route_already_holds_is_not_lost() -> None:
    told = Told()
    told.cached_tokens("t")
    told.answered("balanced", told.request("t", 101_200, done=1), Usage(101_200, 200, cache_write=101_200))
    told.wish.override_wrappers = True
    switch = told.asked("frontier", told.request("t", 102_400, done=2))

    # Opus has 100,000 of Sonnet's 101,200. Half of those who left come back, after the three steps that a turn has left.
    habits_output, habits_input = 300 - 0.2 * 100 - 0.2 * 80, 1500 + 0.2 * (1200 - 280 - 1500)
    grown = 4 * (int(habits_input) + int(habits_output)) * 3.75e-6
    assert switch.switch_cost_usd == pytest.approx(1200 * (6.25e-6 - 0.5e-6) + 0.5 * grown)


def test_later_turns_count_only_where_the_pause_before_them_leaves_the_cache_warm() -> None:
    saves = {}
    for pause in (50.0, 400.0):
        told = Told()
        told.comes_and_goes(pause)
        reason = told.asked("balanced", told.cached_tokens("t")).reason
        saves[pause] = float(reason.partition("saves ")[2].partition(";")[0])

    assert saves[50.0] == pytest.approx(saves[400.0] * (1 + 0.5 * 60 / 23), abs=2e-4)


def test_a_saving_has_to_exceed_the_cost_by_the_margin() -> None:
    """The same step of the same thread, two margins: Haiku saves 1.59 times what it costs."""
    for margin, route in ((0.55, "cheap"), (0.65, "frontier")):
        told = Told(margin=margin)
        told.answered("frontier", told.request("t", 100_000), Usage(100_000, 200, cache_write=100_000))

        assert told.asked("cheap", told.request("t", 101_200, done=1)).route == route


@pytest.mark.parametrize("max_regret, route", [(0.34, "cheap"), (0.35, "frontier")])
def test_going_up_may_make_a_thread_dearer_by_so_much_and_no_more(max_regret: float, route: str) -> None:
    """Haiku's first call and Opus's cold one, beside two calls of Opus; Opus writes to no cache before Haiku's answer told of one."""
    told = Told(max_regret=max_regret)
    told.answered("cheap", told.request("t", 100_000), Usage(100_000, 200, cache_write=100_000), cost_usd=0.126)
    told.now += 20
    spent = 0.126 + 101_200 * 6.25e-6 + 280 * 25e-6
    alone = 100_000 * 5e-6 + 200 * 25e-6 + 100_000 * 0.5e-6 + 1200 * 6.25e-6 + 280 * 25e-6
    assert 0.34 < spent / alone - 1 < 0.35

    selection = told.asked("frontier", told.request("t", 101_200, turn=2))
    assert selection.route == route
    if route == "cheap":
        assert selection.reason == "stays: with frontier now, the thread would be 34% dearer than with it alone; wished"


def test_a_call_whose_cost_nobody_knows_is_no_reason_to_stay() -> None:
    """It counts nothing, not a dollar: only Opus's cold call stands against two of its own."""
    told = Told()
    told.answered("cheap", told.request("t", 100_000), Usage(100_000, 200, cache_write=100_000), cost_usd=None)
    told.now += 20
    going = 101_200 * 6.25e-6 + 280 * 25e-6
    alone = 100_000 * 5e-6 + 200 * 25e-6 + 100_000 * 0.5e-6 + 1200 * 6.25e-6 + 280 * 25e-6

    assert f" {going / alone - 1:.0%} dearer " in told.asked("frontier", told.request("t", 101_200, turn=2)).reason


def test_routes_that_cost_nothing_are_left_to_the_policy_at_a_boundary() -> None:
    """Models on one's own machine: no share can be taken of nothing."""
    free = tuple(RouteInfo(name, name, rank, price=Price(0, 0)) for rank, name in enumerate(PRICES))
    told = Told(free)
    told.answered("cheap", told.request("t", 5000), Usage(5000, 200), cost_usd=0.0)

    assert told.asked("frontier", told.request("t", 6200, turn=2)).route == "frontier"


def test_a_stronger_route_without_a_price_is_left_to_the_policy_at_a_boundary() -> None:
    told = Told((TOLD[0], RouteInfo("frontier", "frontier", 1)))
    told.answered("cheap", told.request("t", 5000), Usage(5000, 200), cost_usd=0.01)

    assert told.asked("frontier", told.request("t", 6200, done=1)).reason == "stays until the turn ends; wished"
    assert told.asked("frontier", told.request("t", 6200, turn=2)) == Selection("frontier", "wished")


@pytest.mark.parametrize("prices", [(None, HAIKU), (SONNET, None), (None, None)])
def test_a_move_down_or_aside_between_routes_of_which_one_has_no_price_is_the_policys(
    prices: tuple[Price | None, Price | None],
) -> None:
    told = Told(
        tuple(RouteInfo(name, "cheap", rank, price=price) for rank, (name, price) in enumerate(zip("ab", prices, strict=True)))
    )
    told.answered("a", told.request("t", 100_000), Usage(100_000, 200, cache_write=100_000))

    assert told.asked("b", told.request("t", 101_200, done=1)) == Selection("b", "wished")


def test_a_cache_that_forgets_within_the_usual_pause_does_not_help_a_later_turn() -> None:
    """A minute is expected before anything was seen; a cache that lives a minute is gone by then."""
    saves = {}
    for ttl_seconds in (60.0, 60.5):
        told = Told(ttl_seconds=ttl_seconds)
        for number in range(9):
            told.answered("frontier", told.request(f"{number}", 500, turn=2))
        reason = told.asked("balanced", told.cached_tokens("t")).reason
        saves[ttl_seconds] = float(reason.partition("saves ")[2].partition(";")[0])

    # Nine later turns, one first turn, two imagined ones.
    assert saves[60.5] == pytest.approx(saves[60.0] * (1 + 0.5 * 9 / 3), abs=3e-4)


@pytest.mark.parametrize("grown", [300, 200, -400])
def test_a_history_that_did_not_grow_says_nothing_of_how_it_grows(grown: int) -> None:
    """By the answer alone, by less, or not at all, as after a summary."""
    told = Told()
    told.answered("frontier", told.request("s", 900), Usage(0, 300))
    told.answered("frontier", told.request("s", 900 + grown, done=1), Usage(0, 300))
    request = told.cached_tokens("t")
    told.output = 280

    assert told.way_back(request) == pytest.approx(0.5 * 4 * (1500 + 280) * 6.25e-6)


@pytest.mark.parametrize(
    ("now", "wanted", "up"),
    [
        (RouteInfo("a", "cheap", 1), RouteInfo("b", "frontier", 0), True),
        (RouteInfo("a", "frontier", 0), RouteInfo("b", "cheap", 1), False),
        (RouteInfo("a", "cheap", 0), RouteInfo("b", "balanced", 1), True),
        (RouteInfo("a", "balanced", 0), RouteInfo("b", "balanced", 1), False),
        (RouteInfo("a", "house", 0), RouteInfo("b", "guru", 1), True),
        (RouteInfo("a", "guru", 1), RouteInfo("b", "house", 0), False),
        (RouteInfo("a", "house", 0), RouteInfo("b", "house", 1), False),
        (RouteInfo("a", "house", 0), RouteInfo("b", "cheap", 1), True),
        (RouteInfo("a", "frontier", 0), RouteInfo("b", "house", 1), True),
        (RouteInfo("a", "frontier", 1), RouteInfo("b", "house", 0), False),
    ],
)
def test_a_route_is_stronger_by_its_tier_and_by_its_place_where_a_tier_is_the_users_own(
    now: RouteInfo, wanted: RouteInfo, up: bool
) -> None:
    """Going up waits for the turn's end; going down or aside is a matter of price."""
    told = Told(tuple(replace(route, price=SONNET) for route in sorted((now, wanted), key=lambda route: route.rank)))
    told.answered("a", told.request("t", 100_000), Usage(100_000, 200, cache_write=100_000))
    reason = told.asked("b", told.request("t", 101_200, done=1)).reason

    assert reason.startswith("stays until the turn ends" if up else "stays: a switch to b costs")


@pytest.mark.parametrize(
    "boundary", [{"turn": 2}, {"task": "k2", "done": 1}, {"thread": "t", "done": 1, "agent": "helper"}, {"done": 1, "node": "n"}]
)
def test_a_new_turn_task_agent_or_node_is_a_boundary(boundary: dict[str, Any]) -> None:
    told = Told(max_regret=10.0)
    told.answered("cheap", told.request("t", 5000), Usage(5000, 200), cost_usd=0.01)
    request = told.request(**{"thread": "t", "tokens": 6200, **boundary})
    assert told.asked("frontier", told.request("t", 6200, done=1)).route == "cheap"

    assert told.asked("frontier", request).route == "frontier"


def test_the_inner_policy_hears_of_every_decision_and_outcome() -> None:
    """Also of one that it was not asked about here."""

    class Listener(Wish):
        def __init__(self) -> None:
            super().__init__()
            self.heard: list[Any] = []

        def on_decision(self, decision: Decision) -> None:
            self.heard.append(decision.id)

        def on_outcome(self, outcome: Outcome) -> None:
            self.heard.append(outcome)

    inner, outcome = Listener(), Outcome(success=True)
    policy = CacheAware(inner)
    request = Request("Hi.", Step("act", thread="t"), TOLD)
    policy.select(request, [])
    policy.on_decision(Decision("d1", request.step, "frontier", (Attempt(Selection("frontier"), answer="x"),)))
    policy.on_decision(Decision("d2", Step("title"), None, ()))
    policy.on_outcome(outcome)

    assert inner.heard == ["d1", "d2", outcome]
