"""LangChain's cache hands the same message to everybody who asks; each caller's decision is its own all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from langroute import ChatRouter, RouterMiddleware
from langroute.testing import ScriptedModel

SCHEMA = {"title": "Name", "type": "object", "properties": {"name": {"type": "string"}}}


@pytest.fixture(autouse=True)
def _cached() -> Iterator[None]:
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


def decisions(answers: list[Any]) -> set[str]:
    """Which decisions the answers carry, now that all of them are there."""
    return {answer.response_metadata["langroute"]["decision_id"] for answer in answers}


def router() -> ChatRouter:
    """Two routes."""
    return ChatRouter({"cheap": ScriptedModel("Hi."), "frontier": ScriptedModel("Good day.")})


def test_answers_from_the_cache_keep_their_own_decisions() -> None:
    """One after the other and at once; as many as the ledger has."""
    model = router()

    async def at_once() -> list[Any]:
        return list(await asyncio.gather(*(model.ainvoke("Where is Bath?") for _ in range(20))))

    answers = [model.invoke("Where is Bath?") for _ in range(3)] + asyncio.run(at_once())
    assert decisions(answers) == {decision.id for decision in model.ledger.decisions}
    assert len(decisions(answers)) == 23


def test_so_do_results_of_generate() -> None:
    """Their messages stand in generations, which the cache shares too."""
    model = router()
    answers = [model.generate([[HumanMessage("Where is Bath?")]]).generations[0][0].message for _ in range(3)]
    assert len(decisions(answers)) == 3


def test_so_do_raw_messages_of_structured_output() -> None:
    """With `include_raw`."""
    chain = router().with_structured_output(SCHEMA, include_raw=True)
    assert len(decisions([chain.invoke("Who is it?")["raw"] for _ in range(3)])) == 3


def test_so_do_an_agents_answers() -> None:
    """The middleware hands on what the agent's own model node returned."""
    agents = pytest.importorskip("langchain.agents")
    agent = agents.create_agent(ScriptedModel("Hm."), middleware=[RouterMiddleware(router())])
    assert len(decisions([agent.invoke({"messages": "Where is Bath?"})["messages"][-1] for _ in range(3)])) == 3


def test_a_model_that_hands_out_one_message_changes_nothing_that_was_handed_out() -> None:
    """As models made for tests do."""
    model = ChatRouter({"fixed": FakeMessagesListChatModel(responses=[AIMessage("Yes.")], cache=False)})
    assert len(decisions([model.invoke("Really?") for _ in range(3)])) == 3
