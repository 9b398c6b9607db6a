"""How does what was recorded become traffic that policies are fitted and replayed on? One request a line, as `docs/traffic.md` has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from langroute.ledger import schema
from langroute.ledger.codec import loads
from langroute.ledger.facts import boil
from langroute.records import Attempt, Decision, Outcome, Usage

_AT_ONCE = 1000


def export_traffic(ledger: Any, since: float = 0.0, until: float | None = None) -> Iterator[dict[str, Any]]:
    """Decisions that called a model, as recorded traffic, oldest first.

    What was asked is there only where the ledger keeps text (level `full`); else each request is one empty message, which still says
    what kind of step it was, what it cost and how it went. An answer's score is what was told of the decision, else of its task, else
    what its verifiers said. The route that was tried first has the propensity with which it was chosen.

    Args:
        ledger: A `SqlLedger`.
        since: Seconds since the epoch.
        until: Seconds since the epoch; now where nothing is given.

    Example:
        >>> import tempfile, pathlib
        >>> from langroute.ledger import open_ledger
        >>> from langroute.records import Selection, Step
        >>> with open_ledger(pathlib.Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        ...     tried = Attempt(Selection("small"), usage=Usage(100, 20), cost_usd=0.1, latency_s=0.5)
        ...     ledger.record(Decision("d1", Step("title", task="t1"), "small", (tried,), started_at=1.0))
        ...     ledger.record_outcome(Outcome(success=True, task_id="t1", source="tests", at=2.0))
        ...     [line["outcomes"] for line in export_traffic(ledger)]
        [{'small': {'score': 1.0, 'input_tokens': 100, 'output_tokens': 20, 'cost_usd': 0.1, 'latency_s': 0.5, 'propensity': 1.0}}]
    """
    d, t, la = schema.decisions.c, schema.tasks.c, schema.labels.c
    page = (
        select(d.n, d.task, t.id.label("task_id"), t.success, la.team, la.task_kind, schema.details.c.record)
        .join_from(schema.decisions, schema.details, schema.details.c.decision == d.n)
        .join(schema.tasks, t.n == d.task)
        .join(schema.labels, la.id == d.label)
        .where(d.attempts > 0, d.at >= since)
        .order_by(d.n)
        .limit(_AT_ONCE)
    )
    if until is not None:
        page = page.where(d.at < until)
    last = 0
    while True:
        with ledger.reading() as connection:
            rows = connection.execute(page.where(d.n > last)).all()
            told = _told(connection, [row.n for row in rows])
        for row in rows:
            success = told.get(row.n, None if row.success is None else bool(row.success))
            yield _line(loads(row.record), success, row)
        if len(rows) < _AT_ONCE:
            return
        last = rows[-1].n


def _told(connection: Any, numbers: list[int]) -> dict[int, bool]:
    """What was told of some decisions themselves."""
    o = schema.outcomes.c
    outcomes: dict[int, list[Outcome]] = {}
    for row in connection.execute(select(schema.outcomes).where(o.decision.in_(numbers), o.success.is_not(None)).order_by(o.n)):
        outcomes.setdefault(row.decision, []).append(Outcome(success=bool(row.success), source=row.source, at=row.at))
    return {number: bool(boil(several).success) for number, several in outcomes.items()}


def _line(decision: Decision, success: bool | None, row: Any) -> dict[str, Any]:
    step = {
        "kind": decision.step.kind,
        "node": decision.step.node,
        "team": row.team,
        "served": decision.route,
        "task_id": row.task_id,
        "signals": _signals(decision),
    }
    outcomes: dict[str, Any] = {}
    for attempt in decision.attempts:
        # Of several tries of one route the last says how it went.
        outcomes[attempt.route] = _outcome(attempt, success if attempt is decision.kept else None, attempt is decision.kept)
    # What came after the first try was chosen knowing how that went.
    outcomes[decision.attempts[0].route]["propensity"] = decision.attempts[0].selection.propensity
    return {
        "id": decision.id,
        "source": "ledger",
        "task": row.task_kind or decision.step.task_kind or "",
        "messages": [_message(message) for message in decision.messages] or [{"role": "user", "content": ""}],
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
        # It was rejected, by however little.
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
    }
    return {name: value for name, value in known.items() if value is not None or name == "score"}


_ROLES: Mapping[str, str] = {"human": "user", "ai": "assistant"}


def _message(message: Any) -> dict[str, Any]:
    kind = message.type.removesuffix("MessageChunk").lower()
    if kind == "chat":
        kind = message.role
    out: dict[str, Any] = {"role": _ROLES.get(kind, kind), "content": message.content}
    if getattr(message, "tool_calls", None):
        out["tool_calls"] = [{"name": call["name"], "args": call["args"], "id": call["id"]} for call in message.tool_calls]
    if getattr(message, "tool_call_id", None):
        out["tool_call_id"] = message.tool_call_id
    return out


__all__ = ["export_traffic"]
