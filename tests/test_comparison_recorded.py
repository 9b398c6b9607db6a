"""The comparison with other packages on recorded data, and in an agent's loop: its sums, what it says of what is missing, and its page."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
PEERS = BENCHMARKS / "peers"
Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    """Import a module of the comparison; other tests' modules of the same names come back afterwards."""
    names = {path.stem for folder in (BENCHMARKS, PEERS) for path in folder.glob("*.py")} | {"subjects"}
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}
    path = list(sys.path)
    sys.path[:0] = [str(PEERS)]
    yield importlib.import_module
    sys.path[:] = path
    for name in list(sys.modules):
        if name.partition(".")[0] in names:
            del sys.modules[name]
    sys.modules.update(kept)


SCORES = [0.99, 0.95, 0.9, 0.8, 0.7, 0.6]
SAME = [True, True, False, True, False, False]


def test_thresholds_are_those_that_do_best(load: Load) -> None:
    scored = load("serving").Scored(SCORES, SAME)

    assert scored.at(0.8) == (3, 1)
    assert scored.few_false() == 0.95
    assert scored.widest() == 0.8
    assert scored.at(scored.hitting(3)) == (3, 1)


def test_pairs_of_one_score_are_served_together(load: Load) -> None:
    """A threshold between two equal scores does not exist."""
    scored = load("serving").Scored([0.9, 0.9, 0.5], [True, False, True])

    assert scored.few_false() == float("inf")


def test_a_threshold_is_measured_on_pairs_that_it_was_not_chosen_on(load: Load) -> None:
    serving = load("serving")
    chosen: list[Any] = []

    def choose(part: Any) -> float:
        chosen.append(len(part.pairs))
        return float(part.few_false())

    even = [0.9] * 50 + [0.1] * 50
    assert serving.crossed(even, [True] * 50 + [False] * 50, choose) == (50, 0)
    assert chosen == [50, 50]


def test_rows_of_a_cache_have_its_default_and_langroutes_hits(load: Load) -> None:
    told = {"label": "MiniLM", "served": [score >= 0.8 for score in SCORES], "scores": SCORES, "said": "similarity 0.8"}

    rows = load("serving").rows("GPTCache", told, SAME, slice(0, 6), ours=2)

    assert rows[0] == ["GPTCache, MiniLM, its default: similarity 0.8", 3, 1]
    assert rows[-1] == ["GPTCache, MiniLM, at 0.950: langroute's hits", 2, 0]


def pair(load: Load) -> Any:
    """Return a pair of models, of which the dearer one is right more often."""
    routing = load("routing")
    scores = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    costs = np.array([[1.0, 10.0], [1.0, 10.0], [1.0, 10.0], [1.0, 30.0]])
    table = routing.Table(("small", "large"), (), scores, costs, costs, costs)
    return routing.Pair("made", "far", (), (), table)


def test_one_model_alone_is_a_mix_and_so_not_above_it(load: Load) -> None:
    for small in (True, False):
        found = load("routing").single(pair(load), np.full(4, small))
        assert found["above"].mean() == pytest.approx(0)


def test_sending_down_what_the_small_model_knows_is_above_the_mix(load: Load) -> None:
    routing = load("routing")
    wise = routing.single(pair(load), np.array([True, False, True, True]))
    foolish = routing.single(pair(load), np.array([False, True, False, False]))

    assert wise["right"].mean() == 0.75
    assert wise["above"].mean() > 0 > foolish["above"].mean()


def test_a_policy_that_costs_more_than_the_large_model_is_beside_that_model(load: Load) -> None:
    """A mix of the two never costs as much, and extrapolating it would excuse nothing."""
    made = pair(load)
    found = made.beside(made.scores[:, 1], made.costs.sum(1))

    assert found["above"].mean() == 0


def test_recorded_functions_are_told_as_openai_has_them(load: Load) -> None:
    recorded = {"name": "area", "parameters": {"type": "dict", "properties": {"base": {"type": "float"}}}}

    told = load("routing").function(recorded)["function"]

    assert told["parameters"] == {"type": "object", "properties": {"base": {"type": "number"}}}


def outcomes_in(folder: Path) -> list[bool]:
    """Write 120 recorded questions to two models and their prices, and return which of them the small one knows."""
    known = [place % 3 != 0 for place in range(120)]
    lines = []
    for place, easy in enumerate(known):
        text = f"What is {place} plus {place + 7}?" if easy else f"Prove by induction that the series of {place} terms converges."
        outcome = {"answer": "1", "input_tokens": 20, "output_tokens": 20}
        outcomes = {"small-1": {**outcome, "score": float(easy)}, "large-1": {**outcome, "score": 1.0}}
        lines.append(
            json.dumps({"id": str(place), "source": "made", "messages": [{"role": "user", "content": text}], "outcomes": outcomes})
        )
    with gzip.open(folder / "made.jsonl.gz", "wt") as file:
        file.write("\n".join(lines))
    prices = '"small-1" = { input = 0.1, output = 0.1 }\n"large-1" = { input = 5.0, output = 5.0 }\n'
    (folder / "prices.toml").write_text(f"[prices]\n{prices}")
    return known


def test_decisions_on_questions_are_told_by_their_labels(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    known, routing = outcomes_in(tmp_path), load("routing")
    monkeypatch.setattr(routing, "FOLDS", 2)
    decided = {
        "peer 0": {"levels": [0 if easy else 1 for easy in known], "cuts": [["a peer that knows", 0], ["a peer that does not", 1]]}
    }

    found = routing.judge(tmp_path, 3000, decided)

    assert found["a peer that knows"]["far"]["right"] == 100
    assert found["a peer that knows"]["far"]["above"] > 20
    assert found["a peer that does not"] == found["always the small model"]
    assert found["`langroute fit`, target 0.95"]["far"]["questions"] == 120


def test_tasks_stand_beside_a_mix_of_the_same_cost(load: Load) -> None:
    tasks = load("tasks")
    world = tasks.World(["small", "large"], [[0, 1]] * 4, [[1.0, 3.0]] * 4)

    row = tasks.row(world, [tasks.once(world, np.array([0, 1, 0, 1]))], (0, 1))

    assert (row["solved"], row["usd"], row["mix"]) == (2, 8, 2)


def test_a_cache_is_asked_through_its_own_front_door(load: Load, tmp_path: Path) -> None:
    vectors = load("vectors")
    pairs = [("How do I reset my password?", "how can I reset my password"), ("Cook rice for two", "Cook rice for four")]
    texts = [vectors.even(text) for two in pairs for text in two]
    (tmp_path / vectors.TEXTS).write_text(json.dumps(texts))
    np.save(tmp_path / vectors.KINDS["hashed words"], vectors.made("hashed words", texts))

    for name in ("langroute_cache", "langchain_memory_cache"):
        found = load(f"subjects.{name}").served([*pairs, ("Hello?", "Hello?")][: 3 if "memory" in name else 2], tmp_path)
        assert found[0]["served"] == ([True, False] if name == "langroute_cache" else [False, False, True])


def test_an_agent_of_the_timing_calls_its_model_five_times(load: Load) -> None:
    pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    pytest.importorskip("langchain.agents", reason="langchain is not installed")
    subject = load("subjects.agent_langroute")

    for run in subject.looped()["invoke"]:
        messages = run([{"role": "user", "content": "What is in the files?"}])["messages"]
        assert [message.type for message in messages].count("ai") == load("subjects.agent_loop").CALLS
    assert messages[-1].response_metadata["langroute"]["route"] in ("small", "large")


def test_what_is_not_there_is_said(load: Load, tmp_path: Path) -> None:
    recorded = load("recorded").Recorded({}, {}, tmp_path, tmp_path / "work")
    found = {name: recorded.routing(name) for name in ("questions", "tasks")}

    page = load("recorded_page")
    for text in (page.questions(found), page.tasks(found)):
        assert "Not measured: there is no folder" in text
        assert "`--data`" in text
    assert "Not measured: not asked for" in page.pairs({})


def test_an_npm_package_is_not_looked_for_in_this_interpreter(load: Load) -> None:
    environments = load("environments")
    told = {"requirements": [], "shown": [], "npm": ["@portkey-ai/gateway@1.0.0"]}

    with pytest.raises(environments.NotInstalledError):
        environments.ThisEnvironment("portkey", told).make()


def routed(above: float) -> dict[str, Any]:
    return {"near": {"usd": 50.0, "right": 80.0, "above": above, "error": 0.1, "questions": 100, "sources": {}}}


def test_a_peer_that_is_ahead_stays_on_the_page(load: Load) -> None:
    rows = {"langroute's default": routed(0.1), "levrouter": routed(0.9), "`langroute fit`, target 1": routed(2.0)}
    caches = [["langroute_cache", "ours", 40, 0], ["gptcache_semantic", "GPTCache", 90, 30], ["x", "exact", 1, 0]]
    sets = {"SICK": {"same": 100, "different": 100, "rows": caches}}
    row = {"solved": 1.0, "usd": 1.0, "least": None, "mix": 1.0}
    tasks = {"source": {"tasks": 9, "rows": {"langroute's autopilot": {**row, "worth": 5.0}, "gpt": {**row, "worth": 7.0}}}}
    found = type("Results", (), {})()
    found.found = {"probes": {"questions": {"found": rows}, "pairs": {"sets": sets}, "tasks": {"found": tasks}}}
    agents = {key: [{"80": {"adds": adds}}] for key, adds in (("agent_langroute", 90.0), ("agent_fallback", 40.0))}
    found.subjects, found.name, found.of = {}, str, lambda probe: agents if probe == "agents" else {}

    lines = load("ahead").ahead(found)

    assert len(lines) == 4
    assert any("agent_fallback" in line and "80 40 against 90" in line for line in lines)
    assert any("levrouter" in line and "+0.9" in line and "+0.1" in line for line in lines)
    assert any("(40, 0): GPTCache 90, 30." in line for line in lines)
    assert any("gpt 7" in line for line in lines)


def test_the_page_has_every_row(load: Load) -> None:
    page = load("recorded_page")
    caches = [["gptcache_semantic", "GPTCache", 90, 30]]
    sets = {"SICK": {"same": 100, "different": 200, "rows": caches}}
    probes = {
        "pairs": {"sets": sets, "notes": ["MiniLM: it is not there"]},
        "questions": {"found": {"levrouter": routed(0.9)}, "notes": []},
    }

    assert "| GPTCache | 90 (90.0 %) | 30 (15.0 %) |" in page.pairs(probes)
    assert "not measured: MiniLM" in page.pairs(probes)
    assert "| levrouter | 50 % | 80.0 | +0.9 ± 0.1 |  |  |  |" in page.questions(probes)
