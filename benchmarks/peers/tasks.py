"""What policies earn on recorded agent tasks, beside the random mix of the same cost.

    python benchmarks/peers/tasks.py write --data DIR --file FILE                  # the texts that subjects are asked to decide on
    python benchmarks/peers/tasks.py judge --data DIR --file FILE [--orders 40]    # FILE has what they decided; prints JSON

Beside FILE, `write` leaves the worlds that subjects learn in (`learn.py`), and `judge` finds what they came to. Sources, routes and the simulated life are those of `benchmarks/agents.py`; each order is the recorded tasks in random order, once. Who decides by
the text is asked once for each task, and sends it to the cheapest route or to the baseline.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from agents import SOURCES, Life, Source, World, lives

from langroute.learning.mix_line import mix_line
from langroute.policies import Autopilot, Bandit, Fixed

VALUE = 5.0
"""USD that a solved task is worth."""

WORLDS, LEARNED = "worlds.json", "learned.json"
"""Files of what subjects learn in, and of what they came to, beside the file that is given."""


def texts(data: Path, source: Source) -> list[str]:
    """Return the texts of the tasks that `World.read` reads; empty ones where a source has none."""
    found = []
    with gzip.open(data / f"{source.name}.jsonl.gz", "rt") as lines:
        for line in lines:
            task = json.loads(line)
            outcomes = [task["outcomes"].get(name, {}) for name in source.routes]
            if all(one.get("success") is not None and one.get("cost_usd") is not None for one in outcomes):
                found.append(task["text"] or "")
    return found


def with_text(data: Path) -> list[Source]:
    """Return the sources whose tasks have texts."""
    return [source for source in SOURCES if all(texts(data, source))]


def write(data: Path, file: Path, orders: int) -> None:
    """Write the tasks that subjects decide on, and beside them the worlds that subjects learn in."""
    asked = [text for source in with_text(data) for text in texts(data, source)]
    file.write_text(json.dumps([{"messages": [{"role": "user", "content": text}], "tools": []} for text in asked]))
    worlds = {}
    for source in SOURCES:
        world = World.read(data, source)
        every = [np.random.default_rng(seed).permutation(len(world.scores)).tolist() for seed in range(orders)]
        worlds[source.name] = {
            "names": world.names,
            "scores": world.scores.tolist(),
            "costs": world.costs.tolist(),
            "orders": every,
        }
    file.with_name(WORLDS).write_text(json.dumps({"value": VALUE, "worlds": worlds}))


def row(world: World, found: list[Life], columns: tuple[int, ...]) -> dict[str, Any]:
    """Return the means of lives, with what the best random mix of some routes solves at the same cost, or less where that is better."""
    solved, cost = (np.array([getattr(life, name) for life in found]) for name in ("solved", "cost"))
    line = mix_line({world.names[at]: (float(world.costs[:, at].sum()), float(world.scores[:, at].sum())) for at in columns})
    mix = line.at_cost(float(cost.mean()))
    worth = VALUE * solved - cost
    return {
        "solved": float(solved.mean()),
        "usd": float(cost.mean()),
        "worth": float(worth.mean()),
        "least": float(np.quantile(worth, 0.05)) if len(found) > 1 else None,
        "mix": None if mix is None else mix.quality,
    }


def once(world: World, column: Any) -> Life:
    """Return the life in which each task is done by one route: its column, `(tasks,)`."""
    life, tasks = Life(), np.arange(len(world.scores))
    for solved, cost in zip(world.scores[tasks, column], world.costs[tasks, column], strict=True):
        life.add(float(solved), float(cost), "")
    return life


def lived(solved: float, cost: float, tasks: int) -> Life:
    """Return the life of which a subject told what it came to."""
    life = Life()
    life.add(solved, cost, "")
    life.count = tasks
    return life


def policies(world: World, orders: int) -> dict[str, list[Life]]:
    """Return the lives of each route alone and of the policies that learn."""
    names = world.names
    found = {name + (" (baseline)" if name == names[-1] else ""): [world.live(Fixed(name), 0)] for name in names}
    found["langroute's bandit"] = lives(world, lambda seed: Bandit(names, cost_weight=1 / VALUE, seed=seed), orders)
    found["langroute's autopilot"] = lives(world, lambda _: Autopilot(names[:-1], baseline=names[-1], value_usd=VALUE), orders)
    return found


def by_text(world: World, decided: dict[str, Any], here: slice) -> dict[str, dict[str, Any]]:
    """Return what came of each subject's decisions, beside a mix of the two routes that it chose between."""
    found, large = {}, len(world.names) - 1
    cheapest = int(world.costs.sum(0).argmin())
    for one in decided.values():
        for label, most in one["cuts"]:
            small = np.array(one["levels"][here]) <= most
            life = once(world, np.where(small, cheapest, large))
            found[label] = {**row(world, [life], (cheapest, large)), "small": int(small.sum())}
    return found


def judge(data: Path, decided: dict[str, Any], learned: dict[str, Any], orders: int) -> dict[str, Any]:
    """Return for each source its number of tasks, and what each policy came to."""
    told, begun, readable = {}, 0, [source.name for source in with_text(data)]
    for source in SOURCES:
        world = World.read(data, source)
        every = tuple(range(len(world.names)))
        lives_of = policies(world, orders)
        for label, told_of in learned.items():
            lives_of[label] = [lived(*one, len(world.scores)) for one in told_of[source.name]]
        rows = {label: row(world, found, every) for label, found in lives_of.items()}
        if source.name in readable:
            here = slice(begun, begun + len(world.scores))
            begun = here.stop
            rows |= by_text(world, decided, here)
        told[source.name] = {"tasks": len(world.scores), "rows": rows}
        print(source.name, file=sys.stderr, flush=True)
    return told


def main() -> None:
    """Write the texts, or judge decisions and print JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("write", "judge"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of recorded agent tasks")
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--orders", type=int, default=40)
    given = parser.parse_args()
    learned = given.file.with_name(LEARNED)
    work: dict[str, Callable[[], Any]] = {
        "write": lambda: write(given.data, given.file, given.orders),
        "judge": lambda: judge(given.data, *(json.loads(file.read_text()) for file in (given.file, learned)), given.orders),
    }
    print("\n" + json.dumps(work[given.what]()))


if __name__ == "__main__":
    main()
