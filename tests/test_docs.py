"""Every example in the README and the docs runs, and prints what stands below it; so do the commands with an output."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from langroute import ChatRouter
from langroute.cli import COMMANDS, cli
from langroute.routes.route import CAPABILITIES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<mark><!-- not run[^>]*-->\s*\n)?```(?P<kind>python|console)\n(?P<code>.*?)```\n(?:\s*\n```text\n(?P<output>.*?)```)?",
    re.DOTALL,
)
"""A program or a command, and the output that stands below it. `<!-- not run: why -->` before it leaves it out, and so does
a command without an output."""


TEXTS = [ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "cookbook").glob("*.py"))
COMMAND = re.compile(rf"(?:`|^\$ |^(?=langroute (?:{'|'.join(COMMANDS)})\b))langroute ([a-z][^`\n]*)", re.MULTILINE)
"""A command of ours, in a line of its own or within a sentence."""

NO_COMMANDS = {"decide"}
"""Names of spans and the like that begin as our commands do."""


def typed(command: str) -> str:
    """Return what a command of ours prints."""
    prompt, name, *arguments = shlex.split(command, comments=True)
    assert (prompt, name) == ("$", "langroute"), command
    return CliRunner().invoke(cli, arguments, catch_exceptions=False).output


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
        if found["kind"] == "console":
            if found["output"] is not None:
                for one in names.values():
                    # A reader's program has ended by now, and has written what waited.
                    if isinstance(one, ChatRouter):
                        one.ledger.flush()
                text = typed(found["code"])
                assert checker.check_output(found["output"], text, flags), f"{page.name}: {found['code']}prints\n{text}"
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(found["code"], str(page.name), "exec", dont_inherit=True), names)
        if found["output"] is not None:
            assert checker.check_output(found["output"], printed.getvalue(), flags), (
                f"{page.name} shows\n{found['output']}\nbut it prints\n{printed.getvalue()}"
            )


@pytest.mark.parametrize("page", [*PAGES, *TEXTS], ids=lambda page: page.stem)
def test_the_commands_that_a_page_names_are_there(page: Path) -> None:
    """With the options that it names, whether or not the command is run here."""
    for line in COMMAND.findall(page.read_text(encoding="utf-8")):
        command: click.Command = cli
        words = line.replace("[", " ").replace("]", " ").split()
        while words and (word := words.pop(0)) != "#":
            options = {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}
            if re.fullmatch(r"--?[a-z][-a-z]*(=.*)?", word) and word not in ("--help", "--version"):
                assert word.partition("=")[0] in options, f"{page.name}: there is no {word} in: langroute {line}"
                if not options[word.partition("=")[0]].is_flag and "=" not in word:
                    words[:1] = []
            elif isinstance(command, click.Group) and re.fullmatch("[a-z]+", word) and word not in NO_COMMANDS:
                found = command.get_command(click.Context(command), word)
                assert found is not None, f"{page.name}: there is no command {word} in: langroute {line}"
                command = found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """Files that a page names are there."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_site_has_every_page_and_every_recipe() -> None:
    """A page that no navigation names is not found by anybody."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if page.name not in navigation] == []

    section = (ROOT / "docs" / "cookbook_section.py").read_text(encoding="utf-8")
    assert [recipe.stem for recipe in (ROOT / "cookbook").glob("*.py") if f'"{recipe.stem}"' not in section] == []


def test_the_page_on_installing_names_every_extra() -> None:
    """What is left out there is not found by anybody."""
    wanted = (
        (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    )
    extras = re.findall(r"^([a-z]+) = ", wanted, re.MULTILINE)
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")

    assert extras
    assert [extra for extra in extras if f"`{extra}`" not in page] == []


def test_the_page_on_routes_has_every_capability() -> None:
    """With the name that LangChain's profile has for it."""
    page = (ROOT / "docs" / "routes.md").read_text(encoding="utf-8")
    assert [key for key, theirs in CAPABILITIES.items() if f"| `{key}` | `{theirs}` |" not in page] == []
