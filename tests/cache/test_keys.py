"""Does a key cover what decides an answer, and nothing else?"""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.cache.keys import Keys, UnkeyableError, canonical, model_digest, settings_digest, tools_digest
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
