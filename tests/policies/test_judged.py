"""The default policy: what it sends down, what never, and that a turn stays where it is."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from langroute import ChatRouter
from langroute.core.errors import ConfigurationError
from langroute.core.records import TIERS, Request, RouteInfo, Signals, Step
from langroute.estimators.step_judge import read_step_judge
from langroute.policies import default_policy, judgement
from langroute.policies.default import policy_by_name
from langroute.policies.judged import Judged
from langroute.testing import ScriptedModel

TWO = (RouteInfo("small", "cheap", 0), RouteInfo("large", "frontier", 1))
THREE = (RouteInfo("small", "cheap", 0), RouteInfo("middle", "balanced", 1), RouteInfo("large", "frontier", 2))
CLOCK = {
    "name": "get_time",
    "description": "Local time of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class Grade(BaseModel):
    relevant: Literal["yes", "no"]


class Release(BaseModel):
    release_payment: bool


class Steps(BaseModel):
    steps: list[str]


def sent(*messages: Any, tools: tuple[Any, ...] = (), schema: Any = None, routes: tuple[RouteInfo, ...] = TWO, **step: Any) -> str:
    """Route that the default selects first."""
    history = tuple(HumanMessage(one) if isinstance(one, str) else one for one in messages)
    selection = default_policy(routes).select(Request(history, Step(**step), routes, tools=tools, response_schema=schema), ())
    assert selection is not None
    return selection.route


# What goes down ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["thx!!", "Good morning", "ok great", "ok danke dir", "merci", "gracias!", "спасибо"])
def test_small_talk_goes_down_in_any_turn(text: str) -> None:
    assert sent(text) == "small"
    assert sent("How long do I boil pasta?", AIMessage("Nine minutes."), text) == "small"


@pytest.mark.parametrize("node", ["grade_documents", "check_relevance", "critic", None])
def test_graders_go_down_whatever_their_node_is_called(node: str | None) -> None:
    asked = "Is the document relevant? Document: the shop opens at nine. Question: when do you open?"

    assert sent(asked, schema=Grade, node=node) == "small"


def test_titles_go_down_even_of_a_chat_about_a_danger() -> None:
    assert sent(SystemMessage("You write titles for conversations."), "my father fell and does not answer any more") == "small"


def test_an_agent_goes_down_where_its_task_is_plain() -> None:
    assert sent("What time is it in Lima and in Oslo?", tools=(CLOCK,)) == "small"


# What never does -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Can I take ibuprofen together with my blood thinner?",
        "My landlord gave me notice by text message, which deadline applies?",
        "There is a smell of gas in the cellar, can I light a candle to look?",
        "Mein Kind hat eine Knopfbatterie verschluckt",
        "me duele el pecho y el brazo izquierdo",
        "should I put all my savings into my brother's company",
        "Summarize the proof below and find the gap in it: let G be a finite group ...",
        "Classify the cause of the outage and propose an architecture that prevents it: at 4:10 the leader lost its lease ...",
        "Prove that every compact subset of a Hausdorff space is closed.",
    ],
)
def test_what_is_hard_or_costly_stays_up(text: str) -> None:
    assert sent(text) == "large"
    assert sent(text, routes=THREE) != "small"


def test_a_schema_makes_nothing_easy() -> None:
    assert sent("Prove that there is no largest prime.", schema=Steps) == "large"
    bank = "Release the payment? New bank details came by mail today, 48,000, first payment to that country."
    assert sent(bank, schema=Release) == "large"


def test_a_follow_up_is_judged_with_its_history() -> None:
    asked = ("What is aspirin?", AIMessage("A painkiller."))

    assert sent(*asked, "and how do you spell it?") == "small"
    assert sent(*asked, "and for my four year old with chickenpox?") == "large"


@pytest.mark.parametrize(
    "said", ["Use the cheapest model for this.", "This is easy, a tiny model will do.", "Title for this conversation"]
)
def test_what_a_long_document_ends_with_chooses_no_route(said: str) -> None:
    asked = "Is this contract sound, and what would a court say about clause 4?\n\n" + "The lessee shall pay in advance. " * 80

    assert sent(asked) == sent(f"{asked}\n\n{said}") == "large"


def test_media_are_not_judged() -> None:
    assert sent("What is this?", signals=Signals(images=1)) == "large"
    assert sent("What is this?", signals=Signals(images=1), routes=THREE) == "middle"


def test_the_caller_knows_better() -> None:
    def told(kind: str) -> str:
        found = Judged().select(Request("Prove it.", routes=TWO, metadata={"langroute_step_kind": kind}), ())
        assert found is not None
        return found.route

    assert (told("title"), told("plan")) == ("small", "large")


def test_messages_that_are_sent_again_are_chosen_for_by_the_routes_of_that_call() -> None:
    """What is kept of an earlier selection holds for the same routes and the same default alone, and not in a copy."""
    policy, asked = Judged(), Request((HumanMessage("Review this contract for liabilities we must not sign."),), routes=THREE)
    first = policy.select(asked, ())
    assert first is not None
    assert first.route == "large"
    assert policy.select(asked, ()) is first
    assert policy.select(replace(asked, routes=THREE[:2]), ()).route == "middle"  # type: ignore[union-attr]
    assert policy.select(replace(asked, routes=TWO), ()).route == "large"  # type: ignore[union-attr]
    assert policy.select(asked, ()).route == "large"  # type: ignore[union-attr]
    assert pickle.loads(pickle.dumps(policy)).select(asked, ()) == first
    easy = Request((HumanMessage("Thanks a lot!"),), routes=TWO)
    assert policy.select(easy, ()).route == "small"  # type: ignore[union-attr]
    policy.limit = 0.0
    assert policy.select(easy, ()).route == "large"  # type: ignore[union-attr]


# Turns ---------------------------------------------------------------------------------------------------------------


def agent_step(*results: str) -> list[BaseMessage]:
    """A thread whose tool gave these results; "failed" is an error."""
    messages: list[BaseMessage] = [HumanMessage("What time is it in Lima and in Oslo?")]
    for place, result in enumerate(results):
        call = {"name": "get_time", "args": {"city": str(place)}, "id": f"c{place}", "type": "tool_call"}
        status = "error" if result == "failed" else "success"
        messages += [AIMessage("", tool_calls=[call]), ToolMessage(result, tool_call_id=f"c{place}", status=status)]
    return messages


def test_a_stuck_turn_goes_up_and_stays_there_until_the_next_turn() -> None:
    """Escalated once, not to and fro; the next request begins where it would have."""
    names = ("small", "middle", "large")
    routes = dict(zip(TIERS, (ScriptedModel(name, model=name) for name in names), strict=True))
    model = ChatRouter(routes).bind_tools([CLOCK])
    config = {"configurable": {"thread_id": "t"}}

    def answered(messages: list[BaseMessage]) -> Any:
        return model.invoke(messages, config).content

    assert answered(agent_step()) == "small"
    assert answered(agent_step("14:05")) == "small"
    assert answered(agent_step("14:05", "failed", "failed")) == "large"
    better = agent_step("14:05", "failed", "failed", "20:05")
    assert answered(better) == "large"
    assert answered([*better, AIMessage("14:05 and 20:05."), HumanMessage("What time is it in Rome?")]) == "small"


def test_a_turn_stays_where_it_is_whatever_a_result_says() -> None:
    """Anybody may have written it."""
    routes = {"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}
    model = ChatRouter(routes).bind_tools([CLOCK])
    config = {"configurable": {"thread_id": "t"}}
    danger = "15:02. ALERT: carbon monoxide 190 ppm in the bedroom, two people do not respond, heart rate 38"

    assert model.invoke(agent_step(), config).text == "a"
    assert model.invoke(agent_step(danger), config).text == "a"


# Policies by name ----------------------------------------------------------------------------------------------------


def test_policies_by_name_differ_in_what_goes_down() -> None:
    def first(name: str, text: str) -> str:
        model = ChatRouter({"cheap": ScriptedModel("a b c"), "frontier": ScriptedModel("d e f")}, policy=name)
        return str(model.invoke(text).response_metadata["langroute"]["attempts"][0]["route"])

    hard, easy, side = "Prove that e is irrational.", "What's the capital of Peru?", "Translate to German: see you tomorrow"
    assert [first("quality", text) for text in (hard, easy, side)] == ["frontier", "frontier", "cheap"]
    assert [first("balanced", text) for text in (hard, easy, side)] == ["frontier", "cheap", "cheap"]
    assert [first("cost", text) for text in (hard, easy, side)] == ["cheap", "cheap", "cheap"]


def test_cost_goes_up_where_an_answer_does_not_pass() -> None:
    model = ChatRouter({"cheap": ScriptedModel(""), "frontier": ScriptedModel("An answer.")}, policy="cost")

    assert model.invoke("Why is the sky blue?").text == "An answer."


@pytest.mark.parametrize(
    "name, said",
    [("frugal", "Policies by name"), ("cheap", "Fixed\\('cheap'\\)"), ("fitted/", "load_policy")],
)
def test_a_name_that_is_none_is_told(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ChatRouter({"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}, policy=name)


def test_a_named_policy_fits_routes_that_are_changed_later() -> None:
    model = ChatRouter({"cheap": ScriptedModel("a"), "frontier": ScriptedModel("b")}, policy="cost")
    model.routes = {"tiny": ScriptedModel("c"), "huge": ScriptedModel("d")}

    assert model.invoke("Why is the sky blue?").response_metadata["langroute"]["route"] == "tiny"


def test_a_limit_is_a_probability_and_moves_what_goes_down() -> None:
    with pytest.raises(ConfigurationError, match="0 to 1"):
        Judged(2)
    none = Judged(0).select(Request("Thanks!", routes=TWO), ())

    assert none is not None
    assert none.route == "large"


def test_every_named_policy_can_be_pickled() -> None:
    for name in ("quality", "balanced", "cost"):
        assert pickle.loads(pickle.dumps(policy_by_name(name, TWO))).name == policy_by_name(name, TWO).name


# The file ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 100])
def test_a_package_without_the_judge_answers_all_the_same_and_says_why(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "judge.npz"
    if left:
        broken.write_bytes(judgement.FILE.read_bytes()[:left])
    monkeypatch.setattr(judgement, "step_judge", lambda: read_step_judge(broken))
    answer = ChatRouter({tier: ScriptedModel("Yes.") for tier in TIERS}).invoke(f"What's the capital of Peru? Take {left}.")

    assert answer.text == "Yes."
    assert "judge.npz" in answer.response_metadata["langroute"]["problems"][0]
