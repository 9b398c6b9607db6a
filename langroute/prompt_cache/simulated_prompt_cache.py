"""Simulation of a provider's prompt cache and its billing.

Prompts go in as pieces with token counts, and a usage comes out as the provider would report it. Recorded conversations can thus be
replayed under the billing rules of real providers. The simulation shares only the documented numbers (`CacheRules`) with the router,
not its implementation, so that one can be checked against the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from langroute.core.records import Usage
from langroute.providers.profile import HOUR, CacheRules

LOOK_BACK = 20
"""Number of pieces before a marker in which a provider with markers looks for an earlier cached prefix."""

MOST = 50_000
"""Number of remembered prefixes above which expired ones are removed."""


class SimulatedProvider:
    """Simulated model of one provider, with its prompt cache.

    A provider with automatic caching reads the longest known prefix, in whole blocks, and does not bill writing. One with markers caches
    up to each marker; the markers here follow the system prompt and the last piece, as an agent sets them.

    Args:
        rules: Rules of the provider's prompt cache; with a lifetime of an hour, writes are billed at the one-hour rate.
        caching: `False` to cache nothing, as for requests without markers.

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
        """Hash of a prefix → time when it expires."""

    def bill(self, pieces: Sequence[tuple[Hashable, int]], output_tokens: int, *, at: float, system: int = 1) -> Usage:
        """Return the usage of a call: tokens read from the cache, written to it and billed in full.

        Args:
            pieces: The prompt in order, tools and system prompt first: a hashable name of each piece, and its tokens.
            output_tokens: Length of the answer.
            at: Time in seconds; not earlier than that of the previous call.
            system: Number of pieces that belong to tools and system prompt.
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
