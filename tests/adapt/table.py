"""Generator of the table in `docs/histories.md`: what is kept, mapped and dropped, found by trying.

Run: `python tests/adapt/table.py`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from histories import APIS, FEATURES, MARK, MODELS, PROVIDERS

from langroute.adapt import Target, adapt, target_for
from langroute.core.records import RouteInfo
from langroute.providers.wire import ARGUMENTS

PAGE = Path(__file__).parents[2] / "docs" / "histories.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
TITLES = {
    "anthropic": "Anthropic",
    "openai-chat": "OpenAI chat",
    "openai-responses": "OpenAI Responses",
    "gemini": "Gemini",
    "mistral": "Mistral",
    "openai-compatible": "OpenAI-compatible",
    "bedrock": "Bedrock",
}


def target(api: str) -> Target:
    """A target, made without any provider's package, so that the table is the same wherever it is made."""
    wire = "openai-compatible" if api == "mistral" else api
    return target_for(RouteInfo("only", api=wire, provider=PROVIDERS[api], model=MODELS[api]), None)


NEEDLES = {"marks of a prompt cache": re.compile("ephemeral|explicit")}
"""What to look for, where that is not the marked word."""

ORDER = ("kept", "mapped", "dropped")


def fate(title: str, source: str, api: str) -> str | None:
    """What becomes of the marked part of a history; `None` where that provider has nothing of the kind."""
    needle = NEEDLES.get(title, re.compile(MARK))
    history = FEATURES[title](source)
    marked = [message for message in history if needle.search(_said(message))]
    if not marked:
        return None
    adapted = adapt(history, target(api)).messages
    if all(any(new is old for new in adapted) for old in marked):
        return "kept"
    return "mapped" if any(needle.search(_said(message)) for message in adapted) else "dropped"


def _said(message: Any) -> str:
    calls = [getattr(message, name, None) for name in ("tool_calls", "invalid_tool_calls")]
    return repr((message.content, *calls, message.additional_kwargs))


def histories_table() -> str:
    """One row for each feature, one column for each target."""
    lines = [f"| In the history | {' | '.join(TITLES.values())} |", f"| --- |{' --- |' * len(APIS)}"]
    for title in FEATURES:
        cells = []
        for api in APIS:
            fates = {source: fate(title, source, api) for source in APIS}
            own = fates.pop(api)
            others = " or ".join(word for word in ORDER if word in fates.values())
            cells.append(own if own == others else f"own {own}, others' {others}" if own else others)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments_table() -> str:
    """Which arguments go to whom."""
    lines = [f"| Argument | {' | '.join(TITLES.values())} |", f"| --- |{' --- |' * len(APIS)}"]
    for name, forms in sorted(ARGUMENTS.items()):
        lines.append(f"| `{name}` | {' | '.join('yes' if api in forms else '' for api in APIS)} |")
    return "\n".join(lines)


def rendered() -> str:
    """The generated part of the page."""
    return f"{BEGIN}\n\n{histories_table()}\n\n## Call arguments\n\n{arguments_table()}\n\n{END}"


if __name__ == "__main__":
    page = PAGE.read_text()
    PAGE.write_text(page[: page.index(BEGIN)] + rendered() + page[page.index(END) + len(END) :])
