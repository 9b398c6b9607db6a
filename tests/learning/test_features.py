"""Requests as numbers: the same everywhere, alone or in a batch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.estimators.dense_features import DENSE
from langroute.estimators.documents import FAILED, Document, document_of
from langroute.estimators.features import featurize, word_hashes
from langroute.estimators.vocabulary import HashedVocabulary

TEXTS = [
    "Define entropy.",
    "Which of the following is true?\nA. one\nB. two hundred\nC. 3,000 %",
    "",
    "Füge 12 und 13 hinzu, 你好 – fertig?",
    "word " * 3000,
]


def documents() -> list[Document]:
    return [Document(text, "it failed", "add numbers", ("task=sums",)) for text in TEXTS]


def test_a_request_alone_gives_the_numbers_it_gives_among_others() -> None:
    vocabulary = HashedVocabulary(word_hashes(documents()[:3])[0], [1])
    together = featurize(documents(), vocabulary)

    for place, document in enumerate(documents()):
        alone = featurize([document], vocabulary)
        entries = slice(together.starts[place], together.starts[place + 1])
        np.testing.assert_array_equal(alone.buckets, together.buckets[entries])
        np.testing.assert_array_equal(alone.counts, together.counts[entries])
        np.testing.assert_array_equal(alone.dense[0], together.dense[place])


@given(st.lists(st.text("\nAJK.:) x1é漢\0\ud800", max_size=30), min_size=2, max_size=8))
def test_lettered_choices_are_counted_alike_alone_and_among_others(texts: list[str]) -> None:
    many = [Document(text, "\nA. seen", "\nB. tool" * (len(text) % 2)) for text in texts]
    vocabulary = HashedVocabulary(word_hashes(many)[0])

    together = featurize(many, vocabulary).dense

    np.testing.assert_array_equal(np.concatenate([featurize([document], vocabulary).dense for document in many]), together)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("如何重置密码", "如 何 重 置 密 码"),
        ("请问password怎么改", "请 问 password 怎 么 改"),
        ("パスワードを再設定", "パ ス ワ ー ド を 再 設 定"),
        ("한국어 단어 naïve café", "한국어 단어 naïve café"),
    ],
)
def test_scripts_without_spaces_have_words_too(text: str, words: str) -> None:
    """Chinese and Japanese by the character; what has spaces is left whole."""
    np.testing.assert_array_equal(word_hashes([Document(text)])[0], word_hashes([Document(words)])[0])


def test_what_is_asked_in_chinese_can_be_told_apart() -> None:
    """Questions that begin and end differently share what they are about."""
    vocabulary = HashedVocabulary(word_hashes([Document("如何重置密码?")])[0])

    shared = [len(featurize([Document(text)], vocabulary).buckets) for text in ("我忘了密码", "天气很好")]

    assert shared == [3, 0]


def test_hashes_are_the_same_in_every_process() -> None:
    """Python's own `hash` is salted; a fitted policy would forget everything."""
    code = (
        "from langroute.estimators.documents import Document;"
        "from langroute.estimators.features import word_hashes;"
        "print(word_hashes([Document('Define entropy, please.')])[0].sum())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert said == {f"{word_hashes([Document('Define entropy, please.')])[0].sum()}\n"}


def test_case_does_not_matter_and_order_does() -> None:
    def of(text: str) -> set[int]:
        return set(word_hashes([Document(text)])[0].tolist())

    assert of("Dog bites MAN") == of("dog bites man")
    assert of("dog bites man") != of("man bites dog")


def test_the_same_word_elsewhere_is_another_word() -> None:
    said, seen = word_hashes([Document("error")])[0], word_hashes([Document("", "error")])[0]

    assert said[0] != seen[0]


def test_langchain_messages_read_like_recorded_ones() -> None:
    recorded = [
        {"role": "system", "content": "You add."},
        {"role": "user", "content": "Add 1 and 2."},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "3"},
    ]
    live = [
        SystemMessage("You add."),
        HumanMessage([{"type": "text", "text": "Add 1 and 2."}]),
        AIMessage("", tool_calls=[{"name": "add", "args": {}, "id": "1"}]),
        ToolMessage("3", tool_call_id="1"),
    ]

    assert document_of(live) == document_of(recorded)
    assert document_of(live).seen == "3"


def test_choices_on_lines_of_their_own_are_counted() -> None:
    dense = featurize([Document(TEXTS[1])], HashedVocabulary(word_hashes([Document("")])[0])).dense[0]

    assert dense[DENSE.index("options")] == 3


def test_a_failed_tool_result_is_a_label_alike_in_traffic_and_in_a_live_step() -> None:
    call = {"name": "run", "args": {}, "id": "1"}
    live = [HumanMessage("Run it."), AIMessage("", tool_calls=[call]), ToolMessage("No.", tool_call_id="1", status="error")]
    recorded = [
        {"role": "user", "content": "Run it."},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "No.", "status": "error"},
    ]
    fine = [*recorded[:2], {"role": "tool", "content": "Yes."}]

    assert document_of(live, labels=("task=ops",)) == document_of(recorded, labels=("task=ops",))
    assert document_of(live, labels=("task=ops",)).labels == ("task=ops", FAILED)
    assert document_of(fine).labels == ()
    # Once it was answered, the failure is history.
    assert document_of([*recorded, {"role": "user", "content": "Again."}]).labels == ()
