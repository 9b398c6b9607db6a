"""HTML report: one self-contained file.

The page carries its data, its style, its own program, and the two libraries that draw its charts (Observable Plot on D3; their
licences are in `static/LICENSES.txt`). It makes no network requests; a content security policy in its head forbids them.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from langroute.core.plain_text import one_line, printable
from langroute.core.storable import strict_json
from langroute.reports.pagedata import LISTED

MOST_BYTES = 2_000_000
"""Largest size of a page."""

SCRIPTS = ("d3.min.js", "plot.min.js", "page.js")


@lru_cache(maxsize=8)
def static(name: str) -> str:
    """Return the text of a static file of the package."""
    return files("langroute.reports").joinpath("static", name).read_text(encoding="utf-8")


def write_page(data: Mapping[str, Any]) -> str:
    """Return the page as HTML. Individually listed tasks are left out, last ones first, until the page is small enough.

    Args:
        data: What `page_data` returns.
    """
    data = dict(data)
    listed = LISTED
    while True:
        page = _page(data)
        if len(page.encode()) <= MOST_BYTES or listed == 0:
            return page
        listed //= 2
        data["lists"] = {name: ids[:listed] for name, ids in data["lists"].items()}
        kept = {one for ids in data["lists"].values() for one in ids}
        data["timelines"] = {name: shown for name, shown in data["timelines"].items() if name in kept}


def _page(data: Mapping[str, Any]) -> str:
    scripts = [static(name) for name in SCRIPTS]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    ask = "'self'" if data["live"] else "'none'"
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; connect-src {ask}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = static("page.html").split("<!-- scripts -->")
    head = parts[0].replace("<!-- policy -->", html.escape(policy)).replace("/* style */", static("page.css"))
    head = head.replace("<!-- first line -->", html.escape(one_line(str(data["first_line"]))))
    # `<` is written as an escape, so that no name in the data can end the element it stands in.
    written = as_json(data).replace("<", "\\u003c")
    body = f'<script type="application/json" id="data">{written}</script>\n'
    body += "\n".join(f"<script>{script}</script>" for script in scripts)
    return head + body + parts[1]


def as_json(data: Any) -> str:
    """Return the page's data as JSON, without characters that change the text direction."""
    return printable(strict_json(data, separators=(",", ":"), ensure_ascii=False))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
