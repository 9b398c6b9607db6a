"""How does structured output work when the model is not known yet? The strategy is chosen after the route.

Models differ in how they are made to answer in a schema (JSON schema, a forced tool call, JSON mode), so each route's model sets it
up itself, once. The raw message is caught on its way through the callbacks: it has the tokens that the call is billed for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, PrivateAttr, SkipValidation

from langroute.calling import ModelHost
from langroute.drivers import adrive, astream, drive, marked, stream
from langroute.effects import Call, Reply
from langroute.events import aannounce, announce


class _Catch(BaseCallbackHandler):
    """Keeps the message that a chat model ends with."""

    run_inline = True

    def __init__(self) -> None:
        self.message: Any = None

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.message = response.generations[0][0].message


class StructuredHost(ModelHost):
    """Calls the chosen route's model through its own structured output."""

    __slots__ = ("caught", "structured")

    streams = "outputs"
    structured: RoutedStructured
    caught: _Catch

    def ready(self, call: Call) -> tuple[Any, Any, Any, dict[str, Any]]:
        """The route's own chain, and a config that catches the raw message."""
        model, messages, config, kwargs = super().ready(call)
        self.caught = _Catch()
        callbacks = config.get("callbacks")
        if callbacks is None:
            config["callbacks"] = [self.caught]
        elif isinstance(callbacks, list):
            config["callbacks"] = [*callbacks, self.caught]
        else:
            config["callbacks"] = callbacks.copy()
            config["callbacks"].add_handler(self.caught, inherit=True)
        return self.structured.chain(call.route.name, model), messages, config, kwargs

    def caught_message(self) -> Any:
        """The raw message of the latest call, if it came that far."""
        return self.caught.message

    def _reply(self, output: Any) -> Reply:
        if self.structured.so_kwargs.get("include_raw") and isinstance(output, dict):
            return Reply(output.get("raw"), parsed=output.get("parsed"), output=output)
        return Reply(self.caught.message, parsed=output, output=output)

    def call(self, call: Call) -> Reply:
        """Invoke the chain."""
        return self._reply(super().call(call).message)

    async def acall(self, call: Call) -> Reply:
        """Invoke the chain, awaited."""
        return self._reply((await super().acall(call)).message)


class RoutedStructured(RunnableSerializable[Any, Any]):
    """What `ChatRouter.with_structured_output` returns: a runnable from messages to the schema."""

    router: SkipValidation[Any]
    schema_: SkipValidation[Any]
    so_kwargs: SkipValidation[dict[str, Any]]

    model_config = ConfigDict(arbitrary_types_allowed=True)
    _chains: dict[str, Any] = PrivateAttr(default_factory=dict)

    def chain(self, name: str, model: Any) -> Any:
        """The route's own structured output; set up once."""
        found = self._chains.get(name)
        if found is None or found[0] is not model:
            found = self._chains[name] = (model, model.with_structured_output(self.schema_, **self.so_kwargs))
        return found[1]

    def _open(self, input: Any, config: Any, kwargs: dict[str, Any]) -> tuple[Any, StructuredHost, Any]:
        router, config = self.router, ensure_config(config)
        if hasattr(router, "prepare"):
            router, config = router.prepare(config)
        plan, host = router.open(input, config, kwargs, host=StructuredHost, schema=self.schema_)
        host.structured = self
        return plan, host, config

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer in the schema."""
        plan, host, config = self._open(input, config, kwargs)
        result = drive(plan, host)
        announce(result.decision, config)
        return _output(result)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Answer in the schema, awaited."""
        plan, host, config = self._open(input, config, kwargs)
        result = await adrive(plan, host)
        await aannounce(result.decision, config)
        return _output(result)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Answer in the schema, growing."""
        plan, host, config = self._open(input, config, kwargs)
        return stream(plan, host, lambda decision: announce(decision, config))

    def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Answer in the schema, growing, awaited."""
        plan, host, config = self._open(input, config, kwargs)
        return astream(plan, host, lambda decision: aannounce(decision, config))


def _output(result: Any) -> Any:
    message = marked(result.message, result)
    if message is not result.message and isinstance(result.output, dict) and result.output.get("raw") is result.message:
        return {**result.output, "raw": message}
    return result.output
