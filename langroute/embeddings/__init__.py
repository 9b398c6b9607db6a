"""How is text made into vectors without a model, a download or a call?"""

from __future__ import annotations

from langroute.embeddings.hashed import HashedEmbeddings

__all__ = ["HashedEmbeddings"]
