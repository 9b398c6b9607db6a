"""Every example in the README and the docs runs, and prints what stands below it."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<mark><!-- not run[^>]*-->\s*\n)?```python\n(?P<code>.*?)```\n(?:\s*\n```text\n(?P<output>.*?)```)?", re.DOTALL
)
"""A program, and the output that stands below it. `<!-- not run: why -->` before a program leaves it out."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        # Models are built by name and never called.
        monkeypatch.setenv(name, "not-a-key")
    names: dict[str, Any] = {"__name__": "__docs__"}
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if found["mark"]:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(found["code"], str(page.name), "exec", dont_inherit=True), names)
        if found["output"] is not None:
            assert checker.check_output(found["output"], printed.getvalue(), flags), (
                f"{page.name} shows\n{found['output']}\nbut it prints\n{printed.getvalue()}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Files that a page names are there."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
