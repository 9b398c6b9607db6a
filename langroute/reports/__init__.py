"""What was spent, what came of it, and was it worth it? From a ledger to a table, a file or a page."""

from langroute.reports.build import build_report
from langroute.reports.model import Report
from langroute.reports.window import Window

__all__ = ["Report", "Window", "build_report"]
