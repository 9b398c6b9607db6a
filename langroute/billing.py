"""What would a provider bill for this call, given all that was sent to it before?

A provider's prompt cache, played: prompts go in as pieces with token counts, a usage comes out as the provider would report it.
For replaying recorded conversations under the billing rules of real providers. It shares with the router only the documented
numbers (`CacheRules`), not the way they are followed, so that the one can be checked against the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from langroute.records import Usage
from langroute.warmth import HOUR, CacheRules

LOOK_BACK = 20
"""How many pieces before a mark a provider with marks looks for something it wrote earlier."""

MOST = 50_000
"""Beginnings from which on those that are forgotten are let go."""


class SimulatedProvider:
    """One model of one provider, with its prompt cache.

    A provider that caches by itself reads the longest beginning it knows, in whole blocks, and bills no writing. One with marks caches
    up to each mark; the marks here stand behind the system prompt and behind the last piece, as an agent sets them.

    Args:
        rules: How the provider caches; one whose prompts live an hour bills writing as such.
        caching: Nothing is cached otherwise, as when a request carries no marks.

    Example:
        >>> provider = SimulatedProvider(CacheRules(min_tokens=1000, automatic=False))
        >>> system, question = ("system", 2000), ("question", 500)
        >>> first = provider.bill([system, question], 100, at=0.0)
        >>> first.cache_read, first.cache_write
        (0, 2500)
        >>> again = provider.bill([system, question, ("answer", 100), ("next", 50)], 100, at=60.0)
        >>> again.cache_read, again.cache_write
        (2500, 150)
        >>> provider.bill([system, question], 100, at=2000.0).cache_read
        0
    """

    def __init__(self, rules: CacheRules, *, caching: bool = True) -> None:
        self.rules, self.caching = rules, caching
        self._until: dict[int, float] = {}
        """Hash of a beginning → when it is forgotten."""

    def bill(self, pieces: Sequence[tuple[Hashable, int]], output_tokens: int, *, at: float, system: int = 1) -> Usage:
        """Answer a call: what is read, written and billed in full.

        Args:
            pieces: The prompt in order, tools and system prompt first: something that names each piece, and its tokens.
            output_tokens: Length of the answer.
            at: Seconds; not before the call before.
            system: How many pieces belong to tools and system prompt.
        """
        beginnings, sums = [0], [0]
        for name, tokens in pieces:
            beginnings.append(hash((beginnings[-1], name)))
            sums.append(sums[-1] + tokens)
        if not self.caching:
            return Usage(sums[-1], output_tokens)
        if len(self._until) > MOST:
            self._until = {known: until for known, until in self._until.items() if until > at}
        if self.rules.automatic:
            return self._automatic(beginnings, sums, output_tokens, at)
        return self._marked(beginnings, sums, output_tokens, at, system)

    def _known(self, beginning: int, at: float) -> bool:
        return self._until.get(beginning, at) > at

    def _automatic(self, beginnings: list[int], sums: list[int], output_tokens: int, at: float) -> Usage:
        places = range(1, len(sums))
        known = next((place for place in reversed(places) if self._known(beginnings[place], at)), 0)
        read = sums[known] // self.rules.block * self.rules.block
        if sums[-1] >= self.rules.min_tokens:
            for place in places:
                self._until[beginnings[place]] = at + self.rules.ttl_seconds
        return Usage(sums[-1], output_tokens, read if read >= self.rules.min_tokens else 0)

    def _marked(self, beginnings: list[int], sums: list[int], output_tokens: int, at: float, system: int) -> Usage:
        last = len(sums) - 1
        marks = sorted({min(system, last), last} - {0})
        until = at + self.rules.ttl_seconds
        read = 0
        for mark in marks:
            for place in range(mark, max(0, mark - LOOK_BACK), -1):
                if self._known(beginnings[place], at):
                    read = max(read, sums[place])
                    self._until[beginnings[place]] = until
                    break
        written = 0
        for mark in marks:
            if sums[mark] >= self.rules.min_tokens:
                self._until[beginnings[mark]] = until
                written = max(written, sums[mark] - read)
        if self.rules.ttl_seconds >= HOUR:
            return Usage(sums[-1], output_tokens, read, cache_write_1h=written)
        return Usage(sums[-1], output_tokens, read, written)
