"""Export of recorded decisions as traffic for fitting and replay, one JSON request a line (format: `docs/traffic.md`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from langroute.core.records import Attempt, Decision, Outcome, Usage
from langroute.ledger import schema
from langroute.ledger.codec import loads
from langroute.ledger.facts import JUDGED, summarize_outcomes
from langroute.ledger.outcome_rows import outcome_of

_AT_ONCE = 1000


def export_traffic(ledger: Any, since: float = 0.0, until: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield the decisions that called a model as recorded traffic, oldest first. Whole subtasks are left out: their steps are there.

    The messages are included only where the ledger stores text (level `full`); otherwise each request is one empty message, and says
    what kind of step it was, what it cost and how it went. An answer's score is the outcome of the decision, else of its task, else
    the verifiers' score, else that of a shadow's judge. What a shadow answered is there beside it. The route that was tried first has the propensity with which it was chosen.

    Args:
        ledger: A `SqlLedger`.
        since: Seconds since the epoch.
        until: Seconds since the epoch; by default now.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.ledger import open_ledger
        >>> from langroute.core.records import Selection, Step
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     tried = Attempt(Selection("small"), usage=Usage(100, 20), cost_usd=0.1, latency_s=0.5)
        ...     ledger.record(Decision("d1", Step("title", task="t1"), "small", (tried,), started_at=1.0))
        ...     ledger.record_outcome(Outcome(success=True, task_id="t1", source="tests", at=2.0))
        ...     [line["outcomes"] for line in export_traffic(ledger)]
        [{'small': {'score': 1.0, 'input_tokens': 100, 'output_tokens': 20, 'cost_usd': 0.1, 'latency_s': 0.5, 'propensity': 1.0}}]
    """
    d = schema.decisions.c
    page = select(d.n).where(d.attempts > 0, d.at >= since).order_by(d.n).limit(_AT_ONCE)
    if until is not None:
        page = page.where(d.at < until)
    last = 0
    while True:
        with ledger.reading() as connection:
            numbers = list(connection.execute(page.where(d.n > last)).scalars())
            lines = list(traffic_of(connection, numbers))
        yield from lines
        if len(numbers) < _AT_ONCE:
            return
        last = numbers[-1]


def traffic_of(connection: Any, numbers: list[int]) -> Iterator[dict[str, Any]]:
    """Yield decisions as recorded traffic, those that called a model.

    Args:
        connection: To the ledger.
        numbers: Row numbers of the decisions, in order; not more than a database takes as parameters.
    """
    d, t, la = schema.decisions.c, schema.tasks.c, schema.labels.c
    query = (
        select(d.n, d.id, d.task, t.id.label("task_id"), t.success, la.team, la.task_kind, schema.details.c.record)
        .join_from(schema.decisions, schema.details, schema.details.c.decision == d.n)
        .join(schema.tasks, t.n == d.task)
        .join(schema.labels, la.id == d.label)
        .where(d.attempts > 0, d.n.in_(numbers))
        .order_by(d.n)
    )
    rows = connection.execute(query).all()
    told, judged = _told(connection, numbers), _judged(connection, numbers)
    shadows = _shadows(connection, [row.id for row in rows])
    for row in rows:
        success = told.get(row.n, None if row.success is None else bool(row.success))
        decision = loads(row.record)
        if decision.attempts and not decision.subtask:
            yield _with_shadows(_line(decision, success, row), judged.get(row.n), shadows.get(row.id, []))


def _told(connection: Any, numbers: list[int]) -> dict[int, bool]:
    """Return the outcomes reported for the decisions themselves."""
    o = schema.outcomes.c
    outcomes: dict[int, list[Outcome]] = {}
    for row in connection.execute(select(schema.outcomes).where(o.decision.in_(numbers), o.success.is_not(None)).order_by(o.n)):
        outcomes.setdefault(row.decision, []).append(outcome_of(row))
    return {number: bool(summarize_outcomes(several).success) for number, several in outcomes.items()}


def _judged(connection: Any, numbers: list[int]) -> dict[int, float]:
    """Return how the judge of a shadow scored the answers of decisions."""
    o = schema.outcomes.c
    rows = connection.execute(select(o.decision, o.score).where(o.decision.in_(numbers), o.key == JUDGED).order_by(o.n))
    return {row.decision: row.score for row in rows if row.score is not None}


def _shadows(connection: Any, ids: list[str]) -> dict[str, list[Any]]:
    """Return the calls of shadows by the decision that they shadowed."""
    c, p = schema.calls.c, schema.places.c
    query = (
        select(schema.calls, p.route, schema.texts.c.record)
        .join_from(schema.calls, schema.places, p.id == c.place)
        .outerjoin(schema.texts, schema.texts.c.call == c.n)
        .where(c.run_id.in_(ids), c.what == "shadow")
        .order_by(c.n)
    )
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, []).append(row)
    return found


def _with_shadows(line: dict[str, Any], judged: float | None, shadows: list[Any]) -> dict[str, Any]:
    """Return a line with what shadows answered to the same request."""
    outcomes = line["outcomes"]
    served = outcomes.get(line["step"].get("served"))
    if served is not None and served["score"] is None:
        served["score"] = judged
    for call in shadows:
        known = {
            "score": 0.0 if call.error_type is not None else call.score,
            "input_tokens": call.input_tokens,
            "output_tokens": call.output_tokens,
            "cost_usd": call.cost_usd,
            "latency_s": call.latency_s,
            "error_type": call.error_type,
            "output": _output(call.record),
        }
        outcomes.setdefault(call.route, {name: value for name, value in known.items() if value is not None or name == "score"})
    return line


def _output(record: str | None) -> str | None:
    """Return the text of a kept answer, where it is one."""
    try:
        found = json.loads(record)["answer"]["data"]["content"] if record is not None else None
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _line(decision: Decision, success: bool | None, row: Any) -> dict[str, Any]:
    step = {
        "kind": decision.step.kind,
        "node": decision.step.node,
        "team": row.team,
        "served": decision.route,
        "task_id": row.task_id,
        "attempts": len(decision.attempts) if len(decision.attempts) > 1 else None,
        "signals": _signals(decision),
    }
    outcomes: dict[str, Any] = {}
    for attempt in decision.attempts:
        # Of several attempts of one route the last counts.
        outcomes[attempt.route] = _outcome(attempt, success if attempt is decision.kept else None, attempt is decision.kept)
    # Later attempts were chosen with knowledge of the first one's result, so only the first has a propensity.
    outcomes[decision.attempts[0].route]["propensity"] = decision.attempts[0].selection.propensity
    return {
        "id": decision.id,
        "source": "ledger",
        "task": row.task_kind or decision.step.task_kind or "",
        "messages": [message_row(message) for message in decision.messages] or [{"role": "user", "content": ""}],
        "step": {name: value for name, value in step.items() if value not in (None, {})},
        "outcomes": outcomes,
    }


def _signals(decision: Decision) -> dict[str, Any]:
    signals = decision.step.signals
    return {name: value for name in type(signals).__dataclass_fields__ if (value := getattr(signals, name)) not in (0, None, False)}


def _outcome(attempt: Attempt, success: bool | None, kept: bool) -> dict[str, Any]:
    usage = attempt.usage or Usage()
    score = attempt.score if success is None else float(success)
    if not attempt.ok:
        score = 0.0
    elif not kept and score is not None:
        # A rejected answer must score below 1, whatever its verifiers said.
        score = min(score, 0.999)
    text = getattr(attempt.answer, "content", None)
    known = {
        "score": score,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": attempt.cost_usd,
        "latency_s": attempt.latency_s,
        "error_type": attempt.error_type,
        "output": text if isinstance(text, str) else None,
        # What the verifiers said of the answer, beside what came of it.
        "verified": attempt.score if success is not None and attempt.ok else None,
    }
    return {name: value for name, value in known.items() if value is not None or name == "score"}


_ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant"}


def message_row(message: Any) -> dict[str, Any]:
    """Return a LangChain message as traffic has it.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> message_row(HumanMessage("Hi."))
        {'role': 'user', 'content': 'Hi.'}
    """
    kind = message.type.removesuffix("MessageChunk").lower()
    if kind == "chat":
        kind = message.role
    out: dict[str, Any] = {"role": _ROLES.get(kind, kind), "content": message.content}
    if getattr(message, "tool_calls", None):
        out["tool_calls"] = [{"name": call["name"], "args": call["args"], "id": call["id"]} for call in message.tool_calls]
    if getattr(message, "tool_call_id", None):
        out["tool_call_id"] = message.tool_call_id
    return out


__all__ = ["export_traffic", "message_row", "traffic_of"]
