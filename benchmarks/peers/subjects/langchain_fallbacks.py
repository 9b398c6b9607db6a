"""LangChain's own `with_fallbacks`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from subjects.chat_models import calls, given, instant, local_calls, plain_tell


def router(models: dict[str, Any], _: bool) -> Any:
    return models["small"].with_fallbacks([models["large"]])


def client(urls: dict[str, str], judged: bool, protocol: str = "openai") -> AbstractContextManager[Any]:
    return calls(router, plain_tell, urls, judged, protocol)


def local() -> dict[str, Any]:
    return local_calls(instant("small"), router({name: instant(name) for name in ("small", "large")}, False))


__all__ = ["client", "given", "local"]
