"""Provider-specific wordings are in the provider profiles and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import langroute
from langroute.providers.profile import END_KINDS
from langroute.providers.registry import BUILT_IN

PACKAGE = Path(langroute.__file__).parent
ELSEWHERE = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("providers", "demo"))

OURS = {
    *END_KINDS,
    "cancelled",
    "completed",
    "failed",
    "timeout",
    "budget",
    "complete",
    "safety",
    "other",
    "language",
    "recitation",
}
"""Words that mean something else in this package, too."""

ENDS = {word for profile in BUILT_IN for word in profile.finish_reasons} - OURS
PHRASES = {phrase for profile in BUILT_IN for rule in profile.errors for phrase in rule.words}
CODES = {code for profile in BUILT_IN for rule in profile.errors for code in rule.codes if not code.isdigit()} - OURS

ALLOWED = {
    # Arguments and settings of models, which are called like some provider's word for an end.
    "max_tokens", "max_output_tokens", "stop", "stop_sequence",
    # Kinds of content blocks.
    "tool_use", "tool_call", "function_call",
    # Names of our own failures, which some provider shares.
    "content_filter", "unavailable",
}  # fmt: skip

ALLOWED_IN = {
    # What a gateway says to its own clients, in the words that they know.
    "gateway/app.py": {"model_not_found"},
    "gateway/guard.py": {"invalid_api_key", "request_too_large"},
    "gateway/refusals.py": {"context_length_exceeded", "model_not_found", "prompt is too long", "maximum context length"},
    # The way a policy is read from a file.
    "engine/configured.py": {"load"},
}


def words_of(path: Path) -> set[str]:
    """Texts in a module, in lower case, but for docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    return {
        node.value.lower()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    }


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_has_a_list_of_its_own(path: Path) -> None:
    """Neither words for ends, nor codes, nor phrases of errors."""
    words = words_of(path)
    own = ALLOWED_IN.get(path.relative_to(PACKAGE).as_posix(), set())
    assert not (words & (ENDS | CODES)) - ALLOWED - own
    assert not {phrase for phrase in PHRASES if any(phrase in word for word in words)} - own
