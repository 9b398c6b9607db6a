"""When two runs ask a model the very same thing, must it work twice? No: the answer is kept, with what it took to get it.

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

from langroute.pricing import SECONDS_KEY

Model = TypeVar("Model", bound=BaseChatModel)
_KEPT = "langroute_demo_answers"


def remembering(model: Model) -> Model:
    """A copy of a chat model that makes no call twice; its answers carry the seconds that the call took.

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
    # A subclass and no wrapper: binding tools and schemas stays the model's own business.
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
                # A local model has said what it worked; for the others the clock tells.
                generation.message.response_metadata.setdefault(SECONDS_KEY, time.perf_counter() - begun)
            kept[key] = result
        # As new: whoever gets it may write into it.
        return kept[key].model_copy(deep=True)
