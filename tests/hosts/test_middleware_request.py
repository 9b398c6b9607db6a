"""What the agent's inner middleware and model are given by `RouterMiddleware`: the agent's own request, for the chosen model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain", reason="RouterMiddleware is for LangChain's agents")

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langroute.hosts.middleware import RouterMiddleware
from langroute.testing import ScriptedModel


class Notes(AgentMiddleware):
    """Middleware that keeps the request it is given."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self.seen = name, []

    @property
    def name(self) -> str:
        return self._name

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> Any:
        self.seen.append(request)
        return handler(request)


def test_the_request_is_what_langchain_s_own_override_makes() -> None:
    cheap, frontier = ScriptedModel("Hi."), ScriptedModel("Good day.")
    before, after = Notes("before"), Notes("after")
    router = RouterMiddleware({"cheap": cheap, "frontier": frontier}, route="cheap", temperature=0.5)
    agent = create_agent(frontier, system_prompt="Be brief.", middleware=[before, router, after])
    agent.invoke({"messages": "Hello?"})
    given, made = before.seen[0], after.seen[0]
    assert made == given.override(model=cheap, model_settings={"temperature": 0.5})
    assert (given.model, given.model_settings) == (frontier, {})


class Counted(ModelRequest):
    """A request of a program's own class, which notes how it was changed."""

    changes: list[set[str]]

    def override(self, **overrides: Any) -> Any:
        self.changes.append(set(overrides))
        return super().override(**overrides)


@pytest.mark.parametrize("kind", [Counted, ModelRequest])
def test_a_request_that_is_more_than_langchain_s_fields_is_changed_by_its_own_override(kind: type, monkeypatch: Any) -> None:
    model, changes, seen = ScriptedModel("Hi."), [], []
    messages = [HumanMessage("Hello?")]
    request = kind(model=model, messages=messages, system_message=SystemMessage("Be brief."), state={"messages": messages})
    object.__setattr__(request, "changes", changes)
    if kind is ModelRequest:
        own = ModelRequest.override
        monkeypatch.setattr(ModelRequest, "override", lambda self, **given: changes.append(set(given)) or own(self, **given))

    def handler(made: Any) -> ModelResponse:
        seen.append(made)
        return ModelResponse(result=[AIMessage("Hi.")])

    RouterMiddleware({"cheap": model, "frontier": model}).wrap_model_call(request, handler)
    assert "model" in changes[0]
    assert seen[0].messages == messages
