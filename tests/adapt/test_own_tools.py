"""Providers' own tools: whose they are, and what is left where nobody can run them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel

from langroute.adapt import named_choice, split_tools
from langroute.providers.own_tools import own_tool, runs_tool
from langroute.providers.wire import rules_of


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def plain(a: int) -> int:
    """Return a number."""
    return a


class Schema(BaseModel):
    """A schema as a tool."""

    number: int


ROUTES = {
    "anthropic": rules_of("anthropic", "anthropic", "claude-sonnet-4-5"),
    "openai": rules_of("openai-chat", "openai", "gpt-5"),
    "responses": rules_of("openai-responses", "openai", "gpt-5"),
    "azure": rules_of("openai-compatible", "azure", "gpt-5"),
    "gemini": rules_of("gemini", "google_genai", "gemini-3-pro"),
    "mistral": rules_of("openai-compatible", "mistralai", "mistral-large"),
    "bedrock": rules_of("bedrock", "amazon_bedrock", "us.amazon.nova-pro-v1:0"),
    "xai": rules_of("openai-compatible", "xai", "grok-4"),
    "xai by OpenAI's client": rules_of("openai-compatible", "openai", "grok-4", "api.x.ai"),
    "groq": rules_of("openai-compatible", "groq", "openai/gpt-oss-120b"),
    "moonshot": rules_of("openai-compatible", "moonshot", "kimi-k2.6"),
    "zai": rules_of("openai-compatible", "zai", "glm-5"),
    "openrouter": rules_of("openai-compatible", "openrouter", "anthropic/claude-opus-4-6"),
    "local": rules_of("openai-compatible", "openai", "qwen3", "127.0.0.1"),
    "local GLM": rules_of("openai-compatible", "openai", "zai-org/glm-5", "127.0.0.1"),
}
OPENAI = {"openai", "responses", "azure"}
XAI = {"xai", "xai by OpenAI's client"}

OWN: list[tuple[Any, set[str]]] = [
    ({"type": "web_search_20250305", "name": "web_search", "max_uses": 3}, {"anthropic"}),
    ({"type": "web_fetch_20260101", "name": "web_fetch"}, {"anthropic"}),
    ({"type": "code_execution_20260521", "name": "code_execution"}, {"anthropic"}),
    ({"type": "computer_20251124", "name": "computer", "display_width_px": 1024, "display_height_px": 768}, {"anthropic"}),
    ({"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}, {"anthropic"}),
    ({"type": "bash_20250124", "name": "bash"}, {"anthropic"}),
    ({"type": "memory_20250818", "name": "memory"}, {"anthropic"}),
    ({"type": "tool_search_tool_bm25_20251119", "name": "tool_search"}, {"anthropic"}),
    ({"type": "mcp_toolset", "mcp_server_name": "s"}, {"anthropic"}),
    ({"type": "web_search"}, OPENAI | XAI | {"zai"}),
    ({"type": "web_search_2025_08_26"}, OPENAI),
    ({"type": "web_search_preview_2025_03_11"}, OPENAI),
    ({"type": "file_search", "vector_store_ids": ["vs_1"]}, OPENAI | XAI),
    ({"type": "code_interpreter", "container": {"type": "auto"}}, OPENAI | XAI | {"groq"}),
    ({"type": "image_generation"}, OPENAI),
    ({"type": "computer_use_preview", "display_width": 1024}, OPENAI),
    ({"type": "mcp", "server_label": "s", "server_url": "https://example.org"}, OPENAI | XAI | {"groq"}),
    ({"type": "custom", "name": "code_exec", "description": "Runs code."}, OPENAI),
    ({"type": "local_shell"}, OPENAI),
    ({"type": "x_search"}, XAI),
    ({"type": "browser_search"}, {"groq"}),
    ({"type": "builtin_function", "function": {"name": "$web_search"}}, {"moonshot"}),
    ({"type": "openrouter:web_search"}, {"openrouter"}),
    ({"google_search": {}}, {"gemini"}),
    ({"code_execution": {}}, {"gemini"}),
    ({"url_context": {}}, {"gemini"}),
    ({"systemTool": {"name": "nova_grounding"}}, {"bedrock"}),
    ("nova_code_interpreter", {"bedrock"}),
    # Nobody knows these: they belong to one of the many servers of OpenAI's protocol.
    ({"type": "search_of_tomorrow"}, OPENAI | XAI | {"groq", "moonshot", "zai", "openrouter", "local", "local GLM"}),
]


@pytest.mark.parametrize(("own", "homes"), OWN, ids=lambda value: str(value)[:40] if not isinstance(value, set) else "")
def test_a_providers_own_tool_is_run_at_home_alone(own: Any, homes: set[str]) -> None:
    kind = own_tool(own)
    assert kind is not None
    assert {name for name, rules in ROUTES.items() if runs_tool(rules, kind)} == homes
    for name, rules in ROUTES.items():
        assert split_tools([own, add], rules) == (([own, add], []) if name in homes else ([add], [own]))
    assert split_tools([own], None) == ([own], [])


def test_tools_that_are_objects_of_a_package() -> None:
    types = pytest.importorskip("google.genai.types")
    nova = pytest.importorskip("langchain_aws.tools.nova_tools")
    openai = pytest.importorskip("langchain_openai")

    assert own_tool(types.Tool(google_search=types.GoogleSearch())) == ".google_search"
    assert own_tool(types.Tool(code_execution=types.ToolCodeExecution())) == ".code_execution"
    assert own_tool(types.Tool(function_declarations=[types.FunctionDeclaration(name="add")])) is None
    assert own_tool(nova.NovaGroundingTool()) == ".systemTool"

    @openai.custom_tool
    def run(code: str) -> str:
        """Run code."""
        return code

    assert own_tool(run) == "custom"


def test_a_tool_of_the_users_own_may_be_called_like_a_providers() -> None:
    @tool
    def web_search(query: str) -> str:
        """Search."""
        return query

    assert own_tool(web_search) is None


@pytest.mark.parametrize(
    "function",
    [
        add,
        plain,
        Schema,
        {"type": "function", "function": {"name": "add", "parameters": {}}},
        {"type": "function", "name": "add", "parameters": {}},
        {"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {}}},
        {"type": "custom", "name": "add", "input_schema": {"type": "object", "properties": {}}},
        {"toolSpec": {"name": "add", "inputSchema": {"json": {}}}},
        {"title": "add", "type": "object", "properties": {}},
        {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}},
    ],
    ids=range(10),
)
def test_a_function_of_any_form_is_everybodys(function: Any) -> None:
    assert own_tool(function) is None


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("choice", "kept", "expected"),
    [
        ("web_search", [add], None),
        ({"type": "tool", "name": "web_search"}, [add], None),
        ({"type": "web_search_20250305"}, [add], None),
        ({"type": "function", "function": {"name": "web_search"}}, [add], None),
        ("any", [add], "any"),
        ("any", [], None),
        ("auto", [add], "auto"),
        ({"type": "tool", "name": "add"}, [add], {"type": "tool", "name": "add"}),
    ],
)
def test_a_choice_that_demands_what_was_left_out_goes_too(choice: Any, kept: list[Any], expected: Any) -> None:
    assert named_choice(choice, kept, [SEARCH]) == expected
