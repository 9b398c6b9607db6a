"""The estimator that ships: small, quick to say that it has no say, and the same everywhere."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langroute import ChatRouter
from langroute.core.records import TIERS, Request, Signals, Step
from langroute.estimators.documents import Document
from langroute.estimators.store import load_policy_file
from langroute.policies import difficulty
from langroute.policies.difficulty import FOLDER, default_estimator, difficulty_of, is_easy
from langroute.testing import ScriptedModel

EASY = "Which one of these planets is the largest in our solar system: Mars, Jupiter or the Earth?"
QUESTION = "Natalia sold 48 clips in April and half as many in May. How many clips did she sell altogether in April and May?"


def test_it_is_small_and_has_a_card() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 5_000_000
    assert "left out" in (FOLDER / "CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["fix it", "continue", "Prove P != NP", "", "weiter so"])
def test_a_few_words_are_never_easy(text: str) -> None:
    assert not is_easy(Request((HumanMessage(text),), Step("chat")))


def test_on_no_source_left_out_do_easy_questions_lose_as_much_as_others() -> None:
    """What the card says, as the fit that ships has it."""
    facts = load_policy_file(FOLDER).groups[0].facts

    for source, one in facts["left_out"].items():
        assert one["apgr"] > 0.5, source
        assert not one["easy_share"] or one["easy_gap"] < one["gap"], source


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        {"type": "video", "base64": "AAAA", "mime_type": "video/mp4"},
    ],
)
def test_a_question_about_something_that_it_cannot_read_is_not_judged(block: dict[str, str]) -> None:
    router = ChatRouter({tier: ScriptedModel("Yes.") for tier in TIERS})

    decision = router.invoke([HumanMessage([{"type": "text", "text": EASY}, block])]).response_metadata["langroute"]

    assert decision["route"] == "balanced"


@pytest.fixture
def unread() -> Iterator[None]:
    """The estimator as if nobody had asked yet; what was read meanwhile is forgotten."""
    importlib.reload(difficulty)
    yield
    importlib.reload(difficulty)


def test_threads_that_ask_the_first_question_at_once_read_it_once(unread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    together = threading.Barrier(8)

    def loading(folder: Any) -> Any:
        read.append(folder)
        return load_policy_file(folder)

    def ask() -> None:
        together.wait()
        difficulty.default_estimator()

    monkeypatch.setattr(difficulty, "load_policy_file", loading)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read == [FOLDER]


def test_agent_steps_and_other_languages_are_not_judged() -> None:
    history = (HumanMessage(QUESTION), AIMessage(""), ToolMessage("24", tool_call_id="1"))

    assert difficulty_of(Request(history, Step("observe"))) is None
    assert difficulty_of(Request((HumanMessage(QUESTION),), Step("act"))) is None
    assert difficulty_of(Request((HumanMessage(QUESTION),), Step("answer", signals=Signals(language="de")))) is None


def test_a_plain_question_is_judged() -> None:
    found = difficulty_of(Request((HumanMessage(QUESTION),), Step("answer", signals=Signals(language="en"))))

    assert found is not None
    assert 0.5 < found.cheap <= 1
    assert found.gap < 0.4


def test_harder_mathematics_looks_harder_for_cheap_models() -> None:
    hard = (
        "Let $f$ be an entire function such that $|f(z)| \\le |z|^{3/2}$ for all $|z| > 1$. Determine the number of zeros of the "
        "polynomial $x^8 - 4x^5 + x^2 - 1$ inside the unit disc and the Galois group of its splitting field."
    )
    success = default_estimator().estimate([Document(QUESTION), Document(hard)]).success

    assert success[0, 0] > success[1, 0]
    assert np.isfinite(success).all()
