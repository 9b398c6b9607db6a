"""The journal of a collection: every answer that was paid for, on disk as soon as it is there, so that a collection can go on later."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langroute.core.errors import DataError
from langroute.core.files import open_own
from langroute.core.locks import new_lock
from langroute.core.storable import strict_json

LONGEST_LINE = 1 << 20
"""Most bytes of a line that are read; a longer one is damaged."""


class Journal:
    """Answers by request and route, in a private file that only grows.

    Args:
        path: The file; what is in it already is read. A line that was cut off is left out.
        setup: What the answers depend on, by name: each route's model, the verifiers. What is in the file already was made with the same.

    Raises:
        DataError: The file belongs to somebody else, cannot be read, or was made with other models or verifiers.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "journal"
        >>> with Journal(path) as journal:
        ...     journal.add("1", "small", {"score": 1.0}, 0.25)
        >>> with Journal(path) as journal:
        ...     journal.answers["1"], journal.spent_usd
        ({'small': {'score': 1.0}}, 0.25)
    """

    def __init__(self, path: Path, setup: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._setup: dict[str, str] = {}
        self.answers: dict[str, dict[str, Mapping[str, Any]]] = {}
        """Request → route → outcome."""

        self.spent_usd = 0.0
        """All that was spent, failed calls and checks included."""

        self._lock = new_lock()
        try:
            self._file = os.fdopen(open_own(path), "r+b")
            self._read()
        except OSError as error:
            raise DataError(f"{path}: cannot be used: {error.strerror}.") from error
        for name, value in (setup or {}).items():
            if self._setup.get(name, value) != value:
                raise DataError(
                    f"{path}: its answers were made with {name} {self._setup[name]}, not {value}. Name another --output."
                )
        if set(setup or {}) - set(self._setup):
            self._write({"setup": {**self._setup, **(setup or {})}})

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has(self, request: str, route: str) -> bool:
        """Return whether there is an answer of a route to a request."""
        return route in self.answers.get(request, {})

    def add(self, request: str, route: str, outcome: Mapping[str, Any] | None, spent_usd: float) -> None:
        """Write an answer, and what it cost with its check; a call that failed has no outcome.

        Raises:
            DataError: It cannot be written: the disk is full.
        """
        self._write({"id": request, "route": route, "outcome": outcome, "spent_usd": spent_usd})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._lock:
            try:
                self._file.write(strict_json(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
                self._file.flush()
            except OSError as error:
                raise DataError(f"{self.path}: cannot be written: {error.strerror}.") from error
            self._note(line)

    def _read(self) -> None:
        end = 0
        while line := self._file.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                # Cut off when the machine stopped: the next line must not be appended to it.
                break
            try:
                self._note(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise DataError(f"{self.path}: this is no journal of `langroute collect`; name another --output.") from error
            end = self._file.tell()
        self._file.seek(end)
        self._file.truncate()

    def _note(self, line: Mapping[str, Any]) -> None:
        if "setup" in line:
            self._setup.update((str(name), str(value)) for name, value in line["setup"].items())
            return
        self.spent_usd += float(line["spent_usd"])
        if line["outcome"] is not None:
            self.answers.setdefault(str(line["id"]), {})[str(line["route"])] = dict(line["outcome"])
