"""Evaluators: judge a sample of finished runs by a program or another model, in a background thread."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Any

from langroute.core.errors import ConfigurationError, DegradedWarning
from langroute.core.records import Attempt, Outcome, Request, Selection, Verdict
from langroute.core.worker_pool import Workers
from langroute.ledger.facts import CallRecord


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended without an error, as an evaluator sees it. It is not stored."""

    task_id: str
    root_run_id: str
    inputs: Any
    """Input of the root run."""

    output: Any
    """Output of the root run."""

    messages: Sequence[Any] = ()
    """Messages of the last model call."""

    answer: Any = None
    """The answer of the last model call."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluator."""

    outcome: Outcome | None
    cost_usd: float | None = 0.0
    error: str | None = None
    """Reason why there is no outcome."""


class Evaluator:
    """A check of finished runs as a source of outcomes.

    Args:
        check: A callable of a `Finished` that returns a truth, a score from 0 to 1 or `None` for "cannot tell"; a coroutine function is
            awaited. Or a verifier, such as `langroute.verifiers.Judge`, which is given the last model call.
        name: Name of the metric.
        sample: Share of tasks that are evaluated, 0 to 1. They are chosen by their ids, so that every process chooses the same
            ones.
        threshold: Lowest score that counts as success.

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
        """Return whether the task is part of the sample."""
        if self.sample >= 1:
            return True
        digest = hashlib.blake2b(f"{self.name}\0{task_id}".encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.sample * 2**64

    def evaluate(self, finished: Finished) -> Evaluation:
        """Judge one run. A check that fails gives no outcome, and its error."""
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
    """Evaluates finished runs in a background thread, whose calls are not tracked.

    Args:
        evaluators: The evaluators to use.
        ledger: Where their outcomes and costs are recorded.
        most_waiting: Most runs waiting to be evaluated; further ones are dropped and counted in `unjudged`.
    """

    def __init__(self, evaluators: Iterable[Evaluator], ledger: Any, *, most_waiting: int = 1000) -> None:
        self.evaluators, self.ledger, self.most_waiting = tuple(evaluators), ledger, most_waiting
        self.unjudged = 0
        """Number of evaluations that failed, or were dropped because too many were waiting."""

        self._workers = Workers("langroute-evaluator")

    def for_task(self, task_id: str) -> tuple[Evaluator, ...]:
        """Return the evaluators whose sample contains this task."""
        return tuple([one for one in self.evaluators if one.wants(task_id)]) if self.evaluators else ()

    def judge(self, evaluators: Sequence[Evaluator], finished: Finished) -> None:
        """Queue a finished run for evaluation. Returns at once."""
        if self._workers.submit(self._evaluate, evaluators, finished, most=self.most_waiting) is None:
            self.unjudged += 1

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait until every queued run is judged."""
        self._workers.wait(timeout_s)

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
