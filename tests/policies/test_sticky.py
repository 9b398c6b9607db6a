"""A turn keeps its route; what only has a turn's number does not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langroute import ChatRouter
from langroute.core.records import Attempt, Decision, Outcome, Request, RouteInfo, Selection, Signals, Step
from langroute.policies import Cascade, Fixed, Rule, Rules, Sticky
from langroute.testing import ScriptedModel

THREAD: Any = {"configurable": {"thread_id": "t1"}}
PRICES = {"cheap": {"input": 1, "output": 2}, "frontier": {"input": 5, "output": 10}}
ROUTES = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))


def router() -> ChatRouter:
    """Plans go to the strong route, the rest to the cheap one; a turn stays where it began."""
    routes = {"cheap": ScriptedModel("Sure."), "frontier": ScriptedModel("Certainly.")}
    return ChatRouter(routes, policy=Sticky(Rules([Rule("frontier", kind="plan")], default="cheap")), prices=PRICES)


def route_of(answer: Any) -> str:
    """Which route answered."""
    return str(answer.response_metadata["langroute"]["route"])


def test_a_program_that_sends_no_history_has_each_question_decided() -> None:
    """Every question of its thread is the first turn, and yet another one."""
    model = router()
    asked = ["Hi!", "Plan the migration of our database.", "Thanks."]
    assert [route_of(model.invoke(question, THREAD)) for question in asked] == ["cheap", "frontier", "cheap"]


def test_a_question_that_was_put_differently_is_decided_anew() -> None:
    """As after an edit in a chat window, or time travel."""
    model = router()
    before = [HumanMessage("Hi!"), AIMessage("Hello.")]
    assert route_of(model.invoke([*before, HumanMessage("Thanks.")], THREAD)) == "cheap"
    assert route_of(model.invoke([*before, HumanMessage("Plan the migration of our database.")], THREAD)) == "frontier"


def test_parallel_branches_of_a_thread_do_not_bind_each_other() -> None:
    """A map step asks many things at once in one thread."""
    model = router()
    asked = [f"Plan move {n}." if n % 2 else f"What is {n}?" for n in range(40)]
    asked = [text.replace("Plan move", "Plan the move of table") for text in asked]
    with ThreadPoolExecutor(8) as pool:
        routes = list(pool.map(lambda text: route_of(model.invoke(text, THREAD)), asked))
    assert routes == ["frontier" if n % 2 else "cheap" for n in range(40)]


def test_a_turn_stays_with_its_route_also_when_its_messages_are_read_anew() -> None:
    """Messages from a checkpoint are new objects; the question is the same."""
    model, call = router(), {"name": "look", "args": {}, "id": "c1"}
    for _ in range(2):
        asked = [HumanMessage("Plan the migration of our database.")]
        assert route_of(model.invoke(asked, THREAD)) == "frontier"
        loop = [*asked, AIMessage("", tool_calls=[call]), ToolMessage("done", tool_call_id="c1")]
        answer = model.invoke(loop, {**THREAD, "metadata": {"langroute_step_kind": "observe"}})
        assert route_of(answer) == "frontier"
        assert answer.response_metadata["langroute"]["reason"] == "stays with the turn's route"


def carried(route: str, **told: Any) -> AIMessage:
    """An answer that carries its decision, as another process gave it."""
    return AIMessage("Yes.", response_metadata={"langroute": {"route": route, "step": {"kind": "chat"}, **told}})


@pytest.mark.parametrize("per", ["task", "agent"])
def test_the_messages_of_a_task_keep_its_route_and_those_of_another_task_do_not(per: str) -> None:
    """A thread may be about several tasks: the latest answer of the step's own counts."""
    policy = Sticky(Fixed("small"), per=per)
    mine, other = carried("large", task_id="k1", step={"kind": "chat", "agent": "a"}), carried("small", task_id="k2")
    step = Step("chat", thread="t1", task="k1", agent="a")

    def chosen(*messages: AIMessage) -> str:
        said = [one for message in messages for one in (HumanMessage("And?"), message)]
        selection = policy.select(Request([*said, HumanMessage("And now?")], step, ROUTES), ())
        assert selection is not None
        return selection.route

    assert chosen(mine) == chosen(mine, other) == "large"
    assert chosen(other) == chosen(other, other) == "small"
    foreign = carried("large", task_id="k2", step={"kind": "chat", "agent": "a"})
    assert chosen(foreign) == "small"


@pytest.mark.parametrize("per", ["turn", "task", "thread", "agent"])
def test_the_messages_of_another_agent_keep_no_route_but_a_tasks(per: str) -> None:
    """A task is one thing, whoever works on it; a turn and a thread are an agent's own."""
    step = Step("act", thread="t1", task="k1", agent="a", signals=Signals(turn=1, turn_steps=1))

    def chosen(agent: str | None) -> str:
        answer = carried("large", task_id="k1", step={"kind": "act", **({"agent": agent} if agent else {})})
        selection = Sticky(Fixed("small"), per=per).select(Request([HumanMessage("Go on."), answer], step, ROUTES), ())
        assert selection is not None
        return selection.route

    assert chosen("a") == "large"
    assert chosen("b") == chosen(None) == ("large" if per == "task" else "small")


# Told by hand ---------------------------------------------------------------------------------------------------------


class Listener:
    """Sends everything to one route, and notes what it is told."""

    def __init__(self) -> None:
        self.decisions: list[str] = []
        self.outcomes: list[Outcome] = []

    def select(self, request: Request, attempts: Any) -> Selection | None:
        return None if attempts else Selection("small", "the cheapest")

    def on_decision(self, decision: Decision) -> None:
        self.decisions.append(decision.id)

    def on_outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def route_for(policy: Sticky, step: Step) -> str:
    """Where a step goes, nothing tried yet."""
    selection = policy.select(Request("Go on.", step, ROUTES), [])
    assert selection is not None
    return selection.route


def answered(policy: Sticky, step: Step, route: str | None = "large") -> None:
    """The policy hears of a decision."""
    policy.on_decision(Decision("d", step, route, ()))


def test_the_inner_policy_hears_of_decisions_and_outcomes_too() -> None:
    """Also of the steps beside a conversation, which are not remembered here."""
    inner = Listener()
    policy, outcome = Sticky(inner), Outcome(success=True, task_id="k")
    policy.on_decision(Decision("d1", Step("act", thread="t"), "small", ()))
    policy.on_decision(Decision("d2", Step("title", thread="t"), "small", ()))
    policy.on_decision(Decision("d3", Step("act"), None, ()))
    policy.on_outcome(outcome)

    assert inner.decisions == ["d1", "d2", "d3"]
    assert inner.outcomes == [outcome]


def test_an_inner_policy_of_a_router_hears_of_the_decision_that_was_made() -> None:
    inner = Listener()
    routes = {"small": ScriptedModel("s"), "large": ScriptedModel("l")}
    model = ChatRouter(routes, policy=Sticky(inner), prices={"small": PRICES["cheap"], "large": PRICES["frontier"]})
    answer = model.invoke("Hi.", THREAD)

    assert inner.decisions == [answer.response_metadata["langroute"]["decision_id"]]


@pytest.mark.parametrize(
    ("per", "first", "same", "other"),
    [
        ("task", {"task": "k1", "thread": "t1"}, {"task": "k1", "thread": "t2", "agent": "b"}, {"task": "k2", "thread": "t1"}),
        ("thread", {"task": "k1", "thread": "t1"}, {"task": "k2", "thread": "t1", "node": "n"}, {"task": "k1", "thread": "t2"}),
        ("thread", {"thread": "t1", "agent": "a"}, {"thread": "t1", "agent": "a"}, {"thread": "t1", "agent": "b"}),
        ("agent", {"task": "k1", "agent": "a"}, {"task": "k1", "agent": "a", "thread": "t2"}, {"task": "k1", "agent": "b"}),
        ("agent", {"task": "k1", "thread": "t", "agent": "a"}, {"task": "k1", "agent": "a"}, {"task": "k2", "thread": "t", "agent": "a"}),
        ("agent", {"thread": "t1", "agent": "a"}, {"thread": "t1", "agent": "a", "node": "n"}, {"thread": "t2", "agent": "a"}),
        ("turn", {"thread": "t1", "agent": "a"}, {"thread": "t1", "agent": "a"}, {"thread": "t1", "agent": "b"}),
        ("turn", {"thread": "t1", "node": "n"}, {"thread": "t1", "node": "n"}, {"thread": "t1", "node": "m"}),
    ],
)  # fmt: skip
def test_what_is_one_turn_task_thread_or_agent_and_what_is_another(
    per: str, first: dict[str, str], same: dict[str, str], other: dict[str, str]
) -> None:
    """The other user turn counts for a turn only."""
    policy = Sticky(Fixed("small"), per=per)
    answered(policy, Step("act", **first, signals=Signals(turn=1)))

    assert route_for(policy, Step("act", **same, signals=Signals(turn=1))) == "large"
    assert route_for(policy, Step("act", **same, signals=Signals(turn=2))) == ("small" if per == "turn" else "large")
    assert route_for(policy, Step("act", **other, signals=Signals(turn=1))) == "small"


@pytest.mark.parametrize(
    ("per", "step"),
    [("task", {"thread": "t"}), ("thread", {"task": "k"}), ("turn", {"task": "k"}), ("agent", {"task": "k", "thread": "t"})],
)
def test_a_step_that_belongs_to_none_is_decided_on_its_own(per: str, step: dict[str, str]) -> None:
    """All steps without a task (thread, agent) are not one."""
    policy = Sticky(Fixed("small"), per=per)
    answered(policy, Step("act", **step))

    assert route_for(policy, Step("act", **step)) == "small"


def test_a_step_that_no_route_answered_does_not_end_the_stay() -> None:
    policy, step = Sticky(Fixed("small"), per="thread"), Step("act", thread="t")
    answered(policy, step)
    answered(policy, step, None)

    assert route_for(policy, step) == "large"


def test_a_turn_that_stays_says_so_and_only_where_nothing_was_tried() -> None:
    """What follows an attempt is the inner policy's business."""
    policy, step = Sticky(Listener(), per="thread"), Step("act", thread="t")
    answered(policy, step)
    request = Request("Go on.", step, ROUTES)

    assert policy.select(request, []) == Selection("large", "stays with the thread's route")
    assert policy.select(request, [Attempt(Selection("large"), answer="x")]) is None


@pytest.mark.parametrize("kind", ["title", "summarize", "classify", "extract"])
def test_a_step_beside_the_conversation_neither_stays_nor_is_remembered(kind: str) -> None:
    policy = Sticky(Fixed("small"), per="thread")
    answered(policy, Step(kind, thread="t"))
    assert route_for(policy, Step("act", thread="t")) == "small"
    answered(policy, Step("act", thread="t"))

    assert route_for(policy, Step(kind, thread="t")) == "small"


def test_a_release_gives_the_inner_policy_its_say() -> None:
    policy = Sticky(Fixed("small"), per="thread", unstick_when=lambda request: request.step.signals.errors_in_row > 0)
    answered(policy, Step("act", thread="t"))

    assert route_for(policy, Step("act", thread="t")) == "large"
    assert route_for(policy, Step("act", thread="t", signals=Signals(errors_in_row=1))) == "small"


def test_it_stops_at_an_answer_where_the_inner_policy_does() -> None:
    """A router then asks it no more than it would ask the inner one."""
    assert Sticky(Cascade()).ends_with_answer is True
    assert Sticky(Listener()).ends_with_answer is False
