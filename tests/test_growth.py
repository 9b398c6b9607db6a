"""Running time of every regular expression and every reader of untrusted text: it does not grow quadratically with text length."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from growth import BOUNDED_SECONDS, Found, Text, grows_faster, patterns, readers_of, seconds, worst_texts
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.cache.guard import judge
from langroute.cache.semantic import says_the_same
from langroute.cache.wording import LONGEST, wording
from langroute.cli.terminal import printable
from langroute.core.answers import canonical
from langroute.core.records import Attempt, Request, Selection
from langroute.demo.agent import READ, code_in
from langroute.embeddings.hashed import HashedEmbeddings
from langroute.estimators.documents import document_of
from langroute.learning.traffic import parse_exchange
from langroute.providers.failures import classify, retry_after
from langroute.providers.profile import WireRules
from langroute.providers.registry import profiles
from langroute.providers.wire import RULES
from langroute.steps import texts
from langroute.steps.continuations import goes_on
from langroute.steps.inspector import Inspector
from langroute.steps.result_formats import FORMATS
from langroute.steps.tools import failure_of, plain_name, verdict_of_tests
from langroute.testing import ScriptedModel
from langroute.tracking.implicit_feedback import ImplicitFeedback
from langroute.verifiers import Agreement, CodeCompiles, Judge, LogProb, NotEmpty, Structured, ToolCalls
from langroute.verifiers.refusal_words import LANGUAGES, RefusalWords
from langroute.verifiers.refusals import CLAUSE
from langroute.verifiers.refusals import LONGEST as REFUSAL

READS_AT_MOST = {
    "langroute.cache.english.CLOSINGS": LONGEST,
    "langroute.demo.agent._FENCE": READ,
    "langroute.steps.continuations._GO_ON": 80,
    "langroute.verifiers.refusals._QUOTED": REFUSAL,
    "refusals": CLAUSE,
}
"""Patterns that would be slow on long texts, and how much they are ever given."""

MADE = {
    "langroute.adapt.blocks": "held by the module",
    "langroute.cache.english": "held by the module",
    "langroute.core.plain_text": "held by the module",
    "langroute.providers.own_tools": "patterns of the profiles",
    "langroute.providers.wire": "patterns of the profiles",
    "langroute.providers.failures": "phrases alone, of 8,000 characters of an error",
    "langroute.providers.profile": "patterns of the names of models, which the program gives",
    "langroute.steps.results": "made when they are needed",
    "langroute.steps.texts": "made when they are needed",
    "langroute.verifiers.refusals": "made when they are needed",
    "langroute.wire.messages_edits": "patterns of the profiles",
}
"""Where patterns are made of what the source does not tell, and how they are found here all the same."""


def test_no_pattern_takes_time_by_the_square() -> None:
    """New patterns are found by themselves. One that is slow is bounded where it is used, and named above with its bound."""
    found, made = patterns()
    assert {place.partition(":")[0] for place in made} == set(MADE), made
    found += [Found(f"texts: {one.kind}", texts._pattern(one.pattern), frozenset({"search"})) for one in texts._INTENTS]
    found += [
        Found(f"results: {one.tool}", re.compile(pattern, re.MULTILINE), frozenset({"search"}))
        for one in FORMATS
        for pattern in (one.failed, one.passed, one.ran)
        if pattern is not None
    ]
    found += [
        Found("refusals", re.compile(one), frozenset({"search"})) for words in LANGUAGES.values() for one in _patterns_of(words)
    ]
    found += [Found(f"profiles: {one}", re.compile(one), frozenset({use})) for one, use in _patterns_of_profiles()]
    assert len(found) > 100

    slow = []
    for one in found:
        bound = READS_AT_MOST.get(one.name)
        for read in readers_of(one):
            for text in worst_texts(read, _beginnings(one), sizes=(16, 32, 200) if bound is None else (16, 32, 64)):
                said = grows_faster(read, text) if bound is None else _too_long(read, text.of(bound))
                if said is not None:
                    slow.append(f"{one.name}: {said}")
                    break

    assert not slow, "\n".join(slow)


def _patterns_of(words: RefusalWords) -> list[str]:
    return [words.opening, words.unable, words.help, words.deed, words.request, words.persona, words.declines]


def _patterns_of_profiles() -> set[tuple[str, str]]:
    """The patterns of ids, names, tools and models in the wire formats' rules and in what profiles change of them, and how each is used."""
    changes = [vars_of(rules) for rules in RULES.values()]
    for profile in profiles():
        changes += [*profile.wire_changes.values(), *profile.model_wire_changes.values()]
    found = {
        (str(one[name]), "fullmatch")
        for one in changes
        for name in ("tool_id", "tool_name", "own_tools", "refused_betas")
        if one.get(name)
    }
    return found | {(pattern, "search") for one in changes for pattern, _ in one.get("by_model") or ()}


def vars_of(rules: WireRules) -> dict[str, Any]:
    return {one.name: getattr(rules, one.name) for one in fields(rules)}


def _beginnings(found: Found) -> list[str]:
    from growth import beginnings

    return beginnings(found.pattern.pattern)


def _too_long(read: Callable[[str], Any], text: str) -> str | None:
    took = seconds(read, text, 3)
    return None if took < BOUNDED_SECONDS else f"{took:.2f} s for {len(text)} characters"


# Readers --------------------------------------------------------------------------------------------------------------

CALL = {"type": "function", "function": {"name": "say", "parameters": {"properties": {"text": {"type": "string"}}}}}
PERSON = {"type": "object", "properties": {"name": {"type": "string", "pattern": "\\S+@\\S+"}}, "required": ["name"]}
OTHER = Attempt(Selection("other"), AIMessage("42"))


class RefusedError(Exception):
    """What a provider raises."""

    status_code = 400


class Response:
    def __init__(self, header: str) -> None:
        self.headers = {"retry-after": header}


def refused(text: str, header: str | None = None) -> RefusedError:
    error = RefusedError(text)
    if header is not None:
        error.response = Response(header)  # type: ignore[attr-defined]
    return error


def answered(verifier: Any, **request: Any) -> Callable[[str], Any]:
    return lambda text: verifier.verify(Request("Hi.", **request), Attempt(Selection("small"), AIMessage(text)))


def called(text: str) -> Any:
    call = {"name": "say", "args": {"text": text, text: [text]}, "id": "1", "type": "tool_call"}
    return ToolCalls().verify(Request("Hi.", tools=(CALL,)), Attempt(Selection("small"), AIMessage("", tool_calls=[call])))


def conversation(text: str) -> list[Any]:
    call = {"name": "shell", "args": {"command": text[:100]}, "id": "1", "type": "tool_call"}
    return [
        SystemMessage(text),
        HumanMessage(text),
        AIMessage(text, tool_calls=[call]),
        ToolMessage(text, tool_call_id="1"),
        AIMessage(text),
        HumanMessage(text),
    ]


def logged(text: str) -> Any:
    row = {
        "id": text,
        "messages": [{"role": "user", "content": text}],
        "outcomes": {"a": {"score": 1, "input_tokens": 1, "output_tokens": 1}},
    }
    return parse_exchange({**row, "task": text, "step": {"node": text}})


READERS: dict[str, Callable[[str], Any]] = {
    "a step": lambda text: Inspector().inspect(conversation(text)),
    "a text": texts.facts_of,
    "what a text asks for": texts.intent_of,
    "whether it goes on": goes_on,
    "a result": lambda text: failure_of("success", text, "run"),
    "a result of no known tool": lambda text: failure_of("success", text),
    "a result of tests": lambda text: verdict_of_tests("success", text, "run", {"command": text}),
    "a tool's name": plain_name,
    "a question's wording": wording,
    "two questions": lambda text: judge(text, f"{text} x"),
    "two answers": lambda text: says_the_same(AIMessage(text), AIMessage(f"{text} x")),
    "an answer's form": lambda text: canonical(Attempt(Selection("a"), AIMessage(text))),
    "Agreement": lambda text: Agreement().verify(Request("?"), Attempt(Selection("small"), AIMessage(text)), [OTHER]),
    "NotEmpty": answered(NotEmpty()),
    "LogProb": answered(LogProb()),
    "Structured, as text": answered(Structured(), response_schema=PERSON),
    "Structured, as a value": lambda text: Structured().verify(
        Request("?", response_schema=PERSON), Attempt(Selection("small"), AIMessage(""), parsed={"name": text, text: text})
    ),
    "ToolCalls": called,
    "CodeCompiles": answered(CodeCompiles()),
    "CodeCompiles, fenced": lambda text: answered(CodeCompiles())(f"```python\n{text}\n```"),
    "CodeCompiles, JSON": lambda text: answered(CodeCompiles())(f"```json\n{text}\n```"),
    "CodeCompiles, another language": lambda text: answered(CodeCompiles())(f"```go\n{text}\n```"),
    "a judge's verdict": lambda text: answered(Judge(ScriptedModel(text), price={"input": 1, "output": 1}))("42"),
    "what a judge is shown": answered(Judge(ScriptedModel("SCORE: 9"), price={"input": 1, "output": 1})),
    "the next message": lambda text: ImplicitFeedback().heard([HumanMessage(text), AIMessage("x"), HumanMessage(f"{text}!")], "t"),
    "an error": lambda text: classify(refused(text)),
    "a header": lambda text: retry_after(refused("x", text)),
    "a document": lambda text: document_of(conversation(text)),
    "an embedding": HashedEmbeddings().embed_query,
    "code of the demo": lambda text: code_in(AIMessage(text)),
    "a line of a terminal": printable,
    "a line of traffic": logged,
}
BEGINS = ("", "Answer: x", "```", "{", '{"name": "', "Error: x", "how do I ", "SCORE: 1", "data:", "please ")
LONG = 1 << 20

BOUNDED = {
    "CodeCompiles, another language": 50_000,
    "CodeCompiles, fenced": 50_000,
    "Structured, as a value": 5000,
    "code of the demo": READ,
}
"""Readers that look at no more than so much, in which another's parser, or a user's own pattern, may take time by the square."""

LONGEST_NAMES = {"an embedding": 1 << 17, "a tool's name": 1 << 17}
"""Readers of questions and names, which are slower than others for each character."""


@pytest.mark.parametrize("name", READERS)
def test_no_reader_takes_time_by_the_square_nor_seconds_for_a_megabyte(name: str) -> None:
    read, most = READERS[name], LONGEST_NAMES.get(name, LONG)
    for text in worst_texts(read, BEGINS, sizes=(16, 300, 3000)):
        said = grows_faster(read, text, most) if name not in BOUNDED else None
        assert said is None, f"{name}: {said}"
        for size in {most, BOUNDED.get(name, most)}:
            took = seconds(read, text.of(size))
            assert took < 5, f"{name}: {took:.1f} s for {size} characters of {text}"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "deep",
    ['{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, json.dumps({"n": "x"})[:-1], "9" * 100_000],
    ids=["objects", "lists", "cut off", "digits"],
)
def test_no_reader_raises_on_what_is_nested_or_long(name: str, deep: str) -> None:
    READERS[name](deep)
    READERS[name](f"\ud800{deep}")


def test_a_slow_pattern_is_told() -> None:
    """The measure itself: a pattern that looks at each place from each other is found."""
    slow = Found("slow", re.compile(r"\S+@\S+"), frozenset({"search"}))
    (read,) = readers_of(slow)
    assert any(grows_faster(read, text) for text in worst_texts(read, _beginnings(slow)))
    assert grows_faster(str.upper, Text("", "a", "")) is None
