"""Decoded values are memoized: read again only after a change, and released when they must be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from alive import newcomers
from langchain_core.messages import AIMessage

from langroute.cache import ResponseCache
from langroute.cache.entries import CacheEntry, encode
from langroute.cache.reading import Readings
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel

ENTRY = CacheEntry(AIMessage("Paris."), namespace="n", key="k", route="cheap")


def test_a_value_that_changed_is_read_again() -> None:
    """The bytes decide, not the key."""
    readings = Readings()
    first = readings.read("k", encode(ENTRY))

    assert readings.read("k", bytes(bytearray(encode(ENTRY)))) is first
    assert readings.read("k", encode(replace(ENTRY, message=AIMessage("Lyon.")))).message.content == "Lyon."


def test_no_more_is_kept_than_allowed() -> None:
    """The oldest goes first, and a large one is not kept at all."""
    size = len(encode(ENTRY))
    readings = Readings(most_bytes=3 * size)
    read = {key: readings.read(key, encode(ENTRY)) for key in "abcd"}

    assert readings.read("d", encode(ENTRY)) is read["d"]
    assert readings.read("a", encode(ENTRY)) is not read["a"]
    large = encode(replace(ENTRY, message=AIMessage("x" * 4 * size)))
    assert readings.read("large", large) is not readings.read("large", large)


def test_what_is_forgotten_is_not_kept_here_either() -> None:
    """An answer that was withdrawn or purged must not stay in memory in plain text."""
    cache = ResponseCache()
    model = ChatRouter({"cheap": ScriptedModel("Paris.", "Lyon.")}, response_cache=cache)
    model.invoke("Capital?")
    answer = model.invoke("Capital?")
    assert len(cache._readings._kept) == 1

    cache.report_bad_hit(answer)

    assert not cache._readings._kept
    model.invoke("Capital?")
    model.invoke("Capital?")
    cache.purge(everything=True)
    assert not cache._readings._kept


@pytest.mark.parametrize("how", ["withdrawn", "purged"])
def test_what_is_forgotten_is_kept_nowhere(how: str) -> None:
    made = newcomers(CacheEntry)

    def kept() -> list[str]:
        """What stands in memory as it was read; the store has bytes."""
        return [entry.message.content for entry in made()]

    cache = ResponseCache()
    model = ChatRouter({"cheap": ScriptedModel("Rome.")}, response_cache=cache)
    model.invoke("Capital?")
    answer = model.invoke("Capital?")
    assert kept() == ["Rome."]

    if how == "withdrawn":
        cache.report_bad_hit(answer)
    else:
        cache.purge(everything=True)

    assert kept() == []
