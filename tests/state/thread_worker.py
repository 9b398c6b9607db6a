"""A worker process of the test of threads that move: takes steps as lines of JSON, and says which route each went to."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, messages_from_dict, messages_to_dict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, interrupt

from langroute import ChatRouter, Route
from langroute.ledger.sql import SqlLedger
from langroute.policies import CacheAware, Canary, Escalate, Fixed, PinThread, Rule, Rules, Sticky, SubagentCap
from langroute.testing import ScriptedModel
from langroute.tracking.outcomes import record_outcome

TOOL = {"type": "function", "function": {"name": "run_tests", "parameters": {"type": "object", "properties": {}}}}


def reply(messages: list[BaseMessage]) -> AIMessage:
    """An answer with the usage that a provider would bill."""
    tokens = sum(len(message.text) for message in messages) // 4
    usage = {"input_tokens": tokens, "output_tokens": 20, "total_tokens": tokens + 20}
    return AIMessage("Done.", usage_metadata=usage)


def by_words() -> Rules:
    """The strongest route where the latest words ask for it."""

    def is_complex(request: Any) -> bool:
        return "complex" in next(message.text for message in reversed(request.messages) if message.type == "human")

    return Rules([Rule("frontier", when=is_complex)], default="cheap")


def alternating() -> Rules:
    """Wants the strongest route at every second step of a turn, and in later turns."""

    def wants(request: Any) -> bool:
        signals = request.step.signals
        return bool(signals.turn_steps % 2 == 1 or signals.turn > 1)

    return Rules([Rule("frontier", when=wants)], default="cheap")


def policies(store: Any) -> dict[str, Any]:
    return {
        "escalate": Escalate.for_coding_agents(("cheap", "balanced", "frontier")),
        "sticky": Sticky(by_words(), per="thread"),
        "pin": PinThread(by_words()),
        "graph": PinThread(by_words()),
        "cache": CacheAware(alternating()),
        "cap": SubagentCap(by_words(), store=store),
        "even": Canary(Fixed("frontier"), Fixed("cheap"), share=0.5, store=store, id="even"),
        "harm": Canary(Fixed("frontier"), Fixed("cheap"), share=0.5, store=store, id="harm"),
    }


class Worker:
    """The routers of one process.

    Args:
        ledger: Path or URL of the ledger that the workers share; `None` for one process alone.
        store: Address of the store, where it is not the ledger's database.
        folder: Where checkpoints are.
    """

    def __init__(self, ledger: str | None, store: str | None, folder: str) -> None:
        self.ledger: Any = SqlLedger(ledger, flush_interval_s=0.05) if ledger is not None else None
        self.policies, self.folder = policies(store), Path(folder)
        prices = {"cheap": (1, 5), "balanced": (3, 15), "frontier": (5, 25)}
        self.models = {}
        for kind, policy in self.policies.items():
            routes = {
                name: Route(ScriptedModel(reply, model=f"gpt-{name}", provider="openai"), price={"input": one, "output": other})
                for name, (one, other) in prices.items()
            }
            self.models[kind] = ChatRouter(routes, policy=policy, ledger=self.ledger)

    def step(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer one step of a thread."""
        thread = {"thread_id": asked["thread"]} if asked["thread"] is not None else {}
        config: Any = {"configurable": {**thread, **asked["limits"]}, "metadata": asked["metadata"]}
        if asked["kind"] == "graph":
            return self.graph(asked, config)
        model: Any = self.models[asked["kind"]]
        if asked["tools"]:
            model = model.bind_tools([TOOL])
        answer = model.invoke(messages_from_dict(asked["messages"]), config)
        return {"route": answer.response_metadata["langroute"]["route"], "message": messages_to_dict([answer])[0]}

    def graph(self, asked: dict[str, Any], config: Any) -> dict[str, Any]:
        """Run a graph up to its interrupt, or on from there as another process left it."""
        model, file = self.models["graph"], self.folder / f"{asked['thread']}.checkpoint"

        class State(TypedDict):
            messages: Annotated[list[AnyMessage], add_messages]

        def work(state: State) -> Any:
            return {"messages": [model.invoke(state["messages"])]}

        def gate(state: State) -> Any:
            return {"messages": [HumanMessage(interrupt("And now?"))]}

        saver = InMemorySaver()
        if file.exists():
            storage, writes, blobs = pickle.loads(file.read_bytes())
            for thread, namespaces in storage.items():
                saver.storage[thread].update(namespaces)
            saver.writes.update(writes)
            saver.blobs.update(blobs)
        plan = StateGraph(State)
        for name, node in (("work", work), ("gate", gate), ("again", work)):
            plan.add_node(name, node)
        for one, other in ((START, "work"), ("work", "gate"), ("gate", "again"), ("again", END)):
            plan.add_edge(one, other)
        text = asked["messages"][-1]["data"]["content"]
        given: Any = Command(resume=text) if file.exists() else {"messages": [HumanMessage(text)]}
        state = plan.compile(checkpointer=saver).invoke(given, config)
        kept = ({name: {**found} for name, found in saver.storage.items()}, {**saver.writes}, {**saver.blobs})
        file.write_bytes(pickle.dumps(kept))
        answer = state["messages"][-1]
        return {"route": answer.response_metadata["langroute"]["route"], "message": messages_to_dict([answer])[0]}

    def do(self, asked: dict[str, Any]) -> Any:
        """Do what a line asks for."""
        if asked["do"] == "step":
            return self.step(asked)
        if asked["do"] == "outcome":
            record_outcome(self.ledger or self.models[asked["kind"]], asked["success"], task_id=asked["task"])
        elif asked["do"] == "settle":
            # What was told is written, and what others wrote is read: as after a second.
            if self.ledger is not None:
                self.ledger.flush()
            for model in self.models.values():
                policy = model.router.policy
                while policy is not None:
                    for name in ("_state", "_shared"):
                        if (state := getattr(policy, name, None)) is not None:
                            state.now()
                    policy = getattr(policy, "policy", None)
        elif asked["do"] == "verdict":
            verdict = self.policies[asked["kind"]].verdict()
            return [verdict.state, verdict.old, verdict.new, round(verdict.difference, 9)]
        return {}


def main() -> None:
    worker = Worker(sys.argv[1], sys.argv[2] or None, sys.argv[3])
    for line in sys.stdin:
        sys.stdout.write(json.dumps(worker.do(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
