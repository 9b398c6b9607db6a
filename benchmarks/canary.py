"""Benchmark of canaries under sequential checks: false alarms, time to detection, and delays caused by a shadow.

Each canary receives tasks one by one, and its verdict is checked after every one. Under `none` both policies are equal, so that
`harm` is a false alarm; `margin` is a new policy that is worse by exactly the margin, so that success is one.

Run: python benchmarks/canary.py [--canaries 1000] [--tasks 2000] [--only canary,shadow]
"""

import argparse
import statistics
import time
from collections import Counter

import numpy as np

from langroute import ChatRouter
from langroute.core.records import Decision, Outcome, Step
from langroute.policies import Canary, Fixed, Shadow
from langroute.policies.canary import HARM, RUNNING, SUCCESS
from langroute.testing import ScriptedModel


def canary(old: float, new: float, share: float, tasks: int, seed: int) -> tuple[str, int]:
    """Return the verdict, and the number of tasks after which it was reached."""
    random = np.random.default_rng(seed)
    trial = Canary(Fixed("old"), Fixed("new"), share=share)
    luck = random.random(tasks)
    for number in range(tasks):
        step = Step(task=f"{seed}/{number}")
        is_new = trial.takes_part(step.task)
        trial.on_decision(Decision(step.task, step, "new" if is_new else "old", ()))
        trial.on_outcome(Outcome(success=bool(luck[number] < (new if is_new else old)), task_id=step.task))
        if trial.state != RUNNING:
            return trial.state, number + 1
    return RUNNING, tasks


def verdicts(count: int, tasks: int) -> None:
    """Print shares of the verdicts."""
    for share in (0.1, 0.5):
        for base in (0.5, 0.8, 0.95, 0.99):
            for name, new in (
                ("none", base),
                ("margin", base - 0.02),
                ("-0.1", base - 0.1),
                ("-0.2", base - 0.2),
                ("-0.4", base - 0.4),
            ):
                many = count if name in ("none", "margin") else count // 5
                found = [canary(base, new, share, tasks, seed) for seed in range(many)]
                states = Counter(state for state, _ in found)
                when = [after for state, after in found if state == HARM]
                wrong = {"none": states[HARM], "margin": states[SUCCESS]}.get(name)
                print(
                    f"share {share:g}, old {base:g}, difference {name:6}: harm {states[HARM] / many:.3f}, success "
                    f"{states[SUCCESS] / many:.3f} of {many}"
                    + (f"; WRONG {wrong / many:.3f}" if wrong is not None else "")
                    + (f"; harm after {statistics.median(when):.0f} tasks (median)" if when else ""),
                    flush=True,
                )


def shadows(calls: int = 2000) -> None:
    """Print the duration of a call with and without a shadow whose model takes a tenth of a second."""

    def slow(_: object) -> str:
        time.sleep(0.1)
        return "42"

    plain = ChatRouter({"large": ScriptedModel("42")}, policy=Fixed("large"), prices={"scripted": {"input": 1, "output": 1}})
    shadow = Shadow(Fixed("large"), ScriptedModel(slow), share=1.0, max_per_hour=10**6)
    shadowed = ChatRouter({"large": ScriptedModel("42")}, policy=shadow, prices={"scripted": {"input": 1, "output": 1}})
    taken: dict[str, list[float]] = {"without": [], "with": []}
    for number in range(calls):
        for name, model in (("without", plain), ("with", shadowed)):
            begun = time.perf_counter()
            model.invoke(f"6 * 7? {number}")
            taken[name].append(time.perf_counter() - begun)
    shadow.close()
    verdict = shadow.verdict()
    for name, times in taken.items():
        ordered = sorted(times)
        print(
            f"a call {name} a shadow: median {ordered[calls // 2] * 1e6:.0f} µs, 99 % within {ordered[calls * 99 // 100] * 1e6:.0f} µs"
        )
    print(f"shadow: {verdict.compared} compared, {verdict.skipped} left out because four were under way")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--canaries", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--only", default="canary,shadow")
    given = parser.parse_args()
    if "shadow" in given.only:
        shadows()
    if "canary" in given.only:
        verdicts(given.canaries, given.tasks)
