"""Routes of a wire format that nobody knows: a history that the router has read is looked at again only where an answer is made of blocks."""

from __future__ import annotations

from histories import thinking
from langchain_core.messages import AIMessage, HumanMessage

from langroute.adapt import Target, adapt
from langroute.steps.history_reader import HistoryReader, Messages

STRANGER = Target(None, "acme")


def test_an_answer_of_blocks_that_comes_later_is_written_anew() -> None:
    reader = HistoryReader()
    plain = [HumanMessage("Add 1 and 2."), AIMessage("3", response_metadata={"model_provider": "openai"}), HumanMessage("And 3?")]
    first = Messages(plain)
    reader.keep(reader.read(first), first)
    assert adapt(first, STRANGER).messages is first
    answer = AIMessage(thinking("anthropic"), response_metadata={"model_provider": "anthropic"})
    grown = Messages([*plain, answer, HumanMessage("Thanks!")])
    reader.read(grown)
    written = adapt(grown, STRANGER).messages
    assert [new is old for new, old in zip(written, grown, strict=True)] == [True, True, True, False, True]
    assert list(written) == list(adapt(list(grown), STRANGER).messages)
