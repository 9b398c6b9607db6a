"""Hashed embeddings: words and letter trigrams as vectors, by feature hashing.

There is no model to download or ship; the vectors are the same on every machine and take some tens of microseconds, for any language
that is written with letters. They represent spelling, not meaning, which is enough where a stricter check decides afterwards.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from zlib import crc32

from langchain_core.embeddings import Embeddings

_WORD = re.compile(r"[^\W_]+")


class HashedEmbeddings(Embeddings):
    """LangChain embeddings of hashed words and letter trigrams.

    Args:
        dimensions: Length of the vectors.

    Example:
        >>> embeddings = HashedEmbeddings()
        >>> one, near, far = embeddings.embed_documents(["reset my password", "resetting my password", "cheap flights"])
        >>> dot = lambda a, b: sum(x * y for x, y in zip(a, b))
        >>> dot(one, near) > 0.6 > 0.3 > dot(one, far)
        True
    """

    def __init__(self, dimensions: int = 256) -> None:
        self.dimensions = dimensions

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector of length 1 for each text; of zeros for a text without words."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return a vector of length 1; of zeros for a text without words."""
        vector = [0.0] * self.dimensions
        words = _WORD.findall(text.casefold())
        for feature, weight in _features(words):
            hashed = crc32(feature.encode("utf-8", "replace"))
            vector[hashed % self.dimensions] += weight if hashed & 0x80000000 else -weight
        length = math.sqrt(sum(part * part for part in vector))
        return [part / length for part in vector] if length else vector

    async def aembed_query(self, text: str) -> list[float]:
        """Async version of `embed_query`; it never waits."""
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Async version of `embed_documents`; it never waits."""
        return self.embed_documents(texts)


def _features(words: Sequence[str]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for word in words:
        found.append((word, 1.0))
        marked = f"<{word}>"
        if len(marked) > 5:
            found.extend([(marked[place : place + 3], 0.4) for place in range(len(marked) - 2)])
    return found
