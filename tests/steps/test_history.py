"""What the inspector reads from a conversation."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.errors import InputError
from langroute.core.records import Signals
from langroute.steps.history_reader import HistoryReader


def call(name: str, args: dict[str, Any], id: str) -> dict[str, Any]:
    """A tool call as a message has it."""
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


def round_of(name: str, args: dict[str, Any], id: str, result: str, status: str = "success") -> list[BaseMessage]:
    """A tool call and its result."""
    return [AIMessage("", tool_calls=[call(name, args, id)]), ToolMessage(result, tool_call_id=id, status=status)]


def seen(messages: list[BaseMessage]) -> Signals:
    """What a reader that never saw them before makes of messages."""
    return HistoryReader().read(messages).signals(0, 0)


def agent_thread(rounds: int) -> list[BaseMessage]:
    """A coding agent at work: everything goes well."""
    messages: list[BaseMessage] = [SystemMessage("You are a coding agent."), HumanMessage("Fix the failing test in parser.py.")]
    for place in range(rounds):
        messages += round_of("read_file", {"path": f"src/{place}.py"}, f"c{place}", f"def f{place}(): ...")
    return messages


def test_an_errored_parallel_call_before_a_good_one_is_seen() -> None:
    """The last result alone would say that all is well."""
    messages = [
        HumanMessage("Book both."),
        AIMessage("", tool_calls=[call("book", {"id": 1}, "a"), call("book", {"id": 2}, "b")]),
        ToolMessage("Error: seat taken", tool_call_id="a"),
        ToolMessage("booked", tool_call_id="b"),
    ]

    assert seen(messages).error >= 0.5
    assert seen(messages).errors_in_row == 1


def test_failed_rounds_in_a_row_are_counted_and_forgotten_after_a_good_one() -> None:
    """Two failures, a success, a failure: one in a row."""
    bad = [message for place in range(2) for message in round_of("run_tests", {"n": place}, f"b{place}", "1 failed", "error")]
    good = round_of("run_tests", {"n": 7}, "g", "3 passed")
    again = round_of("run_tests", {"n": 8}, "h", "exit code: 1")

    assert seen([HumanMessage("Go."), *bad]).errors_in_row == 2
    assert seen([HumanMessage("Go."), *bad, *good]).errors_in_row == 0
    assert seen([HumanMessage("Go."), *bad, *good, *again]).errors_in_row == 1


def test_looking_at_a_file_in_between_mends_nothing_and_a_run_that_passes_does() -> None:
    """Reading and saving say nothing of whether it works now; what the words of a result told goes with its failure."""
    bad = [message for place in range(2) for message in round_of("deploy", {"n": place}, f"b{place}", "Error: no such host")]
    looked, saved = round_of("read_file", {"path": "a.py"}, "r", "x = 1"), round_of("write_file", {"path": "a.py"}, "w", "saved")
    passed = round_of("run_tests", {}, "t", "3 passed")

    for more, expected in ((looked, (2, 2)), (saved, (2, 2)), (passed, (0, 0)), ([*looked, *passed], (0, 0))):
        signals = seen([HumanMessage("Go."), *bad, *more])
        assert (signals.errors_in_row, signals.errors_told) == expected


def test_before_anybody_asked_nothing_is_counted_for_a_turn() -> None:
    """A system prompt and a greeting are no turn of the user's."""
    signals = seen([SystemMessage("You help."), AIMessage("How may I help?")])

    assert (signals.turn, signals.turn_tokens, signals.error, signals.errors_in_row) == (0, 0, 0.0, 0)


def test_conversations_that_begin_with_the_same_greeting_are_told_apart_by_the_question() -> None:
    """And a conversation keeps its name, whatever is asked later."""
    greeting = AIMessage("How may I help?")

    def thread(*messages: BaseMessage) -> str:
        return HistoryReader().read([greeting, *messages]).thread

    first = thread(HumanMessage("Where is my parcel?"))
    assert first == thread(HumanMessage("Where is my parcel?"), AIMessage("In Bonn."), HumanMessage("And my letter?"))
    assert first != thread(HumanMessage("And my letter?"))


def test_the_same_call_again_is_a_loop_in_whatever_order_its_arguments_stand() -> None:
    """Three identical calls were made twice before."""
    messages: list[BaseMessage] = [HumanMessage("Find it.")]
    for place, args in enumerate(({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 2})):
        messages += round_of("lookup", args, f"c{place}", "nothing")

    assert seen(messages).repeats == 2


def test_the_same_test_after_an_edit_is_no_loop() -> None:
    """It may come out differently."""
    messages = [
        HumanMessage("Fix it in a.py."),
        *round_of("run_tests", {}, "1", "1 failed"),
        *round_of("write_file", {"path": "a.py", "text": "x = 1"}, "2", "ok"),
        *round_of("run_tests", {}, "3", "1 failed"),
    ]

    assert seen(messages).repeats == 0
    assert seen(messages).edits == 1
    assert seen(messages).steps_since_edit == 1


def test_the_same_edit_again_is_a_loop() -> None:
    """Edits are remembered through edits."""
    edit = {"path": "a.py", "text": "x = 1"}
    messages = [HumanMessage("Fix it."), *round_of("write_file", edit, "1", "ok"), *round_of("write_file", edit, "2", "ok")]

    assert seen(messages).repeats == 1


def test_go_on_after_forty_tool_results_is_still_about_the_task() -> None:
    """Only the last message would say: two words, no code, nothing failed."""
    failing = [message for place in range(2) for message in round_of("bash", {"n": place}, f"x{place}", "exit code: 2")]
    messages = [*agent_thread(40), *failing, AIMessage("Shall I go on?"), HumanMessage("ok, continue")]
    signals = seen(messages)

    assert signals.turn == 2
    assert signals.tool_results == 42
    assert signals.turn_steps == 43


def test_a_new_request_begins_a_turn_of_its_own() -> None:
    """What went wrong before is not held against it."""
    messages = [
        HumanMessage("Go."),
        *round_of("bash", {}, "1", "exit code: 2"),
        AIMessage("It failed."),
        HumanMessage("What is 6 * 7?"),
    ]
    signals = seen(messages)

    assert (signals.errors_in_row, signals.tool_results, signals.turn_steps, signals.error) == (0, 0, 0, 0.0)


def test_media_are_counted_in_every_spelling() -> None:
    """LangChain's, OpenAI's and Anthropic's blocks, in tool results too."""
    url = "data:image/png;base64,AAAA"
    content = [
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
    ]
    shown = ToolMessage([{"type": "image", "base64": "AAAA", "mime_type": "image/png"}], tool_call_id="1")
    signals = seen([HumanMessage(content), AIMessage("", tool_calls=[call("look", {}, "1")]), shown])

    assert (signals.images, signals.audio, signals.files) == (4, 1, 2)


def test_a_grown_history_reads_the_same_as_a_new_one() -> None:
    """Reading only where it grew is an economy, not another answer."""
    messages = [*agent_thread(20), *round_of("bash", {}, "z", "exit code: 1"), AIMessage("Hm."), HumanMessage("try again")]
    reader = HistoryReader()
    for end in range(1, len(messages) + 1):
        history = reader.read(messages[:end])
        grown = history.signals(0, 0)
        reader.keep(history, messages[:end])
        assert grown == seen(messages[:end])


def test_a_grown_history_is_gone_on_with_and_a_changed_one_is_begun_anew() -> None:
    """The cost of a step must not grow with all that was said before."""
    messages, reader = agent_thread(3), HistoryReader()
    history = reader.read(messages[:4])
    reader.keep(history, messages[:4])

    assert reader.read(messages) is history
    reader.keep(history, messages)
    assert reader.read([*messages[:2], *messages[4:]]) is not history


def test_a_message_that_took_the_place_of_one_that_is_gone_is_read() -> None:
    """Python gives a new object the address of one that was freed: the same address is not the same message."""
    rounds = 40
    messages, reader = agent_thread(rounds), HistoryReader()
    messages[2] = AIMessage("Let me see.")
    reader.keep(reader.read(messages), messages)
    address, others = id(messages[2]), []
    messages[2] = None  # type: ignore[call-overload]
    gc.collect()
    while id(fresh := AIMessage("x" * 40_000)) != address and len(others) < 10_000:
        others.append(fresh)
    messages[2] = fresh

    assert reader.read(messages).signals(0, 0) == seen(messages)
    if id(fresh) != address:
        pytest.skip("no new message got the address of the old one")


def test_a_message_rewritten_in_place_is_read_again() -> None:
    """Summarization and redaction change histories in the middle."""
    messages = agent_thread(3)
    reader = HistoryReader()
    reader.keep(reader.read(messages), messages)
    messages[3].content = "x" * 40_000

    assert reader.read(messages).signals(0, 0) == seen(messages)


def test_a_history_that_branches_is_read_right_on_both_sides() -> None:
    """Parallel branches share a beginning."""
    stem = agent_thread(5)
    left, right = [*stem, *round_of("bash", {}, "l", "exit code: 1")], [*stem, HumanMessage("Stop.")]
    reader = HistoryReader()
    for messages in (left, right, left, right):
        history = reader.read(messages)
        assert history.signals(0, 0) == seen(messages)
        reader.keep(history, messages)


def test_nothing_is_kept_alive() -> None:
    """A server with thousands of threads must not grow by them."""
    messages = agent_thread(5)
    reader = HistoryReader()
    reader.keep(reader.read(messages), messages)
    gone = weakref.ref(messages[1])
    del messages
    gc.collect()

    assert gone() is None


def test_what_is_no_message_is_said_to_be_none() -> None:
    """An error of our own tree, with the type that was found."""
    with pytest.raises(InputError, match="'dict' object"):
        HistoryReader().read([{"role": "user", "content": "Hi."}])


def test_text_that_is_not_latin_is_not_taken_for_short() -> None:
    """A Chinese character costs about as much as a short English word."""
    assert seen([HumanMessage("请证明素数有无穷多个。")]).tokens > seen([HumanMessage("Hi there!!!")]).tokens


def test_an_assistant_message_without_content_is_read() -> None:
    """Agent histories have them beside tool calls."""
    empty = AIMessage(content="", tool_calls=[call("f", {}, "1")])
    object.__setattr__(empty, "content", None)

    assert seen([HumanMessage("Go."), empty]).turn_steps == 1


def test_what_each_part_of_a_history_is_taken_for() -> None:
    """A quarter of its bytes for text, three for each message; a set number for what is seen or heard."""
    image = {"type": "image", "base64": "A" * 4000, "mime_type": "image/png"}
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 4000, "format": "wav"}}
    paper = {"type": "file", "base64": "A" * 4000, "mime_type": "application/pdf"}

    assert seen([HumanMessage("x" * 400)]).tokens == 103
    assert seen([HumanMessage("x" * 400), AIMessage("y" * 40)]).tokens == 103 + 13
    assert seen([HumanMessage([{"type": "text", "text": "x" * 400}, "y" * 40])]).tokens == 113
    assert seen([HumanMessage([{"type": "text", "text": "x" * 400}, {"type": "text", "text": "y" * 40}])]).tokens == 113
    for block, least in ((image, 800), (sound, 800), (paper, 1500)):
        assert least <= seen([HumanMessage([block])]).tokens < 3000


def test_what_stands_inside_of_a_block_counts() -> None:
    """Anthropic's tool results have blocks of their own."""
    inner = [{"type": "text", "text": "x" * 400}, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}]
    signals = seen([HumanMessage([{"type": "tool_result", "tool_use_id": "", "content": inner}])])

    assert signals.images == 1
    assert signals.tokens == 3 + 100 + 800


def test_the_arguments_of_a_tool_call_count_as_what_they_are() -> None:
    """An agent that writes files sends them again with every step: 40,000 characters are 10,000 tokens."""
    text = "x" * 40_000
    before = [HumanMessage("Go."), AIMessage("", tool_calls=[call("write_file", {"text": ""}, "1")])]
    after = [HumanMessage("Go."), AIMessage("", tool_calls=[call("write_file", {"text": text}, "1")])]
    blocks = [{"type": "tool_use", "id": "1", "name": "write_file", "input": {"text": text}}]
    anthropic = [HumanMessage("Go."), AIMessage(blocks, tool_calls=[call("write_file", {"text": text}, "1")])]  # type: ignore[arg-type]

    assert seen(after).tokens - seen(before).tokens == 10_000
    assert seen(anthropic).tokens == seen(after).tokens, "a block that says the call again is not counted again"


def test_arguments_that_cannot_be_compared_count_all_the_same() -> None:
    """A number as a key has no place in sorted JSON; what is sent is as long as ever."""
    short = seen([HumanMessage("Go."), AIMessage("", tool_calls=[call("note", {"text": "", "at": {1: 0, "a": 0}}, "1")])]).tokens
    long = seen(
        [HumanMessage("Go."), AIMessage("", tool_calls=[call("note", {"text": "x" * 4000, "at": {1: 0, "a": 0}}, "1")])]
    ).tokens
    compared = seen(
        [HumanMessage("Go."), AIMessage("", tool_calls=[call("note", {"text": "x" * 4000, "at": {"1": 0, "a": 0}}, "1")])]
    ).tokens

    assert long - short == 1000
    assert abs(long - compared) < 10


def test_every_parallel_call_counts() -> None:
    """Its name, its arguments and what is written around them."""
    alone = seen([HumanMessage("Go."), AIMessage("", tool_calls=[call("look", {"at": "x" * 400}, "1")])]).tokens
    pair = [call("look", {"at": "x" * 400}, "1"), call("look", {"at": "y" * 400}, "2")]
    both = seen([HumanMessage("Go."), AIMessage("", tool_calls=pair)]).tokens
    none = seen([HumanMessage("Go."), AIMessage("")]).tokens

    assert both - none == 2 * (alone - none)
    # {"at":"…"} around 400 characters, the name's four, and eight tokens for what stands around a call.
    assert alone - none == (400 + len('{"at":""}') + len("look")) // 4 + 8


@pytest.mark.parametrize(
    "block",
    [
        {"type": "video", "mime_type": "video/mp4", "base64": "AAAA"},
        {"type": "video", "url": "https://example.com/a.mp4"},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
        {"type": "input_video", "input_video": {"data": "AAAA"}},
        {"type": "media", "mime_type": "video/webm", "data": "AAAA"},
        {"type": "file", "mime_type": "video/quicktime", "base64": "AAAA"},
    ],
)
@pytest.mark.parametrize("in_result", [False, True])
def test_a_video_is_neither_a_file_nor_a_picture(block: dict[str, Any], in_result: bool) -> None:
    """In whichever shape it is sent, and also where a tool shows it."""
    message: Any = (
        ToolMessage([block], tool_call_id="1") if in_result else HumanMessage([{"type": "text", "text": "Watch."}, block])
    )
    signals = HistoryReader().read([HumanMessage("Look."), message]).signals(0, 0)

    assert (signals.video, signals.files, signals.images, signals.audio) == (1, 0, 0, 0)
    assert signals.tokens > 1000


def test_a_message_that_is_rewritten_between_reading_and_keeping_is_read_again() -> None:
    """The rule of a user's own kind runs in between, and sees the messages themselves."""
    reader, messages = HistoryReader(), agent_thread(3)
    history = reader.read(messages)
    messages[-1].content = "failed " * 2000
    reader.keep(history, messages)
    assert reader.read(messages).signals(0, 0).tokens == seen(messages).tokens
