"""The page on providers says what the profiles do."""

from __future__ import annotations

import provider_table as table
from recorded import ERRORS

from langroute.providers.registry import BUILT_IN


def test_the_page_is_what_the_profiles_do() -> None:
    """Written by `python tests/providers/provider_table.py`; run it when this fails."""
    page = table.PAGE.read_text(encoding="utf-8")

    assert page[page.index(table.BEGIN) : page.index(table.END) + len(table.END)] == table.rendered()


def test_every_profile_and_every_recorded_error_has_its_place() -> None:
    page = table.rendered()

    for profile in BUILT_IN:
        section = page[page.index(f"### {profile.name}\n") :].split("\n### ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| ") and line[2:5].isdigit()]
        assert len(rows) == len(ERRORS[profile.name])
        assert "**Ends**" in section
        assert "**Usage**" in section
