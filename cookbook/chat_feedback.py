"""Feedback from a chat: thumbs, edits, and implicit feedback in the next message.

Every answer carries the id of its decision. The chat's front end sends it back with a thumb or an edit; asking the same question again is
implicit feedback. An "undo that" weighs less than a thumb: explicit feedback decides. Only measures are stored: neither the question nor
the comment is in the ledger at its default level.

Output:
    thread-1: False, told by implicit:asked_again, user
    thread-2: True, told by user:edit, implicit:undone
    kept of the comment: None
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.messages import HumanMessage

from langroute import ChatRouter, Route
from langroute.ledger import open_ledger
from langroute.policies import Fixed
from langroute.testing import ScriptedModel
from langroute.tracking.callbacks import OutcomeTracker
from langroute.tracking.implicit_feedback import ImplicitFeedback
from langroute.tracking.outcomes import Metric, Outcomes

with open_ledger(Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
    # With real models:
    #   routes = {"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
    routes = {"cheap": Route(ScriptedModel("Port 80."), price={"input": 0.5, "output": 2}), "frontier": ScriptedModel("Port 8080.")}
    model = ChatRouter(routes, policy=Fixed("cheap"), ledger=ledger)
    tracker = OutcomeTracker(ledger, implicit=ImplicitFeedback())
    outcomes = Outcomes(model, metrics=[Metric("thumbs"), Metric("kept_share", kind="score", threshold=0.8)])

    def chat(thread: str, history: list, said: str):
        """Answer one turn of the chat, as a web handler would."""
        history.append(HumanMessage(said))
        answer = model.invoke(history, {"callbacks": [tracker], "configurable": {"thread_id": thread}})
        history.append(answer)
        return answer

    first: list = []
    chat("thread-1", first, "Which port does the server use?")
    second_answer = chat("thread-1", first, "Which port does the server use, please?")
    outcomes.record(False, key="thumbs", message=second_answer, comment="My name is Ada and this is wrong.")

    other: list = []
    draft = chat("thread-2", other, "Write the release note.")
    # The person kept 90 % of the draft's words: an edit is an outcome with a number.
    outcomes.record(key="kept_share", score=0.9, message=draft, source="user:edit", human_minutes=4)
    chat("thread-2", other, "Undo that.")

    for thread in ("thread-1", "thread-2"):
        totals = tracker.task(thread)
        sources = ", ".join(outcome.source for outcome in ledger.outcomes_of(thread))
        print(f"{thread}: {totals.success}, told by {sources}")
    print(f"kept of the comment: {ledger.outcomes_of('thread-1')[-1].comment}")
