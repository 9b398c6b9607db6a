"""Run the tests of LangChain's agents, of langgraph-prebuilt and of deepagents with a router in their models' place.

    python tests/foreign/run.py [SUITE ...] [--checkout FOLDER] [--keep FOLDER]

Fetches the published sdists (`suites.toml`), installs their packages into a virtual environment of their own, runs their tests as they are,
once without and then with a router, and prints what fails with a router alone. Each of those failures is listed with its reason in
`expected.toml`; one that is not listed fails the run. A failure that does not occur again when the test is run alone is told, and counts
as none: some tests measure seconds.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomllib
from foreign_suite import HERE, ROOT, NotReachedError, Run, Suite, run_tests

ENVIRONMENTS = ROOT / "build" / "foreign"


@dataclass(frozen=True)
class Result:
    """What a mode changed about a suite."""

    suite: str
    mode: str
    baseline: Run
    run: Run
    reasons: Mapping[str, str]
    """Failure beyond the baseline → key of its reason."""

    unlisted: Mapping[str, str]
    """Failure beyond the baseline that is not listed → its error."""

    passed_again: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    """Listed tests that pass."""

    @property
    def right(self) -> bool:
        """Whether every failure is listed, and routers were really used."""
        return not self.unlisted and self.run.counts.get("decisions", 0) > 0


def suites() -> dict[str, Suite]:
    """Return the suites of `suites.toml` by name."""
    table = tomllib.loads((HERE / "suites.toml").read_text())
    packages = table["environment"]["packages"]
    return {name: Suite.of(name, one, packages) for name, one in table["suites"].items()}


def expected(path: Path = HERE / "expected.toml") -> tuple[dict[str, str], dict[tuple[str, str], dict[str, str]]]:
    """Return the reasons by key, and for each suite and mode the listed tests with the key of their reason.

    Raises:
        ValueError: A test is listed without a known reason, or twice.
    """
    table = tomllib.loads(path.read_text())
    reasons, listed = table.get("reasons", {}), {}
    for entry in table.get("failures", ()):
        if entry["reason"] not in reasons:
            raise ValueError(f"{path.name}: {entry['reason']!r} is no reason. Reasons: {', '.join(reasons)}.")
        tests = listed.setdefault((entry["suite"], entry["mode"]), {})
        for test in entry["tests"]:
            if test in tests:
                raise ValueError(f"{path.name}: {test} is listed twice for {entry['suite']}, {entry['mode']}.")
            tests[test] = entry["reason"]
    return reasons, listed


def environment(packages: Sequence[str]) -> Path:
    """Return the interpreter of a virtual environment with langroute's and the given packages, made where there is none yet."""
    named = hashlib.sha256("\n".join([sys.version, (ROOT / "pyproject.toml").read_text(), *packages]).encode()).hexdigest()[:12]
    folder = ENVIRONMENTS / named
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        for wanted in (["pip>=25.1"], [f"{ROOT}[agents]", *packages]):
            subprocess.run(["nice", python, "-m", "pip", "install", "-q", "--upgrade", *wanted], check=True, timeout=1800)
        # The tests use the working tree.
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "langroute"], check=True)
        complete.touch()
    return python


def judge(
    suite: Suite, mode: str, baseline: Run, python: Path | str, folder: Path, report: Path, listed: Mapping[str, str]
) -> Result:
    """Run a suite in a mode, and tell which of its failures are beyond the baseline, listed and lasting."""
    run = run_tests(python, folder, (*suite.options, *suite.tests), mode, report)
    before = baseline.failures()
    beyond = {test: error for test, error in run.failures().items() if test not in before}
    beyond |= {test: "not run with a router" for test in baseline.outcomes.keys() - run.outcomes.keys() if test not in before}
    unlisted = {test: error for test, error in beyond.items() if test not in listed}
    passed_again: tuple[str, ...] = ()
    if unlisted and len(unlisted) <= 20:
        again = run_tests(python, folder, (*suite.options, *unlisted), mode, report).failures()
        passed_again = tuple(test for test in unlisted if test not in again)
    return Result(
        suite.name,
        mode,
        baseline,
        run,
        {test: listed[test] for test in beyond if test in listed},
        {test: error for test, error in unlisted.items() if test not in passed_again},
        passed_again,
        tuple(test for test in listed if test not in beyond),
    )


def run_suite(
    suite: Suite, python: Path | str, folder: Path, scratch: Path, listed: Mapping[tuple[str, str], Mapping[str, str]]
) -> list[Result]:
    """Run a suite without and with a router."""
    report = scratch / "report.json"
    baseline = run_tests(python, folder, (*suite.options, *suite.tests), "baseline", report)
    return [judge(suite, mode, baseline, python, folder, report, listed.get((suite.name, mode), {})) for mode in suite.modes]


def told(results: Sequence[Result], reasons: Mapping[str, str]) -> str:
    """Return the results as text."""
    lines = [
        f"{'suite':20}{'mode':12}{'tests':>6}{'fail':>6}{'beyond':>8}{'unlisted':>10}{'routers':>9}{'decisions':>11}{'RouteFailed':>13}"
    ]
    for result in results:
        beyond = [*result.reasons, *result.unlisted]
        failed = sum("RouteFailedError" in result.run.outcomes.get(test, {}).get("error", "") for test in beyond)
        counts = result.run.counts
        lines.append(
            f"{result.suite:20}{result.mode:12}{len(result.run.outcomes):6}{result.baseline.count('failed'):6}{len(beyond):8}"
            f"{len(result.unlisted):10}{counts.get('routers', 0):9}{counts.get('decisions', 0):11}{failed:13}"
        )
    lines.append("fail: without a router; beyond: with a router alone.")
    totals = Counter(reason for result in results for reason in result.reasons.values())
    lines.extend(f"  {count:3} {reason}: {reasons[reason]}" for reason, count in totals.most_common())
    for result in results:
        where = f"{result.suite}, {result.mode}"
        lines.extend(f"NOT LISTED ({where}) {test}\n    {error}" for test, error in result.unlisted.items())
        lines.extend(f"failed once, passed alone ({where}) {test}" for test in result.passed_again)
        lines.extend(f"listed, but passes ({where}) {test}" for test in result.stale)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suites and return 0 where every failure beyond the baseline is listed."""
    known = suites()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"{', '.join(known)}; all that are published where none is given"
    )
    parser.add_argument("--checkout", type=Path, help="run the one suite that is named in this folder, not in its sdist")
    parser.add_argument("--keep", type=Path, help="unpack into this folder and keep it")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.suites if name not in known]:
        parser.error(f"There is no suite {unknown[0]!r}. Suites: {', '.join(known)}.")
    chosen = [known[name] for name in given.suites] or [suite for suite in known.values() if suite.sdist]
    if given.checkout is None and (bare := [suite.name for suite in chosen if suite.sdist is None]):
        parser.error(
            f"The sdist of {', '.join(bare)} has no tests: give --checkout with its folder in a checkout of the repository."
        )
    if given.checkout is not None and len(given.suites) != 1:
        parser.error("Name the one suite that --checkout is for.")
    reasons, listed = expected()
    results: list[Result] = []
    for suite in chosen:
        with tempfile.TemporaryDirectory(prefix="foreign-") as temporary:
            scratch = Path(temporary) if given.keep is None else given.keep / suite.name
            scratch.mkdir(parents=True, exist_ok=True)
            python = environment(suite.packages)
            folder = suite.fetch(python, scratch) if given.checkout is None else given.checkout.resolve()
            results += run_suite(suite, python, folder, scratch, listed)
    sys.stdout.write(told(results, reasons) + "\n")
    return 0 if all(result.right for result in results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotReachedError as error:
        sys.exit(str(error))
