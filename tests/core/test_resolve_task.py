"""To which task, team and user a call belongs is decided in one place: budgets, ledgers and trackers name the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from langroute import Budget, ChatRouter, OutcomeTracker, Route, task
from langroute.budgets.memory import MemoryBudgets
from langroute.core.records import Request
from langroute.core.resolve_task import id_text, label_of, resolve_task, task_id_of
from langroute.core.task_context import Task
from langroute.ledger import open_ledger
from langroute.ledger.schema import decisions, labels, tags, tasks
from langroute.ledger.sql import SqlLedger
from langroute.testing import ScriptedModel

SPOKEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # (metadata, tags of the task, who it is)
    ({"team_id": "search"}, {}, "search"),
    ({"langroute_team": "search"}, {}, "search"),
    ({"langroute_team_id": "search"}, {}, "search"),
    ({"team": "search"}, {}, "search"),
    ({"team_id": 7}, {}, "7"),
    ({"team_id": 0}, {}, "0"),
    ({"team_id": "", "team": "search"}, {}, "search"),
    ({"langroute_team": "search"}, {"team": "care"}, "care"),
    ({"team_id": "search"}, {"team_id": "care"}, "care"),
    ({"langroute_team": "search", "team_id": "ads"}, {}, "search"),
    ({"team": "search"}, {"release": "7"}, "search"),
]


class Watched(MemoryBudgets):
    """A store that remembers whose budgets were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def reserve(self, id: str, holds: Any, *rest: Any) -> Any:
        self.keys |= {hold.key for hold in holds}
        return super().reserve(id, holds, *rest)


def team_in(ledger: SqlLedger, table: Any) -> list[str | None]:
    ledger.flush()
    with ledger.reading() as connection:
        return list(connection.execute(select(labels.c.team).join_from(table, labels, labels.c.id == table.c.label)).scalars())


@pytest.mark.parametrize("metadata, around, team", SPOKEN)
def test_budget_and_ledger_name_the_same_team(tmp_path: Path, metadata: Any, around: Any, team: str) -> None:
    store = Watched()
    budget = Budget(usd=5, per="team", store=store)
    with open_ledger(tmp_path / "ledger.db") as ledger:
        route = Route(ScriptedModel("Hm.", max_tokens=9), price={"input": 1, "output": 2})
        router = ChatRouter({"a": route}, ledger=ledger, budget=budget)
        with task("t1", **around):
            router.invoke("Hello?", {"metadata": metadata})
        assert store.keys == {budget.key(Request("Hi."), Task("t", tags={"team": team}), "d1")}
        assert team_in(ledger, decisions) == team_in(ledger, tasks) == [team]
        with ledger.reading() as connection:
            assert connection.execute(select(labels.c.team)).scalars().all() == [team]


@pytest.mark.parametrize("metadata, around, team", SPOKEN)
def test_a_call_that_no_router_made_has_the_same_team(tmp_path: Path, metadata: Any, around: Any, team: str) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        tracker = OutcomeTracker(ledger, tags={"team": "a default"})
        with task("t1", **around):
            ScriptedModel("Hm.").invoke("Hello?", {"callbacks": [tracker], "metadata": metadata})
        tracker.flush()
        assert team_in(ledger, tasks) == [team]


def test_the_trackers_own_labels_are_the_last_word(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        tracker = OutcomeTracker(ledger, tags={"team": "a default", "release": "7"})
        ScriptedModel("Hm.").invoke("Hello?", {"callbacks": [tracker]})
        tracker.flush()
        assert team_in(ledger, tasks) == ["a default"]
        with ledger.reading() as connection:
            assert connection.execute(select(tags.c.key, tags.c.value)).all() == [("release", "7")]


@pytest.mark.parametrize("key", ["langroute_user", "user_id", "user"])
def test_budget_and_ledger_name_the_same_user(tmp_path: Path, key: str) -> None:
    store = Watched()
    budget = Budget(usd=5, per="user", store=store)
    with open_ledger(tmp_path / "ledger.db", level="full") as ledger:
        route = Route(ScriptedModel("Hm.", max_tokens=9), price={"input": 1, "output": 2})
        ChatRouter({"a": route}, ledger=ledger, budget=budget).invoke("Hello?", {"metadata": {key: 7}})
        ledger.flush()
        with ledger.reading() as connection:
            assert connection.execute(select(tasks.c.user)).scalars().all() == ["7"]
    assert store.keys == {budget.key(Request("Hi.", metadata={"user": "7"}), None, "d1")}


def test_a_root_run_that_ends_inside_another_task_does_not_take_its_labels(tmp_path: Path) -> None:
    with open_ledger(tmp_path / "ledger.db") as ledger:
        tracker = OutcomeTracker(ledger)
        tracker.on_chain_start(None, {}, run_id="r1", metadata={"langroute_task": "mine"})
        with task("another", team="care"):
            tracker.on_chain_end({}, run_id="r1")
        assert team_in(ledger, tasks) == [None]


@pytest.mark.parametrize("thread", [7, b"caf\xc3\xa9", "t" * 3000, ("a", 1), 1.5])
def test_a_routers_and_a_trackers_call_of_a_thread_are_one_task(tmp_path: Path, thread: Any) -> None:
    """Also where the metadata is large, so that the ledger bounds it first."""
    with open_ledger(tmp_path / "ledger.db") as ledger:
        config: Any = {"metadata": {"thread_id": thread, "page": {"deep": ["x" * 500]}}, "callbacks": [OutcomeTracker(ledger)]}
        ChatRouter({"a": ScriptedModel("Hm.")}, ledger=ledger).invoke("Hello?", {"metadata": config["metadata"]})
        ScriptedModel("Hm.").invoke("Hello?", config)
        config["callbacks"][0].flush()
        with ledger.reading() as connection:
            assert connection.execute(select(tasks.c.calls)).scalars().all() == [2]


def test_what_the_program_says_goes_before_the_metadata() -> None:
    metadata = {"langroute_task": "told", "langroute_task_kind": "chat", "thread_id": "a", "lc_agent_name": "planner"}

    assert resolve_task(metadata) == ("told", "chat", "a", "planner")
    assert resolve_task(metadata, Task("around", "support")) == ("around", "support", "a", "planner")
    assert resolve_task(metadata, Task("around")).kind == "chat"
    assert resolve_task({}) == (None, None, None, None)


def test_a_call_without_a_task_is_its_threads_else_its_own() -> None:
    as_thread = "thread:{}".format

    assert task_id_of("t1", "a", "own", as_thread) == "t1"
    assert task_id_of(None, 0, "own", as_thread) == "thread:0"
    assert task_id_of("", "", "own", as_thread) == "own"


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [None, "", False, Odd(), 10**5000], ids=["none", "empty", "false", "odd", "huge"])
def test_what_cannot_be_a_label_names_nobody(value: Any) -> None:
    assert label_of("team", {"team_id": value}) is None
    assert label_of("team", {"team_id": value, "team": "search"}) == "search"
    assert value is False or id_text(value) is None
