"""`LangChainCache`: the cache as LangChain's own (`set_llm_cache`), without the router.

LangChain passes the prompt and the model's settings as text. Random ids, what providers reported about earlier answers and cache
markers are left out of the key, and a stored chat message is returned as a new one, so that it is safe inside an agent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation

from langroute.cache.entries import fresh, message_from, storable, too_deep
from langroute.cache.keys import BLOCK_NOISE, EXTRA_NOISE, TOOL_BLOCKS, canonical
from langroute.cache.namespaces import namespace_of
from langroute.cache.policy import CachePolicy
from langroute.cache.response import ResponseCache
from langroute.core.errors import DataError
from langroute.providers.ends import finish_reason


class LangChainCache(BaseCache):
    """LangChain cache on any of the stores.

    Args:
        cache: A `ResponseCache`, or where to open one: nothing (memory), a path or a URL.
        ttl: Seconds that an answer stays valid; `None` for ever.
        isolate: Parts of the namespace (`cache_namespace`) without which nothing is looked up or stored.

    Example:
        >>> from langchain_core.globals import set_llm_cache
        >>> set_llm_cache(LangChainCache())
        >>> set_llm_cache(None)
    """

    def __init__(
        self, cache: Any = None, *, ttl: float | None = 86400.0, isolate: Iterable[str] = (), clock: Callable[[], float] = time.time
    ) -> None:
        self._cache = cache if isinstance(cache, ResponseCache) else ResponseCache(cache, isolate=isolate, clock=clock)
        self._ttl, self._clock = ttl, clock
        self._policy: CachePolicy = self._cache.policy

    def _key(self, prompt: str, llm_string: str) -> tuple[str, str] | None:
        """Return the key and the namespace; `None` where the namespace is unknown or the prompt has no stable form."""
        try:
            space = namespace_of(self._cache.base, self._cache.isolate, {}, {})
            whole = blake2b(b"langchain-1", digest_size=20, key=self._cache.keys.namespace(space))
            for part in (prompt_form(prompt), llm_string.encode("utf-8", "surrogatepass")):
                whole.update(len(part).to_bytes(8, "big") + part)
        except Exception as error:  # noqa: BLE001 - a prompt may hold anything
            self._cache.bypass(error)
            return None
        return whole.hexdigest(), self._cache.keys.namespace(space).hex()[:32]

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """Return the stored answers, or `None`."""
        found = self._key(prompt, llm_string)
        return None if found is None else self._read(found, self._cache.raw(found[0]))

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """Async version of `lookup`."""
        found = self._key(prompt, llm_string)
        return None if found is None else self._read(found, await self._cache.araw(found[0]))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Store answers, except those that are cut off, refused or would repeat an action."""
        found = self._key(prompt, llm_string)
        if found is not None and (data := self._written(found, return_val)) is not None:
            self._cache.put_raw(found[0], data, expires=self._expires(), tags=self._tags(found))

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Async version of `update`."""
        found = self._key(prompt, llm_string)
        if found is not None and (data := self._written(found, return_val)) is not None:
            await self._cache.aput_raw(found[0], data, expires=self._expires(), tags=self._tags(found))

    def clear(self, **kwargs: Any) -> None:
        """Delete everything."""
        self._cache.purge(everything=True)

    async def aclear(self, **kwargs: Any) -> None:
        """Async version of `clear`."""
        self.clear()

    def _expires(self) -> float | None:
        return None if self._ttl is None else self._clock() + self._ttl

    def _tags(self, found: tuple[str, str]) -> tuple[str, ...]:
        return (f"ns:{found[1]}", "kind:langchain")

    def _written(self, found: tuple[str, str], generations: Sequence[Generation]) -> bytes | None:
        try:
            kept = [self._plain(generation) for generation in generations]
            if None in kept or too_deep(kept):
                return None
            return json.dumps({"ns": found[1], "key": found[0], "generations": kept}, allow_nan=False).encode("ascii")
        except Exception as error:  # noqa: BLE001 - an answer may hold any object
            self._cache.note("not_stored", f"it cannot be written: {type(error).__name__}")
            return None

    def _plain(self, generation: Generation) -> dict[str, Any] | None:
        """Return a generation as JSON; `None` where it may not be stored."""
        info = generation.generation_info
        if not isinstance(generation, ChatGeneration):
            return {"text": generation.text, "info": info}
        message = generation.message
        if not isinstance(message, (AIMessage, AIMessageChunk)) or self._refuses(message, info):
            return None
        return {"message": dumpd(storable(message)), "info": info}

    def _refuses(self, message: Any, info: Mapping[str, Any] | None) -> bool:
        reason = self._policy.rejects(message, finish_reason({**(info or {}), **message.response_metadata}), may_be_silent=True)
        if reason is not None:
            self._cache.note("not_stored", reason)
        return reason is not None

    def _read(self, found: tuple[str, str], data: bytes | None) -> list[Generation] | None:
        if data is None:
            return None
        try:
            raw = json.loads(data)
            if raw["ns"] != found[1] or raw["key"] != found[0] or too_deep(raw):
                return None
            return [self._made(one) for one in raw["generations"]]
        except Exception as error:  # noqa: BLE001 - whatever a broken value makes of itself, it is no answer
            self._cache.note("errors", f"a stored answer could not be read: {type(error).__name__}")
            return None

    def _made(self, raw: Mapping[str, Any]) -> Generation:
        """Return a new generation from its stored form.

        Raises:
            DataError: It is an answer that would not have been stored.
        """
        info = raw["info"]
        if "message" not in raw:
            return Generation(text=raw["text"], generation_info=info)
        message = message_from(raw["message"])
        if self._refuses(message, info):
            raise DataError("A stored answer may not be given.")
        return ChatGeneration(message=fresh(message), generation_info=info)


def prompt_form(prompt: str) -> bytes:
    """Return a prompt as LangChain serializes it, without the parts that differ from run to run.

    Example:
        >>> prompt_form("a plain prompt")
        b'a plain prompt'
    """
    try:
        messages = json.loads(prompt)
    except ValueError:
        messages = None
    if not isinstance(messages, list) or not all(isinstance(one, dict) and "kwargs" in one for one in messages):
        return prompt.encode("utf-8", "surrogatepass")
    numbers: dict[str, str] = {}
    return canonical([_message_form(one, numbers) for one in messages])


def _message_form(message: Mapping[str, Any], numbers: dict[str, str]) -> list[Any]:
    kwargs = message["kwargs"]

    def number(id: Any) -> Any:
        return numbers.setdefault(id, f"#{len(numbers)}") if isinstance(id, str) else id

    calls = [[call.get("name"), call.get("args"), number(call.get("id"))] for call in kwargs.get("tool_calls") or ()]
    status = kwargs.get("status")
    return [
        message.get("id", ["?"])[-1].removesuffix("Chunk"),
        kwargs.get("role"),
        kwargs.get("name"),
        [_block_form(block, number) for block in content] if isinstance(content := kwargs.get("content"), list) else content,
        calls,
        [[call.get("name"), call.get("args")] for call in kwargs.get("invalid_tool_calls") or ()],
        number(kwargs.get("tool_call_id")),
        None if status == "success" else status,
        {key: value for key, value in (kwargs.get("additional_kwargs") or {}).items() if key not in EXTRA_NOISE},
    ]


def _block_form(block: Any, number: Callable[[Any], Any]) -> Any:
    if not isinstance(block, dict):
        return block
    kept = {key: value for key, value in block.items() if key not in BLOCK_NOISE}
    if block.get("type") in TOOL_BLOCKS:
        kept.pop("call_id", None)
    elif "tool_use_id" in kept:
        kept["tool_use_id"] = number(kept["tool_use_id"])
    return kept
