"""What `langroute advise` says of recorded agent tasks: the table of docs/advise.md.

Tasks are read from `../shared/agents` (or `$LANGROUTE_SHARED/agents`): outcomes of several models on the same tasks, some with several runs.
`--write FOLDER` writes them as traffic, for `langroute advise FILE`.

Run: python benchmarks/advise.py [--write FOLDER]
"""

import argparse
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langroute.learning.advise import advise
from langroute.learning.luck import luck_of, oracle_of
from langroute.learning.outcome_reader import OutcomeReader
from langroute.learning.traffic import parse_exchange

SHARED = Path(os.environ.get("LANGROUTE_SHARED") or Path(__file__).resolve().parents[2] / "shared")
SOURCES = ("swebench_verified", "swebench_pro", "terminal_bench", "tau2_retail_solo")
PAIRS = (
    ("gpt-5-mini", "claude-opus-4-5"),
    ("gpt-5-mini", "gemini-3-pro"),
    ("gpt-5-mini", "gpt-5"),
    ("deepseek-v3.2-reasoner", "gemini-3-pro"),
    ("claude-sonnet-4", "claude-opus-4"),
)
"""Pairs of SWE-bench Verified in the table."""

CHOICES = (
    ("droid/claude-opus-4-1", "droid/claude-sonnet-4"),
    ("orchestrator/claude-opus-4-1", "orchestrator/claude-sonnet-4"),
    ("droid/claude-opus-4-1", "droid/gpt-5"),
)
"""Pairs of Terminal-Bench whose oracle is taken apart."""


def traffic(source: str) -> Iterator[dict[str, Any]]:
    """Yield recorded tasks as traffic."""
    with gzip.open(SHARED / "agents" / f"{source}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            one = json.loads(line)
            yield {
                "id": one["id"],
                "source": one["source"],
                "task": one["group"],
                "messages": [{"role": "user", "content": one["text"] or one["id"]}],
                "outcomes": {model: outcome(told) for model, told in one["outcomes"].items()},
            }


def outcome(told: dict[str, Any]) -> dict[str, Any]:
    """Return a model's outcome as traffic has it; tokens that are told for each run are left out."""
    tokens = {name: told[name] if isinstance(told.get(name), int) else 0 for name in ("input_tokens", "output_tokens")}
    scored = {"trials": told["trials"]} if "trials" in told else {"score": told["success"]}
    return {**tokens, **scored, **({"cost_usd": told["cost_usd"]} if told.get("cost_usd") is not None else {})}


def chains() -> None:
    """Print the pairs of SWE-bench Verified."""
    found = advise(map(parse_exchange, traffic("swebench_verified")))
    pairs = {(one["cheap"], one["strong"]): one for one in found["pairs"]}
    print(f"SWE-bench Verified, {found['requests']} tasks; line: {' | '.join(one['route'] for one in found['line'])}")
    certain = [
        one["route"] for one in found["routes"] if not one["against_line"]["on_line"] and one["against_line"]["gain_low"] > 0
    ]
    below = [one["route"] for one in found["routes"] if not one["against_line"]["on_line"]]
    print(f"  {len(below)} of {len(found['routes'])} routes below the line, {len(certain)} of them for certain")
    for names in PAIRS:
        one = pairs[names]
        points = ", ".join(
            f"{point['accuracy']:.0%}: {point['quality'] - one['strong_quality']:+.1%} at {point['cost_usd'] / one['strong_usd'] - 1:+.0%}"
            for point in one["at"]
        )
        span = f"{one['break_even_low']:.2f} to {one['break_even_high']:.2f}"
        print(
            f"  {names[0]} -> {names[1]}: break-even {one['break_even']:.3f} ({span}); {points}; above mixes from {one['beats_mix_from']}"
        )


def runs() -> None:
    """Print what is luck in Terminal-Bench."""
    reader = OutcomeReader()
    for row in traffic("terminal_bench"):
        reader.add(parse_exchange(row))
    table = reader.table
    sample, names = table.sample(), list(table.routes)
    print(f"Terminal-Bench, {table.requests} tasks, five runs")
    for one in luck_of(sample, names):
        print(
            f"  {one.route}: {one.quality:.3f}, two runs alike {one.agreement:.0%}, luck {one.luck:.0%}, one of two runs {one.twice:.3f}"
        )
    for routes in (*CHOICES, tuple(names)):
        found = oracle_of(sample, names, routes)
        if found is not None:
            print(
                f"  among {', '.join(routes) if len(routes) < 3 else f'all {len(routes)}'}: oracle of one run {found.one_run:.3f}; two runs of "
                f"{found.best} {found.best_twice:.3f}; known from the other runs {found.known:.3f}; {found.best} alone {found.best_alone:.3f}; "
                f"at most about {found.flattered:.3f}"
            )


def main() -> None:
    """Write traffic, or print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="write the tasks as traffic files into this folder")
    folder = parser.parse_args().write
    if folder is None:
        chains()
        runs()
        return
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        path = folder / f"{source}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in traffic(source)), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
