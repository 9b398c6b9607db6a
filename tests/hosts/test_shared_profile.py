"""What LangChain asks of a model is answered by a router for all of its routes."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from langroute import ChatRouter
from langroute.routes.route import is_router
from langroute.testing import ScriptedModel

CLAUDE = ChatAnthropic(model="claude-opus-4-6", api_key="x")
HAIKU = ChatAnthropic(model="claude-haiku-4-5", api_key="x")
GPT = ChatOpenAI(model="gpt-5-mini", api_key="x")


def llm_type(model: Any) -> str:
    """The type that a model reports in its runs and its cache keys."""
    return model.dict()["_type"]


class Odd(ScriptedModel):
    """A model with a profile or a type in any form."""

    odd_type: Any = "odd"

    @property
    def _llm_type(self) -> Any:
        return self.odd_type


@pytest.mark.parametrize("profile", ["large", 5, ["tool_calling"], object()])
def test_a_profile_in_another_form_is_none(profile: Any) -> None:
    odd = ScriptedModel("Hi.")
    object.__setattr__(odd, "profile", profile)
    router = ChatRouter({"a": odd, "b": ScriptedModel("Hi.")})
    assert router.profile is None
    assert router.invoke("Hello.").content == "Hi."


@pytest.mark.parametrize("limit", ["8k", None, 0, -5, True, 1.5, [8_000]])
def test_a_limit_that_is_no_number_of_tokens_is_unknown(limit: Any) -> None:
    odd = ScriptedModel("Hi.")
    object.__setattr__(odd, "profile", {"max_input_tokens": limit, "max_output_tokens": limit, "tool_calling": True})
    router = ChatRouter({"a": odd, "b": odd})
    assert router.routes["a"].info.context_window is None
    assert router.routes["a"].info.max_output_tokens is None
    assert router.invoke("Hello. " * 10_000).content == "Hi."


@pytest.mark.parametrize(
    "models, same",
    [
        ([CLAUDE, HAIKU], True),
        ([CLAUDE, GPT], False),
        ([GPT, GPT], False),
        ([ChatRouter({"a": CLAUDE, "b": HAIKU}), CLAUDE], True),
    ],
    ids=["claude", "mixed", "gpt", "router of claude"],
)
def test_tokens_are_counted_as_claudes_where_all_routes_are_claude(models: list[Any], same: bool) -> None:
    router = ChatRouter({f"route{number}": model for number, model in enumerate(models)})
    text = [HumanMessage("a" * 120)]

    def count(model: Any) -> int:
        return SummarizationMiddleware(model, trigger=("messages", 5)).token_counter(text)

    assert (count(router) == count(CLAUDE)) is same


def test_a_router_is_known_as_one_whatever_its_routes_are() -> None:
    plain, mixed = ChatRouter({"a": CLAUDE, "b": HAIKU}), ChatRouter({"a": CLAUDE, "b": GPT})
    assert [llm_type(model) for model in (plain, mixed)] == ["anthropic-chat", "langroute"]
    assert [is_router(model) for model in (plain, mixed, CLAUDE)] == [True, True, False]
    assert is_router(plain.model_copy(update={"temperature": 0.5}))


@pytest.mark.parametrize("odd", [None, 7, "", ["anthropic-chat"], {}])
def test_a_type_in_another_form_is_not_taken_over(odd: Any) -> None:
    router = ChatRouter({"a": Odd("Hi.", odd_type=odd), "b": Odd("Hi.", odd_type=odd)})
    assert llm_type(router) == "langroute"
    assert router.invoke("Hello.").content == "Hi."
