"""Answers that their provider ended with an error of its own, and streams of models that never say why they ended."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

from langroute import ChatRouter, Route
from langroute.core.errors import AnswerCutOffError
from langroute.policies import Cascade, Fallback, Fixed
from langroute.providers.ends import broke_off
from langroute.providers.profile import ProviderProfile
from langroute.providers.registry import BUILT_IN, register_provider, unregister_provider
from langroute.testing import ScriptedModel

PRICE = {"input": 1, "output": 2}


class Ends(BaseChatModel):
    """A model of some provider that ends with some metadata; streamed, the text comes in two parts."""

    provider: str = "own"
    ended: dict[str, Any] = Field(default_factory=dict)
    text: str = "The first thr"
    asked: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return self.provider

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": self.provider, "ls_model_name": "m", "ls_model_type": "chat"}

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.asked.append("invoke")
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.text, response_metadata=dict(self.ended)))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self.asked.append("stream")
        if self.text:
            yield ChatGenerationChunk(message=AIMessageChunk(self.text))
        last = AIMessageChunk("", response_metadata=dict(self.ended), chunk_position="last")
        yield ChatGenerationChunk(message=last)


def pair(model: Any, policy: Any = None) -> ChatRouter:
    routes = {"cheap": Route(model, price=PRICE), "frontier": Route(ScriptedModel("whole"), price=PRICE)}
    return ChatRouter(routes, policy=policy or Fallback(Fixed("cheap"), retries=0))


ERRORS = [
    (profile.aliases[0], word)
    for profile in BUILT_IN
    for word, kind in profile.finish_reasons.items()
    if kind == "error" and profile.aliases
]


@pytest.mark.parametrize(("provider", "word"), ERRORS)
def test_an_answer_that_ends_with_the_providers_error_goes_to_another_route(provider: str, word: str) -> None:
    """Every provider's own words for it, as they come: in capitals or not."""
    for said in (word, word.upper()):
        answer = pair(Ends(provider=provider, ended={"finish_reason": said})).invoke("Count.")
        attempts = answer.response_metadata["langroute"]["attempts"]
        assert answer.content == "whole"
        assert [attempt["verdict"] for attempt in attempts] == ["failed: AnswerCutOffError", "not checked"]


@pytest.mark.parametrize(
    ("provider", "word"),
    [
        ("openai", "length"),
        ("anthropic", "refusal"),
        ("google_genai", "SAFETY"),
        ("own", "a word nobody knows"),
        ("anthropic", "pause_turn"),
    ],
)
def test_an_answer_that_ends_otherwise_is_one(provider: str, word: str) -> None:
    assert pair(Ends(provider=provider, ended={"finish_reason": word})).invoke("Count.").content == "The first thr"


def test_the_same_route_is_tried_again_first() -> None:
    """As after any stream that broke off."""
    model = Ends(provider="deepseek", ended={"finish_reason": "insufficient_system_resource"}, asked=[])
    pair(model, Fallback(Fixed("cheap"), retries=1, backoff_seconds=0.001)).invoke("Count.")
    assert model.asked == ["invoke", "invoke"]


def test_a_stream_that_ends_so_before_it_said_anything_is_replaced_unseen() -> None:
    model = Ends(provider="google_genai", ended={"finish_reason": "MALFORMED_FUNCTION_CALL"}, text="")
    assert "".join(chunk.text for chunk in pair(model).stream("Count.")) == "whole"


def test_a_stream_that_ends_so_after_it_said_something_raises() -> None:
    model = Ends(provider="deepseek", ended={"finish_reason": "insufficient_system_resource"})
    with pytest.raises(AnswerCutOffError, match="insufficient_system_resource"):
        list(pair(model).stream("Count."))


def test_a_provider_that_was_registered_counts_at_once() -> None:
    assert not broke_off("went_bang", "acme_ends")
    register_provider(ProviderProfile("acme_ends", finish_reasons={"went_bang": "error"}, always_gives_reason=True))
    try:
        assert broke_off("went_bang", "acme_ends")
        assert broke_off(None, "acme_ends")
    finally:
        unregister_provider("acme_ends")
    assert not broke_off(None, "acme_ends")


def test_the_error_can_be_pickled_and_says_what_ended_it() -> None:
    error = pickle.loads(pickle.dumps(AnswerCutOffError("cheap", "error")))
    assert (error.route, error.reason) == ("cheap", "error")
    assert "'error'" in str(error)


@pytest.mark.parametrize("provider", ["own", "some_community_package", "anthropic", "mistralai"])
def test_a_stream_without_a_reason_is_broken_only_where_one_always_comes(provider: str) -> None:
    """Also where the answer is checked before it is shown, as by a cascade."""
    for policy in (Fallback(Cascade(), retries=0), Fallback(Fixed("cheap"), retries=0)):
        model = Ends(provider=provider, asked=[], text="" if policy.policy.__class__ is Fixed else "Lima.")
        router = pair(model, policy)
        text = "".join(chunk.text for chunk in router.stream("Where is Lima?"))
        if provider in ("own", "some_community_package"):
            assert text == model.text
        else:
            assert text == "whole"
