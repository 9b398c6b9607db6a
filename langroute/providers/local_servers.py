"""Profiles of local servers: llama.cpp, vLLM, SGLang, Ollama, Text Generation Inference, LM Studio.

Sources: https://github.com/ggml-org/llama.cpp (tools/server), https://docs.vllm.ai, https://docs.sglang.ai,
https://docs.ollama.com/api, https://huggingface.co/docs/text-generation-inference. The words of errors, but for those
of a model of Ollama that cannot think, as public code and issues quote them (read 2026-11-29).
"""

from __future__ import annotations

from langroute.providers.openai_protocol import ERRORS, FINISH_REASONS
from langroute.providers.profile import ErrorRule, ProviderProfile, UsageFields

_OVERFLOW = ErrorRule(
    "context_overflow",
    codes=("exceed_context_size_error",),
    words=(
        "exceeds the available context size",  # llama.cpp
        "is longer than the maximum model length",  # vLLM
        "is longer than the model's context length",  # SGLang
        "`max_new_tokens` must be <=",  # Text Generation Inference
        "input length exceeds the context length",  # Ollama
        "the number of tokens to keep from the initial prompt is greater than the context length",  # LM Studio
    ),
)

COMPATIBLE = ProviderProfile(
    "openai_compatible",
    aliases=("openai_compatible", "llamacpp", "llama.cpp", "vllm", "sglang", "huggingface", "lmstudio"),
    hosts=("localhost", "127.0.0.1"),
    wire="openai-compatible",
    finish_reasons=FINISH_REASONS,
    always_gives_reason=True,
    errors=(*ERRORS, _OVERFLOW),
)
"""Any other server with OpenAI's chat protocol."""

OLLAMA_USAGE = UsageFields(input=("prompt_eval_count",), output=("eval_count",), told_by=("prompt_eval_count", "eval_count"))
"""Of Ollama's own protocol."""

OLLAMA = ProviderProfile(
    "ollama",
    aliases=("ollama",),
    wire="openai-compatible",
    # `load` and `unload` answer a request that carried no prompt.
    finish_reasons={"stop": "stop", "length": "length", "load": "error", "unload": "error", "tool_calls": "tool_calls"},
    errors=(
        *ERRORS,
        _OVERFLOW,
        ErrorRule("model_unavailable", words=("not found, try pulling it first",)),
        ErrorRule("unsupported", words=("does not support tools", "does not support thinking")),
    ),
)
