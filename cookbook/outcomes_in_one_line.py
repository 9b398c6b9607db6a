"""Outcomes in one line: how a chain, a graph, an agent, a subtask and a web backend with four workers say what came of their work.

Everything that learns (reports, canaries, trials of cheaper routes) learns from outcomes, and each of these programs tells them in one line.
The web backend is real: uvicorn with four worker processes on one ledger; a thumb reaches whichever worker is free, before or after the
worker that answered has written its decision.

Output:
    chain: True
    graph: False
    agent: True
    subtask: True
    web: 12 answers, 9 with a thumb up, 3 down; more than one worker took part: True
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

try:
    import httpx
    import uvicorn  # noqa: F401 - started as a program
    from fastapi import FastAPI
except ImportError:
    print("needs FastAPI and uvicorn: pip install fastapi uvicorn httpx")
    raise SystemExit(77) from None

from langroute import ChatRouter, Route
from langroute.ledger import open_ledger
from langroute.serving import WebWorker
from langroute.testing import ScriptedModel

LEDGER = os.environ.get("SERVICE_LEDGER") or str(Path(tempfile.mkdtemp()) / "ledger.db")


def made(ledger) -> ChatRouter:
    """Make a router."""
    # With real models:
    #   routes = {"cheap": "openai:gpt-5-mini", "frontier": "anthropic:claude-opus-4-6"}
    routes = {
        "cheap": Route(ScriptedModel("Port 8080."), price={"input": 0.5, "output": 2}),
        "frontier": Route(ScriptedModel("It listens on 8080."), price={"input": 5, "output": 25}),
    }
    return ChatRouter(routes, ledger=ledger)


worker = WebWorker(lambda worker: made(worker.ledger), ledger=LEDGER)
app = FastAPI(lifespan=worker.lifespan)


@app.post("/chat/{thread}")
async def chat(thread: str) -> dict:
    """Answer, and give the front end the decision's id."""
    answer = await worker.built.ainvoke("Which port?", worker.config(thread=thread))
    return {"text": answer.text, "decision": answer.response_metadata["langroute"]["decision_id"], "worker": os.getpid()}


@app.post("/thumb/{decision}/{up}")
async def thumb(decision: str, up: bool) -> dict:
    """Hear a thumb, in any worker."""
    worker.outcomes.record(up, decision_id=decision, source="user")  # the line
    return {"worker": os.getpid()}


def serve_and_use() -> str:
    """Start four workers, chat with them and send thumbs; return what the ledger says in the end."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "outcomes_in_one_line:app",
        "--workers",
        "4",
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    environment = {
        **os.environ,
        "SERVICE_LEDGER": LEDGER,
        "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}",
    }
    server = subprocess.Popen(command, env=environment)
    answers, workers = [], set()
    try:
        until = time.monotonic() + 60
        # Which of the four takes a request the system says: ask at least twelve times, and until two have been seen.
        while (len(answers) < 12 or len(workers) < 2) and time.monotonic() < until:
            time.sleep(0.05)
            with suppress(httpx.TransportError), httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                workers.add(client.post("/thumb/nothing/true").json()["worker"])
                if len(answers) < 12:
                    told = client.post(f"/chat/thread-{len(answers)}").json()
                    answers.append(told["decision"])
                    workers.add(told["worker"])
        for place, decision in enumerate(answers):
            httpx.post(f"http://127.0.0.1:{port}/thumb/{decision}/{'false' if place % 4 == 3 else 'true'}", timeout=10)
    finally:
        server.terminate()
        server.wait(30)
    with open_ledger(LEDGER) as ledger:
        told = [ledger.task(f"thread-{place}").success for place in range(len(answers))]
    return f"{len(told)} answers, {told.count(True)} with a thumb up, {told.count(False)} down; more than one worker took part: {len(workers) > 1}"


if __name__ == "__main__":
    from langchain.agents import create_agent
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langgraph.graph import START, MessagesState, StateGraph

    from langroute import RouterNode, RouteSubtask, record_outcome, task

    with open_ledger(Path(tempfile.mkdtemp()) / "ledger.db") as ledger:
        model = made(ledger)

        # A chain: name the task around it.
        chain = ChatPromptTemplate.from_template("Which port for {service}?") | model | StrOutputParser()
        with task("ticket-17"):
            solved = "8080" in chain.invoke({"service": "search"})
        record_outcome(model, solved, task_id="ticket-17", source="tests")  # the line

        # A graph with threads: a thread is a task.
        graph = StateGraph(MessagesState).add_node("answer", RouterNode(model)).add_edge(START, "answer").compile()
        graph.invoke({"messages": "Which port?"}, {"configurable": {"thread_id": "thread-1"}})
        record_outcome(model, False, task_id=ledger.thread_task("thread-1"), source="reviewer", human_minutes=5)  # the line

        # An agent, or whatever ends with a message: the message knows its decision.
        answer = create_agent(model).invoke({"messages": "Which port?"})["messages"][-1]
        record_outcome(model, True, message=answer, source="user")  # the line

        # A whole subtask: its record has the decision.
        node = RouteSubtask(
            create_agent(model), model, verify=lambda result: "8080" in result["messages"][-1].text, record_key="routing"
        )
        result = node.invoke({"messages": "Which port?"})
        record_outcome(node, True, decision_id=result["routing"]["decision_id"], source="user")  # the line

        ledger.flush()
        print("chain:", ledger.task("ticket-17").success)
        print("graph:", ledger.task("thread-1").success)
        print("agent:", ledger.task(answer.response_metadata["langroute"]["decision_id"]).success)
        print("subtask:", ledger.task(result["routing"]["decision_id"]).success)
    print("web:", serve_and_use())
