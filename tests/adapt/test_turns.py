"""Where every message stands, message by message: results behind their calls, media beside them, nobody empty."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.adapt import Target, adapt

PNG = "iVBORw0KGgo="
IMAGE = {"type": "image", "base64": PNG, "mime_type": "image/png"}
TEXT = {"type": "text", "text": "A chart."}
FORMS = {
    "anthropic": Target("anthropic", "anthropic", "claude-opus-4-6"),
    "openai-chat": Target("openai-chat", "openai", "gpt-4.1"),
    "openai-responses": Target("openai-responses", "openai", "gpt-4.1"),
    "gemini": Target("gemini", "google_genai", "gemini-2.5-pro"),
    "mistral": Target("openai-compatible", "mistralai", "mistral-large"),
    "openai-compatible": Target("openai-compatible", "own", "own"),
}
NO_MEDIA_IN_RESULTS = ("openai-chat", "mistral", "openai-compatible")


def calls(*ids: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": f"look_{n}", "args": {}, "id": call_id} for n, call_id in enumerate(ids)])


def asked(*after: BaseMessage, ids: tuple[str, ...] = ("abcdefgh1",)) -> list[BaseMessage]:
    """A conversation in which a model called tools, and what came then; the ids are ones that every form takes."""
    return [HumanMessage("Look."), calls(*ids), *after]


def adapted(form: str, history: list[BaseMessage]) -> list[Any]:
    return list(adapt(history, FORMS[form]).messages)


def said(messages: list[Any]) -> list[tuple[str, Any]]:
    return [(message.type, message.content) for message in messages]


@pytest.mark.parametrize("form", NO_MEDIA_IN_RESULTS)
def test_a_result_that_is_an_image_only_says_where_it_is_shown(form: str) -> None:
    """An empty result would be refused, and would say that nothing was found."""
    _, _, result, *between, shown = adapted(form, asked(ToolMessage([IMAGE], tool_call_id="abcdefgh1")))

    assert result.content == "(shown below)"
    assert [message.content for message in between] == (["OK."] if form == "mistral" else [])
    assert isinstance(shown, HumanMessage)
    assert PNG in repr(shown.content)
    assert shown.content[0] == {"type": "text", "text": "(from the message before)"}


@pytest.mark.parametrize("form", NO_MEDIA_IN_RESULTS)
def test_the_words_beside_an_image_stay_in_the_result(form: str) -> None:
    *_, result = [m for m in adapted(form, asked(ToolMessage([TEXT, IMAGE, TEXT], tool_call_id="abcdefgh1"))) if m.type == "tool"]

    assert result.content == "A chart.\nA chart."


@pytest.mark.parametrize("form", ["mistral", "openai-compatible"])
def test_blocks_of_a_result_become_text_where_a_result_is_text(form: str) -> None:
    assert adapted(form, asked(ToolMessage([TEXT, TEXT], tool_call_id="abcdefgh1")))[2].content == "A chart.\nA chart."
    assert adapted(form, asked(ToolMessage([], tool_call_id="abcdefgh1")))[2].content == "(no text)"


@pytest.mark.parametrize("form", ["anthropic", "openai-responses", "gemini"])
def test_an_image_stays_in_the_result_where_it_may(form: str) -> None:
    found = adapted(form, asked(ToolMessage([TEXT, IMAGE], tool_call_id="abcdefgh1")))

    assert [message.type for message in found] == ["human", "ai", "tool"]
    assert PNG in repr(found[2].content)


def test_a_result_that_needs_no_change_is_the_very_same() -> None:
    for form in FORMS:
        history = asked(ToolMessage("found", tool_call_id="abcdefgh1"))
        assert adapted(form, history)[2] is history[2]


@pytest.mark.parametrize("form", FORMS)
def test_a_call_without_a_result_gets_one_that_says_so(form: str) -> None:
    """Each of them, under its own name, before anybody else speaks."""
    history = asked(
        ToolMessage("found", tool_call_id="abcdefgh2"), HumanMessage("Well?"), ids=("abcdefgh1", "abcdefgh2", "abcdefgh3")
    )
    found = adapted(form, history)
    results = [message for message in found if isinstance(message, ToolMessage)]

    assert [(r.tool_call_id, r.status) for r in results] == [
        ("abcdefgh2", "success"),
        ("abcdefgh1", "error"),
        ("abcdefgh3", "error"),
    ]
    assert [r.content for r in results[1:]] == ["There is no result: the call was not carried out."] * 2
    assert [r.name for r in results[1:]] == ["look_0", "look_2"]
    assert found[-1].content == "Well?"
    assert [m.content for m in found[5:-1]] == (["OK."] if form == "mistral" else [])


@pytest.mark.parametrize("form", FORMS)
def test_who_speaks_before_the_result_is_there_is_heard_after_it(form: str) -> None:
    found = adapted(form, asked(HumanMessage("Hurry."), ToolMessage("found", tool_call_id="abcdefgh1")))

    assert [message.type for message in found if message.content != "OK."] == ["human", "ai", "tool", "human"]


@pytest.mark.parametrize("form", FORMS)
def test_a_result_whose_call_is_gone_is_told_by_the_user(form: str) -> None:
    lone = adapted(form, [HumanMessage("Look."), ToolMessage("found", tool_call_id="x", name="search"), AIMessage("Fine.")])
    assert said(lone)[1] == ("human", "Result of search:\nfound")
    nameless = adapted(form, [HumanMessage("Look."), ToolMessage([TEXT], tool_call_id="x")])
    assert nameless[1].content[0] == {"type": "text", "text": "Result of a tool:"}
    assert "A chart." in repr(nameless[1].content)
    again = adapted(form, asked(*[ToolMessage(word, tool_call_id="abcdefgh1") for word in ("one", "two")]))
    assert [message.content for message in again if message.content != "OK."][2:] == ["one", "Result of a tool:\ntwo"]


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_ones_that_the_target_takes_and_stay_pairs(form: str) -> None:
    """Odd signs, too long, none, and the same number in every answer."""
    history: list[BaseMessage] = [HumanMessage("Look.")]
    for call_id in ("functions.look:0", "x" * 80, "0", "0"):
        history += [calls(call_id), ToolMessage(f"found {call_id}", tool_call_id=call_id)]
    found = adapted(form, history)
    made = [call["id"] for message in found if isinstance(message, AIMessage) for call in message.tool_calls]
    answered = [message.tool_call_id for message in found if isinstance(message, ToolMessage)]

    assert made == answered
    assert len(made) == 4
    width = (9, 9) if form == "mistral" else (1, 40)
    assert all(width[0] <= len(one) <= width[1] and one.replace("_", "").replace("-", "").isalnum() for one in made)
    # Where an id may be used once only, a server that counts from 0 in every answer is told apart by the place.
    assert len(set(made)) == (4 if form in ("anthropic", "gemini", "openai-responses") else 3)
    assert adapted(form, history) == found


@pytest.mark.parametrize("form", FORMS)
def test_an_id_is_the_same_however_far_the_history_has_grown(form: str) -> None:
    """A prompt cache reads from the beginning."""
    history = [
        *asked(ToolMessage("a", tool_call_id="0"), ids=("0",)),
        calls("0"),
        ToolMessage("b", tool_call_id="0"),
        AIMessage("Fine."),
    ]
    whole = adapted(form, history)

    for end in range(2, len(history) + 1):
        part = adapt(history[:end], Target(FORMS[form].api, FORMS[form].provider, FORMS[form].model)).messages
        complete = [message for message in part if getattr(message, "status", "") != "error"]
        assert list(complete) == whole[: len(complete)]


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("anthropic", "<system>\nBe brief.\n</system>"),
        ("gemini", "<system>\nBe brief.\n</system>"),
        ("mistral", "<system>\nBe brief.\n</system>"),
        ("openai-compatible", "<system>\nBe brief.\n</system>"),
        ("openai-chat", None),
        ("openai-responses", None),
    ],
)
def test_a_system_message_in_the_middle_is_the_users_where_only_one_may_lead(form: str, content: str | None) -> None:
    found = adapted(form, [SystemMessage("You help."), HumanMessage("Hi."), SystemMessage("Be brief."), HumanMessage("So?")])

    assert said(found)[0] == ("system", "You help.")
    assert said(found)[2] == (("system", "Be brief.") if content is None else ("human", content))
    blocks = [HumanMessage("Hi."), SystemMessage([TEXT]), HumanMessage("So?")]
    if content is not None:
        assert adapted(form, blocks)[1].content == [
            {"type": "text", "text": "<system>"},
            TEXT,
            {"type": "text", "text": "</system>"},
        ]


@pytest.mark.parametrize(
    ("history", "stands"),
    [
        ([HumanMessage("Hi."), SystemMessage("Be brief."), AIMessage("Hello."), HumanMessage("So?")], True),
        ([*asked(ToolMessage("found", tool_call_id="abcdefgh1")), SystemMessage("Be brief.")], True),
        ([HumanMessage("Hi."), SystemMessage("Be brief."), HumanMessage("So?")], False),
        ([HumanMessage("Hi."), AIMessage("Hello."), SystemMessage("Be brief."), HumanMessage("So?")], False),
    ],
)
def test_a_claude_that_takes_them_has_them_between_a_user_and_its_own_answer(history: list[BaseMessage], stands: bool) -> None:
    target = Target("anthropic", "anthropic", "claude-opus-5", systems_anywhere=True)
    found = adapt(history, target).messages
    spoken = next(message for message in found if "Be brief." in message.content)

    assert isinstance(spoken, SystemMessage if stands else HumanMessage)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nothing", ["", "  \n", [], [{"type": "text", "text": " "}]])
def test_nobody_is_sent_an_empty_message_who_refuses_one(form: str, nothing: Any) -> None:
    found = adapted(form, [SystemMessage(nothing), HumanMessage(nothing), AIMessage("Yes?"), HumanMessage("Hi.")])

    if form in ("anthropic", "gemini", "mistral"):
        assert said(found)[:2] == [("human", "(no text)"), ("ai", "Yes?")]
    elif nothing == []:
        # An empty list of blocks is refused by everybody.
        assert said(found)[:2] == [("human", "(no text)"), ("ai", "Yes?")]
    else:
        assert [message.type for message in found] == ["system", "human", "ai", "human"]


@pytest.mark.parametrize("form", FORMS)
def test_an_image_alone_is_no_empty_message(form: str) -> None:
    assert PNG in repr(adapted(form, [HumanMessage([IMAGE]), AIMessage("A chart.")])[0].content)


def test_the_result_of_a_tool_of_openais_own_stays_behind_its_call() -> None:
    """It answers a block, and none of the message's tool calls."""
    item = {"type": "computer_call", "id": "cu_1", "call_id": "c1", "action": {"type": "screenshot"}, "status": "completed"}
    answer = AIMessage([item], response_metadata={"model_provider": "openai", "model_name": "gpt-4.1"})
    shot = ToolMessage(
        [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}],
        tool_call_id="c1",
        additional_kwargs={"type": "computer_call_output"},
    )

    found = adapted("openai-responses", [HumanMessage("Look."), answer, HumanMessage("And?"), shot])

    assert [message.type for message in found] == ["human", "ai", "tool", "human"]


def test_references_to_tools_are_a_result_as_they_are() -> None:
    """Anthropic's tool search finds tools, which its model is to read by their names."""
    blocks = [{"type": "tool_reference", "tool_name": "weather"}]

    found = adapted("anthropic", asked(ToolMessage(list(blocks), tool_call_id="abcdefgh1")))

    assert found[-1].content == blocks


def test_bedrock_is_given_a_word_beside_a_file_and_beside_nothing_else() -> None:
    """It refuses a document alone, and takes an image alone."""
    paper = {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"}

    def kinds(*blocks: Any) -> list[str]:
        (message,) = adapt([HumanMessage(list(blocks))], Target("bedrock", "amazon_bedrock", "us.amazon.nova-pro-v1:0")).messages
        return [str(block.get("type")) for block in message.content]

    assert kinds(paper) == ["text", *kinds(paper)[1:]]
    assert len(kinds(paper)) == 2
    assert kinds(TEXT, paper) == ["text", *kinds(paper)[1:]]
    assert len(kinds(IMAGE)) == 1
    assert "text" not in kinds(IMAGE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("role", "kind"),
    [("system", SystemMessage), ("Developer", SystemMessage), ("user", HumanMessage), ("somebody", HumanMessage)],
)
def test_a_role_that_is_said_in_words_is_the_kind_of_message_that_it_names(form: str, role: str, kind: type[BaseMessage]) -> None:
    first, *_ = adapted(form, [ChatMessage(role=role, content="Be brief.", id="m1"), HumanMessage("Hi.")])

    assert (type(first), first.content, first.id) == (kind, "Be brief.", "m1")


def test_a_name_has_only_signs_that_openai_takes() -> None:
    """Elsewhere it stays as it is."""
    history = [HumanMessage("Hi.", name="Ann O'Neil <x>"), HumanMessage("Ho.", name="Bob"), HumanMessage("He.")]
    for form in FORMS:
        first, second, third = (message.name for message in adapted(form, history))
        assert (second, third) == ("Bob", None)
        assert (first == "Ann O'Neil <x>") == (form not in ("openai-chat", "openai-compatible"))


def test_an_answer_that_says_nothing_is_not_sent() -> None:
    """Neither words nor calls nor sound."""
    for form in FORMS:
        found = adapted(form, [HumanMessage("Hi."), AIMessage(""), HumanMessage("Well?")])
        assert [message.type for message in found] == ["human", "human"]
    spoken = AIMessage("", additional_kwargs={"audio": {"id": "a"}}, response_metadata={"model_provider": "openai"})
    assert adapted("openai-chat", [HumanMessage("Hi."), spoken, HumanMessage("Well?")])[1].type == "ai"
