"""Answers of the protocol mock for LangChain's standard tests that expect a model to have understood the question."""

from __future__ import annotations

from typing import Any

import pytest

MAGIC = ("magic_function", {"input": 3})
CALLS = {
    "test_tool_calling": [MAGIC] * 3,
    "test_tool_calling_async": [MAGIC] * 3,
    "test_unicode_tool_call_integration": [
        ("unicode_customer", {"customer_name": "你好啊集团", "description": "A group."}),
        ("unicode_customer", {"customer_name": "こんにちは株式会社", "description": "A corporation."}),
    ],
}
"""Test → the tool calls that a model would make in it."""


@pytest.fixture(autouse=True)
def understood(request: pytest.FixtureRequest) -> None:
    """Script the answers of the test that is about to run."""
    if request.node.get_closest_marker("server") is None:
        return
    mock: Any = request.getfixturevalue("mock")
    for name, arguments in CALLS.get(request.node.originalname, ()):
        mock.call_tool(name, arguments)
