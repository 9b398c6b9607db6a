"""Collection of outcomes: asks other routes for a sample of recorded requests, and scores the answers with verifiers or a judge.

What `fit`, `replay` and `advise` need, and a log of one route a request does not have. All answers, the recorded one too where its text was
kept, are scored by the same verifiers; how often these agree with outcomes that were told is counted.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.utils import count_tokens_approximately

from langroute.adapt.history import adapt
from langroute.adapt.target import target_for
from langroute.budgets.max_cost import MaxCost, answer_limit
from langroute.core.answers import canonical
from langroute.core.bounded import error_text
from langroute.core.errors import ConfigurationError, DataError, InputError
from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records import Attempt, Request, Selection, Signals, Step
from langroute.learning.hashing import number_of
from langroute.learning.journal import Journal
from langroute.learning.named import messages_of
from langroute.learning.traffic import Exchange, parse_exchange
from langroute.ledger.export import message_row
from langroute.policies.shadow import wilson
from langroute.providers.failures import classify, maybe_billed
from langroute.providers.usage import usage_of
from langroute.routes.pricing import cost
from langroute.routes.route import identity
from langroute.verifiers.base import name_of, run, score_of
from langroute.verifiers.judge import MOST_ANSWER, Judge

RECORDED = " recorded"
"""Behind a route's name in the journal: the score of its recorded answer; no call was made."""

MOST_SECONDS = 600.0
"""Longest call of a route that is priced by the second, for the limit of spend."""

GIVE_UP = 5
"""Calls of a route that fail one after the other before it is asked no more."""


@fast_dataclass
class CollectTerms:
    """How much is collected, and what is done with it."""

    max_usd: float
    """Most USD that are spent, checks included; what an earlier, interrupted run spent counts."""

    sample: int = 500
    """Requests that are drawn."""

    workers: int = 4
    """Calls at a time."""

    redact: Callable[[Sequence[Any]], Sequence[Any]] | None = None
    """Takes the messages of a request and returns those that routes and judges may see; they are what is written, too."""

    def __post_init__(self) -> None:
        if not self.max_usd > 0:
            raise InputError(f"max_usd is a number above 0, not {self.max_usd!r}.")


@dataclass(slots=True)
class Collected:
    """What a collection did."""

    requests: int = 0
    """Requests that were drawn."""

    asked: int = 0
    """Answers that were collected, those of earlier runs included."""

    missing: int = 0
    """Answers that were not: too dear, failed, or the route was given up."""

    failed: Counter[str] = field(default_factory=Counter)
    """Failed calls of this run by route."""

    given_up: dict[str, str] = field(default_factory=dict)
    """Routes that are asked no more, and their last error."""

    spent_usd: float = 0.0
    stopped: bool = False
    """Whether the next call could have cost more than is left."""

    told: int = 0
    """Recorded answers that had an outcome and were scored again."""

    agreed: int = 0
    """Those of which the verifiers say the same."""

    @property
    def agreement(self) -> tuple[float, float, float] | None:
        """Share of the told outcomes that the verifiers agree with, and its 95 % interval: compare it with break-even accuracies."""
        return (self.agreed / self.told, *wilson(self.agreed, self.told)) if self.told else None


@dataclass(frozen=True, slots=True)
class _Answered:
    """A call that has ended."""

    row: Mapping[str, Any]
    route: str
    request: Request
    attempt: Attempt
    score: float | None
    checked_usd: float | None


def setup_of(routes: Mapping[str, Any], verifiers: Sequence[Any]) -> dict[str, str]:
    """Return what answers and scores depend on, for the journal: each route's model, and the verifiers."""
    found = {f"route {name}": str(route.info.model) for name, route in routes.items()}
    judges = [str(identity(one.model)[1]) if isinstance(one, Judge) else "" for one in verifiers]
    said = [" ".join(part for part in (name_of(one), judge) if part) for one, judge in zip(verifiers, judges, strict=True)]
    return {**found, "verifiers": ", ".join(said)}


class Collector:
    """Asks routes about recorded requests.

    Args:
        routes: Built routes by name; every one needs a price.
        verifiers: What scores the answers.
        terms: How much is collected.
        journal: Where answers are kept.
        record: Told of every new answer: the request's row, the attempt, its score.
        judged: Told of every recorded answer that was scored: the request's row, the route, the score.
        progress: Told how many answers there are, of how many, and what was spent.

    Raises:
        ConfigurationError: A route has no price, so that no limit of spend could hold.
    """

    def __init__(
        self,
        routes: Mapping[str, Any],
        verifiers: Sequence[Any],
        terms: CollectTerms,
        journal: Journal,
        *,
        record: Callable[[Mapping[str, Any], Attempt, float | None], None] | None = None,
        judged: Callable[[Mapping[str, Any], str, float], None] | None = None,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> None:
        unpriced = [name for name, route in routes.items() if route.info.price is None]
        if unpriced:
            raise ConfigurationError(f"No price is known for {', '.join(unpriced)}, so spend cannot be limited. Give --prices.")
        self.routes, self.verifiers, self.terms, self.journal = routes, verifiers, terms, journal
        self._record, self._judged, self._progress = record, judged, progress
        self._targets = {name: target_for(route.info, route.model) for name, route in routes.items()}
        self._bounds, self._reserved = MaxCost(), 0.0
        self._in_row: Counter[str] = Counter()
        self._done = sum(name in routes for answers in journal.answers.values() for name in answers)
        self.result = Collected(spent_usd=journal.spent_usd)

    def draw(self, rows: Iterable[tuple[str, Any]]) -> set[str]:
        """Return the ids of the sampled requests: those with the lowest hashes, so that another run draws the same.

        Raises:
            DataError: No request has a text.
        """
        lowest: list[tuple[int, str]] = []
        read = 0
        for where, row in rows:
            one = parse_exchange(row, where)
            read += 1
            if _has_text(one):
                key = -number_of(one.id)
                (heapq.heappush if len(lowest) < self.terms.sample else heapq.heappushpop)(lowest, (key, one.id))
        if not lowest:
            raise DataError(
                f"None of {read:,} requests has a text, so no route can be asked. A ledger keeps texts at level `full` only: "
                "open_ledger(..., level='full')."
            )
        self.result.requests = len(lowest)
        return {name for _, name in lowest}

    def ask(self, rows: Iterable[tuple[str, Any]], drawn: set[str]) -> Collected:
        """Ask every route about the drawn requests, and score the answers; what the journal has is not asked again."""
        total = len(drawn) * len(self.routes)
        running: dict[Future[Any], float] = {}
        with ThreadPoolExecutor(self.terms.workers, "langroute-collect") as pool:
            try:
                for row, route, request in self._wanted(rows, drawn):
                    while len(running) >= self.terms.workers or (running and not self._fits(route, request)):
                        self._finish(running, total)
                    worst = self._worst(route, request)
                    if not self._fits(route, request):
                        self.result.stopped = True
                        break
                    if route not in self.result.given_up:
                        self._reserved += worst
                        running[pool.submit(self._one, row, route, request)] = worst
            finally:
                # Whatever was sent is paid for: its answers are kept also where the user interrupts.
                while running:
                    self._finish(running, total)
        self.result.asked = sum(self.journal.has(one, route) for one in drawn for route in self.routes)
        self.result.missing = total - self.result.asked
        return self.result

    def rows(self, rows: Iterable[tuple[str, Any]], drawn: set[str]) -> Iterator[dict[str, Any]]:
        """Yield the drawn requests with the recorded and the collected outcomes, those that have a collected one."""
        for where, row in rows:
            one = parse_exchange(row, where)
            answers = self.journal.answers.get(one.id, {})
            found = {name: dict(outcome) for name, outcome in answers.items() if name in self.routes}
            if one.id in drawn and found:
                # Of routes that were asked in turn the later ones met what the first one failed at: only fresh answers are fair.
                recorded = {} if one.in_turn else self._recorded(row, answers)
                yield self._merged(row, one) | {"outcomes": recorded | found}

    def _merged(self, row: Mapping[str, Any], one: Exchange) -> dict[str, Any]:
        """Return a request as it is written: redacted, where that is wanted, and then without anything that may repeat its text."""
        if one.in_turn:
            row = {**row, "step": {name: value for name, value in one.step.items() if name not in ("served", "attempts")}}
        if self.terms.redact is None:
            return dict(row)
        kept = {name: row[name] for name in ("id", "source", "task", "tools", "step") if name in row}
        return kept | {"messages": [message_row(message) for message in self._seen(one)]}

    def _recorded(self, row: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recorded outcomes with the scores of the same verifiers."""
        outcomes = {name: dict(outcome) for name, outcome in row["outcomes"].items() if outcome is not None}
        for name, outcome in outcomes.items():
            outcome.pop("output", None)
            if self.terms.redact is not None:
                outcome.pop("answer", None)
            if (judged := answers.get(name + RECORDED)) is not None:
                told, outcome["score"] = outcome.get("score"), judged["score"]
                if told is not None and judged["score"] is not None:
                    outcome["told"] = told
        return outcomes

    def _wanted(self, rows: Iterable[tuple[str, Any]], drawn: set[str]) -> Iterator[tuple[Mapping[str, Any], str, Request]]:
        """Yield the requests and routes that are not in the journal; recorded answers are scored on the way."""
        for where, row in rows:
            one = parse_exchange(row, where)
            if one.id not in drawn:
                continue
            messages = self._seen(one)
            signals = Signals(tokens=count_tokens_approximately(messages), messages=len(messages))
            step = Step(str(one.step.get("kind") or ""), one.step.get("node"), task_kind=one.task or None, signals=signals)
            request = Request(tuple(messages), step, tuple(route.info for route in self.routes.values()), tools=one.tools)
            self._score_recorded(row, one, request)
            for route in self.routes:
                if not self.journal.has(one.id, route) and route not in self.result.given_up:
                    yield row, route, request

    def _seen(self, one: Exchange) -> list[Any]:
        messages = messages_of(one)
        return messages if self.terms.redact is None else list(self.terms.redact(messages))

    def _score_recorded(self, row: Mapping[str, Any], one: Exchange, request: Request) -> None:
        """Score the answers that the record has the text of."""
        for name, outcome in row["outcomes"].items():
            text = outcome.get("output") if isinstance(outcome, Mapping) else None
            if not isinstance(text, str) or name in self.routes or one.in_turn:
                continue
            attempt = Attempt(Selection(name), AIMessage(text))
            if not self.journal.has(one.id, name + RECORDED):
                if self.result.spent_usd + self._reserved + self._worst_check(request, attempt) > self.terms.max_usd:
                    return
                score, checked = self._check(request, attempt)
                paid = self._worst_check(request, attempt) if checked is None else checked
                self.journal.add(one.id, name + RECORDED, {"score": score}, paid)
                self.result.spent_usd += paid
                if self._judged is not None and score is not None:
                    self._judged(row, name, score)
            score, told = self.journal.answers[one.id][name + RECORDED]["score"], one.outcomes[name].score
            if score is not None and told is not None:
                self.result.told += 1
                self.result.agreed += (score >= 0.5) == (told >= 0.5)

    def _worst(self, route: str, request: Request) -> float:
        """Return the most that a call and its check can cost."""
        built = self.routes[route]
        seconds = MOST_SECONDS if built.info.price.per_second else 0.0
        most = self._bounds.usd(built.info, request, answer_limit(built, request), seconds, built.terms)
        if most is None:
            raise ConfigurationError(f"What a call of {route} can cost is not known, so spend cannot be limited. Give --prices.")
        return most + self._worst_check(request, Attempt(Selection(route), AIMessage("x" * MOST_ANSWER)))

    def _worst_check(self, request: Request, attempt: Attempt) -> float:
        bounds = [one.worst_cost_usd(request, attempt) for one in self.verifiers if callable(getattr(one, "worst_cost_usd", None))]
        if None in bounds:
            raise ConfigurationError(
                "The judge's price is not known, so spend cannot be limited. Give it: Judge(model, price=...)."
            )
        return float(sum(bounds))

    def _fits(self, route: str, request: Request) -> bool:
        return self.result.spent_usd + self._reserved + self._worst(route, request) <= self.terms.max_usd

    def _one(self, row: Mapping[str, Any], route: str, request: Request) -> _Answered:
        """Ask one route about one request; runs in a worker thread."""
        built, begun = self.routes[route], monotonic()
        selection, answer = Selection(route), None
        try:
            messages = adapt(request.messages, self._targets[route]).messages
            model = built.model.bind_tools(list(request.tools)) if request.tools else built.model
            answer = model.invoke(list(messages), {"callbacks": []}, **dict(built.kwargs))
        except Exception as error:  # noqa: BLE001 - a route that fails is counted, and asked again by another run
            known = None if maybe_billed(classify(error).kind) else 0.0
            failed = Attempt(selection, cost_usd=known, latency_s=monotonic() - begun, error_type=type(error).__name__, error=error)
            return _Answered(row, route, request, failed, None, 0.0)
        usage = usage_of(answer)
        seconds = monotonic() - begun
        paid = cost(built.info.price, usage, seconds)
        attempt = Attempt(selection, answer, usage=usage, cost_usd=paid, latency_s=seconds)
        return _Answered(row, route, request, attempt, *self._check(request, attempt))

    def _check(self, request: Request, attempt: Attempt) -> tuple[float | None, float | None]:
        """Return the score of an answer, and what the check cost; `None` where that is not known."""
        verdicts = run(self.verifiers, request, attempt)
        costs = [one.cost_usd for one in verdicts]
        return score_of(verdicts), None if None in costs else float(sum(cost for cost in costs if cost is not None))

    def _finish(self, running: dict[Future[Any], float], total: int) -> None:
        """Wait for a call, and keep its answer."""
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            worst = running.pop(future)
            self._reserved -= worst
            one: _Answered = future.result()
            attempt, usage = one.attempt, one.attempt.usage
            # Where a cost is not known it may be all that was reserved.
            spent = worst if attempt.cost_usd is None or one.checked_usd is None else attempt.cost_usd + one.checked_usd
            self.result.spent_usd += spent
            self.journal.add(str(one.row["id"]), one.route, None if attempt.error_type else _outcome(attempt, one.score), spent)
            if usage is not None:
                self._bounds.learn(one.route, one.request, usage, price=self.routes[one.route].info.price)
            self._count(one.route, attempt)
            if self._record is not None:
                self._record(one.row, attempt, one.score)
            if self._progress is not None:
                self._progress(self._done, total, self.result.spent_usd)

    def _count(self, route: str, attempt: Attempt) -> None:
        if attempt.error_type is None:
            self._done += 1
            self._in_row[route] = 0
            return
        self.result.failed[route] += 1
        self._in_row[route] += 1
        if self._in_row[route] >= GIVE_UP:
            self.result.given_up[route] = attempt.error_type if attempt.error is None else error_text(attempt.error)


def _has_text(one: Exchange) -> bool:
    return any(message.get("content") for message in one.messages)


def _outcome(attempt: Attempt, score: float | None) -> dict[str, Any]:
    usage = attempt.usage
    known = {
        "score": score,
        "input_tokens": 0 if usage is None else usage.input_tokens,
        "output_tokens": 0 if usage is None else usage.output_tokens,
        "cost_usd": attempt.cost_usd,
        "latency_s": attempt.latency_s,
        "answer": canonical(attempt),
    }
    return {name: value for name, value in known.items() if value is not None or name in ("score", "answer")}
