"""An autopilot on recorded agent tasks, as `benchmarks/agents.py` streams them, in a few orders."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from langroute.policies import Autopilot, Fixed

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "agents.py"


@pytest.fixture(scope="module")
def agents() -> Any:
    spec = importlib.util.spec_from_file_location("agents_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["agents_benchmark"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def world(agents: Any, shared: Path) -> Any:
    data = shared / "agents"
    if not data.is_dir():
        pytest.skip("there are no recorded agent tasks here")
    return agents.World.read(data, agents.SOURCES[0])


def test_a_cheap_task_goes_to_what_earns_most_and_a_dear_one_is_not_gambled_with(world: Any) -> None:
    """At 1 USD a task at least 85 % of the best fixed route's worth in the mean; at 20 USD no order loses 3 %."""
    baseline = world.names[-1]
    for value, least_of_best, least_of_base in ((1.0, 0.85, 0.0), (20.0, 0.0, 0.97)):
        lives = [world.live(Autopilot(world.names[:-1], baseline=baseline, value_usd=value), seed) for seed in range(6)]
        worth = np.array([life.worth(value) for life in lives])
        fixed = {name: world.live(Fixed(name), 0).worth(value) for name in world.names}
        assert worth.mean() >= least_of_best * max(fixed.values())
        assert worth.min() >= least_of_base * fixed[baseline]


def test_a_planted_route_that_is_five_points_worse_is_not_adopted(agents: Any, world: Any) -> None:
    """Nor an equal one without enough tasks to prove it."""
    for less in (0.0, 0.05):
        for seed in range(3):
            one = agents.planted(world, less, seed, 300)
            pilot = Autopilot(["planted"], baseline="baseline", margin=0.02)
            one.live(pilot, seed, rows=np.arange(300))
            assert not [change for change in pilot.changes() if change["change"] == "adopted"]
