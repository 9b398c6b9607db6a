"""Reports on a ledger: spend, outcomes, savings, alerts and reviews, as a table, file or page."""

from langroute.reports.build import build_report
from langroute.reports.model import Report
from langroute.reports.window import Window

__all__ = ["Report", "Window", "build_report"]
