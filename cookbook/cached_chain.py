"""Answer the same question of a chain once, and questions in other words where that is safe.

`response_cache=` takes `True` for a cache in memory, a path for one that lasts, or a `ResponseCache`. The chain is not changed. A
repeated question is answered with a new message whose cost is 0 and whose metadata names the cache hit. The semantic cache is switched on
for one kind of step, `answer`; its guard accepts differences in politeness and word order, and nothing that changes the question.

Output:
    How do I reset my password?                            miss          0.000049 USD
    How do I reset my password?                            hit           0.000000 USD
    Hi, could you tell me how I can reset my password?     semantic_hit  0.000000 USD
    How do I reset Ann's password?                         miss          0.000050 USD
    Why do I have to reset my password?                    miss          0.000051 USD
    The model was called 3 times; 0.000098 USD were saved.
"""

from __future__ import annotations

from langchain_core.prompts import ChatPromptTemplate

from langroute import ChatRouter
from langroute.cache import ResponseCache
from langroute.cache.semantic import SemanticCache
from langroute.testing import ScriptedModel


def main() -> None:
    """Ask five questions; three are new."""
    support = ScriptedModel("Open the settings, choose Security, and follow the steps there.")
    # `explore` asks the model anyway now and then to see whether stored answers still hold; here the output is to be the same every time.
    cache = ResponseCache(semantic=SemanticCache(explore=0))
    # With a real model:
    #   model = ChatRouter({"small": "openai:gpt-5-mini"}, response_cache=cache)
    model = ChatRouter({"small": support}, response_cache=cache, prices={"small": {"input": 1, "output": 2}})
    prompt = ChatPromptTemplate.from_messages([("system", "You are a support desk."), ("human", "{question}")])
    chain = prompt | model

    for question in (
        "How do I reset my password?",
        "How do I reset my password?",
        "Hi, could you tell me how I can reset my password?",
        "How do I reset Ann's password?",
        "Why do I have to reset my password?",
    ):
        answer = chain.invoke({"question": question})
        mark = answer.response_metadata["langroute"]
        print(f"{question:54} {mark['cache']:13} {mark['cost_usd']:.6f} USD")
    print(f"The model was called {len(support.calls)} times; {cache.stats().saved_usd:.6f} USD were saved.")


if __name__ == "__main__":
    main()
