"""Hostile and malformed messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langroute.core.bounded import shown

MEGABYTE = 1_000_000


class Mute:
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise RuntimeError("hands off")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("hands off")


class Endless:
    """Says itself by saying itself."""

    def __str__(self) -> str:
        return str(self)

    __repr__ = __str__


def nested(depth: int, kind: type = list) -> Any:
    """Lists in lists, or dictionaries in dictionaries."""
    value: Any = "x"
    for _ in range(depth):
        value = [value] if kind is list else {"content": value, "type": "text"}
    return value


def circle(kind: type = list) -> Any:
    """What contains itself."""
    if kind is list:
        around: Any = []
        around.append(around)
        return around
    block: dict[str, Any] = {"type": "text", "text": "round"}
    block["content"] = [block]
    return block


def laughs(levels: int = 40) -> Any:
    """A small value that is a very large one when it is written down."""
    value: Any = ["ha"]
    for _ in range(levels):
        value = [value, value]
    return value


TEXTS = (
    "",
    "\ud83d\udc00 \x00 half a pair \udfff",
    '{"a":' * 3000,
    '{"a":' + "[" * 990 + "]" * 990 + "}",
    "[" * MEGABYTE,
    "{" * 5000 + "}" * 5000,
    f'{{"exit_code": {"9" * 5000}}}',
    f"exit code: {'9' * 5000}",
    f"{'7' * 5000} tests failed",
    "9" * 5000,
    "Error: " + "a." * (MEGABYTE // 2),
    " " * MEGABYTE + "Error:",
    "\n" * MEGABYTE,
    "word " * (MEGABYTE // 5) + "\nSummarize the text above.",
    "hi " * 1300 + "x",
    '"' + '\\"' * 9000,
    '{"a": "' + '\\"' * 9000,
    "```python\n" * 20_000,
    "####" * 20_000,
    "the final answer is " * 5000,
    "\u202e\u0660\u0661\u0662 exit code: \u0660",
)
VALUES = (
    None, True, -1, 10**5000, float("nan"), float("inf"), b"\xff\x00", ..., object, Mute(), Endless(), {1, "a"}, {None: 1, "a": 2, 3: 4},
    {("a",): 1}, nested(5000), nested(5000, dict), circle(), circle(dict), [None, 1, "a", ["b"], {"type": None}],
)  # fmt: skip

texts = st.one_of(st.sampled_from(TEXTS), st.text(st.characters(), max_size=60))
values = st.one_of(
    st.sampled_from(VALUES),
    texts,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=8,
    ),
)
kinds = st.sampled_from(
    [
        "text", "thinking", "reasoning", "tool_use", "tool_call", "function_call", "server_tool_use", "web_search_tool_result", "image",
        "image_url", "input_image", "input_audio", "audio", "file", "input_file", "document", "media", "refusal", "non_standard", "tool_result",
        "web_search_call", "code_interpreter_call", "image_generation_call", "executable_code", "search_result", "text-plain", "video", None, 7, [], {},
    ]
)  # fmt: skip
KEYS = (
    "text", "content", "source", "image_url", "input_audio", "file", "url", "base64", "data", "mime_type", "extras", "metadata", "value",
    "input", "output", "outputs", "results", "result", "id", "call_id", "tool_use_id", "name", "title", "filename", "file_id", "refusal",
    "signature", "thinking", "citations", "cache_control", "source_type",
)  # fmt: skip
blocks = st.one_of(
    values,
    st.builds(lambda kind, fields: {"type": kind, **fields}, kinds, st.dictionaries(st.sampled_from(KEYS), values, max_size=4)),
)
contents = st.one_of(texts, values, st.lists(blocks, max_size=3))
names = st.one_of(st.sampled_from(["fetch_page", "bash", "str_replace_editor", "f" * 5000, "", "\ud800", None, 7, []]))
ids = st.sampled_from(["1", "2", "", "\ud800", "i" * 5000, None, 7, [], {}])
args = st.one_of(values, st.dictionaries(st.sampled_from(["command", "path", "\ud800"]), values, max_size=2))
calls = st.one_of(
    st.builds(lambda name, args, number: {"name": name, "args": args, "id": number, "type": "tool_call"}, names, args, ids),
    st.sampled_from([{}, None, 7, {"name": "f"}, {"args": {}}]),
)
extras = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["refusal", "audio", "tool_outputs", "reasoning", "tool_calls", "parsed", "x", 7, None]), values, max_size=2
    ),
)
reported = st.one_of(
    st.just({}),
    st.builds(
        lambda provider, model, more: {"model_provider": provider, "model_name": model, **more},
        st.sampled_from(["anthropic", "openai", "google_genai", None, 7]),
        st.sampled_from(["claude-opus-4-6", "m" * 5000, None, 7]),
        st.dictionaries(
            st.sampled_from(["finish_reason", "stop_reason", "token_usage", "langroute", "incomplete_details"]), values, max_size=2
        ),
    ),
)


def _changed(kind: type[BaseMessage], needed: dict[str, Any]) -> Any:
    """A message whose fields are set past its own checks, as deserialisers and broken integrations do."""
    made: Any = kind

    def make(**fields: Any) -> BaseMessage:
        return made("", **needed).model_copy(update=fields)  # type: ignore[no-any-return]

    return make


statuses = st.sampled_from(["success", "error", None, 7])
humans = st.builds(_changed(HumanMessage, {}), content=contents, name=names)
systems = st.builds(_changed(SystemMessage, {}), content=contents)
answers = st.builds(
    _changed(AIMessage, {}),
    content=contents,
    name=names,
    tool_calls=st.lists(calls, max_size=3),
    invalid_tool_calls=st.lists(calls, max_size=1),
    additional_kwargs=extras,
    response_metadata=reported,
)
results = st.builds(_changed(ToolMessage, {"tool_call_id": "1"}), content=contents, name=names, tool_call_id=ids, status=statuses)
others = st.builds(
    _changed(ChatMessage, {"role": "user"}), content=contents, role=st.sampled_from(["user", "assistant", "", "\ud800"])
)


class Quiet(list[Any]):
    """A history that says little of itself: what stands in it may raise, or go on for ever, when it is asked."""

    def __repr__(self) -> str:
        return f"[{', '.join(type(one).__name__ + shown(one.__dict__, 1500) for one in self)}]"


messages = st.one_of(humans, systems, answers, results, others)
histories = st.lists(messages, min_size=1, max_size=5).map(Quiet)
said = answers.map(lambda answer: Quiet([answer]))

# Histories that a framework lets through: what stands in them is hostile, their form is not.
plain_blocks = st.builds(lambda text: {"type": "text", "text": text}, texts)
plain_contents = st.one_of(texts, st.lists(plain_blocks, min_size=1, max_size=2))
plain_calls = st.builds(
    lambda name, args, number: {"name": name, "args": args, "id": number, "type": "tool_call"},
    st.sampled_from(["fetch_page", "bash", "f" * 5000, "\ud800"]),
    st.dictionaries(
        st.sampled_from(["command", "path"]), st.one_of(texts, st.sampled_from([10**400, nested(200), float("nan")])), max_size=2
    ),
    st.sampled_from(["1", "2", "\ud800", None]),
)
plain_answers = st.builds(lambda content, calls: AIMessage(content, tool_calls=calls), texts, st.lists(plain_calls, max_size=2))
plain_said = plain_answers.map(lambda answer: Quiet([answer]))
plain_results = st.builds(
    lambda content, number, status: ToolMessage(content, tool_call_id=number, status=status),
    plain_contents,
    st.sampled_from(["1", "2", "\ud800"]),
    st.sampled_from(["success", "error"]),
)
plain_histories = st.builds(
    lambda first, rest: Quiet([first, *rest]),
    st.builds(HumanMessage, plain_contents),
    st.lists(st.one_of(st.builds(HumanMessage, plain_contents), plain_answers, plain_results), max_size=5),
)
