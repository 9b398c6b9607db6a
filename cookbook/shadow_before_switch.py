"""Shadow before you switch: ask the cheaper model in the background, and see what it would have broken.

The model in use answers as before. A share of the requests also goes to the cheaper one, after the answer was returned: nobody waits for
it, and nothing is counted twice. Tool calls are compared by name and arguments. A judge scores both answers, which fills the table of
requests that one model solves and the other does not. The interval shows whether the sample is large enough.

Output:
    kind      compared  same answer (95 %)     safe  rescue  loss  hard
    dispute         40  0.50 (0.35 to 0.65)      20       0    20     0
    parcel          40  1.00 (0.91 to 1.00)      40       0     0     0
    switch: parcel
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage

from langroute import ChatRouter, Route
from langroute.core.records import Attempt, Request
from langroute.core.task_context import task
from langroute.policies import Fixed
from langroute.policies.shadow import Shadow
from langroute.testing import ScriptedModel


def text_of(messages: Any) -> str:
    """Return the text of the last message."""
    return str(messages[-1].content)


def right_answer(question: str) -> str:
    """Return the answer that a person would give."""
    return "tracked" if "parcel" in question else "refund" if int(question.split()[-1]) % 2 else "no refund"


def large(messages: Any) -> AIMessage:
    """Stand-in for the large model, which is always right."""
    return AIMessage(right_answer(text_of(messages)))


def small(messages: Any) -> AIMessage:
    """Stand-in for the small model, which is right about parcels and too generous in disputes."""
    return AIMessage("tracked" if "parcel" in text_of(messages) else "refund")


def judge(request: Request, attempt: Attempt) -> float:
    """Score an answer against the known truth; in production this is a judge model or a test."""
    return float(attempt.answer.content == right_answer(text_of(request.messages)))


def main() -> None:
    """Serve eighty requests with a shadow behind them."""
    price = {"input": 3.0, "output": 15.0}
    # With real models:
    #   from langchain.chat_models import init_chat_model
    #   shadow = Shadow(Fixed("large"), init_chat_model("openai:gpt-5-mini"), share=0.1, judge=judge)
    #   model = ChatRouter({"large": "anthropic:claude-opus-4-6"}, policy=shadow)
    shadow = Shadow(
        Fixed("large"), ScriptedModel(small), share=1.0, judge=judge, price={"input": 0.15, "output": 0.6}, max_waiting=100
    )
    model = ChatRouter({"large": Route(ScriptedModel(large), price=price)}, policy=shadow)
    for number in range(40):
        with task(kind="parcel"):
            model.invoke(f"Where is parcel {number}")
        with task(kind="dispute"):
            model.invoke(f"Decide dispute {number}")
    shadow.close()
    print(f"{'kind':9} {'compared':>8}  {'same answer (95 %)':21}  safe  rescue  loss  hard")
    for one in shadow.verdicts():
        span = f"{one.agreed:.2f} ({one.low:.2f} to {one.high:.2f})"
        print(f"{one.task_kind:9} {one.compared:>8}  {span:21}  " + "  ".join(f"{one.cells[c]:>{len(c)}}" for c in one.cells))
    print("switch:", ", ".join(one.task_kind for one in shadow.verdicts() if one.low > 0.9))


if __name__ == "__main__":
    main()
