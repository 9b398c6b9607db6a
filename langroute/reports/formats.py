"""JSON and CSV formats of a report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from langroute.core.plain_text import cell
from langroute.core.storable import strict_json
from langroute.reports.columns import CSV_COLUMNS
from langroute.reports.model import Line, Report
from langroute.reports.stats import Rate
from langroute.reports.window import Window
from langroute.reports.words import cascade_of


def to_json(report: Report) -> str:
    """Return a report as JSON. Unknown values are `null`; the first entry is the headline."""
    return strict_json(plain(report), indent=2, ensure_ascii=False)


def plain(report: Report) -> dict[str, Any]:
    """Return a report as plain values."""
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
            "net_share": report.savings.net_share,
            "measured_per_success_usd": report.savings.measured_per_success,
        },
        "worth": _values(report.worth),
        "unknown_prices": [_values(one) for one in report.unknown_prices],
        "route_errors": [_values(one) for one in report.route_errors],
        "subtasks": [
            {
                **_values(one),
                "agreement": _values(one.agreement),
                "break_even": one.break_even,
                "loses": one.loses,
                "is_sure": one.is_sure,
                "told": cascade_of(one),
            }
            for one in report.subtasks
        ],
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
    """Return a report's lines as CSV, the total last. Unknown values are empty cells.

    Where prices are unknown, the header says so: the money columns then end in `_at_least`.
    """
    partial = "_at_least" if report.total.spend.unknown else ""
    names = [report.by, *(f"{one.name}{partial}" if one.is_partial else one.name for one in CSV_COLUMNS)]
    rows = ([line.key, *(one.read(line) for one in CSV_COLUMNS)] for line in (*report.lines, report.total))
    return write_csv(names, rows, last="TOTAL")


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]], *, last: str | None = None) -> str:
    """Return rows as CSV; numbers in full precision, unknown values as empty cells.

    Args:
        names: The header.
        rows: One sequence for each row, in the header's order.
        last: Label of the last row, in its first cell.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell(name) for name in names])
    written = [[cell(value) for value in row] for row in rows]
    if written and last is not None:
        written[-1][0] = last
    writer.writerows(written)
    return out.getvalue()
