"""Measure an existing chain before anything is routed, without changing it.

The chain below knows nothing of langroute. Run it inside `track(...)`, record each task's outcome, and the ledger reports the cost of a
*successful* task, failed attempts included. The models are scripted so that the recipe runs offline.

Output:
    ticket-0: 2 calls, 0.000785 USD, ok
    ticket-1: 2 calls, 0.000785 USD, ok
    ticket-2: 3 calls, 0.000785 USD, ok
    3 tasks, 2 successful: 0.00118 USD for each successful task
    by kind of step: answer 3 calls, classify 4 calls
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from langroute.ledger import open_ledger
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker, track
from langroute.tracking.outcomes import record_outcome

# The program as it is: classify a ticket, then answer it. The provider is down once.
# With real models:
#   from langchain.chat_models import init_chat_model
#   triage = init_chat_model("openai:gpt-5-mini").with_retry()
#   writer = init_chat_model("anthropic:claude-opus-4-6")
triage = ScriptedModel("billing", "billing", ConnectionError("down"), "billing", model="big-model").with_retry()
writer = ScriptedModel("Dear customer, we have corrected the invoice. " * 2, model="big-model")
chain = (
    RunnablePassthrough.assign(
        topic=ChatPromptTemplate.from_template("Classify this ticket as billing or other: {ticket}") | triage | StrOutputParser()
    )
    | ChatPromptTemplate.from_template("Answer this {topic} ticket politely: {ticket}")
    | writer
    | StrOutputParser()
)

folder = Path(tempfile.mkdtemp())
with open_ledger(folder / "ledger.db") as ledger:
    tracker = OutcomeTracker(ledger, prices={"big-model": {"input": 5, "output": 25}})
    for number in range(3):
        with track(f"ticket-{number}", tracker=tracker, kind="support", team="care") as tracked:
            chain.invoke({"ticket": "My invoice is wrong."})
        totals = tracked.totals
        print(f"{totals.id}: {totals.calls} calls, {totals.cost_usd:.3g} USD, {totals.state}")

    # A day later: one of the tickets was opened again.
    for number in range(3):
        record_outcome(ledger, number != 1, task_id=f"ticket-{number}", source="helpdesk")

    tasks = [tracker.task(f"ticket-{number}") for number in range(3)]
    solved = [one for one in tasks if one.success]
    spent = sum(one.cost_usd for one in tasks)
    print(f"{len(tasks)} tasks, {len(solved)} successful: {spent / len(solved):.3g} USD for each successful task")
    kinds = sorted({kind for one in tasks for kind in one.by_step_kind})
    print("by kind of step: " + ", ".join(f"{kind} {sum(one.by_step_kind[kind].calls for one in tasks)} calls" for kind in kinds))
