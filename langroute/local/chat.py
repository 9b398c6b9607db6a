"""Chat model for a llama.cpp server: puts the measured seconds of work into the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from langroute.routes.pricing import SECONDS_KEY


class LocalChat(ChatOpenAI):
    """`ChatOpenAI` for a llama.cpp server: the server's seconds of work are in `response_metadata`.

    A call that waits for another one to finish costs no more for it, so a route priced by the second is billed for these.
    """

    @property
    def _llm_type(self) -> str:
        return "langroute-local"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        params = super()._get_ls_params(stop=stop, **kwargs)
        # Not `openai`: OpenAI's prices and limits would be applied.
        params["ls_provider"] = "local"
        return params

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        result = super()._create_chat_result(response, generation_info)
        timings = response.get("timings") if isinstance(response, Mapping) else getattr(response, "timings", None)
        if (seconds := seconds_in(timings)) is not None:
            for generation in result.generations:
                generation.message.response_metadata[SECONDS_KEY] = seconds
        return result

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        converted = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        if converted is not None and (seconds := seconds_in(chunk.get("timings"))) is not None:
            converted.message.response_metadata[SECONDS_KEY] = seconds
        return converted


def seconds_in(timings: Any) -> float | None:
    """Return the seconds in llama.cpp's timings: prompt processing plus generation.

    Example:
        >>> seconds_in({"prompt_ms": 400.0, "predicted_ms": 1100.0})
        1.5
    """
    if not isinstance(timings, Mapping):
        return None
    reading, writing = timings.get("prompt_ms"), timings.get("predicted_ms")
    if not (isinstance(reading, (int, float)) and isinstance(writing, (int, float))):
        return None
    return (reading + writing) / 1000
