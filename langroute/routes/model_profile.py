"""Profile of a chat model: what its package says it can do, read without trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_profile(model: Any) -> Mapping[str, Any]:
    """Return a model's profile; empty where it has none, or one in another form.

    Example:
        >>> from types import SimpleNamespace as Model
        >>> model_profile(Model(profile={"tool_calling": True})), model_profile(Model(profile="large")), model_profile(Model())
        ({'tool_calling': True}, {}, {})
    """
    profile = getattr(model, "profile", None)
    return profile if isinstance(profile, Mapping) else {}


def token_limit(profile: Mapping[str, Any], name: str) -> int | None:
    """Return a limit of a profile; `None` where it is missing, or no number of tokens.

    Example:
        >>> token_limit({"max_input_tokens": 8_000}, "max_input_tokens"), token_limit({"max_input_tokens": "8k"}, "max_input_tokens")
        (8000, None)
    """
    value = profile.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
