"""Which texts are made of nearly the same words? Hashed words and pieces of words, as vectors.

No model: nothing to download, nothing to ship, the same vectors on every machine, in any language that is written with letters, in some
tens of microseconds. It sees spelling and not meaning, which is enough where something stricter decides afterwards.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from zlib import crc32

from langchain_core.embeddings import Embeddings

_WORD = re.compile(r"[^\W_]+")


class HashedEmbeddings(Embeddings):
    """Vectors of hashed words, pairs of words and pieces of three letters.

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
        """Vectors of length 1."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """A vector of length 1."""
        vector = [0.0] * self.dimensions
        words = _WORD.findall(text.casefold())
        for feature, weight in _features(words):
            hashed = crc32(feature.encode("utf-8", "replace"))
            vector[hashed % self.dimensions] += weight if hashed & 0x80000000 else -weight
        length = math.sqrt(sum(part * part for part in vector))
        return [part / length for part in vector] if length else vector

    async def aembed_query(self, text: str) -> list[float]:
        """The same; it never waits."""
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The same; it never waits."""
        return self.embed_documents(texts)


def _features(words: Sequence[str]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for word in words:
        found.append((word, 1.0))
        marked = f"<{word}>"
        if len(marked) > 5:
            found.extend([(marked[place : place + 3], 0.4) for place in range(len(marked) - 2)])
    return found
