"""Outcomes: recording how tasks and decisions turned out, and exchange with LangSmith feedback.

`record_outcome` records one outcome of a task, a run or a decision, at once or weeks later. Each may have several;
`langroute.ledger.facts.summarize_outcomes` combines them: the latest word of the source with the most weight decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langroute.core.amounts import YEAR_3000, amount, moment, number, share
from langroute.core.decision_metadata import METADATA_KEY
from langroute.core.errors import ConfigurationError, InputError
from langroute.core.records import Outcome
from langroute.core.storable import finite
from langroute.core.task_context import current_task
from langroute.core.urls import shown_url

KINDS = ("bool", "score", "number")
"""Kinds of metric values: true or false, a score from 0 to 1, any number."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Declaration of an outcome key and of what its values mean.

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
    """Value from which on (or down to which, where lower is better) a task succeeded; `None` leaves that open."""

    decides: bool = True
    """Whether the metric decides about success: a `bool` does by itself, a number where it has a threshold."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(f"Metric {self.name!r}: the kind is one of {', '.join(KINDS)}, not {self.kind!r}.")
        if self.kind == "bool" and self.threshold is not None:
            raise ConfigurationError(f"Metric {self.name!r}: a truth has no threshold. Use kind='score' or 'number'.")

    def read(self, value: Any) -> tuple[bool | None, float]:
        """Return what a value says about success, and the value as a number.

        Raises:
            InputError: The value is not of the metric's kind.
        """
        if self.kind == "bool":
            if not isinstance(value, bool) and value not in (0, 1):
                raise InputError(f"Metric {self.name!r} is a truth, not {value!r}.")
            return (bool(value) == self.higher_is_better if self.decides else None), float(value)
        told = share(value, f"Metric {self.name!r}")
        if self.kind == "score" and not 0 <= told <= 1:
            raise InputError(f"Metric {self.name!r} is a share from 0 to 1, not {value!r}.")
        if self.threshold is None or not self.decides:
            return None, told
        return (told >= self.threshold if self.higher_is_better else told <= self.threshold), told


class Outcomes:
    """Recorder of outcomes for a ledger and everything that learns from them.

    Args:
        to: A ledger, `Router`, `ChatRouter`, `RouterNode`, `RouterMiddleware`, `OutcomeTracker`, or several; a router also tells its policy and hooks.
        metrics: Declared keys; the values of other keys are taken as they are.
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
        """Record one outcome and return it.

        Args:
            success: Whether the task succeeded.
            score: The value of the metric `key`.
            task_id: The task; the surrounding task where nothing else is named.
            run_id: A LangChain run: a root run, or a model's.
            decision_id: A decision of a router.
            message: A message from a router, instead of its decision's id.
            key: Name of the outcome; a declared metric's name, or any word.
            source: Who says so: `user`, `tests`, `reviewer`, …; `evaluator:…` and `implicit:…` weigh less.
            human_minutes: Minutes that people spent on it, including review and correction.
            baseline_minutes: Minutes it would have taken without the program.
            value_usd: What it was worth, in USD.
            comment: Free text; kept at level `full` only.
            at: Time of the outcome in seconds since the epoch; now where nothing is given.

        Raises:
            InputError: It names nothing it is about, has no value, or a value is not of its kind.
        """
        if message is not None and decision_id is None:
            carried = getattr(message, "response_metadata", None) or {}
            decision_id = (carried.get(METADATA_KEY) or {}).get("decision_id")
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
            human_minutes=amount(human_minutes, "human_minutes") if human_minutes is not None else None,
            baseline_minutes=amount(baseline_minutes, "baseline_minutes") if baseline_minutes is not None else None,
            value_usd=number(value_usd, "value_usd") if value_usd is not None else None,
            comment=comment,
            at=self._clock() if at is None else moment(at),
        )
        self._tell(outcome)
        return outcome

    def _read(self, key: str, success: bool | None, score: Any) -> tuple[bool | None, float | None]:
        metric = self.metrics.get(key)
        value = score if score is not None else success
        if metric is not None and value is not None:
            read, found = metric.read(value)
            return (success if success is not None and score is not None else read), found
        if success is not None and not isinstance(success, bool):
            raise InputError(f"success is True, False or None, not {success!r}; a number is a score.")
        if score is None:
            return success, None
        found = share(score)
        if key == "success" and success is None:
            if not 0 <= found <= 1:
                raise InputError(f"A score of success is from 0 to 1, not {score!r}. Give other numbers a key of their own.")
            success = found >= 0.5
        return success, found


def record_outcome(to: Any, success: bool | None = None, *, metrics: Iterable[Metric] = (), **fields: Any) -> Outcome:
    """Record one outcome; see `Outcomes.record` for the fields.

    Args:
        to: A ledger, `Router`, `ChatRouter`, `OutcomeTracker`, or several.
        success: Whether the task succeeded.
        metrics: Declared keys.
        fields: Other fields of the outcome.

    Example:
        >>> from langroute.ledger.memory import MemoryLedger
        >>> ledger = MemoryLedger()
        >>> record_outcome(ledger, False, task_id="t1", source="reviewer", human_minutes=12).success
        False
    """
    return Outcomes(to, metrics=metrics).record(success, **fields)


def _sink(to: Any) -> Callable[[Outcome], Any]:
    """Return the function that records outcomes for this ledger, router or tracker."""
    if isinstance(to, (list, tuple)):
        sinks = [_sink(one) for one in to]

        def tell_all(outcome: Outcome) -> None:
            for tell in sinks:
                tell(outcome)

        return tell_all
    for name in ("model", "router", "ledger"):
        # A node has a chat model, a chat model a router, a tracker a ledger. A router is kept: it also tells its policy and hooks.
        if not callable(getattr(to, "record_outcome", None)) and hasattr(to, name):
            to = getattr(to, name)
    tell = getattr(to, "record_outcome", None)
    if not callable(tell):
        hint = f" Open what has that path or URL: open_ledger({shown_url(str(to))!r})." if isinstance(to, (str, Path)) else ""
        raise ConfigurationError(
            f"Outcomes are told to a ledger, a router or a tracker; {type(to).__name__} is none of them.{hint}"
        )
    return tell  # type: ignore[no-any-return]


def _run_of(message: Any) -> str | None:
    found = getattr(message, "id", None)
    if isinstance(found, str):
        for prefix in ("lc_run--", "run--"):
            if found.startswith(prefix):
                return found[len(prefix) :][:36]
    return None


# LangSmith -----------------------------------------------------------------------------------------------------------


def from_langsmith(feedback: Any, *, metrics: Iterable[Metric] = ()) -> Outcome:
    """Return a LangSmith feedback as an outcome: 1 is success and 0 failure, unless a metric of its key says otherwise.

    Args:
        feedback: A `langsmith.schemas.Feedback`, or a mapping with its fields.
        metrics: Declared keys.

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

    origin = read("feedback_source")
    told = _told(read("score"))
    if told is None:
        told = _told(read("value"))
    success = None if told not in (0.0, 1.0) else told == 1.0
    declared = next((metric for metric in metrics if metric.name == read("key")), None)
    if declared is not None and told is not None:
        try:
            success, told = declared.read(told)
        except InputError:
            # One feedback of the wrong kind must not stop the import of those after it.
            success = None
    kind = str(read("type", origin) or "api") if origin is not None else "api"
    # Feedback that a model gave in LangSmith counts as an evaluator's here.
    source = f"evaluator:langsmith:{read('key')}" if kind == "model" else f"langsmith:{kind}"
    return Outcome(
        key=str(read("key")),
        score=told,
        success=success,
        run_id=str(read("run_id")) if read("run_id") is not None else None,
        source=source,
        comment=read("comment"),
        at=_made_at(read("created_at")),
    )


def _told(value: Any) -> float | None:
    """Return a feedback's number; `None` for an invalid one, since there is nobody to correct it."""
    return float(value) if isinstance(value, bool) else finite(value)


def _made_at(created: Any) -> float:
    """Return when a feedback was given; now where the time is missing or invalid."""
    try:
        found = finite(created.timestamp())
    except (AttributeError, ValueError, OverflowError, OSError):
        found = None
    return found if found is not None and 0 <= found < YEAR_3000 else time.time()


def to_langsmith(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the arguments of `langsmith.Client.create_feedback`.

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
    """Record the LangSmith feedback of some runs as outcomes; return the number of feedbacks.

    Args:
        client: A `langsmith.Client`.
        run_ids: Ids of root runs or model runs.
        to: A ledger, `Router`, `ChatRouter` or `OutcomeTracker`.
        metrics: Declared keys; where lower is better, a value of 1 is a failure.
    """
    tell, declared = _sink(to), list(metrics)
    told = 0
    for feedback in client.list_feedback(run_ids=list(run_ids)):
        tell(from_langsmith(feedback, metrics=declared))
        told += 1
    return told


__all__ = ["Metric", "Outcomes", "from_langsmith", "pull_langsmith", "record_outcome", "to_langsmith"]
