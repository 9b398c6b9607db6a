"""Benchmark of fitted policies: quality and cost on held-out recorded outcomes.

Each source is split by a hash of its requests. `langroute fit` sees one part, `langroute replay` the other, through the command line.
Then the time of a decision, of replaying and of fitting everything.

Run: python benchmarks/learning.py [--share 0.1] [--seeds 1,2,3] [--only zeroeval,bfcl,mmlu_pro,routellm] [--speed]
"""

import argparse
import gzip
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from time import perf_counter

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("LANGROUTE_SHARED") or ROOT.parent / "shared") / "outcomes"
LANGROUTE = [sys.executable, "-c", "from langroute.cli import main; main()"]


def split(source: str, share: float, seed: int, folder: Path) -> tuple[Path, Path]:
    """Two files, by a hash of each request."""
    train, test = folder / f"{source}.train.jsonl", folder / f"{source}.test.jsonl"
    with gzip.open(FOLDER / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines, train.open("w") as most, test.open("w") as rest:
        for line in lines:
            text = f"{seed}{json.loads(line)['messages'][-1]['content']}"
            place = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
            (rest if place < share else most).write(line)
    return train, test


def command(*arguments: object) -> str:
    """Run a langroute command."""
    done = subprocess.run([*LANGROUTE, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def held_back(source: str, share: float, seed: int, folder: Path) -> Path:
    """Fit on one part, replay the other, and print."""
    train, test = split(source, share, seed, folder)
    prices = FOLDER / "prices.toml"
    begun = perf_counter()
    command("fit", train, "-o", folder / source, "--prices", prices)
    took = perf_counter() - begun
    parts = {source: test}
    if source == "routellm":
        parts = {name: folder / f"{name}.jsonl" for name in ("routellm MMLU", "routellm GSM8K")}
        lines = [line + "\n" for line in test.read_text().split("\n") if line]
        for name, path in parts.items():
            path.write_text("".join(line for line in lines if ("gsm8k" in json.loads(line)["task"]) == ("GSM" in name)))
    for name, path in parts.items():
        found = json.loads(command("replay", path, "--policy", folder / source, "--prices", prices, "--format", "json"))
        best = found["frontier"]
        print(f"{name}: {found['requests']} held back, best single {best['route']} {best['quality']:.4f}; fitted in {took:.0f} s")
        for one in found["targets"]:
            said = one["promised"]
            inside = said["quality_low"] <= one["quality"] <= said["quality_high"]
            print(
                f"  target {one['target']:g}: {one['policy']} quality {one['quality']:.4f} ({one['quality'] - best['quality']:+.4f}), "
                f"cost ratio {one['cost_ratio']:.3f}, {one['calls_per_request']:.2f} calls; promised {said['quality']:.4f} "
                f"({said['quality_low']:.4f} to {said['quality_high']:.4f}{'' if inside else ', MISSED'}) at {said['cost_ratio']:.3f}"
            )
        if "pair" in found:
            print(f"  APGR {found['pair']['apgr']:.4f}, CPT {found['pair']['cpt']}")
        others = {key: round(value["quality"], 4) for key, value in found["baselines"].items() if not key.startswith("always")}
        print(f"  baselines {others}")
    return folder / source


def calibration(source: str, policy: Path, test: Path) -> None:
    """Expected calibration error of each route on what was held back, and what chance alone would make of it.

    In ten bins of few requests even the true probabilities are off: outcomes drawn from the stated ones say by how much.
    """
    from langroute.estimators.documents import document_of
    from langroute.estimators.store import load_policy_file
    from langroute.learning.fit import calibration_error
    from langroute.learning.traffic import read_traffic

    estimator = load_policy_file(policy).groups[0].estimator
    exchanges = [one for one in read_traffic([test]) if all(route in one.outcomes for route in estimator.routes)]
    success = estimator.estimate([document_of(one.messages, one.tools, one.labels) for one in exchanges]).success
    scores = np.array([[one.outcomes[route].score for route in estimator.routes] for one in exchanges])

    def errors(happened: np.ndarray) -> np.ndarray:
        return np.array([calibration_error(success[:, place], happened[:, place]) for place in range(success.shape[1])])

    found, random = errors(scores), np.random.default_rng(0)
    drawn = np.array([errors((random.random(success.shape) < success).astype(float)) for _ in range(100)])
    print(
        f"  {source}: calibration error of a route, mean {found.mean():.4f} (by chance {drawn.mean():.4f}), "
        f"worst {found.max():.4f} (by chance {drawn.max(1).mean():.4f}), on {len(exchanges)} requests"
    )


def speed(policy: Path, test: Path) -> None:
    """Time of a decision, of many, and the memory of a policy."""
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

    from langroute.core.records import Request, RouteInfo, Step
    from langroute.learning.replay import replay
    from langroute.policies.learned import load_policy

    tracemalloc.start()
    learned = load_policy(policy, tolerance=0.1)
    print(f"  memory of a loaded policy: {tracemalloc.get_traced_memory()[0] / 1e6:.1f} MB")
    tracemalloc.stop()
    group = learned.group
    routes = tuple(RouteInfo(name, price=group.prices[name]) for name in group.routes)
    words = " ".join(line for line in test.read_text().split() if line.isalpha()).split()[:500]
    long = [HumanMessage(" ".join(words))]
    history = [HumanMessage("Fix the failing test.")]
    for turn in range(40):
        calls = [{"name": "run", "args": {"command": f"pytest {turn}"}, "id": str(turn)}]
        history += [AIMessage("", tool_calls=calls), ToolMessage(" ".join(words[:200]), tool_call_id=str(turn))]
    for name, messages in (("500 words", long), ("80 messages", history)):
        taken = []
        for number in range(3000):
            request = Request(messages, Step(task_kind=str(number % 7)), routes)
            begun = perf_counter()
            learned.select(request, ())
            taken.append(perf_counter() - begun)
        print(f"  a decision, {name}: median {statistics.median(taken) * 1e6:.0f} µs, best {min(taken) * 1e6:.0f} µs")
    lines = test.read_text().strip().split("\n")
    begun = perf_counter()
    replay([test], policy)
    print(f"  replay with file, curve and baselines: {len(lines) / (perf_counter() - begun):.0f} requests a second")
    whole = FOLDER / f"{policy.name}.jsonl.gz"
    took = []
    for _ in range(3):
        begun = perf_counter()
        count = replay([whole], policy)["requests"]
        took.append(perf_counter() - begun)
    begun = perf_counter()
    command("replay", whole, "--policy", policy, "--format", "json")
    said = f"{count / min(took):.0f} requests a second in process (best of 3), {count / (perf_counter() - begun):.0f} as a command"
    print(f"  replay of all {count} requests: {said}")
    from langroute.estimators.documents import document_of
    from langroute.learning.traffic import read_traffic

    exchanges = list(read_traffic([test]))
    begun = perf_counter()
    documents = [document_of(one.messages, one.tools, one.labels) for one in exchanges]
    for part in range(0, len(documents), 512):
        estimate = group.estimator.estimate(documents[part : part + 512])
        learned.places(estimate, routes)
    print(f"  decisions alone, in batches: {len(documents) / (perf_counter() - begun):.0f} requests a second")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", default="1", help="one split for each")
    parser.add_argument("--only", default="zeroeval,bfcl,mmlu_pro,routellm")
    parser.add_argument("--speed", action="store_true", help="also time decisions, replaying, and fitting everything")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        there = Path(name)
        for seed, one in [(int(seed), one) for seed in given.seeds.split(",") for one in given.only.split(",")]:
            fitted = held_back(one, given.share, seed, there)
            calibration(one, fitted, there / f"{one}.test.jsonl")
            if given.speed:
                speed(fitted, there / f"{one}.test.jsonl")
        if given.speed:
            start = perf_counter()
            command("fit", *sorted(FOLDER.glob("*.jsonl.gz")), "-o", there / "all", "--prices", FOLDER / "prices.toml")
            print(f"fit on everything: {perf_counter() - start:.0f} s")
