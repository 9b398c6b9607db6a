"""Normalization of records that cannot be stored as they are: bounded, with stable names, and never larger than the original."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage

from langroute.core.errors import DataError, InputError
from langroute.core.records import Attempt, Decision, Outcome, Selection, Step, Usage, Verdict
from langroute.core.storable import NAME, finite, name_of, sound, storable, strict_json, text_of
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.ledger.codec import TOO_LARGE
from langroute.ledger.facts import CallRecord, TaskRecord
from langroute.ledger.fitting import fitted
from langroute.ledger.memory import MemoryLedger
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker
from langroute.tracking.outcomes import Outcomes, from_langsmith, pull_langsmith, record_outcome

HOSTILE: list[Any] = [
    "half \ud83d",
    "nul \x00",
    "x" * 5000,
    "\U0001f4a5" * 500,
    b"bytes \xff",
    float("nan"),
    float("-inf"),
    10**400,
    10**5000,
    -1,
    True,
    None,
    [["deep"] * 3],
    {1: {2: math.inf}},
    object(),
]

values: Any = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(codec=None, categories=("Cs", "L", "N", "Cc")), max_size=20),
    st.floats(),
    st.integers(),
)


def key_of(value: Any) -> Any:
    return value if value.__hash__ is not None else "key"


@settings(max_examples=150, deadline=None)
@given(st.lists(values, min_size=12, max_size=12))
def test_every_record_is_refused_or_brought_into_form(given: list[Any]) -> None:
    """Nothing but an error of our own comes out, and what is in form stays as it is."""
    a, b, c, d, e, f, g, h, i, j, k, metadata = given
    attempt = Attempt(Selection(a, b, c), score=d, usage=Usage(e, f), cost_usd=g, latency_s=h, verdicts=(Verdict(i, j),))
    records: list[Any] = [
        Decision(a, Step(b, c, task=d), e, (attempt,), cost_usd=f, started_at=g, run_id=h, metadata={"k": metadata, key_of(i): j}),
        CallRecord(a, b, c, d, e, usage=Usage(f, g), cost_usd=h, latency_s=i, kept=j, score=k),
        TaskRecord(a, b, c, d, e, f, {key_of(g): h}),
    ]
    for record in records:
        try:
            once = fitted(record)
        except DataError:
            continue
        assert fitted(once) == once


@given(st.text(st.characters(codec=None, categories=("Cs", "L", "N", "Cc")), max_size=600), st.integers(1, 300))
def test_a_name_keeps_its_bound_and_is_itself(text: str, most: int) -> None:
    kept = name_of(text, most)
    assert len(kept) <= most
    assert name_of(kept, most) == kept == storable(kept)


def test_two_long_names_stay_two() -> None:
    """They differ where they are cut off."""
    assert name_of("x" * 3000 + "a") != name_of("x" * 3000 + "b")
    assert name_of("\U0001f4a5" * NAME) == "\U0001f4a5" * NAME


@pytest.mark.parametrize("level", ["minimal", "metadata", "full"])
@pytest.mark.server
def test_every_level_takes_whatever_is_around_a_call(level: str, postgres: str) -> None:
    """On the database that takes least."""
    with open_ledger(postgres, level=level) as ledger:
        for number, value in enumerate(HOSTILE):
            tags: Any = {"team": value, "project": value, "user": value, "release": value, f"{number}" * 3000: value}
            ident: Any = value if not isinstance(value, int) else number
            with task(ident, kind=None if isinstance(value, int) else value, **tags):
                ledger.record(Decision(f"d{number}", Step(), "small", (), metadata={"team": value, "x": value}, started_at=1.0))
                ledger.record_call(CallRecord(f"t{number}", at=1.0))
                ledger.record_task(TaskRecord(f"t{number}", "ok", 1.0, 2.0, tags=tags))
            ledger.claim(f"d{number}", value)
        ledger.rollup()
        assert ledger.dropped == 0
        assert [ledger.get(f"d{number}").route for number in range(len(HOSTILE))] == ["small"] * len(HOSTILE)


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize("arguments", [deep(5000), cyclic(), "x" * (17 << 20)], ids=["deep", "cyclic", "large"])
def test_what_cannot_be_written_of_an_answer_costs_the_text_alone(arguments: Any, tmp_path: Path) -> None:
    answer = AIMessage.model_construct(content="", tool_calls=[{"name": "f", "args": {"a": arguments}, "id": "c1"}], type="ai")
    attempt = Attempt(Selection("small"), answer=answer, usage=Usage(3, 4), cost_usd=0.25)
    with open_ledger(tmp_path / "l.db", level="full") as ledger:
        ledger.record(
            Decision("d1", Step(task="t1"), "small", (attempt,), cost_usd=0.25, started_at=1.0, messages=(HumanMessage("Hi"),))
        )
        ledger.record_call(CallRecord("t1", at=1.0, answer=answer, usage=Usage(1, 1), cost_usd=0.5))
        assert ledger.task("t1").cost_usd == 0.75
        kept = ledger.get("d1")
        assert (kept.attempts[0].answer, kept.attempts[0].usage) == (None, Usage(3, 4))
        assert TOO_LARGE in kept.problems
        assert ledger.dropped == 0


@pytest.mark.parametrize("make", [MemoryLedger, None], ids=["memory", "sqlite"])
def test_metadata_is_kept_up_to_a_size(make: Any, tmp_path: Path) -> None:
    """What fits is kept, and the thread by which a task is found again."""
    ledger = make() if make else open_ledger(tmp_path / "l.db", level="full")
    metadata = {"release": "7", "page": "x" * 10**6, "deep": deep(500), "nan": math.nan, 5: 6, "thread_id": "t" * 3000}
    ledger.record(Decision("d1", Step(), "small", (), metadata=metadata, started_at=1.0))
    ledger.flush()
    kept = ledger.get("d1").metadata
    assert {name: kept.get(name) for name in ("release", "page", "deep", "nan", "5")} == {
        "release": "7",
        "page": None,
        "deep": None,
        "nan": None,
        "5": 6,
    }
    assert ledger.task("t" * 3000).decisions == 1
    ledger.close()


@pytest.mark.parametrize("value", ["x" * 5000, 10**30, b"caf\xc3\xa9", "half \ud83d"], ids=["long", "number", "bytes", "half"])
def test_a_tracker_takes_any_task_and_label_of_a_run(value: Any, tmp_path: Path) -> None:
    """They come from whoever calls the program."""
    with open_ledger(tmp_path / "l.db") as ledger:
        tracker = OutcomeTracker(ledger)
        metadata = {"langroute_task": value, "langroute_team": value, "langroute_task_kind": value, "thread_id": value}
        ScriptedModel("Hm.").invoke("Hello?", {"callbacks": [tracker], "metadata": metadata})
        tracker.flush()
        assert ledger.task(text_of(value)).calls == 1
        assert ledger.dropped == 0


# Outcomes ------------------------------------------------------------------------------------------------------------

WRONG = [
    ("value_usd", math.inf),
    ("human_minutes", -1.0),
    ("human_minutes", math.nan),
    ("baseline_minutes", 10**400),
    ("baseline_minutes", True),
    ("score", math.nan),
    ("score", "high"),
    ("at", -5.0),
    ("at", 1.7e12),
    ("at", math.nan),
    ("success", 0.7),
    ("success", "yes"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_an_outcome_that_cannot_be_is_refused_where_it_is_told(name: str, value: Any) -> None:
    fields: dict[str, Any] = {"success": True, name: value}
    with pytest.raises(InputError, match=name):
        Outcome(task_id="t1", **fields)
    with pytest.raises(InputError):
        record_outcome(MemoryLedger(), task_id="t1", key="tone", **fields)


def test_other_kinds_of_numbers_are_numbers() -> None:
    from decimal import Decimal
    from fractions import Fraction

    ledger = MemoryLedger()
    told = Outcomes(ledger).record(True, task_id="t1", value_usd=Decimal("1.5"), human_minutes=Fraction(1, 2))  # type: ignore[arg-type]
    assert (told.value_usd, told.human_minutes) == (1.5, 0.5)
    ledger.record_outcome(Outcome(success=1, score=True, task_id="t2", value_usd=Decimal(2)))  # type: ignore[arg-type]
    assert ledger.outcomes_of("t2")[0] == Outcome(success=True, score=1.0, task_id="t2", value_usd=2.0)


def test_feedback_that_says_nothing_that_can_be_meant_stops_no_pull() -> None:
    """Nobody is there to correct it: the number is left out, the rest is told."""

    class Late:
        def timestamp(self) -> float:
            return 253402300799.0

    class Client:
        def list_feedback(self, run_ids: Any) -> list[dict[str, Any]]:
            return [
                {"run_id": "r" * 3000, "key": "k" * 3000, "score": score, "created_at": Late()} for score in (math.nan, 10**400, 1)
            ]

    ledger = MemoryLedger()
    assert pull_langsmith(Client(), ["r"], ledger) == 3
    assert [outcome.score for outcome in ledger.outcomes] == [None, None, 1.0]
    assert from_langsmith({"run_id": "r", "key": "k", "value": -math.inf}).score is None


def test_what_no_ledger_in_memory_can_keep_is_counted_and_said_once() -> None:
    wrong: Any = "yesterday"
    ledger = MemoryLedger()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            ledger.record_call(CallRecord("t1", at=wrong))
    assert ledger.dropped == 3
    assert [str(one.message) for one in caught] == ["The ledger could not keep a CallRecord: at is a str, not a number."]


def test_json_is_read_by_every_parser() -> None:
    def refuse(word: str) -> Any:
        raise AssertionError(word)

    text = strict_json({"a": [math.nan, math.inf, 10**30], "b": "half \ud83d", math.inf: ("x",)}, ensure_ascii=False)
    assert json.loads(text, parse_constant=refuse)["a"] == [None, None, None]
    text.encode()
    assert sound({"a": 1}) == {"a": 1}
    assert finite("1") is None
