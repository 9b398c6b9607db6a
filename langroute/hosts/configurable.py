"""`ConfigurableRouter`: a chat router whose fields a config may change at run time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.runnables.base import RunnableBinding
from langchain_core.runnables.configurable import RunnableConfigurableFields

from langroute.hosts.structured import RoutedStructured


class ConfigurableRouter(RunnableConfigurableFields):  # type: ignore[type-arg]
    """Chat router whose fields a config may change at run time.

    LangChain's own class binds tools to the default model and forgets the config afterwards; here they are bound to this
    runnable, which picks the model when it is called.
    """

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        """Bind tools to the model that will be configured and chosen."""
        bound: Any = self.default.bind_tools(tools, **kwargs)  # type: ignore[attr-defined]
        return RunnableBinding(bound=self, kwargs=bound.kwargs)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **kwargs: Any) -> Runnable[Any, Any]:
        """Return a runnable that answers in a schema, by the method of the model that will be configured and chosen."""
        return RoutedStructured(router=self, schema_=schema, so_kwargs={"include_raw": True, **kwargs} if include_raw else kwargs)
