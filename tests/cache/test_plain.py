"""Values of graphs in a store: what may be kept comes back, and nothing that a value names is made."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import json
import os
import pathlib
import pickle
import uuid
import warnings
import zoneinfo
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import ormsgpack
import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import CachePolicy as NodePolicy
from langgraph.types import Overwrite, Send
from pydantic import BaseModel

from langroute.cache import CachePolicy, Codec, ResponseCache
from langroute.cache.langgraph import GraphCache, state_key
from langroute.cache.plain import FORM, MAX_DEPTH, PlainSerializer
from langroute.cache.stores.sqlite import SqliteStore
from langroute.core.errors import ConfigurationError, DataError, DegradedWarning

KEY = (("node",), "k")


class Colour(enum.Enum):
    RED = "red"


class Place(NamedTuple):
    x: int
    y: int


@dataclass
class Note:
    text: str
    where: Place


class Report(BaseModel):
    note: Note
    messages: list[AnyMessage]


VALUES: list[Any] = [
    None,
    True,
    -7,
    1.5,
    "text with \ud800 half a sign and \0",
    b"\x00\xff",
    bytearray(b"x"),
    [1, (2, [3])],
    {"a": {"b": ()}},
    {1: "one", None: 0, ("t", 1): 2.0},
    {"\0": "a key that is a mark"},
    {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}},
    {1, 2},
    frozenset({"a"}),
    deque([1, 2], 5),
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    datetime.date(2026, 1, 2),
    datetime.time(3, 4),
    datetime.timedelta(days=-1, microseconds=5),
    datetime.timezone(datetime.timedelta(hours=2)),
    zoneinfo.ZoneInfo("UTC"),
    decimal.Decimal("1.10"),
    uuid.UUID(int=5),
    pathlib.Path("a/b"),
    ipaddress.ip_address("::1"),
    ipaddress.ip_network("10.0.0.0/8"),
    Document("text", metadata={"page": 1}, id="d"),
    HumanMessage([{"type": "text", "text": "Hi."}], name="Ann", id="1"),
    SystemMessage("Be brief."),
    AIMessage(
        "Hello.", response_metadata={"model_name": "m"}, usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    ),
    AIMessageChunk("Hel", id="7"),
    ToolMessage("4", tool_call_id="c", artifact={"raw": (1, 2)}, status="error"),
    RemoveMessage(id="1"),
    Send("next", {"n": 1}),
    Overwrite([1]),
    [("messages", [AIMessage("Hi.")]), ("branch:to:b", None)],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_a_node_returns_comes_back(value: Any) -> None:
    serializer = PlainSerializer()
    back = serializer.loads_typed(serializer.dumps_typed(value))
    assert back == value
    assert type(back) is type(value)


def test_arrays_of_numbers_come_back() -> None:
    np = pytest.importorskip("numpy")
    serializer = PlainSerializer()
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    back = serializer.loads_typed(serializer.dumps_typed({"vectors": given}))["vectors"]
    assert (back == given).all()
    assert back.dtype == given.dtype
    with pytest.raises(DataError):
        serializer.dumps_typed(np.array([object()]))
    with pytest.raises(DataError):
        serializer.loads_typed((FORM, json.dumps({"\0": "array", "v": ["|O", [1], "AAAAAAAAAAA="]}).encode()))


def test_types_of_your_own_have_to_be_named() -> None:
    value = Report(note=Note("x", Place(1, 2)), messages=[HumanMessage("Hi.")])
    named = PlainSerializer([Report, Note, Place, Colour])
    for one in (value, Colour.RED, [Place(1, 2)]):
        written = named.dumps_typed(one)
        assert named.loads_typed(written) == one
        with pytest.raises(DataError, match="in no table"):
            PlainSerializer().loads_typed(written)
        with pytest.raises(DataError, match=r"GraphCache\(types"):
            PlainSerializer().dumps_typed(one)
    with pytest.raises(TypeError, match="no pydantic model"):
        PlainSerializer([object])


def test_a_value_that_stands_in_itself_or_too_deep_is_refused() -> None:
    serializer = PlainSerializer()
    cyclic: list[Any] = []
    cyclic += [cyclic, cyclic]
    wide: list[Any] = []
    for _ in range(60):
        wide = [wide, wide]
    deep: Any = 0
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    for value in (cyclic, wide, deep, {"f": lambda: 0}, object()):
        with pytest.raises(DataError):
            serializer.dumps_typed(value)
    for body in (
        "[" * 100_000,
        json.dumps(deep),
        "1" * 5000,
        '{"\\u0000": ["x"], "v": 1}',
        '{"\\u0000": "tuple", "v": 7}',
        "",
        "{",
    ):
        with pytest.raises(DataError):
            serializer.loads_typed((FORM, body.encode()))


class Ran:
    """Says so when it is made or unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def forged(mark: Path) -> list[bytes]:
    """Values that make a folder where they are believed."""
    name, where = "os", str(mark)
    pack = ormsgpack.packb
    codes = [
        (jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG, (name, "mkdir", where)),
        (jsonplus.EXT_CONSTRUCTOR_POS_ARGS, (name, "mkdir", (where,))),
        (jsonplus.EXT_CONSTRUCTOR_KW_ARGS, (name, "mkdir", {"path": where})),
        (jsonplus.EXT_METHOD_SINGLE_ARG, ("pathlib", "Path", where, "mkdir")),
        (jsonplus.EXT_PYDANTIC_V1, (name, "mkdir", {"path": where})),
        (jsonplus.EXT_PYDANTIC_V2, (name, "mkdir", {"path": where}, "model_validate_json")),
    ]
    made = [b"msgpack\0" + pack(ormsgpack.Ext(code, pack(told))) for code, told in codes]
    named = {"lc": 2, "type": "constructor", "id": [name, "mkdir"], "args": [where], "kwargs": {}}
    made += [b"json\0" + json.dumps(named).encode(), b"pickle\0" + pickle.dumps(Ran(mark))]
    plain = [{"\0": word, "v": where} for word in ("os.mkdir", "mkdir", "builtins.open", "type", "__import__")]
    plain += [{"\0": "os.mkdir", "v": [where]}, {"\0": "dict", "v": [[{"\0": "os.mkdir", "v": where}, 1]]}]
    return made + [FORM.encode() + b"\0" + json.dumps(one).encode() for one in plain]


def test_nothing_that_a_value_names_is_called(tmp_path: Path) -> None:
    """Whoever has the key writes what he likes; each is a miss, and that is said once."""
    cache = GraphCache(tmp_path / "c.db")
    cache.set({KEY: ({"answer": 42}, None)})
    assert cache.get([KEY]) == {KEY: {"answer": 42}}
    (name,) = cache._cache.store.keys()
    head = (cache._cache.store.get(name) or b"")[:8]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for value in forged(tmp_path / "made"):
            cache._cache.store.put(name, head + value)
            assert cache.get([KEY]) == {}
    assert [one.category for one in said if "could not be read" in str(one.message)] == [DegradedWarning]
    assert not (tmp_path / "made").exists()
    assert GraphCache().serde.loads_typed(GraphCache().serde.dumps_typed(dumpd(AIMessage("x")))) == dumpd(AIMessage("x"))


def test_langgraphs_own_serializer_needs_a_secret_where_others_write(tmp_path: Path) -> None:
    serde = JsonPlusSerializer()
    with pytest.raises(ConfigurationError, match="secret"):
        GraphCache(tmp_path / "c.db", serde=serde)
    assert GraphCache(serde=serde).serde is serde
    closed = GraphCache(ResponseCache(SqliteStore(tmp_path / "s.db", codec=Codec(secret="s3cret"))), serde=serde)
    closed.set({KEY: ({"answer": 42}, None)})
    assert closed.get([KEY]) == {KEY: {"answer": 42}}


def test_a_pending_act_of_a_node_is_neither_kept_nor_replayed(tmp_path: Path) -> None:
    """A call that the same value answers was made already; one that waits would be made again."""
    call = {"name": "pay", "args": {}, "id": "1", "type": "tool_call"}
    pending, done = [AIMessage("", tool_calls=[call])], [AIMessage("", tool_calls=[call]), ToolMessage("paid", tool_call_id="1")]
    look = [AIMessage("", tool_calls=[{**call, "name": "search"}])]
    cache = GraphCache(tmp_path / "c.db")
    for value, kept in (
        (pending, False),
        ({"deep": [("m", {"x": pending})]}, False),
        ([Send("n", pending)], False),
        (done, True),
        (look, True),
    ):
        cache.clear()
        cache.set({KEY: (value, None)})
        assert bool(cache.get([KEY])) is kept
    lax = GraphCache(ResponseCache(tmp_path / "c.db", policy=CachePolicy(replay_tools=["pay"])))
    lax.set({KEY: (pending, None)})
    assert lax.get([KEY]) == {KEY: pending}
    assert cache.get([KEY]) == {}
    assert "pay" in " ".join(cache._cache.stats().reasons)


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    odd: Any


def cyclic() -> Any:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


@pytest.mark.parametrize(
    "odd",
    [cyclic(), object(), (number for number in range(3)), {1: object()}, "\ud800"],
    ids=["cycle", "object", "generator", "in a dictionary", "surrogate"],
)
async def test_a_graph_runs_whatever_its_state_holds(odd: Any, tmp_path: Path) -> None:
    """What has no key and what cannot be kept runs without the cache, and says so."""

    def node(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage("Hello.")], "odd": odd}

    builder = StateGraph(State)
    builder.add_node("node", node, cache_policy=NodePolicy(key_func=state_key, ttl=60))
    builder.add_edge(START, "node")
    graph = builder.compile(cache=GraphCache(tmp_path / "c.db"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            assert graph.invoke({"messages": [HumanMessage("Hi.")], "odd": odd})["messages"][-1].content == "Hello."
        assert (await graph.ainvoke({"messages": [HumanMessage("Hi.")], "odd": odd}))["messages"][-1].content == "Hello."


def test_sends_of_a_conditional_edge_are_kept(tmp_path: Path) -> None:
    """The next nodes run with what the cached one sent them."""
    ran: list[str] = []

    class Sums(TypedDict):
        total: int
        seen: Annotated[list[int], lambda one, other: one + other]

    def split(state: Sums) -> dict[str, Any]:
        ran.append("split")
        return {"total": 2}

    def work(state: Any) -> dict[str, Any]:
        return {"seen": [state["n"]]}

    builder = StateGraph(Sums)
    builder.add_node("split", split, cache_policy=NodePolicy(ttl=60))
    builder.add_node("work", work)
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", lambda state: [Send("work", {"n": n}) for n in range(state["total"])], ["work"])
    builder.add_edge("work", END)
    graph = builder.compile(cache=GraphCache(tmp_path / "c.db"))
    for _ in range(2):
        assert sorted(graph.invoke({"total": 0, "seen": []})["seen"]) == [0, 1]
    assert ran == ["split"]
