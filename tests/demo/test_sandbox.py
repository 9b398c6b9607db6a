"""Code that a model wrote runs with limits, and nothing of it remains afterwards."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

from langroute.demo.sandbox import SandboxLimits, run_limited, run_tests
from langroute.demo.tasks import TASKS, DemoTask

ADD = TASKS[0]
TIGHT = SandboxLimits(cpu_seconds=1, wall_seconds=60, memory_mb=256)


def processes_with(word: str) -> list[str]:
    """Who still runs after a while: tests beside this one start sandboxes too, but theirs end."""
    lines: list[str] = []

    def gone() -> bool:
        found = subprocess.run(["ps", "-eww", "-o", "args"], check=True, capture_output=True, text=True).stdout
        lines[:] = [line for line in found.splitlines() if word in line]
        return not lines

    with suppress(AssertionError):
        wait_until(gone)
    return lines


def test_right_code_passes_every_case() -> None:
    tested = run_tests("def add(a, b):\n    return a + b\n", ADD)

    assert tested.ok
    assert (tested.passed, tested.total, tested.failures) == (4, 4, ())


def test_wrong_code_fails_with_a_sentence_that_a_model_can_use() -> None:
    tested = run_tests("def add(a, b):\n    return a * b\n", ADD)

    assert not tested.ok
    assert tested.passed == 1
    assert tested.failures[0] == "add(2, 3) returns 6, not 5"


@pytest.mark.parametrize(
    "code, failure",
    [
        ("def add(a, b) return a", "the code raises SyntaxError"),
        ("def plus(a, b): return a + b", "there is no function add"),
        ("def add(a, b): return c", "add(2, 3) raises NameError"),
        ("def add(a, b): return add(a, b)", "add(2, 3) raises RecursionError"),
        ("import numpy\ndef add(a, b): return a + b", "the code raises ModuleNotFoundError"),
        ("raise SystemExit(0)", "the code raises SystemExit"),
        ("import os\nos._exit(0)", "the code ends the program before its tests are done"),
        ("def add(a, b): return True", "add(2, 3) returns True, not 5"),
        ("class Odd:\n  def __eq__(self, other): return True\n  def __repr__(self): raise ValueError\ndef add(a, b): return Odd()", "an object whose repr raises"),
        ("", "there is no function add"),
    ],
)  # fmt: skip
def test_broken_code_fails_and_says_how(code: str, failure: str) -> None:
    tested = run_tests(code, ADD, TIGHT)

    assert not tested.ok
    assert failure in tested.failures[0]


def test_an_endless_loop_is_stopped_by_its_computing_time() -> None:
    tested = run_tests("def add(a, b):\n    while True: pass", ADD, TIGHT)

    assert "more than 1 s of computing" in tested.failures[0]


def test_code_that_sleeps_is_stopped_by_the_clock() -> None:
    begun = time.monotonic()
    tested = run_tests("import time\ndef add(a, b): time.sleep(60)", ADD, SandboxLimits(wall_seconds=1))

    assert tested.failures == ("the code takes longer than 1 s",)
    assert time.monotonic() - begun < 20


def test_a_memory_hog_fails_alone() -> None:
    tested = run_tests("def add(a, b):\n    return len(bytearray(2_000_000_000))", ADD, TIGHT)

    assert "raises MemoryError" in tested.failures[0]


def test_a_flood_of_output_goes_nowhere() -> None:
    code = "def add(a, b):\n    for _ in range(20000): print('x' * 1000)\n    return a + b"

    assert run_tests(code, ADD, SandboxLimits(cpu_seconds=10)).ok


def test_a_flood_into_the_report_is_no_report(tmp_path: Path) -> None:
    # The descriptor of the report is open while the code runs: whatever is written there has no token, and has an end.
    code = "import os\ndef add(a, b):\n    while True:\n        for fd in range(3, 8):\n            try: os.write(fd, b'{}' * 4096)\n            except OSError: pass"
    tested = run_tests(code, ADD, TIGHT)

    assert not tested.ok


def test_code_cannot_report_for_itself() -> None:
    code = "import os, json\nfor fd in range(3, 8):\n    try: os.write(fd, json.dumps({'passed': 4, 'failures': [], 'token': ''}).encode())\n    except OSError: pass\nos._exit(0)"

    assert not run_tests(code, ADD, TIGHT).ok


@pytest.mark.parametrize(
    "attempt",
    [
        "import os; os.fork()",
        "import subprocess; subprocess.run(['sleep', '1'])",
        "import os; os.system('sleep 1')",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.kill(os.getppid(), 9)",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "open('ELSEWHERE', 'w')",
        "import os; os.open('ELSEWHERE', os.O_CREAT | os.O_WRONLY)",
        "import os; os.remove('ELSEWHERE')",
        "import shutil; shutil.rmtree('ELSEWHERE')",
        "import ctypes; ctypes.CDLL(None).fork()",
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (60, 60))",
        "import multiprocessing; p = multiprocessing.Process(target=print); p.start()",
    ],
)
def test_what_no_small_function_needs_is_forbidden(attempt: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "was_here"
    tested = run_tests(f"def add(a, b):\n    {attempt.replace('ELSEWHERE', str(elsewhere))}\n    return a + b", ADD, TIGHT)

    assert not tested.ok
    assert not elsewhere.exists()


def test_a_fork_bomb_does_not_go_off() -> None:
    code = "import os\ndef add(a, b):\n    while True:\n        try: os.fork()\n        except OSError: pass"
    tested = run_tests(code, ADD, TIGHT)

    assert not tested.ok
    assert processes_with("harness.py") == []


def test_children_that_leave_the_group_are_ended_too() -> None:
    """The guard is off: a daemon forks twice, opens a session of its own and sleeps."""
    program = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            os.execv('/bin/sleep', ['sleep', '4321'])\n"
        "        os._exit(0)\n"
        "time.sleep(0.3)\n"
    )
    ran = run_limited([sys.executable, "-c", program], b"", 10)

    assert ran.code == 0
    assert processes_with("sleep 4321") == []


def test_a_process_that_takes_too_long_is_ended_with_its_children() -> None:
    program = "import subprocess, time\nsubprocess.Popen(['sleep', '5432'])\ntime.sleep(60)\n"
    ran = run_limited([sys.executable, "-c", program], b"", 1)

    assert ran.code is None
    assert processes_with("sleep 5432") == []


def test_the_programs_environment_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    ran = run_limited([sys.executable, "-c", "import os; print('SOME_API_KEY' in os.environ)"], b"", 10)

    assert ran.output == b"False\n"


def test_values_compare_as_people_would() -> None:
    pairs = DemoTask("pairs(n)", "returns pairs", (((2,), [[0, 0], [1, 1]]),))
    half = DemoTask("half(n)", "halves", (((3,), 1.5), ((4,), 2)))
    text = DemoTask("text(n)", "as text", (((1,), "1"),))

    assert run_tests("def pairs(n): return [(i, i) for i in range(n)]", pairs).ok
    assert run_tests("def half(n): return n / 2", half).ok
    assert not run_tests("def text(n): return n", text).ok
    assert not run_tests("def pairs(n): return dict.fromkeys(range(n))", pairs).ok


SOLUTIONS = {
    "add": "def add(a, b): return a + b",
    "is_even": "def is_even(n): return n % 2 == 0",
    "largest": "largest = max",
    "celsius": "def celsius(f): return (f - 32) * 5 / 9",
    "average": "def average(n): return sum(n) / len(n)",
    "reverse_text": "def reverse_text(t): return t[::-1]",
    "evens": "def evens(n): return [i for i in n if i % 2 == 0]",
    "unique": "def unique(items): return list(dict.fromkeys(items))",
    "count_vowels": "def count_vowels(t): return sum(c in 'aeiou' for c in t.lower())",
    "is_palindrome": "def is_palindrome(t):\n    t = [c.lower() for c in t if c.isalnum()]\n    return t == t[::-1]",
    "primes": "def primes(n): return [i for i in range(2, n + 1) if all(i % d for d in range(2, i))]",
    "flatten": "def flatten(x): return [j for i in x for j in (flatten(i) if isinstance(i, list) else [i])]",
    "roman": (
        "def roman(n):\n    out = ''\n"
        "    for v, s in [(1000,'M'),(900,'CM'),(500,'D'),(400,'CD'),(100,'C'),(90,'XC'),(50,'L'),(40,'XL'),(10,'X'),(9,'IX'),(5,'V'),(4,'IV'),(1,'I')]:\n"
        "        while n >= v: out += s; n -= v\n    return out"
    ),
    "merge_intervals": (
        "def merge_intervals(x):\n    out = []\n    for a, b in sorted(x):\n"
        "        if out and a <= out[-1][1]: out[-1][1] = max(out[-1][1], b)\n        else: out.append([a, b])\n    return out"
    ),
    "edit_distance": (
        "def edit_distance(a, b):\n    if not a or not b: return len(a) + len(b)\n"
        "    if a[0] == b[0]: return edit_distance(a[1:], b[1:])\n"
        "    return 1 + min(edit_distance(a[1:], b), edit_distance(a, b[1:]), edit_distance(a[1:], b[1:]))"
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_task_can_be_solved_and_is_not_solved_by_doing_nothing(task: DemoTask) -> None:
    assert run_tests(SOLUTIONS[task.name], task).failures == ()
    assert not run_tests(f"def {task.signature}: return None", task).ok
    assert not run_tests(f"def {task.signature}: return {task.cases[0][1]!r}", task).ok


def test_there_are_enough_tasks_and_the_quick_ones_are_among_them() -> None:
    from langroute.demo.tasks import QUICK, tasks

    assert len(TASKS) >= 12
    assert len({task.name for task in TASKS}) == len(TASKS)
    assert [task.name for task in tasks(QUICK)] == list(QUICK)
