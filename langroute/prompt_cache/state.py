"""Expected contents of each provider's prompt cache, by prompt prefixes.

A provider's prompt cache keeps the prefixes of earlier prompts: tools first, then the system prompt, then the messages, for a few
minutes after their last use. This module mirrors it with hashes of prefixes, each with its tokens and its expiry. A changed tool or
system prompt changes every later hash, so those prefixes count as not cached, as they do at the provider. The cached tokens that each
answer reports correct the state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langroute.core.locks import new_lock
from langroute.core.records import RouteInfo, Usage
from langroute.prompt_cache.switch_cost import PromptCost, TokenRates
from langroute.providers.profile import HOUR, CacheRules
from langroute.providers.registry import cache_rules


def rules_for(route: RouteInfo) -> CacheRules:
    """Return the prompt-cache rules of a route's provider; for an unknown one, caching is known only from its answers.

    Example:
        >>> rules_for(RouteInfo("opus", model="claude-opus-4-6", provider="anthropic"))
        CacheRules(min_tokens=4096, block=1, ttl_seconds=300.0, automatic=False)
    """
    return cache_rules(route.provider, route.api, route.model)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the hashes of its prefixes."""

    chain: tuple[int, ...]
    """Hash of the tools, followed by the hash of each prefix, one message longer each."""

    system: int
    """Number of system messages at the beginning."""

    tokens: int
    """Estimated tokens of the whole prompt, tools included."""

    system_tokens: int = 0
    """Estimated tokens of tools and system prompt."""

    lengths: tuple[int, ...] = ()
    """Characters of each prefix."""

    def until(self, messages: int) -> Prompt:
        """Return the prompt of the first messages; its tokens are estimated from its share of the characters.

        Example:
            >>> Prompt((1, 2, 3), 0, 10, lengths=(0, 4, 8)).until(1).tokens
            5
        """
        whole = self.lengths[-1] if self.lengths else 0
        share = self.lengths[messages] / whole if whole else 0.0
        system = min(self.system_tokens, int(self.tokens * share))
        return Prompt(
            self.chain[: messages + 1], min(self.system, messages), int(self.tokens * share), system, self.lengths[: messages + 1]
        )

    def extends(self, chain: int, messages: int) -> bool:
        """Return whether the prompt continues one with this many messages and this last hash.

        Example:
            >>> Prompt((1, 2, 3), 0, 10).extends(2, 1)
            True
        """
        return messages < len(self.chain) and self.chain[messages] == chain


def _hash(value: Any) -> int:
    """Return the hash of a message's content. Strings cache their hash, so a known history is hashed quickly."""
    if isinstance(value, Mapping):
        # A moving cache marker does not change which prefixes are cached.
        return hash(tuple([(key, _hash(item)) for key, item in value.items() if key != "cache_control"]))
    if isinstance(value, (list, tuple)):
        return hash(tuple([item if type(item) is str else _hash(item) for item in value]))
    try:
        return hash(value)
    except TypeError:
        return hash(repr(value))


def prompt_of(
    messages: Sequence[Any], tools: Sequence[Mapping[str, Any]] = (), *, tokens: int, tools_hash: int | None = None
) -> Prompt:
    """Return the prefix hashes of a prompt.

    Args:
        messages: LangChain messages.
        tools: Bound tools in OpenAI's form.
        tokens: Estimated tokens of the whole.
        tools_hash: Hash of the tools, where the caller has it already.

    Example:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> short = prompt_of([HumanMessage("Hi.")], tokens=1)
        >>> longer = prompt_of([HumanMessage("Hi."), AIMessage("Hello.")], tokens=2)
        >>> longer.extends(short.chain[-1], 1)
        True
    """
    last = (_hash(tools) if tools else 0) if tools_hash is None else tools_hash
    chain, lengths = [last], [0]
    system = characters = system_characters = 0
    for place, message in enumerate(messages):
        content, kind = message.content, message.type
        if type(content) is str:
            said = hash(content)
            characters += len(content)
        else:
            said = _hash(content)
            characters += _characters(content)
        if kind == "ai":
            calls = message.tool_calls
            # Ids and arguments tell calls apart; their names are in them.
            said = hash((said, _hash(calls))) if calls else said
        elif kind == "tool":
            said = hash((said, message.tool_call_id))
        elif kind == "system" and place == system:
            system, system_characters = place + 1, characters
        last = hash((last, kind, said))
        chain.append(last)
        lengths.append(characters)
    share = system_characters / characters if characters else 0.0
    return Prompt(tuple(chain), system, tokens, int(tokens * share), tuple(lengths))


def _characters(content: Any) -> int:
    if not isinstance(content, list):
        return 0
    return sum(len(part) if isinstance(part, str) else len(str(part.get("text") or "")) for part in content)


@dataclass(frozen=True, slots=True)
class _Held:
    tokens: int
    until: float
    ttl: float


@dataclass(slots=True)
class _Seen:
    """What the answers of one route have shown."""

    caching: bool | None = None
    """Prompts are cached; `None` until an answer shows it."""

    trust: float = 1.0
    """Recent share of the expected cached tokens that were really read from the cache."""

    ratio: float = 1.0
    """Ratio of billed to estimated tokens."""

    answers: int = 0


class PromptCacheState:
    """Tracks the prompt prefixes that each route's provider is expected to have cached.

    Args:
        rules: Returns the prompt-cache rules of a route; by default the documented ones.
        max_entries: Number of prefixes that are remembered; the least recently used are forgotten first.
        clock: Returns the time in seconds; for tests.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> gpt, warmth = RouteInfo("gpt", provider="openai"), PromptCacheState(clock=lambda: 0.0)
        >>> prompt = prompt_of([HumanMessage("a long question")], tokens=4000)
        >>> warmth.cached_tokens(gpt, prompt)
        0
        >>> warmth.observe(gpt, prompt, Usage(input_tokens=4000, output_tokens=100))
        >>> warmth.cached_tokens(gpt, prompt)
        3968
    """

    def __init__(
        self,
        rules: Callable[[RouteInfo], CacheRules] = rules_for,
        *,
        max_entries: int = 50_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules, self.max_entries, self.clock = rules, max_entries, clock
        self._held: dict[tuple[str, int], _Held] = {}
        self._seen: dict[str, _Seen] = {}
        self._rules: dict[str, CacheRules] = {}
        self._marking: set[str | None] = set()
        self._tools: dict[int, tuple[Any, int]] = {}
        self._lock = new_lock()

    # Looking ---------------------------------------------------------------------------------------------------------

    def prompt(self, messages: Sequence[Any], tools: Sequence[Mapping[str, Any]], tokens: int) -> Prompt:
        """Return the prompt of a call; the hash of an agent's tools is cached."""
        if not tools:
            return prompt_of(messages, tokens=tokens, tools_hash=0)
        found = self._tools.get(id(tools))
        if found is None or found[0] is not tools:
            if len(self._tools) > 256:
                self._tools.clear()
            # The tools are kept with their hash: their id is the key.
            found = self._tools[id(tools)] = (tools, _hash(tools))
        return prompt_of(messages, tokens=tokens, tools_hash=found[1])

    def rules_of(self, route: RouteInfo) -> CacheRules:
        """Return the prompt-cache rules of a route."""
        rules = self._rules.get(route.name)
        if rules is None:
            rules = self._rules[route.name] = self.rules(route)
        return rules

    def caches(self, route: RouteInfo) -> bool:
        """Return whether prompts sent to the route are cached, as far as its answers show."""
        seen = self._seen.get(route.name)
        if seen is not None and seen.caching is not None:
            return seen.caching
        # Marks are set by the program, so a provider's other models are sent them too.
        return self.rules_of(route).automatic or route.provider in self._marking

    def tokens(self, route: RouteInfo, prompt: Prompt) -> int:
        """Return the input tokens that the route is expected to bill for a prompt; providers count differently."""
        seen = self._seen.get(route.name)
        return prompt.tokens if seen is None else int(prompt.tokens * seen.ratio)

    def cached_tokens(self, route: RouteInfo, prompt: Prompt, at: float | None = None) -> int:
        """Return the tokens of a prompt that the route's provider would read from its cache now."""
        held = self._longest(route.name, prompt, self.clock() if at is None else at)
        return min(self._believed(route.name, held), self.tokens(route, prompt))

    def terms(self, route: RouteInfo, prompt: Prompt) -> PromptCost | None:
        """Return the expected cost of a prompt on a route now; `None` where its price is unknown.

        Example:
            >>> from langroute.core.records import Price
            >>> gpt = RouteInfo("gpt", provider="openai", price=Price(1, 8, cache_read=0.1))
            >>> PromptCacheState().terms(gpt, Prompt((1,), 0, 5000)).now(100)
            0.0058
        """
        if route.price is None:
            return None
        held, tokens = self._longest(route.name, prompt, self.clock()), self.tokens(route, prompt)
        rules = self.rules_of(route)
        lives = rules.ttl_seconds if held is None else held.ttl
        rates = TokenRates.of(route.price, tokens, caches=self.caches(route), hour=lives >= HOUR and not rules.automatic)
        return PromptCost(rates, tokens, min(self._believed(route.name, held), tokens), lives)

    def _believed(self, route: str, held: _Held | None) -> int:
        if held is None:
            return 0
        seen = self._seen.get(route)
        return held.tokens if seen is None else int(held.tokens * seen.trust)

    def _longest(self, route: str, prompt: Prompt, at: float) -> _Held | None:
        held = self._held
        for link in reversed(prompt.chain):
            found = held.get((route, link))
            if found is not None and found.until >= at:
                return found
        return None

    # Learning --------------------------------------------------------------------------------------------------------

    def observe(self, route: RouteInfo, prompt: Prompt, usage: Usage, at: float | None = None) -> None:
        """Update the state with the cached tokens that an answer reports."""
        now = self.clock() if at is None else at
        rules = self.rules_of(route)
        expected = self._longest(route.name, prompt, now)
        reported = usage.cache_read + usage.cache_write + usage.cache_write_1h
        with self._lock:
            seen = self._seen.setdefault(route.name, _Seen())
            seen.answers += 1
            if prompt.tokens and usage.input_tokens:
                ratio = usage.input_tokens / prompt.tokens
                seen.ratio = ratio if seen.answers == 1 else seen.ratio + 0.3 * (ratio - seen.ratio)
            if reported:
                seen.caching = True
                self._marking.add(route.provider)
            elif not rules.automatic and usage.input_tokens >= rules.min_tokens:
                seen.caching = False
            if expected is not None and expected.tokens:
                came = min(1.0, usage.cache_read / min(expected.tokens, usage.input_tokens or expected.tokens))
                seen.trust += 0.3 * (came - seen.trust)
            held = self._holds(rules, seen, usage, reported)
            if held < rules.min_tokens:
                return
            ttl = HOUR if usage.cache_write_1h else rules.ttl_seconds
            if expected is not None and not (usage.cache_write or usage.cache_write_1h):
                ttl = max(ttl, expected.ttl)
            self._put(route.name, prompt.chain[-1], _Held(held, now + ttl, ttl))
            # Other conversations of the same agent begin with the same tools and system prompt.
            shared = min(int(prompt.system_tokens * seen.ratio), held)
            if prompt.system and shared >= rules.min_tokens:
                self._put(route.name, prompt.chain[prompt.system], _Held(shared, now + ttl, ttl))

    def recall(self, route: RouteInfo, prompt: Prompt, usage: Usage, at: float) -> None:
        """Note what the provider keeps of a prompt that another process sent, from the usage that its answer reports.

        Estimates are not corrected by it: that is done where the prompt was sent.
        """
        rules, now = self.rules_of(route), self.clock()
        reported = usage.cache_read + usage.cache_write + usage.cache_write_1h
        ttl = HOUR if usage.cache_write_1h else rules.ttl_seconds
        with self._lock:
            seen = self._seen.setdefault(route.name, _Seen())
            if reported:
                seen.caching = True
                self._marking.add(route.provider)
            held, until = self._holds(rules, seen, usage, reported), min(at, now) + ttl
            known = self._held.get((route.name, prompt.chain[-1]))
            if held >= rules.min_tokens and until > now and (known is None or known.until < until):
                self._put(route.name, prompt.chain[-1], _Held(held, until, ttl))

    @staticmethod
    def _holds(rules: CacheRules, seen: _Seen, usage: Usage, reported: int) -> int:
        if not rules.automatic and seen.caching is not True:
            return 0
        if usage.cache_write or usage.cache_write_1h:
            return reported
        # A provider that bills no writing keeps the whole prompt; one that does has told what it keeps.
        whole = usage.input_tokens if rules.automatic or not usage.cache_read else reported
        return whole // rules.block * rules.block

    def _put(self, route: str, link: int, held: _Held) -> None:
        key = (route, link)
        # Put again at the end: the first in the dictionary is the one that was not used for longest.
        self._held.pop(key, None)
        self._held[key] = held
        if len(self._held) > self.max_entries:
            for old in list(self._held)[: max(1, self.max_entries // 10)]:
                del self._held[old]

    def __getstate__(self) -> dict[str, Any]:
        # Hashes of strings differ from process to process, so what is held means nothing elsewhere.
        return {"rules": self.rules, "max_entries": self.max_entries, "clock": self.clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["rules"], max_entries=state["max_entries"], clock=state["clock"])  # type: ignore[misc]
