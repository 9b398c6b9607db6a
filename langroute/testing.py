"""Test helpers for users: a chat model without a provider, and the contract test suites.

`ScriptedModel` is a real chat model with scripted replies: text, messages with tool calls, errors, or the result of a function of the
messages. It streams, counts tokens and binds tools like any other. `LedgerContract` is the test suite that every ledger must pass.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from threading import Thread
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, SkipValidation

from langroute.core.records import Attempt, Decision, Failure, Outcome, Selection, Signals, Step, Usage, Verdict
from langroute.ledger.facts import CallRecord, TaskRecord


class ScriptedModel(BaseChatModel):
    """A chat model that returns scripted replies in order; the last one is repeated.

    Args:
        replies: Text, `AIMessage`s, exceptions to raise, or functions of the messages.
        model: Its model name.
        provider: The provider it reports.

    Example:
        >>> model = ScriptedModel("Hm.", "42")
        >>> model.invoke("What is 6 * 7?").content, model.invoke("Sure?").content
        ('Hm.', '42')
        >>> len(model.calls)
        2
    """

    replies: SkipValidation[list[Any]] = Field(default_factory=lambda: ["ok"])
    model: str = "scripted"
    provider: str = "scripted"
    finish_reason: str | None = "stop"
    calls: SkipValidation[list[Any]] = Field(default_factory=list, repr=False)
    """Messages and arguments of every call so far; shared by copies of the model."""

    temperature: float | None = None
    max_tokens: int | None = None

    def __init__(self, *replies: Any, **kwargs: Any) -> None:
        if replies:
            kwargs["replies"] = list(replies)
        super().__init__(**kwargs)

    @property
    def _llm_type(self) -> str:
        return "langroute-scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "provider": self.provider, "replies": [repr(reply) for reply in self.replies]}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        params: Any = super()._get_ls_params(stop=stop, **kwargs)
        params.update(ls_provider=self.provider, ls_model_name=kwargs.get("model") or self.model)
        return params

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Bind tools in OpenAI's form."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _next(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> AIMessage:
        self.calls.append((list(messages), {**kwargs, **({"stop": stop} if stop else {})}))
        reply = self.replies[min(len(self.calls), len(self.replies)) - 1]
        if callable(reply):
            reply = reply(messages)
        if isinstance(reply, BaseException):
            raise reply
        message = reply.model_copy(deep=True) if isinstance(reply, AIMessage) else AIMessage(content=str(reply))
        for word in stop or ():
            if isinstance(message.content, str) and word in message.content:
                message.content = message.content.split(word)[0]
        tokens_in = sum(len(str(m.content)) // 4 + 4 for m in messages)
        tokens_out = max(1, len(str(message.content)) // 4 + 10 * len(message.tool_calls))
        if message.usage_metadata is None:
            message.usage_metadata = {
                "input_tokens": tokens_in,
                "output_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            }
        known = {"model_name": kwargs.get("model") or self.model, "model_provider": self.provider}
        if self.finish_reason is not None:
            known["finish_reason"] = "tool_calls" if message.tool_calls else self.finish_reason
        message.response_metadata = {**known, **message.response_metadata}
        return message

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages, stop, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._next(messages, stop, kwargs)
        if isinstance(message.content, str):
            words = message.content.split(" ")
            for place, word in enumerate(words):
                if text := word + (" " if place < len(words) - 1 else ""):
                    yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        else:
            for place, block in enumerate(message.content):
                numbered = {**block, "index": place} if isinstance(block, dict) else block
                yield ChatGenerationChunk(message=AIMessageChunk(content=[numbered]))
        for place, call in enumerate(message.tool_calls):
            part: Any = {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": place,
                "type": "tool_call_chunk",
            }
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=message.usage_metadata,
                response_metadata=message.response_metadata,
                additional_kwargs=message.additional_kwargs,
                chunk_position="last",
            )
        )


class LedgerContract:
    """Contract tests that every ledger must pass. Inherit from it and provide a fixture `ledger`.

    Example:
        >>> import pytest
        >>> from langroute.ledger.memory import MemoryLedger
        >>> class TestMyLedger(LedgerContract):
        ...     @pytest.fixture
        ...     def ledger(self):
        ...         return MemoryLedger()
    """

    def decision(self, id: str = "d1", **fields: Any) -> Decision:
        """Return a decision that sets every field a ledger has to restore."""
        attempts = (
            Attempt(
                Selection("small", "cheapest", propensity=0.8, provisional=True, confidence=0.4),
                score=0.25,
                verdicts=(Verdict("not_empty", 1.0), Verdict("judge", 0.25, cost_usd=0.5)),
                usage=Usage(100, 20, cache_read=50, cache_write=10, cache_write_1h=5, reasoning=3),
                cost_usd=0.125,
                latency_s=0.5,
                first_token_s=0.25,
                model="small-1",
                finish_reason="stop",
                provider="scripted",
                tier="cheap",
            ),
            Attempt(
                Selection("large", "next tier", wait_s=0.5, switch_cost_usd=0.25),
                error_type="RateLimitError",
                failure=Failure("rate_limited", retry_same=True, cool_down=True, retry_after_s=1.5),
                cost_usd=0.0,
                latency_s=0.25,
            ),
            Attempt(Selection("large", "again"), usage=Usage(100, 30), cost_usd=1.0, latency_s=2.0, model="large-1", streamed=True),
        )
        signals = Signals(tokens=120, messages=3, language="en", code_share=0.5, steps_since_edit=2, has_system=True)
        step = Step("edit", node="coder", index=4, task="t1", task_kind="fix", namespace="coder:1", agent="dev", signals=signals)
        known: dict[str, Any] = {
            "step": step,
            "route": "large",
            "attempts": attempts,
            "reason": "again",
            "policy": "cascade",
            "policy_version": "3",
            "rejected": {"tiny": "context window"},
            "tier": "frontier",
            "model": "large-1",
            "cost_usd": 1.625,
            "baseline_cost_usd": 2.0,
            "baseline_route": "large",
            "overhead_s": 0.001,
            "problems": ("verifier judge failed: TimeoutError",),
            "started_at": 1_790_000_000.25,
            "run_id": "0198a1b2-0000-7000-8000-000000000001",
            "parent_run_id": "0198a1b2-0000-7000-8000-000000000002",
            "switch_cost_usd": 0.25,
        }
        return Decision(id, **{**known, **fields})

    def test_a_decision_comes_back_as_it_was(self, ledger: Any) -> None:
        """Every field that is not text is restored."""
        ledger.record(self.decision())
        ledger.flush()
        assert ledger.get("d1") == self.decision()

    def test_a_small_decision_comes_back_as_it_was(self, ledger: Any) -> None:
        """Defaults stay defaults, unknown stays unknown."""
        ledger.record(Decision("d1", Step(), None, ()))
        ledger.flush()
        assert ledger.get("d1") == Decision("d1", Step(), None, ())

    def test_an_unknown_id_is_none(self, ledger: Any) -> None:
        """Looking up an unknown id is not an error."""
        assert ledger.get("nobody") is None
        assert ledger.task("nobody") is None

    def test_the_latest_is_the_one_recorded_last(self, ledger: Any) -> None:
        """`explain()` without an id shows the latest decision."""
        assert ledger.latest() is None
        for name in ("d1", "d2", "d3"):
            ledger.record(self.decision(name))
        assert ledger.latest().id == "d3"
        assert [decision.id for decision in ledger.recent(2)] == ["d2", "d3"]
        assert len(ledger.recent(9)) == 3

    def test_a_task_sums_its_decisions(self, ledger: Any) -> None:
        """Failed attempts, retries and checks are part of a task's cost."""
        ledger.record(self.decision("d1"))
        ledger.record(self.decision("d2"))
        totals = ledger.task("t1")
        assert (totals.decisions, totals.calls, totals.errors, totals.retries, totals.escalations) == (2, 6, 2, 2, 2)
        assert (totals.cost_usd, totals.verify_usd, totals.unknown_costs) == (2 * 1.625, 2 * 0.5, 0)
        assert totals.usage == Usage(400, 100, cache_read=100, cache_write=20, cache_write_1h=10, reasoning=6)
        assert {name: share.calls for name, share in totals.by_route.items()} == {"large": 4, "small": 2}
        assert {name: share.cost_usd for name, share in totals.by_route.items()} == {"large": 2.0, "small": 1.25}
        assert {name: share.calls for name, share in totals.by_node.items()} == {"coder": 6}
        assert {name: share.calls for name, share in totals.by_step_kind.items()} == {"edit": 6}

    def test_the_same_decision_twice_counts_once(self, ledger: Any) -> None:
        """Recording a decision again, as a host may do after a failure, does not count it twice."""
        ledger.record(self.decision())
        ledger.flush()
        ledger.record(self.decision())
        assert ledger.task("t1").decisions == 1

    def test_an_unknown_cost_is_counted_not_zero(self, ledger: Any) -> None:
        """A sum states how many unknown costs it leaves out."""
        ledger.record(
            self.decision(attempts=(Attempt(Selection("own"), usage=Usage(5, 5), latency_s=0.1),), route="own", cost_usd=None)
        )
        totals = ledger.task("t1")
        assert (totals.cost_usd, totals.unknown_costs) == (0.0, 1)
        assert ledger.get("d1").cost_usd is None

    def test_calls_without_a_router_belong_to_their_task(self, ledger: Any) -> None:
        """Calls seen by a tracker and decisions of a router add up to one task."""
        ledger.record(self.decision())
        ledger.record_call(CallRecord("t1", model="other", at=1_790_000_001.0, usage=Usage(10, 1), cost_usd=0.25))
        ledger.record_call(CallRecord("t1", what="tool", tool="search", at=1_790_000_002.0, error_type="ValueError"))
        ledger.record_call(CallRecord("t1", what="judge", at=1_790_000_003.0, usage=Usage(1, 1), cost_usd=0.5))
        totals = ledger.task("t1")
        assert (totals.calls, totals.tools, totals.tool_errors, totals.judges) == (5, 1, 1, 1)
        assert totals.cost_usd == 1.625 + 0.25 + 0.5

    def test_a_decision_that_nobody_claims_is_its_own_task(self, ledger: Any) -> None:
        """Every decision belongs to exactly one task."""
        ledger.record(self.decision(step=Step("chat")))
        assert ledger.task("d1").decisions == 1

    def test_a_claim_before_or_after_ties_a_decision_to_its_task(self, ledger: Any) -> None:
        """A tracker may report a decision before the ledger has it, or after."""
        ledger.claim("d1", "root")
        ledger.record(self.decision("d1", step=Step("chat")))
        ledger.record(self.decision("d2", step=Step("chat")))
        ledger.flush()
        ledger.claim("d2", "root")
        ledger.flush()
        assert ledger.task("root").decisions == 2
        assert ledger.task("root").cost_usd == 2 * 1.625
        assert ledger.task("d2") is None

    def test_a_task_that_is_resumed_ends_as_it_ended_last(self, ledger: Any) -> None:
        """A task that was interrupted and finished later counts as finished."""
        ledger.record_task(TaskRecord("t1", "interrupted", 10.0, 11.0, "root-1", kind="support"))
        assert ledger.task("t1").state == "interrupted"
        ledger.record_task(TaskRecord("t1", None, 20.0, None, "root-2"))
        assert ledger.task("t1").state is None
        ledger.record_task(TaskRecord("t1", "ok", 20.0, 21.0, "root-2"))
        assert (ledger.task("t1").state, ledger.task("t1").kind) == ("ok", "support")

    def test_success_is_what_the_weightiest_source_said_last(self, ledger: Any) -> None:
        """A guess from behaviour does not outweigh a test, a later test an earlier one."""
        ledger.record_outcome(Outcome(success=True, task_id="t1", source="tests", at=5.0))
        ledger.record_outcome(Outcome(success=False, task_id="t1", source="implicit:asked_again", at=6.0))
        assert ledger.task("t1").success is True
        ledger.record_outcome(Outcome(success=False, task_id="t1", source="tests", at=7.0))
        assert ledger.task("t1").success is False
        assert [outcome.source for outcome in ledger.outcomes_of("t1")] == ["tests", "implicit:asked_again", "tests"]

    def test_an_outcome_may_name_a_decision_or_a_run(self, ledger: Any) -> None:
        """The outcome counts for the task that the decision or run belongs to."""
        ledger.record(self.decision())
        ledger.record_task(TaskRecord("t2", "ok", 1.0, 2.0, "root-2"))
        ledger.record_outcome(Outcome(success=True, decision_id="d1", at=1.0))
        ledger.record_outcome(Outcome(success=False, run_id="root-2", at=2.0))
        assert ledger.task("t1").success is True
        assert ledger.task("t2").success is False
        ledger.record_outcome(Outcome(success=False, run_id=self.decision().run_id, at=3.0))
        assert ledger.task("t1").success is False

    def test_a_thread_can_be_named_as_the_task_it_is(self, ledger: Any) -> None:
        """An outcome can be recorded by the conversation's id alone."""
        ledger.record(self.decision(step=Step("chat"), metadata={"thread_id": "th-1"}))
        ledger.record_outcome(Outcome(success=True, task_id="th-1", at=1.0))
        assert ledger.task("th-1").decisions == 1
        assert ledger.task("th-1").success is True

    def test_many_threads_lose_nothing(self, ledger: Any) -> None:
        """Recording is safe from any thread."""

        def work(place: int) -> None:
            for number in range(50):
                ledger.record(self.decision(f"{place}-{number}"))

        threads = [Thread(target=work, args=(place,)) for place in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.task("t1").decisions == 400

    def test_a_long_name_is_the_same_one_everywhere(self, ledger: Any) -> None:
        """Ids of any length are shortened in the same way everywhere, so that records of the same id meet."""
        long = "ticket-" + "\U0001f4a5".join(map(str, range(1000)))
        ledger.record(self.decision(step=Step("chat", task=long)))
        ledger.record_call(CallRecord(long, model="other" * 1000, at=1.0, cost_usd=0.5, run_id="r" * 3000))
        ledger.record_task(TaskRecord(long, "ok", 1.0, 2.0, "root" * 1000, kind="k" * 3000, tags={"t" * 3000: "v" * 3000}))
        ledger.record_outcome(Outcome(success=False, task_id=long, source="s" * 3000, key="k" * 3000, at=1.0))
        ledger.record_outcome(Outcome(success=True, run_id="root" * 1000, at=2.0))
        totals = ledger.task(long)
        assert (totals.decisions, totals.calls, totals.state, totals.success) == (1, 4, "ok", True)
        assert len(totals.id) <= 256
        assert ledger.task(totals.id) == totals
        assert len(ledger.outcomes_of(long)) == 2

    def test_text_that_is_no_text_loses_no_record(self, ledger: Any) -> None:
        """Lone surrogates, NUL and bytes are kept in a storable form wherever they occur."""
        broken: Any
        for number, broken in enumerate(("half \ud83d", "nul \x00", b"caf\xc3\xa9 \xff")):
            task_id = f"task {number} {broken}" if isinstance(broken, str) else broken
            attempt = Attempt(Selection(broken, broken), cost_usd=0.25, model=broken, provider=broken, error_type=broken)
            step = Step(broken, broken, task=task_id, agent=broken, namespace=broken)
            ledger.record(Decision(f"d{number}", step, broken, (attempt,), reason=broken, problems=(broken,), started_at=1.0))
            ledger.record_call(CallRecord(task_id, tool=broken, what="tool", at=1.0, node=broken))
            ledger.record_task(TaskRecord(task_id, "ok", 1.0, 2.0, broken, kind=broken, tags={"team": broken}))
            ledger.record_outcome(Outcome(success=True, task_id=task_id, key=broken, source=broken, comment=broken, at=1.0))
            totals = ledger.task(task_id)
            assert (totals.decisions, totals.tools, totals.success) == (1, 1, True)

    def test_a_number_that_cannot_be_meant_spoils_no_sum(self, ledger: Any) -> None:
        """Infinity and NaN are not stored, because they would make every sum over them useless."""
        wrong: Any
        for wrong in (float("nan"), float("inf"), -float("inf"), 10**400, 1e300):
            attempt = Attempt(Selection("small", propensity=wrong), usage=Usage(wrong, -5), cost_usd=wrong, latency_s=wrong)
            ledger.record(self.decision(f"d{wrong}"[:20], attempts=(attempt,), cost_usd=wrong, overhead_s=wrong, started_at=wrong))
            ledger.record_call(CallRecord("t1", at=wrong, usage=Usage(wrong, -5), cost_usd=wrong, latency_s=wrong))
            ledger.record_task(TaskRecord("t1", "ok", wrong, wrong))
        ledger.record_call(CallRecord("t1", at=1.0, usage=Usage(10, 5), cost_usd=0.25, latency_s=0.5))
        totals = ledger.task("t1")
        assert (totals.decisions, totals.calls, totals.unknown_costs, totals.cost_usd) == (5, 11, 10, 0.25)
        assert (totals.usage.input_tokens, totals.usage.output_tokens, totals.latency_s) == (10, 5, 0.5)

    def test_a_record_that_cannot_be_kept_stops_none_after_it(self, ledger: Any) -> None:
        """The record is left out; the caller and later records are not affected."""
        wrong: Any
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for wrong in ("yesterday", [1], object()):
                ledger.record_call(CallRecord("t1", at=wrong, cost_usd=0.25))
                ledger.record_call(wrong)
                ledger.record_task(TaskRecord("t1", "ok", wrong))
            ledger.record(self.decision("d1"))
            assert ledger.task("t1").decisions == 1

    def test_closing_twice_is_fine(self, ledger: Any) -> None:
        """What was recorded before the first `close` is kept."""
        ledger.record(self.decision())
        ledger.close()
        ledger.close()


__all__ = ["LedgerContract", "ScriptedModel"]


def __dir__() -> list[str]:
    return sorted(__all__)
