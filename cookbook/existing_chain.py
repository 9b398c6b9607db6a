"""Route an existing chain: replace its model, change nothing else.

The chain below was written for one model. With `ChatRouter` in its place, what looks easy goes to the cheap model and
everything else to the strong one; the answer says which model it came from, why, and what it cost. The models here are scripted so
that the recipe runs offline.

Output:
    A full disk at night
      title step -> cheap: looks easy: title, 0.01 that it needs a frontier model, stakes low
        cost 0.0000157 USD, baseline (frontier) 0.000240 USD
    A wound that keeps its edges together heals faster.
      answer step -> frontier: looks hard: answer, 0.75 that it needs a frontier model, stakes low
        cost 0.000355 USD, baseline (frontier) 0.000355 USD
"""

from __future__ import annotations

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langroute import ChatRouter, Route
from langroute.testing import ScriptedModel

# With real models:
#   model = ChatRouter({"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"})
model = ChatRouter(
    {
        "cheap": Route(ScriptedModel("A full disk at night"), price={"input": 0.25, "output": 2}),
        "frontier": Route(ScriptedModel("A wound that keeps its edges together heals faster."), price={"input": 5, "output": 25}),
    }
)

entitle = ChatPromptTemplate.from_template("Write a title for this incident: {incident}") | model | StrOutputParser()
explain = ChatPromptTemplate.from_template("Why is {practice} done?") | model | StrOutputParser()


def main() -> None:
    """Run both chains and show what was decided."""
    for chain, given in (
        (entitle, {"incident": "the pager rang at night and the disk was full"}),
        (explain, {"practice": "stitching a wound"}),
    ):
        print(chain.invoke(given))
        print("  " + model.explain().replace("\n", "\n  "))


if __name__ == "__main__":
    main()
