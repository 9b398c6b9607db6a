"""How can a router be tested without a provider?

`ScriptedModel` is a real chat model that says what it was told to: text, messages with tool calls, errors, or what a function
makes of the conversation. It streams, counts tokens and binds tools like any other. `LedgerContract` is the test suite that every
ledger passes.
"""

from __future__ import annotations

import json
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

from langroute.ledger.facts import CallRecord, TaskRecord
from langroute.records import Attempt, Decision, Failure, Outcome, Selection, Signals, Step, Usage, Verdict


class ScriptedModel(BaseChatModel):
    """A chat model that says what it was told to, in order, the last reply for ever.

    Args:
        replies: Text, `AIMessage`s, exceptions to raise, or functions of the messages.
        model: The name it goes by.
        provider: What it says its provider is.

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
    """What every ledger has to do. Inherit from it and give a fixture `ledger`.

    Example:
        >>> import pytest
        >>> from langroute.ledger.memory import MemoryLedger
        >>> class TestMyLedger(LedgerContract):
        ...     @pytest.fixture
        ...     def ledger(self):
        ...         return MemoryLedger()
    """

    def decision(self, id: str = "d1", **fields: Any) -> Decision:
        """A decision that uses every field a ledger has to bring back."""
        attempts = (
            Attempt(
                Selection("small", "cheapest", propensity=0.8, tentative=True, confidence=0.4),
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
        """Every field that is no text survives."""
        ledger.record(self.decision())
        ledger.flush()
        assert ledger.get("d1") == self.decision()

    def test_a_small_decision_comes_back_as_it_was(self, ledger: Any) -> None:
        """Defaults stay defaults, unknown stays unknown."""
        ledger.record(Decision("d1", Step(), None, ()))
        ledger.flush()
        assert ledger.get("d1") == Decision("d1", Step(), None, ())

    def test_an_unknown_id_is_none(self, ledger: Any) -> None:
        """Asking for what is not there is no error."""
        assert ledger.get("nobody") is None
        assert ledger.task("nobody") is None

    def test_the_latest_is_the_one_recorded_last(self, ledger: Any) -> None:
        """`explain()` without an id shows it."""
        assert ledger.latest() is None
        for name in ("d1", "d2", "d3"):
            ledger.record(self.decision(name))
        assert ledger.latest().id == "d3"

    def test_a_task_sums_its_decisions(self, ledger: Any) -> None:
        """Failed attempts, retries and checks are part of what it cost."""
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
        """A host that records again after a failure doubles nothing."""
        ledger.record(self.decision())
        ledger.flush()
        ledger.record(self.decision())
        assert ledger.task("t1").decisions == 1

    def test_an_unknown_cost_is_counted_not_zero(self, ledger: Any) -> None:
        """A sum says what it leaves out."""
        ledger.record(
            self.decision(attempts=(Attempt(Selection("own"), usage=Usage(5, 5), latency_s=0.1),), route="own", cost_usd=None)
        )
        totals = ledger.task("t1")
        assert (totals.cost_usd, totals.unknown_costs) == (0.0, 1)
        assert ledger.get("d1").cost_usd is None

    def test_calls_without_a_router_belong_to_their_task(self, ledger: Any) -> None:
        """What a tracker saw and what a router decided add up to one task."""
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
        """A tracker may learn of a decision before the ledger does, or after."""
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
        """Interrupted first, done later."""
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
        """It counts for the task these belong to."""
        ledger.record(self.decision())
        ledger.record_task(TaskRecord("t2", "ok", 1.0, 2.0, "root-2"))
        ledger.record_outcome(Outcome(success=True, decision_id="d1", at=1.0))
        ledger.record_outcome(Outcome(success=False, run_id="root-2", at=2.0))
        assert ledger.task("t1").success is True
        assert ledger.task("t2").success is False
        ledger.record_outcome(Outcome(success=False, run_id=self.decision().run_id, at=3.0))
        assert ledger.task("t1").success is False

    def test_a_thread_can_be_named_as_the_task_it_is(self, ledger: Any) -> None:
        """Who knows only the conversation's id can tell how it went."""
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

    def test_closing_twice_is_fine(self, ledger: Any) -> None:
        """And what was recorded before is kept."""
        ledger.record(self.decision())
        ledger.close()
        ledger.close()
