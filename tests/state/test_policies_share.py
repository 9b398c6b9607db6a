"""What no thread's messages say is known to all workers of a service: rests, beliefs, caps; what they say needs no store."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from waiting import wait_until

from langroute import ChatRouter, Route
from langroute.core.records import Attempt, Decision, Failure, Outcome, Request, RouteInfo, Selection, Signals, Step
from langroute.ledger.sql import SqlLedger
from langroute.policies import Bandit, CacheAware, Canary, Escalate, Fallback, Fixed, Rule, Rules, SubagentCap
from langroute.policies.shadow import Shadow
from langroute.testing import ScriptedModel

ROUTES = (RouteInfo("small", "cheap", 0, model="m-1"), RouteInfo("large", "frontier", 1, model="m-2"))
REQUEST = Request("Hi.", routes=ROUTES)


@pytest.fixture
def ledgers(tmp_path: Path) -> Iterator[list[SqlLedger]]:
    """Of one database, as two workers have them."""
    both = [SqlLedger(tmp_path / "ledger.db", flush_interval_s=0.01) for _ in range(2)]
    yield both
    for ledger in both:
        ledger.close()


def placed(policy: Any, ledger: Any) -> Any:
    policy.use_ledger(ledger)
    return policy


def overloaded(route: str) -> Attempt:
    failure = Failure("overloaded", retry_elsewhere=True, cool_down=True)
    return Attempt(Selection(route), error=RuntimeError(), error_type="RuntimeError", failure=failure)


# Rests of routes ---------------------------------------------------------------------------------------------------------


def test_a_route_that_fails_in_one_worker_rests_in_all(ledgers: list[SqlLedger]) -> None:
    now = [1000.0]
    here, there = (placed(Fallback(Fixed("small"), retries=0, clock=lambda: now[0]), ledger) for ledger in ledgers)
    here.select(REQUEST, [overloaded("small")])
    here.on_decision(Decision("d", Step(), "large", (overloaded("small"), Attempt(Selection("large"), answer="x"))))

    assert here.select(REQUEST, []).route == "large"
    wait_until(lambda: there.select(REQUEST, []).route == "large")

    now[0] += 31
    assert there.select(REQUEST, []).route == "small"
    there.on_decision(Decision("d", Step(), "small", (Attempt(Selection("small"), answer="x"),)))
    wait_until(lambda: [here.select(REQUEST, []).route for _ in range(2)] == ["small", "small"])


def test_another_model_of_the_same_name_does_not_rest(ledgers: list[SqlLedger]) -> None:
    here, there = (placed(Fallback(Fixed("small"), retries=0), ledger) for ledger in ledgers)
    here.select(REQUEST, [overloaded("small")])
    here.on_decision(Decision("d", Step(), None, (overloaded("small"),)))
    wait_until(lambda: list(there.resting()) == ["small m-1"])

    others = replace(REQUEST, routes=(replace(ROUTES[0], model="another"), ROUTES[1]))
    assert there.select(others, []).route == "small"


def test_calls_that_were_under_way_when_a_rest_began_do_not_prolong_it() -> None:
    now = [0.0]
    policy = Fallback(Fixed("small"), retries=0, clock=lambda: now[0])
    for _ in range(10):
        policy.on_decision(Decision("d", Step(), None, (overloaded("small"),)))
    now[0] = 31.0

    assert policy.select(REQUEST, []).route == "small"


def test_a_clock_that_was_wrong_lets_no_route_rest_for_ever() -> None:
    now = [1e9]
    policy = Fallback(Fixed("small"), retries=0, clock=lambda: now[0])
    policy.on_decision(Decision("d", Step(), None, (overloaded("small"),)))
    now[0] = 1e6

    assert policy.select(REQUEST, []).route == "small"


# Bandits and shadows -----------------------------------------------------------------------------------------------------


def test_two_workers_believe_what_one_would(ledgers: list[SqlLedger]) -> None:
    def bandit() -> Bandit:
        return Bandit(["small", "large"], cost_weight=1.0, explore=0.0)

    alone, both = bandit(), [placed(bandit(), ledger) for ledger in ledgers]
    for number in range(40):
        selection = replace(alone.select(REQUEST, ()), route=ROUTES[number % 2].name)
        attempt = Attempt(selection, answer="x", cost_usd=0.01 * (1 + number % 2))
        decision = Decision(f"d{number}", Step(task=f"t{number}"), selection.route, (attempt,))
        outcome = Outcome(success=number % 3 > 0, task_id=f"t{number}", at=1e9)
        for policy in (alone, both[number % 2]):
            policy.on_decision(decision)
        both[number % 2].beliefs()
        # Told to the other worker, and to the one that decided as well.
        for policy in (alone, both[1 - number % 2], both[number % 2]):
            policy.on_outcome(outcome)
            policy.beliefs()

    for policy in both:
        assert policy.beliefs() == alone.beliefs()
    again = placed(bandit(), ledgers[0])
    assert again.beliefs() == alone.beliefs()
    assert pickle.loads(pickle.dumps(alone)).beliefs() == alone.beliefs()


def test_the_cap_of_a_shadow_holds_for_all_workers(ledgers: list[SqlLedger]) -> None:
    here, there = (
        placed(Shadow(Fixed("large"), ScriptedModel("x"), share=1.0, max_per_hour=4, max_waiting=9), ledger) for ledger in ledgers
    )
    for shadow in (here, there):
        for _ in range(3):
            shadow.select(REQUEST, [Attempt(Selection("large"), answer="x")])
        shadow.close()
        assert there.verdict().compared

    assert (there.verdict().compared, there.verdict().skipped) == (4, 2)
    assert here.verdict() == there.verdict()


# Threads -----------------------------------------------------------------------------------------------------------------


def answered(selection: Selection, policy: Any, step: Step, number: str) -> AIMessage:
    """The message that an answer of this selection is."""
    from langroute.core.decision_metadata import to_metadata

    decision = Decision(number, step, selection.route, (Attempt(selection, answer="x"),), memory=selection.memory)
    policy.on_decision(decision)
    return AIMessage("x", response_metadata={"langroute": to_metadata(decision)})


def harmed(canary: Canary) -> Canary:
    """The trial after its new policy has failed at every task."""
    for number in range(200):
        step = Step(task=f"other-{number}")
        canary.on_decision(Decision(f"o{number}", step, "small", ()))
        canary.on_outcome(Outcome(success=not canary.takes_part(f"other-{number}"), task_id=f"other-{number}"))
    assert canary.verdict().state == "harm"
    return canary


@pytest.mark.parametrize("step", [Step(task="t"), Step(thread="t"), Step(thread="beginning", prefixes=(None, 1))])
def test_a_verdict_in_the_middle_of_a_task_moves_it_in_no_worker(step: Step) -> None:
    here, there = (Canary(Fixed("large"), Fixed("small"), share=0.5) for _ in "ab")
    name = next(f"t{number}" for number in range(99) if here.takes_part(f"t{number}"))
    step = replace(step, task=name if step.task else None, thread=name if step.prefixes is None else step.thread)
    # A conversation without an id is given to one of the two at random.
    first = next(one for _ in range(99) if (one := here.select(replace(REQUEST, step=step), [])).route == "small")
    history = [HumanMessage("Hi."), answered(first, here, step, "d1"), HumanMessage("Go on.")]
    harmed(there)

    assert there.select(replace(REQUEST, step=step, messages=history), []).route == "small"
    assert there.select(replace(REQUEST, step=replace(step, task="new")), []).route == "large"


def test_a_canary_and_an_escalation_have_notes_beside_each_other() -> None:
    here, there = (Canary(Fixed("large"), Escalate(["small", "large"]), share=1.0) for _ in "ab")
    step = Step("observe", thread="t", signals=Signals(turn=1, turn_steps=1, errors_in_row=2))
    first = here.select(replace(REQUEST, step=step), [])
    history = [HumanMessage("Mend it."), answered(first, here, step, "d1")]
    calm = replace(step, signals=Signals(turn=1, turn_steps=2))

    assert first.reason == "up to large: tool calls fail"
    assert there.select(replace(REQUEST, step=calm, messages=history), []).reason == "stays with large: tool calls fail"


def test_a_trial_within_a_trial_has_a_note_of_its_own() -> None:
    def policy() -> Canary:
        inner = Canary(Fixed("middle"), Fixed("small"), share=0.5, id="inner")
        return Canary(Fixed("large"), inner, share=0.5, id="outer")

    here, there = policy(), policy()
    name = next(f"t{number}" for number in range(99) if here.takes_part(f"t{number}") and here.new.takes_part(f"t{number}"))
    step = Step(task=name)
    history = [HumanMessage("Hi."), answered(here.select(replace(REQUEST, step=step), []), here, step, "d1")]
    harmed(there), harmed(there.new)

    assert there.select(replace(REQUEST, step=step, messages=history), []).route == "small"


def test_conversations_that_begin_alike_are_different_tasks_of_a_canary() -> None:
    policy = Canary(Fixed("large"), Fixed("small"), share=0.5)
    step = Step(thread="beginning", prefixes=(None, 1))
    for number in range(64):
        answered(policy.select(replace(REQUEST, step=step), []), policy, step, f"d{number}")
        policy.on_outcome(Outcome(success=True, decision_id=f"d{number}"))

    verdict = policy.verdict()
    assert verdict.old + verdict.new == 64
    assert verdict.old > 10 < verdict.new


def test_a_sub_agent_is_limited_by_what_its_agent_used_in_another_worker(ledgers: list[SqlLedger]) -> None:
    here, there = (placed(SubagentCap(Fixed("large")), ledger) for ledger in ledgers)
    here.on_decision(Decision("d", Step(thread="t", signals=Signals(turn=1)), "small", ()))
    here.close()
    inner = Step("act", thread="t", signals=Signals(turn=1, depth=1))

    first = there.select(replace(REQUEST, step=inner), [])
    assert first.route == "small"
    # Its own answers carry the limit: no store is asked, and what comes later changes nothing.
    history = [HumanMessage("Look it up."), answered(first, there, inner, "d2")]
    assert SubagentCap(Fixed("large")).select(replace(REQUEST, step=inner, messages=history), []).route == "small"
    other = replace(inner, thread="beginning", prefixes=(None, 1))
    assert there.select(replace(REQUEST, step=other), []).route == "large"


def reply(messages: list[Any]) -> AIMessage:
    tokens = sum(len(message.text) for message in messages) // 4
    return AIMessage("Done.", usage_metadata={"input_tokens": tokens, "output_tokens": 20, "total_tokens": tokens + 20})


def worker(policy: Any) -> ChatRouter:
    return ChatRouter(
        {
            name: Route(ScriptedModel(reply, model=f"gpt-{name}", provider="openai"), price={"input": price, "output": 5 * price})
            for name, price in (("cheap", 1), ("frontier", 5))
        },
        policy=policy,
    )


@pytest.mark.parametrize("config", [{"configurable": {"thread_id": "t"}}, {}], ids=["id", "no id"])
@pytest.mark.parametrize("length", [10, 6000])
@pytest.mark.parametrize("odd", [0, 1])
def test_what_a_switch_costs_is_known_in_every_worker(config: Any, length: int, odd: int) -> None:
    """Whether the providers hold the history or it is too short for that."""

    def routes(workers: list[ChatRouter]) -> list[tuple[str, Any]]:
        history: list[Any] = [HumanMessage("word " * length)]
        found = []
        for number in range(8):
            model = workers[number % len(workers)]
            answer = model.invoke(history, config)
            record = answer.response_metadata["langroute"]
            found.append((record["route"], record["reason"].partition(":")[0]))
            history += [answer, *([HumanMessage("And now?")] if number in (2, 5) else [AIMessage("More.")])]
        return found

    def policy() -> CacheAware:
        wants = Rule("frontier", when=lambda request: request.step.signals.turn_steps % 2 == odd)
        return CacheAware(Rules([wants], default="cheap"))

    assert routes([worker(policy()) for _ in range(4)]) == routes([worker(policy())])


def test_conversations_that_begin_alike_share_no_standing() -> None:
    """One caller's strong route keeps no other caller's thread there."""
    prefer = Rule("frontier", when=lambda request: request.metadata.get("who") == "one")
    model = worker(CacheAware(Rules([prefer], default="cheap")))
    model.invoke("word " * 6000, {"metadata": {"who": "one"}})
    other = model.invoke("word " * 6000, {"metadata": {"who": "other"}})

    assert other.response_metadata["langroute"]["switch_cost_usd"] is None
    assert other.response_metadata["langroute"]["route"] == "cheap"
