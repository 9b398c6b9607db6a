"""Replay of identical model calls in the demo: the answer is kept together with the time it took.

At temperature 0 the answer would be the same, and each run is still billed and timed as if it had made the call itself. That is why
this is neither LangChain's cache nor the router's: both rightly say that a cached answer costs nothing.
"""

from __future__ import annotations

import json
import time
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from langroute.routes.pricing import SECONDS_KEY

Model = TypeVar("Model", bound=BaseChatModel)
_KEPT = "langroute_demo_answers"


def remembering(model: Model) -> Model:
    """Return a copy of a chat model that makes no call twice; its answers carry the seconds that the call took.

    Args:
        model: A chat model at temperature 0.

    Example:
        >>> from langroute.testing import ScriptedModel
        >>> model = remembering(ScriptedModel("Hello."))
        >>> first, again = model.invoke("Hi."), model.invoke("Hi.")
        >>> len(model.calls), first.response_metadata[SECONDS_KEY] == again.response_metadata[SECONDS_KEY]
        (1, True)
    """
    copy = model.model_copy()
    kind = type(model)
    # A subclass rather than a wrapper, so that binding tools and schemas works as in the model itself.
    object.__setattr__(copy, "__class__", type(kind.__name__, (_Remembering, kind), {"__module__": kind.__module__}))
    copy.__dict__.pop("_serialized", None)
    copy.__dict__[_KEPT] = {}
    return copy


class _Remembering:
    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        kept: dict[str, ChatResult] = self.__dict__[_KEPT]
        key = json.dumps([[(message.type, message.content) for message in messages], stop, kwargs], sort_keys=True, default=repr)
        if key not in kept:
            begun = time.perf_counter()
            result: ChatResult = super()._generate(messages, stop, run_manager, **kwargs)  # type: ignore[misc]
            for generation in result.generations:
                # A local model reports its seconds of work; for others the elapsed time is measured.
                generation.message.response_metadata.setdefault(SECONDS_KEY, time.perf_counter() - begun)
            kept[key] = result
        # A new copy, because the caller may modify it.
        return kept[key].model_copy(deep=True)
