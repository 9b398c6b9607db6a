"""Routes as policies see them: tier, model, price and capabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from langroute.core.fast_dataclass import fast_dataclass
from langroute.core.records.usage import Price

TIERS = ("cheap", "balanced", "frontier")
"""Built-in tiers of routes, weakest first."""


@fast_dataclass
class RouteInfo:
    """Description of a route for policies: everything but the model itself."""

    name: str
    tier: str = "balanced"
    rank: int = 0
    """Place in the router's order, 0 for the cheapest."""

    model: str | None = None
    """The model's name, as asked for."""

    provider: str | None = None
    """LangChain's `ls_provider`: `openai`, `anthropic`, `google_genai`, …"""

    api: str | None = None
    """The wire format: `anthropic`, `openai-chat`, `openai-responses`, `gemini`, `bedrock`, `openai-compatible`; `None` if unknown."""

    price: Price | None = None
    context_window: int | None = None
    """Largest input in tokens, answer not included; `None` if unknown."""

    max_output_tokens: int | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    """`tools`, `tool_choice`, `structured_output`, `images`, `audio`, `video`, `pdf`, `reasoning`; a missing one is unknown."""

    labels: frozenset[str] = frozenset()
    """Regions and sensitivities the route may serve: `eu`, `pii`, …"""
