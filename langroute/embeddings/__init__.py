"""Embeddings that need no model, no download and no network call."""

from __future__ import annotations

from langroute.embeddings.hashed import HashedEmbeddings

__all__ = ["HashedEmbeddings"]


def __dir__() -> list[str]:
    return sorted(__all__)
