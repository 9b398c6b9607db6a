"""Names that a package offers and imports only when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, places: Mapping[str, str], ready: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package.

    Args:
        package: Name of the package.
        places: Offered name → the module of the package that defines it.
        ready: Offered names that the package imports itself.

    Example:
        >>> get, names = lazy_names("langroute.embeddings", {"HashedEmbeddings": "hashed"})
        >>> names(), get("HashedEmbeddings").__name__
        (['HashedEmbeddings'], 'HashedEmbeddings')
    """
    offered = sorted({*places, *ready})

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{places[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: list(offered)
