"""A ledger whose numbers were worked out by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import NOW, TODAY, decided, tried

from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.ledger import open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Any]:
    with open_ledger(tmp_path / "ledger.db") as opened:
        yield opened


@pytest.fixture
def golden(ledger: Any) -> Any:
    """Four tasks of two teams; see the comments for what they came to."""
    # t1: search, support. 0.25 + (0.10 rejected, 0.05 check, then 1.00 kept) = 1.40; succeeded; 30 minutes, 6 of them a person's.
    with task("t1", kind="support", team="search", user="ada"):
        ledger.record(decided("d1", tried("small", 0.25), baseline=1.0))
        ledger.record(
            decided(
                "d2", tried("small", 0.10, score=0.2, check_usd=0.05), tried("large", 1.0), baseline=1.0, switch=0.2, second=5.0
            )
        )
    # t2: search, support. 0.50; failed; a person spent 12 minutes on it.
    with task("t2", kind="support", team="search", user="bob"):
        ledger.record(decided("d3", tried("small", 0.5), baseline=2.0, day=TODAY - 1))
    # t3: data, fix. 2.00, and a retry that cost nothing; succeeded, no baseline.
    with task("t3", kind="fix", team="data"):
        ledger.record(
            decided(
                "d4", tried("large", 0.0, error="RateLimitError"), tried("large", 2.0), baseline=2.0, day=TODAY - 1, kind="plan"
            )
        )
    # t4: no team. The response cache answered; the baseline would have been billed 0.75. No outcome was told.
    with task("t4", kind="fix"):
        ledger.record(decided("d5", tried("small", 0.0, cache="hit", tokens=(0, 0), seconds=0.01), baseline=0.75, cache="hit"))
    ledger.record_outcome(Outcome(success=True, task_id="t1", at=NOW, baseline_minutes=30.0, human_minutes=6.0, source="tests"))
    ledger.record_outcome(Outcome(success=False, task_id="t2", at=NOW, human_minutes=12.0, baseline_minutes=20.0, source="tests"))
    ledger.record_outcome(Outcome(success=True, task_id="t3", at=NOW, source="tests", value_usd=10.0))
    return ledger


FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real browser without a screen."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed (pip install axe-playwright-python)"
    )
    program = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Any) -> Iterator[Any]:
    """Opens a page; fails where it asked the network for anything or its program stumbled."""
    wrong: list[str] = []
    contexts = []

    def browse(url: str, *, width: int = 1280, dark: bool = False, bypass_csp: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=bypass_csp, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        here = url.partition("?")[0]
        page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith((here, "data:", "blob:")) else None)
        page.goto(url)
        return page

    yield browse
    for context in contexts:
        context.close()
    assert wrong == []
