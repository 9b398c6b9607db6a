"""langroute's `ChatRouter` that judges nothing: one route, the other when it fails; what LangChain's fallbacks do."""

from __future__ import annotations

from typing import Any

from subjects.chat_models import instant, local_calls
from subjects.langroute_default import PRICE, client, given, router


def local() -> dict[str, Any]:
    return local_calls(instant("small"), router({name: instant(name) for name in PRICE}, judged=False))


__all__ = ["client", "given", "local"]
