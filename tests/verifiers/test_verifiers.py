"""Each verifier on answers that should be accepted and answers that should not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from langroute import ChatRouter, Route
from langroute.core.answers import canonical
from langroute.core.errors import ConfigurationError
from langroute.core.records import Attempt, Price, Request, Selection, Verdict
from langroute.policies import Cascade, Fixed
from langroute.testing import ScriptedModel
from langroute.verifiers import Agreement, Check, CodeCompiles, Judge, LogProb, NotEmpty, Structured, ToolCalls, run, score_of

PRICE = {"input": 1.0, "output": 2.0}
FENCE = "`" * 3


def attempt(answer: Any, route: str = "small", **facts: Any) -> Attempt:
    message = AIMessage(answer) if isinstance(answer, (str, list)) else answer
    return Attempt(Selection(route), message, **facts)


def calling(*calls: tuple[str, dict[str, Any]], text: str = "") -> AIMessage:
    made = [{"name": name, "args": args, "id": f"call_{n}", "type": "tool_call"} for n, (name, args) in enumerate(calls)]
    return AIMessage(text, tool_calls=made)


# NotEmpty --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("  \n\t ", "empty"),
        ([], "empty"),
        ([{"type": "text", "text": ""}], "empty"),
        ([{"type": "thinking", "thinking": "Hm.", "signature": "x"}], "empty"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ("I’m sorry, but I can’t assist with that request.", "refused"),
        ("I cannot help you with this.", "refused"),
        ("As an AI language model, I can not have opinions.", "refused"),
        ([{"type": "refusal", "refusal": "No."}], "refused"),
        (AIMessage("", additional_kwargs={"refusal": "No."}), "refused"),
    ],
)
def test_what_says_nothing_is_rejected(answer: Any, reason: str) -> None:
    verdict = NotEmpty().verify(Request("Hi."), attempt(answer))
    assert (verdict.score, verdict.reason) == (0.0, reason)


@pytest.mark.parametrize(
    "answer",
    [
        "42",
        "0",
        "I cannot overstate how good this is.",
        "I'm sorry for your loss. Here is what you can do next.",
        "The server said: I'm sorry, but I can't help with that.",
        "Sorry, I can be slow. The answer is 42.",
        calling(("add", {"a": 1})),
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,xx"}}],
        [{"type": "text", "text": "Hello."}],
        ["Hello."],
    ],
)
def test_what_says_something_is_accepted(answer: Any) -> None:
    assert NotEmpty().verify(Request("Hi."), attempt(answer)).score == 1.0


def test_refusals_may_be_wanted() -> None:
    refusal = attempt("I'm sorry, but I can't help with that.")
    assert NotEmpty(refusals=False).verify(Request("Hi."), refusal).score == 1.0


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "incomplete"])
def test_what_was_cut_off_is_rejected(reason: str) -> None:
    assert NotEmpty().verify(Request("Hi."), attempt("Once upon", finish_reason=reason)).reason == f"cut off ({reason})"


@pytest.mark.parametrize("reason", ["refusal", "content_filter", "SAFETY"])
def test_what_was_filtered_is_rejected(reason: str) -> None:
    assert NotEmpty().verify(Request("Hi."), attempt("Once upon", finish_reason=reason)).reason == f"refused ({reason})"


def test_a_stream_without_a_finish_reason_is_cut_off() -> None:
    cut = attempt("Once", first_token_s=0.1, provider="anthropic")
    assert "without a finish reason" in NotEmpty().verify(Request("Hi."), cut).reason
    assert NotEmpty().verify(Request("Hi."), attempt("Once", first_token_s=0.1)).score == 1.0, "many models never give one"
    assert NotEmpty().verify(Request("Hi."), attempt("Once", first_token_s=0.1, finish_reason="stop")).score == 1.0
    assert NotEmpty().verify(Request("Hi."), attempt("Once")).score == 1.0, "a model that gives no reasons is no broken stream"


def test_a_stream_that_is_cut_off_escalates() -> None:
    cheap = Route(ScriptedModel("Once upon a", finish_reason=None, provider="anthropic"), price=PRICE)
    frontier = Route(ScriptedModel("The whole story."), price=PRICE)
    router = ChatRouter({"cheap": cheap, "frontier": frontier}, policy=Cascade(), max_retries=0)

    text = "".join(chunk.content for chunk in router.stream("A story."))

    assert text == "The whole story."
    assert router.ledger.latest().attempts[0].error_type == "AnswerCutOffError"


# ToolCalls -------------------------------------------------------------------------------------------------------------


@tool
def search(query: str, limit: int = 5, order: Literal["new", "old"] = "new") -> str:
    """Search."""
    return query


class Filter(BaseModel):
    field: str
    values: list[int] = Field(min_length=1)


@tool
def count(filters: list[Filter]) -> int:
    """Count what passes all filters."""
    return len(filters)


TOOLS = (convert_to_openai_tool(search), convert_to_openai_tool(count))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (("search", {"query": "x"}), None),
        (("search", {"query": "x", "limit": 3, "order": "old"}), None),
        (("count", {"filters": [{"field": "a", "values": [1]}]}), None),
        (("look_up", {"query": "x"}), "no tool is called 'look_up'"),
        (("Search", {"query": "x"}), "no tool is called 'Search'"),
        (("search", {}), "search: 'query' is a required property"),
        (("search", {"query": 5}), "search: query: 5 is not of type 'string'"),
        (("search", {"query": "x", "order": "best"}), "search: order: 'best' is not one of ['new', 'old']"),
        (("count", {"filters": [{"field": "a", "values": []}]}), "count: filters.0.values: "),
    ],
)
def test_tool_calls_fit_their_tools(call: Any, reason: str | None) -> None:
    verdict = ToolCalls().verify(Request("Hi.", tools=TOOLS), attempt(calling(call)))
    assert verdict.score == (1.0 if reason is None else 0.0)
    assert verdict.reason.startswith(reason or "")


def test_one_bad_call_among_several_is_enough() -> None:
    answer = calling(("search", {"query": "x"}), ("search", {"query": 1}))
    assert ToolCalls().verify(Request("Hi.", tools=TOOLS), attempt(answer)).score == 0.0


def test_arguments_that_are_no_json_are_rejected() -> None:
    broken = AIMessage("", invalid_tool_calls=[{"name": "search", "args": '{"query": "x', "id": "1", "error": None}])
    verdict = ToolCalls().verify(Request("Hi.", tools=TOOLS), attempt(broken))
    assert verdict.reason == "search: arguments are not JSON"


@pytest.mark.parametrize(
    ("choice", "score"),
    [
        (None, 1),
        ("auto", 1),
        ("none", 1),
        (False, 1),
        ("any", 0),
        ("required", 0),
        ("search", 0),
        (True, 0),
        ({"type": "function", "function": {"name": "search"}}, 0),
    ],
)
def test_a_call_that_was_demanded_has_to_come(choice: Any, score: int) -> None:
    request = Request("Hi.", tools=TOOLS, tool_choice=choice)
    assert ToolCalls().verify(request, attempt("I would rather talk.")).score == score


def test_an_answer_without_tools_is_none_of_its_business() -> None:
    assert ToolCalls().verify(Request("Hi."), attempt("Hello.")).score == 1.0
    assert ToolCalls().verify(Request("Hi.", tools=TOOLS), attempt("Hello.")).score == 1.0


def test_beside_a_schema_a_call_names_a_tool_or_the_schema() -> None:
    """Some models answer in a schema by calling it. A name that is neither can be carried out by nobody."""
    with_tools = Request("Hi.", tools=TOOLS, response_schema=Filter)
    told = {
        "search": ToolCalls().verify(with_tools, attempt(calling(("search", {"query": "x"})))),
        "Filter": ToolCalls().verify(with_tools, attempt(calling(("Filter", {"field": "a", "values": [1]})))),
        "wrong": ToolCalls().verify(with_tools, attempt(calling(("Filter", {"field": "a", "values": []})))),
        "neither": ToolCalls().verify(with_tools, attempt(calling(("look_up", {"query": "x"})))),
    }

    assert {name: verdict.score for name, verdict in told.items()} == {"search": 1.0, "Filter": 1.0, "wrong": 0.0, "neither": 0.0}
    assert told["neither"].reason == "no tool is called 'look_up'"
    assert told["wrong"].reason.startswith("Filter: values: ")


def test_with_a_schema_alone_a_call_of_another_name_is_left_to_who_reads_the_schema() -> None:
    """What its integration calls the schema is not known here."""
    request = Request("Hi.", response_schema=Filter)

    assert ToolCalls().verify(request, attempt(calling(("extract", {"field": "a"})))).score == 1.0
    assert ToolCalls().verify(request, attempt(calling(("Filter", {"field": "a"})))).score == 0.0
    assert ToolCalls().verify(request, attempt("No call.")).score == 1.0


def test_a_schema_that_nobody_here_understands_accepts_a_call_of_its_name() -> None:
    class Odd:
        """Neither a model, nor a dictionary, nor a dataclass."""

    assert ToolCalls().verify(Request("Hi.", response_schema=Odd), attempt(calling(("Odd", {"a": 1})))).score == 1.0


def test_a_broken_call_without_a_name_is_a_tool_call() -> None:
    broken = AIMessage("", invalid_tool_calls=[{"name": None, "args": "{", "id": "1", "error": None}])
    assert ToolCalls().verify(Request("Hi."), attempt(broken)).reason == "a tool call: arguments are not JSON"


def test_a_tool_without_a_schema_takes_anything() -> None:
    request = Request("Hi.", tools=({"type": "function", "function": {"name": "ping"}},))
    assert ToolCalls().verify(request, attempt(calling(("ping", {"x": 1})))).score == 1.0


# Structured ------------------------------------------------------------------------------------------------------------


class Person(BaseModel):
    name: str
    age: int


class PersonDict(TypedDict):
    name: str
    age: int


@dataclass
class PersonData:
    name: str
    age: int


JSON = {
    "title": "Person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


@pytest.mark.parametrize(
    "schema", [Person, PersonDict, PersonData, JSON, convert_to_openai_tool(Person)], ids=lambda s: getattr(s, "__name__", "json")
)
def test_structured_output_fits_its_schema(schema: Any) -> None:
    request = Request("Who?", response_schema=schema)
    good, bad = {"name": "Ada", "age": 36}, {"name": "Ada", "age": "old"}

    assert Structured().verify(request, attempt("", parsed=good)).score == 1.0
    assert Structured().verify(request, attempt("", parsed=bad)).score == 0.0
    assert "age" in Structured().verify(request, attempt("", parsed=bad)).reason
    assert Structured().verify(request, attempt('{"name": "Ada", "age": 36}')).score == 1.0
    assert Structured().verify(request, attempt('{"name": "Ada"}')).score == 0.0
    assert Structured().verify(request, attempt("Ada is 36.")).reason == "nothing could be parsed"


def test_parsed_objects_fit_too() -> None:
    assert Structured().verify(Request("Who?", response_schema=Person), attempt("", parsed=Person(name="Ada", age=36))).score == 1.0
    loose = Person.model_construct(name="Ada", age="old")
    assert Structured().verify(Request("Who?", response_schema=JSON), attempt("", parsed=loose)).score == 0.0
    assert Structured().verify(Request("Who?"), attempt("anything")).score == 1.0


def test_a_schema_that_nobody_here_understands_rejects_nothing() -> None:
    class Odd:
        pass

    assert Structured().verify(Request("Who?", response_schema=Odd), attempt("", parsed={"a": 1})).score == 1.0


def test_structured_output_that_does_not_fit_escalates() -> None:
    cheap = Route(ScriptedModel(calling(("Person", {"name": "Ada", "age": "old"}))), price=PRICE)
    frontier = Route(ScriptedModel(calling(("Person", {"name": "Ada", "age": 36}))), price=PRICE)
    router = ChatRouter({"cheap": cheap, "frontier": frontier}, policy=Cascade())

    assert router.with_structured_output(Person).invoke("Who?") == Person(name="Ada", age=36)
    raw = router.with_structured_output(Person, include_raw=True).invoke("Who?")
    assert raw["parsed"] == Person(name="Ada", age=36)
    assert raw["raw"].response_metadata["langroute"]["route"] == "frontier"


# CodeCompiles ----------------------------------------------------------------------------------------------------------


def fenced(code: str, language: str = "python") -> str:
    return f"Here you are:\n{FENCE}{language}\n{code}\n{FENCE}\nEnjoy."


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (fenced("def f(x):\n    return x"), 1),
        (fenced("def f(x:\n    return x"), 0),
        (fenced("def f(x):\nreturn x"), 0),
        (fenced("x = 1\x00"), 0),
        (fenced('{"a": [1, 2]}', "json"), 1),
        (fenced('{"a": [1, 2}', "json"), 0),
        (fenced("not { valid ( at all", "unknownlang"), 1),
        (fenced("x = 1", ""), 1),
        (fenced("x = ", ""), 0),
        (fenced("def good(): pass") + fenced("def bad(: pass"), 0),
        ("No code at all.", 1),
    ],
)
def test_code_compiles(answer: str, score: int) -> None:
    assert CodeCompiles().verify(Request("Write f."), attempt(answer)).score == score


@pytest.mark.parametrize(
    ("language", "good", "bad"),
    [
        ("js", "function f(x) { return x }", "function f(x { return x }"),
        ("typescript", "const f = (x: number): number => x", "const f = (x: number: number => x"),
        ("go", "package main\nfunc f() int { return 1 }", "package main\nfunc f( int { return 1 }"),
    ],
)
def test_other_languages_are_parsed_where_their_grammar_is_installed(language: str, good: str, bad: str) -> None:
    pytest.importorskip("tree_sitter")
    pytest.importorskip({"js": "tree_sitter_javascript", "go": "tree_sitter_go"}.get(language, "tree_sitter_typescript"))
    assert CodeCompiles().verify(Request("Write f."), attempt(fenced(good, language))).score == 1.0
    assert CodeCompiles().verify(Request("Write f."), attempt(fenced(bad, language))).reason == f"{language}: syntax error"


def test_a_language_that_nobody_can_parse_rejects_nothing() -> None:
    for language in ("brainfuck", "c++", "os", "../../x", "objective-c"):
        assert CodeCompiles().verify(Request("Write f."), attempt(fenced("a ) b (", language))).score == 1.0


def test_code_may_be_demanded() -> None:
    assert CodeCompiles(required=True).verify(Request("Write f."), attempt("I would.")).reason == "no code"


# Agreement -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("42", "The answer is 42.", True),
        ("1,200", "1200.0", True),
        ("#### 7", "So 3 + 4 makes \\boxed{7}.", True),
        ("Paris", "paris.", True),
        ("Paris", "London", False),
        ("42", "43", False),
        ("-3", "3", False),
        ("10", "10000", False),
        ("0.5", "5", False),
        ("Yes, it is allowed.", "No, it is not allowed.", False),
        ("It is allowed.", "It is not allowed.", False),
        ("A before B.", "B before A.", False),
        ("", "", False),
        (calling(("pay", {"amount": 10})), calling(("pay", {"amount": 10})), True),
        (calling(("pay", {"amount": 10})), calling(("pay", {"amount": 10000})), False),
        (calling(("pay", {"a": 1, "b": 2})), calling(("pay", {"b": 2, "a": 1})), True),
        (calling(("a", {}), ("b", {})), calling(("b", {}), ("a", {})), True),
        (calling(("pay", {})), "pay", False),
    ],
)
def test_two_routes_agree_or_do_not(one: Any, other: Any, same: bool) -> None:
    first, second = attempt(one, "a"), attempt(other, "b")
    assert Agreement().verify(Request("?"), second, [first]).score == float(same)
    assert Agreement().verify(Request("?"), first, [second]).score == float(same)


def test_a_route_does_not_agree_with_itself_nor_with_a_failure() -> None:
    again = attempt("42", "a")
    failed = Attempt(Selection("b"), error=ValueError(), error_type="ValueError")
    assert Agreement().verify(Request("?"), again, [attempt("42", "a"), failed]).reason == "nothing to compare with"


def test_parsed_answers_are_compared_by_value() -> None:
    first, second = attempt("x", "a", parsed=Person(name="Ada", age=36)), attempt("y", "b", parsed={"age": 36, "name": "Ada"})
    assert Agreement().verify(Request("?"), second, [first]).score == 1.0


def test_long_texts_never_agree_word_for_word() -> None:
    text = "word " * 200
    assert canonical(attempt(text)) is None


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_cascade_stops_where_two_cheap_routes_agree(asynchronous: bool) -> None:
    models = {"a": ScriptedModel("42"), "b": ScriptedModel("The answer is 42."), "c": ScriptedModel("Certainly 42.")}
    router = ChatRouter({n: Route(m, price=PRICE) for n, m in models.items()}, policy=Cascade(), verifier=Agreement())

    answer = await router.ainvoke("6 * 7?") if asynchronous else router.invoke("6 * 7?")

    assert answer.response_metadata["langroute"]["route"] == "b"
    assert models["c"].calls == []


# LogProb ---------------------------------------------------------------------------------------------------------------


def sure(*logprobs: float, shape: str = "openai") -> AIMessage:
    tokens = [{"token": "x", "logprob": value} for value in logprobs]
    return AIMessage("x", response_metadata={"logprobs": {"content": tokens} if shape == "openai" else tokens})


def test_how_sure_a_model_was_is_compared_with_the_limit() -> None:
    verifier = LogProb(-0.5)
    assert verifier.verify(Request("?"), attempt(sure(-0.1, -0.2))).score == pytest.approx(0.5 + 0.5 * math.exp(-0.15))
    assert verifier.verify(Request("?"), attempt(sure(-0.1, -0.2, shape="list"))).score == pytest.approx(
        0.5 + 0.5 * math.exp(-0.15)
    )
    rejected = verifier.verify(Request("?"), attempt(sure(-3.0, -0.2)))
    assert (rejected.score, "below -0.500" in rejected.reason) == (0.0, True)


def test_an_answer_above_the_limit_is_accepted_by_a_cascade_however_low_the_limit() -> None:
    unsure, other = ScriptedModel(sure(-1.0, -1.2)), ScriptedModel("large")
    router = ChatRouter(
        {"small": Route(unsure, price=PRICE), "large": Route(other, price=PRICE)}, policy=Cascade(), verifier=LogProb(-2.0)
    )
    assert router.invoke("?").response_metadata["langroute"]["route"] == "small"


@pytest.mark.parametrize(
    "metadata", [{}, {"logprobs": None}, {"logprobs": {"content": None}}, {"logprobs": {"content": []}}, {"logprobs": "x"}]
)
def test_without_log_probabilities_nothing_is_rejected_and_it_is_said(metadata: dict[str, Any]) -> None:
    verdict = LogProb().verify(Request("?"), attempt(AIMessage("x", response_metadata=metadata)))
    assert "logprobs=True" in str(verdict.error)
    assert score_of([verdict]) is None


def test_a_log_probability_above_zero_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError):
        LogProb(0.5)


# Judge -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("Good work.\nSCORE: 9", 0.9),
        ("SCORE: 10", 1.0),
        ("SCORE: 0", 0.0),
        ("**SCORE:** 7", 0.7),
        ("Score: 4/5", 0.8),
        ("SCORE: 3\nNo, wait.\nSCORE: 8", 0.8),
        ("score: 8.5", 0.85),
        ("SCORE: 95/100", 0.95),
        ("SCORE: 11", 1.0),
    ],
)
def test_a_judges_score_is_read(said: str, score: float) -> None:
    assert Judge(ScriptedModel(said)).verify(Request("?"), attempt("42")).score == pytest.approx(score)


@pytest.mark.parametrize("said", ["", "It is good.", "SCORE: excellent", "Score: 5/0"])
def test_a_judge_without_a_score_rejects_nothing_and_is_reported(said: str) -> None:
    router = ChatRouter(
        {"small": Route(ScriptedModel("42"), price=PRICE), "large": Route(ScriptedModel("x"), price=PRICE)},
        policy=Cascade(),
        verifier=Judge(ScriptedModel(said), price=PRICE),
    )
    answer = router.invoke("6 * 7?")
    assert answer.content == "42"
    assert "judge" in answer.response_metadata["langroute"]["problems"][0]


def test_a_router_as_a_judge_costs_what_its_models_cost() -> None:
    cheap, dear = Price(input=1, output=2), Price(input=100, output=200)
    routes = {
        "mini": Route(ScriptedModel("SCORE: 9", model="gpt-5-mini", provider="openai"), price=cheap),
        "opus": Route(ScriptedModel("SCORE: 1", model="claude-opus-4-6", provider="anthropic"), price=dear),
    }
    inner = ChatRouter(routes, policy=Fixed("mini"))
    judge = Judge(inner)
    router = ChatRouter(
        {"small": Route(ScriptedModel("42"), price=cheap), "large": Route(ScriptedModel("x"), price=cheap)},
        policy=Cascade(),
        verifier=judge,
    )
    router.invoke("6 * 7?")
    decision, judged = router.ledger.latest(), inner.ledger.latest()
    assert decision.route == "small"
    assert decision.attempts[0].verdicts[0].cost_usd == judged.cost_usd > 0
    assert decision.cost_usd == decision.attempts[0].cost_usd + judged.cost_usd
    assert judge.worst_cost_usd(Request("?"), attempt("42")) == Judge(ScriptedModel(""), price=dear).worst_cost_usd(
        Request("?"), attempt("42")
    )


def test_braces_in_somebodys_code_do_not_break_the_judge() -> None:
    model = ScriptedModel("SCORE: 8")
    Judge(model).verify(Request("Fix {this} and {}."), attempt('fn main() { println!("{}", x); } {0} %s'))
    shown = str(model.calls[0][0][1].content)
    assert "Fix {this} and {}." in shown
    assert "{0} %s" in shown


def test_tool_calls_are_shown_to_the_judge_and_long_talks_cut_in_front() -> None:
    model = ScriptedModel("SCORE: 8")
    Judge(model, max_chars=50).verify(Request("x" * 200 + " the end"), attempt(calling(("pay", {"amount": 10}))))
    shown = str(model.calls[0][0][1].content)
    assert "calls pay with {'amount': 10}" in shown
    assert "the end" in shown
    assert len(shown) < 200


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_judges_own_call_is_part_of_the_cost(asynchronous: bool) -> None:
    judge = Judge(ScriptedModel("SCORE: 9"), price={"input": 1000, "output": 1000})
    given = {"small": Route(ScriptedModel("42"), price=PRICE), "large": Route(ScriptedModel("x"), price=PRICE)}
    router = ChatRouter(given, policy=Cascade(), verifier=judge)

    answer = await router.ainvoke("6 * 7?") if asynchronous else router.invoke("6 * 7?")

    decision = router.ledger.latest()
    (verdict,) = decision.attempts[0].verdicts
    assert verdict.cost_usd > 0.01
    assert decision.cost_usd == pytest.approx(decision.attempts[0].cost_usd + verdict.cost_usd)
    assert answer.response_metadata["langroute"]["cost_usd"] == decision.cost_usd


def test_a_judge_without_a_price_makes_the_cost_unknown() -> None:
    given = {"small": Route(ScriptedModel("42"), price=PRICE), "large": Route(ScriptedModel("x"), price=PRICE)}
    router = ChatRouter(given, policy=Cascade(), verifier=Judge(ScriptedModel("SCORE: 9", model="nobody-knows-1")))
    assert router.invoke("6 * 7?").response_metadata["langroute"]["cost_usd"] is None


def test_a_judges_tokens_are_not_shown_as_the_answer() -> None:
    from langgraph.graph import START, MessagesState, StateGraph

    given = {"small": Route(ScriptedModel("42"), price=PRICE), "large": Route(ScriptedModel("x"), price=PRICE)}
    router = ChatRouter(given, policy=Cascade(), verifier=Judge(ScriptedModel("Very good. SCORE: 9"), price=PRICE))
    graph = StateGraph(MessagesState)
    graph.add_node("think", lambda state: {"messages": [router.invoke(state["messages"])]})
    graph.add_edge(START, "think")

    parts = [part.content for part, _ in graph.compile().stream({"messages": "6 * 7?"}, stream_mode="messages")]

    assert "".join(parts) == "42"


def test_a_paid_judge_is_not_asked_after_a_free_check_rejected() -> None:
    model = ScriptedModel("SCORE: 9")
    verdicts = run((NotEmpty(), Judge(model)), Request("?"), attempt(""))
    assert [verdict.verifier for verdict in verdicts] == ["not_empty"]
    assert model.calls == []


# Callables -------------------------------------------------------------------------------------------------------------


def test_a_callable_takes_the_message_or_the_request_and_the_attempt() -> None:
    assert Check(lambda message: message.content == "42").verify(Request("?"), attempt("42")).score == 1.0
    two = Check(lambda request, attempt: 0.4 if request.messages else 1)
    assert two.verify(Request("?"), attempt("42")).score == 0.4
    own = Check(lambda message: Verdict("mine", 0.3, "so so"))
    assert own.verify(Request("?"), attempt("42")) == Verdict("mine", 0.3, "so so")


async def test_a_coroutine_function_checks_sync_and_async() -> None:
    async def check(message: Any) -> bool:
        return "42" in message.content

    given = {"small": Route(ScriptedModel("Hm."), price=PRICE), "large": Route(ScriptedModel("42"), price=PRICE)}
    router = ChatRouter(given, policy=Cascade(), verifier=check)

    assert (await router.ainvoke("?")).content == "42"
    assert router.invoke("?").content == "42"
