"""Blind human review of decisions: selection of candidates, and ratings as outcomes.

A reviewer reads the request and the answers side by side, without their routes. The rating becomes an outcome of the decision
(`key="review"`): its score says whether the answer that was kept was the better one. It does not say that the task succeeded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from langroute.core.errors import InputError
from langroute.core.message_text import text_with_calls
from langroute.core.records import Decision, Outcome
from langroute.ledger import schema
from langroute.reports.window import Window

KEY = "review"
"""The outcome's key."""

WHY = {
    "cheap_failed": "a cheap route answered, and the task failed",
    "disagreement": "the check and the outcome disagree, or an answer was rejected",
    "low_confidence": "the policy was not sure",
}

MOST = 2_000
"""Number of latest decisions of each kind to sample from."""

LOW_CONFIDENCE = 0.6

MOST_SHOWN = 60_000
"""Longest text of a message, in characters, that is shown whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a decision, as shown to a reviewer."""

    text: str
    kept: bool
    route: str
    """Not shown before the rating."""


@dataclass(frozen=True, slots=True)
class ReviewCandidate:
    """A decision to review."""

    decision: Decision
    why: str
    """A key of `WHY`; not shown before the rating."""

    question: str
    """The end of the request; empty if the ledger did not store it."""

    answers: tuple[Answer, ...]
    """The answers in random order."""


def candidates(ledger: Any, window: Window, *, count: int = 10, seed: int | None = None) -> list[ReviewCandidate]:
    """Sample unrated decisions that are worth a review, drawing from each kind in turn.

    Args:
        ledger: A `SqlLedger` of level `full`.
        window: The time window.
        count: Number of decisions.
        seed: Seed of the sample, to draw the same decisions in the same order.

    Raises:
        InputError: The ledger stores no text, or none in this time window.
    """
    drawn = random.Random(seed)  # noqa: S311 - a sample, no secret
    with ledger.reading() as connection:
        piles = {why: _numbers(connection, why, window) for why in WHY}
        for pile in piles.values():
            drawn.shuffle(pile)
        found: list[ReviewCandidate] = []
        seen: set[int] = set()
        textless = 0
        while len(found) < count and any(piles.values()):
            for why, pile in piles.items():
                while pile:
                    number = pile.pop()
                    if number in seen:
                        continue
                    seen.add(number)
                    made = _candidate(ledger, connection, number, why, drawn)
                    if made is None:
                        textless += 1
                        continue
                    found.append(made)
                    break
        found = found[:count]
    if not found and textless:
        raise InputError(
            f"{textless} decisions are worth a look, but their answers were not kept. Record with "
            "open_ledger(..., level='full', redact=...) to review what is decided from then on."
        )
    return found


def _numbers(connection: Any, why: str, window: Window) -> list[int]:
    d, t, p, o = schema.decisions.c, schema.tasks.c, schema.places.c, schema.outcomes.c
    rated = select(o.decision).where(o.key == KEY, o.decision.is_not(None))
    query = (
        select(d.n)
        .join_from(schema.decisions, schema.tasks, t.n == d.task)
        .join(schema.places, p.id == d.place)
        .where(d.day.between(window.first_day, window.last_day), d.ok == 1, d.n.not_in(rated))
        .order_by(d.n.desc())
        .limit(MOST)
    )
    if why == "cheap_failed":
        query = query.where(p.tier == "cheap", t.success == 0)
    elif why == "disagreement":
        query = query.where((d.escalations > 0) | ((d.score >= 0.5) & (t.success == 0)) | ((d.score < 0.5) & (t.success == 1)))
    else:
        query = query.where(d.confidence < LOW_CONFIDENCE)
    return list(connection.execute(query).scalars())


def _candidate(ledger: Any, connection: Any, number: int, why: str, drawn: random.Random) -> ReviewCandidate | None:
    known = connection.execute(select(schema.decisions.c.id).where(schema.decisions.c.n == number)).scalar_one()
    decision: Decision | None = ledger.get(known)
    if decision is None:
        return None
    kept = decision.kept
    answers = [
        Answer(text, one is kept, one.route) for one in decision.attempts if (text := text_with_calls(one.answer, MOST_SHOWN))
    ]
    if not any(answer.kept for answer in answers):
        return None
    # Two answers are shown side by side: the one that was kept, and the last of the others.
    others = [answer for answer in answers if not answer.kept][-1:]
    pair = [next(answer for answer in answers if answer.kept), *others]
    drawn.shuffle(pair)
    return ReviewCandidate(decision, why, _question(decision.messages), tuple(pair))


def _question(messages: Iterable[Any]) -> str:
    return "\n".join(f"{message.type}: {text_with_calls(message, MOST_SHOWN)}" for message in list(messages)[-3:])


def rating(candidate: ReviewCandidate, preferred: int | None, *, reviewer: str = "review", at: float | None = None) -> Outcome:
    """Return a rating as an outcome.

    Args:
        candidate: The rated decision.
        preferred: Place of the better answer; `None` where neither is. Of a single answer, 0 says that it will do, `None` that it won't.
        reviewer: Name of the reviewer.
        at: Seconds since the epoch.

    Example:
        >>> from langroute.core.records import Step
        >>> pair = (Answer("4", False, "small"), Answer("5", True, "large"))
        >>> rating(ReviewCandidate(Decision("d1", Step(), "large", ()), "disagreement", "2 + 2?", pair), 0, at=1.0).score
        0.0
    """
    score = 1.0 if preferred is not None and candidate.answers[preferred].kept else 0.0
    return _outcome(candidate, score, reviewer, at)


def tie(candidate: ReviewCandidate, *, reviewer: str = "review", at: float | None = None) -> Outcome:
    """Return the rating that both answers are equally good, so that the cheaper route would have sufficed."""
    return _outcome(candidate, 0.5, reviewer, at)


def _outcome(candidate: ReviewCandidate, score: float, reviewer: str, at: float | None) -> Outcome:
    return Outcome(KEY, score, decision_id=candidate.decision.id, source=reviewer, at=time.time() if at is None else at)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return a summary of some ratings.

    Example:
        >>> summary([Outcome("review", 1.0), Outcome("review", 0.0), Outcome("review", 0.5)])
        '3 rated: the kept answer was better in 1, as good in 1, worse in 1.'
    """
    scores = [outcome.score for outcome in outcomes]
    return (
        f"{len(scores)} rated: the kept answer was better in {scores.count(1.0)}, as good in {scores.count(0.5)}, "
        f"worse in {scores.count(0.0)}."
    )
