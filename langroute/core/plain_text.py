"""Sanitising of untrusted names and answers for terminals, pages and spreadsheets."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

_DIRECTION = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_ORDERS = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION}\U000e0000-\U000e007f]")
"""Control characters, which a terminal would obey; characters that change the reading direction; invisible tags."""

_BREAKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_HIDDEN = re.compile(f"[{_DIRECTION}\U000e0000-\U000e007f]")
_NEXT_CELL = re.compile(r"([;|]\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Places where a spreadsheet begins a new cell if its list separator is a semicolon."""

_FORMULA = ("=", "+", "-", "@", "\u2212")


def printable(text: str) -> str:
    r"""Return a text without control and direction characters; tabs and line ends stay.

    Example:
        >>> printable("\x1b[2Jsearch\r\n"), printable("[bold]search")
        ('[2Jsearch\n', '[bold]search')
    """
    return _ORDERS.sub("", text)


def one_line(text: str) -> str:
    r"""Return a text as one line of `printable` text, so that a name cannot add a line to the output.

    Example:
        >>> one_line("search\nAll is well.")
        'search All is well.'
    """
    return " ".join(printable(text).split("\n"))


def cell(value: Any) -> Any:
    r"""Return a value as a cell of a CSV table; a text that a spreadsheet would run as a formula is escaped.

    Control characters become spaces, so that a name cannot begin a new row. Full-width signs, and signs after invisible characters, are
    escaped too.

    Example:
        >>> cell("=1+1"), cell(-0.5), cell(None), cell("search\r=1+1"), cell("\ufeff \uff1dA1")
        ("'=1+1", -0.5, '', 'search =1+1', "'\ufeff \uff1dA1")
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return _harmless(_HIDDEN.sub("", _BREAKS.sub(" ", value)))
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else ""
    return value


def _harmless(text: str) -> str:
    text = _NEXT_CELL.sub(r"\1'", text)
    seen = next((one for one in text if not one.isspace() and unicodedata.category(one) not in ("Cf", "Cc", "Mn")), "")
    return "'" + text if unicodedata.normalize("NFKC", seen)[:1] in _FORMULA and seen else text


__all__ = ["cell", "one_line", "printable"]
