"""How good was the answer, as a program or another model sees it? A sample of finished runs, judged beside the program's way."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter, time
from typing import Any

from langroute.errors import ConfigurationError, DegradedWarning
from langroute.ledger.facts import CallRecord
from langroute.records import Attempt, Outcome, Request, Selection, Verdict


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended well, as an evaluator sees it. Nothing of it is kept."""

    task_id: str
    root_run_id: str
    inputs: Any
    """What the root run was given."""

    output: Any
    """What it returned."""

    messages: Sequence[Any] = ()
    """What the last model call was sent."""

    answer: Any = None
    """The message that came of it."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluator found."""

    outcome: Outcome | None
    cost_usd: float | None = 0.0
    error: str | None = None
    """Why there is no outcome."""


class Evaluator:
    """Any check as a source of outcomes.

    Args:
        check: A callable of a `Finished` that returns a truth, a score from 0 to 1 or `None` for "cannot tell"; a coroutine function is
            awaited. Or a verifier, such as `langroute.verifiers.Judge`: it is shown the last model call.
        name: How the metric is called.
        sample: Share of tasks that are evaluated, 0 to 1. Which ones is told by their ids, so that it is the same everywhere.
        threshold: Score from which on the task succeeded.

    Example:
        >>> brief = Evaluator(lambda run: len(run.output) < 80, name="brief")
        >>> brief.evaluate(Finished("t1", "r1", "Hello?", "Hi.")).outcome.success
        True
    """

    def __init__(self, check: Any, *, name: str | None = None, sample: float = 1.0, threshold: float = 0.5) -> None:
        if not 0 <= sample <= 1:
            raise ConfigurationError(f"An evaluator's sample is a share from 0 to 1, not {sample!r}.")
        self.verify = getattr(check, "verify", None)
        if self.verify is None and not callable(check):
            raise ConfigurationError(f"An evaluator is a callable or has a method `verify`; {type(check).__name__} is neither.")
        self.check: Callable[[Finished], Any] = check
        self.name = str(name or getattr(check, "name", None) or getattr(check, "__name__", type(check).__name__))
        self.sample, self.threshold = sample, threshold

    def wants(self, task_id: str) -> bool:
        """The task is part of the sample."""
        if self.sample >= 1:
            return True
        digest = hashlib.blake2b(f"{self.name}\0{task_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.sample * 2**64

    def evaluate(self, finished: Finished) -> Evaluation:
        """Judge one run. A check that fails finds nothing, and says why."""
        try:
            found = self._found(finished)
        except Exception as error:  # noqa: BLE001 - whatever a check raises, the program it looks at goes on
            return Evaluation(None, 0.0, f"{type(error).__name__}: {error}")
        spent: float | None = 0.0
        if isinstance(found, Verdict):
            spent = found.cost_usd
            if found.error is not None:
                return Evaluation(None, spent, found.error)
            found = found.score
        if found is None:
            return Evaluation(None, spent)
        score = float(found)
        if not (math.isfinite(score) and 0 <= score <= 1):
            return Evaluation(None, spent, f"ValueError: a score is from 0 to 1, not {score}")
        outcome = Outcome(
            key=self.name,
            score=score,
            success=score >= self.threshold,
            task_id=finished.task_id,
            run_id=finished.root_run_id,
            source=f"evaluator:{self.name}",
        )
        return Evaluation(outcome, spent)

    def _found(self, finished: Finished) -> Any:
        if self.verify is not None:
            if finished.answer is None:
                return None
            found = self.verify(Request(finished.messages), Attempt(Selection("tracked"), finished.answer))
        else:
            found = self.check(finished)
        if inspect.isawaitable(found):

            async def wait() -> Any:
                return await found

            return asyncio.run(wait())
        return found


class Jury:
    """Has finished runs evaluated in a thread of its own, away from the program's threads and from what is tracked.

    Args:
        evaluators: Who judges.
        ledger: Where their outcomes, and what they cost, are told.
        most_waiting: Most runs waiting to be evaluated; what finds no room is counted in `unjudged`.
    """

    def __init__(self, evaluators: Iterable[Evaluator], ledger: Any, *, most_waiting: int = 1000) -> None:
        self.evaluators, self.ledger, self.most_waiting = tuple(evaluators), ledger, most_waiting
        self.unjudged = 0
        """Evaluations that failed, or found no room."""

        self._waiting: list[Future[None]] = []
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()

    def for_task(self, task_id: str) -> tuple[Evaluator, ...]:
        """Who judges this task."""
        return tuple([one for one in self.evaluators if one.wants(task_id)]) if self.evaluators else ()

    def judge(self, evaluators: Sequence[Evaluator], finished: Finished) -> None:
        """Have a finished run evaluated. Returns at once."""
        with self._lock:
            self._waiting = [one for one in self._waiting if not one.done()]
            if len(self._waiting) >= self.most_waiting:
                self.unjudged += 1
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "langroute-evaluator")
            self._waiting.append(self._pool.submit(self._evaluate, evaluators, finished))

    def wait(self, timeout_s: float = 60.0) -> None:
        """Return when every run is judged."""
        with self._lock:
            waiting = list(self._waiting)
        wait(waiting, timeout=timeout_s)

    def _evaluate(self, evaluators: Sequence[Evaluator], finished: Finished) -> None:
        for evaluator in evaluators:
            begun, at = perf_counter(), time()
            found = evaluator.evaluate(finished)
            if found.cost_usd != 0:
                latency = perf_counter() - begun
                self.ledger.record_call(
                    CallRecord(finished.task_id, "judge", at, cost_usd=found.cost_usd, cost_basis="evaluator", latency_s=latency)
                )
            if found.outcome is not None:
                self.ledger.record_outcome(replace(found.outcome, at=time()))
            elif found.error is not None:
                self.unjudged += 1
                if self.unjudged == 1:
                    text = f"Evaluator {evaluator.name!r} failed: {found.error}. Its tasks have no outcome from it."
                    warnings.warn(text, DegradedWarning, stacklevel=2)


__all__ = ["Evaluation", "Evaluator", "Finished", "Jury"]
