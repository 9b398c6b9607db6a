"""Structured output of a chat router, whose method is chosen after the route.

Models differ in their method of answering in a schema (JSON schema, a forced tool call, JSON mode), so each route's model sets it
up itself, once. The raw message is caught in the callbacks: it has the tokens that the call is billed for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import ensure_config
from pydantic import ConfigDict, PrivateAttr, SkipValidation

from langroute.engine.drivers import adrive, astream, drive, marked, message_id, stream
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.events import aannounce, announce
from langroute.hosts.calling import ModelHost


class _Catch(BaseCallbackHandler):
    """Callback handler that keeps the final message of a chat model."""

    run_inline = True

    def __init__(self) -> None:
        self.message: Any = None

    def on_llm_end(self, response: Any, **_: Any) -> None:
        self.message = response.generations[0][0].message


class StructuredHost(ModelHost):
    """Host that calls the chosen route's model through its own structured output."""

    __slots__ = ("caught", "structured")

    streams = "outputs"
    structured: RoutedStructured
    caught: _Catch

    def ready(self, call: RouteCall) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Return the route's own chain, and a config that catches the raw message."""
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
        """Return the raw message of the latest call, or `None` where it did not get that far."""
        return self.caught.message

    def _reply(self, output: Any) -> Reply:
        if self.structured.so_kwargs.get("include_raw") and isinstance(output, dict):
            return Reply(output.get("raw"), parsed=output.get("parsed"), output=output)
        return Reply(self.caught.message, parsed=output, output=output)

    def call(self, call: RouteCall) -> Reply:
        """Invoke the chain."""
        return self._reply(super().call(call).message)

    async def acall(self, call: RouteCall) -> Reply:
        """Async version of `call`."""
        return self._reply((await super().acall(call)).message)


class RoutedStructured(RunnableSerializable[Any, Any]):
    """Runnable from messages to an instance of the schema, made by `ChatRouter.with_structured_output`."""

    router: SkipValidation[Any]
    schema_: SkipValidation[Any]
    so_kwargs: SkipValidation[dict[str, Any]]

    model_config = ConfigDict(arbitrary_types_allowed=True)
    _chains: dict[str, Any] = PrivateAttr(default_factory=dict)

    def chain(self, name: str, model: Any) -> Any:
        """Return the route's own structured-output chain, which is set up once."""
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
        announce(result.decision, config, message_id(result.message))
        return _output(result)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Async version of `invoke`."""
        plan, host, config = self._open(input, config, kwargs)
        result = await adrive(plan, host)
        await aannounce(result.decision, config, message_id(result.message))
        return _output(result)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the answer in the schema as it grows."""
        plan, host, config = self._open(input, config, kwargs)
        return stream(plan, host, lambda decision, shown: announce(decision, config, shown))

    def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Async version of `stream`."""
        plan, host, config = self._open(input, config, kwargs)
        return astream(plan, host, lambda decision, shown: aannounce(decision, config, shown))


def _output(result: Any) -> Any:
    message = marked(result.message, result)
    if message is not result.message and isinstance(result.output, dict) and result.output.get("raw") is result.message:
        return {**result.output, "raw": message}
    return result.output
