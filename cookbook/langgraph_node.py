"""Route inside a LangGraph graph: a planner, a worker and a title, each with its own decision.

`RouterNode` answers the messages of a state; a step is judged by what it is asked, and its metadata may say what it is. `route_edge` sends the whole
request to one of two branches by the same policies.

Output:
    triage      -> research
    plan        -> frontier    not surely easy: answer, 0.27 that it needs a frontier model, stakes low
    work        -> frontier    not surely easy: answer, 0.34 that it needs a frontier model, stakes low
    title       -> cheap       the caller says: title
"""

from __future__ import annotations

from langgraph.graph import END, START, MessagesState, StateGraph

from langroute import ChatRouter, Route, RouterNode, route_edge
from langroute.policies import Rule, Rules
from langroute.testing import ScriptedModel

# With real models:
#   model = ChatRouter({"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"})
model = ChatRouter(
    {
        "cheap": Route(ScriptedModel("Moving house"), price={"input": 0.25, "output": 2}),
        "frontier": Route(ScriptedModel("First the boxes, then the van."), price={"input": 5, "output": 25}),
    }
)
triage = route_edge(
    {"cheap": "title", "frontier": "plan"}, policy=Rules([Rule("cheap", kind="chat")], default="frontier"), default="frontier"
)

graph = StateGraph(MessagesState)
graph.add_node("plan", RouterNode(model))
graph.add_node("work", RouterNode(model))
graph.add_node("title", RouterNode(model).with_config(metadata={"langroute_step_kind": "title"}))
graph.add_conditional_edges(START, triage, ["plan", "title"])
graph.add_edge("plan", "work")
graph.add_edge("work", "title")
graph.add_edge("title", END)


def main() -> None:
    """Run the graph and show each step's decision."""
    messages = graph.compile().invoke({"messages": "Help me move house next month."})["messages"]
    branch = triage.router.ledger.latest()
    print(f"{'triage':11} -> {'research' if branch.route == 'frontier' else 'title'}")
    for message in messages[1:]:
        carried = message.response_metadata["langroute"]
        print(f"{carried['step']['node']:11} -> {carried['route']:11} {carried['reason']}")


if __name__ == "__main__":
    main()
