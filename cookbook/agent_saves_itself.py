"""An agent that saves itself: it begins on the model that you use, tries a cheaper one, and moves down what is proven.

Nothing is chosen by hand. The autopilot gives a share of the tasks to the cheap model at random, whole tasks at a time, hears in one line what came
of each, and moves a kind of task down when that is proven: here finding addresses, which the cheap model does as well, and not refunds, which it
gets wrong. With real traffic let it prove smaller margins: two of a hundred take some thousand tasks, and `langroute autopilot` says how many.

Output:
    tasks 1 to 50: ... of 50 on the stronger model, ... solved, ... USD
    tasks 51 to 100: ... of 50 on the stronger model, ... solved, ... USD
    tasks 101 to 150: ... of 50 on the stronger model, 50 solved, ... USD
    tasks 151 to 200: ... of 50 on the stronger model, 50 solved, ... USD
    address: cheap has 95% of the tasks, by proof
    refund: frontier has 100% of the tasks
    kind=refund: cheap dropped
    kind=address: cheap adopted
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langroute import ChatRouter, Route, record_outcome, task
from langroute.ledger import open_ledger
from langroute.policies import Autopilot
from langroute.testing import ScriptedModel

RIGHT = {"address": "It goes to 1 Mill Lane.", "refund": "You get 12.50 USD back."}


@tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"{order}: 25.00 USD, half of it returned, to 1 Mill Lane"


def model_of(*known: str) -> ScriptedModel:
    """A model that looks the order up, and then answers right where it knows how."""

    def reply(messages):
        asked = messages[0].text
        if messages[-1].type != "tool":
            return AIMessage("", tool_calls=[{"name": "look_up", "args": {"order": asked.split()[-1]}, "id": "1"}])
        kind = "refund" if "refund" in asked else "address"
        return RIGHT[kind] if kind in known else "You get 25.00 USD back."

    return ScriptedModel(reply)


with open_ledger(Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
    # With real models:
    #   routes = {"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
    routes = {
        "cheap": Route(model_of("address"), price={"input": 0.25, "output": 2}),
        "frontier": Route(model_of("address", "refund"), price={"input": 5, "output": 25}),
    }
    # Half of the tasks are on trial, and three of ten may be solved less: so that a few minutes show it.
    pilot = Autopilot(["cheap"], baseline="frontier", margin=0.3, share=0.5)
    agent = create_agent(ChatRouter(routes, policy=pilot, ledger=ledger), [look_up])

    STRETCH = 50
    for begin in range(0, 4 * STRETCH, STRETCH):
        on_frontier = solved = 0
        spent = 0.0
        for number in range(begin, begin + STRETCH):
            kind = ("address", "refund")[number % 2]
            with task(f"ticket-{number}", kind=kind):
                answer = agent.invoke({"messages": f"What {kind} has order A-{number}"})["messages"]
            right = answer[-1].text == RIGHT[kind]
            record_outcome(ledger, right, task_id=f"ticket-{number}", source="tests")  # the line
            made = [message.response_metadata["langroute"] for message in answer if message.type == "ai"]
            on_frontier += made[-1]["route"] == "frontier"
            solved, spent = solved + right, spent + sum(one["cost_usd"] for one in made)
        print(
            f"tasks {begin + 1} to {begin + STRETCH}: {on_frontier} of {STRETCH} on the stronger model, {solved} solved, {spent:.4f} USD"
        )

    for family in pilot.status():
        if family.family in ("kind=address", "kind=refund"):
            print(f"{family.family.removeprefix('kind=')}: {family.verdict}")
    for change in pilot.changes():
        print(f"{change['family']}: {change['arm']} {change['change']}")
