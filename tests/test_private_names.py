"""Private names of the package that tests use: only those listed here, each for lack of a public one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "langroute"

KNOWN = {
    # What nothing public tells: how much is kept in memory, and who waits for a call under way.
    ("cache/open_calls.py", "_flights"),
    ("cache/open_calls.py", "_open"),
    ("cache/test_keys.py", "_read"),
    ("cache/test_reading.py", "_kept"),
    ("cache/test_reading.py", "_readings"),
    # `ScriptedModel` has one place where it answers, whichever way it is called, and it is private.
    ("budgets/test_budgets_bind.py", "_next"),
    ("cache/test_races.py", "_next"),
    ("cache/test_single_flight.py", "_next"),
    ("support/demo_models.py", "_next"),
    ("standard/test_standard_scripted.py", "_next"),
    ("engine/test_timeouts.py", "_next"),
    # What a store, a lock or a breaker is doing just now: asked by the tests of failures, forks and interrupts.
    ("budgets/test_bounded.py", "_connection"),
    ("budgets/test_interrupted.py", "_connection"),
    ("cache/test_hanging_stores.py", "_aclient"),
    ("cache/test_hanging_stores.py", "_async"),
    ("cache/test_hanging_stores.py", "_rest"),
    ("cache/test_hanging_stores.py", "_rests_until"),
    ("cache/test_odd_requests.py", "_flights"),
    ("cache/test_odd_requests.py", "_open"),
    ("cache/test_plain.py", "_cache"),
    ("cache/test_suspicion.py", "_cache"),
    ("cache/test_suspicion.py", "_connection"),
    ("cache/test_user_key.py", "_SPARE"),
    ("core/test_files.py", "_write"),
    ("core/test_files.py", "_writing"),
    ("core/test_forks.py", "_chance"),
    ("core/test_forks.py", "_fork"),
    ("core/test_forks.py", "_random"),
    ("core/test_locks.py", "_owners"),
    ("core/test_plain_text.py", "_code"),
    ("core/test_plain_text.py", "_text"),
    # Every pattern of the package is measured, private ones too.
    ("test_growth.py", "_INTENTS"),
    ("test_growth.py", "_pattern"),
    # LangChain's own name of what it asks a chat model for.
    ("hosts/test_named_by_callers.py", "_get_ls_params"),
}
"""(file, private name)"""

HOOKS = {"_generate", "_agenerate", "_stream", "_astream"}
"""LangChain's own: whoever writes a chat model writes these."""

SCRIPTED = set(re.findall(r"def (_[a-z]\w*)", (PACKAGE / "testing.py").read_text(encoding="utf-8"))) - HOOKS


def _privates() -> set[str]:
    """Private names that the package defines or sets."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return set(re.findall(r"(?:\bdef |\bself\.|^)(_[a-zA-Z]\w*)", text, re.MULTILINE)) - HOOKS


def _used(path: Path) -> Iterator[str]:
    """Private names that a file asks others for, imports or overrides."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("langroute"):
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            of = ast.unparse(node.value)
            if of == "super()":
                # Of the package's own classes, tests inherit from the scripted model alone.
                yield from {node.attr} & SCRIPTED
            elif of not in ("self", "cls", "os") and node.attr not in own:
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Programs that tests run, and targets of `monkeypatch`.
            yield from (name for of, name in re.findall(r"(\w+)\.(_[a-z]\w*)", node.value) if of not in ("os", "sys", "self"))


def test_tests_ask_for_what_is_public() -> None:
    """So that they survive what they do not test: another way of keeping things."""
    privates = _privates()
    found = {
        (str(path.relative_to(TESTS)), name)
        for path in TESTS.rglob("*.py")
        if path != Path(__file__)
        for name in _used(path)
        if name in privates and not name.startswith("__")
    }
    assert found - KNOWN == set()
    assert KNOWN - found == set(), "no longer used: take it off the list"
