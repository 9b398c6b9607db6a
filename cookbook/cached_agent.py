"""Let an agent repeat a run without paying for it, and without doing anything twice.

The middleware looks up every model call by its full state: messages, tools and results, ignoring random ids. So the second
run of the same task is answered from the cache, step by step. A step that calls a tool with side effects is never replayed from the
cache unless the tool is named in `replay_tools`: the model decides whether to send a mail again. When a task fails, its
answers are removed from the cache.

Output:
    first run:                      4 model calls, 1 mail
    second run:                     1 model call, 2 mails
    after the task was called bad:  4 model calls, 3 mails
    not kept: it calls send_mail, which may do more than read
"""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langroute.cache import ResponseCache
from langroute.core.records import Outcome
from langroute.core.task_context import task
from langroute.hosts.middleware import RouterMiddleware
from langroute.testing import ScriptedModel

MAILS: list[str] = []


@tool
def read_file(path: str) -> str:
    """Read a file."""
    return f"{path}: three invoices are open"


@tool
def send_mail(to: str) -> str:
    """Send a mail."""
    MAILS.append(to)
    return "sent"


def think(messages: list[Any]) -> AIMessage:
    """Stand-in for a model: read two files, send a mail, report."""
    results = sum(message.type == "tool" for message in messages)
    if results < 2:
        return AIMessage("", tool_calls=[{"name": "read_file", "args": {"path": f"part{results}.txt"}, "id": f"call_{results}"}])
    if results == 2:
        return AIMessage("", tool_calls=[{"name": "send_mail", "args": {"to": "accounts"}, "id": "call_mail"}])
    return AIMessage("I told the accounts team.")


def main() -> None:
    """Run the same task three times."""
    # With a real model:
    #   from langchain.chat_models import init_chat_model
    #   model = init_chat_model("openai:gpt-5-mini")
    model = ScriptedModel(think)
    cache = ResponseCache()
    middleware = RouterMiddleware({"small": model}, response_cache=cache, prices={"small": {"input": 1, "output": 2}})
    agent = create_agent(model, tools=[read_file, send_mail], middleware=[middleware])

    def run(name: str, id: str) -> None:
        before = len(model.calls)
        with task(id):
            agent.invoke({"messages": "Tell the accounts team about open invoices."})
        calls, mails = len(model.calls) - before, len(MAILS)
        print(f"{name:31} {calls} model call{'s' * (calls > 1)}, {mails} mail{'s' * (mails > 1)}")

    run("first run:", "monday")
    run("second run:", "tuesday")
    middleware.model.router.record_outcome(Outcome(task_id="tuesday", success=False))
    run("after the task was called bad:", "wednesday")
    print(f"not kept: {next(iter(cache.stats().reasons))}")


if __name__ == "__main__":
    main()
