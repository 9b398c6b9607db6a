"""Columns of a report's lines: what the CSV file and the terminal's table show of each. A new column is a row here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from langroute.reports.model import CALL_DIMENSIONS, Line
from langroute.reports.words import count, money, percent, rate, seconds, usd


class CsvColumn(NamedTuple):
    """A column of the CSV file."""

    name: str
    read: Callable[[Line], Any]
    is_partial: bool = False
    """Money that calls without a price are left out of: where there are any, the name ends in `_at_least`."""


class TableColumn(NamedTuple):
    """A column of the terminal's table."""

    name: str
    show: Callable[[Line], str]
    keep: int | None = None
    """Place in the order in which columns are left out on a narrow terminal; `None` for one that always stays."""

    name_of_calls: str | None = None
    """Name where the lines are parts of tasks: models, routes and so on."""

    def named(self, by: str) -> str:
        """Return its name in a report by this dimension."""
        return self.name_of_calls if self.name_of_calls is not None and by in CALL_DIMENSIONS else self.name


CSV_COLUMNS = (
    CsvColumn("spend_usd", lambda line: line.spend.usd, is_partial=True),
    CsvColumn("unknown_price_calls", lambda line: line.spend.unknown),
    CsvColumn("tasks", lambda line: line.tasks),
    CsvColumn("tasks_told", lambda line: line.success.of),
    CsvColumn("succeeded", lambda line: line.success.hits),
    CsvColumn("success_rate", lambda line: line.success.share),
    CsvColumn("success_low", lambda line: line.success.low if line.success.of else None),
    CsvColumn("success_high", lambda line: line.success.high if line.success.of else None),
    CsvColumn("usd_per_success", lambda line: line.per_success.usd, is_partial=True),
    CsvColumn("calls", lambda line: line.calls),
    CsvColumn("errors", lambda line: line.errors),
    CsvColumn("retries", lambda line: line.retries),
    CsvColumn("decisions", lambda line: line.decisions),
    CsvColumn("escalation_rate", lambda line: line.escalation_rate),
    CsvColumn("p50_s", lambda line: line.p50_s),
    CsvColumn("p95_s", lambda line: line.p95_s),
    CsvColumn("input_tokens", lambda line: line.tokens.input),
    CsvColumn("output_tokens", lambda line: line.tokens.output),
    CsvColumn("cache_read_tokens", lambda line: line.tokens.cache_read),
    CsvColumn("cache_write_tokens", lambda line: line.tokens.cache_write),
    CsvColumn("response_cache_hits", lambda line: line.response_hits),
    CsvColumn("response_cache_saved_usd", lambda line: line.response_saved_usd),
    CsvColumn("saved_usd", lambda line: line.saved_usd),
    CsvColumn("hours_saved", lambda line: line.hours_saved),
)
"""Columns of the CSV file after the first, which names the line."""


def per_success(line: Line) -> str:
    """Format the cost per success. "unknown" is reserved for prices; without a success there is nothing to divide by."""
    if line.success.hits:
        return money(line.per_success)
    return "none succeeded" if line.success.of else ""


TABLE_COLUMNS = (
    TableColumn("spend", lambda line: money(line.spend)),
    TableColumn("tasks", lambda line: count(line.tasks), name_of_calls="tasks that used it"),
    TableColumn("success (95 %)", lambda line: rate(line.success)),
    TableColumn("per success", per_success),
    TableColumn("calls", lambda line: count(line.calls), keep=4),
    TableColumn("errors", lambda line: count(line.errors), keep=1),
    TableColumn("escalated", lambda line: percent(line.escalation_rate, 1) if line.decisions else "", keep=3),
    TableColumn("p50", lambda line: seconds(line.p50_s), keep=0),
    TableColumn("p95", lambda line: seconds(line.p95_s), keep=2),
    TableColumn("saved", lambda line: "" if line.saved_usd is None else usd(line.saved_usd, sign=True), keep=6),
    TableColumn("hours saved", lambda line: "" if line.hours_saved is None else f"{line.hours_saved:,.1f}", keep=5),
)
"""Columns of the terminal's table after the first. A truncated number would be misleading, so columns are left out instead."""
