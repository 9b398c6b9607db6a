"""A support agent that cannot spend more than it may: two cents a conversation, three cents a customer and day.

Before each call the most it can cost is reserved. When the conversation has spent half of its budget only the cheap model is left; when
nothing can be paid for any more, the agent says so in its own words instead of failing. The customer's next conversation goes on until the
day's budget is used up, in the same file that every other process of the machine sees.

Output:
    conversation 1
      1 frontier  0.0060 USD  I looked into it.
      2 frontier  0.0060 USD  I looked into it.
      3 cheap     0.0006 USD  Sure.
      4 cheap     0.0006 USD  Sure.
      5 cheap     0.0006 USD  Sure.
    conversation 2
      1 frontier  0.0060 USD  I looked into it.
      2 frontier  0.0060 USD  I looked into it.
      3 cheap     0.0006 USD  Sure.
      4 cheap     0.0006 USD  Sure.
      5 cheap     0.0006 USD  Sure.
    conversation 3
      1 cheap     0.0006 USD  Sure.
      2 cheap     0.0006 USD  Sure.
      3 cheap     0.0006 USD  Sure.
      4 cheap     0.0006 USD  Sure.
      5 budget    0.0000 USD  I cannot go on today. A colleague will call you.
    spent today: 0.0300 of 0.0300 USD
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.messages import AIMessage

from langroute import Budget, ChatRouter, Route
from langroute.budgets import SqliteBudgets
from langroute.policies import Fixed
from langroute.testing import ScriptedModel


def saying(text: str) -> AIMessage:
    """Return an answer of 50 tokens to a prompt of 200."""
    return AIMessage(text, usage_metadata={"input_tokens": 200, "output_tokens": 50, "total_tokens": 250})


def hand_over(_request: object, _error: Exception) -> str:
    """Return the agent's message at the limit; raising an error here would end the run with it."""
    return "I cannot go on today. A colleague will call you."


store = SqliteBudgets(Path(tempfile.mkdtemp(prefix="langroute-recipe-")) / "budgets.db")
# With real models:
#   from langchain.chat_models import init_chat_model
#   cheap = init_chat_model("openai:gpt-5-mini", max_tokens=500)
#   frontier = init_chat_model("anthropic:claude-opus-4-6", max_tokens=500)
#   model = ChatRouter({"cheap": cheap, "frontier": frontier}, policy=..., budget=...)
model = ChatRouter(
    {
        "cheap": Route(ScriptedModel(saying("Sure."), max_tokens=60), price={"input": 1, "output": 8}),
        "frontier": Route(ScriptedModel(saying("I looked into it."), max_tokens=60), price={"input": 10, "output": 80}),
    },
    policy=Fixed("frontier"),
    budget=[
        Budget(usd=0.02, per="thread", soft=0.5, at_limit=hand_over, store=store),
        Budget(usd=0.03, per="user", every="day", soft=1, at_limit=hand_over, store=store),
    ],
)


def main() -> None:
    """Chat until the budgets are used up."""
    spent = 0.0
    for conversation in (1, 2, 3):
        print(f"conversation {conversation}")
        config = {"configurable": {"thread_id": f"thread-{conversation}"}, "metadata": {"user_id": "customer-7"}}
        for turn in range(1, 6):
            message = model.invoke("My parcel has not arrived. What can you do?", config)
            step = message.response_metadata["langroute"]
            spent += step["cost_usd"]
            print(f"  {turn} {step['route']:9} {step['cost_usd']:.4f} USD  {message.text}")
            if step["route"] == "budget":
                break
    print(f"spent today: {spent:.4f} of 0.0300 USD")


if __name__ == "__main__":
    main()
