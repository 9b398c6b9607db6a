"""MkDocs hook that makes a page of each recipe in `cookbook/`: what it shows, what it prints, and its code.

The recipes are the only source: nothing of them is written down twice.
"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

COOKBOOK = Path(__file__).parent.parent / "cookbook"
GROUPS = {
    "Begin": ("existing_chain", "langgraph_node", "create_agent", "measure_existing_chain"),
    "Agents": (
        "coding_agent",
        "coding_agent_plan_execute",
        "agent_saves_itself",
        "subtasks_with_tests",
        "support_agent_budget",
        "surviving_an_outage",
    ),
    "Coding agents": ("claude_code", "codex", "aider", "one_budget"),
    "Production": ("web_service",),
    "Caching": ("cached_chain", "cached_agent", "shared_stream", "many_tenants"),
    "Outcomes": ("outcomes_in_one_line", "tests_as_outcomes", "chat_feedback", "weekly_report", "chargeback"),
    "Learning": ("where_does_spend_go", "try_a_cheaper_model", "shadow_before_switch"),
}
"""Recipes by what they are about, in the order of the navigation."""

SECTION = "Cookbook"


TITLES = {
    "aider": "aider",
    "claude_code": "Claude Code",
    "create_agent": "An agent of create_agent",
    "langgraph_node": "LangGraph node",
}
"""Names that capitals alone do not make."""


def title_of(name: str) -> str:
    """Return a recipe's name for people."""
    return TITLES.get(name) or name.replace("_", " ").capitalize()


def page_of(name: str) -> str:
    """Return a recipe as Markdown."""
    source = (COOKBOOK / f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    story, _, printed = (ast.get_docstring(tree) or "").partition("Output:\n")
    first, _, rest = story.strip().partition("\n\n")
    code = "\n".join(source.splitlines()[tree.body[0].end_lineno or 0 :]).strip()
    return "\n".join(
        [
            f"# {title_of(name)}",
            "",
            f"**{first}**",
            "",
            rest.strip(),
            "",
            "It prints",
            "",
            "```text",
            textwrap.dedent(printed).strip("\n"),
            "```",
            "",
            f"`cookbook/{name}.py`:",
            "",
            "```python",
            code,
            "```",
            "",
        ]
    )


def on_config(config: Any) -> Any:
    """Put the recipes where the navigation names their section."""
    recipes = [{group: [{title_of(name): f"cookbook/{name}.md"} for name in names]} for group, names in GROUPS.items()]
    for section in config["nav"]:
        if SECTION in section:
            section[SECTION] = recipes
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each recipe."""
    for names in GROUPS.values():
        for name in names:
            files.append(File.generated(config, f"cookbook/{name}.md", content=page_of(name)))
    return files
