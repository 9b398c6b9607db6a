"""Mutation tests: change one thing in a module, run the tests that cover the changed line, and list the changes that no test notices.

    python benchmarks/mutants.py --modules policies.sticky,routes.pricing [--sample 40] [--seed 1] [--tests "tests/policies tests/routes"]
    python benchmarks/mutants.py --listed --sample 240 --seed 2030 [--modules policies]

`--listed` takes the modules, the test files that have to notice changes in each of them (all their tests are tried, so none is traced), and the changes known to be equivalent from `mutants_listed.py`;
`--modules` then leaves out the other modules of the same sample. A change belongs to the sample by its own text, so that the sample stays
the same when other code changes. First the tests run once without changes, traced, to record which of them run which lines; failing tests are left out. Each change is
made in memory, in a forked process, so files stay unchanged: in the functions that are loaded already, or where the change is in what runs
on import, by loading the module anew. Programs that a test starts see the unchanged package. A module may
be a folder (`policies`), or have a range of lines after it (`pricing:239-272`). A change that stops a test from ending counts as killed.
Surviving changes may be equivalent to the original; that is for the reader to judge, and to write into `mutants_listed.py`.
"""

from __future__ import annotations

import argparse
import ast
import atexit
import copy
import gc
import importlib.util
import inspect
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TextIO

import pytest
from mutants_listed import EQUIVALENT, TESTS, tests_of

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
    line: str
    """The source line where the change begins, without indentation."""

    nth: int
    """Number of the change among the same ones of the same line."""

    @property
    def range(self) -> range:
        """Return the numbers of the changed lines."""
        return range(self.lines[0], self.lines[1] + 1)


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
    """Return all mutants of one module; a few of them are no valid Python."""
    source = path.read_bytes()
    starts, same = [0], Counter[tuple[str, str]]()
    written = source.splitlines(keepends=True)
    for line in written:
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
            line, change = written[place.lineno - 1].decode().strip(), f"{old}  ->  {new}"
            same[line, change] += 1
            yield Mutant(module, (place.lineno, place.end_lineno), start, end, new, change, line, same[line, change])


def is_text(node: ast.AST) -> bool:
    """Return whether a node is text, which supports addition and no other arithmetic."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)))


# Changing functions --------------------------------------------------------------------------------------------------


def changed_functions(before: CodeType, after: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Return the functions that differ between two versions of a module; `None` where what runs on import differs."""
    if not before.co_flags & inspect.CO_OPTIMIZED and _own(before) != _own(after):
        return None
    found: list[tuple[CodeType, CodeType]] = []
    if before.co_flags & inspect.CO_OPTIMIZED and _parts(before) != _parts(after):
        found.append((before, after))
    if len(_inner(before)) != len(_inner(after)):
        return found
    for one, other in zip(_inner(before), _inner(after), strict=True):
        inner = changed_functions(one, other)
        if inner is None:
            return None
        found += inner
    return found


def _inner(code: CodeType) -> list[CodeType]:
    return [one for one in code.co_consts if isinstance(one, CodeType)]


def _own(code: CodeType) -> tuple[Any, ...]:
    return code.co_code, code.co_names, [repr(one) for one in code.co_consts if not isinstance(one, CodeType)], len(_inner(code))


def _parts(code: CodeType) -> tuple[Any, ...]:
    return (*_own(code), [_parts(one) for one in _inner(code)])


def patch(pairs: Iterable[tuple[CodeType, CodeType]]) -> None:
    """Give every function that has the first code of a pair the second."""
    codes = dict(pairs)
    for one in gc.get_objects():
        if type(one) is FunctionType and (code := codes.get(one.__code__)) is not None:
            one.__code__ = code


# Running the tests ---------------------------------------------------------------------------------------------------


class Traced:
    """Which test runs which lines of the modules (test `""`: on import), the tests' processor time, and the failing tests."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files, self.test = files, ""
        self.lines: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.seconds: Counter[str] = Counter()
        self.failed: set[str] = set()

    def enter(self, frame: Any, *_: Any) -> Any:
        """Trace a frame only if it belongs to one of the modules."""
        module = self.files.get(frame.f_code.co_filename)
        if module is None:
            return None

        def follow(frame: Any, *_: Any) -> Any:
            self.lines[module, frame.f_lineno].add(self.test)
            return follow

        return follow(frame)

    def run(self, session: pytest.Session, *, lines: bool) -> None:
        """Run all tests, and note their time, which of them fail, and the lines that they run."""
        threading.settrace(self.enter if lines else None)  # type: ignore[arg-type]
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            self.test, begun, failures = item.nodeid, sum(os.times()[:4]), session.testsfailed
            sys.settrace(self.enter if lines else None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self.seconds[self.test] = sum(os.times()[:4]) - begun
            if session.testsfailed > failures:
                self.failed.add(self.test)


class InsteadOfTests:
    """A pytest plugin that does something else with the collected tests than to run them."""

    def __init__(self, work: Callable[[pytest.Session], None], terminal: TextIO | None) -> None:
        self.work, self.terminal = work, terminal

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do it."""
        try:
            self.work(session)
        except Exception:
            if self.terminal is not None:
                traceback.print_exc(file=self.terminal)
                self.terminal.flush()
            raise
        return True


def run_until_failure(session: pytest.Session, tests: list[str]) -> int:
    """Run these tests in this order, and return 1 where one of them fails."""
    items = {item.nodeid: item for item in session.items}
    for place, test in enumerate(tests):
        following = items[tests[place + 1]] if place + 1 < len(tests) else None
        items[test].config.hook.pytest_runtest_protocol(item=items[test], nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def forked(work: Callable[[], int], limit: float) -> int | None:
    """Return a function's result from a forked process; `None` if it exceeds the limit of processor time, or ten times that limit by the clock."""
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            code = work()
            atexit._run_exitfuncs()
        finally:
            os._exit(code)
    until = time.monotonic() + 10 * limit
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(status)
            return None if code == -signal.SIGXCPU else code
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_pytest(folder: Path, files: Iterable[str], work: Callable[[pytest.Session], None], terminal: TextIO | None = None) -> int:
    """Collect the tests of some files in this process, and do something with them; its errors are shown on the terminal."""
    options = ["-q", "--hypothesis-seed=0", f"--basetemp={folder / 'pytest'}"]
    return int(pytest.main([*files, *options], plugins=[InsteadOfTests(work, terminal)]))


def versions(mutant: Mutant, path: Path) -> tuple[CodeType, CodeType]:
    """Return a module's code without and with the change."""
    source = path.read_bytes()
    changed = source[: mutant.start] + mutant.new.encode() + source[mutant.end :]
    return compile(source, str(path), "exec"), compile(changed, str(path), "exec")


def load_changed(module: str, path: Path, code: CodeType) -> None:
    """Give a module this code when it is imported."""

    class Loader(SourceFileLoader):
        def get_code(self, fullname: str) -> Any:
            return code

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: Any) -> Any:
            loader = Loader(name, str(path))
            return importlib.util.spec_from_file_location(name, path, loader=loader) if name == module else None

    sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]


def run_patched(mutant: Mutant, path: Path, session: pytest.Session, tests: list[str], limit: float) -> str | None:
    """Return the result of a change inside of functions of a module that is loaded; `None` where it must be loaded anew."""
    before, changed = versions(mutant, path)
    pairs = changed_functions(before, changed)
    if pairs is None or any(one.co_freevars != other.co_freevars for one, other in pairs):
        return None

    def work() -> int:
        patch(pairs)
        # A module that is imported on first use is not loaded yet.
        load_changed(mutant.module, path, changed)
        return run_until_failure(session, tests)

    return named_fate(forked(work, limit))


def named_fate(code: int | None) -> str:
    """Return what an exit code says of a mutant."""
    return "timed out" if code is None else "killed" if code else "survived"


def run_loaded(mutant: Mutant, path: Path, folder: Path, tests: list[str], limit: float) -> str:
    """Return the result of a mutant whose module is loaded with the change: `killed`, `timed out` or `survived`."""

    def work() -> int:
        failed = True

        def these(session: pytest.Session) -> None:
            nonlocal failed
            failed = bool(run_until_failure(session, tests))

        load_changed(mutant.module, path, versions(mutant, path)[1])
        run_pytest(folder, sorted({test.partition("::")[0] for test in tests}), these)
        return int(failed)

    return named_fate(forked(work, limit))


def covering(mutant: Mutant, traced: Traced, seconds: float, files: frozenset[str] | None = None) -> list[str]:
    """Return the tests to run, those of the module's name first, then the fastest, within the time limit.

    Args:
        mutant: The change.
        traced: Which tests run which lines.
        seconds: The limit, in processor time without the change.
        files: The tests of these files; else those that run a changed line.
    """
    if files is not None:
        found = {test for test in traced.seconds if test.partition("::")[0] in files}
    else:
        found = set().union(*(traced.lines.get((mutant.module, line), ()) for line in mutant.range))
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


def chosen(found: list[Mutant], paths: dict[str, Path], sample: int, seed: int) -> list[Mutant]:
    """Return a sample of the changes that are valid Python. Each is in it by a number drawn from its own text, and stays in it when other code changes."""

    def drawn(mutant: Mutant) -> bytes:
        return blake2b(f"{seed} {mutant.module} {mutant.line} {mutant.change} {mutant.nth}".encode()).digest()

    kept: list[Mutant] = []
    for mutant in sorted(found, key=drawn):
        with suppress(SyntaxError):
            versions(mutant, paths[mutant.module])
            kept.append(mutant)
            if len(kept) == sample:
                break
    return sorted(kept, key=lambda mutant: (mutant.module, mutant.lines))


def known_equivalent(mutant: Mutant) -> str | None:
    """Return why a change makes no difference, where that is known."""
    for one in EQUIVALENT:
        same = (f"langroute.{one.module}", one.line, one.change) == (mutant.module, mutant.line, mutant.change)
        if same and one.nth in (0, mutant.nth):
            return one.why
    return None


def main() -> None:
    """Make the mutants, run the tests, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", default="", help="modules or folders under langroute, with commas between them")
    parser.add_argument(
        "--listed", action="store_true", help="draw from the modules in mutants_listed.py; try those of --modules only"
    )
    parser.add_argument("--tests", default="tests", help="paths that pytest is given, with spaces between them")
    parser.add_argument("--sample", type=int, default=40, help="how many changes are tried, drawn at random; 0 for all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="most test time for one change, in processor time")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 where a smaller share is killed")
    given = parser.parse_args()
    if not (given.modules or given.listed):
        parser.error("name modules, or take those listed")

    os.chdir(ROOT)
    sys.path[0] = str(ROOT)
    named = list(modules_named(",".join(TESTS) if given.listed else given.modules))
    paths = {module: path for module, path, _ in named}
    found = [mutant for module, path, wanted in named for mutant in mutants_of(module, path, wanted)]
    found = chosen(found, paths, given.sample, given.seed)
    if given.listed and given.modules:
        kept = {module for module, *_ in modules_named(given.modules)}
        paths = {module: path for module, path in paths.items() if module in kept}
        found = [mutant for mutant in found if mutant.module in kept]
    files = {module: tests_of(module.removeprefix("langroute.")) if given.listed else None for module in paths}
    tests = sorted(frozenset().union(*(one for one in files.values() if one))) if given.listed else given.tests.split()
    for heavy in HEAVY:
        with suppress(ImportError):
            importlib.import_module(heavy)
    # No `TemporaryDirectory`, which every forked process would remove when it ends.
    folder = Path(tempfile.mkdtemp())
    try:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
        fates = Run(paths, files, folder, given.seconds).of(found, tests)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    total: Counter[str] = Counter()
    for module, counts in sorted(fates.items()):
        total += counts
        print(f"{share(counts):6.1%} of {counts.total() - counts['equivalent']:4} {module}")
    print(f"{share(total):6.1%} of {total.total() - total['equivalent']:4} killed; {dict(total)}")
    sys.exit(int(share(total) < given.at_least))


class Run:
    """One run: collects the tests, traces them, and tries the mutants.

    Args:
        paths: File of each module.
        files: Test files that have to notice a module's changes; `None` for all.
        folder: For temporary files.
        seconds: Most test time for one change.
    """

    def __init__(self, paths: dict[str, Path], files: dict[str, frozenset[str] | None], folder: Path, seconds: float) -> None:
        self.paths, self.files, self.folder, self.seconds = paths, files, folder, seconds
        self.fates: dict[str, Counter[str]] = defaultdict(Counter)
        self.anew: list[tuple[Mutant, list[str], float]] = []
        """Changes that need their module loaded anew, with their tests and the limit."""

        self.terminal = os.fdopen(os.dup(1), "w")

    def of(self, found: list[Mutant], tests: list[str]) -> dict[str, Counter[str]]:
        """Return how many changes of each module had which result."""
        state = self.folder / "state"

        def collected() -> int:
            traced = Traced({str(path): module for module, path in self.paths.items()})
            threading.settrace(traced.enter)
            sys.settrace(traced.enter)
            code = run_pytest(self.folder, tests, lambda session: self._try(found, traced, session), self.terminal)
            if code != pytest.ExitCode.OK:
                return code
            state.write_bytes(pickle.dumps((dict(self.fates), self.anew)))
            return 0

        if forked(collected, 36_000) != 0:
            raise SystemExit(f"pytest could not run {' '.join(tests)}")
        fates, self.anew = pickle.loads(state.read_bytes())
        self.fates.update(fates)
        for mutant, chosen_tests, limit in self.anew:
            self._note(mutant, run_loaded(mutant, self.paths[mutant.module], self.folder, chosen_tests, limit))
        return self.fates

    def _try(self, found: list[Mutant], traced: Traced, session: pytest.Session) -> None:
        """Try the changes that can be made in the loaded modules; put the others into `anew`."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        on_import = set(traced.lines)
        self._trace(traced, session)
        print(
            f"{len(traced.seconds)} tests, {len(traced.failed)} of them fail as they are; {len(found)} changes",
            file=self.terminal,
            flush=True,
        )
        for mutant in found:
            if (why := known_equivalent(mutant)) is not None:
                self._note(mutant, "equivalent", why)
                continue
            tests = covering(mutant, traced, self.seconds, self.files[mutant.module])
            limit = 15 + 3 * sum(traced.seconds[test] for test in tests)
            fate: str | None = "not run"
            if tests:
                imported = any((mutant.module, line) in on_import for line in mutant.range)
                fate = None if imported else run_patched(mutant, self.paths[mutant.module], session, tests, limit)
            if fate is None:
                self.anew.append((mutant, tests, limit))
            else:
                self._note(mutant, fate)

    def _trace(self, traced: Traced, session: pytest.Session) -> None:
        file = self.folder / "traced"

        def trace() -> int:
            traced.run(session, lines=None in self.files.values())
            file.write_bytes(pickle.dumps((dict(traced.lines), traced.seconds, traced.failed)))
            return 0

        if forked(trace, 3600) != 0:
            raise SystemExit("the tests do not run to their end")
        traced.lines, traced.seconds, traced.failed = pickle.loads(file.read_bytes())

    def _note(self, mutant: Mutant, fate: str, why: str = "") -> None:
        self.fates[mutant.module][fate] += 1
        print(f"{fate:10} {mutant.module}:{mutant.lines[0]}  {mutant.change}{why and f'  ({why})'}", file=self.terminal, flush=True)


def share(counts: Counter[str]) -> float:
    """Return the share of mutants that were killed, of those that are not equivalent."""
    return (counts["killed"] + counts["timed out"]) / max(1, counts.total() - counts["equivalent"])


if __name__ == "__main__":
    main()
