"""What has to be known of a route before a history is written for it?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langroute.adapt.memo import Memo
from langroute.records import RouteInfo

APIS = ("anthropic", "openai-chat", "openai-responses", "gemini", "mistral", "openai-compatible")
"""The ways of writing a history that are known. `mistral` is what `openai-compatible` becomes where Mistral's rules hold."""

_MISTRALS = re.compile(r"(?:^|[/:-])(?:mistral|ministral|mixtral|codestral|devstral|magistral|pixtral)", re.IGNORECASE)
_VERSION = re.compile(r"(?:-\d{8}|-\d{4}-\d{2}-\d{2}|-\d{3}|-latest|@.+)$")
_CLAUDE = re.compile(r"claude-[a-z]+-(\d+)(?:-(\d{1,2}))?(?!\d)")
_KIN = {"azure": "openai", "google_vertexai": "google_genai", "mistral": "mistralai"}
"""Providers that answer in another one's name."""


@dataclass(frozen=True, slots=True)
class Target:
    """What has to be known of a route to write for it.

    Example:
        >>> Target("openai-compatible", "openai", "mistralai/devstral-small").form
        'mistral'
    """

    api: str | None
    """`RouteInfo.api`."""

    provider: str | None
    model: str | None = None
    thinking: bool = False
    """Thinking is on in the mode that asks every open tool loop to begin with a thinking block."""

    systems_anywhere: bool = False
    """A system message may stand in the middle, after a user's turn."""

    prefill: bool = True
    """The history may end with the beginning of the answer."""

    sampling: bool = True
    """`temperature` and its like are taken."""

    memo: Memo = field(default_factory=Memo, compare=False, repr=False)
    """Histories that were adapted, so that a grown one is adapted only where it grew."""

    form: str | None = field(init=False, repr=False, compare=False)
    """How the history has to be written: one of `APIS`, or `None` for a route nobody knows."""

    def __post_init__(self) -> None:
        form = self.api if self.api in APIS else None
        if form == "openai-compatible" and (kin(self.provider) == "mistralai" or _MISTRALS.search(self.model or "")):
            form = "mistral"
        object.__setattr__(self, "form", form)

    def wrote(self, provider: str | None) -> bool:
        """An answer of that provider is in this target's own form."""
        return provider is not None and kin(provider) == kin(self.provider)

    def thought(self, provider: str | None, model: str | None) -> bool:
        """An answer's thinking is this very model's own: it belongs to the model, not to its provider."""
        return self.wrote(provider) and bool(model) and bool(self.model) and plain_model(model) == plain_model(self.model)


def kin(provider: str | None) -> str | None:
    """The provider in whose name answers are marked."""
    return _KIN.get(provider or "", provider)


def plain_model(name: str | None) -> str:
    """A model's name without path, date and other marks of a version that is the same model.

    Example:
        >>> plain_model("models/gemini-2.5-pro-001"), plain_model("claude-opus-4-6-20260205")
        ('gemini-2.5-pro', 'claude-opus-4-6')
    """
    return _VERSION.sub("", (name or "").lower().rsplit("/", 1)[-1])


def target_for(info: RouteInfo, model: Any) -> Target:
    """What there is to know of a route.

    Args:
        info: The route's facts.
        model: Its chat model; read for its settings only.

    Example:
        >>> target_for(RouteInfo("large", api="anthropic", provider="anthropic", model="claude-opus-4-6"), None).prefill
        False
    """
    thinking = getattr(model, "thinking", None)
    thinking = thinking if isinstance(thinking, Mapping) else {}
    profile = getattr(model, "profile", None)
    profile = profile if isinstance(profile, Mapping) else {}
    thinks = thinking.get("type") in ("enabled", "adaptive")
    name = plain_model(info.model)
    prefill, sampling = True, profile.get("temperature") is not False
    if info.api == "anthropic":
        version = _claude_version(name)
        prefill = version < (4, 6) and not thinks
        sampling = sampling and not thinks
    elif info.api == "gemini":
        prefill = False
    elif info.api in ("openai-chat", "openai-responses"):
        sampling = sampling and not _reasons(name)
    return Target(
        info.api,
        info.provider,
        info.model,
        # Adaptive thinking takes a loop that somebody else began; the older mode refuses it.
        thinking=thinking.get("type") == "enabled",
        systems_anywhere=bool(profile.get("mid_conversation_system_messages")),
        prefill=prefill,
        sampling=sampling,
    )


def _claude_version(name: str) -> tuple[int, int]:
    """Version of a Claude model; (0, 0) for the old names, which begin with the number."""
    found = _CLAUDE.search(name)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _reasons(name: str) -> bool:
    """An OpenAI model that samples at its own temperature only."""
    return re.match(r"o\d|gpt-[5-9]", name) is not None and "chat" not in name
