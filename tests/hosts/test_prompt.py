"""What a route's model is called with: a prompt where LangChain reads it, a list where the model reads it itself."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables import RunnableLambda
from pydantic import Field

from langroute.hosts.chat_model import ChatRouter
from langroute.hosts.prompt import prompt_for

MESSAGES = [SystemMessage("Be brief."), HumanMessage("Hello?")]


class Model(BaseChatModel):
    """A chat model that keeps what it was asked."""

    asked: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "keeps"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.asked.append(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Hi."))])

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.asked.append(messages)
        yield ChatGenerationChunk(message=AIMessageChunk("Hi."))

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)


class OwnInvoke(Model):
    """One whose `invoke` was written for lists."""

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        self.asked.append(input)
        return super().invoke(input[-1:], config, **kwargs)


class OwnReading(Model):
    """One that reads its input itself."""

    def _convert_input(self, model_input: Any) -> Any:
        return super()._convert_input(model_input[-1:])


class Heard(BaseCallbackHandler):
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.messages.append(messages)


async def asked_every_way(router: Any) -> None:
    router.invoke(MESSAGES)
    list(router.stream(MESSAGES))
    await router.ainvoke(MESSAGES)
    [chunk async for chunk in router.astream(MESSAGES)]


@pytest.mark.parametrize("tools", [[], [{"type": "function", "function": {"name": "add", "parameters": {}}}]])
async def test_the_model_and_its_callbacks_get_the_very_messages(tools: list[Any]) -> None:
    model, heard = Model(asked=[]), Heard()
    router: Any = ChatRouter({"only": model}, callbacks=[heard])

    await asked_every_way(router.bind_tools(tools) if tools else router)

    assert len(model.asked) == 4
    for messages in (*model.asked, *[batch[0] for batch in heard.messages]):
        assert type(messages) is list
        assert [id(message) for message in messages] == [id(message) for message in MESSAGES]


@pytest.mark.parametrize("kind", [OwnInvoke, OwnReading])
async def test_a_model_that_reads_its_input_itself_gets_a_list(kind: type[Model]) -> None:
    model = kind(asked=[])

    await asked_every_way(ChatRouter({"only": model}))

    assert all(isinstance(messages, list) for messages in model.asked)


def test_only_methods_of_langchain_get_a_prompt() -> None:
    assert isinstance(prompt_for(Model(), MESSAGES, "invoke"), ChatPromptValue)
    assert isinstance(prompt_for(Model().bind(stop=["."]).with_config(tags=["a"]), MESSAGES, "stream", "invoke"), ChatPromptValue)
    assert isinstance(prompt_for(OwnInvoke(), MESSAGES, "ainvoke"), ChatPromptValue)
    for other in (OwnInvoke(), OwnReading(), Model().with_retry(), RunnableLambda(len), Model() | RunnableLambda(str), None):
        assert prompt_for(other, MESSAGES, "invoke") is MESSAGES


def test_a_router_as_a_route_gets_a_list() -> None:
    inner = ChatRouter({"only": Model(asked=[])})

    assert prompt_for(inner, MESSAGES, "invoke") is MESSAGES
    assert ChatRouter({"inner": inner}).invoke(MESSAGES).content == "Hi."


def test_a_method_that_was_put_in_the_place_of_langchain_s_gets_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that watch calls put theirs on a model, on its class or on LangChain's, at any time."""

    class Watched(Model):
        pass

    def watch(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return AIMessage("Watched.")

    one, other = Watched(), Watched()
    object.__setattr__(one, "invoke", watch)
    assert isinstance(prompt_for(other, MESSAGES, "invoke"), ChatPromptValue)
    assert prompt_for(one, MESSAGES, "invoke") is MESSAGES

    monkeypatch.setattr(Watched, "invoke", watch)
    assert prompt_for(other, MESSAGES, "invoke") is MESSAGES
    assert isinstance(prompt_for(Model(), MESSAGES, "invoke"), ChatPromptValue)

    monkeypatch.setattr(BaseChatModel, "invoke", watch)
    assert prompt_for(Model(), MESSAGES, "invoke") is MESSAGES
