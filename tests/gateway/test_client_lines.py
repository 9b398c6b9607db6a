"""What `langroute serve` shows for each client to copy, and what the page on it says of the same clients."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from agent_clients import CLIENTS

from langroute.cli.serve import client_lines

URL = "http://127.0.0.1:8900"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"
PROGRAMS = {"claude", "codex", "aider", "mini", "qwen", "cline", "deepagents-code", "gemini"}
"""Programs that are pointed at a gateway by a line alone."""


def test_each_line_names_its_program_the_gateway_and_the_token() -> None:
    lines = dict(client_lines(URL, "lr-token"))
    started = {name: [word for word in shlex.split(line) if word in PROGRAMS] for name, line in lines.items() if name != "other"}
    assert {word for words in started.values() for word in words} == PROGRAMS
    assert all(URL in line and "lr-token" in line for line in lines.values())
    # A line ends with the program's own arguments, or with the program.
    assert all(words for words in started.values())


def test_the_token_is_a_variable_and_no_argument_of_a_program() -> None:
    # Every user of a machine may list the arguments of its programs.
    for name, line in client_lines(URL, "lr-token"):
        words = [word for word in shlex.split(line) if "lr-token" in word and name != "other"]
        assert all(re.fullmatch(r"[A-Z_]+=lr-token", word) for word in words), name


def test_the_page_has_each_client_that_was_tried() -> None:
    rows = [line.casefold() for line in PAGE.read_text().splitlines() if line.startswith("|")]
    for name in CLIENTS:
        assert any(name in row for row in rows), name


def test_the_page_says_the_lines_that_are_shown() -> None:
    page = PAGE.read_text()
    for name, line in client_lines(URL, "$LANGROUTE_TOKEN"):
        if name in ("aider", "mini", "qwen-code", "deepagents", "Claude Code", "Cline"):
            assert line in page, name
