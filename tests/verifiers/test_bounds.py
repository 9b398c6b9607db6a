"""Whatever a model wrote is judged in bounded time: a verifier never raises, never ends Python, and says what it left out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from langroute.core.records import Attempt, Request, Selection, Verdict
from langroute.testing import ScriptedModel
from langroute.verifiers import Agreement, CodeCompiles, Judge, LogProb, NotEmpty, Structured, ToolCalls
from langroute.verifiers.code import MOST_BLOCKS, MOST_CODE
from langroute.verifiers.judge import MOST_ANSWER

FENCE = "`" * 3
MEGABYTE = 1 << 20
PRICE = {"input": 1.0, "output": 1.0}


def attempt(answer: Any, route: str = "small", **facts: Any) -> Attempt:
    return Attempt(Selection(route), AIMessage(answer) if isinstance(answer, (str, list)) else answer, **facts)


def compiled(source: str, language: str = "python") -> Verdict:
    return CodeCompiles().verify(Request("Write f."), attempt(f"{FENCE}{language}\n{source}\n{FENCE}"))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# Code -----------------------------------------------------------------------------------------------------------------

CONSTRUCTS = {
    "comprehensions": ("[a ", "for a in a ", "]"),
    "generators": ("(a ", "for a in[]", ")"),
    "minus": ("", "-", "1"),
    "attributes": ("a", ".b", ""),
    "calls": ("a", "()", ""),
    "sums": ("a", "+a", ""),
    "lambdas": ("", "lambda:", "1"),
    "branches": ("if a:pass\n", "elif a:pass\n", ""),
    "parentheses": ("", "(", ""),
    "formatted": ("f'", "{a}", "'"),
    "powers": ("a", "**a", ""),
}


@pytest.mark.parametrize("size", [MOST_CODE - 1000, 700_000])
def test_no_code_ends_python(size: int) -> None:
    """In a process of its own, so that this one is there to tell; in a thread, whose stack may be smaller."""
    program = f"""
import threading
from langroute.core.records import Attempt, Request, Selection
from langroute.verifiers import CodeCompiles
def look():
    for name, (begin, unit, end) in {CONSTRUCTS!r}.items():
        code = begin + unit * ({size} // len(unit)) + end
        print(name, CodeCompiles().verify(Request("x"), Attempt(Selection("a"), "{FENCE}python\\n" + code + "\\n{FENCE}")).score)
thread = threading.Thread(target=look); thread.start(); thread.join()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)

    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stdout.splitlines()) == len(CONSTRUCTS)


def test_code_that_is_nested_too_deeply_for_python_does_not_compile() -> None:
    verdict = compiled("-" * 40_000 + "1")
    assert (verdict.score, verdict.reason) == (0.0, "python: nested too deeply to be compiled")


def test_code_beyond_the_bound_is_not_compiled_and_the_verdict_says_so() -> None:
    verdict = compiled("x = 1\n" * 20_000)
    assert verdict.score == 1.0
    assert "not all of it was compiled: a block has more than 50,000 characters" in verdict.reason


def test_a_fault_before_what_is_left_out_still_counts() -> None:
    text = f"{FENCE}python\nx = (\n{FENCE}\n{FENCE}python\n{'x = 1' * 20_000}\n{FENCE}"
    assert CodeCompiles().verify(Request("?"), attempt(text)).score == 0.0


def test_blocks_beyond_the_bound_are_not_compiled() -> None:
    text = f"{FENCE}python\nx = 1\n{FENCE}\n" * (MOST_BLOCKS + 1)
    assert f"more than {MOST_BLOCKS} blocks" in CodeCompiles().verify(Request("?"), attempt(text)).reason


def test_many_languages_that_nobody_has_cost_little() -> None:
    text = "".join(f"{FENCE}lang{number}\nx\n{FENCE}\n" for number in range(50_000))
    assert CodeCompiles().verify(Request("?"), attempt(text)).score == 1.0


@pytest.mark.parametrize("source", ["[" * 30_000, '{"a":' * 9_000, "9" * 40_000])
def test_json_that_cannot_be_read_does_not_compile(source: str) -> None:
    assert compiled(source, "json").score == 0.0


def test_a_grammar_that_takes_too_long_is_given_up() -> None:
    pytest.importorskip("tree_sitter_javascript")
    verdict = compiled("a!" * 24_000, "javascript")
    assert verdict.score == 0.0 or "takes more than" in verdict.reason


def test_surrogates_are_no_code_and_no_reason_to_raise() -> None:
    assert compiled("x = '\ud800'").score == 0.0
    assert compiled("x = '\ud800'", "go").verifier == "code_compiles"


# Values ---------------------------------------------------------------------------------------------------------------

LISTED = {"type": "object", "properties": {"items": {"type": "array", "uniqueItems": True}}}
TREE = {
    "anyOf": [
        {"type": "object", "properties": {"left": {"$ref": "#"}, "kind": {"const": kind}}, "required": ["kind", "left"]}
        for kind in "abcdef"
    ]
}


def structured(schema: Any, value: Any = None, text: str = "") -> Verdict:
    return Structured().verify(Request("?", response_schema=schema), attempt(text, parsed=value))


def test_unique_items_are_told_by_hashes() -> None:
    """The library compares each with each: 20,000 objects took minutes."""
    assert structured(LISTED, {"items": [{"n": number} for number in range(20_000)]}).score == 1.0
    assert structured(LISTED, {"items": [{"n": 1}, {"n": 1.0}]}).score == 0.0
    assert structured(LISTED, {"items": [1, True, "1", [1], {"a": 1}]}).score == 1.0


def test_alternatives_within_alternatives_come_to_an_end() -> None:
    value: Any = {"kind": "z"}
    for _ in range(40):
        value = {"kind": "z", "left": value}
    verdict = structured(TREE, value)
    assert (verdict.score, verdict.reason) == (1.0, "not checked: too much work with its schema")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (nested(5000), "nested more than 100 deep"),
        ({"items": [1] * 300_000}, "more than 200,000 values"),
        ({"name": "x" * 6000}, "more than 5,000 characters, which has a pattern to fit"),
        ({"x" * 6000: 1}, None),
        ({"size": 10**400}, "its schema cannot be used: OverflowError"),
    ],
    ids=["deep", "many", "pattern", "key", "huge"],
)
def test_a_value_beyond_the_bounds_is_not_checked_and_the_verdict_says_so(value: Any, said: str | None) -> None:
    schema = {"properties": {"name": {"pattern": "^x+$"}, "size": {"multipleOf": 0.5}}}
    verdict = structured(schema, value)
    assert verdict.score == 1.0
    assert (said or "") in verdict.reason


def test_a_value_that_holds_itself_is_not_checked() -> None:
    value: dict[str, Any] = {}
    value["me"] = value
    assert structured({"type": "object"}, value).reason.startswith("not checked: nested")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"n":' + "9" * 5000 + "}", "\ud800", "{" * 10])
def test_text_that_is_no_json_is_rejected_whatever_it_is(text: str) -> None:
    assert structured({"type": "object"}, text=text).reason == "nothing could be parsed"


def test_a_reason_never_quotes_a_whole_answer() -> None:
    class Person(BaseModel):
        name: int

    assert len(structured({"type": "integer"}, {"a": "x" * MEGABYTE}).reason) <= 300
    assert len(structured(Person, {"name": "x" * MEGABYTE}).reason) <= 300
    assert len(ToolCalls().verify(Request("?", tools=({"name": "a"},)), attempt(calling("b" * MEGABYTE))).reason) <= 300


def calling(name: str, args: Any = None, count: int = 1) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args or {}, "id": str(n), "type": "tool_call"} for n in range(count)])


def test_calls_beyond_the_bound_are_not_checked_and_those_before_are() -> None:
    request = Request("?", tools=({"name": "a", "parameters": {"required": ["x"]}},))
    many = ToolCalls().verify(request, attempt(calling("a", {"x": 1}, 5000)))
    assert (many.score, many.reason) == (1.0, "not checked: more than 100 calls")
    assert ToolCalls().verify(request, attempt(calling("a", {"y": 1}, 5000))).score == 0.0


def test_a_call_that_cannot_be_checked_hides_none_behind_it() -> None:
    request = Request("?", tools=({"name": "a", "parameters": {"required": ["x"]}},))
    answer = AIMessage("", tool_calls=[*calling("a", {"x": nested(500)}).tool_calls, *calling("a", {"y": 1}).tool_calls])
    assert ToolCalls().verify(request, attempt(answer)).reason == "a: 'x' is a required property"


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server, and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


def test_a_schema_asks_no_server(asked: tuple[str, list[str]]) -> None:
    """The schema of a tool may come from a server, which must not have this one ask others."""
    address, paths = asked
    request = Request("?", tools=({"name": "a", "parameters": {"$ref": f"{address}/schema.json"}},))

    verdict = ToolCalls().verify(request, attempt(calling("a", {"x": 1})))

    assert paths == []
    assert verdict.score == 1.0
    assert verdict.reason.startswith("not checked: a: its schema cannot be used")


# The others -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "other", "agree"),
    [
        ("Answer: x" + " " * MEGABYTE + "x", "42", False),
        ("Long reasons. " * 100_000 + "\nThe final answer is: 42.", "42", True),
        ("Answer:\n42", "42", True),
        ("#### 7\n", "\\boxed{7}.", True),
        ("The answer: 12\nThat is my answer.", "12", True),
        ("That is my answer.", "Here is the answer.", False),
        ("Answer: " + "9" * MEGABYTE, "Answer: " + "9" * MEGABYTE, False),
    ],
)
def test_answers_of_any_length_are_compared(text: str, other: str, agree: bool) -> None:
    verdict = Agreement().verify(Request("?"), attempt(text), [attempt(other, "b")])
    assert (verdict.score == 1.0) is agree


def test_calls_and_values_that_cannot_be_written_agree_with_nothing() -> None:
    for answer in (attempt(calling("a", {"x": nested(50_000)})), attempt("", parsed={"n": 10**5000})):
        verdict = Agreement().verify(Request("?"), answer, [attempt("1", "b")])
        assert verdict.score == 0.0
        assert "no answer of at most 400 characters" in verdict.reason


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("SCORE: 8/0", None),
        (f"SCORE: {'9' * 5000}", 1.0),
        (f"SCORE: 9\n{'x' * 10_000}", None),
        (f"{'x' * MEGABYTE}\nSCORE: 9", 0.9),
        ("SCORE: 0.123456789012", 0.0123456789012),
        ("SCORE 1" + " " * MEGABYTE, 0.1),
    ],
)
def test_a_judge_may_say_what_it_likes(said: str, score: float | None) -> None:
    verdict = Judge(ScriptedModel(said), price=PRICE).verify(Request("?"), attempt("42"))
    assert verdict.error == "the judge gave no score" if score is None else verdict.score == pytest.approx(score)
    assert len(verdict.reason) <= 200


def test_a_judge_sees_both_ends_of_a_long_answer_and_the_verdict_says_so() -> None:
    model = ScriptedModel("SCORE: 9")
    history = [HumanMessage("x" * 1000)] * 2000
    verdict = Judge(model, price=PRICE).verify(Request(history), attempt("begin" + "x" * MEGABYTE + "end"))

    assert verdict.reason.endswith(f"(the judge saw both ends of the answer, {MOST_ANSWER:,} characters)")
    messages, _ = model.calls[0]
    assert len(messages[1].content) < MOST_ANSWER + 20_000
    assert "begin" in messages[1].content
    assert "end\n</answer>" in messages[1].content


@pytest.mark.parametrize(
    "logprobs", [5, "x", [None], [{"logprob": float("nan")}], {"content": 7}, {"content": [{"logprob": "x"}]}], ids=str
)
def test_whatever_is_called_a_log_probability_is_read(logprobs: Any) -> None:
    assert LogProb().verify(Request("?"), attempt(AIMessage("x", response_metadata={"logprobs": logprobs}))).error is not None


@pytest.mark.parametrize(("value", "score"), [(10**400, 1.0), (-(10**400), 0.0), (float("-inf"), 0.0), (True, 1.0)])
def test_numbers_that_no_probability_has_are_held_in_range(value: Any, score: float) -> None:
    answer = AIMessage("x", response_metadata={"logprobs": {"content": [{"logprob": value}]}})
    assert LogProb().verify(Request("?"), attempt(answer)).score == score


@pytest.mark.parametrize(
    "content", [" " * MEGABYTE, "\u0301" * MEGABYTE, [{"type": "text", "text": None}, {"type": "text"}] * 50_000]
)
def test_an_answer_of_any_size_is_empty_or_not(content: Any) -> None:
    assert NotEmpty().verify(Request("?"), attempt(content)).score in (0.0, 1.0)
