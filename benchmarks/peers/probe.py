"""One probe of one subject, in the subject's own environment: prints what it got as JSON.

    python benchmarks/peers/probe.py SUBJECT PROBE [--provider URL] [--rounds N]

A subject is a module of `subjects/`, a probe a function of `PROBES`. The provider is `provider.py`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import urllib.request
import warnings
from typing import Any

FAULTS = {
    "429": (False, "429 from the first model"),
    "500": (False, "500"),
    "401": (False, "401, a key that is wrong"),
    "billing": (False, "400, an account without credit"),
    "errored": (False, "200 with an empty answer and the finish reason `error`"),
    "silent": (False, "no answer within the client's 2 s"),
    "429-stream": (True, "stream: 429"),
    "cut": (True, "stream: ends after 3 of 8 words, without a finish reason"),
    "reset": (True, "stream: the connection is reset after 3 of 8 words"),
    "error": (True, "stream: an error event after 3 of 8 words"),
    "wrong": (False, "400, a request that no model takes"),
}
"""Whether it is streamed, and in words. The second model answers in all of them but the last, where asking it is a wasted call."""

TURNS = (
    "What does the parser in src do with empty lines?",
    "Find out why test_parser fails with a deadlock under load, and prove that your explanation holds for every interleaving.",
    "Rename the variable x in parse_line to text.",
    "Design the migration of the parser to an incremental one, step by step, without downtime for the callers that depend on its order.",
    "Thanks! Which files did you read?",
    "Refactor the error handling of the whole module and explain the trade-offs.",
)
"""A user's turns in one thread; in each the model reads three files before it answers, so there are 24 steps."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "description": "Return the text of a file.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
]
SYSTEM = "You are a careful coding agent. " + "Keep to the rules of the project, and say what you do not know. " * 80


def fetched(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def overhead(subject: Any, _: str, rounds: int) -> dict[str, Any]:
    """Return what a subject adds to calls of a model that answers at once, paired with the bare model."""
    from timing import measured

    return measured(subject, rounds)


def agents(subject: Any, _: str, rounds: int) -> dict[str, Any]:
    """Return what a subject adds to each call of the model in an agent's loop, paired with the bare agent."""
    from subjects.agent_loop import CALLS
    from timing import looped

    # A run takes milliseconds, so a third of the rounds will do.
    found = looped(subject, max(10, rounds // 3))
    return {case: {name: value / CALLS for name, value in told.items()} for case, told in found.items()}


def faults(subject: Any, provider: str, _: int) -> dict[str, Any]:
    """Return what a caller gets when the first of two models fails, and how often each model was asked."""
    found = {}
    for name, (streamed, _) in FAULTS.items():
        fetched(f"{provider}/clear")
        kind = name.partition("-")[0]
        urls = {"small": f"{provider}/{kind}/v1", "large": f"{provider}/{'wrong' if kind == 'wrong' else 'whole'}/v1"}
        got = outcome(subject, urls, streamed)
        asked = [one["model"] for one in fetched(f"{provider}/log")]
        found[name] = {"got": got, "asked": {model: asked.count(model) for model in ("small", "large")}}
    return found


def outcome(subject: Any, urls: dict[str, str], streamed: bool) -> str:
    """Return what a call ends with, in a word and the error's type."""
    words: list[str] = []
    error = ""
    history = [{"role": "user", "content": "Say hello."}]
    with subject.client(urls, judged=False) as client:
        try:
            if streamed:
                for word in client.stream(history):
                    words.append(word)  # noqa: PERF402 - what came before an error counts
            else:
                words.append(client.ask(history, None)["text"])
        except Exception as raised:  # noqa: BLE001 - whatever a caller would get
            error = type(raised).__name__
    return named("".join(words).split(), error)


def named(said: list[str], error: str) -> str:
    """Return a name for what a caller saw: `other`, `error`, `half, error`, `half, silent`, `mixed`, `empty` or `first`."""
    small, large = (sum(word.startswith(model) for word in said) for model in ("small", "large"))
    if small and large:
        return f"mixed: {small} words of the first, then {large} of the second" + (f", then {error}" if error else "")
    if large == 8 and not error:
        return "other"
    if error:
        return f"half, then {error}" if said else f"error: {error}"
    return "half, silently" if 0 < small < 8 else "first" if small else "empty, silently"


def costs(subject: Any, provider: str, _: int) -> dict[str, Any]:
    """Return the USD that a subject says a call cost, for four usage shapes with cached tokens."""
    found: dict[str, Any] = {}
    for protocol in ("openai", "anthropic"):
        for streamed in (False, True):
            urls = dict.fromkeys(("small", "large"), f"{provider}/cached/v1")
            try:
                with subject.client(urls, judged=False, protocol=protocol) as client:
                    history = [{"role": "user", "content": "Say hello."}]
                    answer = client.streamed(history) if streamed else client.ask(history, None)
                    told: Any = answer["cost"]
            except Exception as raised:  # noqa: BLE001 - it stands in the table
                told = f"{type(raised).__name__}: {str(raised)[:120]}"
            found[f"{protocol}{', streamed' if streamed else ''}"] = told
    return found


def told(subject: Any, provider: str, _: int) -> dict[str, Any]:
    """Return what an answer says of the model that wrote it and why, after the first model failed."""
    for kind in ("429", "whole"):
        urls = {"small": f"{provider}/{kind}/v1", "large": f"{provider}/whole/v1"}
        try:
            with subject.client(urls, judged=kind == "whole") as client:
                answer = client.ask([{"role": "user", "content": "Say hello."}], None)
        except Exception:  # noqa: BLE001 - it fails over to nothing: then what is told where nothing failed
            continue
        return {"model": answer["model"], "why": answer["why"], "after": kind}
    return {"model": None, "why": None, "after": None}


def thread(subject: Any, provider: str, _: int) -> dict[str, Any]:
    """Return which models the steps of an agent's thread went to, and what the provider's prompt caches made of it."""
    fetched(f"{provider}/clear")
    urls = dict.fromkeys(("small", "large"), f"{provider}/thread/v1")
    with subject.client(urls, judged=True) as client:
        history: list[Any] = [{"role": "system", "content": SYSTEM}]
        for turn in TURNS:
            history.append({"role": "user", "content": turn})
            while True:
                answer = client.ask(history, TOOLS)
                history.append(answer["raw"])
                if not answer["calls"]:
                    break
                for place, called in enumerate(answer["calls"]):
                    text = f"def function_{len(history)}_{place}(text):\n    return text.strip()\n" * 20
                    history.append({"role": "tool", "tool_call_id": called, "content": text})
    return {"log": fetched(f"{provider}/log")}


PROBES = {"overhead": overhead, "agents": agents, "faults": faults, "costs": costs, "told": told, "thread": thread}


def main() -> None:
    """Run one probe, and print JSON as the last line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject")
    parser.add_argument("probe", choices=list(PROBES))
    parser.add_argument("--provider", default="")
    parser.add_argument("--rounds", type=int, default=300)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    subject = importlib.import_module(f"subjects.{given.subject}")
    found = PROBES[given.probe](subject, given.provider, given.rounds)
    sys.stdout.flush()
    print("\n" + json.dumps(found, default=str))
    sys.stdout.flush()
    if hasattr(subject, "close"):
        subject.close()
    # Clients of some subjects keep threads that nobody ends.
    os._exit(0)


if __name__ == "__main__":
    main()
