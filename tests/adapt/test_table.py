"""The page on histories says what the code does."""

from __future__ import annotations

from table import BEGIN, END, PAGE, rendered


def test_the_table_in_the_docs_is_what_the_code_does() -> None:
    """Written by `python tests/adapt/table.py`; run it when this fails."""
    page = PAGE.read_text()

    assert page[page.index(BEGIN) : page.index(END) + len(END)] == rendered()
