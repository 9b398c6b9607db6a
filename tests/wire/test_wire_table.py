"""The page on the wire is current, and names every change and every loss."""

from __future__ import annotations

import pytest

pytest.importorskip("msgspec")

import wire_table as table

from langroute.wire.edits import EDITS
from langroute.wire.plain_request import LOSSES


def test_the_page_is_current() -> None:
    """Written by `PYTHONPATH=tests/support python tests/wire/wire_table.py`; run it when this fails."""
    assert table.rendered() in table.PAGE.read_text(encoding="utf-8")


def test_every_change_and_every_loss_is_on_the_page() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert [name for name in (*EDITS, *LOSSES) if f"| `{name}` |" not in page] == []
