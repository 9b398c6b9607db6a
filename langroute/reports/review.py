"""Which decisions are worth a person's look, and what becomes of the ratings?

A person reads what was asked and the answers side by side, without their routes. The rating becomes an outcome of the decision
(`key="review"`): its score says whether the answer that was kept was the better one. It does not say that the task succeeded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from langroute.errors import InputError
from langroute.ledger import schema
from langroute.records import Decision, Outcome
from langroute.reports.window import Window

KEY = "review"
"""The outcome's key."""

WHY = {
    "cheap_failed": "a cheap route answered, and the task failed",
    "disagreement": "the check and the outcome disagree, or an answer was rejected",
    "low_confidence": "the policy was not sure",
}

MOST = 2_000
"""The latest decisions of each kind that are drawn from."""

LOW_CONFIDENCE = 0.6


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a decision, as a reviewer sees it."""

    text: str
    kept: bool
    route: str
    """Not shown before the rating."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A decision to look at."""

    decision: Decision
    why: str
    """A key of `WHY`; not shown before the rating."""

    question: str
    """The end of what was asked; empty where the ledger did not keep it."""

    answers: tuple[Answer, ...]
    """In an order that says nothing."""


def candidates(ledger: Any, window: Window, *, count: int = 10, seed: int | None = None) -> list[Candidate]:
    """Draw decisions that are worth a look, as many of each kind as there are, and that nobody has rated yet.

    Args:
        ledger: A `SqlLedger` of level `full`.
        window: Which time.
        count: How many.
        seed: Draws the same ones again, and in the same order.

    Raises:
        InputError: The ledger keeps no text, or none was kept in this time.
    """
    drawn = random.Random(seed)  # noqa: S311 - a sample, no secret
    with ledger.reading() as connection:
        piles = {why: _numbers(connection, why, window) for why in WHY}
        for pile in piles.values():
            drawn.shuffle(pile)
        found: list[Candidate] = []
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


def _candidate(ledger: Any, connection: Any, number: int, why: str, drawn: random.Random) -> Candidate | None:
    known = connection.execute(select(schema.decisions.c.id).where(schema.decisions.c.n == number)).scalar_one()
    decision: Decision | None = ledger.get(known)
    if decision is None:
        return None
    kept = decision.kept
    answers = [Answer(text, one is kept, one.route) for one in decision.attempts if (text := _text(one.answer))]
    if not any(answer.kept for answer in answers):
        return None
    # Side by side are two: the answer that was kept, and the best of the others.
    others = [answer for answer in answers if not answer.kept][-1:]
    pair = [next(answer for answer in answers if answer.kept), *others]
    drawn.shuffle(pair)
    return Candidate(decision, why, _question(decision.messages), tuple(pair))


def _text(message: Any) -> str:
    """What a message says, its tool calls included."""
    if message is None:
        return ""
    text = str(getattr(message, "text", "") or "")
    calls = [f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", ())]
    return "\n".join([part for part in (text, *calls) if part])


def _question(messages: Iterable[Any]) -> str:
    return "\n".join(f"{message.type}: {_text(message)}" for message in list(messages)[-3:])


def rating(candidate: Candidate, preferred: int | None, *, reviewer: str = "review", at: float | None = None) -> Outcome:
    """A rating as an outcome.

    Args:
        candidate: What was rated.
        preferred: Place of the better answer; `None` where neither is. Of a single answer, 0 says that it will do, `None` that it won't.
        reviewer: Who says so.
        at: Seconds since the epoch.

    Example:
        >>> from langroute.records import Step
        >>> pair = (Answer("4", False, "small"), Answer("5", True, "large"))
        >>> rating(Candidate(Decision("d1", Step(), "large", ()), "disagreement", "2 + 2?", pair), 0, at=1.0).score
        0.0
    """
    score = 1.0 if preferred is not None and candidate.answers[preferred].kept else 0.0
    return _outcome(candidate, score, reviewer, at)


def tie(candidate: Candidate, *, reviewer: str = "review", at: float | None = None) -> Outcome:
    """The rating that both answers are as good as each other: the cheaper one would have done."""
    return _outcome(candidate, 0.5, reviewer, at)


def _outcome(candidate: Candidate, score: float, reviewer: str, at: float | None) -> Outcome:
    return Outcome(KEY, score, decision_id=candidate.decision.id, source=reviewer, at=time.time() if at is None else at)


def summary(outcomes: Sequence[Outcome]) -> str:
    """What a round of ratings came to.

    Example:
        >>> summary([Outcome("review", 1.0), Outcome("review", 0.0), Outcome("review", 0.5)])
        '3 rated: the kept answer was better in 1, as good in 1, worse in 1.'
    """
    scores = [outcome.score for outcome in outcomes]
    return (
        f"{len(scores)} rated: the kept answer was better in {scores.count(1.0)}, as good in {scores.count(0.5)}, "
        f"worse in {scores.count(0.0)}."
    )
