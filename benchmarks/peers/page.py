"""Writes the page docs/comparison.md from what the probes found; nothing in it is typed by hand but what the columns mean."""

from __future__ import annotations

import statistics
from typing import Any

import recorded_page
from ahead import ahead, bill
from probe import FAULTS
from provider import PRICES
from tables import COMMAND, number, spread, table

CASES = {
    "short": "short prompt",
    "new": "a new question each time",
    "80": "80 messages",
    "200": "200 messages",
    "stream": "stream, first chunk",
    "async": "`ainvoke`, short",
}
LOOPS = {"question": "a new question", "80": "a question after 80 messages", "async": "a new question, `ainvoke`"}
RIGHT = {"openai": 0.042, "openai, streamed": 0.042, "anthropic": 0.043, "anthropic, streamed": 0.043}
"""USD of the usage shapes in `provider.py`, by hand: (10,000 x 2 + 90,000 x 0.2 + 500 x 8) and (8,000 x 2 + 90,000 x 0.2 + 2,000 x 2.5 + 500 x 8) / 1e6."""


class Found:
    """What was found, and the names of the subjects."""

    def __init__(self, told: dict[str, Any], found: dict[str, Any]) -> None:
        self.told, self.found = told, found
        self.subjects: dict[str, Any] = told["subjects"]

    def name(self, key: str) -> str:
        return str(self.subjects[key]["name"])

    def of(self, probe: str) -> dict[str, list[dict[str, Any]]]:
        """Return the turns of a probe for each subject, without those that failed."""
        found = self.found["probes"].get(probe, {})
        turns = {key: [one for one in found[key] if "failed" not in one] for key in self.subjects if key in found}
        return {key: one for key, one in turns.items() if one}

    def failed(self, probe: str) -> list[str]:
        """Return a line for each subject of which a probe could not be run."""
        found = self.found["probes"].get(probe, {})
        return [f"{self.name(key)}: {turns[0]['failed']}" for key, turns in found.items() if all("failed" in one for one in turns)]


def who(found: Found) -> str:
    """Return the section on who is compared."""
    rows = []
    for subject in found.subjects.values():
        environment = subject["environment"]
        if environment in found.found["missing"]:
            versions = f"not installed: {found.found['missing'][environment]}"
        elif environment in found.found["versions"]:
            versions = ", ".join(f"{name} {version}" for name, version in found.found["versions"][environment].items())
        else:
            continue
        if environment == "langroute":
            versions = f"this checkout; {versions}"
        note = found.told["environments"][environment].get("note")
        rows.append([subject["name"], versions + (f"; {note}" if note else ""), subject["settings"]])
    left = "\n".join(f"- **{one['name']}**: {one['reason']}." for one in found.told["left_out"])
    return (
        "## Who is compared\n\n"
        f"Versions are pinned in `benchmarks/peers/peers.toml` (the newest of {found.told['checked']}); `--newest` takes those of today. Each subject runs in "
        "an environment and in processes of its own, with the settings that serve it best without anything from outside of the machine.\n\n"
        + table(["", "version", "settings"], rows, 3)
        + f"\n\nLeft out:\n\n{left}\n"
    )


def _timed_rows(found: Found, probe: str, cases: dict[str, str]) -> list[list[str]]:
    """Return what each subject adds in each case, and last the bare time of the first case."""
    rows, first = [], next(iter(cases))
    for key, turns in found.of(probe).items():
        cells = [spread([turn[case]["adds"] for turn in turns]) for case in cases]
        bare = number(statistics.median(turn[first]["bare"] for turn in turns))
        rows.append([found.name(key), found.subjects[key]["group"], *cells, bare])
    return rows


def overhead(found: Found) -> str:
    """Return the section on time."""
    rows = _timed_rows(found, "overhead", CASES)
    return (
        "## Time added to a call\n\n"
        "Microseconds over the bare model, called in the same process in the same rounds, in shuffled order: the median of the differences, and the range of the "
        "turns in brackets. The model answers at once and is the same class (`ChatOpenAI` with its answer written in) for all of LangChain's; "
        "LiteLLM's own `completion` is bare for LiteLLM. The last column is the bare model's short call. Compare within a group: judging a request is more work than passing it on.\n\n"
        f"`{COMMAND} --only overhead`\n\n"
        + table(["", "what it does", *CASES.values(), "bare"], rows, 2)
        + "\n"
        + unmeasured(found, "overhead")
    )


def agents(found: Found) -> str:
    """Return the section on agents."""
    rows = _timed_rows(found, "agents", LOOPS)
    return (
        "## Time added to an agent's call\n\n"
        "Microseconds of processor time, of all threads, that a call of the model in `create_agent`'s loop takes more than in the bare agent, both run in the same process in the same rounds, in shuffled order: a run is five calls with a tool "
        "between them, of a model that answers at once, and every run is a new one with new messages. Medians of the differences of whole runs, divided by five; the range of the turns in brackets. The last column is the bare agent, for each call.\n\n"
        f"`{COMMAND} --only agents`\n\n"
        + table(["", "what it does", *LOOPS.values(), "bare"], rows, 2)
        + "\n"
        + unmeasured(found, "agents")
    )


def unmeasured(found: Found, probe: str) -> str:
    lines = found.failed(probe)
    return "".join(f"\n- not measured: {line}" for line in lines) + ("\n" if lines else "")


def imports(found: Found) -> str:
    """Return the section on imports."""
    rows = []
    for key, turns in found.of("import").items():
        cells = [spread([turn[name] for turn in turns]) for name in ("ms", "mb", "core_ms", "core_mb")]
        rows.append([found.name(key), *cells])
    return (
        "## Import, and memory for it\n\n"
        "In a fresh process; what LangChain's chat models and messages take before it stands apart, as a LangChain program has imported them anyway (0 for who needs none of it).\n\n"
        f"`{COMMAND} --only import`\n\n"
        + table(["", "ms", "MB", "LangChain's core, ms", "LangChain's core, MB"], rows)
        + "\n"
        + unmeasured(found, "import")
    )


def gateways(found: Found) -> str:
    """Return the section on gateways."""
    told = found.found["probes"].get("gateways", {})
    if not told or "failed" in told:
        return f"## Gateways\n\nNot measured: {told.get('failed', 'not asked for')}\n"
    rows = []
    for name, one in told.items():
        cells = [
            f"{one[size][what]:.1f} ({one[size][f'{what} p99']:.0f})" for size in ("2 kB", "77 kB") for what in ("first", "whole")
        ]
        rows.append([name, *cells, f"{one['cpu']:.1f}", f"{one['rate']:.0f}", f"{one['memory']:.0f}, {one['memory after']:.0f}"])
    head = [
        "one worker",
        "2 kB: first byte",
        "2 kB: whole",
        "77 kB: first byte",
        "77 kB: whole",
        "CPU ms a request",
        "requests a second",
        "MB before, after",
    ]
    return (
        "## Gateways\n\n"
        "Milliseconds added to a direct call of the same provider on loopback, streamed, 60 events: median and, in brackets, p99. `langroute serve` judges each step, asks a budget and "
        "writes a ledger; `fixed` judges nothing. LiteLLM's proxy fails over, and keeps no records, as it has no database here; Portkey fails over, too. Provider and clients share the cores, so requests a second are for comparison.\n\n"
        f"`{COMMAND} --only gateways`\n\n" + table(head, rows) + "\n"
    )


def faults(found: Found) -> str:
    """Return the section on faults."""
    known = found.of("faults")
    rows = []
    for fault, (_, words) in FAULTS.items():
        cells = []
        for turns in known.values():
            one = turns[0][fault]
            asked = f"{one['asked']['small']}+{one['asked']['large']}"
            cells.append(f"{'the other model answers' if one['got'] == 'other' else one['got']} ({asked})")
        rows.append([words, *cells])
    return (
        "## When a model fails\n\n"
        "The first of two models fails as the row says, the second answers; what the caller gets, and how often the first and the second were asked. `half` is a part of the "
        "first one's answer: `silently` means that nothing tells the caller that it is not the whole. Retries of clients and peers are off; langroute's one is its default. Only in the last row is one call, and an error, the best that can be.\n\n"
        f"`{COMMAND} --only faults`\n\n" + table(["", *map(found.name, known)], rows, 99) + "\n" + unmeasured(found, "faults")
    )


def costs(found: Found) -> str:
    """Return the section on costs."""
    known = found.of("costs")

    def cell(value: Any, right: float) -> str:
        if not isinstance(value, (int, float)):
            return "says none" if value is None else str(value)
        return f"{value:.4f}" + ("" if abs(value - right) < 1e-9 else " (wrong)")

    rows = [[shape, f"{right:.4f}", *(cell(turns[0][shape], right) for turns in known.values())] for shape, right in RIGHT.items()]
    price = ", ".join(f"{value:g}" for value in PRICES["small"])
    return (
        "## What a call cost\n\n"
        f"100,000 tokens of prompt of which 90,000 were read from the provider's cache (Anthropic: and 2,000 written to it), 500 of answer, as both protocols tell it; "
        f"prices {price} USD a million (input, read, written, output), given to everyone who takes prices. USD.\n\n"
        f"`{COMMAND} --only costs`\n\n" + table(["", "right", *map(found.name, known)], rows) + "\n" + unmeasured(found, "costs")
    )


def told(found: Found) -> str:
    """Return the section on what an answer tells."""
    rows = []
    for key, turns in found.of("told").items():
        one = turns[0]
        when = {"429": "the first model refused", "whole": "nothing failed"}.get(one["after"], "no answer came")
        rows.append([found.name(key), when, str(one["model"] or "not told"), f"`{one['why']}`" if one["why"] else "not told"])
    return (
        "## Which model answered, and why\n\n"
        "Read from the answer (metadata, headers) without a log or a tracing service.\n\n"
        f"`{COMMAND} --only told`\n\n" + table(["", "when", "model", "why"], rows, 4) + "\n" + unmeasured(found, "told")
    )


def thread(found: Found) -> str:
    """Return the section on a thread."""
    rows = []
    for key, turns in found.of("thread").items():
        one = bill(turns[0]["log"])
        share = f"{one['cached']:.1%}"
        rows.append(
            [found.name(key), f"{one['steps']:.0f}", f"{one['small']:.0f}", f"{one['switches']:.0f}", share, f"{one['usd']:.4f}"]
        )
    return (
        "## The provider's prompt cache over a thread\n\n"
        "One coding thread, made up: six turns of the user, easy and hard in turn, three tool calls in each. The provider keeps exact prefixes for each model and bills what it has not "
        "seen at full price. This counts money, not quality: it is cheapest to stay on the small model for everything, and who does so has judged nothing (`with_fallbacks` shows it).\n\n"
        f"`{COMMAND} --only thread`\n\n"
        + table(["", "calls", "to the small model", "switches", "prompt tokens from the cache", "USD"], rows)
        + "\n"
        + unmeasured(found, "thread")
    )


def page(told_of: dict[str, Any], results: dict[str, Any]) -> str:
    """Return the whole page."""
    found, about = Found(told_of, results), results["about"]
    took = f"the last part ({about['part']})" if about.get("part") else "all"
    took = f"{took} in {about['minutes']:.0f} minutes, {about['rounds']} rounds of each timed case"
    ended = "; ".join(
        f"{name} {one['date']}, load {one['load']:.1f}" + (f", {one['turns']} turns" if one["turns"] > 1 else "")
        for name, one in results.get("parts", {}).items()
    )
    intro = (
        "# Beside its peers\n\n"
        f"<!-- Made by: {COMMAND}. What is changed here by hand is lost. -->\n\n"
        "What langroute and the packages that one would take instead do with the same work, by programs that run and say what they got. The whole page is made by\n\n"
        f"```bash\n{COMMAND}\n```\n\n"
        f"Made on {about['date']} on {about['cores']} cores ({about['machine']}, Python {about['python']}), {took}; "
        f"timed probes in turns of all subjects. When each part ended: {ended}. Timings of a busy machine are upper bounds. What is compared on recorded data that is not ours to ship is skipped, with the reason, where `--data` does not have it. `--from build/peers/results.json` writes it again without measuring.\n"
    )
    lines = ahead(found)
    behind = "## Where a peer is ahead\n\nTaken from the tables by the command: every cell in which a peer does better than langroute, and by how much.\n\n"
    behind += "\n".join(f"- {line}" for line in lines) if lines else "Nowhere, in what was measured."
    limits = (
        "## What this does not show\n\n"
        "- More on the choice of models, on labelled steps and recorded threads: [Choosing a policy](policies.md), [What to do with recorded outcomes](advise.md), "
        "[Autopilot](autopilot.md); on the guard of the cache: [The semantic cache](semantic_cache.md).\n"
        "- Recorded questions have one right answer, and models that have been replaced since; nobody's own traffic is like them.\n"
        "- Routing by examples of each route, as langchain-model-router's `EmbeddingStrategy` and semantic-router do: somebody has to write them, and nobody has for these questions.\n"
        "- Real providers, real networks, more than one machine. What one server carries: [Capacity](capacity.md).\n"
        "- Features that only one of them has: LiteLLM speaks to far more providers and has keys, teams and an interface; LangChain's own parts need no package at all.\n"
    )
    parts = [
        intro,
        who(found),
        overhead(found),
        agents(found),
        imports(found),
        gateways(found),
        faults(found),
        told(found),
        costs(found),
        thread(found),
        *(part(found.found["probes"]) for part in (recorded_page.pairs, recorded_page.questions, recorded_page.tasks)),
        behind + "\n",
        limits,
    ]
    return "\n".join(parts)
