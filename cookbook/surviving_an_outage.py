"""A provider goes down in the middle of a thread, another one takes over, and the first gets its thread back.

Claude thinks and calls a tool; then its provider answers 503. The router tries once more, goes to the other provider with a history that
it can read (without Claude's thinking, the tool call and its result unchanged), pauses Claude, and later sends one call to probe it. The
stored thread is never changed, so Claude finds its own signed thinking again. Here both providers are scripted; with real ones, set
`max_retries=0` on the models, so that their packages do not retry on top.

Output:
    1 Claude works             claude  asked 1 time
    2 Claude's provider fails  gpt     asked claude, claude, gpt; gpt was sent thinking: False, the tool's result: True
    3 Claude rests             gpt     asked 1 time
    4 Its rest is over         claude  asked 1 time; it was sent its own thinking: True
    Failed tries in the ledger: 2 (overloaded, overloaded), billed 0.0000 USD
    The thread has 8 messages, and the second is the very one that Claude wrote: True
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langroute import ChatRouter, Route
from langroute.policies.fallback import Fallback
from langroute.policies.fixed import Fixed
from langroute.testing import ScriptedModel


class ServiceUnavailableError(Exception):
    """Error with a status code, as a provider's package raises it."""

    status_code = 503


class Provider:
    """A provider that can be down, and that records the last messages it received."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.down = False
        self.sent: list[Any] = []

    def __call__(self, messages: list[Any]) -> Any:
        if self.down:
            raise ServiceUnavailableError("503: we will be back")
        self.sent = messages
        return self.answers.pop(0)


def thinks(messages: list[Any]) -> bool:
    """Return whether the messages contain thinking blocks."""
    blocks = [block for message in messages if isinstance(message.content, list) for block in message.content]
    return any(block.get("type") == "thinking" for block in blocks)


def main() -> None:
    """Run one thread of four turns."""
    look = {"name": "read_log", "args": {"host": "db-2"}, "id": "toolu_01"}
    thought = {"type": "thinking", "thinking": "The log will tell.", "signature": "c2lnbmVk"}
    claude = Provider(AIMessage([thought, {"type": "text", "text": "I look."}], tool_calls=[look]), "Welcome back.")
    gpt = Provider("The disk of db-2 is full.", "Delete old logs.")
    price = {"input": 3, "output": 15}
    # With real models:
    #   from langchain.chat_models import init_chat_model
    #   gpt = init_chat_model("openai:gpt-5", max_retries=0)
    #   claude = init_chat_model("anthropic:claude-opus-4-6", max_retries=0)
    #   routes = {"gpt": gpt, "claude": claude}
    routes = {
        "gpt": Route(ScriptedModel(gpt, provider="openai", model="gpt-5"), price=price),
        "claude": Route(ScriptedModel(claude, provider="anthropic", model="claude-opus-4-6"), price=price),
    }
    now = [0.0]
    policy = Fallback(Fixed("claude"), retries=1, backoff_seconds=0.01, cool_down_seconds=30, clock=lambda: now[0])
    model = ChatRouter(routes, policy=policy)
    thread: list[Any] = [HumanMessage("Why is db-2 slow?")]

    def ask(title: str) -> tuple[str, list[str]]:
        answer = model.invoke(thread)
        thread.append(answer)
        decided = answer.response_metadata["langroute"]
        asked = [attempt["route"] for attempt in decided["attempts"]]
        print(f"{title:27}{decided['route']:8}asked {', '.join(asked) if len(asked) > 1 else '1 time'}", end="")
        return decided["route"], asked

    ask("1 Claude works")
    print()
    first = thread[1]

    thread.append(ToolMessage("no space left on device", tool_call_id="toolu_01"))
    claude.down = True
    ask("2 Claude's provider fails")
    result = any(isinstance(message, ToolMessage) for message in gpt.sent)
    print(f"; gpt was sent thinking: {thinks(gpt.sent)}, the tool's result: {result}")

    thread.append(HumanMessage("What shall I do?"))
    ask("3 Claude rests")
    print()

    thread.append(HumanMessage("Done. And now?"))
    claude.down, now[0] = False, 31.0
    ask("4 Its rest is over")
    print(f"; it was sent its own thinking: {thinks(claude.sent)}")

    failed = [attempt for decision in model.ledger.decisions for attempt in decision.attempts if attempt.failure]
    kinds = ", ".join(attempt.failure.kind for attempt in failed)
    print(
        f"Failed tries in the ledger: {len(failed)} ({kinds}), billed {sum(attempt.cost_usd or 0.0 for attempt in failed):.4f} USD"
    )
    print(f"The thread has {len(thread)} messages, and the second is the very one that Claude wrote: {thread[1] is first}")


if __name__ == "__main__":
    main()
