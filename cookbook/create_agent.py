"""Route every model call of an agent made by `create_agent`, one middleware and nothing else.

The agent looks a thing up twice. Its tool fails, so the third step is stuck, and the router moves the turn up to the strong model; the
next turn starts where it would have started. A tool failure is detected by its status, not by the text of its result, which is untrusted.
A title requested by other middleware would stay on the cheap model.

Output:
    1 act      cheap     looks easy: act, 0.01 that it needs a frontier model, stakes low
    2 observe  cheap     stays with the turn's route
    3 observe  frontier  stuck: tool calls fail or repeat
    answer: The archive is down; nothing was found.
"""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import ToolException, tool

from langroute import Route, RouterMiddleware
from langroute.testing import ScriptedModel


@tool
def look_up(name: str) -> str:
    """Look a person up in the archive."""
    raise ToolException(f"the archive did not answer for {name}")


look_up.handle_tool_error = True


def calling(name: str, number: int) -> AIMessage:
    """Return a model's request to look somebody up."""
    return AIMessage("", tool_calls=[{"name": "look_up", "args": {"name": name}, "id": f"call_{number}", "type": "tool_call"}])


# With real models:
#   routes = {"cheap": "openai:gpt-5-nano", "balanced": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
#   agent = create_agent("anthropic:claude-opus-4-6", [look_up], middleware=[RouterMiddleware(routes)])
routes = {
    "cheap": Route(ScriptedModel(calling("Ada", 1), calling("Ada Lovelace", 2)), price={"input": 0.1, "output": 0.4}),
    "balanced": Route(ScriptedModel("Somebody will look into it."), price={"input": 1, "output": 5}),
    "frontier": Route(ScriptedModel("The archive is down; nothing was found."), price={"input": 5, "output": 25}),
}
agent = create_agent(routes["frontier"].model, [look_up], middleware=[RouterMiddleware(routes)])


def main() -> None:
    """Run the agent and show each step's decision."""
    messages = agent.invoke({"messages": "When was Ada born?"})["messages"]
    answers = [message for message in messages if isinstance(message, AIMessage)]
    for place, message in enumerate(answers, 1):
        carried = message.response_metadata["langroute"]
        print(f"{place} {carried['step']['kind']:8} {carried['route']:9} {carried['reason']}")
    print("answer:", answers[-1].text)


if __name__ == "__main__":
    main()
