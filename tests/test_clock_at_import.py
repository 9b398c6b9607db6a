"""No test module reads the clock when it is imported: it may run hours later, and on another day."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {
    "time.time",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "datetime.datetime.now",
    "datetime.date.today",
}


def at_import(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that are made when a module is imported: all but those in the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for part in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
                yield from at_import(ast.Expression(part))
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.Call):
                yield node
            yield from at_import(node)


def reads_clock(call: ast.Call) -> bool:
    if (name := ast.unparse(call.func)) in CLOCKS:
        return True
    # A window of the last days ends now, where nothing else is said.
    told = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    return name == "Window.since" and len(call.args) < 2 and not call.keywords and told not in ([None], ["all"])


def test_no_module_of_tests_reads_the_clock_when_it_is_imported() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{call.lineno}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for call in at_import(ast.parse(path.read_bytes()))
        if reads_clock(call)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("NOW = time.time()", True),
        ("def answered(day=int(time.time() // 86400)): pass", True),
        ('@pytest.mark.parametrize("window", [Window.since("7d")])\ndef test(window): pass', True),
        ("class A:\n    day = date.today()", True),
        ("def test(): time.time()", False),
        ("clock = lambda: time.time()", False),
        ('WEEK = Window.since("7d", now=NOW)', False),
        ('ALL = Window.since("all")', False),
    ],
)
def test_what_reads_it_is_told(source: str, told: bool) -> None:
    assert any(map(reads_clock, at_import(ast.parse(source)))) is told
