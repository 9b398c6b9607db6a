"""Route an existing chain: replace its model, change nothing else.

The chain below was written for one model. With `ChatRouter` in its place, titles and classifications go to the cheap model and
everything else to the strong one; the answer says which model it came from, why, and what it cost. The models here are scripted so
that the recipe runs offline; put in `"openai:gpt-5-mini"` and `"anthropic:claude-opus-4-6"`, or any chat models.

Output:
    Summary of the incident.
      summarize step -> cheap: a step beside the conversation
        cost 0.0000182 USD, baseline (frontier) 0.000275 USD
    A wound that keeps its edges together heals faster.
      answer step -> frontier: no rule fits
        cost 0.000355 USD, baseline (frontier) 0.000355 USD
"""

from __future__ import annotations

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langroute import ChatRouter, Route
from langroute.testing import ScriptedModel

model = ChatRouter(
    {
        "cheap": Route(ScriptedModel("Summary of the incident."), price={"input": 0.25, "output": 2}),
        "frontier": Route(ScriptedModel("A wound that keeps its edges together heals faster."), price={"input": 5, "output": 25}),
    }
)

summarize = ChatPromptTemplate.from_template("Summarize this incident in one sentence: {incident}") | model | StrOutputParser()
explain = ChatPromptTemplate.from_template("Why is {practice} done?") | model | StrOutputParser()


def main() -> None:
    """Run both chains and show what was decided."""
    for chain, given in (
        (summarize, {"incident": "the pager rang at night and the disk was full"}),
        (explain, {"practice": "stitching a wound"}),
    ):
        print(chain.invoke(given))
        print("  " + model.explain().replace("\n", "\n  "))


if __name__ == "__main__":
    main()
