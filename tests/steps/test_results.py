"""What programs print: failures and good runs, with a sample for each line of the table."""

from __future__ import annotations

import json

import pytest

from langroute.steps.results import passed_tests
from langroute.steps.tools import failure_of, verdict_of_tests

FAILED = {
    "tsc": "src/a.ts(3,4): error TS2304: Cannot find name 'x'.",
    "tsc, pretty": "src/a.ts:3:4 - error TS2304: Cannot find name 'x'.\n\n3 x\n  ~\n",
    "tsc without a file": "error TS18003: No inputs were found in config file 'tsconfig.json'.",
    "gcc": "main.c: In function 'main':\nmain.c:5:3: error: expected ';' before 'return'\n",
    "gcc, a missing header": "a.c:1:10: fatal error: foo.h: No such file or directory",
    "clang on Windows": "C:\\src\\a.cpp:3:5: error: use of undeclared identifier 'x'",
    "MSVC": "a.cpp(3): error C2065: 'x': undeclared identifier",
    "javac": "Main.java:3: error: ';' expected\n1 error",
    "ghc": "a.hs:3:5: error: [GHC-88464]\n    Variable not in scope: x",
    "mypy": 'a.py:3: error: Name "x" is not defined  [name-defined]',
    "ld": "a.o: in function `main':\na.c:(.text+0x5): undefined reference to `f'\ncollect2: error: ld returned 1 exit status",
    "rustc": "error[E0425]: cannot find value `x` in this scope\n --> src/main.rs:2:5",
    "cargo": 'warning: unused variable: `y`\nerror: could not compile `a` (bin "a") due to 1 previous error; 1 warning emitted',
    "go build": "# example.com/a\n./main.go:5:2: undefined: x",
    "go vet": "# example.com/a\nvet: ./main.go:5:2: undefined: x",
    "go modules": "go: cannot find main module, but found .git/config in /src",
    "go, no module": "main.go:4:2: no required module provides package github.com/x/y; to add it:\n\tgo get github.com/x/y",
    "flake8": "a.py:1:1: F401 'os' imported but unused",
    "pylint": "a.py:3:0: E0602: Undefined variable 'x' (undefined-variable)",
    "black --check": "would reformat a.py\n\nOh no!\n1 file would be reformatted.",
    "prettier": "Checking formatting...\n[warn] a.js\n[warn] Code style issues found in the above file. Run Prettier with --write to fix.",
    "eslint": "/src/a.js\n  1:5  error  'x' is not defined  no-undef\n\n✖ 1 problem (1 error, 0 warnings)",
    "php": "PHP Parse error:  syntax error, unexpected end of file in a.php on line 3",
    "pytest, a line": "E   AssertionError: assert 1 == 2",
    "pytest, short": "FAILED tests/test_a.py::test_one - assert 1 == 2",
    "pytest, collection": "ERROR tests/test_a.py\n!!!!!!!! Interrupted: 1 error during collection !!!!!!!!",
    "unittest": "Ran 3 tests in 0.001s\n\nFAILED (failures=1)",
    "go test": "--- FAIL: TestSum (0.00s)\nFAIL\tgithub.com/x/y\t0.01s",
    "go test, a subtest": "=== RUN   TestSum/one\n    --- FAIL: TestSum/one (0.00s)\nok  \tgithub.com/x/z\t0.01s",
    "cargo test": "test tests::adds ... FAILED\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored",
    "rust": "thread 'main' panicked at src/main.rs:2:5:\nindex out of bounds",
    "jest": " FAIL  src/sum.test.js\n  ✕ adds (3 ms)",
    "jest, the summary": "Tests:       1 failed, 5 passed, 6 total",
    "vitest": " × src/sum.test.ts > adds 3ms\n Tests  1 failed | 5 passed (6)",
    "mocha": "  5 passing (12ms)\n  1 failing",
    "tap": "ok 1 - a\nnot ok 2 - b",
    "phpunit": "FAILURES!\nTests: 2, Assertions: 3, Failures: 1.",
    "rspec": "3 examples, 1 failure\n\nFailed examples:\n",
    "ctest": "67% tests passed, 1 tests failed out of 3",
    "make": "make: *** [Makefile:3: all] Error 2",
    "make in a folder": "gmake[2]: *** No rule to make target 'x', needed by 'all'.  Stop.",
    "ninja": "FAILED: a.o \nninja: build stopped: subcommand failed.",
    "cmake": "CMake Error at CMakeLists.txt:3 (find_package):",
    "maven": "[INFO] BUILD FAILURE\n[ERROR] Failed to execute goal",
    "maven, tests": "Tests run: 3, Failures: 1, Errors: 0, Skipped: 0",
    "gradle": "> Task :test FAILED\n\nBUILD FAILED in 2s",
    "msbuild": "Build FAILED.\n    0 Warning(s)\n    1 Error(s)",
    "xcodebuild": "** BUILD FAILED **",
    "bazel": "FAILED: Build did NOT complete successfully",
    "dotnet test": "Failed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3",
    "npm": "npm error code ERESOLVE\nnpm error could not resolve",
    "npm, older": "npm ERR! missing script: lint",
    "pnpm": " ELIFECYCLE  Command failed.",
    "pip": "ERROR: No matching distribution found for nosuch",
    "uv": "  × No solution found when resolving dependencies:",
    "git merge": "Auto-merging a.py\nCONFLICT (content): Merge conflict in a.py\nAutomatic merge failed; fix conflicts and then commit the result.",
    "git rebase": "error: could not apply 1a2b3c4... Add x",
    "git push": "To github.com:x/y.git\n ! [rejected]        main -> main (fetch first)",
    "patch": "patching file a.py\nHunk #1 FAILED at 3.\n1 out of 1 hunk FAILED -- saving rejects to file a.py.rej",
    "docker": "docker: Error response from daemon: No such image: x.",
    "docker build": 'ERROR: failed to solve: process "/bin/sh -c make" did not complete',
    "kubectl": 'Error from server (NotFound): pods "x" not found',
    "terraform": "╷\n│ Error: Unsupported argument\n│",
    "ansible": 'fatal: [web]: FAILED! => {"changed": false}',
    "ansible, the recap": "web : ok=3 changed=1 unreachable=1 failed=0",
    "curl": "curl: (6) Could not resolve host: nosuch.example",
    "ssh": "ssh: connect to host x port 22: Connection refused",
    "sh": "sh: 1: foo: command not found",
    "cmd": "'foo' is not recognized as an internal or external command,\noperable program or batch file.",
    "ls": "ls: cannot access 'x': No such file or directory",
    "cp": "cp: cannot create regular file '/x': Permission denied",
    "a crash": "./run.sh: line 3: 123 Segmentation fault      (core dumped) ./a.out",
    "out of memory": "Killed",
    "python": "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'a'",
    "python, the last line": '  File "a.py", line 3\nKeyboardError',
    "java": 'Exception in thread "main" java.lang.NullPointerException\n\tat Main.main(Main.java:3)',
    "go panic": "panic: runtime error: index out of range [3] with length 3",
    "node": "node:internal/modules/cjs/loader:1080\n  throw err;\n  ^\n\nError: Cannot find module 'x'",
    "c++": "terminate called after throwing an instance of 'std::bad_alloc'",
    ".net": "Unhandled exception. System.Exception: x",
    "one program is well, another is not": "All checks passed!\n2 failed, 3 passed",
    "tests that took too long": "5 passed, 3 timed out",
    "a time-out": "Command timed out after 60s",
    "a time-out, behind output": "Collecting...\nBuilding...\nError: Command timed out after 2m 0s",
    "a time-out, in other words": "Timeout exceeded: process was killed",
    "a limit": "The command exceeded the time limit of 120 seconds.",
    "killed by the clock": "... still running\n[killed after 30 seconds]",
    "a context": "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
}

FINE = {
    "eslint": "✖ 3 problems (0 errors, 3 warnings)",
    "eslint, other order": "3 warnings, 0 errors",
    "tsc": "Found 0 errors. Watching for file changes.",
    "gcc": "a.c:3:5: warning: unused variable 'x' [-Wunused-variable]",
    "mypy": "Success: no issues found in 3 source files",
    "ruff": "All checks passed!",
    "ruff --fix": "Found 5 errors (5 fixed, 0 remaining).",
    "pyright": "0 errors, 2 warnings, 0 informations",
    "pytest": "collected 12 items\n\ntests/test_errors.py ............ [100%]\n\n============ 12 passed in 0.31s ============",
    "pytest, expected": "======== 10 passed, 1 skipped, 2 xfailed in 1.20s ========",
    "pytest, with a log": "error: deprecated flag\n==== 3 passed, 1 warning in 0.10s ====",
    "unittest": "Ran 3 tests in 0.001s\n\nOK (expected failures=1)",
    "go test": "ok  \tgithub.com/x/y\t0.01s",
    "go modules": "go: downloading github.com/x/y v1.2.3",
    "cargo": "   Compiling error-chain v0.12.4\n    Finished dev profile in 2s",
    "cargo test": "test error_handling ... ok\n\ntest result: ok. 3 passed; 0 failed; 0 ignored",
    "jest": "  ✓ throws an Error: bad input (2 ms)\n\nTests:       5 passed, 5 total",
    "mocha": "  5 passing (12ms)\n",
    "tap": "ok 1 - a\nnot ok 2 - b # TODO later",
    "phpunit": "OK (3 tests, 5 assertions)",
    "rspec": "3 examples, 0 failures",
    "ctest": "100% tests passed, 0 tests failed out of 3",
    "make": "make: Nothing to be done for 'all'.",
    "maven": "[INFO] Tests run: 3, Failures: 0, Errors: 0\n[INFO] BUILD SUCCESS",
    "gradle": "BUILD SUCCESSFUL in 2s",
    "msbuild": "Build succeeded.\n    0 Warning(s)\n    0 Error(s)",
    "ansible": "web : ok=3 changed=1 unreachable=0 failed=0",
    "git merge": "Auto-merging a.py\nMerge made by the 'ort' strategy.",
    "git log": "1a2b3c4 Fix the timeout of uploads\n2b3c4d5 Handle merge conflicts",
    "ls": "error\nerrors.py\nfailed\ntimeout.py",
    "grep": "src/a.py:3:class ParserError(Exception):\nsrc/b.py:9:    raise ParserError('x')",
    "a setting": "timeout = 30\nretries = 2",
    "a log of time-outs": "starting\nrequest 1 timed out, trying again\ndone",
    "none timed out": "5 passed, 0 timed out",
    "errors of one, failures of none": "0 errors\n12 tests passed, 0 failed",
    "counts": "Errors: 0\nWarnings: 3",
    "a word": "error: 0",
    "an exit code": "error: deprecated\nProcess exited with code 0",
}


@pytest.mark.parametrize("name", FAILED)
def test_a_failure_is_told_without_an_exit_code(name: str) -> None:
    assert failure_of("success", FAILED[name], "run") >= 0.5
    assert failure_of("success", f"$ run it\nsome output\n{FAILED[name]}\n", "run") >= 0.5


@pytest.mark.parametrize("name", FINE)
def test_a_good_run_is_no_failure(name: str) -> None:
    assert failure_of("success", FINE[name], "run") == 0.0


@pytest.mark.parametrize("name", FAILED)
def test_a_file_or_a_page_with_such_words_fails_no_tool(name: str) -> None:
    """Reading the log of a failed run is no failed step; only what begins like an error of the tool itself is half of one."""
    assert failure_of("success", f"build.log:\n{FAILED[name]}", "read") == 0.0


def test_a_failure_is_told_in_a_long_result_at_either_end() -> None:
    noise = "compiling one more file, 12 of 300\n" * 1000
    assert failure_of("success", f"{noise}{FAILED['make']}", "run") >= 0.5
    assert failure_of("success", f"{FAILED['tsc']}\n{noise}", "run") >= 0.5


def test_an_exit_code_outweighs_every_format() -> None:
    for text in FAILED.values():
        if "exit" not in text.lower() and "return" not in text.lower():
            assert failure_of("success", f"{text}\nExit code: 0", "run") == 0.0


TESTS_PASSED = {
    "pytest": "collected 12 items\n\n.... [100%]\n\n============ 12 passed in 0.31s ============",
    "pytest -q": "...                       [100%]\n3 passed in 0.02s",
    "pytest, skipped and expected": "= 10 passed, 1 skipped, 2 xfailed, 1 warning in 1.20s =",
    "pytest, with a log": "error: deprecated flag\n==== 3 passed, 1 warning in 0.10s ====",
    "unittest": "...\n----------\nRan 3 tests in 0.001s\n\nOK",
    "go": "ok  \tgithub.com/x/y\t0.01s\nok  \tgithub.com/x/z\t(cached)",
    "cargo": "test tests::adds ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n\n   Doc-tests a\n\ntest result: ok. 0 passed; 0 failed",
    "jest": "PASS src/sum.test.js\n\nTest Suites: 1 passed, 1 total\nTests:       5 passed, 5 total\nTime:        0.5 s",
    "vitest": " Test Files  1 passed (1)\n      Tests  5 passed (5)",
    "mocha": "  sum\n    ✔ adds\n\n  5 passing (12ms)\n  1 pending\n",
    "node --test": "ok 1 - a\n1..1\n# tests 1\n# pass 1\n# fail 0",
    "phpunit": "OK (3 tests, 5 assertions)",
    "rspec": "Finished in 0.01 seconds\n3 examples, 0 failures",
    "ctest": "100% tests passed, 0 tests failed out of 3",
    "maven": "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0\n[INFO] BUILD SUCCESS",
    "dotnet": "Passed!  - Failed:     0, Passed:     3, Skipped:     0, Total:     3",
    "an exit code, too": "===== 3 passed in 0.02s =====\nProcess exited with code 0",
}
TESTS_FAILED = {
    "pytest": "E   assert 1 == 2\n=== short test summary info ===\nFAILED test_a.py::test_one - assert 1 == 2\n=== 1 failed, 2 passed in 0.05s ===",
    "pytest -q": "FAILED test_a.py::test_one\n1 failed, 2 passed in 0.05s",
    "pytest, collection": "ERROR test_a.py\n!!!! Interrupted: 1 error during collection !!!!\n===== 1 error in 0.10s =====",
    "unittest": "Ran 3 tests in 0.001s\n\nFAILED (failures=1)",
    "go": "--- FAIL: TestSum (0.00s)\nFAIL\nFAIL\tgithub.com/x/y\t0.01s",
    "cargo": "test tests::adds ... FAILED\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored",
    "jest": " FAIL  src/sum.test.js\nTests:       1 failed, 5 passed, 6 total",
    "vitest": " × src/sum.test.ts > adds 3ms\n Tests  1 failed | 5 passed (6)",
    "mocha": "  5 passing (12ms)\n  1 failing\n",
    "node --test": "not ok 1 - a\n# tests 1\n# pass 0\n# fail 1",
    "phpunit": "FAILURES!\nTests: 2, Assertions: 3, Failures: 1.",
    "rspec": "3 examples, 1 failure\n\nFailed examples:\n",
    "ctest": "67% tests passed, 1 tests failed out of 3",
    "maven": "[ERROR] Tests run: 3, Failures: 1, Errors: 0, Skipped: 0\n[INFO] BUILD FAILURE",
    "dotnet": "Failed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3",
    "the exit code of a pipe": "1 failed, 2 passed in 0.05s\nExit code: 0",
    "one of two runs": "=== 3 passed in 0.02s ===\n=== 1 failed, 2 passed in 0.05s ===",
}
TESTS_UNTOLD = {
    "nothing": "",
    "a linter": "All checks passed!",
    "no tests": "===== no tests ran in 0.01s =====",
    "no tests of go": "?   \tgithub.com/x/y\t[no test files]\nok  \tgithub.com/x/z\t0.01s [no tests to run]",
    "no tests of unittest": "Ran 0 tests in 0.000s\n\nOK",
    "no tests of cargo": "test result: ok. 0 passed; 0 failed; 0 ignored",
    "all skipped": "===== 3 skipped in 0.01s =====",
    "passed, and the command failed": "=== 3 passed in 0.02s ===\nFAIL Required test coverage of 90% not reached.\nExit code: 2",
    "passed, and a checker found something": '=== 3 passed in 0.02s ===\na.py:3: error: Name "x" is not defined',
    "passed, and then out of time": "=== 3 passed in 0.02s ===\nCommand timed out after 60s",
    "a sentence": "All 3 tests passed in the end, it says.",
    "a program that fails": "Traceback (most recent call last):\nKeyError: 'a'",
    "an exit code": "Exit code: 0",
}


@pytest.mark.parametrize("text", TESTS_PASSED.values(), ids=TESTS_PASSED)
def test_a_summary_of_tests_says_that_they_passed(text: str) -> None:
    assert passed_tests(text) is True


@pytest.mark.parametrize("text", TESTS_FAILED.values(), ids=TESTS_FAILED)
def test_a_summary_of_tests_says_that_some_failed(text: str) -> None:
    assert passed_tests(text) is False
    assert passed_tests(f"{text}\n") is False


@pytest.mark.parametrize("text", TESTS_UNTOLD.values(), ids=TESTS_UNTOLD)
def test_what_is_no_run_of_tests_or_is_undecided_says_nothing(text: str) -> None:
    assert passed_tests(text) is None


PASSED, FAILED_TESTS = TESTS_PASSED["pytest"], TESTS_FAILED["pytest"]


@pytest.mark.parametrize(
    ("command", "believed"),
    [
        ("pytest -q", True),
        ("cd /src/app && python -m pytest", True),
        ("PYTHONPATH=. CI=1 .venv/bin/pytest | tail -5", True),
        (["bash", "-lc", "pytest -q"], True),
        (["pytest", "-q"], True),
        ("make check", True),
        ("cat > test_a.py <<'END'\nassert f() == \"it's\"\nEND\npytest test_a.py", True),
        ("if [ -f tox.ini ]; then tox; fi", True),
        (None, True),
        ("cat ci.log", False),
        ("cd /src && /bin/cat ci.log", False),
        ("git show HEAD~1", False),
        ("cat ci.log | sort | uniq", False),
        ("sleep 60; cat ci.log || true", False),
        ("cat <<END\n3 passed in 0.1s; pytest\nEND", False),
        ("cat ci.log # && pytest, don't", False),
        ("cat $(find . -name ci.log | xargs basename) 2>/dev/null", False),
        ("for log in *.log; do cat $log; done", False),
        ("export A=1 && (cd out; cat ci.log)", False),
        (["bash", "-lc", "curl https://ci.example/log"], False),
        (["cat", "ci.log"], False),
        ("echo '=== 3 passed in 0.1s ==='", False),
        # One program that is in no list makes no run of tests of a chain that shows a text.
        ("cat ci.log; pwd", False),
        ("source .venv/bin/activate && cat ci.log", False),
        ("cat ci.log || exit 1; python --version", False),
        ("cat ci.log; which pytest", False),
        ("cat ci.log; pip install pytest && npm install jest", False),
        ("cat ci.log; pytest --version; go version", False),
        ("cat ci.log; docker pull app:latest; test -f a", False),
        ("\\cat ci.log; pwd", False),
        ("\u3000cat ci.log", False),
        ("cat\x0bci.log;\x0c\xa0pwd", False),
        # Whatever a program is called that shows a text, its text is no run of tests.
        ("zcat ci.log.gz", False),
        ("xzcat ci.log.xz | tail -3", False),
        ("tac ci.log", False),
        ("sort ci.log", False),
        ("less ci.log", False),
        ("sed -n '1,20p' ci.log", False),
        ("awk 1 ci.log", False),
        ("column -t ci.log", False),
        ("gh run view 7 --log", False),
        ("kubectl logs ci", False),
        ("docker logs test", False),
        ("ssh ci.example cat test.log", False),
        ("sudo cat tests.log", False),
        ("timeout 5 tail tests.log", False),
        ("docker exec app cat tests.log", False),
        ("xargs cat < tests.txt", False),
        ("python -c \"print(open('tests.log').read())\"", False),
        ("perl -pe 1 tests.log", False),
        ("bash -c 'cat ci.log'", False),
        ("bash <<END\ncat ci.log\nEND", False),
        ("pwd; ./check", False),
        # Where something else prints, too, nobody knows whose summary it is.
        ("pytest; cat ci.log", False),
        ("pytest && zcat ci.log.gz", False),
        ("cat setup.cfg && pytest -q", False),
        ("git status; ls; python -m pytest 2>&1 | tail -3", False),
        ("cat ci.log && false && pytest", False),
        ("cat ci.log; (pytest)", False),
        ("pytest > out.txt 2>&1; cat ci.log", False),
        ("pytest > out.txt", False),
        ("pytest -q | tail -5 ci.log", False),
        ("pytest -q | tail -5 < ci.log", False),
        ("pytest -q | cat <<END\n3 passed in 0.1s\nEND", False),
        ("pytest -q | cat - <(cat ci.log)", False),
        ("pytest -q | grep passed ci.log", False),
        ("pytest -q | xargs cat", False),
        ("pytest; echo '== 3 passed in 0.1s =='", False),
        ('pytest; echo "$(cat ci.log)"', False),
        ("bash -lc 'pytest; cat ci.log'", False),
        (["bash", "-lc", "pytest; cat ci.log"], False),
        ("trap 'cat ci.log' EXIT; pytest", False),
        ("cat ci.log > /dev/stdout; pytest", False),
        ("cat ci.log > '/dev/stderr' && pytest", False),
        ("python -c \"print(open('ci.log').read())\" test", False),
        ("python3.12 show.py", False),
        ('pytest; echo "${LOG}"', False),
        # What prints nothing, hands on what the runner prints, or says its own words, is in nobody's way.
        ("cd a && source .venv/bin/activate && pytest -q 2>&1 | tee out.txt | tail -n 5", True),
        ("pytest -q |\n  grep -E 'passed|failed'", True),
        ("(cd a; pytest) | tail -5", True),
        ('cat setup.py > copy.py; pytest; echo "exit: $?"', True),
        ("PYTEST=$(which pytest) pytest -q $(cat args.txt)", True),
        ("sleep 5; ls > /dev/null; uv run pytest", True),
        ("npm run test:unit && yarn jest || exit 1", True),
        ("timeout 60 cargo test -q", True),
        ("echo go; ./run_tests.sh", True),
        ("/usr/bin/env CI=1 make check", True),
        ("sudo bash -c 'cd /src && make check'", True),
        ("docker compose run --rm web python -m pytest", True),
        ("docker exec -w /src app pytest", True),
        ("python manage.py test app", True),
        ("python3 tests/runtests.py forms", True),
        ("coverage run -m pytest", True),
        ("node --test", True),
        ("python -m unittest discover", True),
        (".venv/bin/python3.12 -m pytest -q", True),
        ("uv run python3.13 -m pytest > /dev/stdout", True),
        ("pytest-3 -q", True),
        ('source "venv/bin/activate" && pytest', True),
        ("source /opt/conda/bin/activate && conda activate testbed && pytest", True),
        ('set -o pipefail; pytest -q 2>&1 | tail -5; echo "code ${PIPESTATUS[0]}"', True),
        ("nohup stdbuf -oL pytest", True),
        ("/usr/bin/time -v pytest", True),
        ("pnpm --filter './packages/*' test", True),
    ],
)
def test_a_command_that_only_shows_a_text_ran_no_tests(command: object, believed: bool) -> None:
    for key in ("command", "cmd"):
        assert verdict_of_tests("success", PASSED, "run", {key: command}) is (True if believed else None)
        assert verdict_of_tests("success", FAILED_TESTS, "run", {key: command}) is (False if believed else None)


@pytest.mark.parametrize(
    ("args", "believed"),
    [
        (None, True),
        ({}, True),
        ({"path": "tests/test_a.py"}, True),
        ({"command": None}, True),
        ({"code": "print(open('ci.log').read())"}, False),
        ({"command": {"read": "ci.log"}}, False),
        ({"query": "print(open('ci.log').read())"}, False),
        ({"__arg1": "cat ci.log"}, False),
        ({"commands": "cat ci.log"}, False),
        ({"commands": ["pytest", "cat ci.log"]}, False),
        ({"commands": ["cd a", "pytest -q"]}, True),
        ({"action": {"type": "exec", "command": ["cat", "ci.log"]}}, False),
        ({"action": {"type": "exec", "command": ["bash", "-lc", "pytest -q"]}}, True),
        ("cat ci.log", False),
        ("pytest -q", True),
        ({"paths": ["tests/test_a.py", "tests/test_b.py"]}, True),
        ({"command": " "}, False),
    ],
)
def test_a_tool_that_was_given_no_command_runs_what_it_is_for(args: object, believed: bool) -> None:
    assert verdict_of_tests("success", PASSED, "run", args) is (True if believed else None)


@pytest.mark.parametrize("family", ["read", "edit", None])
def test_only_tools_that_run_things_run_tests(family: str | None) -> None:
    assert verdict_of_tests("success", PASSED, family) is None


def test_the_tools_own_status_and_json_are_read() -> None:
    assert verdict_of_tests("error", f"Exit code 1\n{FAILED_TESTS}", "run") is False
    assert verdict_of_tests("error", PASSED, "run") is None
    assert verdict_of_tests("success", json.dumps({"output": PASSED, "metadata": {"exit_code": 0}}), "run") is True
    assert verdict_of_tests("success", json.dumps({"stdout": FAILED_TESTS, "exit_code": 1}), "run") is False
    assert verdict_of_tests("success", json.dumps({"stdout": PASSED, "exit_code": 1}), "run") is None


@pytest.mark.parametrize(
    "args", [None, [], {"command": {"a": 1}}, {"command": []}, {"command": [3]}, {"command": "\ud83d"}, {"cmd": " " * 9000}]
)
def test_whatever_a_call_was_told_its_result_is_read(args: object) -> None:
    assert verdict_of_tests("success", PASSED, "run", args) in (True, None)


@pytest.mark.parametrize(
    "text",
    ["1 passed, " * 20_000, "Tests: " * 20_000, "Ran 1 tests in \n\n" * 5_000, "=" * 100_000, "{" * 100_000, "A=b " * 30_000],
)
def test_a_long_result_says_nothing_and_is_read_to_its_ends_alone(text: str) -> None:
    assert verdict_of_tests("success", text, "run", {"command": text}) is None
