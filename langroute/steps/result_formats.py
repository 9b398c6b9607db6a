"""What programs print when they fail and when they pass: one table, a line or two for each.

Read only of tools that run things, and only where no exit code says it. `failed` is what stands in the output of a failed run alone;
`passed` is the summary of a good one, which outweighs words such as "error:" in what was printed on the way; `ran` is the summary of tests,
whatever came of them.

Source: the manuals and the source code of the programs named, as of November 2026; each line has a sample in
`tests/steps/test_results.py`.
"""

from __future__ import annotations

from langroute.core.fast_dataclass import fast_dataclass


@fast_dataclass
class Format:
    """How one program, or a family of them, tells the end of a run."""

    tool: str
    marks: tuple[str, ...]
    """Pieces of lower-case text of which its output has one; a search for them is many times faster than the patterns."""

    failed: str | None = None
    """Pattern of a failure, matched in many lines and with case."""

    passed: str | None = None
    """Pattern of the summary of a good run."""

    ran: str | None = None
    """Pattern of the summary of tests that were run, with its counts; only of programs that run tests, and not where there were none."""


_PLACE = r"[^\s:()][^\n:()]{0,300}"

FORMATS = (
    # Compilers and checkers ------------------------------------------------------------------------------------------
    Format(
        "gcc, clang, javac, ghc, swiftc, mypy (path:line:column: error), tsc and MSVC (path(line,column): error)",
        ("error",),
        rf"^(?:[A-Za-z]:)?{_PLACE}(?::[0-9]+(?::[0-9]+)?|\([0-9]+(?:,[0-9]+){{0,3}}\))(?: ?: | - )(?:fatal )?error\b",
    ),
    Format("tsc without a file", ("error ts",), r"^error TS[0-9]+:"),
    Format(
        "ld",
        ("undefined reference", "ld returned", "symbol(s) not found"),
        r"undefined reference to|\bld returned [1-9]|symbol\(s\) not found",
    ),
    Format("rustc, cargo", ("could not compile", "aborting due to"), r"^error: (?:could not compile|aborting due to)"),
    Format("go build, go vet", (".go:",), r"^# [^\n]{1,300}\n(?:vet: )?[^\s:]{1,300}\.go:[0-9]+:[0-9]+: "),
    Format(
        "go",
        ("go: ", "build failed", "no required module"),
        r"^go: (?:cannot |no |errors? |unknown |updates to go\.mod |[^\n]{1,200}: (?:no matching versions|not found|unknown revision|missing go\.sum))|\[build failed\]|no required module provides",
    ),
    Format("mypy", ("success: no issues",), None, r"^Success: no issues found"),
    Format("pylint, flake8, ruff", (".py:",), rf"^{_PLACE}\.py:[0-9]+:[0-9]+: [EF][0-9]{{3,4}}\b"),
    Format("ruff --fix", ("0 remaining",), None, r"^Found [0-9]+ errors? \([0-9]+ fixed, 0 remaining\)"),
    Format("ruff", ("all checks passed",), None, r"^All checks passed!"),
    Format(
        "black, ruff format, prettier, gofmt in check mode",
        ("would reformat", "would be reformatted", "code style issues"),
        r"^(?:w|W)ould reformat|would be reformatted|Code style issues (?:found|in)",
    ),
    Format("PHP", ("php ", "parse error"), r"^PHP (?:Fatal|Parse) error|^Parse error: "),
    # Tests -----------------------------------------------------------------------------------------------------------
    Format(
        "pytest",
        ("e   ", "failed ", "error ", "= failures =", "= errors =", "interrupted:", " passed", " failed", " error"),
        r"^E {3,}\S|^(?:FAILED|ERROR) \S+\.py(?:::|\b)|^=+ (?:FAILURES|ERRORS) =+$|^!+ Interrupted: ",
        r"^(?:=+ )?(?:[0-9]+ (?:passed|skipped|xfailed|warnings?|deselected),? ?)+in [0-9.]+s",
        r"^(?:=+ )?(?=[0-9][^\n]{0,200}\b(?:passed|failed|errors?)\b)(?:[0-9]+ (?:passed|failed|errors?|skipped|xfailed|xpassed|rerun|warnings?|deselected),? ?)+in [0-9.]+s",
    ),
    Format(
        "unittest",
        ("\nok", "failed ("),
        r"^FAILED \(",
        r"^OK(?: \((?:skipped|expected failures)=[^\n]{0,80}\))?$",
        r"^Ran [1-9][0-9]* tests? in [^\n]{1,20}\n\n(?:OK|FAILED)[^\n]{0,100}",
    ),
    Format(
        "go test",
        ("fail", "ok  \t"),
        r"^\s{0,40}--- FAIL: |^FAIL(?:\t|$)",
        r"^ok  \t",
        r"^ok  \t(?![^\n]{0,300}\[no tests to run\])|^FAIL\t|^--- FAIL: ",
    ),
    Format(
        "cargo test",
        ("test result:", "... failed", "panicked at"),
        r"^test result: FAILED|^test \S+ \.\.\. FAILED|^thread '[^\n']{1,200}'(?: \([0-9]+\))? panicked at",
        r"^test result: ok\.",
        r"^test result: (?:ok\. [1-9]|FAILED)",
    ),
    Format(
        "Jest, Vitest",
        ("fail ", "✕", "×", "● ", "tests:", "tests  "),
        r"^\s{0,20}FAIL {1,2}\S|^\s{0,40}[✕×] \S|^\s{0,20}● \S[^\n]{0,300} › ",
        r"^\s{0,20}Tests:? {1,12}[0-9]+ passed(?:, [0-9]+ total| \([0-9]+\))",
        r"^\s{0,20}Tests:? {1,12}[0-9]+ (?:passed|failed)\b[^\n]{0,200}",
    ),
    Format("Mocha", (" passing (",), ran=r"^\s{0,20}[0-9]+ passing \([^\n]{0,40}(?:\n\s{0,20}[0-9]+ (?:pending|failing)\b)*"),
    Format(
        "TAP, node --test",
        ("not ok ", "# pass "),
        r"^\s{0,40}not ok [0-9]+(?![^\n]{0,300}# (?:TODO|SKIP|todo|skip))",
        ran=r"^# pass [0-9]+\n# fail [0-9]+",
    ),
    Format(
        "PHPUnit",
        ("failures!", "errors!", "ok ("),
        r"^(?:FAILURES|ERRORS)!$",
        r"^OK \([0-9]+ tests?",
        r"^OK \([1-9][0-9]* tests?|^(?:FAILURES|ERRORS)!\nTests: [^\n]{0,200}",
    ),
    Format("RSpec", (" example",), r"^Failed examples:$", ran=r"^[1-9][0-9]* examples?, [^\n]{0,80}"),
    Format("ctest", ("tests passed",), None, r"^100% tests passed", r"^[0-9]+% tests passed, [^\n]{0,80}"),
    Format("Maven, Surefire", ("tests run:",), ran=r"^(?:\[\w{4,7}\] )?Tests run: [1-9][^\n]{0,120}"),
    Format("dotnet test", ("failed!  -", "passed!  -"), r"^Failed!  - ", ran=r"^(?:Passed|Failed)!  - [^\n]{0,200}"),
    # Builds ----------------------------------------------------------------------------------------------------------
    Format("make", ("make: ***", "]: ***"), r"^\w{0,10}make(?:\[[0-9]+\])?: \*\*\* "),
    Format("ninja", ("ninja: ", "failed: "), r"^ninja: (?:build stopped|error|fatal)|^FAILED: \S"),
    Format("CMake", ("cmake error",), r"^CMake Error\b"),
    Format(
        "Maven, Gradle, MSBuild, xcodebuild",
        ("build fail", "failure: "),
        r"^(?:\[ERROR\] |\[INFO\] |\*\* )?B(?:UILD|uild) (?:FAILURE|FAILED)\b|^FAILURE: ",
    ),
    Format(
        "Maven, Gradle, MSBuild",
        ("build success", "build succe"),
        None,
        r"^(?:\[INFO\] )?B(?:UILD|uild) (?:SUCCESS|SUCCESSFUL|succeeded)",
    ),
    Format("Maven", ("[error]",), r"^\[(?:ERROR|error)\] "),
    Format("Bazel", ("did not complete", "failed to build"), r"did NOT complete successfully|FAILED TO BUILD"),
    Format(
        "npm, Yarn, pnpm",
        ("npm err", "elifecycle", "err_pnpm", "error command failed"),
        r"^npm (?:ERR!|error)|\bELIFECYCLE\b|\bERR_PNPM_|^error Command failed",
    ),
    Format("uv, pip", ("no solution found", "no matching distribution"), r"No solution found|No matching distribution found"),
    # Version control, systems, networks ------------------------------------------------------------------------------
    Format(
        "git merge, rebase, cherry-pick, stash",
        ("conflict (", "merge failed", "could not apply"),
        r"^CONFLICT \(|^Automatic merge failed|^(?:error: )?could not apply ",
    ),
    Format("git push", ("rejected]",), r"^ ! \[(?:remote )?rejected\]"),
    Format("patch", (" failed at ", "patch failed", ".rej"), r"^Hunk #[0-9]+ FAILED|^error: patch failed|saving rejects to file"),
    Format(
        "docker, kubectl",
        ("error response from", "error from server", "failed to solve"),
        r"^(?:docker: )?Error (?:response from daemon|from server)|failed to solve",
    ),
    Format("Terraform", ("│ error:",), r"^│ Error: "),
    Format("Ansible", ("failed!", "unreachable!"), r"^fatal: \[|: (?:FAILED|UNREACHABLE)! =>"),
    Format(
        "curl, wget, ssh",
        ("curl: (", "could not resolve", "unable to resolve", "connection refused"),
        r"^curl: \([0-9]+\)|\b[Cc]ould not resolve host|unable to resolve host|: Connection refused\s*$",
    ),
    Format(
        "shells",
        (
            "command not found",
            "not recognized",
            "no such file",
            "permission denied",
            "syntax error",
            "cannot access",
            "core dumped",
            "fault",
            "killed",
            "not a directory",
            "is a directory",
            "read-only file system",
            "no space left",
        ),
        r"\bcommand not found\b|is not recognized as (?:an internal|the name)|^\S{1,200}: [^\n]{0,300}: (?:[Nn]o such file or directory|[Pp]ermission denied|Not a directory"
        r"|Is a directory|Read-only file system|No space left on device)|: cannot access |syntax error near unexpected token|\(core dumped\)|\b[Ss]egmentation fault\b|^Bus error"
        r"|^Killed$|^\S{1,200}: line [0-9]+:[^\n]{0,80} Killed",
    ),
    # Crashes of languages --------------------------------------------------------------------------------------------
    Format("Python", ("traceback (most recent",), r"^\s{0,40}Traceback \(most recent call last\)"),
    Format(
        "Java, Kotlin, Scala",
        ("exception in thread", "\tat "),
        r"^Exception in thread \"|^\S{1,200}(?:Exception|Error)\b[^\n]{0,300}\n\s+at [\w.$<>]+\(",
    ),
    Format("Go", ("panic: ", "fatal error: "), r"^panic: |^fatal error: "),
    Format("Node.js", ("node:internal", "uncaught "), r"^node:internal/|^Uncaught \w"),
    Format(".NET, C++", ("unhandled exception", "terminate called"), r"^Unhandled [Ee]xception|^terminate called "),
)
"""The programs, in no order: any failure counts."""
