"""The semantic cache answers a paraphrase, and never another question."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from question_pairs import all_pairs

from langroute.cache import ResponseCache, cache_namespace
from langroute.cache.calibration import Calibration
from langroute.cache.guard import SAME, judge
from langroute.cache.semantic import SemanticCache, says_the_same
from langroute.cache.wording import wording
from langroute.core.errors import ConfigurationError, DegradedWarning
from langroute.hosts.chat_model import ChatRouter
from langroute.testing import ScriptedModel

# The guard -----------------------------------------------------------------------------------------------------------


def test_the_guard_on_two_thousand_pairs() -> None:
    """At most 0.5 % of the different ones are taken for the same, and at least 35 % of the paraphrases are."""
    pairs = all_pairs()
    assert len(pairs) >= 2000
    kinds = {pair.kind for pair in pairs if not pair.same}
    assert kinds >= {"reversal", "negation", "number", "date", "unit", "name", "currency", "language", "opposite"}
    different, same = [pair for pair in pairs if not pair.same], [pair for pair in pairs if pair.same]
    assert min(len(different), len(same)) >= 1000
    wrong = [pair for pair in different if judge(pair.a, pair.b) == SAME]
    found = [pair for pair in same if judge(pair.a, pair.b) == SAME]
    assert len(wrong) <= 0.005 * len(different), wrong
    assert len(found) >= 0.35 * len(same), Counter(pair.kind for pair in found)


def test_the_guard_on_pairs_that_people_judged(shared: Path) -> None:
    """At most 1 % of the different ones, at least 25 % of the same ones."""
    with gzip.open(shared / "pairs" / "sick_train.jsonl.gz", "rt") as lines:
        pairs = [json.loads(line) for line in lines]
    different, same = [pair for pair in pairs if not pair["same"]], [pair for pair in pairs if pair["same"]]
    assert sum(judge(pair["a"], pair["b"]) == SAME for pair in different) <= 0.01 * len(different)
    assert sum(judge(pair["a"], pair["b"]) == SAME for pair in same) >= 0.25 * len(same)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it -5 degrees in Oslo?", "Is it 5 degrees in Oslo?"),
        ("What does IT do?", "What does it do?"),
        ("Can you delete my account?", "Can I delete my account?"),
        ("Delete the files.", "Delete the file."),
        ("What is the balance of account 12-34?", "What is the balance of account 12-43?"),
        ("Who was the first person to fly?", "Who is the first person to fly?"),
        ("Which is cheaper, A or B?", "Which is cheaper, A or C?"),
        ("What is in `a.py`?", "What is in `A.py`?"),
        ("Is 1.50 more than 1.5?", "Is 1.05 more than 1.5?"),
        ("Do all birds fly?", "Do not all birds fly?"),
        ("Wo ist der Bahnhof?", "Wo war der Bahnhof?"),
        ("Wie komme ich nach Köln?", "Wie komme ich aus Köln?"),
        ("", ""),
        ("???", "!!!"),
        ("C# or C?", "C or C#?"),
        ("Turn the light on.", "Turn the light off."),
        ("Which dogs bite?", "Do dogs bite?"),
        ("Did he sleep well?", "Did he sleep?"),
        ("Is the shop open now?", "Is the shop open?"),
        ("Is it safe here?", "Is it safe there?"),
        ("Who can I ask?", "Can I ask?"),
        ("What was paid then?", "What was paid now?"),
        ("Tell us the tax.", "Tell US the tax."),
    ],
)
def test_nearly_the_same_words_are_not_the_same_question(one: str, other: str) -> None:
    assert judge(one, other) != SAME
    assert judge(other, one) != SAME


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What's the capital of France?", "Hi! Could you tell me what France's capital is, please?"),
        ("How do I sort a list in Python?", "In Python, how can I sort a list?"),
        ("How much does the ticket cost?", "what is the price of the ticket"),
        ("Is the letter written by a friend?", "Is the letter written by a friend?"),
        ("Why can't I log in?", "why cannot I log in"),
        ("Wo ist der Bahnhof?", "wo ist der bahnhof"),
        ("1,000 dollars in euros?", "1000 USD in EUR?"),
        ("Où est la gare ?", "où est la gare"),
    ],
)
def test_the_same_question_in_other_words(one: str, other: str) -> None:
    assert judge(one, other) == SAME


def test_wording_takes_whatever_comes() -> None:
    chance, said = random.Random(3), 0
    for _ in range(3000):
        text = "".join(chance.choice("aA1 .,?'’\"`-_/\\\x00\x01€%\n漢éß#") for _ in range(chance.randint(0, 40)))
        words = wording(text)
        assert isinstance(words, tuple)
        assert all(isinstance(word, str) and word for word in words), (text, words)
        assert words == wording(f"  {text}\n"), text
        said += bool(words)
        # Nothing is a question that has no words, and every other one is the same as itself.
        assert (judge(text, text) == SAME) == bool(words), text
    assert said > 2000


# The calibration -----------------------------------------------------------------------------------------------------


def stream(seed: int, max_error: float, length: int = 20_000) -> tuple[int, int]:
    """Questions of eight neighbourhoods, each with its own share of wrong answers; what was given, and what of it was wrong."""
    chance = random.Random(seed)
    shares = [0.0, 0.001, 0.003, 0.012, 0.02, 0.05, 0.2, 0.6]
    calibration = Calibration(max_error)
    given = wrong = 0
    for _ in range(length):
        cell = chance.randrange(len(shares))
        bad = chance.random() < shares[cell]
        if calibration.trusts(cell) and chance.random() >= 0.02:
            given += 1
            wrong += bad
        else:
            # A miss, or the model asked anyway: now it is seen whether the stored answer would have been right.
            calibration.learn(cell, right=not bad)
    return given, wrong


def test_the_error_stays_under_its_limit_in_95_of_100_streams() -> None:
    results = [stream(seed, 0.01) for seed in range(100)]
    assert sum(wrong <= 0.01 * given for given, wrong in results) >= 95
    assert min(given for given, _ in results) > 1000


def test_trust_is_lost_when_things_change() -> None:
    calibration = Calibration(0.01)
    for _ in range(5000):
        calibration.learn("cell", right=True)
    assert calibration.trusts("cell")
    for _ in range(6):
        calibration.learn("cell", right=False)
    assert not calibration.trusts("cell")
    assert calibration.seen("cell") == (5000, 6)


def test_reports_end_the_trust_that_the_guard_began_with() -> None:
    calibration = Calibration(0.01)
    assert calibration.trusts("same", trusted=True)
    for _ in range(3):
        calibration.learn("same", right=False, trusted=True)
    assert not calibration.trusts("same", trusted=True)
    with pytest.raises(ConfigurationError):
        Calibration(0)


# In a router ---------------------------------------------------------------------------------------------------------


def echo(answers: dict[str, str] | None = None) -> ScriptedModel:
    """A model that says which question it was asked."""
    return ScriptedModel(lambda messages: (answers or {}).get(messages[-1].content, f"Answer to: {messages[-1].content}"))


def router(store: Any = None, **semantic: Any) -> tuple[ChatRouter, ScriptedModel]:
    scripted = semantic.pop("model", None) or echo()
    semantic.setdefault("explore", 0.0)
    isolate = semantic.pop("isolate", ())
    cache = ResponseCache(store, semantic=SemanticCache(**semantic), isolate=isolate)
    return ChatRouter({"cheap": scripted}, response_cache=cache, prices={"cheap": {"input": 1, "output": 1}}), scripted


def said(message: Any) -> str:
    return str(message.response_metadata["langroute"]["cache"])


async def test_other_words_get_the_stored_answer() -> None:
    model, _ = router()
    model.invoke("What is the capital of France?")
    hit = model.invoke("hi, could you tell me what the capital of France is?")
    assert (said(hit), hit.content) == ("semantic_hit", "Answer to: What is the capital of France?")
    assert hit.response_metadata["langroute"]["saved"]["total_tokens"] > 0
    assert said(await model.ainvoke("what's the capital of France")) == "semantic_hit"
    assert said(list(model.stream("France's capital, what is it")).pop()) in ("miss", "semantic_hit")
    assert said(model.invoke("What is the capital of Spain?")) == "miss"
    assert said(model.invoke("What was the capital of France?")) == "miss"


@pytest.mark.parametrize(
    "config",
    [
        {"metadata": {"langroute_step_kind": "chat"}},
        {"configurable": {"langroute_cache": "off"}},
        {"configurable": {"langroute_cache_namespace": "other"}},
        {"configurable": {"langroute_cache": "refresh"}},
    ],
)
def test_it_is_only_for_what_was_asked_of_it(config: Any) -> None:
    model, _ = router()
    model.invoke("What is the capital of France?")
    assert said(model.invoke("what's the capital of France?", config)) != "semantic_hit"


def test_everything_but_the_question_must_be_exactly_the_same() -> None:
    model, _ = router()
    first, again = HumanMessage("What is the capital of France?"), HumanMessage("what's the capital of France?")
    model.invoke([SystemMessage("Be brief."), first])
    assert said(model.invoke([SystemMessage("Be brief."), again])) == "semantic_hit"
    assert said(model.invoke([SystemMessage("Be rude."), again])) == "miss"
    assert said(model.invoke([HumanMessage("Hello."), AIMessage("Hi."), again])) == "miss"
    assert said(model.invoke([SystemMessage("Be brief."), again], seed=7)) == "miss"
    tool = {"type": "function", "function": {"name": "t", "parameters": {}}}
    given = {"metadata": {"langroute_step_kind": "answer"}}
    model.bind_tools([tool]).invoke([first], given)
    assert said(model.bind_tools([tool]).invoke([again], given)) == "miss"


def test_steps_that_act_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="actions"):
        SemanticCache(kinds=["act"])
    with pytest.raises(ConfigurationError, match="share"):
        SemanticCache(explore=2)


def test_tenants_never_meet_in_other_words() -> None:
    model, _ = router(isolate=["tenant_id"])
    with cache_namespace(tenant_id="a"):
        model.invoke("What is the price of the blue lamp?")
        assert said(model.invoke("what's the price of the blue lamp?")) == "semantic_hit"
    with cache_namespace(tenant_id="b"):
        assert said(model.invoke("hi, what's the price of the blue lamp?")) == "miss"
    assert said(model.invoke("what's the price of the blue lamp?")) == "bypass: no tenant_id"


def test_a_wrong_hit_is_withdrawn_and_three_of_them_end_the_trust() -> None:
    model, _ = router()
    cache = model.response_cache
    for place in ("France", "Spain", "Italy"):
        model.invoke(f"What is the capital of {place}?")
        hit = model.invoke(f"what's the capital of {place}?")
        assert said(hit) == "semantic_hit"
        assert cache.report_bad_hit(hit.response_metadata["langroute"]["decision_id"])
        assert said(model.invoke(f"what is the capital of {place}")) == "miss"
    model.invoke("What is the capital of Peru?")
    assert said(model.invoke("what's the capital of Peru?")) == "miss"


def test_the_model_is_asked_anyway_now_and_then() -> None:
    model, scripted = router(explore=1.0, model=ScriptedModel("Paris."))
    model.invoke("What is the capital of France?")
    for _ in range(3):
        model.response_cache.purge(everything=False, older_than_seconds=1e9)
        model.invoke("what's the capital of France?", {"configurable": {"langroute_cache_max_age": -1}})
    seen = model.response_cache.semantic.calibration.seen(("answer", "same", 20))
    assert seen[1] == 0
    assert len(scripted.calls) >= 2


def test_undecided_questions_become_hits_once_they_have_proved_right() -> None:
    """Near questions are misses; each shows whether the stored answer would have done, and in the end it does."""
    model, _ = router(max_error=0.2, model=ScriptedModel("The same for all."))
    model.invoke("Please list every open ticket of the payments team for Ann")
    outcomes = [said(model.invoke(f"Please list every open ticket of the payments team for Ann {name}")) for name in NAMES]
    assert outcomes[0] == "miss"
    assert "semantic_hit" in outcomes
    wrong, _ = router(max_error=0.2)
    wrong.invoke("Please list every open ticket of the payments team for Ann")
    assert {said(wrong.invoke(f"Please list every open ticket of the payments team for Ann {name}")) for name in NAMES} == {"miss"}


NAMES = ["".join(random.Random(seed).choices("abcdefghij", k=6)) for seed in range(120)]


def test_other_processes_find_the_question_too(tmp_path: Path) -> None:
    first, _ = router(tmp_path / "c.db")
    first.invoke("What is the capital of France?")
    second, scripted = router(tmp_path / "c.db")
    assert said(second.invoke("what's the capital of France?")) == "semantic_hit"
    assert scripted.calls == []
    first.response_cache.purge(everything=True)
    assert said(second.invoke("hello, what's the capital of France?")) == "miss"


class Broken(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise ConnectionError("the embedding service is down")

    def embed_query(self, text: str) -> list[float]:
        raise ConnectionError("the embedding service is down")


def test_an_embedding_service_that_is_down_costs_no_answer() -> None:
    model, _ = router(embeddings=Broken())
    with pytest.warns(DegradedWarning):
        assert model.invoke("What is the capital of France?").content
    assert model.invoke("What is the capital of Spain?").content


class Counting(Embeddings):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.texts.append(text)
        return [float(len(text)), 1.0, 0.0]


async def test_only_the_last_question_is_embedded() -> None:
    embeddings = Counting()
    model, _ = router(embeddings=embeddings)
    await model.ainvoke([SystemMessage("A long system prompt."), HumanMessage("What is the capital of France?")])
    assert embeddings.texts == ["what is the capital of france?"]


async def test_a_crowd_with_the_same_words_makes_one_call() -> None:
    model, scripted = router()
    model.invoke("What is the capital of France?")
    answers = await asyncio.gather(*(model.ainvoke("what's the capital of France?") for _ in range(100)))
    assert {said(answer) for answer in answers} == {"semantic_hit"}
    assert len({answer.id for answer in answers}) == 100
    assert len(scripted.calls) == 1


def test_memory_of_questions_is_bounded() -> None:
    model, _ = router(max_questions=50)
    for number in range(200):
        model.invoke(f"What is in box {number}?")
    # The latest first, because a question that is not known is kept and pushes another one out.
    told = [said(model.invoke(f"tell me, what is in box {number}")) for number in reversed(range(200))]
    assert told[0] == "semantic_hit"
    known = told.count("semantic_hit")
    assert 25 <= known <= 50
    assert told[:known] == ["semantic_hit"] * known
    assert told[known:] == ["miss"] * (200 - known)


def test_isolation_of_many_tenants_in_other_words() -> None:
    model, _ = router(isolate=["tenant_id"], model=ScriptedModel(lambda messages: "no secret"))
    cache, scripted = model.response_cache, model.routes["cheap"].model
    chance = random.Random(5)
    for _ in range(1500):
        tenant = str(chance.randrange(30))
        scripted.replies = [f"secret of {tenant}"]
        asked = chance.choice(
            ["What is the code of door {}?", "hi, what's the code of door {}", "Could you tell me the code of door {}?"]
        )
        answer = model.invoke(asked.format(chance.randrange(4)), {"metadata": {"tenant_id": tenant}})
        assert answer.content == f"secret of {tenant}"
    assert cache.stats().semantic_hits > 100


def test_answers_are_compared_by_what_they_say() -> None:
    assert says_the_same(AIMessage("Paris"), AIMessage("paris."))
    assert not says_the_same(AIMessage("Paris"), AIMessage("Lyon"))
    call = {"name": "t", "args": {"a": 1}, "id": "1"}
    assert says_the_same(AIMessage("", tool_calls=[call]), AIMessage("", tool_calls=[{**call, "id": "2"}]))
    assert not says_the_same(AIMessage("", tool_calls=[call]), AIMessage("", tool_calls=[{**call, "args": {"a": 2}}]))
