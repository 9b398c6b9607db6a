"""`generate` of several lists of messages: a config for each, and one result of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from langroute.engine.drivers import marked


def configs_of(count: int, callbacks: Any, tags: Any, metadata: Any, run_name: Any, run_id: Any) -> list[RunnableConfig]:
    """Return a config for each list of messages; the run id belongs to the first, as in LangChain.

    Example:
        >>> first, second = configs_of(2, None, ["mine"], None, None, "1")
        >>> first["tags"], first["run_id"], second["tags"], "run_id" in second
        (['mine'], '1', ['mine'], False)
    """
    given = {"callbacks": callbacks, "tags": tags, "metadata": metadata, "run_name": run_name, "run_id": run_id}
    first = ensure_config({key: value for key, value in given.items() if value})  # type: ignore[arg-type]
    rest: Any = {key: value for key, value in first.items() if key != "run_id"}
    return [first, *(rest.copy() for _ in range(count - 1))][:count]


def combined(results: Sequence[Any]) -> LLMResult:
    """Return one result for several lists of messages, with the model's own token usage where all come from one model."""
    outputs: list[LLMResult] = [result.output for result in results]
    for result, output in zip(results, outputs, strict=True):
        message, (first, *others) = marked(result.message, result), output.generations[0]
        if message is not result.message:
            output.generations[0] = [first.model_copy(update={"message": message}), *others]
    if len(outputs) == 1:
        return outputs[0]
    return LLMResult(
        generations=[generation for output in outputs for generation in output.generations],
        llm_output={"langroute": [output.llm_output or {} for output in outputs]},
        run=[run for output in outputs for run in output.run or ()] or None,
    )
