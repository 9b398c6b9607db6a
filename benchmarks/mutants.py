"""Mutation tests: change one thing in a module, run the tests that cover the changed line, and list the changes that no test notices.

    python benchmarks/mutants.py --modules policies.sticky,routes.pricing [--sample 40] [--seed 1] [--tests "tests/policies tests/routes"]

First the tests run once without changes, traced, to record which of them run which lines; failing tests are left out. Each change is
made in memory, in a forked process, so files stay unchanged; programs that a test starts see the unchanged package. A module may
be a folder (`policies`), or have a range of lines after it (`pricing:239-272`). A change that stops a test from ending counts as killed.
Surviving changes may be equivalent to the original; that is for the reader to judge.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import copy
import importlib.util
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("hypothesis", "langchain.agents", "langchain_anthropic", "langchain_openai", "langgraph.graph", "numpy", "sqlalchemy")
"""Packages that tests import, loaded once before the forks."""

OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,), ast.FloorDiv: (ast.Mult,), ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,), ast.BitOr: (ast.BitAnd,), ast.BitAnd: (ast.BitOr,), ast.And: (ast.Or,), ast.Or: (ast.And,),
}  # fmt: skip
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNTOLD = ("stacklevel", "maxsize", "maxlen")
"""Keyword arguments whose numbers nobody is promised."""


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from `start` to `end` of a module's file become `new`."""

    module: str
    lines: tuple[int, int]
    start: int
    end: int
    new: str
    change: str


def variants(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901 - a table: one branch for each kind of node
    """Yield copies of a node with one thing changed, for each possible change."""

    def made(change: Callable[[Any], Any]) -> ast.AST:
        other = copy.deepcopy(node)
        return change(other) or other

    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for kind in OPERATORS.get(type(operator), ()):
                yield made(lambda other, at=place, kind=kind: other.ops.__setitem__(at, kind()))
    elif isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)):
        for kind in OPERATORS.get(type(node.op), ()):
            yield made(lambda other, kind=kind: setattr(other, "op", kind()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and node.value < 1000:
        # One more or less of a thousand is no difference that anybody is promised.
        yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await)):
        yield ast.Pass()
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)) and isinstance(node.test, (ast.Name, ast.Attribute, ast.Call)):
        yield ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SWAPPED:
        yield made(lambda other: setattr(other.func, "id", SWAPPED[other.func.id]))


def looked_into(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and its descendants, without annotations, decorators, f-strings and code for type checkers only."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg in UNTOLD):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from looked_into(child)


def mutants_of(module: str, path: Path, wanted: range | None) -> Iterator[Mutant]:
    """Return all mutants of one module."""
    source = path.read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in looked_into(ast.parse(source)):
        if isinstance(node, ast.BinOp) and (is_text(node.left) or is_text(node.right)):
            continue
        place: Any = node.test if isinstance(node, (ast.If, ast.While, ast.IfExp)) else node
        for other in variants(node):
            if wanted is not None and place.lineno not in wanted:
                continue
            start, end = starts[place.lineno - 1] + place.col_offset, starts[place.end_lineno - 1] + place.end_col_offset
            new = ast.unparse(ast.fix_missing_locations(other))
            new = f"({new})" if isinstance(other, ast.expr) else new
            old = " ".join(source[start:end].decode().split())
            with suppress(SyntaxError):
                compile(source[:start] + new.encode() + source[end:], str(path), "exec")
                yield Mutant(module, (place.lineno, place.end_lineno), start, end, new, f"{old}  ->  {new}")


def is_text(node: ast.AST) -> bool:
    """Return whether a node is text, which supports addition and no other arithmetic."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


# Running the tests ---------------------------------------------------------------------------------------------------


class Traced:
    """A pytest plugin that records which test runs which lines of the modules, how long it takes, and which tests fail."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files, self.test = files, ""
        self.lines: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.seconds: Counter[str] = Counter()
        self.failed: set[str] = set()

    def pytest_configure(self) -> None:
        """Start tracing in every thread."""
        threading.settrace(self.enter)
        sys.settrace(self.enter)

    def enter(self, frame: Any, *_: Any) -> Any:
        """Trace a frame only if it belongs to one of the modules."""
        module = self.files.get(frame.f_code.co_filename)
        if module is None:
            return None

        def follow(frame: Any, *_: Any) -> Any:
            self.lines[module, frame.f_lineno].add(self.test)
            return follow

        return follow(frame)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        """Attribute the lines to the running test."""
        self.test, begun = item.nodeid, time.monotonic()
        sys.settrace(self.enter)
        result = yield
        self.seconds[self.test] = time.monotonic() - begun
        self.test = ""
        return result

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Record tests that fail without a mutation."""
        if report.failed:
            self.failed.add(report.nodeid)


class Only:
    """A pytest plugin that runs only these tests, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self.order = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Filter and sort the collected tests."""
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid])


def forked(work: Callable[[], int], limit: float) -> int | None:
    """Return a function's result from a forked process; `None` if it exceeds the time limit."""
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            code = work()
            atexit._run_exitfuncs()
        finally:
            os._exit(code)
    until = time.monotonic() + limit
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_tests(folder: Path, tests: list[str], plugin: object, *more: str) -> int:
    """Run pytest in this process."""
    return int(pytest.main([*tests, "-q", "--hypothesis-seed=0", f"--basetemp={folder / 'pytest'}", *more], plugins=[plugin]))


def run_mutant(mutant: Mutant, path: Path, folder: Path, tests: list[str], limit: float) -> str:
    """Return the result of one mutant: `killed`, `timed out` or `survived`."""
    source = path.read_bytes()
    changed = compile(source[: mutant.start] + mutant.new.encode() + source[mutant.end :], str(path), "exec")

    class Loader(SourceFileLoader):
        def get_code(self, fullname: str) -> Any:
            return changed

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> Any:
            loader = Loader(name, str(path))
            return importlib.util.spec_from_file_location(name, path, loader=loader) if name == mutant.module else None

    def work() -> int:
        sys.meta_path.insert(0, Finder)
        return run_tests(folder, sorted({test.partition("::")[0] for test in tests}), Only(tests), "-x")

    code = forked(work, limit)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise SystemExit(f"pytest did not find the tests of {mutant}")
    return "timed out" if code is None else "killed" if code else "survived"


def covering(mutant: Mutant, traced: Traced, seconds: float) -> list[str]:
    """Return the tests that run a changed line, those of the module's name first, then the fastest, within the time limit."""
    first, last = mutant.lines
    found = set().union(*(traced.lines.get((mutant.module, line), ()) for line in range(first, last + 1)))
    if "" in found:
        # Run on import: every test that uses the module may notice.
        found |= set().union(*(tests for (module, _), tests in traced.lines.items() if module == mutant.module))
    stem = mutant.module.rpartition(".")[2]
    ordered = sorted(found - traced.failed - {""}, key=lambda test: (f"test_{stem}.py" not in test, traced.seconds[test], test))
    chosen: list[str] = []
    for test in ordered:
        seconds -= traced.seconds[test]
        if seconds < 0 and chosen:
            break
        chosen.append(test)
    return chosen


def modules_named(names: str) -> Iterator[tuple[str, Path, range | None]]:
    """Return module, file and lines of each name; a folder stands for all its modules."""
    for name in names.split(","):
        dotted, _, lines = name.strip().replace("/", ".").removesuffix(".py").partition(":")
        first, _, last = lines.partition("-")
        wanted = range(int(first), int(last or first) + 1) if lines else None
        path = ROOT / "langroute" / Path(*dotted.removeprefix("langroute.").split("."))
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            yield ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), file, wanted


def main() -> None:
    """Make the mutants, run the tests, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", required=True, help="modules or folders under langroute, with commas between them")
    parser.add_argument("--tests", default="tests", help="paths that pytest is given, with spaces between them")
    parser.add_argument("--sample", type=int, default=40, help="how many changes are tried, drawn at random; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="most test time for one change")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 where a smaller share is killed")
    given = parser.parse_args()

    os.chdir(ROOT)
    sys.path[0] = str(ROOT)
    named = list(modules_named(given.modules))
    paths = {module: path for module, path, _ in named}
    found = [mutant for module, path, wanted in named for mutant in mutants_of(module, path, wanted)]
    if given.sample and given.sample < len(found):
        found = sorted(random.Random(given.seed).sample(found, given.sample), key=lambda mutant: (mutant.module, mutant.lines))
    for heavy in HEAVY:
        with suppress(ImportError):
            importlib.import_module(heavy)
    fates: dict[str, Counter[str]] = defaultdict(Counter)
    # No `TemporaryDirectory`, which every forked process would remove when it ends.
    folder = Path(tempfile.mkdtemp())
    try:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")

        def trace() -> int:
            traced = Traced({str(path): module for module, path in paths.items()})
            code = run_tests(folder, given.tests.split(), traced)
            (folder / "traced").write_bytes(pickle.dumps((dict(traced.lines), traced.seconds, traced.failed)))
            return code

        if forked(trace, 3600) not in (0, 1):
            raise SystemExit(f"pytest could not run {given.tests}")
        traced = Traced({})
        traced.lines, traced.seconds, traced.failed = pickle.loads((folder / "traced").read_bytes())
        print(f"{len(traced.seconds)} tests, {len(traced.failed)} of them fail as they are; {len(found)} changes", flush=True)
        for mutant in found:
            tests = covering(mutant, traced, given.seconds)
            limit = 20 + 5 * sum(traced.seconds[test] for test in tests)
            fate = run_mutant(mutant, paths[mutant.module], folder, tests, limit) if tests else "not run"
            fates[mutant.module][fate] += 1
            print(f"{fate:9} {mutant.module}:{mutant.lines[0]}  {mutant.change}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    total: Counter[str] = Counter()
    for module, counts in sorted(fates.items()):
        total += counts
        print(f"{share(counts):6.1%} of {counts.total():4} {module}")
    print(f"{share(total):6.1%} of {total.total():4} killed; {dict(total)}")
    sys.exit(int(share(total) < given.at_least))


def share(counts: Counter[str]) -> float:
    """Return the share of mutants that were killed."""
    return (counts["killed"] + counts["timed out"]) / max(1, counts.total())


if __name__ == "__main__":
    main()
