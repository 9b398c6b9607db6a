"""Whatever stands in a message: nothing that reads it raises, and no step loses its thread."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from made import TEXTS, histories, laughs, nested, plain_histories, plain_said, said, texts, values

from langroute.adapt import Target, adapt
from langroute.cache.guard import judge
from langroute.cache.keys import Keys, UnkeyableError
from langroute.core.answers import canonical, text_of
from langroute.core.bounded import as_text, characters, fits, parse_json, shown, small_int
from langroute.core.bounded import canonical as canonical_value
from langroute.core.records import Attempt, Decision, Request, Selection, Step
from langroute.engine.router import Router
from langroute.ledger import open_ledger
from langroute.ledger.export import export_traffic
from langroute.ledger.memory import MemoryLedger
from langroute.providers.ends import finish_reason
from langroute.providers.wire import RULES
from langroute.steps.inspector import Inspector, salvaged
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker
from langroute.tracking.implicit_feedback import ImplicitFeedback
from langroute.verifiers import Agreement, default_verifiers
from langroute.verifiers.base import run

quickly = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def test_a_small_value_that_is_large_when_written_is_not_written() -> None:
    value = laughs()

    assert not fits(value)
    assert canonical_value(value) is None
    assert len(shown(value)) < 201
    assert characters(value) == 2


@given(value=values, text=texts)
@quickly
def test_bounded_reading_is_total(value: Any, text: str) -> None:
    for one in (value, text):
        parse_json(one)
        small_int(one)
        assert characters(one) >= 0
        assert fits(one) or canonical_value(one) is None
        assert len(shown(one)) <= 201
        assert as_text(one) is None or isinstance(as_text(one), str)


@given(
    history=histories,
    metadata=st.dictionaries(
        st.sampled_from(
            [
                "thread_id",
                "langgraph_node",
                "langgraph_checkpoint_ns",
                "langroute_task",
                "langroute_step_kind",
                "lc_agent_name",
                "langroute_task_kind",
            ]
        ),
        values,
        max_size=3,
    ),
)
@quickly
def test_inspection_is_total_and_keeps_the_thread(history: list[Any], metadata: dict[str, Any]) -> None:
    step = Inspector().inspect(history, metadata=metadata)

    assert step.thread
    assert step.signals.messages == len(history)
    assert step.signals.tokens >= 3 * len(history)
    assert isinstance(step.kind, str)
    rest = salvaged(history, metadata=metadata)
    assert rest.thread == step.thread


@given(history=histories)
@quickly
def test_a_router_says_of_no_history_that_it_could_not_be_inspected(history: list[Any]) -> None:
    router = Router({"only": ScriptedModel("Hm.")})

    assert not router.request(history).uninspected


@pytest.mark.parametrize("api", [*RULES, None])
@given(history=histories)
@quickly
def test_adapting_is_total(api: str | None, history: list[Any]) -> None:
    provider = {"anthropic": "anthropic", "gemini": "google_genai", "mistral": "mistralai"}.get(api or "", "openai")
    adapted = adapt(history, Target(api, provider, "m", thinking=api == "anthropic", prefill=False))

    assert adapted.messages


@given(history=histories)
@quickly
def test_a_request_has_a_key_or_is_answered_without_the_cache(history: list[Any]) -> None:
    keys = Keys()
    with contextlib.suppress(UnkeyableError):
        assert keys.of(history, namespace=(), parts=()) == keys.of(history, namespace=(), parts=())


@given(asked=texts.map(lambda text: text[:2000]), stored=texts.map(lambda text: text[:2000]))
@quickly
def test_the_guard_of_the_semantic_cache_is_total(asked: str, stored: str) -> None:
    assert judge(asked, stored) in ("same", "close", "different")


@given(
    answered=said,
    schema=st.sampled_from([None, {"type": "object", "properties": {"a": {"type": "integer"}}}]),
    parsed=st.one_of(st.none(), values),
)
@quickly
def test_checks_raise_nothing(answered: Any, schema: Any, parsed: Any) -> None:
    (answer,) = answered
    tools = ({"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}},)
    attempt = Attempt(Selection("b"), answer, parsed=parsed)
    run(
        (*default_verifiers(), Agreement()),
        Request("Hi.", tools=tools, response_schema=schema),
        attempt,
        [Attempt(Selection("a"), answer)],
    )
    assert isinstance(text_of(answer), str)
    assert canonical(attempt) is None or isinstance(canonical(attempt), str)
    reason = finish_reason(answer.response_metadata)
    assert reason is None or isinstance(reason, str)


@given(history=histories, answered=said)
@quickly
def test_the_tracker_counts_every_call(history: list[Any], answered: Any) -> None:
    (answer,) = answered
    tracker = OutcomeTracker(MemoryLedger(), implicit=ImplicitFeedback())
    tracker.on_chat_model_start({}, [history], run_id="r", metadata={"langroute_task": "t"})
    tracker.on_llm_end(LLMResult(generations=[[ChatGeneration.model_construct(message=answer)]]), run_id="r")
    totals = tracker.task("t")

    assert totals is not None
    assert totals.calls == 1


@pytest.fixture(scope="module", params=["memory", "metadata", "full"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "memory":
        yield MemoryLedger()
        return
    path: Path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with open_ledger(path, level=request.param) as opened:
        yield opened


@given(data=st.data(), number=st.integers(0, 10**12))
@quickly
def test_a_ledger_writes_every_decision(ledger: Any, data: st.DataObject, number: int) -> None:
    # Where text is kept, it must be possible to read it again: a message that no framework lets through is none.
    framed = getattr(ledger, "keeps_text", False) and not isinstance(ledger, MemoryLedger)
    history = data.draw(plain_histories if framed else histories)
    (answer,) = data.draw(plain_said if framed else said)
    tried = Attempt(Selection("small"), answer, cost_usd=0.1)
    decision = Decision(
        f"d{number}", Step("act", task=f"t{number}"), "small", (tried,), started_at=1.0, messages=tuple(history[-4:])
    )
    with warnings.catch_warnings():
        # Pydantic warns of fields that it did not check.
        warnings.simplefilter("ignore")
        ledger.record(decision)
        ledger.flush()
    found = ledger.get(decision.id)

    assert found is not None
    assert ledger.task(f"t{number}").decisions == 1


@pytest.mark.parametrize("level", ["metadata", "full"])
def test_what_a_ledger_keeps_is_exported(level: str, tmp_path: Path) -> None:
    deep = AIMessage("", tool_calls=[{"name": "f", "args": {"a": nested(200), "b": float("nan")}, "id": "1", "type": "tool_call"}])
    with open_ledger(tmp_path / "ledger.db", level=level) as ledger:
        for number, text in enumerate(TEXTS):
            tried = Attempt(Selection("small"), deep, cost_usd=0.1)
            ledger.record(
                Decision(f"d{number}", Step("act"), "small", (tried,), started_at=1.0, messages=(HumanMessage(text), deep))
            )
        lines = list(export_traffic(ledger))

    assert len(lines) == len(TEXTS)
    assert all(json.dumps(line) for line in lines)


@given(history=plain_histories)
@quickly
def test_a_routed_call_answers_whatever_the_bare_model_answers(history: list[Any]) -> None:
    """End to end, with the default policy and a budget: the thread is known and the call is charged to it."""
    from langroute import Budget, ChatRouter, Route

    price = {"input": 1, "output": 1}
    model = ChatRouter(
        {name: Route(ScriptedModel("Hm.", model=name), price=price) for name in ("a", "b")}, budget=Budget(usd=1e6, per="thread")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = model.invoke(history, {"configurable": {"thread_id": "t"}})

    assert answer.content == "Hm."
    assert model.ledger.latest().step.thread == "t"
    # Signs that the model counts as more tokens than they were taken for are charged, and said.
    assert all("was billed" in problem for problem in answer.response_metadata["langroute"]["problems"])
    assert isinstance(answer, AIMessage)
