"""A cache key covers everything that determines an answer, and nothing else."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, create_model

from langroute.cache.keys import Keys, UnkeyableError, canonical, copied, model_digest, settings_digest, tools_digest
from langroute.testing import ScriptedModel

TOOL = {
    "type": "function",
    "function": {"name": "pay", "description": "Pay.", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}},
}

texts = st.text(max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(texts, values, max_size=3)
turns = st.one_of(
    st.tuples(st.just("human"), texts),
    st.tuples(st.just("system"), texts),
    st.tuples(st.just("ai"), texts),
    st.tuples(st.just("call"), st.lists(st.tuples(st.sampled_from(["pay", "look"]), arguments), min_size=1, max_size=2)),
    st.tuples(st.just("blocks"), st.lists(texts, max_size=2)),
)
requests = st.fixed_dictionaries(
    {
        "turns": st.lists(turns, min_size=1, max_size=4),
        "settings": st.dictionaries(
            st.sampled_from(["temperature", "top_p", "seed", "stop", "max_tokens"]),
            st.none() | st.integers(0, 3) | texts,
            max_size=3,
        ),
        "tools": st.lists(st.sampled_from([json.dumps(TOOL), json.dumps({**TOOL, "x": 1})]), max_size=2),
        "choice": st.sampled_from([None, "auto", "any", "pay"]),
        "tenant": st.sampled_from(["a", "b", "a,b"]),
        "model": st.sampled_from(["m-1", "m-2"]),
    }
)


def messages_of(request: dict[str, Any], *, noise: bool) -> list[Any]:
    """Messages with random ids and noise, or without any."""

    def rid() -> str | None:
        return str(uuid.uuid4()) if noise else None

    history: list[Any] = []
    for kind, what in request["turns"]:
        if kind == "human":
            history.append(HumanMessage(what, id=rid()))
        elif kind == "system":
            history.append(SystemMessage(what, id=rid()))
        elif kind == "ai":
            reported = {"response_metadata": {"id": rid(), "token_usage": {"total": random.random()}}} if noise else {}
            history.append(AIMessage(what, id=rid(), **reported))
        elif kind == "blocks":
            mark = {"cache_control": {"type": "ephemeral"}, "index": 7} if noise else {}
            history.append(HumanMessage([{"type": "text", "text": text, **mark} for text in what], id=rid()))
        else:
            ids = [rid() or f"c{place}" for place in range(len(what))]
            history.append(
                AIMessage(
                    "",
                    id=rid(),
                    tool_calls=[{"name": name, "args": args, "id": one} for (name, args), one in zip(what, ids, strict=True)],
                )
            )
            history.extend(ToolMessage(f"result {place}", tool_call_id=one, id=rid()) for place, one in enumerate(ids))
    return history


def shuffled(value: Any) -> Any:
    """The same value with its dictionary keys in another order."""
    if isinstance(value, dict):
        items = list(value.items())
        random.shuffle(items)
        return {key: shuffled(inner) for key, inner in items}
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


def key_of(request: dict[str, Any], *, noise: bool = False, keys: Keys | None = None) -> str:
    tools = [json.loads(tool) for tool in request["tools"]]
    chosen = dict(request["settings"])
    if noise:
        request = {
            **request,
            "turns": [
                (kind, [(name, shuffled(args)) for name, args in what] if kind == "call" else what)
                for kind, what in request["turns"]
            ],
        }
        tools, chosen = shuffled(tools), {**shuffled(chosen), "timeout": 3, "metadata": {"run": "r"}}
    model = ScriptedModel("x", model=request["model"])
    parts = [model_digest(model, None, None), settings_digest(chosen), tools_digest(tools, request["choice"])]
    return (keys or Keys()).of(messages_of(request, noise=noise), namespace=(("tenant", request["tenant"]),), parts=parts)


def meaning(request: dict[str, Any]) -> str:
    """What a request says, written in another way than keys are."""
    chosen = {key: value for key, value in request["settings"].items() if value is not None}
    return repr(
        [request["turns"], sorted(chosen.items()), request["tools"], request["choice"], request["tenant"], request["model"]]
    )


seen: dict[str, str] = {}
shared_keys = Keys()


def check(request: dict[str, Any]) -> None:
    key, said = key_of(request, keys=shared_keys), meaning(request)
    assert key_of(request, noise=True, keys=shared_keys) == key
    assert seen.setdefault(key, said) == said


@settings(max_examples=500, phases=(Phase.explicit, Phase.generate), deadline=None, derandomize=True)
@given(requests)
def test_no_two_odd_requests_share_a_key_and_equal_ones_do(request: dict[str, Any]) -> None:
    """Whatever text, numbers and nesting Hypothesis thinks of; with and without ids, markers, reports and another order of keys."""
    check(request)


def test_no_two_of_10000_requests_share_a_key_and_equal_ones_do() -> None:
    """Requests of a few words each, so that many of them are nearly alike."""
    chance = random.Random(7)
    words = ["", "a", "b", "a b", "1", "pay"]

    def turn() -> tuple[str, Any]:
        kind = chance.choice(["human", "system", "ai", "call", "blocks"])
        if kind == "call":
            return kind, [
                (chance.choice(["pay", "look"]), {chance.choice(words): chance.choice([1, "1", True, 1.5, None, ["a"], {"b": 1}])})
                for _ in range(chance.randint(1, 2))
            ]
        return kind, chance.sample(words, 2) if kind == "blocks" else chance.choice(words)

    before = len(seen)
    for _ in range(10_000):
        check(
            {
                "turns": [turn() for _ in range(chance.randint(1, 3))],
                "settings": {"temperature": chance.choice([None, 0, 1])},
                "tools": chance.choice([[], [json.dumps(TOOL)]]),
                "choice": chance.choice([None, "auto"]),
                "tenant": chance.choice(["a", "b"]),
                "model": chance.choice(["m-1", "m-2"]),
            }
        )
    assert len(seen) - before > 8000


def base() -> dict[str, Any]:
    return {
        "messages": [
            SystemMessage("Be brief."),
            HumanMessage("Pay 10 to Ann and 20 to Bob."),
            AIMessage(
                "",
                tool_calls=[
                    {"name": "pay", "args": {"to": "Ann", "n": 10}, "id": "c1"},
                    {"name": "pay", "args": {"to": "Bob", "n": 20}, "id": "c2"},
                ],
            ),
            ToolMessage("done", tool_call_id="c1"),
            ToolMessage("failed", tool_call_id="c2", status="error"),
        ],
        "namespace": (("tenant", "a"),),
        "settings": {"temperature": 0, "stop": ["x"]},
        "tools": [copy.deepcopy(TOOL)],
        "choice": "auto",
        "schema": None,
    }


def key(asked: dict[str, Any]) -> str:
    parts = [settings_digest(asked["settings"]), tools_digest(asked["tools"], asked["choice"], asked["schema"])]
    return Keys().of(asked["messages"], namespace=asked["namespace"], parts=parts)


def change(path: str, value: Any) -> Any:
    """A function that changes one thing in a request."""

    def changed(asked: dict[str, Any]) -> dict[str, Any]:
        names = path.split(".")
        target: Any = asked
        for name in names[:-1]:
            target = target[int(name)] if name.isdigit() else target[name] if isinstance(target, dict) else getattr(target, name)
        last = names[-1]
        if last.isdigit():
            target[int(last)] = value
        elif isinstance(target, dict):
            target[last] = value
        else:
            setattr(target, last, value)
        return asked

    return changed


def swapped_results(asked: dict[str, Any]) -> dict[str, Any]:
    asked["messages"][3].tool_call_id, asked["messages"][4].tool_call_id = "c2", "c1"
    return asked


def moved_border(asked: dict[str, Any]) -> dict[str, Any]:
    asked["messages"][0:2] = [SystemMessage("Be brief. Pay"), HumanMessage("10 to Ann and 20 to Bob.")]
    return asked


@pytest.mark.parametrize(
    "changed",
    [
        change("messages.0.content", "Be long."),
        change("messages.1", SystemMessage("Pay 10 to Ann and 20 to Bob.")),
        change("messages.1.content", "Pay 10 to Ann and 200 to Bob."),
        change("messages.1.content", [{"type": "text", "text": "Pay 10 to Ann and 20 to Bob."}, {"type": "image", "url": "u"}]),
        change("messages.1.name", "Carol"),
        change("messages.2.tool_calls.0.args", {"to": "Ann", "n": 10000}),
        change("messages.2.tool_calls.0.args", {"to": "Ann", "n": "10"}),
        change("messages.2.tool_calls.0.args", {"to": "Ann", "n": True}),
        change("messages.2.tool_calls.0.name", "refund"),
        change("messages.2.additional_kwargs", {"reasoning_content": "Hm."}),
        change("messages.4.status", "success"),
        change("messages.3.content", "pending"),
        change("settings.temperature", 1),
        change("settings.seed", 7),
        change("settings.stop", ["y"]),
        change("settings.response_format", {"type": "json_object"}),
        change("settings.logit_bias", {"7": 1}),
        change("tools", []),
        change("tools.0.function.description", "Pay at once."),
        change("choice", "any"),
        change("choice", None),
        change("schema", {"type": "object"}),
        change("namespace", (("tenant", "b"),)),
        change("namespace", (("tenant", "a"), ("user", "1"))),
        change("namespace", ()),
        swapped_results,
        moved_border,
        lambda asked: {**asked, "messages": asked["messages"][:-1]},
        lambda asked: {**asked, "messages": [*asked["messages"], HumanMessage("")]},
        lambda asked: {**asked, "messages": [asked["messages"][1], asked["messages"][0], *asked["messages"][2:]]},
    ],
)
def test_whatever_can_change_the_answer_changes_the_key(changed: Any) -> None:
    assert key(changed(base())) != key(base())


@pytest.mark.parametrize(
    "changed",
    [
        change("messages.1.id", "run-1"),
        change("messages.2.id", "x"),
        change("messages.2.response_metadata", {"model_name": "m", "id": "resp_1"}),
        change("messages.2.usage_metadata", {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
        change("messages.2.tool_calls.0.args", {"n": 10, "to": "Ann"}),
        change("messages.3.artifact", object()),
        change("messages.4.artifact", {"kept": "for people"}),
        change("settings.timeout", 10),
        change("settings.prompt_cache_key", "k"),
        change("settings.top_p", None),
        change("settings.temperature", 0.0),
        change("tools.0.cache_control", {"type": "ephemeral"}),
    ],
)
def test_ids_markers_and_reports_do_not_matter(changed: Any) -> None:
    assert key(changed(base())) == key(base())


def test_a_message_that_is_changed_in_place_gets_another_key() -> None:
    """Digests are remembered for each message; that must not outlive a change deep inside."""
    keys, asked = Keys(), base()

    def now() -> str:
        return keys.of(asked["messages"], namespace=(), parts=())

    first = now()
    assert now() == first
    asked["messages"][2].tool_calls[0]["args"]["n"] = 99
    second = now()
    assert second != first
    asked["messages"][1].content = [{"type": "text", "text": "a"}]
    third = now()
    asked["messages"][1].content[0]["text"] = "b"
    assert len({first, second, third, now()}) == 4


def test_tool_ids_matter_only_as_ties() -> None:
    renamed = base()
    renamed["messages"][2].tool_calls[0]["id"], renamed["messages"][3].tool_call_id = "other", "other"
    assert key(renamed) == key(base())


def test_number_keys_and_text_keys_are_not_the_same() -> None:
    assert canonical({1: "a"}) != canonical({"1": "a"})
    assert canonical([1]) != canonical(["1"]) != canonical([True])


def test_what_has_no_stable_form_is_refused() -> None:
    with pytest.raises(UnkeyableError, match="no stable form"):
        canonical({"x": object()})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnkeyableError):
        canonical(loop)


def test_a_copy_has_nothing_in_common_with_what_may_be_changed() -> None:
    """Or a message that is changed in place would be taken for the one that was hashed."""
    given: dict[str, Any] = {"a": [{"b": [1, 2]}, "c"], "d": {"e": {}}}
    made = copied(given)
    assert made == given

    given["a"][0]["b"].append(3)
    given["d"]["e"]["f"] = 1
    assert made == {"a": [{"b": [1, 2]}, "c"], "d": {"e": {}}}


def test_memory_of_messages_is_bounded() -> None:
    keys = Keys()
    for number in range(20_000):
        keys.of([HumanMessage(str(number))], namespace=(), parts=())
    assert len(keys._read) <= 8192


PROGRAM = """
import sys; sys.path.insert(0, {tests!r})
from test_keys import base, key
from langroute.cache.keys import model_digest
from langroute.testing import ScriptedModel
print(key(base()), model_digest(ScriptedModel("x", lambda messages: "y"), "p", "m").hex())
"""


def test_another_process_makes_the_same_key() -> None:
    """Whatever its hash seed; other versions of Python are asked by `benchmarks/cache.py`."""
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    found = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed, "PATH": ""}
        ).stdout.split()[0]
        for seed in ("1", "2")
    }
    assert found == {key(base())}


# What JSON does not know ---------------------------------------------------------------------------------------------


class Answer(BaseModel):
    n: int


def answer_of(kind: Any) -> Any:
    """A model of that name with another field."""
    return create_model("Answer", n=(kind, ...))


class Plain:
    n: int


def plain_of(**fields: Any) -> Any:
    """A class of that name with these annotations; nobody tells it from another by its address."""
    return type("Plain", (), {"__annotations__": fields, "__qualname__": "Plain"})


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Place:
    x: int
    y: int = 0


class Color(Enum):
    RED = 1
    BLUE = 2


class Taste(Enum):
    RED = 1


NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
ODD: dict[str, tuple[Any, Any, list[Any]]] = {
    "a pydantic class": (Answer, answer_of(int), [answer_of(str), create_model("Other", n=(int, ...)), {"n": "int"}]),
    "a class with fields": (Plain, plain_of(n="int"), [plain_of(n="str"), plain_of(m="int"), plain_of(), Answer]),
    "a class without": (plain_of(), plain_of(), [type("Bare", (), {"__qualname__": "Bare"}), plain_of(n="int")]),
    "a pydantic object": (Answer(n=1), Answer(n=1), [Answer(n=2), create_model("Other", n=(int, ...))(n=1), {"n": 1}]),
    "a data class": (Point, Point, [Place]),
    "a data class's object": (Point(1, 2), Point(1, 2), [Point(2, 1), Point(1), Place(1, 2), {"x": 1, "y": 2}]),
    "bytes": (b"ab", bytearray(b"ab"), [b"ba", b"a", "ab", b""]),
    "a view of bytes": (memoryview(b"ab"), b"ab", [memoryview(b"abc")]),
    "a set": ({1, "b", 3}, frozenset([3, 1, "b"]), [{1, "b"}, {1, "b", "3"}, [1, "b", 3], set()]),
    "a set of sets": ({frozenset([1]), frozenset([2])}, {frozenset([2]), frozenset([1])}, [{frozenset([1, 2])}]),
    "a mapping that is no dictionary": (MappingProxyType({"a": 1, 2: "b"}), MappingProxyType({2: "b", "a": 1}), [MappingProxyType({"a": 1, "2": "b"})]),
    "a date": (date(2026, 1, 2), date(2026, 1, 2), [date(2026, 2, 1), datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02"]),
    "a time": (NOON, NOON.replace(hour=12), [NOON.replace(hour=13), NOON.replace(tzinfo=None), NOON.replace(tzinfo=timezone(timedelta(hours=1)))]),
    "a number": (Decimal("1.50"), Decimal("1.50"), [Decimal("1.51"), Decimal("1.5"), 1.5, "1.50"]),
    "a fraction": (Fraction(1, 2), Fraction(2, 4), [Fraction(1, 3), 0.5]),
    "a uuid": (uuid.UUID(int=7), uuid.UUID(int=7), [uuid.UUID(int=8), str(uuid.UUID(int=7))]),
    "a path": (PurePosixPath("a/b"), PurePosixPath("a", "b"), [PurePosixPath("a/c"), "a/b"]),
    "a choice": (Color.RED, Color(1), [Color.BLUE, Taste.RED, 1]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_json_has_a_key_by_what_it_says(kind: str) -> None:
    """Equal ones the same, other ones another; by itself, in a setting, in a tool, as a schema and deep inside."""
    one, equal, others = ODD[kind]

    def keyed(value: Any) -> list[Any]:
        return [
            canonical(value),
            canonical({"a": [value]}),
            canonical({1: value}),
            settings_digest({"stop": value}),
            tools_digest([{"name": "t", "x": value}]),
            tools_digest([], schema=value),
        ]

    assert keyed(equal) == keyed(one)
    for other in others:
        assert all(a != b for a, b in zip(keyed(other), keyed(one), strict=True)), other


class Box:
    """Has a value, and is no choice among several."""

    value = 1


class Label:
    """Has a name, and is none either."""

    name = "label"


def test_what_is_inside_of_an_object_has_to_have_a_form_too() -> None:
    for odd in (Point(object()), {frozenset([object()])}, MappingProxyType({"a": object()}), lambda: None, Box(), Label()):  # type: ignore[arg-type]
        with pytest.raises(UnkeyableError, match="no stable form"):
            canonical({"x": odd})


def test_keys_of_a_dictionary_that_are_no_text_have_their_kind() -> None:
    """In each depth, in whatever order they stand."""
    assert canonical({"a": {1: 2, "b": 3}}) == canonical({"a": {"b": 3, 1: 2}})
    assert canonical([{1: 2}]) != canonical([{"1": 2}])
    assert canonical({"a": {None: 1}}) != canonical({"a": {"None": 1}}) != canonical({"a": {"null": 1}})
    assert canonical({True: 1}) != canonical({1: 1})
    assert canonical(({1: 2},)) == canonical([{1: 2}])
    assert canonical({1: [2, {3: "a"}]}) != canonical({1: [2, {3: "b"}]}) != canonical({1: [2]})


def history(*blocks: tuple[str, dict[str, Any]], result: ToolMessage | HumanMessage) -> list[Any]:
    """An agent's step whose answer says its tool calls in blocks, each with an id of that run."""
    calls = [{"name": "pay", "args": {"n": 1}, "id": call_id} for call_id, _ in blocks]
    return [HumanMessage("Pay."), AIMessage([block for _, block in blocks], tool_calls=calls), result]


def digest(messages: list[Any]) -> str:
    return Keys().of(messages, namespace=(), parts=())


@pytest.mark.parametrize("kind", ["function_call", "tool_use", "tool_call", "server_tool_use", "server_tool_call"])
@pytest.mark.parametrize("name", ["id", "call_id"])
def test_the_random_id_of_a_call_in_a_block_does_not_matter(kind: str, name: str) -> None:
    """OpenAI's Responses say it as `call_id`; with it in the key, no agent would ever hit."""

    def step(call_id: str, n: int = 1) -> str:
        block = {"type": kind, name: call_id, "name": "pay", "arguments": f'{{"n": {n}}}'}
        return digest(history((call_id, block), result=ToolMessage("done", tool_call_id=call_id)))

    assert step("call_a") == step("call_b")
    assert step("call_a") != step("call_a", 2)


def test_results_in_blocks_are_tied_to_their_calls_by_place() -> None:
    """Anthropic's form: the ids differ from run to run, which result belongs to which call does not."""

    def step(first: str, second: str, answered: str) -> str:
        blocks = [(call_id, {"type": "tool_use", "id": call_id, "name": "pay", "input": {"n": 1}}) for call_id in (first, second)]
        return digest(history(*blocks, result=HumanMessage([{"type": "tool_result", "tool_use_id": answered, "content": "no"}])))

    assert step("a", "b", "a") == step("x", "y", "x")
    assert step("a", "b", "a") != step("a", "b", "b")
    assert step("a", "b", "elsewhere") != step("a", "b", "a")


def test_a_call_id_in_a_block_that_is_no_call_matters() -> None:
    """A result of one of OpenAI's own tools says which call it belongs to."""

    def step(call_id: str) -> str:
        return digest([HumanMessage([{"type": "computer_call_output", "call_id": call_id, "output": "x"}])])

    assert step("a") != step("b")


def test_cache_marks_in_a_blocks_extras_do_not_matter_and_the_other_extras_do() -> None:
    def step(**extras: Any) -> str:
        return digest([HumanMessage([{"type": "text", "text": "Hi.", "extras": {"a": 1, **extras}}])])

    assert step(cache_control={"type": "ephemeral"}) == step(cache_control={"type": "other"})
    assert step() == step(cache_control={"type": "ephemeral"})
    assert step(a=2) != step()


def test_calls_beyond_the_first_few_hundred_are_told_apart_too() -> None:
    """A long agent's history has more calls than fit into one byte."""

    def long(answered: int) -> str:
        calls = [{"name": "pay", "args": {}, "id": f"c{number}"} for number in range(300)]
        return digest([HumanMessage("Pay."), AIMessage("", tool_calls=calls), ToolMessage("no", tool_call_id=f"c{answered}")])

    assert len({long(number) for number in (0, 43, 255, 256, 299)}) == 5


def test_requests_without_tools_or_settings_have_no_part_for_them() -> None:
    """So that a model with tools never answers for one without."""
    assert tools_digest([]) == settings_digest({}) == settings_digest({"timeout": 3, "top_p": None}) == b""
    assert len({tools_digest([TOOL]), tools_digest([], "any"), tools_digest([], schema=Answer), b""}) == 4


def test_a_models_own_settings_are_part_of_its_key() -> None:
    """And where it is called: two deployments of one name are two models."""
    OpenAI = pytest.importorskip("langchain_openai").ChatOpenAI

    def of(**given: Any) -> bytes:
        return model_digest(OpenAI(**{"model": "gpt-4.1-mini", "api_key": "x", **given}), "openai", "gpt-4.1-mini")

    assert of() == of(max_retries=7, timeout=3)
    assert len({of(), of(temperature=0.5), of(seed=1), of(base_url="http://localhost:1/v1"), of(model_kwargs={"a": 1})}) == 5


def test_what_a_model_says_of_itself_is_part_of_its_key() -> None:
    """Its own parameters, whatever they are called; what stands in one by its address is the same in another process."""

    class Own(ScriptedModel):
        said: Any = None

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"deployment": self.said, "nothing": None}

    def of(said: Any) -> bytes:
        return model_digest(Own("a", said=said), None, None)

    assert len({of(said) for said in ("a", "b", 1, ["a"], {"a": 1}, None)}) == 6
    assert of(object()) == of(object())
    assert of(Point(1)) == of(Point(1)) != of(Point(2))


def test_a_method_with_the_name_of_a_setting_is_no_setting() -> None:
    """Shown as text it would say everything about the model, also what changes no answer."""

    class Busy(ScriptedModel):
        asked: int = 0

        def reasoning(self) -> str:
            return "Hm."

    assert model_digest(Busy("a", asked=1), None, None) == model_digest(Busy("a", asked=2), None, None)


@pytest.mark.parametrize(
    "extra", [{"parsed": {"n": 1}}, {"tool_calls": [{"id": "c1"}]}, {"__signatures__": {"c1": "x"}}, {"cache_control": {}}]
)
def test_what_stands_elsewhere_or_is_kept_for_a_package_does_not_matter(extra: dict[str, Any]) -> None:
    plain, noisy, other = (AIMessage("x", additional_kwargs=given) for given in ({}, extra, {**extra, "refusal": "No."}))

    assert digest([noisy]) == digest([plain]) != digest([other])


def test_another_provider_or_name_or_class_is_another_model() -> None:
    class Other(ScriptedModel):
        pass

    model = ScriptedModel("a", model="m")
    assert len({model_digest(one, *rest) for one, *rest in ((model, None, None), (model, "p", None), (model, None, "n"))}) == 3
    assert model_digest(Other("a", model="m"), None, None) != model_digest(model, None, None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"extra_headers": {"x-portkey-config": "a"}}, {"extra_headers": {"x-portkey-config": "b"}}, False),
        ({"extra_headers": {"OpenAI-Organization": "a"}}, {}, False),
        ({"extra_headers": {"X-Tenant": "a"}}, {"extra_headers": {"x-tenant": "a"}}, True),
        ({"extra_headers": {"traceparent": "00-1"}}, {"extra_headers": {"Traceparent": "00-2"}}, True),
        ({"extra_headers": {"x-request-id": "1"}}, {}, True),
        ({"extra_query": {"api-version": "1"}}, {"extra_query": {"api-version": "2"}}, False),
        ({"extra_body": {"a": 1}}, {"extra_body": {"a": 2}}, False),
    ],
)
def test_headers_and_queries_of_a_call_choose_an_answer_and_traces_do_not(one: Any, other: Any, same: bool) -> None:
    assert (settings_digest(one) == settings_digest(other)) is same


@pytest.mark.parametrize(
    "field", [{"default_headers": {"x-config": "a"}}, {"default_query": {"tenant": "a"}}, {"organization": "org-a"}]
)
def test_a_model_with_other_headers_query_or_organisation_is_another_model(field: dict[str, Any]) -> None:
    openai = pytest.importorskip("langchain_openai")
    plain, other = (openai.ChatOpenAI(model="m", api_key="k", **given) for given in ({}, field))
    assert model_digest(plain, "openai", "m") != model_digest(other, "openai", "m")
    traced = openai.ChatOpenAI(model="m", api_key="k", default_headers={"X-Request-Id": "1"})
    again = openai.ChatOpenAI(model="m", api_key="k", default_headers={"x-request-id": "2"})
    assert model_digest(traced, "openai", "m") == model_digest(again, "openai", "m")
