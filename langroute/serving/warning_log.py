"""Langroute's warnings as log records: a web service has nobody who reads its standard error."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from langroute.core.errors import LangrouteWarning


class WarningLog:
    """Writes langroute's warnings to a logger while it is open; those of others go where they went.

    Args:
        logger: The logger.

    Example:
        >>> import sys
        >>> logger = logging.getLogger("worker")
        >>> logger.addHandler(logging.StreamHandler(sys.stdout))
        >>> log = WarningLog(logger)
        >>> log.open()
        >>> warnings.warn("The ledger cannot be written.", LangrouteWarning)
        The ledger cannot be written.
        >>> log.close()
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.logger = logger
        self._before: Any = None
        self._filter: Any = None

    def open(self) -> None:
        """Begin to write to the logger."""
        if self._before is None:
            # Each cause is warned about once already; Python's own filter would hide it where it comes up again after a while.
            warnings.simplefilter("always", LangrouteWarning)
            self._filter = warnings.filters[0]
            self._before, warnings.showwarning = warnings.showwarning, self._show

    def close(self) -> None:
        """Stop writing to the logger."""
        if self._before is None:
            return
        if warnings.showwarning == self._show:
            warnings.showwarning = self._before
        if self._filter in warnings.filters:
            warnings.filters.remove(self._filter)  # type: ignore[attr-defined]
        self._before = None

    def _show(self, message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, LangrouteWarning):
            self.logger.warning("%s", message, extra={"langroute": {"event": "warning", "kind": category.__name__}})
        elif self._before is not None:
            self._before(message, category, *where, **more)


__all__ = ["WarningLog"]
