"""A subtask that is interrupted in one process goes on in another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = '''
import json, os, pickle, sys, threading, warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TypedDict
import operator

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from langroute import ChatRouter, Route, RouteSubtask
from langroute.testing import ScriptedModel

warnings.simplefilter("ignore")
folder, kind, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]


class FileSaver(InMemorySaver):
    """Keeps everything in a file, as it is, whenever something changes."""

    def __init__(self, path):
        super().__init__()
        self.path, self.lock = path, threading.RLock()
        if path.exists():
            storage, writes, blobs = pickle.loads(path.read_bytes())
            for thread, spaces in storage.items():
                for space, found in spaces.items():
                    self.storage[thread][space].update(found)
            for key, found in writes.items():
                self.writes[key].update(found)
            self.blobs.update(blobs)

    def _keep(self):
        storage = {thread: {space: dict(found) for space, found in spaces.items()} for thread, spaces in self.storage.items()}
        part = self.path.with_suffix(".part")
        part.write_bytes(pickle.dumps((storage, {key: dict(found) for key, found in self.writes.items()}, dict(self.blobs))))
        part.replace(self.path)

    def put(self, *given):
        with self.lock:
            done = super().put(*given)
            self._keep()
            return done

    def put_writes(self, *given):
        with self.lock:
            super().put_writes(*given)
            self._keep()


def saver(stack):
    if kind == "sqlite":
        from langgraph.checkpoint.sqlite import SqliteSaver

        return stack.enter_context(SqliteSaver.from_conn_string(str(folder / "checkpoints.db")))
    return FileSaver(folder / "checkpoints.pickle")


class Work(TypedDict, total=False):
    said: Annotated[list, operator.add]
    messages: list
    routing: dict


def frontier(messages):
    if what == "die" and not (folder / "died").exists() and len(calls["frontier"].calls) == 2:
        (folder / "died").touch()
        os._exit(9)
    return "42"


calls = {"cheap": ScriptedModel("41"), "frontier": ScriptedModel(frontier)}
model = ChatRouter(
    {"cheap": Route(calls["cheap"], price={"input": 1, "output": 10}), "frontier": Route(calls["frontier"], price={"input": 10, "output": 100})}
)


def step(state):
    answer = model.invoke("What is 6 * 7?")
    return {"said": [answer.content], "messages": [*state.get("messages", []), answer]}


def ask(state):
    return {"said": [interrupt("Go on?")]} if what == "ask" and state["said"][-1] == "42" else {}


inner = StateGraph(Work)
for name, node in (("before", step), ("ask", ask), ("after", step)):
    inner.add_node(name, node)
inner.add_edge(START, "before")
inner.add_edge("before", "ask")
inner.add_edge("ask", "after")
outer = StateGraph(Work)
outer.add_node("fix", RouteSubtask(inner.compile(), model, verify=lambda result: result["said"][-1] == "42", record_key="routing"))
outer.add_edge(START, "fix")
with ExitStack() as stack:
    app = outer.compile(checkpointer=saver(stack))
    config = {"configurable": {"thread_id": "t"}}
    begun = app.get_state(config).next
    given = {"said": []} if not begun else (Command(resume="yes") if what == "ask" else None)
    result = app.invoke(given, config, durability="sync")
    told = result.get("routing") or {}
    print(json.dumps({
        "asked": [one.value for one in result.get("__interrupt__", [])],
        "said": result.get("said"),
        "attempts": [[one["route"], one["verdict"], one["cost_usd"]] for one in told.get("attempts", [])],
        "called": {name: len(one.calls) for name, one in calls.items()},
    }))
'''

STEP_USD = (7 * 10 + 1 * 100) / 1e6
"""Cost of one call of the frontier model."""


@pytest.fixture(params=["file", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Runs the program in a process of its own; returns its exit code and what it printed."""
    if request.param == "sqlite":
        pytest.importorskip("langgraph.checkpoint.sqlite", reason="langgraph-checkpoint-sqlite is not installed")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")

    def once(what: str) -> tuple[int, Any]:
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path), request.param, what],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (0, 9), done.stderr
        return done.returncode, json.loads(done.stdout) if done.stdout else None

    return once


def test_a_person_answers_another_process(run: Any) -> None:
    """The rejected attempt and the steps before the question are not made again, and are part of the cost."""
    code, asked = run("ask")
    assert (code, asked["asked"], asked["called"]) == (0, ["Go on?"], {"cheap": 2, "frontier": 1})

    code, told = run("ask")
    assert (code, told["said"]) == (0, ["42", "yes", "42"])
    assert told["called"] == {"cheap": 0, "frontier": 1}
    assert [(route, verdict) for route, verdict, _ in told["attempts"]] == [
        ("cheap", "score 0.00: <lambda>"),
        ("frontier", "accepted"),
    ]
    assert told["attempts"][1][2] == pytest.approx(2 * STEP_USD)


def test_a_process_that_dies_is_gone_on_from_where_it_was(run: Any) -> None:
    """Killed within the second attempt: the first one is not made again, nor the step that had ended."""
    assert run("die") == (9, None)
    code, told = run("die")
    assert (code, told["said"]) == (0, ["42", "42"])
    assert told["called"] == {"cheap": 0, "frontier": 1}
    assert [route for route, _, _ in told["attempts"]] == ["cheap", "frontier"]
