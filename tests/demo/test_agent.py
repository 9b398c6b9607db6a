"""The demo's agent and its meter, with scripted models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from demo_models import FREE, Coder, routes
from langchain_core.messages import AIMessage, BaseMessage

from langroute import ChatRouter, Route
from langroute.cli import cli
from langroute.core.task_context import task as in_task
from langroute.demo.agent import PLAN_SCHEMA, TestsPass, build_agent, code_in
from langroute.demo.answers import remembering
from langroute.demo.compare import POLICIES, Comparison, RunResult, Solved, compare, routed_policy
from langroute.demo.meter import Meter
from langroute.demo.page import write_page
from langroute.demo.tasks import tasks
from langroute.ledger import open_ledger
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel

TWO = tasks(["add", "primes"])


def test_a_task_goes_through_plan_write_test_and_summary() -> None:
    meter = Meter()
    agent = build_agent(ChatRouter({"only": Route(Coder(knows=["add"]), price=FREE)}, hooks=[meter]))
    state = agent.invoke({"task": TWO[0]}, {"callbacks": [meter]})

    assert state["tested"].ok
    assert state["plan"] == "say it directly"
    assert state["summary"] == "It does what it says."
    assert [call.step for call in meter.calls] == ["plan", "write", "summarize"]
    assert [decision.step.kind for decision in meter.decisions] == ["plan", "edit", "summarize"]


def test_failed_tests_lead_to_one_repair_that_is_told_what_failed() -> None:
    model = Coder(knows=[])
    state = build_agent(ChatRouter({"only": Route(model, price=FREE)})).invoke({"task": TWO[0]})

    assert not state["tested"].ok
    assert state["repairs"] == 1
    asked = str(model.calls[2][0][-1].content)
    assert "add(2, 3) returns -1, not 5." in asked
    assert "return -1" in asked


def test_routed_the_tests_send_on_what_the_cheap_model_cannot_write() -> None:
    found = {run.name: run for run in compare(routes(weak=["add"], strong=["add", "primes"]), TWO)}

    assert [found[name].solved for name in POLICIES] == [1, 2, 2]
    assert found["routed"].went == {
        "plan": {"cheap": 2},
        "write": {"cheap": 1, "cheap, then frontier": 1},
        "summarize": {"cheap": 2},
    }
    assert found["always cheap"].went["repair"] == {"cheap": 1}


def test_what_neither_writes_is_repaired_by_the_frontier_model() -> None:
    routed = next(run for run in compare(routes(weak=[], strong=[]), TWO) if run.name == "routed")

    assert routed.solved == 0
    assert routed.went["repair"] == {"frontier": 2}


def test_each_run_is_billed_and_timed_as_if_it_had_made_its_calls() -> None:
    given = routes(weak=["add"], strong=["add", "primes"])
    found = {run.name: run for run in compare(given, TWO)}

    # 3 steps a task, and a repair; every call takes 1 or 10 s of computing, as the models say.
    assert found["always cheap"].cost_usd == pytest.approx(0.001 * 7)
    assert found["always frontier"].cost_usd == pytest.approx(0.001 * 60)
    assert found["routed"].cost_usd == pytest.approx(0.001 * (2 * 1 + 2 * 1 + 10 + 2 * 1))
    assert found["always frontier"].seconds == pytest.approx(60, abs=5)
    assert found["routed"].calls == 7
    # The routed run asks what the others have asked already, but for the summary of code that the other model wrote.
    assert len(given["cheap"].model.calls) == 8
    assert len(given["frontier"].model.calls) == 6


def test_costs_by_step_add_up_to_the_whole() -> None:
    for run in compare(routes(weak=["add"], strong=["add", "primes"]), TWO):
        spent = [cost or 0.0 for by_route in run.cost_by_step.values() for cost in by_route.values()]
        assert sum(spent) == pytest.approx(run.cost_usd)
        assert sum(task.cost_usd or 0.0 for task in run.tasks) == pytest.approx(run.cost_usd)


def test_a_router_on_the_demos_models_is_still_billed_nothing_for_langchains_own_cache() -> None:
    model = remembering(Coder(knows=["add"]))
    assert model.invoke("function add(a, b)").usage_metadata == model.invoke("function add(a, b)").usage_metadata
    assert "total_cost" not in (model.invoke("function add(a, b)").usage_metadata or {})


def test_remembered_answers_differ_by_arguments() -> None:
    model = remembering(ScriptedModel("one", "two", "three"))
    first = model.invoke("Hi.").content

    assert model.invoke("Hi.").content == first
    assert model.invoke("Hi.", stop=["o"]).content != first
    assert model.bind(max_tokens=3).invoke("Hi.").content == "three"


def test_tests_as_a_verifier_look_only_at_code() -> None:
    verifier = TestsPass(TWO)
    given = {"cheap": Route(Coder(knows=[]), price=FREE), "frontier": Route(Coder(knows=["add"]), price=FREE)}
    model = ChatRouter(given, policy=routed_policy(), verifier=verifier)
    with in_task("routed/add"):
        answer = model.invoke("Write a Python function add(a, b)", {"metadata": {"langgraph_node": "write"}})

    assert answer.response_metadata["langroute"]["route"] == "frontier"
    assert "tests_pass, add(2, 3) returns -1, not 5" in answer.response_metadata["langroute"]["attempts"][0]["verdict"]


def test_code_is_found_in_what_models_write() -> None:
    assert code_in("```python\nx = 1\n```\nand\n```\ny = 2\n```") == "x = 1\n"
    assert code_in("```\nx = 1") == "x = 1"
    assert code_in("x = 1") == "x = 1"


def test_a_plan_that_only_names_the_function_is_left_out() -> None:
    class Namer(Coder):
        def _reply(self, messages: Sequence[BaseMessage]) -> AIMessage:
            planning = "You plan" in str(messages[0].content)
            return AIMessage('{"approach": "add()"}') if planning else super()._reply(messages)

    model = Namer(knows=["add"])
    state = build_agent(ChatRouter({"only": Route(model, price=FREE)})).invoke({"task": TWO[0]})

    assert state["plan"] == ""
    assert "Plan:" not in str(model.calls[1][0][-1].content)


def test_plans_are_bounded() -> None:
    assert PLAN_SCHEMA["properties"]["approach"]["maxLength"] <= 100


def test_decisions_and_outcomes_can_be_read_and_explained_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    with open_ledger(file) as ledger:
        found = compare(routes(weak=["add"], strong=["add", "primes"]), TWO, ledger=ledger)
        routed = next(run for run in found if run.name == "routed")
        outcomes = ledger.outcomes_of("routed/primes")
    told = CliRunner().invoke(cli, ["explain", routed.tasks[1].decision_id, "--ledger", str(file)], catch_exceptions=False)

    assert [outcome.success for outcome in outcomes] == [True]
    assert told.exit_code == 0
    assert told.output.startswith("edit step in node write -> frontier: cheap scored 0.00")
    assert "attempt 1: cheap, 0.00100 USD" in told.output


def test_the_page_needs_nothing_else_and_shows_every_run(tmp_path: Path) -> None:
    runs = compare(routes(weak=["add"], strong=["add", "primes"]), TWO)
    page = write_page(Comparison(runs, {"cheap": "small <b>", "frontier": "large"}, "2026-11-25", "here"))

    assert "Routed: 2 of 2 tasks solved, always frontier 2; 73% less cost." in page
    assert "small &lt;b&gt;" in page
    assert "<svg" in page
    for name in POLICIES:
        assert page.count(name) >= 3
    assert '<span aria-hidden="true">✓</span> solved' in page
    assert '<span class="bad"><span aria-hidden="true">✗</span> ' in page, "always cheap does not solve both"
    assert page.count('class="n"') > 12, "numbers stand at the right"
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_what_a_test_said_is_text_on_the_page() -> None:
    hostile = Solved("<i>add</i>", False, 0, 3, 1, 0.1, 0.1, failure="<script>alert(1)</script>")
    run = RunResult("routed", (hostile,), 1, 1, 1, 0.1, 0.1, {}, {})
    page = write_page(Comparison(tuple(replace(run, name=name) for name in POLICIES), {}))

    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</span>" in page


def test_unknown_costs_are_said_to_be_unknown() -> None:
    unpriced = {name: Route(remembering(Coder(model=f"nobody-knows-{name}", knows=["add"]))) for name in ("cheap", "frontier")}
    with pytest.warns(UserWarning, match="No price is known"):
        runs = compare(unpriced, TWO[:1])
    comparison = Comparison(runs, {})

    assert comparison.saved is None
    assert comparison.as_dict()["runs"][2]["cost_usd"] is None
    assert "cost unknown" in write_page(comparison)


def test_models_that_fail_end_the_comparison_with_their_error() -> None:
    broken = {"cheap": ScriptedModel(RuntimeError("down")), "frontier": ScriptedModel(RuntimeError("down"))}
    agent = build_agent(ChatRouter(broken, policy=Fixed("cheap")))
    with pytest.raises(Exception, match="down"):
        agent.invoke({"task": TWO[0]})
