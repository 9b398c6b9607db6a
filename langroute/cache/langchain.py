"""How is the cache used without the router, as LangChain's own (`set_llm_cache`)?

LangChain hands over the prompt and the model's settings as text. Random ids, what providers reported about earlier answers and cache
markers are taken out of the key, and a chat message that is found comes back as a new one, so that it is safe inside an agent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, Generation

from langroute.answers import finish_reason
from langroute.cache.entries import fresh, storable
from langroute.cache.keys import BLOCK_NOISE, EXTRA_NOISE, TOOL_BLOCKS, canonical
from langroute.cache.namespaces import NoNamespaceError, namespace_of
from langroute.cache.policy import CachePolicy
from langroute.cache.response import ResponseCache

ALLOWED = (Generation, ChatGeneration, AIMessage)
"""What may come out of a stored value."""


class LangChainCache(BaseCache):
    """LangChain's cache on any of our stores.

    Args:
        cache: A `ResponseCache`, or where to make one: nothing (memory), a path or a URL.
        ttl: Seconds an answer stays good; `None` for ever.
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
        """The key and the namespace; `None` where it is not known whose request it is."""
        try:
            space = namespace_of(self._cache.base, self._cache.isolate, {}, {})
        except NoNamespaceError:
            return None
        whole = blake2b(b"langchain-1", digest_size=20, key=self._cache.keys.namespace(space))
        for part in (prompt_form(prompt), llm_string.encode("utf-8", "surrogatepass")):
            whole.update(len(part).to_bytes(8, "big") + part)
        return whole.hexdigest(), self._cache.keys.namespace(space).hex()[:32]

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """The stored answers, or `None`."""
        found = self._key(prompt, llm_string)
        return None if found is None else self._read(found, self._cache.raw(found[0]))

    async def alookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        """`lookup`, awaited."""
        found = self._key(prompt, llm_string)
        return None if found is None else self._read(found, await self._cache.araw(found[0]))

    def update(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """Keep answers; those that are cut off, refused or would act again are not."""
        found = self._key(prompt, llm_string)
        if found is not None and (data := self._written(found, return_val)) is not None:
            self._cache.put_raw(found[0], data, expires=self._expires(), tags=self._tags(found))

    async def aupdate(self, prompt: str, llm_string: str, return_val: Sequence[Generation]) -> None:
        """`update`, awaited."""
        found = self._key(prompt, llm_string)
        if found is not None and (data := self._written(found, return_val)) is not None:
            await self._cache.aput_raw(found[0], data, expires=self._expires(), tags=self._tags(found))

    def clear(self, **kwargs: Any) -> None:
        """Forget everything."""
        self._cache.purge(everything=True)

    async def aclear(self, **kwargs: Any) -> None:
        """`clear`, awaited."""
        self.clear()

    def _expires(self) -> float | None:
        return None if self._ttl is None else self._clock() + self._ttl

    def _tags(self, found: tuple[str, str]) -> tuple[str, ...]:
        return (f"ns:{found[1]}", "kind:langchain")

    def _written(self, found: tuple[str, str], generations: Sequence[Generation]) -> bytes | None:
        kept: list[Any] = []
        for generation in generations:
            if isinstance(generation, ChatGeneration):
                if not isinstance(generation.message, (AIMessage, AIMessageChunk)):
                    return None
                info = {**(generation.generation_info or {}), **generation.message.response_metadata}
                if self._policy.rejects(generation.message, finish_reason(info), may_be_silent=True) is not None:
                    return None
                kept.append(dumpd(ChatGeneration(message=storable(generation.message), generation_info=generation.generation_info)))
            else:
                kept.append(dumpd(generation))
        try:
            return json.dumps({"ns": found[1], "key": found[0], "generations": kept}).encode("ascii")
        except (TypeError, ValueError):
            return None

    def _read(self, found: tuple[str, str], data: bytes | None) -> list[Generation] | None:
        if data is None:
            return None
        try:
            raw = json.loads(data)
            if raw["ns"] != found[1] or raw["key"] != found[0]:
                return None
            generations = [load(one, allowed_objects=ALLOWED) for one in raw["generations"]]
        except Exception:  # noqa: BLE001 - whatever a broken value makes of itself, it is no answer
            return None
        for generation in generations:
            if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                generation.message = fresh(generation.message)
        return generations


def prompt_form(prompt: str) -> bytes:
    """A prompt as LangChain serializes it, without what differs from run to run.

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
