"""Cost of recorded agent threads under different routing policies, with prompt caches billed as providers bill them.

    python benchmarks/trace_economics.py [LOG ...] [--routes anthropic] [--policy classifier] [--tools-tokens 3000] [--made 20]

A log is a JSON Lines file (or `.gz`), one thread a line:

    {"id": "t1", "messages": [OpenAI-form messages], "tools": [OpenAI-form tools, optional], "at": [seconds of each message, optional]}

(`traj` instead of `messages` is understood too.) Without a log the recorded threads in `../shared/traces` are used. `--made N` adds N
long coding threads that are made up from a seed: their sizes are plausible, not recorded, and they are listed separately.

Every step goes through the shipped `Router` and its policies; only the model's answer is the recorded one, whichever route is chosen,
and its usage is what `SimulatedProvider` bills. So this measures the cost of routing, not its effect on the answers. Where the
log has no times, an answer takes 1 s and 1 s for each 60 tokens, a tool 1 s, and a user between 5 and 90 s, one in twelve 10 minutes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.messages.ai import UsageMetadata

from langroute.core.records import Usage
from langroute.core.task_context import task
from langroute.engine.call_config import Run
from langroute.engine.drivers import drive
from langroute.engine.effects import Reply, RouteCall
from langroute.engine.router import Router, call_options
from langroute.policies.cache_aware import CacheAware
from langroute.policies.fixed import Fixed
from langroute.policies.judged import Judged
from langroute.policies.rules import Rule, Rules
from langroute.policies.sticky import Sticky
from langroute.prompt_cache.simulated_prompt_cache import SimulatedProvider
from langroute.prompt_cache.state import PromptCacheState, rules_for
from langroute.routes.pricing import price_of
from langroute.routes.route import Route
from langroute.testing import ScriptedModel

SHARED = Path(os.environ.get("LANGROUTE_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
LINE_UPS = {
    "anthropic": (("cheap", "claude-haiku-4-5", "anthropic"), ("balanced", "claude-sonnet-4-6", "anthropic"), ("frontier", "claude-opus-4-6", "anthropic")),
    "two": (("cheap", "claude-haiku-4-5", "anthropic"), ("frontier", "claude-opus-4-6", "anthropic")),
    "openai": (("cheap", "gpt-5-nano", "openai"), ("balanced", "gpt-5-mini", "openai"), ("frontier", "gpt-5", "openai")),
    "gemini": (("cheap", "gemini-2.5-flash-lite", "google_genai"), ("balanced", "gemini-2.5-flash", "google_genai"), ("frontier", "gemini-2.5-pro", "google_genai")),
    "mixed": (("cheap", "gpt-5-mini", "openai"), ("balanced", "gemini-2.5-pro", "google_genai"), ("frontier", "claude-opus-4-6", "anthropic")),
}  # fmt: skip
LONG = 16
"""Steps from which a thread counts as a long one."""


def difficulty(request: Any) -> bool:
    """What a router without memory goes by: the words of the latest message."""
    last = request.messages[-1]
    text = last.content if isinstance(last.content, str) else str(last.content)
    return len(text) > 600 or any(word in text.lower() for word in ("error", "why", "cancel", "refund", "change", "fix", "plan"))


def verdict(request: Any) -> int:
    """Stand-in for a classifier that is called at every step: its verdict depends only on the latest message."""
    return crc32(str(request.messages[-1].content).encode()) % 100


POLICIES = {
    # A classifier at every step: 40 % cheap, 30 % balanced, 30 % frontier.
    "classifier": lambda: Rules(
        [
            Rule("cheap", when=lambda request: verdict(request) < 40, why="easy"),
            Rule("balanced", when=lambda request: verdict(request) < 70, why="middling"),
        ],
        default="frontier",
    ),
    # Plans and steps after a user's message are hard, steps after a tool result easy: the usual rule of per-step routers.
    "kinds": lambda: Rules([Rule("cheap", kind=("observe", "title", "summarize", "classify", "extract"))], default="frontier"),
    # The latest message decides, step by step.
    "words": lambda: Rules([Rule("frontier", when=difficulty), Rule("cheap", kind="observe")], default="balanced"),
    # The judgement of the default policy, without the stickiness that it has.
    "default": lambda: Judged(),
}


@dataclass
class Thread:
    """One recorded conversation."""

    id: str
    messages: list[BaseMessage]
    tools: tuple[Mapping[str, Any], ...] = ()
    at: Sequence[float] = ()
    made: bool = False

    @property
    def steps(self) -> int:
        return sum(isinstance(message, AIMessage) for message in self.messages)


@dataclass
class Bill:
    """Cost of one routing policy for one thread."""

    usd: float = 0.0
    input_tokens: int = 0
    cached: int = 0
    switches: int = 0
    steps: int = 0
    routes: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Bill) -> Bill:
        routes = {name: self.routes.get(name, 0) + other.routes.get(name, 0) for name in {*self.routes, *other.routes}}
        return Bill(
            self.usd + other.usd,
            self.input_tokens + other.input_tokens,
            self.cached + other.cached,
            self.switches + other.switches,
            self.steps + other.steps,
            routes,
        )


class Recorded:
    """Answers every call with the recorded message, and bills it as the route's provider would."""

    def __init__(self, thread: Thread, providers: Mapping[str, SimulatedProvider], tools_tokens: int) -> None:
        self.thread, self.providers = thread, providers
        self.now, self.place = 0.0, 0
        self.sizes = [tokens_of(message) for message in thread.messages]
        self.tools_tokens = len(json.dumps(thread.tools)) // 4 if thread.tools else tools_tokens

    def call(self, call: RouteCall) -> Reply:
        messages = self.thread.messages
        pieces: list[tuple[Any, int]] = [("tools", self.tools_tokens)]
        # A piece is what it says, so that threads of one agent share their system prompt.
        pieces += [((message.type, str(message.content)[:4000], index), size)
                   for index, (message, size) in enumerate(zip(messages[: self.place], self.sizes, strict=False))]  # fmt: skip
        system = 2 if messages[0].type == "system" else 1
        usage = self.providers[call.route.name].bill(pieces, self.sizes[self.place], at=self.now, system=system)
        answer = messages[self.place]
        return Reply(
            answer.model_copy(update={"usage_metadata": metadata_of(usage), "response_metadata": {"finish_reason": "stop"}})
        )


def metadata_of(usage: Usage) -> UsageMetadata:
    """A usage in LangChain's form."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "input_token_details": {
            "cache_read": usage.cache_read,
            "cache_creation": usage.cache_write,
        },
    }


def tokens_of(message: BaseMessage) -> int:
    """Tokens of a message: a quarter of its characters, tool calls included."""
    calls = getattr(message, "tool_calls", None) or ()
    return 4 + len(str(message.content)) // 4 + sum(len(json.dumps(call["args"])) // 4 + 12 for call in calls)


def replay(
    threads: Sequence[Thread], line_up: str, policy: Any, *, tools_tokens: int = 0, busy: bool = False, seed: int = 0
) -> list[Bill]:
    """Route every thread, one after the other, under one policy: hours apart, or two minutes where the agent is busy."""
    clock = [0.0]
    if isinstance(policy, CacheAware):
        policy.prompt_cache.clock = lambda: clock[0]
    routes, providers = {}, {}
    for tier, model, provider in LINE_UPS[line_up]:
        routes[tier] = Route(ScriptedModel(model=model, provider=provider), price=price_of(model, provider))
    router = Router(routes, policy=policy)
    for info in router.infos:
        providers[info.name] = SimulatedProvider(rules_for(info))
    bills = []
    for thread in threads:
        bills.append(_one(Recorded(thread, providers, tools_tokens), router, clock, random.Random(f"{seed}:{thread.id}")))
        clock[0] += 120.0 if busy else 7200.0
    return bills


def _one(host: Recorded, router: Router, clock: list[float], chance: random.Random) -> Bill:
    thread, bill, last = host.thread, Bill(), None
    # A log that leaves the tools out still had some; what they say does not matter, only that they are part of the prompt.
    stand_in = {"type": "function", "function": {"name": "tool", "description": "x" * 4 * host.tools_tokens, "parameters": {}}}
    asked = call_options(thread.tools or (stand_in,))
    run = Run({"thread_id": thread.id})
    start = clock[0]
    with task(thread.id):
        for place, message in enumerate(thread.messages):
            host.place = place
            if thread.at:
                clock[0] = start + thread.at[place] - thread.at[0]
            elif message.type == "human" and place > 1:
                clock[0] += 600.0 if chance.random() < 1 / 12 else chance.uniform(5, 90)
            elif message.type == "tool":
                clock[0] += 1.0
            if not isinstance(message, AIMessage) or not place:
                continue
            host.now = clock[0]
            result = drive(router.plan(router.request(thread.messages[:place], asked, run), run), host)
            kept = result.decision.attempts[-1]
            if not thread.at:
                clock[0] += 1.0 + kept.usage.output_tokens / 60
            bill.usd += kept.cost_usd
            bill.input_tokens += kept.usage.input_tokens
            bill.cached += kept.usage.cache_read
            bill.steps += 1
            bill.switches += last is not None and last != kept.route
            bill.routes[kept.route] = bill.routes.get(kept.route, 0) + 1
            last = kept.route
    return bill


def ways(policy: str) -> dict[str, Any]:
    """Return new instances of the routing policies."""
    make = POLICIES[policy]
    return {
        "only cheap": Fixed("cheap"),
        "only balanced": Fixed("balanced"),
        "only frontier": Fixed("frontier"),
        "per step": make(),
        "Sticky": Sticky(make()),
        "CacheAware": CacheAware(make(), prompt_cache=PromptCacheState()),
    }


def read(path: Path) -> Iterator[Thread]:
    """Threads of a log."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for number, line in enumerate(lines):
            if line.strip():
                row = json.loads(line)
                messages = convert_to_messages([_plain(message) for message in row.get("messages") or row["traj"]])
                name = row.get("id") or f"{path.name}:{number + 1}"
                yield Thread(str(name), messages, tuple(row.get("tools") or ()), row.get("at") or ())


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**message, "content": message.get("content") or ""}


def made_up(count: int, seed: int = 7) -> list[Thread]:
    """Return long synthetic coding threads from a seed: a large prompt, turns of many steps, results of varied length."""
    threads = []
    for number in range(count):
        chance = random.Random(f"{seed}:{number}")
        rows: list[dict[str, Any]] = [{"role": "system", "content": f"You are a coding agent. {'rule ' * 3200}"}]
        for turn in range(chance.randint(2, 5)):
            rows.append({"role": "user", "content": f"Task {turn}: fix module {number}. " + "detail " * chance.randint(10, 150)})
            for step in range(chance.randint(6, 40)):
                call = {
                    "name": chance.choice(["read_file", "grep", "bash", "edit_file"]),
                    "arguments": json.dumps({"n": [turn, step]}),
                }
                identity = f"call_{turn}_{step}"
                rows.append({"role": "assistant", "content": "word " * chance.randint(5, 60),
                             "tool_calls": [{"id": identity, "type": "function", "function": call}]})  # fmt: skip
                failed = chance.random() < 0.15
                text = ("Error: it failed. " if failed else "ok ") + "line " * int(chance.lognormvariate(6.3, 0.9))
                rows.append({"role": "tool", "tool_call_id": identity, "content": text})
            rows.append({"role": "assistant", "content": "Done. " + "word " * chance.randint(50, 300)})
        threads.append(Thread(f"made-{number}", convert_to_messages(rows), made=True))
    return threads


def show(title: str, threads: Sequence[Thread], bills: Mapping[str, list[Bill]], chosen: Sequence[int]) -> None:
    """Print a table of totals, and the results of CacheAware by thread."""
    if not chosen:
        return
    print(f"\n{title}: {len(chosen)} threads, {sum(threads[place].steps for place in chosen)} steps")
    print(f"  {'':15}{'USD':>10}{'cached':>9}{'switches':>10}   steps by route")
    totals = {}
    for name, found in bills.items():
        total = sum((found[place] for place in chosen), Bill())
        totals[name] = total
        share = total.cached / total.input_tokens if total.input_tokens else 0.0
        routes = ", ".join(f"{route} {count}" for route, count in sorted(total.routes.items()))
        print(f"  {name:15}{total.usd:>10.4f}{share:>9.1%}{total.switches:>10}   {routes}")
    aware, naive = totals["CacheAware"].usd, totals["per step"].usd
    print(f"  CacheAware against per step: {aware / naive - 1:+.1%}")
    for single in ("only frontier", "only cheap"):
        worst = max(bills["CacheAware"][place].usd / bills[single][place].usd - 1 for place in chosen)
        over = sum(bills["CacheAware"][place].usd > 1.02 * bills[single][place].usd for place in chosen)
        print(f"  CacheAware against {single}: {aware / totals[single].usd - 1:+.1%} in total, {worst:+.1%} on the worst thread, "
              f"more than 2 % dearer on {over}")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", type=Path)
    parser.add_argument("--routes", choices=LINE_UPS, default="anthropic")
    parser.add_argument("--policy", choices=POLICIES, default="classifier")
    parser.add_argument("--threads", type=Path, help="write a CSV file with every thread and way of routing")
    parser.add_argument("--made", type=int, default=0, help="how many made-up long coding threads to add")
    parser.add_argument("--tools-tokens", type=int, default=0, help="size of the tools of a log that leaves them out")
    parser.add_argument(
        "--busy", action="store_true", help="threads follow each other by two minutes and share a warm system prompt"
    )
    parser.add_argument("--limit", type=int, default=None, help="only the first so many threads of each log")
    given = parser.parse_args(arguments)
    logs = given.logs or sorted((SHARED / "traces").glob("*.jsonl.gz"))
    if not logs and not given.made:
        print("No log: give one, or put recorded threads into ../shared/traces.", file=sys.stderr)
        return 1
    threads = [thread for log in logs for thread in list(read(log))[: given.limit]] + made_up(given.made)
    bills = {
        name: replay(threads, given.routes, policy, tools_tokens=given.tools_tokens, busy=given.busy)
        for name, policy in ways(given.policy).items()
    }
    models = ", ".join(model for _, model, _ in LINE_UPS[given.routes])
    print(f"routes: {models}; policy: {given.policy}; tools: {given.tools_tokens} tokens where the log has none")
    recorded = [place for place, thread in enumerate(threads) if not thread.made]
    show("Recorded threads", threads, bills, recorded)
    show(f"Long recorded threads (from {LONG} steps)", threads, bills, [p for p in recorded if threads[p].steps >= LONG])
    show("Made-up long coding threads", threads, bills, [place for place, thread in enumerate(threads) if thread.made])
    if given.threads:
        with given.threads.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["thread", "steps", "way", "usd", "input_tokens", "cached_tokens", "switches"])
            for name, found in bills.items():
                for thread, bill in zip(threads, found, strict=True):
                    writer.writerow(
                        [thread.id, thread.steps, name, f"{bill.usd:.6f}", bill.input_tokens, bill.cached, bill.switches]
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
