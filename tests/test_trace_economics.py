"""Replay of recorded threads through the shipped policies, under the billing of simulated providers."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from langroute.policies.cache_aware import CacheAware
from langroute.policies.sticky import Sticky


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "trace_economics.py"
    spec = importlib.util.spec_from_file_location("trace_economics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["trace_economics"] = module
    spec.loader.exec_module(module)
    return module


def test_it_replays_the_policies_that_ship(bench: ModuleType) -> None:
    ways = bench.ways("kinds")

    assert type(ways["CacheAware"]) is CacheAware
    assert type(ways["Sticky"]) is Sticky


def test_on_long_threads_cache_awareness_saves_a_third_and_is_never_dearer_than_one_strong_model(bench: ModuleType) -> None:
    """On made-up threads of a coding agent; the recorded ones are short."""
    threads = bench.made_up(4)
    bills = {name: bench.replay(threads, "anthropic", policy) for name, policy in bench.ways("classifier").items()}
    total = {name: sum(bill.usd for bill in found) for name, found in bills.items()}

    assert total["CacheAware"] < 0.7 * total["per step"]
    for aware, alone in zip(bills["CacheAware"], bills["only frontier"], strict=True):
        assert aware.usd <= 1.02 * alone.usd


def test_recorded_threads_cost_no_more_than_two_percent_over_the_strong_model_alone(bench: ModuleType, shared: Path) -> None:
    log = shared / "traces" / "tau_airline_gpt4o.jsonl.gz"
    if not log.exists():
        pytest.skip(f"needs {log}")
    threads = list(bench.read(log))[:30]
    ways = bench.ways("classifier")
    aware = bench.replay(threads, "anthropic", ways["CacheAware"], tools_tokens=3000)
    naive = bench.replay(threads, "anthropic", ways["per step"], tools_tokens=3000)
    alone = bench.replay(threads, "anthropic", ways["only frontier"], tools_tokens=3000)

    assert all(one.usd <= 1.02 * other.usd for one, other in zip(aware, alone, strict=True))
    assert sum(bill.usd for bill in aware) < 0.8 * sum(bill.usd for bill in naive)


def test_one_model_alone_is_billed_as_its_provider_bills(bench: ModuleType) -> None:
    """Written once, read at every later step: worked out by hand for a thread of two steps."""
    rows = [
        {"role": "system", "content": "x" * 40_000},
        {"role": "user", "content": "y" * 400},
        {"role": "assistant", "content": "z" * 400},
        {"role": "user", "content": "y" * 400},
        {"role": "assistant", "content": "z" * 400},
    ]
    thread = bench.Thread("t", bench.convert_to_messages(rows), at=(0, 0, 5, 30, 35))
    bill = bench.replay([thread], "anthropic", bench.ways("kinds")["only frontier"])[0]
    system, other = 10_004, 104
    written, read = system + other + 2 * other, system + other

    assert bill.cached == read
    assert bill.usd == pytest.approx((written * 6.25 + read * 0.5 + 2 * other * 25) / 1e6)


def test_any_log_in_the_documented_form_is_understood(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "seen"},
        {"role": "assistant", "content": "Done."},
    ]
    log, out = tmp_path / "log.jsonl", tmp_path / "threads.csv"
    log.write_text(json.dumps({"id": "mine", "messages": messages, "tools": tools, "at": [0, 2, 3, 5]}) + "\n")

    assert bench.main([str(log), "--routes", "openai", "--policy", "kinds", "--threads", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Recorded threads: 1 threads, 2 steps" in printed
    assert all(way in printed for way in ("only frontier", "per step", "Sticky", "CacheAware"))
    rows = list(csv.DictReader(out.open()))
    assert {row["way"] for row in rows} == set(bench.ways("kinds"))
    assert rows[0]["thread"] == "mine"
