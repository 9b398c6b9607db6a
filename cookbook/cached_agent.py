"""Let an agent repeat a run without paying for it, and without doing anything twice.

The middleware looks every model call up by its full state: the same messages, tools and results, whatever their random ids. So the second
run of the same task is answered from the cache, step by step. A step that calls a tool which does more than read is never repeated from the
cache unless the tool is named in `replay_tools`: whether to send a mail again is for the model to say. When a task turned out badly, its
answers are withdrawn.

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
from langroute.context import task
from langroute.middleware import RouterMiddleware
from langroute.records import Outcome
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
    """What a model would do: read two files, send a mail, say so."""
    results = sum(message.type == "tool" for message in messages)
    if results < 2:
        return AIMessage("", tool_calls=[{"name": "read_file", "args": {"path": f"part{results}.txt"}, "id": f"call_{results}"}])
    if results == 2:
        return AIMessage("", tool_calls=[{"name": "send_mail", "args": {"to": "accounts"}, "id": "call_mail"}])
    return AIMessage("I told the accounts team.")


def main() -> None:
    """Run the same task three times."""
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
