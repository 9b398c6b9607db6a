"""Every recipe runs offline, prints what its page shows, and says what to write for real models."""

from __future__ import annotations

import ast
import doctest
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from langroute.routes.pricing import price_of

COOKBOOK = Path(__file__).parent.parent / "cookbook"
RECIPES = sorted(COOKBOOK.glob("*.py"))
NO_RECIPE = 77
"""A recipe ends with this code where something it needs is not installed; it says what."""


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_prints_what_its_page_shows(recipe: Path, tmp_path: Path) -> None:
    """The docstring ends with the output; `...` stands for what differs from run to run."""
    page = ast.get_docstring(ast.parse(recipe.read_text(encoding="utf-8"))) or ""
    assert "Output:" in page, "a recipe's page shows its output"
    shown = textwrap.dedent(page.partition("Output:\n")[2]).strip() + "\n"
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    environment["PYTHONPATH"] = str(COOKBOOK.parent)
    done = subprocess.run(
        [sys.executable, str(recipe)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode == NO_RECIPE:
        pytest.skip(done.stdout.strip() or done.stderr.strip())

    assert done.returncode == 0, done.stderr
    printed = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n"
    checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert checker.check_output(shown, printed, flags), f"the page shows\n{shown}\nbut it prints\n{printed}"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_shows_the_lines_for_real_models(recipe: Path) -> None:
    """Whoever wants to run it for real need not guess; the lines are Python, and the models have a price on the list."""
    source = recipe.read_text(encoding="utf-8")
    shown = re.findall(r"^ *# With (?:a real model|real models):\n((?: *#   .*\n)+)", source, re.MULTILINE)
    if not shown:
        assert "testing import ScriptedModel" not in source
        return
    code = ast.parse("".join(line.strip().removeprefix("#   ") + "\n" for line in shown[0].splitlines()))
    texts = [node.value for node in ast.walk(code) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    models = [text.partition(":") for text in texts if ":" in text]

    assert models
    assert all(price_of(model, provider) is not None for provider, _, model in models), models
