"""Tokens that a call was billed for, with what only its route and its request say about the bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from langroute.core.records import Request, Usage
from langroute.providers.billing import says_terms
from langroute.providers.usage import usage_of
from langroute.routes.route import BuiltRoute
from langroute.steps.message_content import text_tokens

_MAX_BLOCKS = 2000


def billed_usage(message: Any, route: BuiltRoute, request: Request) -> Usage | None:
    """Return the tokens and terms that an answer was billed for; `None` where the model did not report them.

    Args:
        message: The answer, or a stream that is read as one.
        route: The route that was called.
        request: The call.
    """
    usage = usage_of(message)
    if usage is None:
        return None
    if route.terms and not usage.terms and usage.stated_usd is None and not says_terms(*_records(message)):
        usage = replace(usage, terms=route.terms)
    if usage.cache_write and not usage.cache_write_1h and not _splits_writes(message) and _asks_for_an_hour(request, route):
        usage = replace(usage, cache_write=0, cache_write_1h=usage.cache_write)
    return usage


def usage_so_far(stream: Any, request: Request) -> Usage | None:
    """Return the estimated tokens of a stream that was left: its prompt, and what had arrived of the answer; `None` if nothing had.

    Args:
        stream: The stream's attempt; see `langroute.engine.stream_attempt.AttemptStream`.
        request: The call.
    """
    if stream is None or not stream.heard:
        return None
    written = sum(_tokens(chunk) for chunk in stream.heard_chunks)
    try:
        told = usage_of(stream)
    except Exception:  # noqa: BLE001 - as for a whole answer
        told = None
    if told is not None:
        return replace(told, output_tokens=max(told.output_tokens, written))
    return Usage(request.step.signals.tokens, written)


def _tokens(chunk: Any) -> int:
    """Return the estimated tokens of a chunk; one that carries anything is a token at least."""
    content = getattr(chunk, "content", "")
    text = content if isinstance(content, str) else "".join(_texts(content))
    calls = getattr(chunk, "tool_call_chunks", None) or ()
    text += "".join(f"{call.get('name') or ''}{call.get('args') or ''}" for call in calls)
    more = getattr(chunk, "additional_kwargs", None)
    if more and isinstance(thought := more.get("reasoning_content"), str):
        text += thought
    return max(1, text_tokens(text)) if text else 0


def _texts(content: Any) -> Iterable[str]:
    """Yield the texts of content blocks, thinking included."""
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str):
            yield block
        elif isinstance(block, Mapping):
            for name in ("text", "thinking", "reasoning"):
                if isinstance(block.get(name), str):
                    yield block[name]


def _records(message: Any) -> Iterable[Mapping[str, Any]]:
    response = getattr(message, "response_metadata", None) or {}
    return (response, *(found for name in ("usage", "token_usage") if isinstance(found := response.get(name), Mapping)))


def _splits_writes(message: Any) -> bool:
    """Return whether an answer says how long what it wrote to the prompt cache lives; a stream of Claude's does not."""
    details = (getattr(message, "usage_metadata", None) or {}).get("input_token_details") or {}
    return any(name.startswith("ephemeral_") for name in details)


def _asks_for_an_hour(request: Request, route: BuiltRoute) -> bool:
    """Return whether a request marks any of its prompt to be cached for an hour."""
    if _is_hour(route.kwargs.get("cache_control")):
        return True
    marked = [tool for tool in request.tools if isinstance(tool, Mapping)]
    for message in request.messages:
        content = getattr(message, "content", None)
        if isinstance(content, list):
            marked += [block for block in content[:_MAX_BLOCKS] if isinstance(block, Mapping)]
    return any(_is_hour(one.get("cache_control")) for one in marked)


def _is_hour(mark: Any) -> bool:
    return isinstance(mark, Mapping) and mark.get("ttl") == "1h"
