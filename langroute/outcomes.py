"""How is it told what came of a task? By code, by people, by evaluators, at once or weeks later.

`record_outcome` tells one thing about a task, a run or a decision. Several may be told of each; `langroute.ledger.facts.boil` says
what they come to: success is what the weightiest source said last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from langroute.context import current_task
from langroute.errors import ConfigurationError, InputError
from langroute.marks import KEY
from langroute.records import Outcome

KINDS = ("bool", "score", "number")
"""What a metric's values are: a truth, a share from 0 to 1, any number."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A key that outcomes may be told under, and what its values mean.

    Example:
        >>> Metric("resolved").read(True)
        (True, 1.0)
        >>> Metric("edit_distance", kind="number", higher_is_better=False, threshold=20).read(35)
        (False, 35.0)
        >>> Metric("politeness", kind="score").read(0.3)
        (None, 0.3)
    """

    name: str
    kind: str = "bool"
    """`bool`, `score` (0 to 1) or `number`."""

    higher_is_better: bool = True
    threshold: float | None = None
    """From here on (or down to here, where lower is better) a task succeeded; `None` leaves that open."""

    decides: bool = True
    """Whether it says anything about success: a truth does by itself, a number where it has a threshold."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(f"Metric {self.name!r}: the kind is one of {', '.join(KINDS)}, not {self.kind!r}.")
        if self.kind == "bool" and self.threshold is not None:
            raise ConfigurationError(f"Metric {self.name!r}: a truth has no threshold. Use kind='score' or 'number'.")

    def read(self, value: Any) -> tuple[bool | None, float]:
        """What a value says about success, and the value as a number.

        Raises:
            InputError: The value is not of the metric's kind.
        """
        if self.kind == "bool":
            if not isinstance(value, bool) and value not in (0, 1):
                raise InputError(f"Metric {self.name!r} is a truth, not {value!r}.")
            return (bool(value) == self.higher_is_better if self.decides else None), float(value)
        number = _number(value, f"Metric {self.name!r}")
        if self.kind == "score" and not 0 <= number <= 1:
            raise InputError(f"Metric {self.name!r} is a share from 0 to 1, not {value!r}.")
        if self.threshold is None or not self.decides:
            return None, number
        return (number >= self.threshold if self.higher_is_better else number <= self.threshold), number


class Outcomes:
    """Tells a ledger, and whoever learns from it, how things went.

    Args:
        to: A ledger, `Router`, `ChatRouter`, `RouterNode`, `RouterMiddleware`, `OutcomeTracker`, or several; a router also tells its policy and hooks.
        metrics: Keys whose values mean something declared; others are taken as they come.
        clock: Seconds since the epoch.

    Example:
        >>> from langroute.ledger.memory import MemoryLedger
        >>> ledger = MemoryLedger()
        >>> outcomes = Outcomes(ledger, metrics=[Metric("tests_passed")])
        >>> told = outcomes.record(task_id="t1", key="tests_passed", score=1, source="tests")
        >>> ledger.task("t1").success
        True
    """

    def __init__(self, to: Any, *, metrics: Iterable[Metric] = (), clock: Callable[[], float] = time.time) -> None:
        self.metrics: Mapping[str, Metric] = {metric.name: metric for metric in metrics}
        self._tell = _sink(to)
        self._clock = clock

    def record(
        self,
        success: bool | None = None,
        *,
        score: float | None = None,
        task_id: str | None = None,
        run_id: Any = None,
        decision_id: str | None = None,
        message: Any = None,
        key: str = "success",
        source: str = "user",
        human_minutes: float | None = None,
        baseline_minutes: float | None = None,
        value_usd: float | None = None,
        comment: str | None = None,
        at: float | None = None,
    ) -> Outcome:
        """Tell one outcome; return it as it was recorded.

        Args:
            success: Whether the task succeeded.
            score: The value of the metric `key`.
            task_id: The task; the one around the call where nothing else is named.
            run_id: A LangChain run: a root run, or a model's.
            decision_id: A decision of a router.
            message: A message that came from a router, in place of its decision's id.
            key: What is told; a declared metric's name, or any word.
            source: Who says so: `user`, `tests`, `reviewer`, …; `evaluator:…` and `implicit:…` weigh less.
            human_minutes: Minutes that people spent on it, reviewing and mending included.
            baseline_minutes: Minutes it would have taken without.
            value_usd: What it was worth.
            comment: What somebody wrote; kept at level `full` only.
            at: When it was told, in seconds since the epoch; now where nothing is given.

        Raises:
            InputError: It is about nothing, says nothing, or a value is not of its kind.
        """
        if message is not None and decision_id is None:
            carried = getattr(message, "response_metadata", None) or {}
            decision_id = (carried.get(KEY) or {}).get("decision_id")
            if decision_id is None:
                run_id = run_id or _run_of(message)
        if task_id is None and run_id is None and decision_id is None:
            around = current_task()
            if around is None:
                raise InputError("An outcome is about something: give task_id, run_id, decision_id or message.")
            task_id = around.id
        success, score = self._read(key, success, score)
        if all(one is None for one in (success, score, human_minutes, baseline_minutes, value_usd, comment)):
            raise InputError("An outcome says something: give success, score, minutes, value_usd or comment.")
        outcome = Outcome(
            key=key,
            score=score,
            success=success,
            task_id=str(task_id) if task_id is not None else None,
            decision_id=str(decision_id) if decision_id is not None else None,
            run_id=str(run_id) if run_id is not None else None,
            source=source,
            human_minutes=_amount(human_minutes, "human_minutes"),
            baseline_minutes=_amount(baseline_minutes, "baseline_minutes"),
            value_usd=_number(value_usd, "value_usd") if value_usd is not None else None,
            comment=comment,
            at=self._clock() if at is None else _moment(at),
        )
        self._tell(outcome)
        return outcome

    def _read(self, key: str, success: bool | None, score: Any) -> tuple[bool | None, float | None]:
        metric = self.metrics.get(key)
        value = score if score is not None else success
        if metric is not None and value is not None:
            read, number = metric.read(value)
            return (success if success is not None and score is not None else read), number
        if success is not None and not isinstance(success, bool):
            raise InputError(f"success is True, False or None, not {success!r}; a number is a score.")
        if score is None:
            return success, None
        number = _number(score, "score")
        if key == "success" and success is None:
            if not 0 <= number <= 1:
                raise InputError(f"A score of success is from 0 to 1, not {score!r}. Give other numbers a key of their own.")
            success = number >= 0.5
        return success, number


def record_outcome(to: Any, success: bool | None = None, *, metrics: Iterable[Metric] = (), **fields: Any) -> Outcome:
    """Tell one outcome; see `Outcomes.record` for what can be told.

    Args:
        to: A ledger, `Router`, `ChatRouter`, `OutcomeTracker`, or several.
        success: Whether the task succeeded.
        metrics: Keys whose values mean something declared.
        fields: What else there is to tell.

    Example:
        >>> from langroute.ledger.memory import MemoryLedger
        >>> ledger = MemoryLedger()
        >>> record_outcome(ledger, False, task_id="t1", source="reviewer", human_minutes=12).success
        False
    """
    return Outcomes(to, metrics=metrics).record(success, **fields)


def _sink(to: Any) -> Callable[[Outcome], Any]:
    """Where outcomes are told."""
    if isinstance(to, (list, tuple)):
        sinks = [_sink(one) for one in to]

        def tell_all(outcome: Outcome) -> None:
            for tell in sinks:
                tell(outcome)

        return tell_all
    for name in ("model", "router", "ledger"):
        # A node has a chat model, that a router, a tracker a ledger; a router has a ledger too, and tells more than that.
        if not callable(getattr(to, "record_outcome", None)) and hasattr(to, name):
            to = getattr(to, name)
    tell = getattr(to, "record_outcome", None)
    if not callable(tell):
        raise ConfigurationError(f"Outcomes are told to a ledger, a router or a tracker; {type(to).__name__} is none of them.")
    return tell  # type: ignore[no-any-return]


def _run_of(message: Any) -> str | None:
    found = getattr(message, "id", None)
    if isinstance(found, str):
        for prefix in ("lc_run--", "run--"):
            if found.startswith(prefix):
                return found[len(prefix) :][:36]
    return None


def _number(value: Any, where: str) -> float:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        hint = " Give value.timestamp()." if hasattr(value, "timestamp") else ""
        raise InputError(f"{where} is a number, not {value!r}.{hint}")
    return float(value)


def _moment(value: Any) -> float:
    number = _number(value, "at")
    if not 0 <= number < _YEAR_3000:
        raise InputError(f"at is in seconds since the epoch, not {value!r}; milliseconds are divided by 1000.")
    return number


_YEAR_3000 = 32_503_680_000.0


def _amount(value: Any, where: str) -> float | None:
    if value is None:
        return None
    number = _number(value, where)
    if number < 0:
        raise InputError(f"{where} is from 0 up, not {value!r}.")
    return number


# LangSmith -----------------------------------------------------------------------------------------------------------


def from_langsmith(feedback: Any, *, metrics: Iterable[Metric] = ()) -> Outcome:
    """A LangSmith feedback as an outcome. A score of 1 or 0 is a success or none, unless a metric of that key says otherwise.

    Args:
        feedback: A `langsmith.schemas.Feedback`, or a mapping with its fields.
        metrics: Keys whose values mean something declared.

    Example:
        >>> told = from_langsmith({"run_id": "r1", "key": "thumbs", "score": 1, "feedback_source": {"type": "app"}})
        >>> told.success, told.source
        (True, 'langsmith:app')
        >>> invented = {"run_id": "r1", "key": "hallucinated", "score": 1}
        >>> from_langsmith(invented, metrics=[Metric("hallucinated", higher_is_better=False)]).success
        False
    """

    def read(name: str, source: Any = feedback) -> Any:
        return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)

    score, value, origin = read("score"), read("value"), read("feedback_source")
    number = float(score) if isinstance(score, (bool, int, float)) else None
    if number is None and isinstance(value, (bool, int, float)):
        number = float(value)
    success = None if number not in (0.0, 1.0) else number == 1.0
    declared = next((metric for metric in metrics if metric.name == read("key")), None)
    if declared is not None and number is not None:
        try:
            success, number = declared.read(number)
        except InputError:
            # One feedback of another kind is no reason to lose all those after it.
            success = None
    kind = str(read("type", origin) or "api") if origin is not None else "api"
    created = read("created_at")
    # What a model said of it in LangSmith is an evaluator's word here too.
    source = f"evaluator:langsmith:{read('key')}" if kind == "model" else f"langsmith:{kind}"
    return Outcome(
        key=str(read("key")),
        score=number,
        success=success,
        run_id=str(read("run_id")) if read("run_id") is not None else None,
        source=source,
        comment=read("comment"),
        at=created.timestamp() if hasattr(created, "timestamp") else time.time(),
    )


def to_langsmith(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the arguments of `langsmith.Client.create_feedback`.

    Example:
        >>> to_langsmith(Outcome("resolved", success=True, run_id="r1", source="tests", at=1.0))["score"]
        1.0
    """
    score = outcome.score if outcome.score is not None else (None if outcome.success is None else float(outcome.success))
    told = {
        "task_id": outcome.task_id,
        "decision_id": outcome.decision_id,
        "human_minutes": outcome.human_minutes,
        "baseline_minutes": outcome.baseline_minutes,
        "value_usd": outcome.value_usd,
    }
    return {
        "run_id": outcome.run_id,
        "key": outcome.key,
        "score": score,
        "comment": outcome.comment,
        "source_info": {"source": outcome.source, **{name: value for name, value in told.items() if value is not None}},
    }


def pull_langsmith(client: Any, run_ids: Iterable[Any], to: Any, *, metrics: Iterable[Metric] = ()) -> int:
    """Record what people and programs said of some runs in LangSmith; return how much that was.

    Args:
        client: A `langsmith.Client`.
        run_ids: Root runs, or models'.
        to: A ledger, `Router`, `ChatRouter` or `OutcomeTracker`.
        metrics: Keys whose values mean something declared; of a key where less is better, 1 is no success.
    """
    tell, declared = _sink(to), list(metrics)
    told = 0
    for feedback in client.list_feedback(run_ids=list(run_ids)):
        tell(from_langsmith(feedback, metrics=declared))
        told += 1
    return told


__all__ = ["Metric", "Outcomes", "from_langsmith", "pull_langsmith", "record_outcome", "to_langsmith"]
