"""Shadow before you switch: ask the cheaper model in the background, and see what it would have broken.

The model in use answers, as ever. A share of the requests also goes to the cheaper one, after the answer is there: nobody waits for it
and it is counted nowhere twice. Tool calls are compared by what they do. A judge scores both answers, which fills the table of what
either solves and the other does not. The interval says whether enough was seen.

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
from langroute.context import task
from langroute.policies import Fixed
from langroute.policies.shadow import Shadow
from langroute.records import Attempt, Request
from langroute.testing import ScriptedModel


def text_of(messages: Any) -> str:
    """The last message."""
    return str(messages[-1].content)


def right_answer(question: str) -> str:
    """What a person would say."""
    return "tracked" if "parcel" in question else "refund" if int(question.split()[-1]) % 2 else "no refund"


def large(messages: Any) -> AIMessage:
    """Always right."""
    return AIMessage(right_answer(text_of(messages)))


def small(messages: Any) -> AIMessage:
    """Right about parcels, and generous in disputes."""
    return AIMessage("tracked" if "parcel" in text_of(messages) else "refund")


def judge(request: Request, attempt: Attempt) -> float:
    """Here the truth is known; in life a judge model or a test."""
    return float(attempt.answer.content == right_answer(text_of(request.messages)))


def main() -> None:
    """Serve eighty requests with a shadow behind them."""
    price = {"input": 3.0, "output": 15.0}
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
