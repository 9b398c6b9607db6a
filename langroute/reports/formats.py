"""How does a report become JSON or CSV, for programs and spreadsheets?"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from langroute.reports.model import Line, Report
from langroute.reports.stats import Rate
from langroute.reports.window import Window


def to_json(report: Report) -> str:
    """A report as JSON. Unknown is `null`; the first entry says what matters most."""
    return json.dumps(plain(report), indent=2, ensure_ascii=False)


def plain(report: Report) -> dict[str, Any]:
    """A report as plain values."""
    total = report.total
    return {
        "first_line": report.first_line,
        "window": str(report.window),
        "by": report.by,
        "source": report.source,
        "total": _line(total),
        "lines": [_line(line) for line in report.lines],
        "tiers": [_values(share) for share in report.tiers],
        "steps": [_values(share) for share in report.steps],
        "savings": {
            **_values(report.savings),
            "net_usd": report.savings.net_usd,
            "measured_per_success_usd": report.savings.measured_per_success,
        },
        "worth": _values(report.worth),
        "unknown_prices": [_values(one) for one in report.unknown_prices],
        "footprint": _values(report.footprint),
        "metrics": {key: _values(rate) for key, rate in report.metrics.items()},
        "notes": list(report.notes),
    }


def _line(line: Line) -> dict[str, Any]:
    return {**_values(line), "escalation_rate": line.escalation_rate, "untold": line.untold}


def _values(value: Any) -> Any:
    if isinstance(value, Rate):
        told = bool(value.of)
        return {
            "hits": value.hits,
            "of": value.of,
            "share": value.share,
            "low": value.low if told else None,
            "high": value.high if told else None,
        }
    if isinstance(value, Window):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _values(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _values(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_values(inner) for inner in value]
    return value


def to_csv(report: Report) -> str:
    """A report's lines as CSV, the total last. Unknown is an empty cell.

    Where prices are unknown, the first line says so: money then stands in columns that end in `_at_least`.
    """
    partial = "_at_least" if report.total.spend.unknown else ""
    names = [
        report.by,
        f"spend_usd{partial}",
        "unknown_price_calls",
        "tasks",
        "tasks_told",
        "succeeded",
        "success_rate",
        "success_low",
        "success_high",
        f"usd_per_success{partial}",
        "calls",
        "errors",
        "retries",
        "decisions",
        "escalation_rate",
        "p50_s",
        "p95_s",
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "response_cache_hits",
        "response_cache_saved_usd",
        "saved_usd",
        "hours_saved",
    ]
    return write_csv(names, (_cells(line) for line in (*report.lines, report.total)), last="TOTAL")


def _cells(line: Line) -> list[Any]:
    told = bool(line.success.of)
    return [
        line.key,
        line.spend.usd,
        line.spend.unknown,
        line.tasks,
        line.success.of,
        line.success.hits,
        line.success.share,
        line.success.low if told else None,
        line.success.high if told else None,
        line.per_success.usd,
        line.calls,
        line.errors,
        line.retries,
        line.decisions,
        line.escalation_rate,
        line.p50_s,
        line.p95_s,
        line.tokens.input,
        line.tokens.output,
        line.tokens.cache_read,
        line.tokens.cache_write,
        line.response_hits,
        line.response_saved_usd,
        line.saved_usd,
        line.hours_saved,
    ]


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]], *, last: str | None = None) -> str:
    """Rows as CSV; numbers in full, unknown as an empty cell.

    Args:
        names: The header.
        rows: One sequence for each row, in the header's order.
        last: What to call the last row, in its first cell.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    written = [[cell(value) for value in row] for row in rows]
    if written and last is not None:
        written[-1][0] = last
    writer.writerows(written)
    return out.getvalue()


def cell(value: Any) -> Any:
    """A value as a cell: a text that a spreadsheet would run as a formula is made harmless.

    Example:
        >>> cell("=1+1"), cell(-0.5), cell(None)
        ("'=1+1", -0.5, '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return "'" + value
    if isinstance(value, float):
        return float(f"{value:.12g}")
    return value
