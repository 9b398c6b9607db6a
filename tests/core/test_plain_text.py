"""Untrusted names are rendered as plain text: in spreadsheets, on terminals, on pages and in Markdown."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from langroute import ChatRouter, task
from langroute.cli import cli
from langroute.core.plain_text import cell, one_line, printable
from langroute.hosts.explain import told
from langroute.learning.card import _code, _text
from langroute.ledger import open_ledger
from langroute.reports.formats import write_csv
from langroute.reports.page import write_page
from langroute.reports.pagedata import page_data
from langroute.reports.window import Window
from langroute.testing import ScriptedModel

SIGNS = ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe66", "\ufe62", "\ufe63", "\ufe6b", "\u207c", "\u2212"]
BEFORE = [
    "",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\ufeff",
    "\u200b",
    "\u200d",
    "\u00a0",
    "\u3000",
    "\u202e",
    "\x00",
    "\x1b",
    "\u2028",
    "\x85",
    "\u2060",
]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", BEFORE, ids=ascii)
def test_no_cell_is_a_formula(sign: str, before: str) -> None:
    for name in (
        before + sign + "1+1",
        "search" + before + sign + "1+1" if before.strip() != before or not before else before + sign,
    ):
        written = write_csv(["team", "usd"], [[name, -0.5]])
        rows = list(csv.reader(io.StringIO(written, newline="")))
        assert len(rows) == 2
        # Whatever a spreadsheet takes for the end of a line, no line begins with a sign.
        for line in written.replace("\r", "\n").splitlines():
            assert line.lstrip(' "\ufeff\u200b\u200d\u2060\u00a0\u3000')[:1] not in SIGNS, ascii(written)
    assert rows[1][1] == "-0.5"


def test_a_cell_within_a_cell_is_none_either() -> None:
    """Where the list separator is a semicolon."""
    assert cell("a;=1+1") == "a;'=1+1"
    assert cell("a; -1|@x") == "a; '-1|'@x"


@pytest.mark.parametrize("name", ["search", "équipe 4", "a-b", "x=1", "日本語", "नमस्ते", "family 👨‍👩‍👧", "C:/x"])
def test_other_names_stay_as_they_are(name: str) -> None:
    assert cell(name) == name
    assert one_line(name) == name


HOSTILE = "=1+1\u202e\x1b[2J\x9b31m\rAll is well.\n\uff1dA1<b>|`"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "l.db"
    with open_ledger(path) as ledger:
        router = ChatRouter({"a": ScriptedModel("x")}, prices={"scripted": {"input": 1, "output": 1}}, ledger=ledger)
        with task("t1", team=HOSTILE, kind=HOSTILE, project=HOSTILE):
            router.invoke("Hello?")
    return path


@pytest.mark.parametrize("form", ["table", "csv", "focus", "html"])
def test_a_report_obeys_no_name(recorded: Path, form: str) -> None:
    shown = CliRunner().invoke(cli, ["report", "--ledger", str(recorded), "--format", form, "--by", "team", "--since", "all"])
    assert shown.exit_code == 0
    assert [sign for sign in "\u202e\x1b\x9b\r" if sign in shown.output] == []


def test_the_pages_data_turns_no_direction_around(recorded: Path) -> None:
    with open_ledger(recorded) as ledger:
        page = write_page(page_data(ledger, Window.since("all")))
    assert "\u202e" not in page
    assert "\\u202e" not in page
    assert json.loads(page.split('id="data">')[1].split("</script>")[0])["teams"]


def test_an_explanation_has_no_lines_of_others() -> None:
    carried = {
        "step": {"kind": "act", "node": "x\nproblem: none"},
        "route": "a",
        "reason": "because\x1b[31m",
        "attempts": [],
        "rejected": {},
        "problems": [],
        "cost_usd": None,
        "baseline_cost_usd": None,
    }
    assert told(carried).splitlines() == ["act step in node x problem: none -> a: because[31m", "  cost unknown, baseline unknown"]


def test_markdown_takes_a_name_for_a_name() -> None:
    assert _text("a|b <img src=x> [l](u)\n# c") == r"a\|b \<img src=x\> \[l\](u) \# c"
    assert _code("x` [l](u)\n") == "x' [l](u) "


def test_an_errors_line_gives_no_orders(tmp_path: Path) -> None:
    """It may quote what somebody else wrote."""
    assert printable("langroute: \x1b]0;owned\x07 \x1b[2J") == "langroute: ]0;owned [2J"
