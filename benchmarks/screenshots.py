"""Script that makes the screenshots of docs/reports.md.

    python benchmarks/screenshots.py [ledger with 100,000 tasks]

Needs Chromium, Playwright and Pillow (pip install axe-playwright-python pillow). The large ledger is written by
`python benchmarks/reports.py --ledger FILE`; without it that screenshot is not updated.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from langroute import ChatRouter, Route
from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.ledger import open_ledger
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.window import Window
from langroute.testing import ScriptedModel

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def five_tasks(path: Path) -> None:
    """Five tasks through a real router, over scripted models."""
    price = {"cheap": {"input": 0.25, "output": 2}, "frontier": {"input": 5, "output": 25}}
    with open_ledger(path) as ledger:
        model = ChatRouter(
            {
                "cheap": Route(ScriptedModel("A short title", model="small-1"), price=price["cheap"]),
                "frontier": Route(ScriptedModel("A long and careful answer. " * 20, model="large-1"), price=price["frontier"]),
            },
            ledger=ledger,
        )
        for number, (kind, success) in enumerate(
            [("support", True), ("support", True), ("support", False), ("docs", True), ("docs", None)]
        ):
            with task(f"ticket-{number + 1}", kind=kind, team="help desk" if kind == "support" else "writers"):
                model.invoke("Give this conversation a short title: the printer is on fire")
                model.invoke("Why does a printer catch fire, and what should be done first?")
                model.invoke("Classify this ticket as hardware or software: the printer is on fire")
            if success is not None:
                ledger.record_outcome(
                    Outcome(success=success, task_id=f"ticket-{number + 1}", source="tests", baseline_minutes=15, human_minutes=2)
                )


def usual(path: Path) -> None:
    """Fifteen hundred tasks of the benchmark's kind."""
    spec = importlib.util.spec_from_file_location("reports_benchmark", ROOT / "benchmarks" / "reports.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.fill(path, tasks=1500, steps=20)


def main() -> None:
    """Make every picture."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        place = Path(folder)
        usual(place / "usual.db")
        five_tasks(place / "five.db")
        open_ledger(place / "empty.db").close()
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        shots: list[tuple[str, Path, int, bool, int]] = [
            ("report-wide", place / "usual.db", 1360, False, 1180),
            ("report-dark", place / "usual.db", 1360, True, 1180),
            ("report-narrow", place / "usual.db", 390, False, 2300),
            ("report-timeline", place / "usual.db", 1360, False, -1),
            ("report-five-tasks", place / "five.db", 1360, False, 0),
            ("report-empty", place / "empty.db", 1360, False, 0),
        ]
        if len(sys.argv) > 1:
            shots.append(("report-100000-tasks", Path(sys.argv[1]), 1360, False, 1180))
        for name, ledger, width, dark, height in shots:
            _shoot(browser, name, ledger, place, width=width, dark=dark, height=height)
        browser.close()


def _shoot(browser: Any, name: str, path: Path, folder: Path, *, width: int, dark: bool, height: int) -> None:
    file = folder / f"{name}.html"
    with open_ledger(path) as ledger:
        file.write_text(write_page(page_data(ledger, Window.since("all"))), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 1180}, color_scheme="dark" if dark else "light")
    page.goto(file.as_uri())
    time.sleep(0.3)
    if height < 0:
        page.get_by_role("button", name="Latest").click()
        page.locator("#tasks tbody button").nth(1).click()
        picture = page.locator("#timeline").screenshot()
    else:
        clip = {"x": 0, "y": 0, "width": width, "height": height} if height else None
        picture = page.screenshot(full_page=True, clip=clip)
    page.close()
    # A palette is plenty for a page of flat colours, and half the size.
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    target = IMAGES / f"{name}.png"
    image.save(target, optimize=True)
    print(f"{target.name}: {target.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
