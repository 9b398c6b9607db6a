"""A LangGraph app and a coding agent spend from one budget: what one of them has used up, the other no longer has.

Both read one `langroute.toml`: the app with `ChatRouter.from_config`, the coding agent through `langroute serve`. The budget is the team's, and
it is counted in `budget_store`, a file that both processes open (on several machines `redis://…`). The agent's client is of the team by its
token, the app's calls are by `langroute.task(team=...)` around them. At `soft` of the limit only the cheapest tier is left, for both. At the limit
the app gets a `BudgetExceededError`, and the agent a status 400 with `budget_exceeded`, at which coding agents stop and show the message.

The agent is pointed at the gateway as ever, for instance

    ANTHROPIC_BASE_URL=http://127.0.0.1:8900 ANTHROPIC_AUTH_TOKEN=$ADAS_TOKEN claude

Here the provider is a script on loopback (`cookbook/loopback`); app, gateway, budget and ledger are real, in two processes.

Output:
    agent  Why is the cart slow?   large   0.0125 of 0.05 USD spent
    app    Where is my parcel?     large   0.0250 of 0.05 USD spent
    app    May I send it back?     large   0.0375 of 0.05 USD spent
    agent  Then mend the cart.     small   0.0400 of 0.05 USD spent
    app    Who pays for that?      small   0.0425 of 0.05 USD spent
    app    How long does it take?  small   0.0450 of 0.05 USD spent
    app    And the other parcel?   small   0.0475 of 0.05 USD spent
    app    When will it come?      BudgetExceededError
    agent  Now test the cart.      status 400: No route can be paid for from the budget 'of the team':
    the ledger: app 0.0325 USD, agent 0.0150 USD, together 0.0475 of 0.05 USD
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from loopback import LoopbackProvider, ask, gateway

try:
    import langchain_openai  # noqa: F401 - the app's models
except ImportError:
    print("needs LangChain's package of the provider: pip install langchain-openai")
    raise SystemExit(77) from None

from langgraph.graph import START, MessagesState, StateGraph

from langroute import Budget, ChatRouter, task
from langroute.budgets.budget import units
from langroute.core.errors import BudgetExceededError
from langroute.core.records import Request
from langroute.gateway.clients import token_digest
from langroute.ledger import open_ledger
from langroute.reports import Window, build_report

LIMIT = 0.05
TOKEN = "lr-adas-token"
RULES = "What belongs to the cart is kept for thirty days, paid for once, and sent back for nothing. " * 80
"""Some 2,000 tokens, as system prompts have."""

# For the real provider leave out `base_url` and `price`: its address and list prices are known.
CONFIG = """
ledger = "ledger.db"
policy = {{ name = "fixed", route = "frontier" }}
budget_store = "budgets.db"           # or redis://host:6379/0, for several machines

[[budgets]]
name = "of the team"
usd = {{ search = {limit} }}
per = "team"
every = "month"
soft = 0.7

[routes.small]
provider = "openai"
model = "gpt-5.4-mini"
tier = "cheap"
price = {{ input = 1, output = 5 }}
max_output_tokens = 200
base_url = "{provider}/v1"

[routes.large]
provider = "openai"
model = "gpt-5.5"
tier = "frontier"
price = {{ input = 5, output = 25 }}
max_output_tokens = 200
base_url = "{provider}/v1"

[clients.ada]                         # made by: langroute serve --new-token ada
token_sha256 = "{digest}"
team = "search"
project = "agent"
"""


def app_of(config: Path) -> tuple[ChatRouter, Any]:
    """Return the router of the file, and the LangGraph app: a graph whose node asks it."""
    model = ChatRouter.from_config(config)

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    return model, StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()


def ask_app(graph: Any, question: str) -> str:
    """Ask the app, for the team; return the route that answered."""
    try:
        with task(team="search", project="app"):
            message = graph.invoke({"messages": [("system", f"You help customers. {RULES}"), ("user", question)]})["messages"][-1]
    except BudgetExceededError as error:
        return type(error).__name__
    return message.response_metadata["langroute"]["route"]


def ask_agent(url: str, history: list[dict[str, Any]], question: str) -> str:
    """Ask for a step of the coding agent, whose token is the team's; return the route that answered."""
    history.append({"role": "user", "content": question})
    function = {"name": "bash", "description": "Run a command.", "parameters": {"type": "object", "properties": {}}}
    body = {"model": "langroute/auto", "messages": history, "tools": [{"type": "function", "function": function}], "stream": True}
    answer = ask(url, "chat", body, {"authorization": f"Bearer {TOKEN}"})
    history.append({"role": "assistant", "content": answer.text})
    return answer.route if answer.status == 200 else f"status {answer.status}: {answer.text.splitlines()[0]}"


def spent(budget: Budget) -> float:
    """Return what the team has spent so far, of both programs, when nothing is left to be settled."""
    request = Request("", metadata={"langroute_team": "search"})
    key = budget.key(request, None, "")
    while (balance := budget.store.balances([key])[0]).held:
        time.sleep(0.02)
    return balance.spent / units(1)


def main() -> None:
    """Let both spend until nothing is left."""
    turns = (
        ("agent", "Why is the cart slow?"), ("app", "Where is my parcel?"), ("app", "May I send it back?"), ("agent", "Then mend the cart."),
        ("app", "Who pays for that?"), ("app", "How long does it take?"), ("app", "And the other parcel?"), ("app", "When will it come?"),
        ("agent", "Now test the cart."),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place, LoopbackProvider(lambda _: "I looked into it.") as provider:
        folder = Path(place)
        config = CONFIG.format(provider=provider.url, limit=LIMIT, digest=token_digest(TOKEN))
        os.environ["OPENAI_API_KEY"] = "a-key-of-the-provider"
        os.chdir(folder)
        with gateway(folder, config, {}) as url:
            model, graph = app_of(folder / "langroute.toml")
            history: list[dict[str, Any]] = [{"role": "system", "content": f"You work in a terminal. {RULES}"}]
            for who, question in turns:
                said = ask_app(graph, question) if who == "app" else ask_agent(url, history, question)
                total = f"   {spent(model.router.budgets[0]):.4f} of {LIMIT} USD spent" if said in ("small", "large") else ""
                print(f"{who:6} {question:22}  {said}{total}")
            model.ledger.close()
        with open_ledger(folder / "ledger.db") as ledger:
            report = build_report(ledger, Window.since("1d"), by="project")
            shares = ", ".join(f"{line.key} {line.spend.usd:.4f} USD" for line in report.lines)
            print(f"the ledger: {shares}, together {report.total.spend.usd:.4f} of {LIMIT} USD")


if __name__ == "__main__":
    main()
