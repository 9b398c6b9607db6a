"""Is a value that was read before read again only where it changed, and let go when it must be?"""

from __future__ import annotations

from dataclasses import replace

from langchain_core.messages import AIMessage

from langroute.cache import ResponseCache
from langroute.cache.entries import Entry, encode
from langroute.cache.reading import Readings
from langroute.chat_model import ChatRouter
from langroute.testing import ScriptedModel

ENTRY = Entry(AIMessage("Paris."), namespace="n", key="k", route="cheap")


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
